"""What a map says in words and numbers, and the one way in which maps are scaled and enlarged."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Reading:
    """What can be said about a map before anybody looks at it.

    Attributes:
        minimum: Least value, in units of the method.
        maximum: Greatest value.
        is_dead: Whether there is nothing to show: `normalized` makes nothing but zeros of it.
        said: Why, in a sentence for people; "" for a map that is not dead.
    """

    minimum: float
    maximum: float
    is_dead: bool
    said: str


def read(map_hw: Tensor) -> Reading:
    """Say what a map of a method holds.

    Args:
        map_hw: (h, w), unscaled.
    """
    minimum, maximum = (float(each) for each in map_hw.aminmax())
    # Words for every method: those in the picture's grid ask for no layer, and Eigen-CAM for no class.
    if maximum <= 0:
        said = "No positive evidence: no value of the map is above zero."
    elif max(minimum, 0) == maximum:
        said = "The map is the same everywhere, so it points to no place."
    else:
        return Reading(minimum, maximum, is_dead=False, said="")
    return Reading(
        minimum,
        maximum,
        is_dead=True,
        said=f"{said} Try another method, or another class or layer where it asks for one.",
    )


def normalized(map_hw: Tensor) -> Tensor:
    """Positive evidence from 0, the least of this map, to 1, the most: ReLU, then min-max. A dead map is all zeros.

    Args:
        map_hw: (h, w), unscaled.

    Returns:
        (h, w), float32, in [0, 1].
    """
    positive_hw = map_hw.detach().float().relu()
    minimum, maximum = positive_hw.aminmax()
    span = maximum - minimum
    return (positive_hw - minimum) / span if span > 0 else torch.zeros_like(positive_hw)


def upsampled(maps_nhw: Tensor, size: Sequence[int]) -> Tensor:
    """Maps with as many cells as the picture has pixels, bilinear between the centres of the cells (corners unaligned).

    Args:
        maps_nhw: (N, h, w).
        size: Height and width of the picture, px.

    Returns:
        (N, H, W), float32, in the same units.
    """
    return F.interpolate(maps_nhw[:, None].float(), size=tuple(size), mode="bilinear", align_corners=False)[:, 0]
