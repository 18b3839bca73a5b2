import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from cnnlab.data import PictureSet, SetLimits
from cnnlab.errors import InputRejected, ResourceExhausted, RunFailed
from cnnlab.images import decode
from tests.conftest import ROOT
from tests.unit.data.making import noise_jpeg, png, zipped


def pets(count=5, offset=0):
    return [
        (f"{animal}/{n}.png", png(offset + base + n))
        for animal, base in (("cat", 0), ("dog", 100))
        for n in range(count)
    ]


def test_a_zip_becomes_a_data_set():
    decoded = PictureSet.from_zip(zipped(pets())).decode(8)
    dataset = decoded.dataset
    assert dataset.classes == ("cat", "dog")
    assert dataset.pictures.shape == (10, 8, 8, 3)
    assert dataset.pictures.is_contiguous()
    assert dataset.labels.tolist() == [0] * 5 + [1] * 5
    assert dataset.pictures[:, 4, 4, 0].tolist() == [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]
    assert decoded.names[5] == "dog/0.png"
    assert decoded.skipped == ()


def test_several_files_become_the_same_as_a_zip():
    files = [(f"{name.replace('/', '.')}", data) for name, data in pets()]
    one, other = PictureSet.from_files(files).decode(8), PictureSet.from_zip(zipped(pets())).decode(8)
    assert one.dataset.classes == other.dataset.classes
    assert np.array_equal(one.dataset.pictures, other.dataset.pictures)


def test_the_preview_counts_and_names_what_is_odd():
    odd = [
        ("cat/notes.txt", b"no picture"),
        ("cat/cut.jpg", noise_jpeg(1)[:40]),
        ("__MACOSX/cat/._0.png", b""),
        ("readme.md", b"hello"),
        ("lost.png", png(77)),
    ]
    found = PictureSet.from_zip(zipped(pets(6) + odd)).preview()
    assert found.counts == {"cat": 6, "dog": 6}
    reasons = {one.name: one.reason for one in found.odd}
    assert reasons.keys() == {name for name, _ in odd}
    assert "no folder" in reasons["lost.png"]
    assert "hidden" in reasons["__MACOSX/cat/._0.png"]
    assert "damaged" in reasons["cat/cut.jpg"]
    assert found.sizes == (((10, 12), 12),)
    assert found.imbalance == 1
    assert found.labelling.rule == "folder"


def test_what_is_there_twice_counts_once_and_what_has_two_labels_not_at_all():
    files = [*pets(6), ("cat/again.png", png(2)), ("dog/cat.png", png(4))]
    pictures = PictureSet.from_zip(zipped(files))
    found = pictures.preview()
    assert found.counts == {"cat": 5, "dog": 6}
    assert found.duplicates == (("cat/2.png", "cat/again.png"),)
    assert found.conflicts == (("cat/4.png", "dog/cat.png"),)
    assert found.imbalance == pytest.approx(6 / 5)
    decoded = pictures.decode(8)
    assert {
        name: list(decoded.dataset.class_counts())[number] for number, name in enumerate(decoded.dataset.classes)
    } == (found.counts)
    assert {one.name for one in decoded.skipped} == {"cat/again.png", "cat/4.png", "dog/cat.png"}
    # Names and pictures still belong together.
    levels = dict(zip(decoded.names, decoded.dataset.pictures[:, 0, 0, 0].tolist(), strict=True))
    assert levels["cat/5.png"] == 5
    assert levels["dog/0.png"] == 100


def test_broken_files_are_skipped_and_named():
    # Sound in structure, so that only unpacking shows what is wrong.
    broken = bytearray(png(3, (60, 60)))
    broken[-20] ^= 0xFF
    decoded = PictureSet.from_zip(zipped([*pets(), ("cat/broken.png", bytes(broken))])).decode(8)
    assert [one.name for one in decoded.skipped] == ["cat/broken.png"]
    assert "damaged" in decoded.skipped[0].reason
    assert len(decoded.dataset.labels) == 10


def test_labels_can_be_told_another_way():
    files = [
        (f"{part}/{animal}.{n}.png", png(10 * i + j + n))
        for i, part in enumerate("ab")
        for j, animal in ((0, "cat"), (100, "dog"))
        for n in range(3)
    ]
    pictures = PictureSet.from_files(files)
    assert pictures.decode(8).dataset.classes == ("a", "b")
    assert pictures.labelled_by("prefix").decode(8).dataset.classes == ("cat", "dog")
    with pytest.raises(InputRejected, match="folder, prefix"):
        pictures.labelled_by("colour")  # type: ignore[arg-type]


