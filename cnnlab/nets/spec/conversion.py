"""From a net in memory to a net as data, so that every net of the table can be the start of another.

Nets that run their parts in order (`nn.Sequential` and what is derived from it) are read as they stand. The nets and
blocks of torchvision have a `forward` of their own; each is written out here as what that `forward` does.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from cnnlab.errors import Unsupported
from cnnlab.nets.blocks import ChannelSpatialAttention, Residual, SqueezeExcitation
from cnnlab.nets.spec.building import torch_class
from cnnlab.nets.spec.kinds import ACTIVATIONS, LAYER_KINDS, TORCH_CLASSES
from cnnlab.nets.spec.netspec import NetSpec
from cnnlab.nets.spec.parts import IGNORED, Part, Unreadable, net, part


def from_module(model: nn.Module, input_shape: Sequence[int], name: str = "") -> NetSpec:
    """Describe a net.

    Args:
        model: Left as it is; weights are not kept.
        input_shape: (C, H, W) of the pictures it is for.
        name: Of the description.

    Raises:
        Unsupported: It has a part that the lab has no layer for, or runs its parts in an order that is not known here.
        SpecError: It cannot work on this input.
    """
    return net(_Reader().parts(model, "the net"), input_shape, name)


class _Reader:
    """Knows the parts made so far, so that a module met twice is one part used twice."""

    def __init__(self) -> None:
        self._made: dict[int, list[Part]] = {}

    def parts(self, module: nn.Module, where: str) -> list[Part]:
        """The parts of a module in the order in which they run."""
        if id(module) not in self._made:
            self._made[id(module)] = self._read(module, where)
        return self._made[id(module)]

    def several(self, module: nn.Module, names: Sequence[str], where: str) -> list[Part]:
        """The parts of some of its children, one after the other."""
        found: list[Part] = []
        for name in names:
            found += self.parts(module.get_submodule(name), f"{where}.{name}")
        return found

    def _read(self, module: nn.Module, where: str) -> list[Part]:
        cls = type(module)
        if cls.forward is nn.Sequential.forward:
            # Not named_children(), which leaves out a module that it has seen before.
            return self.several(module, list(module._modules), where)
        if cls is nn.Identity:
            return []
        try:
            reader = _READERS.get(f"{cls.__module__}.{cls.__qualname__}")
            if reader:
                return reader(self, module, where)
            if cls.__name__ in TORCH_CLASSES and cls is torch_class(cls.__name__):
                return [part(cls.__name__, _arguments(module))]
        except Unreadable as unreadable:
            raise Unsupported(f"{where} cannot be read: {unreadable} Choose another net to start from.") from None
        raise Unsupported(
            f"{where} is a {cls.__name__}, which the lab cannot take apart. Choose another net to start from, or write "
            "its layers as nn.Sequential."
        )


def _arguments(module: nn.Module) -> dict[str, Any]:
    """What a module of PyTorch was made with; its classes keep that under the names of the arguments."""
    form = LAYER_KINDS[TORCH_CLASSES[type(module).__name__]].torch
    assert form is not None
    found = {}
    for argument in dict.fromkeys((*form.signature, *form.fixed)):
        if argument in IGNORED:
            continue
        value = getattr(module, argument)
        if argument == "bias":  # where the argument is a switch, the attribute is the weight or None
            value = value is not None or not getattr(module, "affine", True)
        found[argument] = value
    return found


def _activation(module: nn.Module) -> str:
    """Key of an activation with PyTorch's defaults, which is all a block can hold."""
    key = TORCH_CLASSES.get(type(module).__name__, "")
    if key not in ACTIVATIONS:
        raise Unreadable(f"{type(module).__name__} is not an activation the lab has.")
    defaults = {param.name: param.default for param in ACTIVATIONS[key].params}
    if defaults != {name: value for name, value in _arguments(module).items() if name in defaults}:
        raise Unreadable(f"{type(module).__name__} in a block has settings of its own; blocks take the usual ones.")
    return key


