"""From a net as data to a net that runs."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from cnnlab.nets.blocks import ChannelSpatialAttention, Residual, SqueezeExcitation
from cnnlab.nets.spec.checking import Step
from cnnlab.nets.spec.kinds import ACTIVATIONS, LAYER_KINDS
from cnnlab.nets.spec.layers import LayerSpec, Shape
from cnnlab.nets.spec.netspec import NetSpec

BLOCKS: dict[str, type[nn.Module]] = {
    cls.__name__: cls for cls in (Residual, SqueezeExcitation, ChannelSpatialAttention)
}
"""The classes of ours, which `torch.nn` does not have."""


def build(spec: NetSpec) -> nn.Sequential:
    """Make the net, with PyTorch's random weights from its global generator.

    Returns:
        Takes (N, C, H, W) of `spec.input_shape` and returns what the last layer makes; nothing is added to it.
    """
    return nn.Sequential(*_modules(spec.steps, {}))


def torch_class(name: str) -> type[nn.Module]:
    """The class of a `TorchForm`."""
    if name == "StochasticDepth":
        from torchvision.ops import StochasticDepth  # only here: torchvision takes a second to import

        return StochasticDepth
    return BLOCKS.get(name) or getattr(nn, name)


def arguments(layer: LayerSpec, in_shape: Shape) -> tuple[list[Any], dict[str, Any]]:
    """What a layer's class is called with: by position, and by keyword where it is not PyTorch's default.

    Activations stand as their class.
    """
    kind = LAYER_KINDS[layer.kind]
    assert kind.torch is not None, layer.kind
    leading, others = [], {}
    for index, argument in enumerate(kind.torch.signature):
        param = kind.param(argument)
        if param is None:
            value = in_shape[0] if argument == kind.torch.inferred else kind.torch.fixed.get(argument)
        else:
            value = activation_class(layer[argument]) if param.type == "activation" else layer[argument]
        if index < kind.torch.leading:
            leading.append(value)
        elif param is not None and layer[argument] != (layer[param.follows] if param.follows else param.default):
            others[argument] = value
    return leading, others


def activation_class(key: str) -> type[nn.Module]:
    """The class of an activation in `ACTIVATIONS`."""
    form = ACTIVATIONS[key].torch
    assert form is not None
    return torch_class(form.cls)


def _modules(steps: Sequence[Step], named: dict[str, nn.Module]) -> list[nn.Module]:
    return [_module(step, named) for step in steps]


def _module(step: Step, named: dict[str, nn.Module]) -> nn.Module:
    layer = step.layer
    if layer.kind == "reuse":
        return named[layer["of"]]
    if layer.kind == "residual":
        module = Residual(
            nn.Sequential(*_modules(step.body, named)),
            nn.Sequential(*_modules(step.shortcut, named)) if step.shortcut else None,
            None if layer["activation"] == "none" else activation_class(layer["activation"])(),
        )
    else:
        form = LAYER_KINDS[layer.kind].torch
        assert form is not None, layer.kind
        leading, others = arguments(layer, step.in_shape)
        module = torch_class(form.cls_for(step.in_shape))(*leading, **others)
    if layer.name:
        named[layer.name] = module
    return module
