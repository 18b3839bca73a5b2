"""What one step does to each layer."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from cnnlab.train.events import LayersMeasured

_RELUS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU)


def layers_with_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of convolutions and linear layers, by the layer's name, in order."""
    return {name: module.weight for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


class StepMeasure:
    """Compares a net before and after one step.

    Args:
        model: The net that learns, uncompiled.
        watched: What `layers_with_weights` gives of it.
    """

    def __init__(self, model: nn.Module, watched: dict[str, torch.Tensor]) -> None:
        self._model = model
        self._watched = watched
        self._before = [weight.detach().clone() for weight in watched.values()]
        self._silent: dict[str, torch.Tensor] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around the forward pass: sees which units of each ReLU are zero for the whole batch."""
        hooks = [
            module.register_forward_hook(self._see(name))
            for name, module in self._model.named_modules()
            if isinstance(module, _RELUS)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _see(self, name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def see(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            # A module that is used twice is judged by its last use.
            others = [axis for axis in range(output.ndim) if axis != 1]
            self._silent[name] = (output.detach().amax(others) <= 0).float().mean()

        return see

    def result(self, step: int, gradient_norm: torch.Tensor) -> LayersMeasured:
        """Wait for the device and put it into words for the stream.

        Args:
            step: Steps done.
            gradient_norm: Of the whole gradient, before clipping.
        """
        gradients, updates = [], []
        for before, weight in zip(self._before, self._watched.values(), strict=True):
            gradients.append(0.0 if weight.grad is None else float(weight.grad.norm()))
            updates.append(float((weight.detach() - before).norm() / before.norm().clamp_min(1e-12)))
        return LayersMeasured(
            step=step,
            gradient_norm=float(gradient_norm),
            gradients=tuple(gradients),
            updates=tuple(updates),
            dead={name: float(share) for name, share in self._silent.items()},
        )


def memory_mb(device: torch.device) -> float:
    """What the process holds: on a GPU the peak that PyTorch allocated there, else what is resident now.

    Returns:
        MB, 10⁶ bytes; 0 where it is not known.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    if sys.platform == "win32":
        return 0.0
    import resource  # not on Windows

    # The peak, in bytes, on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
