"""Saved nets on disk: one JSON file each, in a folder of their owner.

A file is named by a hash of the net's name, which stands in the file itself: so names may be of any script, differ in
case alone, or be a word that a file system keeps for itself.
"""

import hashlib
import re
import threading
import unicodedata
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from cnnlab import settings
from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.nets.spec import NetSpec, SpecError, from_json, to_json
from cnnlab.nets.spec.formats import MAX_TEXT
from cnnlab.storing import disk_in_words, write_whole

MAX_NETS = 50
"""Of one owner."""

_OWNER = re.compile(r"[0-9a-z]{8,64}")
_STEM = re.compile(r"[0-9a-z-]{1,60}")
_PUNCTUATION = " -_.,()+×"
# Counting the nets and adding one must not be interleaved with another tab doing the same.
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Saved:
    """A line in the list of saved nets.

    Args:
        name: Of the net; for a damaged file, that of the file.
        fault: Why it cannot be loaded, or "".
    """

    name: str
    fault: str = ""


def save(owner: str, spec: NetSpec) -> str:
    """Keep a net under its name, in place of one that had it. After a crash there is the old one or the new one.

    Args:
        owner: Whose it is: 8 to 64 digits and small letters.
        spec: With a name of letters of any script, digits, spaces and `-_.,()+×`.

    Returns:
        The name under which it is kept: letters with accents are written one way.

    Raises:
        InputRejected: The name cannot be used.
        ResourceExhausted: The owner has 50 nets already, the disk is full, or it cannot be written to.
    """
    spec = replace(spec, name=_checked_name(spec.name))
    folder = _folder(owner)
    path = folder / _file_name(spec.name)
    with _lock, _disk("saved"):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists() and len(_files(folder)) >= MAX_NETS:
            raise ResourceExhausted(
                f"You have {MAX_NETS} saved nets, which is all there is room for. Delete one first."
            )
        write_whole(path, to_json(spec).encode())
    return spec.name


def names(owner: str) -> tuple[Saved, ...]:
    """What the owner has saved, in alphabetical order; damaged files say so.

    Raises:
        ResourceExhausted: The disk cannot be read.
    """
    with _disk("listed"):
        looked_at = [_looked_at(path) for path in _files(_folder(owner))]
    saved = [one for one in looked_at if one]
    return tuple(sorted(saved, key=lambda one: (one.name.casefold(), one.name)))


def exists(owner: str, name: str) -> bool:
    """Whether a net can be loaded by that name: cheaper than going through the list.

    Raises:
        ResourceExhausted: The disk cannot be read.
    """
    with _disk("looked up"):
        path = _path(owner, name)
        found = path and _looked_at(path)
    return found is not None and not found.fault


def load(owner: str, name: str) -> NetSpec:
    """Bring back a net.

    Raises:
        InputRejected: There is none of that name, or its file is damaged.
        ResourceExhausted: The disk cannot be read.
    """
    with _disk("loaded"):
        path = _path(owner, name)
        if path is None:
            raise InputRejected(f"There is no saved net called {name!r}. Choose one from the list.")
        try:
            return _read(path)
        except SpecError as error:
            raise InputRejected(f"The saved net {name!r} is damaged. Delete it and save it anew.\n{error}") from None


def delete(owner: str, name: str) -> None:
    """Forget a net, also a damaged one by the name in the list. One that is gone already is no error.

    Raises:
        ResourceExhausted: The disk cannot be written to.
    """
    with _disk("deleted"):
        path = _path(owner, name)
        if path is not None:
            path.unlink(missing_ok=True)


def _folder(owner: str) -> Path:
    if not _OWNER.fullmatch(owner):
        raise InputRejected("This is not the id of an owner: 8 to 64 digits and small letters. Reload the page.")
    return settings.data_dir() / "nets" / owner


def _checked_name(name: str) -> str:
    # One form for é, which can be one character or two.
    name = unicodedata.normalize("NFC", name)
    strange = [one for one in name if unicodedata.category(one)[0] not in "LMN" and one not in _PUNCTUATION]
    if strange or not name:
        raise InputRejected(
            f"A saved net needs a name of letters, digits, spaces and {_PUNCTUATION.strip()}"
            f"{f', without {strange[0]!r}' if strange else ''}. Choose another name."
        )
    return name


def _file_name(name: str) -> str:
    readable = re.sub(r"[^0-9a-z]+", "-", name.lower()).strip("-")[:40]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json".lstrip("-")


def _path(owner: str, name: str) -> Path | None:
    """The file of a net, or of what the list calls by the name of its file; None where there is neither."""
    folder = _folder(owner)
    candidates = [_file_name(unicodedata.normalize("NFC", name))]
    if _STEM.fullmatch(name):
        candidates.append(f"{name}.json")
    return next((folder / one for one in candidates if (folder / one).is_file()), None)


def _files(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except FileNotFoundError:  # nothing was ever saved
        return []
    return [path for path in entries if path.suffix == ".json" and _STEM.fullmatch(path.stem) and path.is_file()]


def _looked_at(path: Path) -> Saved | None:
    """What the list says of a file; None for one that another tab has just deleted."""
    try:
        now = path.stat()
        return _checked(path, now.st_mtime_ns, now.st_size)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Saved(path.stem, f"The file cannot be read: {error.strerror}.")


# Reading and checking a net of 300 layers takes 5 ms, and pages ask for the list on every run.
@lru_cache(maxsize=4096)
def _checked(path: Path, _mtime_ns: int, _size: int) -> Saved:
    """What the list says of a file as it was at that time."""
    try:
        name = _read(path).name
    except SpecError as error:
        return Saved(path.stem, f"The file is damaged: {error}")
    if _file_name(name) != path.name:
        return Saved(path.stem, f"The file holds a net called {name!r}, which belongs in another file.")
    return Saved(name)


def _read(path: Path) -> NetSpec:
    with path.open("rb") as file:
        # One byte more than any net has: longer files are refused without being read.
        return from_json(file.read(4 * MAX_TEXT + 1).decode(errors="replace"))


def _disk(done: str) -> AbstractContextManager[None]:
    return disk_in_words(f"The net could not be {done}", to_delete="saved nets")
