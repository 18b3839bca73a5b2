"""One picture on its way through a net: what every layer makes of it, ready to be looked at.

flow = run_through(model, x)
flow.layers[0].maps           # the first maps of the first layer, small enough to be sent to a browser
flow.softmax.probabilities    # what it all comes to
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from cnnlab.nets.tracing import Call, output_of, trace

MOST_NUMBERS = 4096
"""Of a vector that are kept: the widest layers of AlexNet and VGG have that many."""

_MOST_CHANNELS = 16
_SIDES = (56, 28, 14)  # halves of one another, as the layers of most nets are
_MOST_CELLS = 1_300_000  # ResNet-50 at 28 px has 1.23 million


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one layer made of the picture.

    Statistics are those of whole maps, in float32; where a map holds NaN or ∞, so do they.

    Attributes:
        index: Position of the call in the run.
        name: Of the module, or of the function that was called.
        kind: "Conv2d", "ReLU", "add" …
        shape: Of the output without the batch: (C, H, W), or (n,) for a vector.
        minimum: Of each channel, (C,); of a vector each number is a channel.
        maximum: Likewise.
        mean: Likewise.
        zeros: Share of exact zeros, likewise.
        num_not_finite: Channels that hold NaN or ∞.
        channels: Which channels `maps` shows; empty for a vector.
        factor: Each number of `maps` is the mean of `factor` × `factor` cells, fewer at the right and lower edge.
        maps: (k, h, w), float32. The numbers themselves for a vector (n,) and for maps of one cell.
    """

    index: int
    name: str
    kind: str
    shape: tuple[int, ...]
    minimum: NDArray[np.float32]
    maximum: NDArray[np.float32]
    mean: NDArray[np.float32]
    zeros: NDArray[np.float32]
    num_not_finite: int
    channels: tuple[int, ...]
    factor: int
    maps: NDArray[np.float32]

    @property
    def num_channels(self) -> int:
        """C, or n."""
        return len(self.mean)

    @property
    def num_dead(self) -> int:
        """Channels that are zero everywhere: for this picture nothing behind them can tell that they exist.

        A channel with another constant is not counted; before a ReLU, and with a bias, that may be anything.
        """
        return int(np.count_nonzero(self.zeros == 1))

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest number of the layer; NaN where one of its numbers is."""
        return float(self.minimum.min()), float(self.maximum.max())


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftmaxSteps:
    """How logits become probabilities, column by column of the table; arrays of shape (n,), float64.

    Attributes:
        logits: What the net returned.
        shifted: logit − largest logit. The probabilities stay the same, and no exponential exceeds 1.
        exponentials: exp(shifted).
        total: Their sum.
        probabilities: exponential / total.
    """

    logits: NDArray[np.float64]
    shifted: NDArray[np.float64]
    exponentials: NDArray[np.float64]
    total: float
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A run of a net on one picture.

    Attributes:
        layers: In the order in which they were called.
        softmax: What becomes of the logits of the last one; None where that made maps and no row of numbers.
    """

    layers: tuple[Layer, ...]
    softmax: SoftmaxSteps | None


def run_through(model: nn.Module, x: torch.Tensor, *, max_side: int | None = None) -> Flow:
    """Run a net on one picture, in evaluation mode and without gradients, and keep what can be looked at.

    The first 16 maps of a layer are kept: a channel then stays in its place from a convolution through normalisation,
    activation and pooling, and from one picture to the next. The statistics are of all channels. Maps are made small
    as they come, so that the memory taken does not grow with the picture and the number of layers.

    Args:
        model: Stays as it is: weights, running statistics and mode. Many threads may run one model.
        x: What the net is fed, (C, H, W) or (1, C, H, W), where its weights are.
        max_side: Larger maps are reduced to at most so many cells a side, by means over squares of whole cells. If
            not given, the largest of 56, 28 and 14 with which all maps together hold at most 1.3 million numbers:
            56 for ResNet-18, 28 for ResNet-50.

    Raises:
        DoesNotFit: The net does not take a picture of this size.
        ResourceExhausted: Not enough memory.
    """
    # How small the maps must be is known at the end; until then there is a flow for each size that may be it.
    flows: dict[int, list[Layer]] = {side: [] for side in ([max_side] if max_side else _SIDES)}
    num_cells = dict.fromkeys(flows, 0)
    last = torch.empty(0)

    def keep(call: Call, output: torch.Tensor) -> None:
        nonlocal last
        with torch._C.DisableTorchFunction():  # what is computed here is no part of the run
            last = _maps(output)
            if last[0].numel() == 1:
                last = last.flatten()
            statistics = _statistics(last)
            for side, layers in flows.items():
                layers.append(_layer(call, last, statistics, side))
                num_cells[side] += layers[-1].maps.size
        while len(flows) > 1 and num_cells[max(flows)] > _MOST_CELLS:
            del flows[max(flows)]

    with torch.no_grad():
        trace(model, _one_picture(x), watch=keep)
    is_row = last.ndim == 1 and len(last) > 0
    return Flow(layers=tuple(flows[max(flows)]), softmax=softmax_steps(last.numpy()) if is_row else None)


