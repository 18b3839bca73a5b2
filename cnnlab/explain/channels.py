"""The channels of a layer one by one: what they weigh, what the net says without them, which pictures excite them.

What a channel sees is in `cnnlab.nets.flow.maps_of`.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cnnlab.errors import InputRejected
from cnnlab.explain.gradcam import channel_weights
from cnnlab.explain.passes import Pass, logits_with
from cnnlab.explain.targets import Target
from cnnlab.explain.variants import each_without, finite
from cnnlab.inference.batching import pictures_at_once
from cnnlab.inference.capturing import as_taken, capturing, ready

_MOST_BYTES = 64 * 2**20
_MOST_PICTURES = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelFacts:
    """What the channels of a layer make of one picture; arrays of shape (K,).

    Attributes:
        means: Of each map.
        maxima: Of each map.
        weights: α of Grad-CAM: by how much the score rises with the channel, a cell's mean.
        is_dead: Whether the map is zero everywhere. Before a ReLU, and with a bias, hardly any is.
    """

    means: NDArray[np.float32]
    maxima: NDArray[np.float32]
    weights: NDArray[np.float32]
    is_dead: NDArray[np.bool_]

    def by_mean(self) -> list[int]:
        """Channels, the largest mean first."""
        return np.argsort(-self.means, kind="stable").tolist()

    def by_weight(self) -> list[int]:
        """Channels, from what speaks most for the class to what speaks most against it."""
        return np.argsort(-self.weights, kind="stable").tolist()


@dataclass(frozen=True, slots=True)
class TopPicture:
    """A picture that excites a channel.

    Attributes:
        index: Place among the pictures, from 0.
        value: Largest of the channel's map.
        place: (row, column) of the cell that holds it.
    """

    index: int
    value: float
    place: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TopPictures:
    """The pictures that excite each channel of a layer most, of those seen so far; arrays of shape (K, n).

    Attributes:
        num_seen: Pictures that were tried.
        cells: (h, w) of the layer's maps; (1, 1) where it makes a vector.
        values: Largest of the map, the highest first.
        indices: Of the picture, from 0 in the order in which they came; the earlier one first where values are equal.
        rows: Of the cell with that value.
        columns: Likewise.
    """

    num_seen: int
    cells: tuple[int, int]
    values: NDArray[np.float32]
    indices: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def of(self, channel: int) -> tuple[TopPicture, ...]:
        """Of one channel, the most exciting first. Where the first value is 0 behind a ReLU, no picture excites it."""
        columns = (self.indices, self.values, self.rows, self.columns)
        return tuple(
            TopPicture(int(index), float(value), (int(row), int(column)))
            for index, value, row, column in zip(*(each[channel] for each in columns), strict=True)
        )


def facts_of(seen: Pass, target: Target, layer: str, picture: int = 0) -> ChannelFacts:
    """What can be said of each channel for one picture of a pass.

    Args:
        seen: With the layer in it.
        target: Class, or contrast, that the weights are for.
        layer: One that makes maps.
        picture: Place in the batch.

    Raises:
        InputRejected: There is no such class, or the layer is not in the pass or makes no maps.
    """
    flat_kp = seen.maps(layer)[picture].flatten(1)
    return ChannelFacts(
        means=flat_kp.mean(1).cpu().numpy(),
        maxima=flat_kp.amax(1).cpu().numpy(),
        weights=channel_weights(seen, target, layer)[picture].cpu().numpy(),
        is_dead=(flat_kp == 0).all(1).cpu().numpy(),
    )


def switched_off(seen: Pass, layer: str, channels: Collection[int]) -> Tensor:
    """What the net says when some channels of a layer are zero everywhere, (N, classes).

    Raises:
        InputRejected: There is no such layer or channel.
    """
    off = sorted(channels)

    def edit(output: Tensor) -> Tensor:
        check_channels(layer, output, off)
        edited = output.clone()
        edited[:, off] = 0
        return edited

    return finite(seen.logits_with(layer, edit))


def each_switched_off(seen: Pass, layer: str, picture: int = 0) -> Tensor:
    """What the net says of one picture with each channel off by itself: row k without channel k, (K, classes).

    The layers before run once for many channels.

    Args:
        seen: With the layer in it.
        layer: One that makes maps.
        picture: Place in the batch.

    Raises:
        InputRejected: The layer is not in the pass or makes no maps.
    """
    maps_khw = seen.activation(layer)[picture]
    x = seen.x[picture : picture + 1]
    most = _MOST_BYTES // (maps_khw.numel() * maps_khw.element_size())
    at_once = pictures_at_once(seen.model, x, most=most, layer=layer)
    parts = []
    for off in torch.arange(len(maps_khw), device=x.device).split(at_once):
        logits = logits_with(seen.model, x, layer, partial(each_without, off=off))
        parts.append(logits.expand(len(off), -1))
    return finite(torch.cat(parts))


def top_pictures(
    model: nn.Module, pictures: Tensor | Iterable[Tensor], layer: str, num: int = 9
) -> Iterator[TopPictures]:
    """Sweep over pictures once and keep, for every channel of a layer, those that excite it most.

    Memory is that of a batch and of the table, however many pictures there are; layers behind this one do not run,
    but where `pictures_at_once` measures the net.

    Args:
        model: Of `cnnlab.inference.share`, or any other; stays as it is.
        pictures: (N, C, H, W), or batches of such, normalised.
        layer: Any that makes maps or a vector.
        num: How many pictures to keep for each channel.

    Yields:
        The table so far, after each batch; at most `num` pictures wide. Close it to stop.

    Raises:
        InputRejected: There is no such layer.
        RunFailed: The layer makes NaN or ∞.
    """
    model = ready(model)
    if isinstance(pictures, Tensor):
        batches = pictures.split(pictures_at_once(model, pictures, most=min(len(pictures), _MOST_PICTURES)))
    else:
        batches = pictures
    values = torch.empty(0)
    indices = places = torch.empty(0, dtype=torch.int64)
    num_seen = 0
    for batch in batches:
        with torch.no_grad():
            maps = as_maps(layer, made_by(model, as_taken(model, batch), layer)).float().cpu()
        new_values, new_places = finite(maps.flatten(2)).max(2)  # (N, K)
        new_indices = torch.arange(num_seen, num_seen + len(maps)).expand(maps.shape[1], -1)
        if not num_seen:
            values, indices, places = new_values.T, new_indices, new_places.T
        else:
            values = torch.cat([values, new_values.T], dim=1)
            indices = torch.cat([indices, new_indices], dim=1)
            places = torch.cat([places, new_places.T], dim=1)
        values, order = values.sort(dim=1, descending=True, stable=True)
        values, order = values[:, :num], order[:, :num]
        indices, places = indices.gather(1, order), places.gather(1, order)
        num_seen += len(maps)
        height, width = maps.shape[2:]
        yield TopPictures(
            num_seen=num_seen,
            cells=(height, width),
            values=values.numpy(),
            indices=indices.numpy(),
            rows=(places // width).numpy(),
            columns=(places % width).numpy(),
        )


class _Made(Exception):
    """What was asked for is there; the rest of the net need not run."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


