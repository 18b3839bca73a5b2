"""How much memory a net takes in training and in use.

What a tool can add up beforehand: parameters, gradients, state of the optimizer, the maps alive at one time, and what
the layers keep for the way back. The last two are not guessed from the outputs, as "forward/backward pass size" in
many summaries is (1.2 to 2.6 times too high for common nets): the net runs without values, and after each operation
of PyTorch's core we look which pieces of memory are still held. That is what a real run holds: a map lives as long as a
variable of the net, or of the block around it, refers to it.

Attention takes its plain way, which writes down how much each token looks at each other; PyTorch's fused ways do not
(ViT-B/16 for one picture of 224 px: 8 % less).

Not in it: scratch memory inside of the operations, what the allocator holds in reserve, and the program itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from cnnlab.nets.operations import tensors
from cnnlab.nets.skeletons import on_meta, skeleton
from cnnlab.nets.tracing import black, trace_shapes

# Numbers per learnt parameter that the optimizer keeps: momentum; Adam's two moments (Kingma & Ba, 2015, algorithm 1).
_STATE = {"sgd": 0, "momentum": 1, "adam": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Bytes that training takes at its peak, at the end of the way there or before.

    Attributes:
        parameters: Parameters and buffers.
        gradients: One number for each parameter that learns.
        optimizer_state: What the optimizer keeps from step to step.
        saved: What layers keep for the way back, for the whole batch; the input, where a layer keeps it, is in it.
        forward_peak: Most that input and maps, those saved among them, take at one time on the way there.
    """

    parameters: int
    gradients: int
    optimizer_state: int
    saved: int
    forward_peak: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.parameters + self.gradients + self.optimizer_state + max(self.saved, self.forward_peak)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceMemory:
    """Bytes that a net takes in use, without gradients.

    Attributes:
        parameters: Parameters and buffers.
        peak: Most that input and maps take at one time.
        peak_at: Path of the innermost module that runs then; class of the net where that is the net itself.
    """

    parameters: int
    peak: int
    peak_at: str

    @property
    def total(self) -> int:
        """All of it."""
        return self.parameters + self.peak


def training_memory(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    batch_size: int,
    *,
    optimizer: Literal["adam", "sgd", "momentum"] = "adam",
) -> TrainingMemory:
    """Work out what training takes.

    Args:
        model: Any module. It is not touched.
        input_shape: (C, H, W).
        batch_size: Pictures at once.
        optimizer: "sgd" is without momentum.

    Raises:
        DoesNotFit: A layer cannot work on what reaches it, one picture a batch normalisation for example.
        InputRejected: The net has layers without sizes yet.
    """
    trace_shapes(model, input_shape, batch_size=batch_size, train=True)
    learnt = sum(each.numel() * each.element_size() for each in model.parameters() if each.requires_grad)
    run = _run(model, (batch_size, *input_shape), train=True)
    return TrainingMemory(
        parameters=_own_bytes(model),
        gradients=learnt,
        optimizer_state=_STATE[optimizer] * learnt,
        saved=run.saved,
        forward_peak=run.peak,
    )


def inference_memory(model: nn.Module, input_shape: tuple[int, int, int], batch_size: int) -> InferenceMemory:
    """Work out what use takes.

    Args:
        model: Any module. It is not touched.
        input_shape: (C, H, W).
        batch_size: Pictures at once.

    Raises:
        DoesNotFit: A layer cannot work on what reaches it.
        InputRejected: The net has layers without sizes yet.
    """
    trace_shapes(model, input_shape, batch_size=batch_size)
    run = _run(model, (batch_size, *input_shape), train=False)
    return InferenceMemory(parameters=_own_bytes(model), peak=run.peak, peak_at=run.peak_at)


def _own_bytes(model: nn.Module) -> int:
    return sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))


def _run(model: nn.Module, shape: tuple[int, ...], *, train: bool) -> "_Run":
    """Run the net once, with gradients when it trains."""
    with torch.inference_mode(False), torch.set_grad_enabled(train):
        try:
            return _measured(on_meta(model, train=train), black(model, shape, on_meta=True))
        except RuntimeError:
            # Its way depends on values, and here it has none: `trace_shapes` has shown that it runs on a black picture.
            return _measured(skeleton(model, train=train), black(model, shape))


def _measured(net: nn.Module, x: Tensor) -> "_Run":
    run = _Run(net, x)
    with run, torch.autograd.graph.saved_tensors_hooks(run.keep, lambda tensor: tensor):
        net(x)
    return run


class _Run(TorchDispatchMode):
    """Looks after each operation which memory is held, each piece once, that of parameters and buffers left out.

    Attributes:
        peak: Most bytes held at one time, the input among them.
        peak_at: Path of the module that ran then.
        saved: Bytes that are kept for the way back.
    """

    def __init__(self, net: nn.Module, x: Tensor) -> None:
        super().__init__()
        self._own = {_storage(each)._cdata for each in (*net.parameters(), *net.buffers())}
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}
        self._saved: dict[int, int] = {}
        self._running: list[str] = []
        self.peak, self.peak_at = 0, ""
        self._paths = {id(module): path or type(net).__name__ for path, module in net.named_modules()}
        for module in net.modules():
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)
        self._look([x])

    @property
    def saved(self) -> int:
        return sum(self._saved.values())

    def keep(self, tensor: Tensor) -> Tensor:
        """Note a tensor that is kept for the way back. What is kept does not end while the net runs."""
        storage = _storage(tensor)
        if storage._cdata not in self._own:
            self._saved[storage._cdata] = storage.nbytes()
        return tensor

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation of PyTorch's core and look."""
        del types
        result = func(*args, **(kwargs or {}))
        self._look(tensors(result))
        return result

    def _enter(self, module: nn.Module, _: Any) -> None:
        self._running.append(self._paths[id(module)])

    def _leave(self, *_: Any) -> None:
        self._running.pop()

    def _look(self, made: Iterable[Tensor]) -> None:
        self._held = {key: held for key, held in self._held.items() if not held[0].expired()}
        for storage in map(_storage, made):
            if storage._cdata not in self._own and storage._cdata not in self._held:
                self._held[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        held = sum(num_bytes for _, num_bytes in self._held.values())
        if held > self.peak:
            self.peak, self.peak_at = held, self._running[-1] if self._running else ""


def _storage(tensor: Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()
