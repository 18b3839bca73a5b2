"""Shapes drawn at request: what a picture shows and where is known, so what a net looks at can be checked.

Each shape is a signed distance in its own coordinates, in which a circle of radius 1 encloses it: below 0 inside,
above 0 outside. A pixel is covered by clip(1/2 − distance in px, 0, 1), which fades the rim over one pixel. All
pictures of a chunk are drawn at once.
"""

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from cnnlab.data.dataset import Gathered, Progress
from cnnlab.data.entry import Choice, DatasetEntry
from cnnlab.downloading import Cancelled
from cnnlab.errors import RunFailed

_CHUNK = 250  # so that what is worked on stays in the processor's cache
_SMALLEST, _LARGEST = 0.18, 0.29  # radius as a share of the side: two of them fit side by side
_SECOND = (0.45, 0.6)  # radius of the second object as a share of the first one's

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def circle(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A disc of radius 0.9."""
    return torch.hypot(x, y) - 0.9


def square(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sides of 1.4."""
    return torch.maximum(x.abs(), y.abs()) - 0.7


def triangle(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Equilateral, corners on the unit circle: three half-planes at distance 1/2."""
    return torch.maximum(x.abs() * (math.sqrt(3) / 2) + y / 2, -y) - 0.5


def star(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Five points on the unit circle, notches at radius 0.42.

    Folded into one of ten equal sectors, the outline is the line from the point (1, 0) to the notch.
    """
    sector = 2 * math.pi / 5
    angle = (torch.remainder(torch.atan2(y, x) + sector / 2, sector) - sector / 2).abs()
    radius = torch.hypot(x, y)
    notch_x, notch_y = 0.42 * math.cos(sector / 2), 0.42 * math.sin(sector / 2)
    length = math.hypot(1 - notch_x, notch_y)
    return ((radius * torch.cos(angle) - 1) * notch_y + radius * torch.sin(angle) * (1 - notch_x)) / length


def cross(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Two bars of 1.8 × 0.6."""
    x, y = x.abs(), y.abs()
    return torch.maximum(torch.minimum(x, y) - 0.3, torch.maximum(x, y) - 0.9)


def ring(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Between the radii 0.5 and 0.9."""
    return (torch.hypot(x, y) - 0.7).abs() - 0.2


SHAPES: dict[str, Distance] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "cross": cross,
    "ring": ring,
}
CLASSES = tuple(SHAPES)


def gather_shapes(
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    *,
    side: int = 32,
    count: int = 6_000,
    objects: int = 1,
    drawing: int = 0,
) -> Gathered:
    """Draw coloured shapes of any angle on textured ground, as many of each class as of any other.

    Args:
        progress: Called with "drawing", the pictures done and the pictures in all.
        cancelled: Asked as often; True ends it.
        side: 32 or 64 px.
        count: How many pictures.
        objects: 1; or 2 for a smaller shape of another class beside the one that counts, never touching it.
        drawing: The same number gives the same pictures.

    Returns:
        With masks and boxes of the shape that counts.

    Raises:
        RunFailed: It was cancelled.
    """
    generator = torch.Generator().manual_seed(drawing)
    labels = (torch.arange(count) % len(CLASSES))[torch.randperm(count, generator=generator)]
    pictures = torch.empty(count, side, side, 3, dtype=torch.uint8)
    masks = torch.empty(count, side, side, dtype=torch.bool)
    for begin in range(0, count, _CHUNK):
        end = min(begin + _CHUNK, count)
        pictures[begin:end], masks[begin:end] = _draw(labels[begin:end], side, objects, generator)
        if progress:
            progress("drawing", end, count)
        if cancelled and cancelled():
            raise RunFailed("Drawing the shapes was cancelled. Start it again when you need them.")
    return Gathered(
        pictures=pictures,
        labels=labels,
        classes=CLASSES,
        test=torch.empty(0, dtype=torch.int64),
        masks=masks,
        boxes=boxes_of(masks),
    )


def boxes_of(masks: torch.Tensor) -> torch.Tensor:
    """The smallest box around each mask.

    Args:
        masks: Shape (N, H, W), bool, none empty.

    Returns:
        Shape (N, 4), int64: top, left, bottom, right, the last two exclusive.
    """
    edges = []
    for lines in (masks.any(2), masks.any(1)):
        lines = lines.to(torch.uint8)
        edges.append((lines.argmax(1), lines.shape[1] - lines.flip(1).argmax(1)))
    (top, bottom), (left, right) = edges
    return torch.stack([top, left, bottom, right], 1)


def _draw(
    labels: torch.Tensor, side: int, objects: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (n, side, side, 3) uint8 and masks (n, side, side) bool."""

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(labels), *shape, generator=generator)

    ground = _ground(uniform, side)
    radius = side * uniform(_SMALLEST, _LARGEST)
    second = radius * uniform(*_SECOND)
    centre, centre_of_second = _places(uniform, side, radius, second, objects)
    if objects == 2:
        others = (labels + torch.randint(1, len(CLASSES), labels.shape, generator=generator)) % len(CLASSES)
        cover = _cover(others, side, centre_of_second, second, uniform(0, 2 * math.pi))
        ground = torch.lerp(ground, _colour(uniform, ground), cover[..., None])
    cover = _cover(labels, side, centre, radius, uniform(0, 2 * math.pi))
    levels = torch.lerp(ground, _colour(uniform, ground), cover[..., None])
    levels += uniform(-0.03, 0.03, side, side, 3)
    return levels.clamp_(0, 1).mul_(255).round_().to(torch.uint8), cover >= 0.5


_Uniform = Callable[..., torch.Tensor]


def _ground(uniform: _Uniform, side: int) -> torch.Tensor:
    """Soft spots and slanted stripes over a colour: (n, side, side, 3), about [0.1, 0.9]."""
    colour = uniform(0.25, 0.75, 1, 1, 3)
    spots = F.interpolate(uniform(-0.15, 0.15, 3, 6, 6), size=(side, side), mode="bilinear").permute(0, 2, 3, 1)
    angle, frequency, phase = uniform(0, math.pi), uniform(0.5, 1.5), uniform(0, 2 * math.pi)
    along = torch.arange(side) * (32 / side)
    rows = (frequency * torch.sin(angle))[:, None] * along
    columns = (frequency * torch.cos(angle))[:, None] * along + phase[:, None]
    stripes = uniform(0.0, 0.1, 1, 1) * torch.sin(rows[:, :, None] + columns[:, None, :])
    return colour + spots + stripes[..., None]


def _colour(uniform: _Uniform, ground: torch.Tensor) -> torch.Tensor:
    """A colour for each picture that stands out: in each channel at least 0.3 from the ground's mean."""
    mean = ground.mean((1, 2), keepdim=True)
    step = uniform(0.3, 0.5, 1, 1, 3)
    # Upwards where there is room above only, downwards likewise, either way in between.
    upwards = uniform(0, 1, 1, 1, 3) < (0.7 - mean) / 0.4
    return torch.where(upwards, mean + step, mean - step)


def _places(
    uniform: _Uniform, side: int, radius: torch.Tensor, second: torch.Tensor, objects: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres (n, 2) of both objects in px, row and column, so that both are whole and a pixel lies between them."""
    share = uniform(0, 1, 4)
    if objects == 1:
        first = radius[:, None] + share[:, :2] * (side - 2 * radius)[:, None]
        return first, first
    # Along one axis they share what room is left; across it each lies anywhere.
    room = side - 2 * radius - 2 * second - 1
    before = share[:, 0] * room
    along_first = before + radius
    along_second = before + 2 * radius + 1 + share[:, 1] * (room - before) + second
    across_first = radius + share[:, 2] * (side - 2 * radius)
    across_second = second + share[:, 3] * (side - 2 * second)
    mirrored, turned = uniform(0, 1) < 0.5, uniform(0, 1) < 0.5
    along_first, along_second = (torch.where(mirrored, side - one, one) for one in (along_first, along_second))
    places = []
    for along, across in ((along_first, across_first), (along_second, across_second)):
        places.append(torch.stack([torch.where(turned, along, across), torch.where(turned, across, along)], 1))
    return places[0], places[1]


def _cover(
    labels: torch.Tensor, side: int, centre: torch.Tensor, radius: torch.Tensor, angle: torch.Tensor
) -> torch.Tensor:
    """How much of each pixel the shape covers: (n, side, side) in [0, 1]."""
    cover = torch.empty(len(labels), side, side)
    pixels = torch.arange(side) + 0.5
    for number, distance in enumerate(SHAPES.values()):
        mine = labels == number
        scale = radius[mine, None, None]
        rows = (pixels[None, :, None] - centre[mine, 0, None, None]) / scale
        columns = (pixels[None, None, :] - centre[mine, 1, None, None]) / scale
        cosine, sine = torch.cos(angle[mine])[:, None, None], torch.sin(angle[mine])[:, None, None]
        x, y = cosine * columns + sine * rows, cosine * rows - sine * columns
        cover[mine] = (0.5 - distance(x, y) * scale).clamp(0, 1)
    return cover


SHAPES_DATASET = DatasetEntry(
    label="Shapes",
    about="Coloured shapes on textured ground, drawn at request: where the object is, is known to the pixel.",
    credit="Drawn by CNN Lab",
    classes=CLASSES,
    num_pictures=6_000,
    channels=3,
    gather=gather_shapes,
    choices={
        "side": Choice("Side (px)", (32, 64), 32),
        "count": Choice("Pictures", range(60, 60_001), 6_000),
        "objects": Choice("Objects", (1, 2), 1),
        "drawing": Choice("Drawing no.", range(1_000_000), 0),
    },
)
