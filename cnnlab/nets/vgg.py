"""Nets in the manner of VGG: blocks of 3 × 3 convolutions, a 2 × 2 max pooling behind each.

Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2014, table 1.
"""

from torch import nn

from cnnlab.nets.architecture import Architecture


class VGG16Cifar(nn.Sequential):
    """VGG-16 (configuration D) whose classifier starts from one cell, all that is left of 32 × 32 px."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        # Sides: 32 → 16 → 8 → 4 → 2 → 1.
        for num_convolutions, out_channels in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
            for _ in range(num_convolutions):
                layers += [nn.Conv2d(channels, out_channels, 3, padding=1), nn.ReLU()]
                channels = out_channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)  # (N, 512, 1, 1)
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 512)
            nn.Linear(512, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )


class TinyVGG(nn.Sequential):
    """Two blocks of two unpadded convolutions with ten maps each: few enough to show every one."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 10, 3),  # (N, 10, 62, 62)
            nn.ReLU(),
            nn.Conv2d(10, 10, 3),  # (N, 10, 60, 60)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 10, 30, 30)
            nn.Conv2d(10, 10, 3),  # (N, 10, 28, 28)
            nn.ReLU(),
            nn.Conv2d(10, 10, 3),  # (N, 10, 26, 26)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 10, 13, 13)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 1690)
            nn.Linear(10 * 13 * 13, num_classes),
        )


VGG16_CIFAR = Architecture(
    label="VGG16 for 32 × 32",
    build=VGG16Cifar,
    input_shape=(3, 32, 32),
    min_size=32,
    max_size=63,
    year=2014,
    paper="After Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2014",
    url="https://arxiv.org/abs/1409.1556",
    lesson="Its classifier is bound to a single cell, so it takes 32 to 63 px and nothing else. A linear layer behind "
    "the flattening ties a net to its picture size; average pooling would not.",
    family="CIFAR-10",
)

TINY_VGG = Architecture(
    label="Tiny VGG",
    build=TinyVGG,
    input_shape=(3, 64, 64),
    min_size=64,
    max_size=67,
    year=2020,
    paper="Wang et al., CNN Explainer: learning convolutional neural networks with interactive visualization, 2020",
    url="https://arxiv.org/abs/2004.15004",
    lesson="Four convolutions of ten maps show every part of a convolutional net at a size where each map and each "
    "kernel can be looked at.",
    family="Tiny ImageNet",
)
