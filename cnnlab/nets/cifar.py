"""Nets of tutorials for the colour pictures of CIFAR-10, 32 × 32 px, in order of what they cost."""

from torch import nn

from cnnlab.nets.architecture import Architecture


class ImageClassification(nn.Sequential):
    """LeNet-5 with ReLU, max pooling and unpadded 3 × 3 convolutions."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 3),  # (N, 6, 30, 30)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 6, 15, 15)
            nn.Conv2d(6, 16, 3),  # (N, 16, 13, 13)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 16, 6, 6)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 576)
            nn.Linear(16 * 6 * 6, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )


class ColourCNN(nn.Sequential):
    """Two convolutions and a hidden layer of 512."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, padding=1),  # (N, 32, 32, 32)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 32, 16, 16)
            nn.Conv2d(32, 64, 3, padding=1),  # (N, 64, 16, 16)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 64, 8, 8)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 4096)
            nn.Linear(64 * 8 * 8, 512),
            nn.ReLU(),
            nn.Linear(512, num_classes),
        )


class SharedBatchNormCNN(nn.Sequential):
    """Three pairs of convolutions, the two of a pair behind one and the same BatchNorm: a fault, kept for show."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        bn1, bn2, bn3 = nn.BatchNorm2d(32), nn.BatchNorm2d(64), nn.BatchNorm2d(128)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, padding=1),  # (N, 32, 32, 32)
            bn1,
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            bn1,
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 32, 16, 16)
            nn.Conv2d(32, 64, 3, padding=1),  # (N, 64, 16, 16)
            bn2,
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            bn2,
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 64, 8, 8)
            nn.Conv2d(64, 128, 3, padding=1),  # (N, 128, 8, 8)
            bn3,
            nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1),
            bn3,
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 128, 4, 4)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 2048)
            nn.Linear(128 * 4 * 4, 512),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(512, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, num_classes),
        )


class OwnBatchNormCNN(nn.Sequential):
    """The net above with the fault mended: each convolution has a BatchNorm of its own."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, padding=1),  # (N, 32, 32, 32)
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 32, 16, 16)
            nn.Conv2d(32, 64, 3, padding=1),  # (N, 64, 16, 16)
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 64, 8, 8)
            nn.Conv2d(64, 128, 3, padding=1),  # (N, 128, 8, 8)
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 128, 4, 4)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 2048)
            nn.Linear(128 * 4 * 4, 512),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(512, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, num_classes),
        )


IMAGE_CLASSIFICATION = Architecture(
    label="LeNet-5 in colour",
    build=ImageClassification,
    input_shape=(3, 32, 32),
    min_size=30,
    max_size=33,
    year=2025,
    paper="Tutorial net, not from a paper",
    lesson="Sixteen maps are enough for digits, but not for photographs: small enough to watch every weight, too small "
    "to tell cats from dogs well.",
    family="CIFAR-10",
)

CNN_CIFAR = Architecture(
    label="Two convolutions in colour",
    build=ColourCNN,
    input_shape=(3, 32, 32),
    min_size=32,
    max_size=35,
    year=2025,
    paper="Tutorial net, not from a paper",
    lesson="A digit net widened for colour: 99 % of its weights sit in one linear layer, which can learn the "
    "training pictures by heart.",
    family="CIFAR-10",
)

CIFAR10_CNN_SHARED_BN = Architecture(
    label="Six convolutions, shared BatchNorm",
    build=SharedBatchNormCNN,
    input_shape=(3, 32, 32),
    min_size=32,
    max_size=39,
    year=2025,
    paper="Tutorial net, not from a paper",
    lesson="A fault to find: each BatchNorm serves two convolutions, so its running statistics mix two distributions. "
    "It trains well, and fails as soon as it is switched to evaluation.",
    family="CIFAR-10",
)

CIFAR10_CNN = Architecture(
    label="Six convolutions",
    build=OwnBatchNormCNN,
    input_shape=(3, 32, 32),
    min_size=32,
    max_size=39,
    year=2025,
    paper="Tutorial net, not from a paper",
    lesson="The net before it, mended: a BatchNorm for each convolution costs 448 weights, and evaluation keeps what "
    "training has learnt.",
    family="CIFAR-10",
)
