"""Unpacked pictures kept on disk, so that the second start need not unpack them again.

For published data sets only: people's own pictures never come here. An entry is one `.npy` file per array and a
`.json` that is written last and names their checksums. What does not agree with it is as good as not there.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnnlab.settings import data_dir

MAX_BYTES = 4_000_000_000
"""Of all entries together; those used longest ago make room."""

_STALE_S = 24 * 3600.0

Arrays = dict[str, np.ndarray]


def remembered(source: str, settings: str, build: Callable[[], Arrays]) -> Arrays:
    """What `build` gives, from disk where it was built before.

    A disk that is full or read-only is no reason to fail: then nothing is kept.

    Args:
        source: Checksum of what is unpacked, in hex.
        settings: All else that the result depends on, the version of the code included.
        build: Makes the arrays, contiguous and by name.

    Returns:
        The arrays; those from disk are mapped, and what is written to them stays with the writer.
    """
    key = hashlib.sha256(f"{source}\n{settings}".encode()).hexdigest()[:32]
    folder = data_dir() / "cache"
    found = _load(folder, key)
    if found is not None:
        return found
    built = build()
    with contextlib.suppress(OSError):
        _store(folder, key, built)
        _make_room(folder)
        return _load(folder, key) or built
    return built


def _load(folder: Path, key: str) -> Arrays | None:
    index = folder / f"{key}.json"
    try:
        sums: dict[str, int] = json.loads(index.read_text())
        paths = {name: folder / f"{key}.{name}.npy" for name in sums}
        if any(_checksum(paths[name]) != checksum for name, checksum in sums.items()):
            return None
        # Copy on write: PyTorch takes only arrays that may be written to.
        arrays = {name: np.load(path, mmap_mode="c") for name, path in paths.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # of files that are gone, cut off or no JSON of ours
        return None
    with contextlib.suppress(OSError):  # a folder that may only be read
        index.touch()
    return arrays


def _store(folder: Path, key: str, arrays: Arrays) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if sum(array.nbytes for array in arrays.values()) > MAX_BYTES:
        return
    sums = {}
    for name, array in arrays.items():
        path = folder / f"{key}.{name}.npy"
        _write(path, lambda path, array=array: np.save(path, array, allow_pickle=False))
        sums[name] = _checksum(path)
    _write(folder / f"{key}.json", lambda path: path.write_text(json.dumps(sums)))


def _checksum(path: Path) -> int:
    return zlib.crc32(np.memmap(path, mode="r").data)


def _write(path: Path, fill: Callable[[Path], object]) -> None:
    """Fill a file beside it, then take its place in one step."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        fill(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _make_room(folder: Path) -> None:
    """Delete what was used longest ago until the rest is small enough, and what a killed lab has left."""
    for left in folder.glob(".*"):
        if time.time() - left.stat().st_mtime > _STALE_S:
            left.unlink(missing_ok=True)
    indices = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    kept = 0
    for index in indices:
        files = list(folder.glob(f"{index.stem}.*"))
        kept += sum(path.stat().st_size for path in files)
        if kept > MAX_BYTES:
            for path in [index, *files]:
                path.unlink(missing_ok=True)
