"""Files that are there wholly or not at all, and what a disk has against them in words."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnnlab.errors import ResourceExhausted


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the file, then take its place in one step. After a crash there is the old one or the new one.

    Raises:
        OSError: What the disk has against it; the old file is still there and nothing is left beside it.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def disk_in_words(failed: str, *, to_delete: str) -> Iterator[None]:
    """Say in words what the disk has against what is done inside.

    Args:
        failed: What does not work then: "The net could not be saved".
        to_delete: What people may delete here to make room: "saved nets".

    Raises:
        ResourceExhausted: In place of any OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"the disk is full. Make room on it, or delete {to_delete}"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            reason = "the lab may not use its data folder. Allow it, or set CNNLAB_DATA_DIR to a folder it may write to"
        else:
            reason = f"the disk answers: {error.strerror or error}. Set CNNLAB_DATA_DIR to another folder"
        raise ResourceExhausted(f"{failed}: {reason}.") from error
