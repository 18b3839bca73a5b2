r"""ROAD: take pixels away without leaving a hole that the net could see, and ask it again.

Rong et al., A Consistent and Efficient Evaluation Strategy for Attribution Methods, ICML 2022, section 4.2: noisy
linear imputation. A missing pixel is the weighted mean of its eight neighbours, those beside it 1/6, those across 1/12;
at the border, of those that exist. Neighbours that are missing too make it a system of linear equations

    Σ_n w_n (v_p − v_n) = 0     for each missing p

and a little noise on top hides how smooth the filling is. Removed are the pixels that the map marks most (most first),
then those that it marks least (least first), in nine shares from 10 to 90 %. A good map makes the class's probability
fall early in the first case and late in the second; half the difference of the two means is the score, as in
pytorch-grad-cam.

Choices: the system is symmetric and positive, so conjugate gradients solve it, without SciPy and in float32, until what
is left of each equation is below 10⁻⁶ in units of the normalised picture; equal values of the map come in random order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlab.data import Progress
from cnnlab.errors import RunFailed
from cnnlab.explain.faithfulness import at_once, probabilities, ranks
from cnnlab.inference.capturing import ready

SHARES = tuple(percent / 100 for percent in range(10, 100, 10))
NOISE = 0.01
"""Standard deviation of the noise, in units of the normalised picture."""

_LEFT_OVER = 1e-6
_MOST_ROUNDS = 5_000  # a picture of 224 px of which nine in ten are missing takes a few hundred


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Road:
    """What becomes of a class's probability when pixels are filled in from their neighbours.

    Attributes:
        shares: Share of the pixels that were filled in, shape (9,).
        most_first: Probability when those that the map marks most are filled in first, likewise; falls early for a good
            map.
        least_first: When those that it marks least are; falls late.
    """

    shares: NDArray[np.float64]
    most_first: NDArray[np.float64]
    least_first: NDArray[np.float64]

    @property
    def score(self) -> float:
        """Half of how much higher the second lies on average, −0.5 to 0.5; about 0 for a map that says nothing."""
        return float(self.least_first.mean() - self.most_first.mean()) / 2


def road(
    model: nn.Module,
    x: Tensor,
    map_hw: Tensor,
    class_index: int,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Road:
    """Fill in the pixels that a map marks most, and those that it marks least.

    Args:
        model: Of `cnnlab.inference.share`, or any other; stays as it is.
        x: (1, C, H, W), normalised.
        map_hw: (h, w), unscaled; enlarged to the picture where it is smaller.
        class_index: 0 to classes − 1.
        seed: Of the noise, and for the order of pixels of equal value.
        progress: Called with "filling in", the pictures done and the pictures in all.
        cancelled: Asked as often; True ends it.

    Raises:
        InputRejected: There is no such class.
        RunFailed: It was stopped, or the net answers with NaN or ∞.
    """
    if len(x) != 1:
        raise TypeError(f"ROAD is of one picture, got {len(x)}.")
    model, generator = ready(model), torch.Generator().manual_seed(seed)
    ranks_hw = ranks(map_hw, x.shape[2:], generator).to(x.device)
    num_pixels = ranks_hw.numel()
    counts = torch.tensor([round(share * num_pixels) for share in SHARES], device=x.device)[:, None, None]
    is_missing = torch.cat([ranks_hw < counts, ranks_hw >= num_pixels - counts])
    found = []
    for part in is_missing.split(at_once(model, x)):
        filled = filled_in(x, part, noise=NOISE, generator=generator)
        found.append(probabilities(model, filled, class_index))
        if progress:
            progress("filling in", sum(map(len, found)), len(is_missing))
        if cancelled and cancelled():
            raise RunFailed("The check of the explanation was stopped. Start it again when you need it.")
    most_first, least_first = np.split(np.concatenate(found), 2)
    return Road(shares=counts.flatten().cpu().numpy() / num_pixels, most_first=most_first, least_first=least_first)


def filled_in(x: Tensor, is_missing: Tensor, *, noise: float, generator: torch.Generator) -> Tensor:
    """Noisy linear imputation: a picture whose missing pixels follow from those that are there.

    Args:
        x: (1, C, H, W)
        is_missing: (B, H, W), bool; at least one pixel of each must be there.
        noise: Standard deviation of what is added to filled-in pixels.
        generator: Of the noise, on the CPU.

    Returns:
        (B, C, H, W); pixels that are there stay as they are.
    """
    if bool(is_missing.flatten(1).all(1).any()):
        raise TypeError("Nothing can be filled in where every pixel is missing.")
    missing = is_missing[:, None]
    known = torch.where(missing, 0, x.float())
    degree = _neighbours(torch.ones_like(known[:1, :1]))
    # One picture after the other: each needs its own number of rounds, and one alone stays in the processor's cache.
    solved = torch.cat([_solved(*each, degree) for each in zip(known.split(1), missing.split(1), strict=True)])
    noisy = solved + noise * torch.randn(solved.shape, generator=generator).to(x.device)
    return torch.where(missing, noisy, known).to(x.dtype)


def _solved(known: Tensor, missing: Tensor, degree: Tensor) -> Tensor:
    """The missing pixels of one picture, zero elsewhere: (1, C, H, W)."""
    is_open = missing.to(known.dtype)
    degree = degree * is_open
    return _conjugate_gradients(
        lambda field: torch.addcmul(degree * field, is_open, _neighbours(field), value=-1),
        is_open * _neighbours(known),
        is_open * _guess(known, ~missing),
    )


def _neighbours(field: Tensor) -> Tensor:
    """Weighted sum of the eight neighbours that exist, (B, C, H, W)."""
    # The weights are (1, 2, 1) down times (1, 2, 1) across, but for the 4 in the middle: cheaper than a convolution.
    down = 2 * field
    down[:, :, 1:] += field[:, :, :-1]
    down[:, :, :-1] += field[:, :, 1:]
    across = 2 * down
    across[..., 1:] += down[..., :-1]
    across[..., :-1] += down[..., 1:]
    return across.sub_(field, alpha=4).div_(12)


def _guess(known: Tensor, is_there: Tensor) -> Tensor:
    """Means of what is there, over squares that double until they hold something: nearly right across large holes."""
    if bool(is_there.all()):
        return known
    shares = F.avg_pool2d(is_there.float(), 2, ceil_mode=True)
    means = F.avg_pool2d(known, 2, ceil_mode=True) / shares.clamp_min(1e-9)
    coarse = _guess(means, shares > 0)
    fine = F.interpolate(coarse, size=known.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(is_there, known, fine)


def _conjugate_gradients(apply: Callable[[Tensor], Tensor], right: Tensor, start: Tensor) -> Tensor:
    """Solve A v = b for each picture and channel by itself (Hestenes and Stiefel, 1952).

    Args:
        apply: A, symmetric and positive, for all systems at once.
        right: b, (B, C, H, W).
        start: A guess, likewise.
    """
    solved, rest = start, right - apply(start)
    direction, energy = rest, _dot(rest, rest)
    for _ in range(_MOST_ROUNDS):
        if float(rest.abs().amax()) <= _LEFT_OVER:
            break
        applied = apply(direction)
        # A system that is solved already has a direction of zeros: 0 / tiny, and it stays as it is.
        step = energy / _dot(direction, applied).clamp_min(1e-30)
        solved = solved + step * direction
        rest = rest - step * applied
        energy, before = _dot(rest, rest), energy
        direction = rest + energy / before.clamp_min(1e-30) * direction
    return solved


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(dim=(2, 3), keepdim=True)
