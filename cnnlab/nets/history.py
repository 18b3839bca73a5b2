"""Thirty years of convolutional networks: how deep, how large, how dear, how good.

Parameters, multiply-adds and accuracies are torchvision's own measurements, read from the metadata of its weights
(`torchvision.models.get_model_weights`); the depth is counted by `cnnlab.nets.summary`, and a test counts again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """A published architecture.

    Args:
        label: Name shown to people.
        year: Of the publication.
        depth: Convolutions and linear layers on the longest path.
        paper: Who and where.
        idea: What was new.
    """

    label: str
    year: int
    depth: int
    paper: str
    idea: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one set of trained weights of a milestone reaches.

    Args:
        builder: Key of `MILESTONES`.
        weights: torchvision's name of the weights.
        num_params: Parameters.
        macs: Multiply-adds for one picture of `side` px.
        side: Input side, px.
        top1: Top-1 accuracy on the 50,000 validation images of ImageNet-1k, in percent, one centre crop.
        source: Where the training is described.
    """

    builder: str
    weights: str
    num_params: int
    macs: int
    side: int
    top1: float
    source: str


MILESTONES: dict[str, Milestone] = {
    "alexnet": Milestone(
        label="AlexNet",
        year=2012,
        depth=8,
        paper="Krizhevsky, Sutskever, Hinton, NeurIPS 2012",
        idea="ReLU, dropout and two GPUs: deep learning takes ImageNet.",
    ),
    "vgg16": Milestone(
        label="VGG16",
        year=2014,
        depth=16,
        paper="Simonyan, Zisserman, ICLR 2015",
        idea="Only 3 × 3 convolutions, stacked: two of them see what one 5 × 5 sees.",
    ),
    "googlenet": Milestone(
        label="GoogLeNet",
        year=2014,
        depth=22,
        paper="Szegedy et al., CVPR 2015",
        idea="Several kernel sizes side by side, 1 × 1 convolutions to make it cheap.",
    ),
    "inception_v3": Milestone(
        label="Inception-v3",
        year=2015,
        depth=48,
        paper="Szegedy et al., CVPR 2016",
        idea="Large kernels split into 1 × 7 and 7 × 1.",
    ),
    "resnet18": Milestone(
        label="ResNet-18",
        year=2015,
        depth=18,
        paper="He et al., CVPR 2016",
        idea="A way around every two layers.",
    ),
    "resnet50": Milestone(
        label="ResNet-50",
        year=2015,
        depth=50,
        paper="He et al., CVPR 2016",
        idea="Bottlenecks: 1 × 1 down, 3 × 3, 1 × 1 up.",
    ),
    "resnet152": Milestone(
        label="ResNet-152",
        year=2015,
        depth=152,
        paper="He et al., CVPR 2016",
        idea="With the way around, depth stops hurting.",
    ),
    "squeezenet1_1": Milestone(
        label="SqueezeNet 1.1",
        year=2016,
        depth=18,
        paper="Iandola et al., arXiv:1602.07360",
        idea="AlexNet's accuracy with a fiftieth of its parameters.",
    ),
    "densenet121": Milestone(
        label="DenseNet-121",
        year=2016,
        depth=121,
        paper="Huang et al., CVPR 2017",
        idea="Every layer reads all layers before it.",
    ),
    "resnext50_32x4d": Milestone(
        label="ResNeXt-50",
        year=2016,
        depth=50,
        paper="Xie et al., CVPR 2017",
        idea="Grouped convolutions: many narrow paths in place of a wide one.",
    ),
    "mobilenet_v2": Milestone(
        label="MobileNetV2",
        year=2018,
        depth=53,
        paper="Sandler et al., CVPR 2018",
        idea="Depthwise convolutions between narrow ends.",
    ),
    "shufflenet_v2_x1_0": Milestone(
        label="ShuffleNetV2",
        year=2018,
        depth=51,
        paper="Ma et al., ECCV 2018",
        idea="Designed by measured speed rather than by counted operations.",
    ),
    "mnasnet1_0": Milestone(
        label="MNASNet",
        year=2018,
        depth=53,
        paper="Tan et al., CVPR 2019",
        idea="Found by a search on a phone.",
    ),
    "mobilenet_v3_small": Milestone(
        label="MobileNetV3 small",
        year=2019,
        depth=54,
        paper="Howard et al., ICCV 2019",
        idea="Search, hard-swish and squeeze-and-excitation for phones.",
    ),
    "mobilenet_v3_large": Milestone(
        label="MobileNetV3 large",
        year=2019,
        depth=64,
        paper="Howard et al., ICCV 2019",
        idea="The same, larger.",
    ),
    "efficientnet_b0": Milestone(
        label="EfficientNet-B0",
        year=2019,
        depth=82,
        paper="Tan, Le, ICML 2019",
        idea="Depth, width and input size grown together.",
    ),
    "efficientnet_b4": Milestone(
        label="EfficientNet-B4",
        year=2019,
        depth=161,
        paper="Tan, Le, ICML 2019",
        idea="The same recipe, four steps on.",
    ),
    "regnet_y_8gf": Milestone(
        label="RegNetY-8GF",
        year=2020,
        depth=87,
        paper="Radosavovic et al., CVPR 2020",
        idea="A design space narrowed by statistics, not a single net.",
    ),
    "efficientnet_v2_s": Milestone(
        label="EfficientNetV2-S",
        year=2021,
        depth=171,
        paper="Tan, Le, ICML 2021",
        idea="Searched for the time that training takes.",
    ),
    "convnext_tiny": Milestone(
        label="ConvNeXt-T",
        year=2022,
        depth=59,
        paper="Liu et al., CVPR 2022",
        idea="A ResNet with what was learnt from transformers.",
    ),
    "convnext_base": Milestone(
        label="ConvNeXt-B",
        year=2022,
        depth=113,
        paper="Liu et al., CVPR 2022",
        idea="The same, larger.",
    ),
}
"""Name of torchvision's builder → the architecture, in order of publication."""

LENET_MNIST_ERROR = 0.95
"""Percent of MNIST's test images that LeNet-5 got wrong, LeCun et al. 1998, section III; it never met ImageNet."""


@cache
def scores() -> tuple[Score, ...]:
    """What torchvision's ImageNet-1k weights of each milestone reach, older training recipes first."""
    from torchvision import models  # slow to import, and needed here alone

    return tuple(
        _score(builder, weights.name, weights.meta, weights.transforms.keywords["crop_size"])
        for builder in MILESTONES
        for weights in models.get_model_weights(builder)
        if weights.name in ("IMAGENET1K_V1", "IMAGENET1K_V2")
    )


def _score(builder: str, name: str, meta: Mapping[str, object], side: int) -> Score:
    metrics = meta["_metrics"]
    assert isinstance(metrics, Mapping)
    return Score(
        builder=builder,
        weights=name,
        num_params=int(str(meta["num_params"])),
        # torchvision calls them GFLOPS and counts multiply-adds: ResNet-50 has 4.089 of them.
        macs=round(float(str(meta["_ops"])) * 1e9),
        side=side,
        top1=float(metrics["ImageNet-1K"]["acc@1"]),
        source=str(meta["recipe"]),
    )
