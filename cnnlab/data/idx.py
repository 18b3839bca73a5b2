"""The IDX format of MNIST and its kin: a head of a few big-endian numbers, then plain bytes.

Format: Y. LeCun, C. Cortes and C. Burges, THE MNIST DATABASE of handwritten digits, at the end.
"""

import gzip
from pathlib import Path

import numpy as np
import torch

from cnnlab.data import cache, files
from cnnlab.data.dataset import Gathered, Progress
from cnnlab.data.files import RemoteFile
from cnnlab.downloading import Cancelled
from cnnlab.errors import InputRejected

_UNSIGNED_BYTES = 0x08


def read_idx(content: bytes, name: str) -> np.ndarray:
    """The array in an IDX file of unsigned bytes; a view of `content`.

    Args:
        content: The whole file, no longer compressed.
        name: What to call it where it is refused.

    Raises:
        InputRejected: It is no such file, or cut off.
    """
    dimensions = content[3] if len(content) >= 4 else 0
    begin = 4 + 4 * dimensions
    shape = tuple(np.frombuffer(content[4:begin], dtype=">u4").astype(int).tolist()) if len(content) >= begin else ()
    if content[:3] != bytes((0, 0, _UNSIGNED_BYTES)) or not shape or len(content) != begin + int(np.prod(shape)):
        raise InputRejected(
            f"{name} is damaged or no IDX file of unsigned bytes. Delete it, and the lab fetches it anew."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=begin).reshape(shape)


def read_file(path: Path) -> np.ndarray:
    """The array in a file that may be compressed with gzip.

    Raises:
        InputRejected: It is damaged.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise InputRejected(f"{path} is damaged ({error}). Delete it, and the lab fetches it anew.") from None
    return read_idx(content, str(path))


def is_here(remote: tuple[RemoteFile, ...]) -> bool:
    """Whether all four files lie here, compressed or not."""
    return all(files.find(file.path) or files.find(file.path.removesuffix(".gz")) for file in remote)


def gather_idx(
    remote: tuple[RemoteFile, ...],
    classes: tuple[str, ...],
    progress: Progress | None,
    cancelled: Cancelled | None,
) -> Gathered:
    """Pictures and labels for training and for the test, in four files.

    Args:
        remote: Pictures and labels for training, pictures and labels for the test; compressed. Where all four lie
            here without compression, those are read.
        classes: Names of the classes.
        progress: As in `files.provide`.
        cancelled: Likewise.

    Raises:
        InputRejected: A file that lies here is damaged.
        RunFailed: A file could not be fetched.
        ResourceExhausted: No room on the disk.
    """
    plain = [path for file in remote if (path := files.find(file.path.removesuffix(".gz")))]
    if len(plain) == len(remote):
        arrays = _joined(plain)
    else:
        paths = files.provide(remote, progress, cancelled)
        sums = "".join(file.sha256 for file in remote)
        arrays = cache.remembered(sums, "idx 1", lambda: _joined(paths))
    pictures, labels = arrays["pictures"], arrays["labels"]
    return Gathered(
        pictures=torch.from_numpy(pictures),
        labels=torch.from_numpy(labels),
        classes=classes,
        test=torch.arange(int(arrays["num_train"][0]), len(labels)),
    )


def _joined(paths: list[Path]) -> dict[str, np.ndarray]:
    train, train_labels, test, test_labels = (read_file(path) for path in paths)
    for pictures, labels, path in ((train, train_labels, paths[0]), (test, test_labels, paths[2])):
        if pictures.ndim != 3 or labels.shape != pictures.shape[:1]:
            raise InputRejected(
                f"{path} and its labels do not belong together: {pictures.shape} and {labels.shape}. Delete both, and "
                "the lab fetches them anew."
            )
    return {
        "pictures": np.concatenate([train, test])[:, :, :, None],
        "labels": np.concatenate([train_labels, test_labels]).astype(np.int64),
        "num_train": np.array([len(train)]),
    }
