"""CIFAR-10, from the archive of plain bytes that its authors offer beside the pickled one.

A row of a batch is one byte of label, then 1,024 bytes each of red, green and blue (https://www.cs.toronto.edu/~kriz/
cifar.html, "Binary version"). The pickled batches that torchvision keeps hold the same rows and are read where they lie
here; they are never unpickled. A zip of the pictures as JPEG files is taken, too; its pixels differ a little, which
costs accuracy.
"""

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import torch

from cnnlab.data import archives, cache, files, pickles
from cnnlab.data.dataset import Gathered, Progress
from cnnlab.data.entry import DatasetEntry
from cnnlab.data.files import RemoteFile
from cnnlab.data.labelling import is_for_test, label_of
from cnnlab.data.unpacking import unpack_all
from cnnlab.downloading import Cancelled
from cnnlab.errors import InputRejected

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = RemoteFile(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    170_052_171,
)
JPEG_ZIP = "cifar10-jpeg.zip"
_SIDE = 32
_PLANE = _SIDE * _SIDE
_ROW = 1 + 3 * _PLANE
_BATCHES = (*(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)),)
_TEST_BATCH = "cifar-10-batches-bin/test_batch.bin"
_PICKLES = (*(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)), "cifar-10-batches-py/test_batch")


def gather_cifar10(progress: Progress | None = None, cancelled: Cancelled | None = None) -> Gathered:
    """50,000 pictures for training and 10,000 for the test.

    The unpacked archive is taken where it lies here, else torchvision's copy, else the archive, else the zip of JPEG
    files; else the archive is fetched.

    Raises:
        InputRejected: What lies here is damaged.
        RunFailed: The archive could not be fetched, or it was cancelled.
        ResourceExhausted: No room on the disk.
    """
    batches = [path for name in (*_BATCHES, _TEST_BATCH) if (path := files.find(name))]
    pickled = [path for name in _PICKLES if (path := files.find(name))]
    jpegs = files.find(JPEG_ZIP)
    if len(batches) == len(_BATCHES) + 1:
        arrays = _parsed({path.name: path.read_bytes() for path in batches}, str(batches[0].parent))
    elif len(pickled) == len(_PICKLES):
        arrays = _parsed({f"{path.name}.bin": _unpickled(path) for path in pickled}, str(pickled[0].parent))
    elif jpegs and not files.find(ARCHIVE.path):
        with jpegs.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        arrays = cache.remembered(checksum, "cifar10 jpeg 1", lambda: _of_jpegs(jpegs, progress, cancelled))
    else:
        [archive] = files.provide([ARCHIVE], progress, cancelled)
        arrays = cache.remembered(
            ARCHIVE.sha256, "cifar10 binary 1", lambda: _parsed(_batches_in(archive), str(archive))
        )
    return Gathered(
        pictures=torch.from_numpy(arrays["pictures"]),
        labels=torch.from_numpy(arrays["labels"]),
        classes=CLASSES,
        test=torch.arange(int(arrays["num_train"][0]), len(arrays["labels"])),
    )


def is_here() -> bool:
    """Whether any copy lies here."""
    return (
        all(map(files.find, (*_BATCHES, _TEST_BATCH)))
        or all(map(files.find, _PICKLES))
        or any(map(files.find, (ARCHIVE.path, JPEG_ZIP)))
    )


def _batches_in(archive: Path) -> dict[str, bytes]:
    """Contents of the batches, by file name; nothing is extracted."""
    wanted = {*_BATCHES, _TEST_BATCH}
    found = {}
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if member.name in wanted and (file := tar.extractfile(member)):
                found[Path(member.name).name] = file.read()
    return found


def _unpickled(path: Path) -> bytes:
    """The rows of a pickled batch, as in the binary version."""
    labels, pixels = pickles.read_batch(path.read_bytes(), str(path))
    rows = np.empty((len(labels), _ROW), dtype=np.uint8)
    rows[:, 0] = labels
    rows[:, 1:] = np.frombuffer(pixels, dtype=np.uint8).reshape(len(labels), -1)
    return rows.tobytes()


def _parsed(contents: dict[str, bytes], where: str) -> dict[str, np.ndarray]:
    names = [Path(name).name for name in (*_BATCHES, _TEST_BATCH)]
    if any(len(contents.get(name, b"")) % _ROW or not contents.get(name) for name in names):
        raise InputRejected(
            f"The batches of CIFAR-10 in {where} are not whole rows of {_ROW:,} bytes. Delete them, and the lab "
            "fetches them anew."
        )
    rows = np.frombuffer(b"".join(contents[name] for name in names), dtype=np.uint8).reshape(-1, _ROW)
    if rows[:, 0].max() >= len(CLASSES):
        raise InputRejected(
            f"The batches of CIFAR-10 in {where} are damaged. Delete them, and the lab fetches them anew."
        )
    planes = rows[:, 1:].reshape(-1, 3, _SIDE, _SIDE)
    return {
        "pictures": np.ascontiguousarray(planes.transpose(0, 2, 3, 1)),
        "labels": rows[:, 0].astype(np.int64),
        "num_train": np.array([len(rows) - len(contents[names[-1]]) // _ROW]),
    }


def _of_jpegs(path: Path, progress: Progress | None, cancelled: Cancelled | None) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        members, _ = archives.members_of_zip(file)
        members = [member for member in members if label_of(member.name, "folder") in CLASSES]
        members.sort(key=lambda member: (is_for_test(member.name, "folder"), member.name))
        unpacked = unpack_all(members, _SIDE, progress=progress, cancelled=cancelled)
    if not members or unpacked.faults:
        raise InputRejected(
            f"{path} is not whole: {len(unpacked.faults)} of {len(members)} pictures are damaged. Copy it anew, or "
            "delete it, and the lab fetches CIFAR-10 from its home."
        )
    return {
        "pictures": unpacked.pictures,
        "labels": np.array([CLASSES.index(label_of(member.name, "folder")) for member in members]),
        "num_train": np.array([sum(not is_for_test(member.name, "folder") for member in members)]),
    }


CIFAR10 = DatasetEntry(
    label="CIFAR-10",
    about="60,000 small colour photographs of animals and vehicles, 32 × 32 pixels: the measure of small nets.",
    credit="A. Krizhevsky, V. Nair and G. Hinton, University of Toronto, 2009; free to use, please cite the report",
    classes=CLASSES,
    num_pictures=60_000,
    channels=3,
    gather=gather_cifar10,
    files=(ARCHIVE,),
    is_here=is_here,
)
