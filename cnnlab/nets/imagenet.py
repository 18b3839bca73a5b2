"""The nets that torchvision builds, for which it publishes weights trained on ImageNet.

Departures: no activation works in place, since that overwrites what a hook has just seen; and a net for other than
three channels gets a new first convolution, drawn as torchvision draws its own.
"""

from functools import partial

from torch import nn

from cnnlab.nets.architecture import Architecture


def _build(name: str, num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    import torchvision.models  # Only here: it takes a second, and most visitors look at other nets.

    model = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # pyright: ignore[reportArgumentType]
    if in_channels != 3:
        _replace_first_convolution(model, in_channels)
    return model


def _replace_first_convolution(model: nn.Module, in_channels: int) -> None:
    path, first = next((path, module) for path, module in model.named_modules() if isinstance(module, nn.Conv2d))
    other = nn.Conv2d(
        in_channels,
        first.out_channels,
        (first.kernel_size[0], first.kernel_size[1]),
        stride=(first.stride[0], first.stride[1]),
        padding=first.padding,  # pyright: ignore[reportArgumentType] - a pair, typed more widely
        bias=first.bias is not None,
    )
    nn.init.kaiming_normal_(other.weight, mode="fan_out", nonlinearity="relu")
    if other.bias is not None:
        nn.init.zeros_(other.bias)
    model.set_submodule(path, other)


def _of_torchvision(
    name: str, *, label: str, min_size: int, year: int, paper: str, url: str, lesson: str
) -> Architecture:
    return Architecture(
        label=label,
        build=partial(_build, name),
        input_shape=(3, 224, 224),
        num_classes=1000,
        min_size=min_size,
        year=year,
        paper=paper,
        url=url,
        lesson=lesson,
        family="ImageNet",
    )


_RESNET = "He et al., Deep residual learning for image recognition, 2016"
_RESNET_URL = "https://arxiv.org/abs/1512.03385"

VGG16 = _of_torchvision(
    "vgg16",
    label="VGG16",
    min_size=32,
    year=2014,
    paper="Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2014",
    url="https://arxiv.org/abs/1409.1556",
    lesson="Depth from nothing but 3 × 3 convolutions: three of them see as far as one of 7 × 7, with fewer weights "
    "and more bends. Its first linear layer alone holds three quarters of its 138 million weights.",
)

RESNET18 = _of_torchvision(
    "resnet18",
    label="ResNet-18",
    min_size=1,
    year=2016,
    paper=_RESNET,
    url=_RESNET_URL,
    lesson="A way around every two convolutions lets gradients reach the first layers. It beats AlexNet by 13 points "
    "with a fifth of the weights.",
)

RESNET34 = _of_torchvision(
    "resnet34",
    label="ResNet-34",
    min_size=1,
    year=2016,
    paper=_RESNET,
    url=_RESNET_URL,
    lesson="Without the ways around, 34 layers did worse than 18 even on the training pictures; with them they do "
    "better.",
)

RESNET50 = _of_torchvision(
    "resnet50",
    label="ResNet-50",
    min_size=1,
    year=2016,
    paper=_RESNET,
    url=_RESNET_URL,
    lesson="Bottlenecks of 1 × 1 convolutions make a block of three layers as cheap as one of two. Still the "
    "yardstick: a better recipe of training alone has since added almost five points.",
)

MOBILENET_V3_SMALL = _of_torchvision(
    "mobilenet_v3_small",
    label="MobileNetV3 small",
    min_size=1,
    year=2019,
    paper="Howard et al., Searching for MobileNetV3, 2019",
    url="https://arxiv.org/abs/1905.02244",
    lesson="Depthwise convolutions and a search over designs: two points below ResNet-18 with a thirtieth of its "
    "MACs. The gain in time is far smaller, for such layers keep a processor waiting.",
)

EFFICIENTNET_B0 = _of_torchvision(
    "efficientnet_b0",
    label="EfficientNet-B0",
    min_size=1,
    year=2019,
    paper="Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks, 2019",
    url="https://arxiv.org/abs/1905.11946",
    lesson="Depth, width and picture size are worth scaling together. This is the smallest of the family, better than "
    "ResNet-50 as first published with a tenth of its MACs.",
)
