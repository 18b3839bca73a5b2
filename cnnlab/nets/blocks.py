"""The parts that nets are made of and that torch.nn does not have."""

import torch
from torch import nn


class Residual(nn.Module):
    """`activation(body(x) + shortcut(x))`: the body learns what to add.

    He et al., Deep residual learning for image recognition, 2016, equations 1 and 2.

    Args:
        body: What is learnt.
        shortcut: What brings x to the body's shape; nothing where it has it already.
        activation: Applied to the sum; nothing in nets whose blocks end linearly.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut or nn.Identity()
        self.activation = activation or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → (N, C', H', W'), as the body makes it."""
        return self.activation(self.body(x) + self.shortcut(x))


class SqueezeExcitation(nn.Module):
    """Weigh each channel by what the whole image says about it.

    Hu et al., Squeeze-and-excitation networks, 2018, equations 2 to 4; its two linear layers as 1 × 1 convolutions.

    Args:
        channels: C of the input.
        squeezed: Channels between the two layers.
        activation: Between them.
        gate: Makes the weights.
    """

    def __init__(
        self,
        channels: int,
        squeezed: int,
        activation: type[nn.Module] = nn.ReLU,
        gate: type[nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation()
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → the same shape."""
        return x * self.gate(self.fc2(self.activation(self.fc1(self.pool(x)))))


class ChannelSpatialAttention(nn.Module):
    """Weigh the channels, then the places.

    Woo et al., CBAM: convolutional block attention module, 2018, equations 2 and 3, with a 7 × 7 convolution.
    Departure: below 16 channels the layer in the middle keeps one channel, where dividing by the reduction leaves none.

    Args:
        channels: C of the input.
        reduction: By how much the layer in the middle is smaller.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        squeezed = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, squeezed, 1, bias=False)
        self.activation = nn.ReLU()
        self.fc2 = nn.Conv2d(squeezed, channels, 1, bias=False)
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.gate = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → the same shape."""
        mean = self.fc2(self.activation(self.fc1(x.mean(dim=(2, 3), keepdim=True))))
        most = self.fc2(self.activation(self.fc1(x.amax(dim=(2, 3), keepdim=True))))
        x = x * self.gate(mean + most)
        seen = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * self.gate(self.spatial(seen))


def residual_block(in_channels: int, out_channels: int, stride: int = 1) -> Residual:
    """Two 3 × 3 convolutions and the way around them: the basic block of ResNet-18 and -34."""
    body = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
    )
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    return Residual(body, shortcut, nn.ReLU())


def depthwise_separable(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A 3 × 3 convolution in each channel by itself, then a 1 × 1 convolution across channels.

    Howard et al., MobileNets, 2017, section 3.1.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, stride=stride, padding=1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
