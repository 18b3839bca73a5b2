"""Handwritten digits that come with scikit-learn: the set to begin with, no network needed."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from cnnlab.data.dataset import Gathered, Progress
from cnnlab.data.entry import Choice, DatasetEntry
from cnnlab.downloading import Cancelled
from cnnlab.errors import Unsupported

CLASSES = tuple("0123456789")


def gather_digits(
    progress: Progress | None = None,  # noqa: ARG001  It takes a moment only.
    cancelled: Cancelled | None = None,  # noqa: ARG001
    *,
    side: int = 28,
) -> Gathered:
    """The 1,797 digits of 8 × 8 pixels in 17 levels, enlarged with a cubic filter.

    Raises:
        Unsupported: scikit-learn is not installed in full.
    """
    table = np.loadtxt(gzip.decompress(_table().read_bytes()).decode("ascii").splitlines(), delimiter=",")
    levels = torch.from_numpy(table[:, :64].reshape(-1, 1, 8, 8)) * (255 / 16)
    enlarged = F.interpolate(levels, size=(side, side), mode="bicubic", align_corners=False)
    pictures = enlarged.clamp(0, 255).round().to(torch.uint8).reshape(-1, side, side, 1)
    labels = torch.from_numpy(table[:, 64]).to(torch.int64)
    return Gathered(pictures=pictures, labels=labels, classes=CLASSES, test=torch.empty(0, dtype=torch.int64))


def _table() -> Path:
    """The file, found without importing scikit-learn, which takes a second."""
    spec = importlib.util.find_spec("sklearn")
    for folder in spec.submodule_search_locations or () if spec else ():
        file = Path(folder, "datasets/data/digits.csv.gz")
        if file.is_file():
            return file
    raise Unsupported(
        "The digits come with scikit-learn, which is not installed in full. Run: pip install scikit-learn"
    )


DIGITS = DatasetEntry(
    label="Digits",
    about="1,797 real handwritten digits of 8 × 8 pixels, enlarged: a net learns them in seconds.",
    credit="Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI, CC BY 4.0; with scikit-learn",
    classes=CLASSES,
    num_pictures=1797,
    channels=1,
    gather=gather_digits,
    choices={"side": Choice("Side (px)", (28, 32), 28)},
)
