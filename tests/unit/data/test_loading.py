import subprocess
import sys

import pytest
import torch
from sklearn.datasets import load_digits

from cnnlab.data import DATASETS, load_dataset
from cnnlab.errors import InputRejected


def test_the_way_in_loads_nothing_that_takes_long_and_is_not_needed():
    script = "import sys, cnnlab.data\nprint(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(subprocess.check_output([sys.executable, "-c", script], text=True).split())
    assert {"streamlit", "plotly", "torchvision", "sklearn", "scipy"}.isdisjoint(loaded)


@pytest.mark.parametrize("key", [key for key, entry in DATASETS.items() if not entry.files])
def test_every_embedded_set_is_what_its_entry_says(key):
    entry = DATASETS[key]
    dataset = load_dataset(key)
    assert entry.is_here()
    assert dataset.pictures.shape[0] == entry.num_pictures == len(dataset.labels)
    assert dataset.pictures.shape[3] == entry.channels == len(dataset.mean) == len(dataset.std)
    assert dataset.pictures.dtype == torch.uint8
    assert dataset.pictures.is_contiguous()
    assert dataset.labels.dtype == torch.int64
    assert dataset.classes == entry.classes
    assert min(dataset.class_counts()) > 0


@pytest.mark.parametrize("key", DATASETS)
def test_every_default_is_among_the_choices(key):
    assert all(choice.default in choice.values for choice in DATASETS[key].choices.values())


@pytest.mark.parametrize("side", [28, 32])
def test_digits_are_scikit_learns(side):
    theirs = load_digits()
    dataset = load_dataset("digits", side=side)
    assert dataset.labels.tolist() == theirs.target.tolist()
    assert dataset.pictures.shape[1:] == (side, side, 1)
    # Shrunk back by area, each is what it was made of, but for what the filter blurs: one level of 16. Another is 4.
    pictures = dataset.pictures.float().permute(0, 3, 1, 2)
    small = torch.nn.functional.interpolate(pictures, size=(8, 8), mode="area")[:, 0] * 16 / 255
    assert float((small - torch.from_numpy(theirs.images)).abs().mean()) < 1


@pytest.mark.parametrize(
    ("key", "choices", "says"),
    [
        ("imagenet", {}, "choose one of digits, shapes, mnist"),
        ("digits", {"side": 30}, "must be one of 28, 32, got 30"),
        ("shapes", {"count": 1}, "one of 60 to 60000, got 1"),
        ("shapes", {"colour": 1}, "takes side, count, objects, drawing, not 'colour'"),
        ("mnist", {"side": 32}, "takes no choices, not 'side'"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(key, choices, says):
    with pytest.raises(InputRejected, match=says):
        load_dataset(key, **choices)
