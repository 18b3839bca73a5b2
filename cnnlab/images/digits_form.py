"""A drawn digit brought to the form in which MNIST holds its digits, so that a net trained on them meets what it knows.

LeCun, Cortes and Burges, The MNIST Database of Handwritten Digits, 1998: sizes normalised to a box of 20 × 20 px with
proportions kept, grey from anti-aliasing, shifted in a field of 28 × 28 px so that the centre of mass is in the middle.
As the pictures have it, all rows and columns with ink count for the box, the shift is by whole pixels, and the middle
is row 14 and column 14, counted from 0.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 28
_BOX = 20
_MIDDLE = 14


def mnist_form(pixels_hw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The digit, white on black, as large and where MNIST would have it.

    Args:
        pixels_hw: White on black, (H, W), at least 1 × 1; left as it is.

    Returns:
        (28, 28), uint8; black where there is no ink.
    """
    if pixels_hw.ndim != 2 or pixels_hw.dtype != np.uint8:
        raise TypeError(f"A drawing is uint8 (H, W), got {pixels_hw.dtype} {pixels_hw.shape}.")
    field = np.zeros((SIDE, SIDE), dtype=np.uint8)
    rows, columns = (np.flatnonzero(pixels_hw.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return field
    ink = pixels_hw[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    ink = _resized(ink, _BOX / max(ink.shape))
    top, left = (_start(ink, axis) for axis in (0, 1))
    field[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return field


def _resized(ink: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = (max(1, round(scale * length)) for length in ink.shape)
    if (height, width) == ink.shape:
        return ink
    return np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR))


def _start(ink: NDArray[np.uint8], axis: int) -> int:
    """Where the ink begins along an axis, so that its centre of mass is in the middle and nothing hangs over."""
    mass = ink.sum(axis=1 - axis, dtype=np.float64)
    # Enlarged or shrunk, a faint dot may leave nothing: then its box is put in the middle.
    centre = float(mass @ np.arange(len(mass)) / mass.sum()) if mass.any() else (len(mass) - 1) / 2
    return int(np.clip(round(_MIDDLE - centre), 0, SIDE - len(mass)))
