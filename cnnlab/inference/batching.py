"""Many pictures through one shared net, so many at a time that the memory taken stays small."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cnnlab.errors import InputRejected, RunFailed
from cnnlab.images import Preprocessing, RgbImage
from cnnlab.inference.capturing import as_taken, ready, watch_layers

Cancelled = Callable[[], bool]

BYTES_AT_ONCE = 256 * 2**20
"""Of all that layers make of a batch. Without gradients most of it is freed on the way; the way back holds all."""

_MOST_AT_ONCE = 64
_VALUES_AT_ONCE = 2_000_000
"""Of all inputs of a batch together: 13 pictures of 224 × 224 px."""

_Made = tuple[tuple[str, int], ...]
_made: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], _Made]] = WeakKeyDictionary()


def pictures_at_once(model: nn.Module, x: Tensor, *, most: int, layer: str | None = None) -> int:
    """How many pictures of a size may go through a net together: `BYTES_AT_ONCE`, and always one.

    The first time that a net gets pictures of a size, one of them runs alone to be measured.

    Args:
        model: Of `share` or `ready`.
        x: (N, C, H, W), at least one picture.
        most: Never more than this.
        layer: Where the batch begins, with one picture before; None for all of the net.
    """
    return max(1, min(most, BYTES_AT_ONCE // bytes_of_picture(model, x, layer))) if most > 1 else 1


def bytes_of_picture(model: nn.Module, x: Tensor, layer: str | None = None) -> int:
    """What goes into a net and what its layers make of it, for one picture; from a layer on, if told.

    Args:
        model: Of `share` or `ready`.
        x: (N, C, H, W); the first picture is shown to the net.
        layer: As in `pictures_at_once`.
    """
    known = _made.setdefault(model, {})
    shape = tuple(x.shape[1:])
    if shape not in known:
        known[shape] = _measured(model, as_taken(model, x[:1]))
    made = known[shape]
    first = next((place for place, (name, _) in enumerate(made) if name == layer), 0)
    return max(1, sum(size for _, size in made[first:]))


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
        InputRejected: As `Preprocessing.apply`, `check_size` and `logits_of_inputs`.
        RunFailed: It was cancelled.
    """
    model = ready(model)
    done: list[NDArray[np.float32]] = []
    for batch in _batches(preprocessing.apply(picture) for picture in pictures):
        if cancelled and cancelled():
            raise RunFailed("Looking at the pictures was stopped. Start it again to have its result.")
        done.append(logits_of_inputs(model, torch.from_numpy(np.stack(batch))))
        if progress:
            progress(sum(map(len, done)))
    return np.concatenate(done)


def logits_of_inputs(model: nn.Module, x: Tensor) -> NDArray[np.float32]:
    """Logits, (N, classes), in batches of bounded memory.

    Args:
        model: Of `share` or `ready`.
        x: (N, C, H, W) as `Preprocessing.apply` makes them; goes to the model's device and precision.

    Raises:
        InputRejected: The net makes no row of logits.
    """
    made = []
    with torch.no_grad():
        at_once = pictures_at_once(model, x, most=min(len(x), _most_at_once(x[0].numel())))
        for batch in x.split(at_once):
            logits = model(as_taken(model, batch))
            if not isinstance(logits, Tensor) or logits.ndim != 2:
                raise InputRejected(
                    "The net does not end with one row of logits for each picture, so no class can be asked for."
                )
            made.append(logits.float().cpu().numpy())  # waits for the device
    return np.concatenate(made)


def check_size(made: NDArray[np.float32], first: NDArray[np.float32], number: int) -> None:
    """Refuse a picture that has another size than the first one.

    Args:
        made: (C, H, W), of `Preprocessing.apply`.
        first: Likewise.
        number: Of the picture, from 1.

    Raises:
        InputRejected: It has.
    """
    if made.shape != first.shape:
        raise InputRejected(
            f"Picture {number} becomes {_size(made)} px and the first one {_size(first)} px: a net takes pictures of "
            "one size at a time. Set a crop, or give them one by one."
        )


def _measured(model: nn.Module, x: Tensor) -> _Made:
    """Layer → bytes that it makes, in order; what goes in comes first, without a name."""
    made = [("", x.numel() * x.element_size())]
    last = 0

    def watch(name: str, module: nn.Module, output: Tensor) -> None:
        nonlocal last
        del module
        # A layer that works in place, a view, and a block that ends with one of its layers make nothing of their own.
        is_new = output.data_ptr() != last
        last = output.data_ptr()
        made.append((name, is_new * output.numel() * output.element_size()))

    watch_layers(model, x, watch)
    return tuple(made)


def _most_at_once(num_values: int) -> int:
    return max(1, min(_MOST_AT_ONCE, _VALUES_AT_ONCE // num_values))


def _batches(inputs: Iterable[NDArray[np.float32]]) -> Iterator[list[NDArray[np.float32]]]:
    waiting = iter(inputs)
    first, number = None, 0
    for leader in waiting:
        first = leader if first is None else first
        batch = [leader, *islice(waiting, _most_at_once(leader.size) - 1)]
        for made in batch:
            number += 1
            check_size(made, first, number)
        yield batch


def _size(x_chw: NDArray[np.float32]) -> str:
    return f"{x_chw.shape[2]} × {x_chw.shape[1]}"
