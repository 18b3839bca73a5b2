"""LeNet-5, as it is commonly written today.

LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998, section II.B.
Departures: 28 × 28 px with padding in place of 32 × 32; plain average pooling in place of a trained scale and bias
per map; every map of the second convolution sees all six of the first; logits in place of radial basis functions;
tanh unscaled.
"""

from torch import nn

from cnnlab.nets.architecture import Architecture


class LeNet5(nn.Sequential):
    """Two convolutions with average pooling and three linear layers, tanh between them."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=2),  # (N, 6, 28, 28)
            nn.Tanh(),
            nn.AvgPool2d(2),  # (N, 6, 14, 14)
            nn.Conv2d(6, 16, 5),  # (N, 16, 10, 10)
            nn.Tanh(),
            nn.AvgPool2d(2),  # (N, 16, 5, 5)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 400)
            nn.Linear(16 * 5 * 5, 120),
            nn.Tanh(),
            nn.Linear(120, 84),
            nn.Tanh(),
            nn.Linear(84, num_classes),
        )


LENET5 = Architecture(
    label="LeNet-5",
    build=LeNet5,
    input_shape=(1, 28, 28),
    min_size=28,
    max_size=31,
    year=1998,
    paper="LeCun et al., Gradient-based learning applied to document recognition, 1998",
    url="https://doi.org/10.1109/5.726791",
    lesson="Learnt filters, shared over the picture, with pooling between them, read bank cheques at scale. Its plan "
    "of convolutions first and linear layers last held for twenty years.",
    family="Handwritten digits",
)
