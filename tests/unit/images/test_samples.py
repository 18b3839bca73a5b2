"""Samples: there, small, credited, and the drawn ones as their formulas say."""

import importlib.util
import threading

import numpy as np
import pytest

from cnnlab.errors import InputRejected, Unsupported
from cnnlab.images import SAMPLES, load_sample, samples


@pytest.mark.parametrize("key", SAMPLES)
def test_every_sample_loads_and_is_described(key: str) -> None:
    image, sample = load_sample(key), SAMPLES[key]
    assert max(image.height, image.width) <= 640
    assert image.pixels.std() > 0
    assert image.name == sample.label
    assert sample.group in ("photograph", "digit", "drawn")
    assert sample.about.endswith(".")
    assert sample.credit
    assert load_sample(key) is image
    assert not image.pixels.flags.writeable


def test_the_cat_comes_first_and_the_groups_stay_together() -> None:
    assert next(iter(SAMPLES)) == "cat"
    groups = [sample.group for sample in SAMPLES.values()]
    assert groups == sorted(groups, key=["photograph", "digit", "drawn"].index)
    assert len({sample.label for sample in SAMPLES.values()}) == len(SAMPLES)


def test_a_digit_is_the_table_row_enlarged() -> None:
    from sklearn.datasets import load_digits

    table = load_digits()
    for key in ("digit_0", "digit_1", "digit_4", "digit_7"):
        row = int(key[-1])
        assert table.target[row] == row
        pixels = load_sample(key).pixels
        assert pixels.shape == (64, 64, 3)
        assert np.allclose(pixels[::8, ::8, 0], table.images[row] * 255 / 16, atol=0.51)
        assert np.array_equal(pixels, pixels[::8, ::8].repeat(8, axis=0).repeat(8, axis=1))


def test_drawn_patterns_are_what_they_say() -> None:
    def grey(key: str) -> np.ndarray:
        pixels = load_sample(key).pixels
        assert pixels.shape == (256, 256, 3)
        assert (pixels == pixels[:, :, :1]).all()
        return pixels[:, :, 0].astype(int)

    assert grey("impulse").sum() == grey("impulse")[128, 128] == 255
    assert (grey("gradient") == np.arange(256)).all()
    board = grey("checkerboard")
    assert board[0, 0] == 255 == board[33, 33]
    assert board[0, 33] == 0
    assert (grey("stripes")[5, :24] == [255] * 8 + [0] * 8 + [255] * 8).all()
    circle = grey("circle")
    assert abs(circle.sum() / 255 - np.pi * 80**2) < 40
    assert (circle == circle.T).all()
    # sin(π r² / 256) at the middle, r² = 0.5, and one pixel to the right, r² = 2.5
    plate = grey("zone_plate")
    assert plate[128, 128] == round(127.5 * (1 + np.sin(np.pi * 0.5 / 256)))
    assert plate[128, 129] == round(127.5 * (1 + np.sin(np.pi * 2.5 / 256)))


def test_an_unknown_sample_is_refused_with_the_choices() -> None:
    with pytest.raises(InputRejected, match=r"'dog'.*cat"):
        load_sample("dog")


def test_a_missing_package_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Unsupported, match="pip install scikit-image"):
        SAMPLES["cat"].load()
    with pytest.raises(Unsupported, match="pip install scikit-learn"):
        SAMPLES["digit_0"].load()


def test_threads_may_ask_for_the_same_sample() -> None:
    samples._loaded.cache_clear()
    found = []
    threads = [threading.Thread(target=lambda: found.append(load_sample("cat").digest)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
