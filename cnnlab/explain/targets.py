"""What is asked of a net: one of its logits, for all pictures or for each its own, or one logit against another."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnlab.errors import InputRejected


@dataclass(frozen=True, slots=True)
class Contrast:
    """Why the one class and not the other: logit `of` minus logit `against`.

    Attributes:
        of: Index of the class that is asked for.
        against: Index of the one it is held against.
    """

    of: int
    against: int


Target = int | Sequence[int] | Contrast
"""A class index, one for each picture of the batch, or a contrast of two."""


def score(logits: Tensor, target: Target) -> Tensor:
    """The number that is explained, for each picture.

    Args:
        logits: (N, classes).
        target: Class indexes are 0 to classes − 1.

    Returns:
        (N,)

    Raises:
        InputRejected: The net has no such class, or there are more or fewer indexes than pictures.
    """
    if isinstance(target, Contrast):
        return score(logits, target.of) - score(logits, target.against)
    indexes = [target] * len(logits) if isinstance(target, int) else [int(each) for each in target]
    if len(indexes) != len(logits):
        raise InputRejected(
            f"There are {len(logits)} pictures and {len(indexes)} classes to ask for. Give one for each."
        )
    num_classes = logits.shape[1]
    if wrong := [index for index in indexes if not 0 <= index < num_classes]:
        raise InputRejected(f"Classes are numbered 0 to {num_classes - 1}, got {wrong[0]}. Choose one of these.")
    return logits.gather(1, torch.tensor(indexes, device=logits.device)[:, None])[:, 0]


def of_picture(target: Target, picture: int) -> Target:
    """What is asked of one picture of a batch, whatever the number of rows it is asked of."""
    return target if isinstance(target, int | Contrast) else int(target[picture])
