"""Small nets for handwritten digits of 28 × 28 px, from a row of pixels to a pair of convolutions.

The last three come from tutorials. There the flattening is a `view(-1, …)`, which hides a wrong picture size in the
batch axis and fails on channels-last memory; here it is `nn.Flatten`.
"""

from torch import nn

from cnnlab.nets.architecture import Architecture


class MLP(nn.Sequential):
    """No convolution at all: every pixel has its own weight for every unit."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Flatten(),  # (N, C · 784)
            nn.Linear(in_channels * 28 * 28, 128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(64, num_classes)


class SimpleConvNet(nn.Sequential):
    """Two convolutions, each with a pooling, and a hidden layer with dropout."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, padding=1),  # (N, 32, 28, 28)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 32, 14, 14)
            nn.Conv2d(32, 64, 3, padding=1),  # (N, 64, 14, 14)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 64, 7, 7)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 3136)
            nn.Linear(64 * 7 * 7, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, num_classes),
        )


class SimpleCNN(nn.Sequential):
    """`SimpleConvNet` without its dropout."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, padding=1),  # (N, 32, 28, 28)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 32, 14, 14)
            nn.Conv2d(32, 64, 3, padding=1),  # (N, 64, 14, 14)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 64, 7, 7)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 3136)
            nn.Linear(64 * 7 * 7, 128),
            nn.ReLU(),
            nn.Linear(128, num_classes),
        )


class DigitCNN(nn.Sequential):
    """The same two convolutions before a hidden layer four times as wide."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, padding=1),  # (N, 32, 28, 28)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 32, 14, 14)
            nn.Conv2d(32, 64, 3, padding=1),  # (N, 64, 14, 14)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 64, 7, 7)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 3136)
            nn.Linear(64 * 7 * 7, 512),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(512, num_classes),
        )


MLP_784 = Architecture(
    label="Multilayer perceptron",
    build=MLP,
    input_shape=(1, 28, 28),
    min_size=28,
    max_size=28,
    year=1986,
    paper="Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, 1986",
    url="https://doi.org/10.1038/323533a0",
    lesson="Without convolutions a net does not know which pixels are neighbours: shuffle the pixels of all pictures "
    "alike and it learns just as well.",
    family="Handwritten digits",
)

SIMPLE_CONV_NET = Architecture(
    label="Two convolutions, with dropout",
    build=SimpleConvNet,
    input_shape=(1, 28, 28),
    min_size=28,
    max_size=31,
    year=2025,
    paper="Tutorial net, not from a paper",
    lesson="The smallest net with every common part. The first linear layer holds 95 % of its weights, the two "
    "convolutions do 90 % of its work. As printed it flattens with view(-1, 3136), which takes a picture of a wrong "
    "size for several and fails on channels-last memory; here a Flatten layer does it.",
    family="Handwritten digits",
)

SIMPLE_CNN = Architecture(
    label="Two convolutions, plain",
    build=SimpleCNN,
    input_shape=(1, 28, 28),
    min_size=28,
    max_size=31,
    year=2025,
    paper="Tutorial net, not from a paper",
    lesson="The net before it without its dropout: dropout has no weights, so both have the same number. Train both "
    "and compare how far training and validation part.",
    family="Handwritten digits",
)

CNN_MNIST = Architecture(
    label="Two convolutions, wide hidden layer",
    build=DigitCNN,
    input_shape=(1, 28, 28),
    min_size=28,
    max_size=31,
    year=2025,
    paper="Tutorial net, not from a paper",
    lesson="A hidden layer of 512 in place of 128: four times the weights for a quarter more work. Train it beside the "
    "narrow one to see what they buy.",
    family="Handwritten digits",
)
