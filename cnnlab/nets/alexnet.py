"""AlexNet in the layout whose weights torchvision publishes.

Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012. The layers
are those of Krizhevsky's One weird trick for parallelizing convolutional neural networks, 2014: one column, no local
response normalisation. The names of the weights are torchvision's.
"""

from torch import nn

from cnnlab.nets.architecture import Architecture


class AlexNet(nn.Sequential):
    """Five convolutions, pooled to 6 × 6 cells, and three linear layers."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),  # (N, 64, 55, 55)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 64, 27, 27)
            nn.Conv2d(64, 192, 5, padding=2),  # (N, 192, 27, 27)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 192, 13, 13)
            nn.Conv2d(192, 384, 3, padding=1),  # (N, 384, 13, 13)
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),  # (N, 256, 13, 13)
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),  # (N, 256, 13, 13)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 6, 6)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)  # (N, 256, 6, 6)
        # Not inside the classifier: it would shift the numbers by which torchvision's weights are named.
        self.flatten = nn.Flatten()  # (N, 9216)
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )


ALEXNET = Architecture(
    label="AlexNet",
    build=AlexNet,
    input_shape=(3, 224, 224),
    num_classes=1000,
    min_size=63,
    year=2012,
    paper="Krizhevsky et al., ImageNet classification with deep convolutional neural networks, 2012; layers of 2014",
    url="https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html",
    lesson="ReLU, dropout and two graphics cards won ImageNet by ten points and began the present age. Made for large "
    "pictures: below 63 px nothing is left for its last pooling, so it cannot take CIFAR-10's 32 × 32.",
    family="ImageNet",
)
