"""Look at what a layer of a shared model makes, or put something else in its place, for one call of one context only.

Capture points are set once, before a model is shared. They do nothing until the calling context asks, by a ContextVar,
and then serve that context alone. So any number of threads may predict and explain with one model at the same time and
none of them changes it: no hook comes or goes, no module is swapped, no gradient is kept. Other models that run in the
same context are not touched.

with capturing(model, ["layer4"]) as outputs:
    logits = model(x)
outputs["layer4"]
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cnnlab.errors import InputRejected
from cnnlab.nets.skeletons import skeleton

Edit = Callable[[Tensor], Tensor]


class _Root:
    """Tells the capture points of one shared model from those of another.

    It stands for the model and does not hold it, which would keep it from being freed at once. A deep copy of the model
    gets one of its own, as deepcopy remembers what it has copied.
    """


@dataclass(slots=True, eq=False)
class _Record:
    """What one context wants of one call of one model, and what came of it."""

    root: _Root
    wanted: frozenset[str]
    edits: Mapping[str, Edit]
    watch: Callable[[str, nn.Module, Tensor], None] | None = None
    outputs: dict[str, Tensor] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)


_current: ContextVar[_Record | None] = ContextVar("cnnlab.inference.capturing", default=None)


def share(model: nn.Module) -> nn.Module:
    """Make a model fit for many threads: evaluation mode, no gradients for its weights, capture points in its layers.

    Do so before a second thread sees it, and leave it as it is afterwards.

    Args:
        model: Changed. Doing it twice is doing it once.

    Raises:
        TypeError: It is part of a shared model, or one is part of it: a layer has one name only.
    """
    root = _root_of(model) or _Root()
    layers = [(name, module, _capture_point(module)) for name, module in model.named_modules()]
    if any(point is not None and point.args[1] is not root for _, _, point in layers):
        raise TypeError("a shared model cannot become part of another; copy it (cnnlab.nets.skeletons.skeleton)")
    model.eval().requires_grad_(requires_grad=False)
    for name, module, point in layers:
        if point is None:
            module.register_forward_hook(partial(_at_capture_point, name, root))
    return model


def ready(model: nn.Module) -> nn.Module:
    """The model itself where `share` has been called; else a `snapshot`, so that it stays as it is."""
    return model if _root_of(model) else snapshot(model)


def snapshot(model: nn.Module) -> nn.Module:
    """A shared copy with numbers of its own: what is learnt afterwards does not reach it.

    Raises:
        InputRejected: The net has layers without sizes yet.
        Unsupported: It is compiled (TorchScript).
    """
    # The numbers of a skeleton are those of the model. It has no hooks, so that deepcopy can copy it, ties and all.
    with torch.inference_mode(False):
        return share(copy.deepcopy(skeleton(model)))


def as_taken(model: nn.Module, x: Tensor) -> Tensor:
    """A batch on the model's device and in its precision, with nothing behind it that gradients could go back to."""
    parameter = next((each for each in model.parameters() if each.is_floating_point()), x)
    x = x.detach().to(device=parameter.device, dtype=parameter.dtype)
    return x.clone() if x.is_inference() else x


@contextmanager
def capturing(
    model: nn.Module, layers: Sequence[str] = (), *, edits: Mapping[str, Edit] | None = None
) -> Iterator[dict[str, Tensor]]:
    """For the calls of `model`, and of no other, in this block: keep outputs of layers, or put others in their place.

    Where gradients are enabled, the graph begins at the first captured layer: what lies before it costs no more than a
    prediction. Never yield from inside the block: a generator's caller would capture along.

    Args:
        model: Of `share` or `ready`.
        layers: Names of modules; the second call of one in a run is "relu#2", as in `cnnlab.nets.tracing`.
        edits: Layer → what its output becomes. An edit may answer one picture's output with a batch of others; its
            answer belongs to the net, where later layers may work on it in place.

    Returns:
        Layer → what it made, (N, …); filled while the model runs. Later layers may work in place: it is left as it was.

    Raises:
        InputRejected: A layer that was asked for did not run, or made something other than a tensor.
    """
    assert not model.training, "a shared model stays in evaluation mode"
    record = _Record(_shared_root(model), frozenset(layers), dict(edits or {}))
    with _asking(record):
        yield record.outputs
    if missing := (record.wanted | record.edits.keys()) - record.calls.keys():
        raise InputRejected(
            f"The net has no layer {', '.join(sorted(missing))} that makes one tensor. Choose one of its layers: "
            f"{', '.join(name for name, _ in model.named_modules() if name)}."
        )


def watch_layers(model: nn.Module, x: Tensor, watch: Callable[[str, nn.Module, Tensor], None]) -> Tensor:
    """Run a model without gradients and call `watch` with name, module and output of each layer as it ends.

    Args:
        model: Of `share` or `ready`.
        x: (N, C, H, W); stays as it is, also where the net works in place.
        watch: Must not keep the output: later layers may write into its memory.

    Returns:
        What the model makes.
    """
    with torch.no_grad(), _asking(_Record(_shared_root(model), frozenset(), {}, watch)):
        return model(x.clone())


@contextmanager
def _asking(record: _Record) -> Iterator[None]:
    token = _current.set(record)
    try:
        yield
    finally:
        _current.reset(token)


def _capture_point(module: nn.Module) -> partial[Any] | None:
    hooks = module._forward_hooks.values()
    return next((hook for hook in hooks if isinstance(hook, partial) and hook.func is _at_capture_point), None)


def _root_of(model: nn.Module) -> _Root | None:
    """None where `share` was not called with this very model; also where it is a layer of a shared one."""
    point = _capture_point(model)
    return point.args[1] if point is not None and not point.args[0] else None


def _shared_root(model: nn.Module) -> _Root:
    root = _root_of(model)
    assert root is not None, "capture points are set by share() or ready()"
    return root


def _at_capture_point(name: str, root: _Root, module: nn.Module, args: Any, output: Any) -> Tensor | None:
    del args
    record = _current.get()
    if record is None or record.root is not root or not isinstance(output, Tensor) or not name:
        return None
    record.calls[name] += 1
    if (times := record.calls[name]) > 1:
        name = f"{name}#{times}"
        record.calls[name] += 1
    if record.watch is not None:
        record.watch(name, module, output)
    edit = record.edits.get(name)
    if edit is not None:
        output = edit(output)
    if name in record.wanted:
        if torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()  # here the graph begins
        record.outputs[name] = output
        # What follows may work in place (ReLU): it gets a copy, and what was captured stays what the layer made.
        return output.clone()
    return output if edit is not None else None