def made_by(model: nn.Module, x: Tensor, layer: str) -> Tensor:
    """What a layer makes, with its graph where gradients are enabled; the layers behind it do not run.

    Args:
        model: Of `cnnlab.inference.share` or `ready`.
        x: (N, C, H, W).
        layer: Its name.

    Raises:
        InputRejected: There is no such layer.
    """

    def caught(output: Tensor) -> Tensor:
        raise _Made(output)

    try:
        with capturing(model, edits={layer: caught}):
            model(x)
    except _Made as made:
        return made.output
    raise AssertionError("capturing refuses a layer that did not run")


def as_maps(layer: str, output: Tensor) -> Tensor:
    """(N, K, h, w), of a vector (N, K, 1, 1).

    Raises:
        InputRejected: It is neither.
    """
    if output.ndim not in (2, 4):
        raise InputRejected(
            f"Layer {layer} makes {' × '.join(map(str, output.shape[1:]))} numbers of each picture, which are neither "
            "maps nor a row of channels. Choose another layer."
        )
    return output if output.ndim == 4 else output[:, :, None, None]


def check_channels(layer: str, output: Tensor, channels: Collection[int]) -> None:
    """Refuse channels that a layer's output, (N, K, …), does not have.

    Raises:
        InputRejected: One of them is not there.
    """
    if wrong := [channel for channel in channels if not 0 <= channel < output.shape[1]]:
        raise InputRejected(
            f"Channels of layer {layer} are numbered 0 to {output.shape[1] - 1}, got {wrong[0]}. Choose one of these."
        )
