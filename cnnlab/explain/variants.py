"""Many variants of each picture through a net, so many at a time that the memory taken stays small."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnlab.errors import RunFailed
from cnnlab.explain.passes import Pass
from cnnlab.explain.targets import Contrast, Target, score
from cnnlab.inference.batching import pictures_at_once
from cnnlab.inference.capturing import as_taken

_MOST_PICTURES = 32
_MOST_PIXELS = 4 * 224 * 224  # a CPU is no quicker with more of them


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """Pictures to be run at once; row by row, variant `variants[row]` of picture `pictures[row]`.

    Attributes:
        variants: Numbered from 0, (B,).
        pictures: Places in the batch of the pass, (B,), on its device.
        target: For these rows.
        done: Share of all rows that are done with this chunk.
    """

    variants: tuple[int, ...]
    pictures: Tensor
    target: Target
    done: float


def chunks(seen: Pass, target: Target, num_variants: int) -> Iterator[Chunk]:
    """All variants of all pictures, the first variant of each picture first.

    Raises:
        InputRejected: There is no such class.
    """
    score(seen.logits, target)
    num_pictures, _, height, width = seen.x.shape
    num_rows = num_variants * num_pictures
    most = min(num_rows, _MOST_PICTURES, _MOST_PIXELS // (height * width))
    at_once = pictures_at_once(seen.model, seen.x, most=most)
    for first in range(0, num_rows, at_once):
        rows = range(first, min(first + at_once, num_rows))
        pictures = [row % num_pictures for row in rows]
        yield Chunk(
            variants=tuple(row // num_pictures for row in rows),
            pictures=torch.tensor(pictures, device=seen.x.device),
            target=target if isinstance(target, int | Contrast) else [target[each] for each in pictures],
            done=rows.stop / num_rows,
        )


def each_without(output: Tensor, off: Tensor) -> Tensor:
    """One picture's maps once for each of some channels, with that channel zero, (B, K, h, w).

    Args:
        output: (1, K, h, w).
        off: Indexes of channels, (B,).
    """
    batch = output.expand(len(off), -1, -1, -1).clone()
    batch[torch.arange(len(off), device=off.device), off] = 0
    return batch


def input_gradients(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    """How the score changes with each number that enters the net, (N, C, H, W), in float32.

    Args:
        model: In evaluation mode; stays as it is.
        x: (N, C, H, W).
        target: For each picture of x.

    Raises:
        InputRejected: There is no such class.
        RunFailed: The gradient is NaN or ∞.
    """
    with torch.inference_mode(False), torch.enable_grad():
        x = as_taken(model, x).requires_grad_()
        # A copy goes in, because the first layer may work in place. Pictures of a batch do not influence each other in
        # evaluation mode: the sum has the gradients of each.
        total = score(model(x.clone()), target).sum()
        if not total.requires_grad:
            return torch.zeros_like(x, dtype=torch.float32, requires_grad=False)
        (gradients,) = torch.autograd.grad(total, x, allow_unused=True, materialize_grads=True)
    return finite(gradients.float())


def finite(values: Tensor) -> Tensor:
    """The values themselves.

    Raises:
        RunFailed: One of them is NaN or ∞.
    """
    if not bool(torch.isfinite(values).all()):
        raise RunFailed(
            "The net's answers or gradients are NaN or ∞ for this picture: its weights are broken, or its numbers "
            "are too large for their precision. Choose other weights, or float32."
        )
    return values
