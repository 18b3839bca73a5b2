import io
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlab.data.archives import SetLimits, fault_of_name, members_of_files, members_of_zip
from cnnlab.errors import InputRejected
from tests.unit.data.making import link, png, zipped


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Bytes that were in use at most, once the block is left."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
    finally:
        peak.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()


def reasons(source, **limits):
    _, skipped = members_of_zip(source, SetLimits(**limits))
    return {one.name: one.reason for one in skipped}


@pytest.mark.parametrize("as_file", [False, True])
def test_members_are_read_in_memory(as_file):
    source = zipped([("cat/1.png", png(1)), ("dog/2.png", png(2))])
    members, skipped = members_of_zip(io.BytesIO(source) if as_file else source)
    assert [(one.name, one.read()) for one in members] == [("cat/1.png", png(1)), ("dog/2.png", png(2))]
    assert [one.num_bytes for one in members] == [len(png(1)), len(png(2))]
    assert skipped == []


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "cat/../../1.png", "/etc/passwd", "C:/windows/1.png", "..\\1.png", "cat\\1.png", "c:1.png"],
)
def test_names_that_lead_out_are_left_out(name):
    assert "leads out of the folder" in fault_of_name(name)


@pytest.mark.parametrize(
    "name", ["__MACOSX/cat/._1.png", "cat/.DS_Store", ".git/1.png", "cat/Thumbs.db", "Desktop.ini", "a/.hidden/1.png"]
)
def test_hidden_files_are_left_out(name):
    assert "hidden" in fault_of_name(name)


@pytest.mark.parametrize("name", ["cat/1.png", "./cat/1.png", "a b/ç/猫.jpg", "cat..1.jpg", "1.", "zip/1.png"])
def test_ordinary_names_are_taken(name):
    assert fault_of_name(name) == ""


def test_what_is_no_ordinary_file_is_left_out():
    files = [
        ("cat/1.png", png(1)),
        (link("cat/link.png"), b"/etc/passwd"),
        ("cat/more.zip", zipped([])),
        ("cat/\x07.png", b""),
    ]
    source = zipped(files)
    found = reasons(source)
    assert "a link" in found["cat/link.png"]
    assert "archive itself" in found["cat/more.zip"]
    assert "control characters" in found["cat/\N{REPLACEMENT CHARACTER}.png"]
    assert len(found) == 3


def test_a_password_is_told():
    source = bytearray(zipped([("cat/1.png", png(1))]))
    source[source.index(b"PK\x01\x02") + 8] |= 1
    assert "password" in reasons(bytes(source))["cat/1.png"]


def test_uncommon_packing_is_left_out():
    source = zipped([("cat/1.png", png(1))], zipfile.ZIP_LZMA)
    assert "uncommon way" in reasons(source)["cat/1.png"]


def test_of_two_files_with_one_name_the_first_is_taken():
    with pytest.warns(UserWarning, match="Duplicate name"):
        source = zipped([("cat/1.png", png(1)), ("cat/1.png", png(2))])
    members, skipped = members_of_zip(source)
    assert len(members) == 1
    assert "same name" in skipped[0].reason


def test_bombs_are_left_out_or_refused():
    bomb = zipped([("cat/1.bmp", bytes(15_000_000)), ("cat/2.bmp", bytes(900_000))])
    assert len(bomb) < 20_000
    found = reasons(bomb)
    assert "times smaller, as no photograph is" in found["cat/1.bmp"]
    assert "cat/2.bmp" not in found, "small drawings of few colours pack as tightly"
    assert "may have 1 MB" in reasons(bomb, max_file_bytes=1_000_000)["cat/1.bmp"]
    with pytest.raises(InputRejected, match="would take 16 MB; the lab takes up to 10 MB"):
        members_of_zip(bomb, SetLimits(max_total_bytes=10_000_000))


def test_a_size_that_lies_is_noticed_when_it_is_read():
    source = bytearray(zipped([("cat/1.bmp", bytes(3_000_000))]))
    at = source.index(b"PK\x01\x02") + 24
    source[at : at + 4] = struct.pack("<I", 1000)
    [member], _ = members_of_zip(bytes(source))
    with peak_memory() as peak, pytest.raises(InputRejected, match="damaged inside the zip"):
        member.read()
    assert peak[0] < 100_000


def test_too_many_files_are_refused_before_they_are_listed():
    source = zipped([(f"{number}", b"") for number in range(5_000)], zipfile.ZIP_STORED)
    with peak_memory() as peak, pytest.raises(InputRejected, match="more than 10 files"):
        members_of_zip(source, SetLimits(max_files=10))
    assert peak[0] < 2 * len(source)
    with pytest.raises(InputRejected, match="more than 4,000 files"):
        members_of_zip(source, SetLimits(max_files=4_000))


@pytest.mark.parametrize("source", [b"", b"no zip at all", zipped([("a/1.png", png())])[:-30]])
def test_what_is_no_zip_is_refused(source):
    with pytest.raises(InputRejected, match="no zip archive, or it is damaged"):
        members_of_zip(source)


SOUND = zipped([("cat/1.png", png(1)), ("dog/2.png", png(2)), ("dog/3.png", png(3))])


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_whatever_is_in_the_bytes_nothing_else_is_raised(changes):
    source = bytearray(SOUND)
    for at, value in changes:
        source[at] = value
    try:
        members, _ = members_of_zip(bytes(source))
        for member in members:
            member.read()
    except InputRejected:
        pass


def test_a_file_without_a_name_is_left_out():
    # In the directory of the archive the name begins with a zero byte, where zipfile cuts it off.
    nameless = bytearray(SOUND)
    nameless[SOUND.rindex(b"cat/1.png")] = 0
    _, skipped = members_of_zip(bytes(nameless))
    assert [one.reason for one in skipped] == ["it has no name"]


def test_files_given_one_by_one_are_looked_at_alike():
    files = [("cat.1.png", b"1"), ("../dog.1.png", b"2"), ("cat.1.png", b"3"), ("cat.2.png", bytes(2000))]
    members, skipped = members_of_files(files, SetLimits(max_file_bytes=1000))
    assert [one.name for one in members] == ["cat.1.png"]
    assert members[0].read() == b"1"
    assert [one.name for one in skipped] == ["../dog.1.png", "cat.1.png", "cat.2.png"]
    for limits in (SetLimits(max_files=3), SetLimits(max_total_bytes=2000)):
        with pytest.raises(InputRejected, match="what the lab takes at once"):
            members_of_files(files, limits)
