"""How much memory a net takes in training and in use.

What a tool can add up beforehand: parameters, gradients, state of the optimizer, and what the layers keep for the way
back. The last is not guessed from the outputs, as "forward/backward pass size" in many summaries is (1.2 to 2.6 times
too high for common nets): PyTorch is asked what it keeps, in a run without values.

Not in it: scratch memory of the operations, what the allocator holds in reserve, and the program itself.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cnnlab.nets.skeletons import on_meta, skeleton
from cnnlab.nets.tracing import Call, black, trace_shapes

# Numbers per learnt parameter that the optimizer keeps: momentum; Adam's two moments (Kingma & Ba, 2015, algorithm 1).
_STATE = {"sgd": 0, "momentum": 1, "adam": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Bytes that training takes at its peak, between the way there and the way back.

    Attributes:
        parameters: Parameters and buffers.
        gradients: One number for each parameter that learns.
        optimizer_state: What the optimizer keeps from step to step.
        saved: What layers keep for the way back, for the whole batch; the input, where a layer keeps it, is in it.
    """

    parameters: int
    gradients: int
    optimizer_state: int
    saved: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.parameters + self.gradients + self.optimizer_state + self.saved


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceMemory:
    """Bytes that a net takes in use, without gradients.

    Attributes:
        parameters: Parameters and buffers.
        peak: Most that input and maps take at one time, each given back after its last use.
        peak_at: Name of the call during which that is so.
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
    return TrainingMemory(
        parameters=_own_bytes(model),
        gradients=learnt,
        optimizer_state=_STATE[optimizer] * learnt,
        saved=_saved_bytes(model, (batch_size, *input_shape)),
    )


def inference_memory(model: nn.Module, input_shape: tuple[int, int, int], batch_size: int) -> InferenceMemory:
    """Work out what use takes.

    A map is taken to be given back as soon as nothing that still runs reads it. A net that keeps its maps in variables
    until the end holds on to more.

    Args:
        model: Any module. It is not touched.
        input_shape: (C, H, W).
        batch_size: Pictures at once.

    Raises:
        DoesNotFit: A layer cannot work on what reaches it.
        InputRejected: The net has layers without sizes yet.
    """
    calls = trace_shapes(model, input_shape, batch_size=batch_size)
    peak, peak_at = _peak(calls, black(model, (batch_size, *input_shape), on_meta=True).nbytes)
    return InferenceMemory(parameters=_own_bytes(model), peak=peak, peak_at=peak_at)


def _own_bytes(model: nn.Module) -> int:
    return sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))


def _peak(calls: tuple[Call, ...], input_bytes: int) -> tuple[int, str]:
    """Most bytes alive at one time, and the call during which they are; the input is alive throughout."""
    last_use: dict[int, int] = {call.index: call.index for call in calls}
    for call in calls:
        for source in call.inputs:
            owner = -1 if source < 0 else calls[source].memory_of
            if owner is not None and owner >= 0:
                last_use[owner] = call.index
    given_back: dict[int, int] = {}
    for index, last in last_use.items():
        given_back[last] = given_back.get(last, 0) + calls[index].new_bytes
    alive, peak, peak_at = input_bytes, input_bytes, ""
    for call in calls:
        alive += call.new_bytes
        if alive > peak:
            peak, peak_at = alive, call.name
        alive -= given_back.get(call.index, 0)
    return peak, peak_at


def _saved_bytes(model: nn.Module, shape: tuple[int, ...]) -> int:
    with torch.inference_mode(False), torch.enable_grad():
        try:
            return _measured(on_meta(model, train=True), black(model, shape, on_meta=True))
        except RuntimeError:
            # Its way depends on values, and here it has none: `trace_shapes` has shown that it runs on a black picture.
            return _measured(skeleton(model, train=True), black(model, shape))


def _measured(net: nn.Module, x: Tensor) -> int:
    """Bytes that a run keeps for the way back, each piece of memory once, the net's own left out."""
    own = {each.untyped_storage()._cdata for each in (*net.parameters(), *net.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    watching = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with watching:
        net(x)
    return sum(storage.nbytes() for storage in kept.values())
