"""The nets of the lab: their table, random weights from a seed, trained weights."""

from torch import nn

from cnnlab.errors import InputRejected
from cnnlab.nets.alexnet import ALEXNET
from cnnlab.nets.architecture import Architecture
from cnnlab.nets.cat_dog import CAT_DOG_CNN
from cnnlab.nets.cifar import CIFAR10_CNN, CIFAR10_CNN_SHARED_BN, CNN_CIFAR, IMAGE_CLASSIFICATION
from cnnlab.nets.digits import CNN_MNIST, MLP_784, SIMPLE_CNN, SIMPLE_CONV_NET
from cnnlab.nets.imagenet import EFFICIENTNET_B0, MOBILENET_V3_SMALL, RESNET18, RESNET34, RESNET50, VGG16
from cnnlab.nets.lenet import LENET5
from cnnlab.nets.resnet_cifar import RESNET9, RESNET_CIFAR
from cnnlab.nets.seeding import build_filled
from cnnlab.nets.vgg import TINY_VGG, VGG16_CIFAR
from cnnlab.nets.weights import Weights, fetch_weights, is_downloaded, load_weights, weights_for

ARCHITECTURES: dict[str, Architecture] = {
    "mlp": MLP_784,
    "simple_conv_net": SIMPLE_CONV_NET,
    "simple_cnn": SIMPLE_CNN,
    "lenet5": LENET5,
    "cnn_mnist": CNN_MNIST,
    "image_classification": IMAGE_CLASSIFICATION,
    "cnn_cifar": CNN_CIFAR,
    "cifar10_cnn_shared_bn": CIFAR10_CNN_SHARED_BN,
    "cifar10_cnn": CIFAR10_CNN,
    "resnet_cifar": RESNET_CIFAR,
    "resnet9": RESNET9,
    "vgg16_cifar": VGG16_CIFAR,
    "tiny_vgg": TINY_VGG,
    "cat_dog_cnn": CAT_DOG_CNN,
    "alexnet": ALEXNET,
    "vgg16": VGG16,
    "resnet18": RESNET18,
    "resnet34": RESNET34,
    "resnet50": RESNET50,
    "mobilenet_v3_small": MOBILENET_V3_SMALL,
    "efficientnet_b0": EFFICIENTNET_B0,
}


def build_seeded(key: str, *, seed: int, num_classes: int | None = None, in_channels: int | None = None) -> nn.Module:
    """Build a net with random weights that depend on the arguments alone, in evaluation mode on the CPU.

    Many threads may do so at once, and torch's global generator stays as it is; how the weights are drawn stands in
    `cnnlab.nets.seeding`.

    Args:
        key: Of `ARCHITECTURES`.
        seed: Any whole number from 0 to 2⁶³ − 1.
        num_classes: In place of the number that the net was made for.
        in_channels: Likewise.

    Raises:
        InputRejected: Fewer than one class or channel, or a seed out of range.
    """
    architecture = ARCHITECTURES[key]
    num_classes = architecture.num_classes if num_classes is None else num_classes
    in_channels = architecture.input_shape[0] if in_channels is None else in_channels
    if num_classes < 1 or in_channels < 1:
        raise InputRejected(
            f"A net needs at least 1 class and 1 channel, got {num_classes} and {in_channels}. Choose larger numbers."
        )
    if not 0 <= seed < 2**63:
        raise InputRejected(f"A seed is a whole number from 0 to 2⁶³ − 1, got {seed}. Choose one in between.")
    return build_filled(architecture.build, seed=seed, num_classes=num_classes, in_channels=in_channels).eval()


__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Weights",
    "build_seeded",
    "fetch_weights",
    "is_downloaded",
    "load_weights",
    "weights_for",
]
