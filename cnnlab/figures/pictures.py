"""Arrays of any range as pictures: the one place where numbers become shades, each with its legend."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.errors import InputRejected
from cnnlab.figures import palette

BINS = 64
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """One way to map numbers to shades.

    Args:
        label: Name shown to people.
        meaning: What the shades say, in a few words.
        limits: Array and share to the values of the first and the last shade, between which at least that share of
            the array lies.
        lut: Colours of the 256 shades, (256, 3).
    """

    label: str
    meaning: str
    limits: Callable[[NDArray[np.float32], float], tuple[float, float]]
    lut: Callable[[], NDArray[np.uint8]]


def _quantile(values: NDArray[np.float32], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    index = int(np.ceil(share * values.size)) - 1
    return float(np.partition(values.ravel(), index)[index])


def _symmetric(values: NDArray[np.float32], share: float) -> tuple[float, float]:
    most = _from_zero(values, share)[1]
    return -most, most


def _from_zero(values: NDArray[np.float32], share: float) -> tuple[float, float]:
    sizes = np.abs(values)
    # Where nearly all is zero the share falls on zero; an all-zero map is neutral all over.
    return 0.0, _quantile(sizes, share) or float(sizes.max()) or 1.0


def _full_range(values: NDArray[np.float32], share: float) -> tuple[float, float]:
    tail = (1 - share) / 2
    low, high = -_quantile(-values, 1 - tail), _quantile(values, 1 - tail)
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


SCALINGS: dict[str, Scaling] = {
    "signed": Scaling(
        label="Signed",
        meaning="blue negative, orange positive",
        limits=_symmetric,
        lut=palette.diverging,
    ),
    "absolute": Scaling(
        label="Absolute",
        meaning="distance from zero",
        limits=_from_zero,
        lut=palette.sequential,
    ),
    "clamped": Scaling(
        label="Clamped",
        meaning="0 to 1 as 0 to 255, cut off outside",
        limits=lambda _values, _share: (0.0, 1.0),
        lut=palette.greys,
    ),
    "stretched": Scaling(
        label="Stretched",
        meaning="smallest black, largest white, over the scale",
        limits=_full_range,
        lut=palette.greys,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An array ready to be shown, with all that its legend needs.

    Args:
        pixels: Codes (H, W) to be coloured with `lut`, or RGB (H, W, 3); uint8.
        lut: Colours of the codes, (256, 3); for RGB, of the legend.
        minimum: Value of code 0.
        maximum: Value of code 255.
        counts: Histogram of the values between minimum and maximum, `BINS` equal bins.
        num_below: Values below the minimum, shown like it.
        num_above: Values above the maximum, shown like it.
    """

    pixels: NDArray[np.uint8]
    lut: NDArray[np.uint8]
    minimum: float
    maximum: float
    counts: tuple[int, ...]
    num_below: int = 0
    num_above: int = 0

    @property
    def zero_inside(self) -> bool:
        """Zero lies strictly between the ends, so the legend marks it."""
        return self.minimum < 0.0 < self.maximum

    def rgb(self) -> NDArray[np.uint8]:
        """The picture in colours, (H, W, 3)."""
        return self.lut[self.pixels] if self.pixels.ndim == 2 else self.pixels


def to_picture(
    values: NDArray[np.float32],
    scaling: str = "signed",
    *,
    share: float = 1.0,
    limits: tuple[float, float] | None = None,
) -> Picture:
    """Map numbers to shades.

    Three channels become one RGB picture, all on the same scale (signed: zero is middle grey), so that colours can be
    compared across channels.

    Args:
        values: Array (H, W) or (H, W, 3), finite.
        scaling: Key of `SCALINGS`.
        share: How much of the array lies between the ends, above 0.5 to 1; the few beyond take the colour of the end.
            Rare large numbers then do not pale all others.
        limits: Values of the first and last shade, in place of the scaling's own: pictures that are compared share
            them.

    Raises:
        InputRejected: Unknown scaling, or an array that is no picture.
    """
    if scaling not in SCALINGS:
        raise InputRejected(f"There is no scaling '{scaling}'. Choose one of: {', '.join(SCALINGS)}.")
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)) or values.size == 0:
        raise InputRejected(f"An array of shape {values.shape} is no picture; (H, W) or (H, W, 3) is.")
    chosen = SCALINGS[scaling]
    low, high = limits or chosen.limits(values, share)
    shown = np.abs(values) if scaling == "absolute" else values
    per_unit = 255.0 / (high - low)
    # A range as small as float32's smallest numbers needs a factor beyond its largest.
    exact = shown.astype(np.float64) if per_unit > _LARGEST else shown
    unclipped = (exact - exact.dtype.type(low)) * exact.dtype.type(per_unit)
    codes = np.rint(np.clip(unclipped, 0.0, 255.0)).astype(np.uint8)
    per_code = np.bincount(codes.ravel(), minlength=256)
    return Picture(
        pixels=codes,
        lut=chosen.lut() if codes.ndim == 2 else palette.greys(),
        minimum=low,
        maximum=high,
        counts=tuple(int(count) for count in per_code.reshape(BINS, -1).sum(axis=1)),
        # Half a shade of tolerance: rounding at the ends is not clipping.
        num_below=int(np.count_nonzero(unclipped < -0.5)),
        num_above=int(np.count_nonzero(unclipped > 255.5)),
    )


def tiled(maps: NDArray[np.float32], *, columns: int = 16) -> NDArray[np.float32]:
    """Maps side by side in one array, a line of zeros between two.

    Args:
        maps: (n, h, w) or (n, h, w, 3), at least one.
        columns: As many in a row at most.
    """
    count, height, width = maps.shape[:3]
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, *maps.shape[3:]), dtype=maps.dtype)
    for index, one in enumerate(maps):
        top, left = (index // columns) * (height + 1), (index % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = one
    return sheet
