"""Heat maps over a picture: from the numbers of a method to colours, the same for pages, downloads and notebooks.

map (h, w), unscaled → scale, its own or that of the maps it is compared with → as many cells as pixels → colour over
the picture, the more opaque the more the number says. The view in the browser does the same, see
`cnnlab/ui/components/heat_wall`.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cnnlab.errors import InputRejected
from cnnlab.explain.reading import upsampled
from cnnlab.figures import palette
from cnnlab.images import to_png


@functools.cache
def jet() -> NDArray[np.uint8]:
    """Blue – cyan – yellow – red, (256, 3) RGB, as in tutorials. Its bright bands are edges that the map has not."""
    steps = np.arange(256, dtype=np.uint8)
    # OpenCV answers blue first; taken as it is, the hottest place would be blue.
    lut = cv2.applyColorMap(steps[:, None], cv2.COLORMAP_JET)[:, 0, ::-1].astype(np.uint8)
    lut.flags.writeable = False  # shared by every session
    return lut


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """A way to colour maps without a sign. Signed ones are blue – neutral – orange whatever is chosen.

    Attributes:
        label: Name shown to people.
        meaning: What the colours say, in a few words.
        lut: (256, 3), from nothing to most.
        fades: Whether the picture shows through where the map says little; else everywhere alike.
    """

    label: str
    meaning: str
    lut: Callable[[], NDArray[np.uint8]]
    fades: bool


COLOURS: dict[str, Colours] = {
    "viridis": Colours(
        label="Viridis",
        meaning="even steps; the picture shows through where the map says little",
        lut=palette.sequential,
        fades=True,
    ),
    "jet": Colours(label="Jet", meaning="as in many tutorials, laid over all of the picture", lut=jet, fades=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How maps are laid over their picture.

    Attributes:
        opacity: Of the colour where the map says most, 0 to 1.
        colours: Key of `COLOURS`.
        shared: Whether maps that can be compared have one scale, or each its own.
        smooth: Whether a map is enlarged between the centres of its cells, or cell by cell.

    Raises:
        InputRejected: On creation, for anything else.
    """

    opacity: float = 0.8
    colours: str = "viridis"
    shared: bool = False
    smooth: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise InputRejected(f"Opacity is 0 to 1, got {self.opacity}.")
        if self.colours not in COLOURS:
            raise InputRejected(f"There are no colours '{self.colours}'. Choose one of: {', '.join(COLOURS)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Which numbers the first and the last colour stand for.

    Attributes:
        minimum: Of the first.
        maximum: Of the last; where it is not above the minimum there is nothing to show.
        is_signed: Whether zero lies in the middle and colours tell for from against.
    """

    minimum: float
    maximum: float
    is_signed: bool


def own_scale(map_hw: NDArray[np.float32], *, is_signed: bool) -> Scale:
    """Positive evidence from the least to the most of this map; of a signed one, both ways to its largest magnitude.

    Args:
        map_hw: (h, w), unscaled, finite.
        is_signed: Whether negative numbers are evidence against, or count for nothing.
    """
    if is_signed:
        most = float(np.abs(map_hw).max())
        return Scale(minimum=-most, maximum=most, is_signed=True)
    positive = np.maximum(map_hw, 0)
    return Scale(minimum=float(positive.min()), maximum=float(positive.max()), is_signed=False)


def shared_scale(maps: Sequence[NDArray[np.float32]], *, is_signed: bool) -> Scale:
    """From zero to the most of all, so that equal colours are equal numbers; of signed maps, both ways.

    Args:
        maps: (h, w) each, of one method: others count in other units.
        is_signed: As in `own_scale`.
    """
    most = max(own_scale(map_hw, is_signed=is_signed).maximum for map_hw in maps)
    return Scale(minimum=-most if is_signed else 0.0, maximum=most, is_signed=is_signed)


def enlarged(map_hw: NDArray[np.float32], size: tuple[int, int], *, smooth: bool) -> NDArray[np.float32]:
    """The map with as many cells as the picture has pixels, (H, W): bilinear between centres, or each cell a block."""
    if smooth:
        return upsampled(torch.tensor(map_hw)[None], size)[0].numpy()
    rows, columns = ((np.arange(length) * cells) // length for length, cells in zip(size, map_hw.shape, strict=True))
    return map_hw[rows[:, None], columns]


def overlay(
    picture_hwc: NDArray[np.uint8], map_hw: NDArray[np.float32], scale: Scale, look: Look | None = None
) -> NDArray[np.uint8]:
    """A map as colour over its picture.

    Args:
        picture_hwc: (H, W, 3), RGB.
        map_hw: (h, w), unscaled.
        scale: Of `own_scale` or `shared_scale`.
        look: Colours, opacity, enlargement; what it says of scales is done already.

    Returns:
        (H, W, 3), RGB. A map with nothing to show leaves the picture as it is.
    """
    look = look or Look()
    span = scale.maximum - scale.minimum
    if not span > 0:
        return picture_hwc.copy()
    values = enlarged(map_hw, picture_hwc.shape[:2], smooth=look.smooth)
    share = np.clip((values - np.float32(scale.minimum)) / np.float32(span), 0, 1)
    lut, fades = (palette.diverging(), True) if scale.is_signed else _of(COLOURS[look.colours])
    strength = np.abs(2 * share - 1) if scale.is_signed else share
    # The root, or a place of a quarter of the most, dark blue in viridis, would hardly be seen.
    alpha = np.float32(look.opacity) * (np.sqrt(strength) if fades else np.ones_like(share))
    colour = lut[np.rint(255 * share).astype(np.uint8)].astype(np.float32)
    below = picture_hwc.astype(np.float32)
    return np.rint(below + (colour - below) * alpha[:, :, None]).astype(np.uint8)


def _of(colours: Colours) -> tuple[NDArray[np.uint8], bool]:
    return colours.lut(), colours.fades


def overlay_png(
    picture_hwc: NDArray[np.uint8],
    map_hw: NDArray[np.float32],
    scale: Scale,
    look: Look | None = None,
    *,
    least_side: int = 448,
) -> bytes:
    """`overlay` as a PNG file, its pixels enlarged to squares until the shorter side has `least_side` px."""
    times = max(1, -(-least_side // min(picture_hwc.shape[:2])))
    return to_png(overlay(picture_hwc, map_hw, scale, look), scale=times)
