"""A tutorial's net that tells cats from dogs at the size of ImageNet."""

from torch import nn

from cnnlab.nets.architecture import Architecture


class CatDogCNN(nn.Sequential):
    """Four blocks of two convolutions with BatchNorm, averaged to 7 × 7 cells before the classifier."""

    def __init__(self, num_classes: int = 2, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for out_channels in (32, 64, 128, 256):  # sides: 224 → 112 → 56 → 28 → 14
            for _ in range(2):
                layers += [nn.Conv2d(channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU()]
                channels = out_channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)  # (N, 256, 14, 14)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(7),  # (N, 256, 7, 7)
            nn.Flatten(),  # (N, 12544)
            nn.Linear(256 * 7 * 7, 512),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(512, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, num_classes),
        )


CAT_DOG_CNN = Architecture(
    label="Cats and dogs",
    build=CatDogCNN,
    input_shape=(3, 224, 224),
    num_classes=2,
    min_size=16,
    year=2025,
    paper="Tutorial net, not from a paper",
    lesson="Large pictures are dear: its eight convolutions take 2.6 billion MACs, more than all of ResNet-18, which "
    "begins by dividing the side by four.",
    family="Cats and dogs",
)
