import io
import random
import threading
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnnlab.data.archives import Member, members_of_zip
from cnnlab.data.unpacking import digest, square, unpack, unpack_all
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.images import decode
from tests.conftest import DATA
from tests.unit.data.making import noise_jpeg, png


def member(data: bytes) -> Member:
    return Member("it", len(data), lambda: data)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def outcome(way, data: bytes) -> object:
    """The pixels, or why not."""
    try:
        return way(data).tolist()
    except InputRejected as refusal:
        return str(refusal)


FILES = {
    "baseline": noise_jpeg(0),
    "odd size": noise_jpeg(1, (33, 17), quality=30),
    "one pixel": noise_jpeg(2, (1, 1)),
    "full chroma": noise_jpeg(3, subsampling=0),
    "grey": noise_jpeg(4, mode="L"),
    "CMYK": noise_jpeg(5, mode="CMYK"),
    "RGB": noise_jpeg(6, keep_rgb=True),
    "progressive": noise_jpeg(7, progressive=True),
    "restarts": noise_jpeg(8, restart_marker_blocks=2),
    "on its side": noise_jpeg(9, exif=exif(6)),
    "more behind": noise_jpeg(10) + b"and more",
    "PNG": png(9),
    "GIF": png(9, kind="GIF"),
    "BMP": png(9, kind="BMP"),
    "WebP": png(9, kind="WEBP"),
}


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_the_intake(name):
    assert np.array_equal(unpack(FILES[name]), decode(FILES[name]).pixels)


@settings(max_examples=300)
@given(
    st.sampled_from(["baseline", "grey", "restarts", "odd size"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0.2, 1),
)
def test_damaged_files_fare_as_at_the_intake(name, changes, kept):
    data = bytearray(FILES[name])
    for where, value in changes:
        data[int(where * len(data))] = value
    data = bytes(data[: int(kept * len(data))])
    assert outcome(unpack, data) == outcome(lambda data: decode(data).pixels, data)


def test_real_pictures_come_out_as_at_the_intake(photographs):
    with zipfile.ZipFile(photographs) as archive:
        for name in random.Random(0).sample(archive.namelist(), 25):
            data = archive.read(name)
            assert np.array_equal(unpack(data), decode(data).pixels)


def test_a_square_by_hand():
    # 6 × 2 px in columns of 0, 50 … 250: the shorter side is right already, the middle two columns are kept.
    pixels = np.broadcast_to(np.arange(0, 300, 50, dtype=np.uint8)[None, :, None], (2, 6, 3))
    assert square(pixels, 2)[0, :, 0].tolist() == [100, 150]


@pytest.mark.parametrize("size", [(7, 5), (64, 3), (500, 374), (8, 8), (9, 8), (1, 1)])
def test_squares_are_square(size):
    assert square(np.zeros((*size, 3), np.uint8), 8).shape == (8, 8, 3)


@pytest.mark.parametrize("threads", [1, 3])
def test_every_file_lands_in_its_place_whatever_the_threads(threads):
    # More than threads can take at a time, and no multiple of what they take.
    files = [png(number % 256, (12, 12 + number // 256)) for number in range(1001)]
    files[5] = files[700] = b"no picture"
    told = []
    unpacked = unpack_all(
        [member(data) for data in files], 12, threads=threads, progress=lambda *said: told.append(said)
    )
    assert sorted(unpacked.faults) == [5, 700]
    assert "PNG" in unpacked.faults[5]
    assert unpacked.indices == [number for number in range(1001) if number not in (5, 700)]
    assert unpacked.pictures[:, 6, 6, 0].tolist() == [number % 256 for number in unpacked.indices]
    assert unpacked.digests == [digest(files[number]) for number in unpacked.indices]
    assert told[-1] == ("unpacking", 1001, 1001)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_cancelling_stops_soon():
    read = []
    data = png(1)

    def reading() -> bytes:
        read.append(threading.get_ident())
        return data

    members = [Member("it", len(data), reading)] * 20_000
    with pytest.raises(RunFailed, match="cancelled"):
        unpack_all(members, 8, threads=2, cancelled=lambda: True)
    assert len(read) <= 64 * 6


def test_a_fault_of_ours_is_not_taken_for_a_broken_picture():
    def fail() -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        unpack_all([Member("it", 1, fail)], 8)


def test_a_thousand_of_cifar10_come_out_as_pillow_gives_them():
    path = DATA / "cifar10-jpeg.zip"
    if not path.exists():
        pytest.skip(f"no CIFAR-10 at {path}; set CNNLAB_TEST_DATA to a folder that holds it")
    with path.open("rb") as file:
        members, _ = members_of_zip(file)
        assert len(members) == 60_000
        members = random.Random(0).sample(members, 1000)
        unpacked = unpack_all(members, 32)
        for one, pixels in zip(members, unpacked.pictures, strict=True):
            assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(one.read())).convert("RGB")))
