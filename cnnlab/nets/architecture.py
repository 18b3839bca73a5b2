"""What the table says of each architecture."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One entry of `ARCHITECTURES`.

    Args:
        label: Name shown to people.
        build: `build(num_classes=…, in_channels=…)` gives a net with random weights, drawn from torch's global
            generator. Its `forward` takes (N, C, H, W) and returns logits (N, num_classes).
        input_shape: (C, H, W) for which the net was made.
        num_classes: How many classes it was made for.
        min_size: Smallest side, in px, of a square input that the net takes.
        max_size: Largest such side, or None where there is no limit. Every side in between is taken too.
        year: Of the publication.
        paper: Who and where: "LeCun et al., Gradient-based learning applied to document recognition, 1998".
        url: Where to read it, or "".
        lesson: What it taught the field, or what can be learnt from it: a sentence or two.
        family: Heading under which it is listed.
    """

    label: str
    build: Callable[..., nn.Module]
    input_shape: tuple[int, int, int]
    num_classes: int = 10
    min_size: int
    max_size: int | None = None
    year: int
    paper: str
    url: str = ""
    lesson: str
    family: str
