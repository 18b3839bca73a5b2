"""Many pictures through one shared net, a few at a time."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cnnlab.errors import RunFailed
from cnnlab.images import Preprocessing, RgbImage
from cnnlab.inference.capturing import ready

Cancelled = Callable[[], bool]

_MOST_AT_ONCE = 64
_VALUES_AT_ONCE = 2_000_000
"""Of all inputs of a batch together: 13 pictures of 224 × 224 px."""


def logits_of_pictures(
    model: nn.Module,
    pictures: Iterable[RgbImage],
    preprocessing: Preprocessing,
    *,
    progress: Callable[[int], None] | None = None,
    cancelled: Cancelled | None = None,
) -> NDArray[np.float32]:
    """What a net says of each picture.

    Args:
        model: Of `share`, or any other, which stays as it is.
        pictures: At least one; taken as they are needed.
        preprocessing: What the net was fed in training; must make all pictures the same size.
        progress: Called after each batch with how many are done.
        cancelled: Asked before each batch; True ends it.

    Returns:
        Logits, (N, classes).

    Raises:
        InputRejected: As `Preprocessing.apply`.
        RunFailed: It was cancelled.
    """
    model = ready(model)
    done: list[NDArray[np.float32]] = []
    for batch in _batches(preprocessing.apply(picture) for picture in pictures):
        if cancelled and cancelled():
            raise RunFailed("Looking at the pictures was stopped. Start it again to have its result.")
        done.append(logits_of_batch(model, batch))
        if progress:
            progress(sum(map(len, done)))
    return np.concatenate(done)


def logits_of_batch(model: nn.Module, inputs: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Logits, (N, classes), of inputs (C, H, W) of one size, in one go.

    Args:
        model: Of `share` or `ready`.
        inputs: As `Preprocessing.apply` makes them.
    """
    x = torch.from_numpy(np.stack(list(inputs)))
    parameter = next(model.parameters(), x)
    with torch.no_grad():
        return model(x.to(device=parameter.device, dtype=parameter.dtype)).float().cpu().numpy()


def _batches(inputs: Iterable[NDArray[np.float32]]) -> Iterator[list[NDArray[np.float32]]]:
    waiting = iter(inputs)
    for first in waiting:
        at_once = max(1, min(_MOST_AT_ONCE, _VALUES_AT_ONCE // first.size))
        yield [first, *islice(waiting, at_once - 1)]
