"""Another way backwards through a net's ReLUs, for the calls of one block in one thread.

Layers and functions are met alike (`nn.ReLU`, `F.relu`, `torch.relu`, `Tensor.relu_`, in place or not, and those with
an upper end: `nn.ReLU6`), by a mode that belongs to the thread: no hook comes or goes, and no module is swapped.

with Rectifiers(Guided) as met:
    logits = model(x)
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_RELUS = (F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
_IN_PLACE = (torch.relu_, Tensor.relu_)


class Rectifiers(TorchFunctionMode):
    """While it is entered, ReLUs give what they always give, with the gradients of another function.

    Never yield from inside: a generator's caller would rectify along.

    Args:
        function: `function.apply(x, ceiling)` is x clamped to 0 … ceiling.

    Attributes:
        count: ReLUs that were met.
    """

    def __init__(self, function: type[torch.autograd.Function]) -> None:
        super().__init__()
        self._function = function
        self.count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch for each of its functions."""
        del types
        kwargs = kwargs or {}
        ceiling = _ceiling(func, kwargs)
        if ceiling is None:
            return func(*args, **kwargs)
        self.count += 1
        x = args[0] if args else kwargs["input"]
        rectified = self._function.apply(x, ceiling)
        return x.copy_(rectified) if func in _IN_PLACE or kwargs.get("inplace") else rectified


def _ceiling(func: Any, kwargs: dict[str, Any]) -> float | None:
    """Where a ReLU ends; None for other functions. Those of `F` hand on all but the tensor by name."""
    if func in _RELUS:
        return torch.inf
    if func is F.relu6:
        return 6.0
    if func is F.hardtanh and kwargs["min_val"] == 0:  # what nn.ReLU6 calls
        return kwargs["max_val"]
    return None


def is_open(x: Tensor, ceiling: float) -> Tensor:
    """Where a ReLU lets gradients through."""
    return x > 0 if ceiling == torch.inf else (x > 0) & (x < ceiling)


class Guided(torch.autograd.Function):
    """Backwards, only what is positive goes through, and only where the input was.

    Springenberg et al., Striving for Simplicity: The All Convolutional Net, ICLR workshop 2015, figure 1b.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float) -> Tensor:
        """X clamped to 0 … ceiling."""
        ctx.save_for_backward(is_open(x, ceiling))
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Of x; the ceiling has none."""
        (was_open,) = ctx.saved_tensors
        return gradients[0].clamp_min(0).mul_(was_open), None
