"""The files of published data sets: found where they lie already, fetched where they do not.

Copies are looked for in `datasets` in the data directory, where fetched ones go, and in the data directory itself,
which may be a folder that torchvision has filled.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnlab.data.dataset import Progress
from cnnlab.downloading import Cancelled, download
from cnnlab.settings import data_dir


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that can be fetched.

    Attributes:
        path: Where it lies below `datasets`: "MNIST/raw/train-images-idx3-ubyte.gz", as torchvision has it.
        url: Where it comes from.
        sha256: Of the whole file, 64 hex digits.
        num_bytes: Its size.
    """

    path: str
    url: str
    sha256: str
    num_bytes: int


def find(path: str) -> Path | None:
    """The first copy of a file, or None where there is none.

    Args:
        path: Relative to the folders that are looked into.
    """
    return next((root / path for root in (data_dir() / "datasets", data_dir()) if (root / path).is_file()), None)


def is_whole(path: Path, sha256: str) -> bool:
    """Whether a file has the checksum it should have."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def provide(
    files: Sequence[RemoteFile], progress: Progress | None = None, cancelled: Cancelled | None = None
) -> list[Path]:
    """Where each of these files lies, in this order; those that are nowhere, or damaged, are fetched.

    A damaged copy of ours is deleted. A damaged one elsewhere is left alone, and another is fetched beside it.

    Args:
        files: What is needed.
        progress: Called with "downloading", the bytes received of all that is fetched, and their sum.
        cancelled: Asked again and again while fetching; True ends it.

    Raises:
        RunFailed: One could not be fetched; says why and what to do.
        ResourceExhausted: No room on the disk.
    """
    lying = {file: path for file in files if (path := find(file.path)) and is_whole(path, file.sha256)}
    missing = [file for file in files if file not in lying]
    total, before = sum(file.num_bytes for file in missing), 0
    for file in missing:
        path = data_dir() / "datasets" / file.path
        path.unlink(missing_ok=True)  # A damaged one: the downloader takes what is there for what is wanted.
        done = before
        download(
            file.url,
            path,
            sha256=file.sha256,
            num_bytes=file.num_bytes,
            progress=progress and (lambda received, _, done=done: progress("downloading", done + received, total)),
            cancelled=cancelled,
        )
        before += file.num_bytes
        lying[file] = path
    return [lying[file] for file in files]