def test_a_folder_called_test_is_the_test_part():
    files = [
        (f"{part}/{name}", data) for part, offset in (("train", 0), ("test", 20)) for name, data in pets(4, offset)
    ]
    decoded = PictureSet.from_zip(zipped(files)).decode(8)
    assert decoded.dataset.classes == ("cat", "dog")
    assert {decoded.names[index] for index in decoded.dataset.splits.test} == {
        name for name, _ in files if name.startswith("test/")
    }


def test_pictures_are_resized_and_cut_in_the_middle():
    # 40 × 20 px, the middle half green: at a side of 10 just that half is left.
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:30, 1] = 200
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    files = [*pets(), ("cat/wide.png", stream.getvalue())]
    decoded = PictureSet.from_files(files).decode(10)
    wide = decoded.dataset.pictures[decoded.names.index("cat/wide.png")]
    assert wide[:, 1:-1, 1].min() == 200
    assert wide[:, :, 0].max() == 0


@pytest.mark.parametrize("side", [7, 513, -1])
def test_senseless_sides_are_refused(side):
    with pytest.raises(InputRejected, match="8 to 512 px"):
        PictureSet.from_files(pets()).decode(side)


def test_too_much_is_refused_with_the_side_that_fits():
    pictures = PictureSet.from_files(pets(), limits=SetLimits(max_pixel_bytes=10 * 30 * 30 * 3))
    with pytest.raises(ResourceExhausted, match="Take 30 px or less"):
        pictures.decode(64)
    pictures.decode(30)


def test_one_class_is_refused_with_what_to_do():
    with pytest.raises(InputRejected, match=r"1 class\(es\)"):
        PictureSet.from_files([("cat/1.png", png(1)), ("cat/2.png", png(2))]).decode(8)


def test_nothing_of_use_is_refused_with_the_reasons():
    with pytest.raises(InputRejected, match=r"\.hidden: it is hidden"):
        PictureSet.from_zip(zipped([(".hidden", b"")]))


def test_both_ways_can_be_cancelled():
    pictures = PictureSet.from_files(pets(100))
    told = []
    for work in (pictures.preview, lambda **how: pictures.decode(8, **how)):
        told.clear()
        with pytest.raises(RunFailed, match="cancelled"):
            work(progress=lambda *said: told.append(said), cancelled=lambda: True)
        assert len(told) == 1


def test_nothing_touches_the_disk():
    # In a process of its own, since what listens to opened files cannot be taken off again.
    script = """
import os, sys
from cnnlab.data import PictureSet
from tests.conftest import ROOT
from tests.unit.data.making import noise_jpeg, png, zipped

source = zipped([(f"{name}/{n}.{kind}", make(n + 50 * i)) for i, name in enumerate(("cat", "dog")) for n in range(9)
                 for kind, make in (("png", png), ("jpg", noise_jpeg))])

def listen(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        raise AssertionError(f"{arguments[0]} is written to")
    assert not event.startswith(("tempfile.", "os.mkdir", "os.rename")), (event, arguments)

sys.addaudithook(listen)
pictures = PictureSet.from_zip(source)
print(len(pictures.preview().counts), len(pictures.decode(8).dataset.labels))
try:
    open(os.devnull, "w")
except AssertionError:
    print("heard")
"""
    told = subprocess.run([sys.executable, "-B", "-c", script], text=True, capture_output=True, cwd=ROOT, check=False)
    assert told.stdout.split() == ["2", "36", "heard"], told.stderr


def test_real_photographs(photographs):
    with photographs.open("rb") as file:
        pictures = PictureSet.from_zip(file)
        found = pictures.preview()
        assert found.counts == {"cat": 700, "dog": 699}
        assert found.labelling.rule == "prefix"
        assert found.odd == found.duplicates == found.conflicts == ()
    with zipfile.ZipFile(photographs) as archive:
        names = [f"{animal}.{n}.jpg" for animal in ("cat", "dog") for n in range(12)]
        files = [(name, archive.read(name)) for name in names]
    decoded = PictureSet.from_files(files).decode(64)
    assert decoded.dataset.pictures.shape == (24, 64, 64, 3)
    sizes = {decode(data).pixels.shape[:2] for _, data in files}
    assert {size for size, _ in PictureSet.from_files(files).preview().sizes} == sizes