def maps_of(model: nn.Module, x: torch.Tensor, index: int, *, max_side: int = 56) -> NDArray[np.float32]:
    """All channels of one layer, as `run_through` shows the first of them. The layers behind it do not run.

    Args:
        model: As for `run_through`.
        x: Likewise.
        index: Of a layer of the flow.
        max_side: Likewise.

    Returns:
        (C, h, w), also where h and w are 1; (n,) where the layer makes a vector. Read-only.
    """
    with torch.no_grad():
        output = output_of(model, _one_picture(x), index)
    if output is None:
        raise IndexError(f"The net has no layer {index}.")
    maps = _maps(output)
    return _reduced(maps, _factor(maps.shape, max_side))


def softmax_steps(logits: NDArray[np.floating]) -> SoftmaxSteps:
    """Write a softmax out, one step a column.

    Args:
        logits: (n,), at least one. NaN and +∞ make all probabilities NaN, as in torch.
    """
    if logits.ndim != 1 or logits.size == 0:
        raise TypeError(f"Logits are one row of numbers, got shape {logits.shape}.")
    exact = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN, and is shown as such
        shifted = exact - exact.max()
    exponentials = np.exp(shifted)
    total = float(exponentials.sum())
    return SoftmaxSteps(
        logits=exact, shifted=shifted, exponentials=exponentials, total=total, probabilities=exponentials / total
    )


def _one_picture(x: torch.Tensor) -> torch.Tensor:
    batch = x if x.ndim == 4 else x[None]
    if batch.ndim != 4 or len(batch) != 1:
        raise TypeError(f"x is one picture, (C, H, W) or (1, C, H, W), got shape {tuple(x.shape)}.")
    return batch


def _maps(output: torch.Tensor) -> torch.Tensor:
    """(C, H, W), or (n,) for a vector."""
    one = output[0] if output.ndim and len(output) == 1 else output
    one = one.detach().float().cpu()
    return one.reshape(-1) if one.ndim < 2 else one.reshape(-1, *one.shape[-2:])


def _statistics(maps: torch.Tensor) -> dict[str, Any]:
    flat = maps.reshape(len(maps), -1)
    return {
        "minimum": flat.amin(1).numpy(),
        "maximum": flat.amax(1).numpy(),
        "mean": flat.mean(1).numpy(),
        "zeros": (flat == 0).float().mean(1).numpy(),
        "num_not_finite": int((~torch.isfinite(flat)).any(1).sum()),
    }


def _layer(call: Call, maps: torch.Tensor, statistics: dict[str, Any], max_side: int) -> Layer:
    first = maps[: MOST_NUMBERS if maps.ndim == 1 else _MOST_CHANNELS]
    factor = _factor(first.shape, max_side)
    return Layer(
        index=call.index,
        name=call.name,
        kind=call.kind,
        shape=tuple(call.output_shape[1:]),
        channels=tuple(range(len(first))) if first.ndim == 3 else (),
        factor=factor,
        maps=_reduced(first, factor),
        **statistics,
    )


def _factor(shape: torch.Size, max_side: int) -> int:
    return math.ceil(max(shape[1:], default=1) / max_side)


def _reduced(maps: torch.Tensor, factor: int) -> NDArray[np.float32]:
    # A copy: the memory may be written again by the next layer, and a view would keep all of it.
    small = F.avg_pool2d(maps, factor, ceil_mode=True) if factor > 1 else maps.clone()
    array = small.numpy()
    array.flags.writeable = False  # may be shared by every session
    return array
