"""Residual nets for 32 × 32 px that learn CIFAR-10 on a laptop's CPU: a small one, and one for nine points in ten.

The small one after He et al., Deep residual learning for image recognition, 2016, section 4.2, their nets for CIFAR-10.

Why the small one looks as it does:

- A 3 × 3 stem with stride 1: ResNet's own, 7 × 7 with stride 2 and pooling, leaves 8 × 8 of 32 × 32 px before the
  first block.
- Twice the channels wherever the side is halved, and a second block only in the last stage: there a weight is used
  64 times a picture, in the first stage 1024 times.
- Half as wide again as their ResNet-20 and less than half as deep: a CPU is quicker with few wide layers than with many
  narrow ones.
- BatchNorm behind each convolution, which therefore has no bias; global average pooling and a single linear layer at
  the end, so that it takes any size and no large linear layer learns pictures by heart.

38.4 M MACs. Tried for three epochs on 20,000 pictures, one seed, against a shallower net of 16, 32, 64 and 128 channels
with 44.5 M MACs: 69.3 against 66.5 % on 4,000 test pictures, in 6 % less time on one core.

The other is Page's ResNet-9 (How to train your ResNet, 2018) with half the channels: 95.9 M MACs, evenly spread over
its five stages, in convolutions wide enough for a CPU to be quick at. Departures: it ends in an average in place of a
maximum over the last map, so that each place's share in a class can be shown; and ReLU stands behind the sum.
"""

from torch import nn

from cnnlab.nets.architecture import Architecture
from cnnlab.nets.blocks import residual_block


class ResNetCifar(nn.Sequential):
    """Stem, four residual blocks, global average pooling."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 24, 3, padding=1, bias=False),  # (N, 24, 32, 32)
            nn.BatchNorm2d(24),
            nn.ReLU(),
            residual_block(24, 24),  # (N, 24, 32, 32)
            residual_block(24, 48, stride=2),  # (N, 48, 16, 16)
            residual_block(48, 96, stride=2),  # (N, 96, 8, 8)
            residual_block(96, 96),  # (N, 96, 8, 8)
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),  # (N, 96, 1, 1)
            nn.Flatten(),  # (N, 96)
            nn.Linear(96, num_classes),
        )


RESNET_CIFAR = Architecture(
    label="ResNet for 32 × 32",
    build=ResNetCifar,
    input_shape=(3, 32, 32),
    min_size=1,
    year=2016,
    paper="After He et al., Deep residual learning for image recognition, 2016, section 4.2",
    url="https://arxiv.org/abs/1512.03385",
    lesson="Blocks that only learn what to add to their input, and an average over the whole map in place of large "
    "linear layers: it takes pictures of any size, with a quarter of the weights of the six convolutions.",
    family="CIFAR-10",
)


class ResNet9(nn.Sequential):
    """Stem, three halvings with a residual block behind the first and the last, global average pooling."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_conv_bn_relu(in_channels, 32),  # (N, 32, 32, 32)
            *_conv_bn_relu(32, 64),  # (N, 64, 32, 32)
            nn.MaxPool2d(2),  # (N, 64, 16, 16)
            residual_block(64, 64),  # (N, 64, 16, 16)
            *_conv_bn_relu(64, 128),  # (N, 128, 16, 16)
            nn.MaxPool2d(2),  # (N, 128, 8, 8)
            *_conv_bn_relu(128, 256),  # (N, 256, 8, 8)
            nn.MaxPool2d(2),  # (N, 256, 4, 4)
            residual_block(256, 256),  # (N, 256, 4, 4)
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),  # (N, 256, 1, 1)
            nn.Flatten(),  # (N, 256)
            nn.Linear(256, num_classes),
        )


def _conv_bn_relu(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()


RESNET9 = Architecture(
    label="ResNet-9, half as wide",
    build=ResNet9,
    input_shape=(3, 32, 32),
    min_size=8,
    year=2018,
    paper="After Page, How to train your ResNet, 2018",
    url="https://myrtle.ai/learn/how-to-train-your-resnet/",
    lesson="Few, wide layers that a machine is quick at, and a recipe made for few epochs: this family of nets brought "
    "the time for 94 % on CIFAR-10 from hours to seconds.",
    family="CIFAR-10",
)
