r"""A picture made to excite a channel, or to raise a class's logit, as much as it can.

Erhan et al., Visualizing Higher-Layer Features of a Deep Network, 2009, equation 1: x* = argmax h(x), by Adam.
What keeps the picture a picture is from Olah, Mordvintsev and Schubert, Feature Visualization, Distill 2017:

- It is made of waves, slow ones strong and fast ones weak (1/f, as in photographs), and of colours along the axes in
  which those of photographs are independent; a sigmoid keeps it in 0 to 1.
- Each step sees it moved by some pixels, so that no single pixel can do the work. What leaves at one edge comes in at
  the other, where the waves go on.
- A ReLU that is shut everywhere lets the way up through, or a unit that starts dead would stay so. What the net answers
  is not touched.

Departures: the picture is not turned or resized between steps: of 32 px, little would be left. A channel climbs by the
mean of the strongest eighth of its map. The mean over all of it, which they take, is nothing but brightness where no
ReLU stands behind the convolution: with it, 3 of 4 channels of LeNet-5's convolutions fell short of real digits. What
is reported is the largest of the map of the picture as it stands, to be compared with `channels.top_pictures`.

With the bundled ResNet-9, 36 channels drawn from six layers, and all classes tried, got further than with the best of
2,000 test pictures of CIFAR-10: by 11 % or more in the first layer, more than threefold in the last. With LeNet-5, so
did the first six numbers of each of its layers, against 2,000 digits.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cnnlab.explain.channels import as_maps, check_channels, made_by
from cnnlab.explain.rectifiers import Rectifiers, is_open
from cnnlab.explain.targets import score
from cnnlab.explain.variants import finite
from cnnlab.images import Preprocessing
from cnnlab.inference.capturing import as_taken, ready

STEPS = 128
_EVERY = 8
_RATE = 0.025  # at twice that, half of the pixels end as black or white; at half of it, not all units get far enough
_START = 0.01
_MOVE = 1 / 16  # of the side, each way
_STRONGEST = 1 / 8  # of the cells
# Eigenvectors of the covariance of red, green and blue over 5,000 training pictures of CIFAR-10, by the square roots of
# their eigenvalues, the largest as 1: light and dark, blue and red, green and purple. One row for each of the three.
_COLOURS = ((0.558, 0.577, 0.597), (-0.186, -0.016, 0.190), (0.055, -0.101, 0.046))


@dataclass(frozen=True, slots=True)
class Channel:
    """One of a layer's channels, or one number of a layer that makes a vector."""

    layer: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt:
    """A picture on its way up.

    Attributes:
        step: Steps that were taken.
        steps: That will have been taken in the end.
        activation: What the picture excites: largest of the channel's map, or the class's logit.
        picture: (H, W, 3) in red, green, blue, or (H, W) for a grey net; float32 in [0, 1].
    """

    step: int
    steps: int
    activation: float
    picture: NDArray[np.float32]


def maximize(
    model: nn.Module,
    goal: Channel | int,
    preprocessing: Preprocessing,
    size: tuple[int, int],
    *,
    seed: int = 0,
    steps: int = STEPS,
) -> Iterator[Attempt]:
    """Climb, and show the picture now and then.

    Args:
        model: Of `cnnlab.inference.share`, or any other; stays as it is.
        goal: What is to be excited: a channel, or a class by its index.
        preprocessing: Channels, mean and standard deviation that the net is fed with.
        size: (H, W) of the picture, in px; one that the net takes.
        seed: Where the climb begins, and how the picture is moved.
        steps: How many; 128 are enough for most units.

    Yields:
        The picture before the first step, after every eighth, and at the end. Close it to stop.

    Raises:
        InputRejected: There is no such layer, channel or class.
        RunFailed: The net answers with NaN or ∞.
    """
    model = ready(model)
    generator = torch.Generator().manual_seed(seed)
    reach = [max(1, round(_MOVE * side)) for side in size]
    waves = _START * torch.randn(len(preprocessing.mean), size[0], size[1] // 2 + 1, 2, generator=generator)
    climber = torch.optim.Adam([waves.requires_grad_()], lr=_RATE)
    for step in range(steps + 1):
        if step % _EVERY == 0 or step == steps:
            yield _attempt(model, goal, preprocessing, size, waves.detach(), step, steps)
        if step < steps:
            move = [int(torch.randint(-most, most + 1, (), generator=generator)) for most in reach]
            waves.grad = _gradient(model, goal, preprocessing, size, waves, move)
            climber.step()


def _attempt(
    model: nn.Module,
    goal: Channel | int,
    preprocessing: Preprocessing,
    size: tuple[int, int],
    waves: Tensor,
    step: int,
    steps: int,
) -> Attempt:
    picture = _picture(waves, size)
    with torch.no_grad():
        activation = finite(_answer(model, goal, _fed(model, picture, preprocessing))).max()
    shown = picture[0].permute(1, 2, 0).numpy() if picture.shape[1] == 3 else picture[0, 0].numpy()
    return Attempt(step=step, steps=steps, activation=float(activation), picture=shown)


def _gradient(
    model: nn.Module,
    goal: Channel | int,
    preprocessing: Preprocessing,
    size: tuple[int, int],
    waves: Tensor,
    move: list[int],
) -> Tensor:
    """How a loss, what the picture lacks in excitement, changes with each wave."""
    with torch.enable_grad(), Rectifiers(_Redirected):
        x = _fed(model, _picture(waves, size), preprocessing).roll(move, dims=(2, 3))
        cells = _answer(model, goal, x).flatten()
        loss = -cells.topk(math.ceil(_STRONGEST * len(cells))).values.mean()
        if not loss.requires_grad:
            return torch.zeros_like(waves, requires_grad=False)
        (gradient,) = torch.autograd.grad(loss, waves, allow_unused=True, materialize_grads=True)
    return finite(gradient)


def _picture(waves: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, C, H, W) in 0 to 1, in red, green, blue or grey."""
    height, width = size
    cycles_per_px = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
    spectrum = torch.view_as_complex(waves) / cycles_per_px.clamp_min(1 / max(size))
    levels = torch.fft.irfft2(spectrum, s=size, norm="ortho")
    if len(levels) == 3:
        levels = torch.einsum("ahw,ac->chw", levels, torch.tensor(_COLOURS))
    return levels.sigmoid()[None]


def _fed(model: nn.Module, picture: Tensor, preprocessing: Preprocessing) -> Tensor:
    """What the net gets of a picture, normalised, with its graph."""
    if preprocessing.channels == "bgr":
        picture = picture.flip(1)
    mean, std = (torch.tensor(each)[:, None, None] for each in (preprocessing.mean, preprocessing.std))
    x = (picture - mean) / std
    return x.to(as_taken(model, x))


def _answer(model: nn.Module, goal: Channel | int, x: Tensor) -> Tensor:
    """The channel's map, (1, h, w), or the class's logit, (1,)."""
    if isinstance(goal, int):
        return score(model(x), goal).float()
    maps = as_maps(goal.layer, made_by(model, x, goal.layer))
    check_channels(goal.layer, maps, [goal.index])
    return maps[:, goal.index].float()


class _Redirected(torch.autograd.Function):
    """A ReLU whose shut cells, where all that has a say is shut, hear of a loss that would sink if they opened."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float) -> Tensor:
        """X clamped to 0 … ceiling."""
        ctx.save_for_backward(is_open(x, ceiling), x <= 0)
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Of x; the ceiling has none."""
        was_open, was_shut = ctx.saved_tensors
        through = gradients[0] * was_open
        return through if bool(through.any()) else gradients[0].clamp_max(0) * was_shut, None
