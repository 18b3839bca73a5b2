"""Files in a zip from a stranger, read in memory and never unpacked to disk.

What a zip says of itself is checked before anything is unpacked: how many files, how large, packed how tightly. What
is no ordinary file, or would be no ordinary file anywhere else, is left out with the reason.
"""

import functools
import io
import re
import stat
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO

from cnnlab.errors import InputRejected
from cnnlab.images import LIMITS

_ENTRY_SIGNATURE = b"PK\x01\x02"
_ENCRYPTED = 0x1
_SMALL = 1_000_000  # Drawings in few colours pack very tightly; so small they do no harm.
_HIDDEN = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
_NESTED = (".zip", ".gz", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar")


ZipSource = bytes | bytearray | memoryview | IO[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimits:
    """What a set of pictures may cost.

    Attributes:
        max_files: In a zip or in one upload.
        max_file_bytes: Of each, once unpacked from the zip.
        max_total_bytes: Of all together, likewise.
        max_ratio: How many times smaller a file of more than 1 MB may be inside the zip.
        max_pixel_bytes: Of all pictures, resized, in memory.
    """

    max_files: int = 100_000
    max_file_bytes: int = LIMITS.max_bytes
    max_total_bytes: int = 4_000_000_000
    max_ratio: int = 100
    max_pixel_bytes: int = 4_000_000_000


SET_LIMITS = SetLimits()


@dataclass(frozen=True, slots=True)
class Member:
    """A file that may be a picture.

    Attributes:
        name: With its folders, slashes between them.
        num_bytes: Its size.
        read: Gives its bytes; raises InputRejected where they are damaged. Any number of threads may call it.
    """

    name: str
    num_bytes: int
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out.

    Attributes:
        name: With its folders.
        reason: In plain words.
    """

    name: str
    reason: str


def members_of_zip(source: ZipSource, limits: SetLimits = SET_LIMITS) -> tuple[list[Member], list[Skipped]]:
    """The files in a zip that may be pictures, and those that are left out.

    Args:
        source: The zip, as bytes or as an open file that can seek; the latter must stay open while members are read.
        limits: What it may cost.

    Raises:
        InputRejected: It is no zip, it is damaged, or it holds too much.
    """
    file = io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
    stream = _Guarded(file, limits.max_files)
    try:
        archive = zipfile.ZipFile(stream)  # pyright: ignore[reportArgumentType]
        infos = archive.infolist()
    except InputRejected:
        raise
    except Exception as error:  # noqa: BLE001  Bytes from strangers make the library raise anything at all.
        raise InputRejected(
            f"This is no zip archive, or it is damaged ({error}). Pack the pictures into a .zip file once more."
        ) from None
    stream.is_open = True
    total = sum(info.file_size for info in infos)
    if total > limits.max_total_bytes:
        raise InputRejected(
            f"Unpacked, this zip would take {total / 1e6:,.0f} MB; the lab takes up to "
            f"{limits.max_total_bytes / 1e6:,.0f} MB. Leave some pictures out or make them smaller."
        )
    infos = [info for info in infos if not info.filename.endswith("/")]  # is_dir() fails where there is no name
    if len(infos) > limits.max_files:
        raise _too_many(limits.max_files)
    members, skipped = [], []
    seen: set[str] = set()
    for info in infos:
        reason = _fault_of_entry(info, limits) or fault_of_name(info.filename)
        if not reason and info.filename in seen:
            reason = "another file in this zip has the same name"
        if reason:
            skipped.append(Skipped(_printable(info.filename), reason))
            continue
        seen.add(info.filename)
        members.append(Member(info.filename, info.file_size, functools.partial(_read, archive, info)))
    return members, skipped


def members_of_files(
    files: Iterable[tuple[str, bytes]], limits: SetLimits = SET_LIMITS
) -> tuple[list[Member], list[Skipped]]:
    """The same for files that were given one by one, as name and bytes.

    Raises:
        InputRejected: They are too many or too large together.
    """
    members, skipped = [], []
    seen: set[str] = set()
    total = 0
    for count, (name, data) in enumerate(files, start=1):
        total += len(data)
        if count > limits.max_files or total > limits.max_total_bytes:
            raise InputRejected(
                f"These are more than {limits.max_files:,} files or {limits.max_total_bytes / 1e6:,.0f} MB, which is "
                "what the lab takes at once. Leave some pictures out."
            )
        reason = fault_of_name(name)
        if not reason and name in seen:
            reason = "another of these files has the same name"
        if not reason and len(data) > limits.max_file_bytes:
            reason = _too_large(len(data), limits)
        if reason:
            skipped.append(Skipped(_printable(name), reason))
            continue
        seen.add(name)
        members.append(Member(name, len(data), functools.partial(bytes, data)))
    return members, skipped


def fault_of_name(name: str) -> str:
    """Why a file of this name is left out, or ""."""
    parts = name.lower().split("/")  # not as a Path, which takes ten times as long
    if not name:
        return "it has no name"
    if name.startswith("/") or ".." in parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        return "its name leads out of the folder"
    if any(part in _HIDDEN or (part.startswith(".") and part != ".") for part in parts):
        return "it is hidden, or written by the system for itself"
    if not name.isprintable() or len(name) > 1000:
        return "its name holds control characters or is longer than 1,000"
    if parts[-1].endswith(_NESTED):
        return "it is an archive itself; unpack it and pack the pictures alone"
    return ""


def _fault_of_entry(info: zipfile.ZipInfo, limits: SetLimits) -> str:
    if info.flag_bits & _ENCRYPTED:
        return "it is protected by a password; pack it without one"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "it is a link or a device, no file"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is packed in an uncommon way; pack the zip with the ordinary method (deflate)"
    if info.file_size > limits.max_file_bytes:
        return _too_large(info.file_size, limits)
    if info.file_size > max(_SMALL, limits.max_ratio * info.compress_size):
        return f"it is packed {info.file_size // max(info.compress_size, 1):,} times smaller, as no photograph is"
    return ""


def _too_many(max_files: int) -> InputRejected:
    return InputRejected(f"This zip holds more than {max_files:,} files, the most that the lab takes. Leave some out.")


def _too_large(num_bytes: int, limits: SetLimits) -> str:
    return f"it is {num_bytes / 1e6:,.1f} MB; a picture may have {limits.max_file_bytes / 1e6:g} MB"


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # Asked for the size that was declared and checked, it unpacks no more than that and compares the checksum. Asked
    # for everything, it would unpack all there is and cut it off then.
    try:
        with archive.open(info) as file:
            return file.read(info.file_size)
    except Exception:  # noqa: BLE001  As above.
        raise InputRejected("It is damaged inside the zip. Pack it once more.") from None


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)[:200]


class _Guarded:
    """A file from which `zipfile` cannot take a list of contents with more entries than are allowed.

    It reads the list in one piece and makes an object of half a kilobyte of each entry, of which 20 MB of zip can hold
    400,000. The number of entries that the zip declares elsewhere may be a lie; the entries' signatures are not.
    """

    def __init__(self, file: IO[bytes], max_files: int) -> None:
        self._file = file
        self._max_files = max_files
        self.is_open = False
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if not self.is_open and data.count(_ENTRY_SIGNATURE) > 2 * self._max_files:  # folders are entries, too
            raise _too_many(self._max_files)
        return data