def _residual(reader: _Reader, module: nn.Module, where: str) -> list[Part]:
    assert isinstance(module, Residual)
    activation = "none" if isinstance(module.activation, nn.Identity) else _activation(module.activation)
    body, shortcut = (reader.parts(getattr(module, side), f"{where}.{side}") for side in ("body", "shortcut"))
    return [Part(kind="residual", params={"body": body, "shortcut": shortcut, "activation": activation})]


def _squeeze_excitation(_reader: _Reader, module: nn.Module, _where: str) -> list[Part]:
    gate = module.gate if isinstance(module, SqueezeExcitation) else module.scale_activation
    assert isinstance(module.fc1, nn.Conv2d)
    assert isinstance(module.activation, nn.Module)
    assert isinstance(gate, nn.Module)
    arguments = {
        "channels": module.fc1.in_channels,
        "squeezed": module.fc1.out_channels,
        "activation": _activation(module.activation),
        "gate": _activation(gate),
    }
    return [part("SqueezeExcitation", arguments)]


def _attention(_reader: _Reader, module: nn.Module, _where: str) -> list[Part]:
    assert isinstance(module, ChannelSpatialAttention)
    channels = module.fc1.in_channels
    # C // (C // s) is s wherever s is C // r, so the narrow layer comes out as it was.
    reduction = channels // module.fc1.out_channels
    return [part("ChannelSpatialAttention", {"channels": channels, "reduction": reduction})]


def _resnet_block(*names: str) -> Callable[[_Reader, nn.Module, str], list[Part]]:
    def read(reader: _Reader, module: nn.Module, where: str) -> list[Part]:
        shortcut = reader.several(module, ["downsample"], where) if module.downsample is not None else []
        return [
            Part(
                kind="residual",
                params={
                    "body": reader.several(module, names, where),
                    "shortcut": shortcut,
                    "activation": _activation(module.get_submodule("relu")),
                },
            )
        ]

    return read


def _inverted_residual(reader: _Reader, module: nn.Module, where: str) -> list[Part]:
    if not module.use_res_connect:
        return reader.several(module, ["block"], where)
    names = [name for name in ("block", "stochastic_depth") if hasattr(module, name)]
    return [Part(kind="residual", params={"body": reader.several(module, names, where)})]


def _in_order(*names: str) -> Callable[[_Reader, nn.Module, str], list[Part]]:
    """A net that runs these children in this order; "flatten" stands for `torch.flatten(x, 1)`."""

    def read(reader: _Reader, module: nn.Module, where: str) -> list[Part]:
        found: list[Part] = []
        for name in names:
            found += (
                [Part(kind="flatten", cls="Flatten")] if name == "flatten" else reader.several(module, [name], where)
            )
        return found

    return read


_FEATURES = _in_order("features", "avgpool", "flatten", "classifier")

# By name, not by class: importing torchvision takes a second, and a net of its making has it imported already.
_READERS: dict[str, Callable[[_Reader, nn.Module, str], list[Part]]] = {
    "cnnlab.nets.blocks.Residual": _residual,
    "cnnlab.nets.blocks.SqueezeExcitation": _squeeze_excitation,
    "cnnlab.nets.blocks.ChannelSpatialAttention": _attention,
    "torchvision.ops.misc.SqueezeExcitation": _squeeze_excitation,
    "torchvision.models.resnet.BasicBlock": _resnet_block("conv1", "bn1", "relu", "conv2", "bn2"),
    "torchvision.models.resnet.Bottleneck": _resnet_block(
        "conv1", "bn1", "relu", "conv2", "bn2", "relu", "conv3", "bn3"
    ),
    "torchvision.models.mobilenetv3.InvertedResidual": _inverted_residual,
    "torchvision.models.efficientnet.MBConv": _inverted_residual,
    "torchvision.models.alexnet.AlexNet": _FEATURES,
    "torchvision.models.vgg.VGG": _FEATURES,
    "torchvision.models.mobilenetv3.MobileNetV3": _FEATURES,
    "torchvision.models.efficientnet.EfficientNet": _FEATURES,
    "torchvision.models.resnet.ResNet": _in_order(
        "conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "flatten", "fc"
    ),
}
