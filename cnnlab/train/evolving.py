"""A net at every epoch whose weights were kept: its first filters, what it makes of one picture, how far it has come.

    for epoch in epochs_in(folder):
        now = frame(folder, epoch, x)
        now.filters.weights, now.flow.softmax, now.moved

What is compared across epochs shares a scale: `filter_limit` and `map_limit` say which.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cnnlab.nets.flow import Flow, maps_of, run_through
from cnnlab.train.building import of_run
from cnnlab.train.checkpoints import epochs_in, read_weights, weights_file

_SCALE_EPOCHS = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filters:
    """The weights that meet the picture.

    Attributes:
        layer: Name of the layer.
        weights: One filter for each output, shape (n, C, h, w), float32. Those of a fully connected layer are as
            large as the picture.
    """

    layer: str
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A net after an epoch.

    Attributes:
        epoch: 0 for the net before training.
        filters: Those of its first layer; None where that is no convolution and does not see the whole picture.
        flow: What every layer makes of the picture, and the probabilities in the end.
        moved: As `moved` says.
    """

    epoch: int
    filters: Filters | None
    flow: Flow
    moved: Mapping[str, float]


def frame(folder: Path, epoch: int, x: torch.Tensor) -> Frame:
    """Look at a run's net as it was after an epoch.

    Args:
        folder: Of the run.
        epoch: One of `epochs_in(folder)`.
        x: What the net is fed, shape (C, H, W), normalised as in training.

    Raises:
        InputRejected: There is no such run or epoch, or the net does not take the picture.
        RunFailed: The file is damaged.
    """
    model = of_run(folder, epoch)
    return Frame(
        epoch=epoch,
        filters=first_filters(model, tuple(x.shape)),
        flow=run_through(model, x),
        moved=moved(folder, epoch),
    )


def first_filters(model: nn.Module, shape: tuple[int, ...]) -> Filters | None:
    """The filters of the first layer with weights, as pictures.

    Args:
        model: Any net that runs its layers in the order in which they were made, as all of the lab do.
        shape: (C, H, W) of a picture.
    """
    named = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear))
    name, layer = next(named, ("", None))
    if layer is None:
        return None
    weights = layer.weight.detach().cpu().float()
    if isinstance(layer, nn.Linear):
        if layer.in_features != int(np.prod(shape)):
            return None
        weights = weights.reshape(-1, *shape)
    return Filters(layer=name, weights=weights.numpy().copy())


def filter_limit(folder: Path, layer: str) -> float:
    """Largest magnitude among the weights of a layer over all epochs; 1 where all are zero.

    Raises:
        RunFailed: A file is damaged.
    """
    name = f"{layer}.weight"
    return max(_magnitude(read_weights(weights_file(folder, epoch))[name].numpy()) for epoch in epochs_in(folder)) or 1


def map_limit(folder: Path, x: torch.Tensor, index: int) -> float:
    """Largest magnitude among the maps of a layer over the epochs, twelve of them, evenly spaced, where there are more.

    With more epochs, one between may go beyond it.

    Args:
        folder: Of the run.
        x: As in `frame`.
        index: Of a layer of the flow.

    Returns:
        1 where all maps are zero.

    Raises:
        RunFailed: A file is damaged.
    """
    epochs = epochs_in(folder)
    chosen = [epochs[i] for i in np.unique(np.linspace(0, len(epochs) - 1, _SCALE_EPOCHS).round().astype(int))]
    model = of_run(folder, chosen[0])
    largest = 0.0
    for epoch in chosen:
        model.load_state_dict(read_weights(weights_file(folder, epoch)))
        largest = max(largest, _magnitude(maps_of(model, x, index)))
    return largest or 1


def moved(folder: Path, epoch: int) -> dict[str, float]:
    """How far the weights of each layer are from where they began, ‖W − W₀‖ / ‖W₀‖, in Euclidean length.

    Kernels and matrices only: biases and BatchNorm begin at 0 and 1, whose length says nothing.

    Raises:
        InputRejected: There are no weights of this epoch, or of the beginning.
        RunFailed: A file is damaged.
    """
    start, now = (read_weights(weights_file(folder, number)) for number in (0, epoch))
    lengths = {name: float(torch.linalg.vector_norm(value)) for name, value in start.items() if value.ndim > 1}
    # A file holds its tensors in alphabetical order, in which layer 11 comes before layer 4.
    return {
        name.removesuffix(".weight"): float(torch.linalg.vector_norm(now[name] - start[name])) / lengths[name]
        for name in sorted(lengths, key=_in_order)
        if lengths[name]
    }


def _in_order(name: str) -> list[tuple[int, str]]:
    """By number where a part of a layer's name is one: "features.4" before "features.11"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def _magnitude(values: NDArray[np.float32]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max(initial=0.0))
