from pathlib import Path

import numpy as np
import pytest
import torch

from cnnlab.data import cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path))
    return tmp_path / "cache"


class Builder:
    def __init__(self, fill: int = 7) -> None:
        self.calls, self.fill = 0, fill

    def __call__(self) -> cache.Arrays:
        self.calls += 1
        return {"pictures": np.full((5, 4, 4, 3), self.fill, np.uint8), "labels": np.arange(5)}


def same(one: cache.Arrays, other: cache.Arrays) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_what_was_built_once_comes_from_disk():
    build = Builder()
    first, second = (cache.remembered("source", "settings", build) for _ in range(2))
    assert build.calls == 1
    assert same(first, second)
    assert same(second, Builder()())
    assert isinstance(second["pictures"], np.memmap)


def test_what_is_written_to_a_mapped_array_stays_with_the_writer():
    arrays = cache.remembered("source", "settings", Builder())
    torch.from_numpy(arrays["pictures"]).fill_(0)
    assert cache.remembered("source", "settings", Builder())["pictures"].min() == 7


@pytest.mark.parametrize("key", [("other", "settings"), ("source", "other")])
def test_another_source_or_setting_is_another_entry(key):
    cache.remembered("source", "settings", Builder())
    assert cache.remembered(*key, Builder(9))["pictures"].max() == 9
    assert cache.remembered("source", "settings", Builder())["pictures"].max() == 7


@pytest.mark.parametrize("part", ["pictures.npy", "labels.npy", "json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "delete"])
def test_damage_is_noticed_and_repaired(folder, part, harm):
    build = Builder()
    cache.remembered("source", "settings", build)
    [path] = folder.glob(f"*.{part}")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    changed = {"flip": bytes(content), "cut": bytes(content[:-3]), "empty": b""}
    if harm == "delete":
        path.unlink()
    else:
        path.write_bytes(changed[harm])
    assert same(cache.remembered("source", "settings", build), Builder()())
    assert build.calls == 2
    assert same(cache.remembered("source", "settings", build), Builder()())
    assert build.calls == 2


def test_damage_anywhere_in_a_file_is_noticed(folder):
    cache.remembered("source", "settings", Builder())
    for path in folder.iterdir():
        sound = path.read_bytes()
        for at in range(0, len(sound), 3):
            path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x15]) + sound[at + 1 :])
            build = Builder()
            assert same(cache.remembered("source", "settings", build), Builder()())
            path.write_bytes(sound)


def test_what_was_used_longest_ago_makes_room(folder, monkeypatch):
    import os

    monkeypatch.setattr(cache, "MAX_BYTES", 1300)  # two entries of about 570 bytes
    for number, name in enumerate("abc"):
        cache.remembered(name, "", Builder())
        for path in folder.glob("*"):
            moved = path.stat().st_mtime - 100 * (3 - number)
            os.utime(path, (moved, moved))
    a, b, c = (Builder() for _ in range(3))
    for name, build in (("c", c), ("b", b)):
        cache.remembered(name, "", build)
    assert (b.calls, c.calls) == (0, 0)
    cache.remembered("a", "", a)
    assert a.calls == 1
    assert sum(path.stat().st_size for path in folder.glob("*")) <= 1300


def test_a_disk_that_takes_nothing_is_no_reason_to_fail(folder):
    folder.write_text("a file in the way")
    build = Builder()
    for _ in range(2):
        assert same(cache.remembered("source", "settings", build), Builder()())
    assert build.calls == 2


def test_nothing_half_written_is_left_when_building_fails(folder):
    def fail() -> cache.Arrays:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.remembered("source", "settings", fail)
    assert not folder.exists() or not list(folder.iterdir())
