"""A small residual net for 32 × 32 px that learns CIFAR-10 on a laptop's CPU.

After He et al., Deep residual learning for image recognition, 2016, section 4.2 (their nets for CIFAR-10).

Why it looks as it does:

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
