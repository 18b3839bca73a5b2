"""Augmentations that move pixels. All take a batch (N, C, H, W) of values in [0, 1] and return another one.

Labels pass through as they are. What comes in from outside the picture is black, except where it is said otherwise.
"""

import math

import torch
from torch.nn import functional as F

from cnnlab.data import draws

Pair = tuple[torch.Tensor, torch.Tensor]


def flip(batch: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, *, probability: float) -> Pair:
    """Mirror some pictures, left to right."""
    height, width = batch.shape[2:]
    flags = draw_flips(batch, generator, probability)
    return _gather(batch, _all(batch, height), flipped(_all(batch, width), flags, width)), labels


def padded_crop(batch: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, *, padding: int) -> Pair:
    """Continue each picture beyond its border by its mirror image, and cut its size out at a random place.

    Args:
        batch: The pictures.
        labels: As they are.
        generator: For the places.
        padding: In px, on each side.
    """
    height, width = batch.shape[2:]
    down, right = draw_shifts(batch, generator, padding)
    rows, columns = shifted(_all(batch, height), down, height), shifted(_all(batch, width), right, width)
    return _gather(batch, rows, columns), labels


def translate(batch: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, *, distance: int) -> Pair:
    """Shift by whole pixels, up to `distance` each way."""
    height, width = batch.shape[2:]
    down, right = draw_shifts(batch, generator, distance)
    rows, columns = _all(batch, height) + down[:, None], _all(batch, width) + right[:, None]
    moved = _gather(batch, rows.clamp(0, height - 1), columns.clamp(0, width - 1))
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None, :]
    return moved * inside, labels


def rotate(batch: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, *, degrees: float) -> Pair:
    """Turn about the middle, up to `degrees` each way."""
    return affine(batch, labels, generator, degrees=degrees, scale=0, shear=0, shift=0)


def affine(
    batch: torch.Tensor,
    labels: torch.Tensor,
    generator: torch.Generator,
    *,
    degrees: float,
    scale: float,
    shear: float,
    shift: float,
) -> Pair:
    """Turn, scale, slant and shift about the middle.

    Args:
        batch: The pictures.
        labels: As they are.
        generator: For what each picture gets.
        degrees: Largest turn each way.
        scale: Largest change of size: 0.2 is from 1/1.2 to 1.2 times.
        shear: Largest slant each way in degrees, of upright lines.
        shift: Largest shift each way as a share of the side.
    """
    height, width = batch.shape[2:]
    angle = torch.deg2rad(draws.uniform(batch, generator, -degrees, degrees))
    factor = torch.exp(draws.uniform(batch, generator, -1, 1) * math.log1p(scale))
    slant = torch.tan(torch.deg2rad(draws.uniform(batch, generator, -shear, shear)))
    cosine, sine = torch.cos(angle) / factor, torch.sin(angle) / factor
    # Where in the picture a pixel of the result comes from: turned back, scaled back, then slanted back. The grid runs
    # from −1 to 1 along both sides, so what goes from one side to the other is weighed by their ratio.
    first = torch.stack([cosine + slant * sine, (sine - slant * cosine) * height / width], 1)
    second = torch.stack([-sine * width / height, cosine], 1)
    offset = torch.stack([draws.uniform(batch, generator, -2 * shift, 2 * shift) for _ in range(2)], 1)
    return _sampled(batch, torch.cat([torch.stack([first, second], 1), offset[:, :, None]], 2), "zeros"), labels


def random_resized_crop(
    batch: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, *, smallest: float, stretch: float
) -> Pair:
    """Cut out a part of random area and proportions and enlarge it to the full size (Szegedy et al., 2014, sec. 6).

    Args:
        batch: The pictures.
        labels: As they are.
        generator: For the parts.
        smallest: Least share of the area.
        stretch: Largest change of the proportions: 4/3 is from 3:4 to 4:3. A part that would stick out is cut at the
            border.
    """
    area = draws.uniform(batch, generator, smallest, 1)
    ratio = torch.exp(draws.uniform(batch, generator, -1, 1) * math.log(stretch))
    wide, high = (area * ratio).sqrt().clamp_max(1), (area / ratio).sqrt().clamp_max(1)
    across = draws.uniform(batch, generator, -1, 1) * (1 - wide)
    down = draws.uniform(batch, generator, -1, 1) * (1 - high)
    none = torch.zeros_like(wide)
    theta = torch.stack([torch.stack([wide, none, across], 1), torch.stack([none, high, down], 1)], 1)
    # Between the border and the middle of the last pixel there is nothing to blend with: "zeros" would darken it.
    return _sampled(batch, theta, "border"), labels


def draw_flips(batch: torch.Tensor, generator: torch.Generator, probability: float) -> torch.Tensor:
    """Which pictures are mirrored: shape (N,), bool."""
    return draws.uniform(batch, generator) < probability


def draw_shifts(batch: torch.Tensor, generator: torch.Generator, largest: int) -> Pair:
    """By how many rows and columns each picture is shifted: two of shape (N,)."""
    return draws.whole(batch, generator, -largest, largest), draws.whole(batch, generator, -largest, largest)


def flipped(places: torch.Tensor, flags: torch.Tensor, size: int) -> torch.Tensor:
    """Where the columns come from when the pictures flagged are mirrored: shape (N, W)."""
    return torch.where(flags[:, None], size - 1 - places, places)


def shifted(places: torch.Tensor, shifts: torch.Tensor, size: int) -> torch.Tensor:
    """Where rows or columns come from when each picture is shifted and mirrored at its borders: shape (N, size)."""
    period = max(1, 2 * (size - 1))
    within = (places + shifts[:, None]).remainder(period)
    return torch.minimum(within, period - within)


def _all(batch: torch.Tensor, size: int) -> torch.Tensor:
    return torch.arange(size, device=batch.device).expand(len(batch), size)


def _gather(batch: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Pixel (i, j) of picture n from row rows[n, i] and column columns[n, j]."""
    count, channels, height, width = batch.shape
    numbers = torch.arange(count, device=batch.device)[:, None, None]
    places = (numbers * height + rows[:, :, None]) * width + columns[:, None, :]
    pixels = batch.permute(0, 2, 3, 1).reshape(-1, channels).index_select(0, places.view(-1))
    return pixels.view(count, height, width, channels).permute(0, 3, 1, 2)


def _sampled(batch: torch.Tensor, theta: torch.Tensor, outside: str) -> torch.Tensor:
    grid = F.affine_grid(theta, list(batch.shape), align_corners=False)
    return F.grid_sample(batch, grid, mode="bilinear", padding_mode=outside, align_corners=False)
