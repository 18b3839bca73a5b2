"""The kinds of layers. To add one, add its entry; validation, forms, files, PyTorch code and building follow it."""

from dataclasses import replace
from typing import Any

from cnnlab.nets.spec import geometry
from cnnlab.nets.spec.layers import LayerKind, LayerSpec, Param, TorchForm

_KERNEL = Param(
    name="kernel_size",
    label="Kernel size",
    type="pair",
    minimum=1,
    help="Larger windows see more at once; weights and multiply-adds grow with rows × columns.",
)
_STRIDE = Param(
    name="stride",
    label="Stride",
    type="pair",
    default=1,
    minimum=1,
    help="At 2 the window moves two cells at a time and the map comes out half as high and wide.",
)
_PADDING = Param(
    name="padding",
    label="Padding",
    type="pair",
    default=0,
    help="Cells of zeros around the map. Half of the kernel size, rounded down, keeps height and width.",
)
_BIAS = Param(
    name="bias",
    label="Bias",
    type="bool",
    default=True,
    help="A number added to each output. A batch normalisation right after it takes the bias out again.",
)
_POOLING = (
    replace(_KERNEL, label="Window", help="Larger windows keep less of where something was, and shrink the map more."),
    replace(_STRIDE, default=None, follows="kernel_size", help="Smaller than the window: windows overlap."),
    replace(_PADDING, help="Cells added around the map, at most half of the window. They never win a maximum."),
    Param(
        name="ceil_mode",
        label="Keep the rest",
        type="bool",
        default=False,
        help="On: cells left over at the right and bottom get a window of their own.",
    ),
)
_OUTPUT_SIZE = Param(
    name="output_size",
    label="Output size",
    type="pair",
    default=1,
    minimum=1,
    help="Height and width that come out, whatever comes in. 1 makes one number of each channel: global pooling.",
)
_EPS = Param(
    name="eps",
    label="ε",
    type="float",
    default=1e-5,
    minimum=1e-12,
    maximum=1,
    help="Added to the variance, so that nothing is divided by zero. Larger values weaken the normalisation.",
)
_AFFINE = Param(
    name="affine",
    label="Learnt scale",
    type="bool",
    default=True,
    help="On: each channel learns a factor and a summand to follow the normalisation.",
)
_DROPPED = Param(
    name="p",
    label="Share dropped",
    type="float",
    default=0.5,
    maximum=1,
    help="While training, this share is set to zero, anew for each batch. More: less overfitting, slower learning.",
)

_NOT_IN_PLACE = ("GELU", "Sigmoid", "Softplus", "Tanh")


def _activation(label: str, cls: str, help_text: str, *params: Param) -> LayerKind:
    names = tuple(param.name for param in params)
    return LayerKind(
        label=label,
        group="Activation",
        help=help_text,
        params=params,
        # `inplace` saves memory and changes no number; it is read over where PyTorch has it.
        torch=TorchForm(cls=cls, signature=names if cls in _NOT_IN_PLACE else (*names, "inplace")),
    )


ACTIVATIONS: dict[str, LayerKind] = {
    "relu": _activation("ReLU", "ReLU", "Sets what is below zero to zero."),
    "leaky_relu": _activation(
        "LeakyReLU",
        "LeakyReLU",
        "Lets a little of what is below zero through, so that no unit falls silent for good.",
        Param(
            name="negative_slope",
            label="Slope below zero",
            type="float",
            default=0.01,
            minimum=-10,
            maximum=10,
            help="0 is ReLU, 1 is a straight line and no activation at all.",
        ),
    ),
    "elu": _activation(
        "ELU",
        "ELU",
        "Bends smoothly towards −α below zero, which brings the mean of the outputs closer to zero.",
        Param(
            name="alpha",
            label="α",
            type="float",
            default=1.0,
            minimum=-10,
            maximum=10,
            help="How deep it goes below zero.",
        ),
    ),
    "selu": _activation("SELU", "SELU", "An ELU scaled so that mean and variance keep themselves through many layers."),
    "gelu": _activation(
        "GELU",
        "GELU",
        "Weighs a value by the share of a normal distribution below it.",
        Param(
            name="approximate",
            label="Approximation",
            type="choice",
            default="none",
            choices=("none", "tanh"),
            help="tanh is a little quicker and differs by less than 0.001.",
        ),
    ),
    "silu": _activation("SiLU", "SiLU", "x · sigmoid(x), also called Swish: smooth, dips slightly below zero."),
    "mish": _activation("Mish", "Mish", "x · tanh(softplus(x)): like SiLU, a little dearer."),
    "relu6": _activation("ReLU6", "ReLU6", "A ReLU that stops at 6, made for arithmetic with few bits."),
    "hardswish": _activation("Hardswish", "Hardswish", "SiLU from straight pieces, for phones."),
    "hardsigmoid": _activation("Hardsigmoid", "Hardsigmoid", "Sigmoid from three straight pieces."),
    "sigmoid": _activation("Sigmoid", "Sigmoid", "Squeezes everything into 0 to 1. Its slope dies far from zero."),
    "tanh": _activation("Tanh", "Tanh", "Squeezes everything into −1 to 1. Its slope dies far from zero."),
    "softplus": _activation(
        "Softplus",
        "Softplus",
        "A ReLU with a rounded corner.",
        Param(
            name="beta",
            label="β",
            type="float",
            default=1.0,
            minimum=0.01,
            maximum=100,
            help="Larger values make the corner sharper.",
        ),
        Param(
            name="threshold",
            label="Threshold",
            type="float",
            default=20.0,
            maximum=1000,
            help="Where β · x is above it, the straight line is taken, so that nothing overflows.",
        ),
    ),
}

LAYER_KINDS: dict[str, LayerKind] = {
    "conv": LayerKind(
        label="Conv",
        group="Convolution",
        help="Slides learnt kernels over the map; each makes one channel of the output.",
        params=(
            Param(
                name="out_channels",
                label="Channels",
                type="int",
                minimum=1,
                help="How many kernels, and so channels, come out. Weights and multiply-adds grow in proportion.",
            ),
            _KERNEL,
            _STRIDE,
            _PADDING,
            Param(
                name="dilation",
                label="Dilation",
                type="pair",
                default=1,
                minimum=1,
                help="Distance between the cells that a kernel sees: it sees further with the same weights.",
            ),
            Param(
                name="groups",
                label="Groups",
                type="int",
                default=1,
                minimum=1,
                help="Channels are split into this many groups that do not see each other. "
                "As many groups as channels is a depthwise convolution.",
            ),
            _BIAS,
        ),
        takes="map",
        out_shape=geometry.conv,
        num_params=geometry.conv_params,
        num_macs=geometry.conv_macs,
        torch=TorchForm(
            cls="Conv2d",
            signature=(
                "in_channels",
                "out_channels",
                "kernel_size",
                "stride",
                "padding",
                "dilation",
                "groups",
                "bias",
                "padding_mode",
            ),
            inferred="in_channels",
            leading=3,
            fixed={"padding_mode": "zeros"},
        ),
    ),
    "linear": LayerKind(
        label="Linear",
        group="Linear",
        help="Every output is a weighted sum of all inputs.",
        params=(
            Param(
                name="out_features",
                label="Outputs",
                type="int",
                minimum=1,
                help="The last layer has one for each class. Weights grow with inputs × outputs.",
            ),
            _BIAS,
        ),
        takes="vector",
        out_shape=geometry.linear,
        num_params=geometry.linear_params,
        num_macs=geometry.linear_macs,
        torch=TorchForm(
            cls="Linear", signature=("in_features", "out_features", "bias"), inferred="in_features", leading=2
        ),
    ),
    "flatten": LayerKind(
        label="Flatten",
        group="Linear",
        help="Writes all values of the map in one row, for a linear layer.",
        out_shape=geometry.flatten,
        torch=TorchForm(cls="Flatten", signature=("start_dim", "end_dim"), fixed={"start_dim": 1, "end_dim": -1}),
    ),
    "max_pool": LayerKind(
        label="MaxPool",
        group="Pooling",
        help="Keeps the largest value of each window.",
        params=_POOLING,
        takes="map",
        out_shape=geometry.pool,
        num_macs=geometry.pool_macs,
        torch=TorchForm(
            cls="MaxPool2d",
            signature=("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"),
            leading=1,
            fixed={"dilation": 1, "return_indices": False},
        ),
    ),
    "avg_pool": LayerKind(
        label="AvgPool",
        group="Pooling",
        help="Keeps the mean of each window.",
        params=(
            *_POOLING[:2],
            replace(_PADDING, help="Cells of zeros around the map, at most half of the window."),
            _POOLING[3],
            Param(
                name="count_include_pad",
                label="Count padding",
                type="bool",
                default=True,
                help="On: the zeros of the padding count in the mean and darken the border.",
            ),
        ),
        takes="map",
        out_shape=geometry.pool,
        num_macs=geometry.pool_macs,
        torch=TorchForm(
            cls="AvgPool2d",
            signature=("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
            leading=1,
            fixed={"divisor_override": None},
        ),
    ),
    "adaptive_avg_pool": LayerKind(
        label="Adaptive AvgPool",
        group="Pooling",
        help="The means over a fixed number of parts; with size 1, the mean of each channel.",
        params=(_OUTPUT_SIZE,),
        takes="map",
        out_shape=geometry.adaptive_pool,
        torch=TorchForm(cls="AdaptiveAvgPool2d", signature=("output_size",), leading=1),
    ),
    "adaptive_max_pool": LayerKind(
        label="Adaptive MaxPool",
        group="Pooling",
        help="The largest values of a fixed number of parts; with size 1, the largest of each channel.",
        params=(_OUTPUT_SIZE,),
        takes="map",
        out_shape=geometry.adaptive_pool,
        torch=TorchForm(
            cls="AdaptiveMaxPool2d",
            signature=("output_size", "return_indices"),
            leading=1,
            fixed={"return_indices": False},
        ),
    ),
    "batch_norm": LayerKind(
        label="BatchNorm",
        group="Normalisation",
        help="Brings each channel to mean 0 and variance 1 over the batch; in use, over what was seen in training.",
        params=(
            _EPS,
            Param(
                name="momentum",
                label="Momentum",
                type="float",
                default=0.1,
                maximum=1,
                help="How fast the running mean and variance follow the latest batch.",
            ),
            _AFFINE,
        ),
        num_params=geometry.norm_params,
        torch=TorchForm(
            cls="BatchNorm2d",
            vector_cls="BatchNorm1d",
            signature=("num_features", "eps", "momentum", "affine", "track_running_stats"),
            inferred="num_features",
            leading=1,
            fixed={"track_running_stats": True, "bias": True},
        ),
    ),
    "group_norm": LayerKind(
        label="GroupNorm",
        group="Normalisation",
        help="Brings each group of channels to mean 0 and variance 1, for each picture by itself.",
        params=(
            Param(
                name="num_groups",
                label="Groups",
                type="int",
                minimum=1,
                help="1 normalises all channels together; as many as channels, each by itself.",
            ),
            _EPS,
            _AFFINE,
        ),
        out_shape=geometry.group_norm,
        num_params=geometry.norm_params,
        torch=TorchForm(
            cls="GroupNorm",
            signature=("num_groups", "num_channels", "eps", "affine"),
            inferred="num_channels",
            leading=2,
            fixed={"bias": True},
        ),
    ),
    "local_response_norm": LayerKind(
        label="LocalResponseNorm",
        group="Normalisation",
        help="Damps a value by its neighbours in other channels, as in AlexNet.",
        params=(
            Param(name="size", label="Neighbours", type="int", minimum=1, help="Over how many channels the sum goes."),
            Param(
                name="alpha",
                label="α",
                type="float",
                default=1e-4,
                maximum=1000,
                help="How strongly neighbours damp.",
            ),
            Param(
                name="beta",
                label="β",
                type="float",
                default=0.75,
                maximum=10,
                help="The power to which the sum is raised.",
            ),
            Param(
                name="k",
                label="k",
                type="float",
                default=1.0,
                minimum=1e-6,
                maximum=1000,
                help="Added to the sum: larger values damp everything alike.",
            ),
        ),
        takes="map",
        num_macs=geometry.local_response_norm_macs,
        torch=TorchForm(cls="LocalResponseNorm", signature=("size", "alpha", "beta", "k"), leading=1),
    ),
    **ACTIVATIONS,
    "dropout": LayerKind(
        label="Dropout",
        group="Regularisation",
        help="Drops single values while training.",
        params=(_DROPPED,),
        torch=TorchForm(cls="Dropout", signature=("p", "inplace"), leading=1),
    ),
    "dropout2d": LayerKind(
        label="Dropout2d",
        group="Regularisation",
        help="Drops whole channels while training: neighbours in a map say much the same.",
        params=(_DROPPED,),
        takes="map",
        torch=TorchForm(cls="Dropout2d", signature=("p", "inplace"), leading=1),
    ),
    "stochastic_depth": LayerKind(
        label="Stochastic depth",
        group="Regularisation",
        help="At the end of a residual body: drops the whole body for some pictures while training.",
        params=(replace(_DROPPED, default=0.2),),
        torch=TorchForm(cls="StochasticDepth", signature=("p", "mode"), leading=2, fixed={"mode": "row"}),
    ),
    "residual": LayerKind(
        label="Residual",
        group="Blocks",
        help="activation(body(x) + shortcut(x)): the body learns what to add to what arrives.",
        params=(
            Param(
                name="body",
                label="Body",
                type="layers",
                minimum=1,
                help="What is learnt. Its output must have the shape that leaves the shortcut.",
            ),
            Param(
                name="shortcut",
                label="Shortcut",
                type="layers",
                default=(),
                help="Empty: what arrives is added as it is. A 1 × 1 convolution adapts channels and size.",
            ),
            Param(
                name="activation",
                label="Activation",
                type="activation",
                default="none",
                choices=("none", *ACTIVATIONS),
                help="Applied to the sum.",
            ),
        ),
    ),
    "se": LayerKind(
        label="Squeeze-excitation",
        group="Blocks",
        help="Weighs each channel by what the whole picture says about it.",
        params=(
            Param(
                name="squeezed",
                label="Squeezed channels",
                type="int",
                minimum=1,
                help="Width of the layer in the middle, often a quarter to a sixteenth of the channels.",
            ),
            Param(
                name="activation",
                label="Activation",
                type="activation",
                default="relu",
                choices=tuple(ACTIVATIONS),
                help="Between the two layers.",
            ),
            Param(
                name="gate",
                label="Gate",
                type="activation",
                default="sigmoid",
                choices=tuple(ACTIVATIONS),
                help="Makes the weights; one that stays between 0 and 1.",
            ),
        ),
        takes="map",
        num_params=geometry.squeeze_excitation_params,
        torch=TorchForm(
            cls="SqueezeExcitation",
            signature=("channels", "squeezed", "activation", "gate"),
            inferred="channels",
            leading=2,
        ),
    ),
    "cbam": LayerKind(
        label="Attention (CBAM)",
        group="Blocks",
        help="Weighs the channels, then the places.",
        params=(
            Param(
                name="reduction",
                label="Reduction",
                type="int",
                default=16,
                minimum=1,
                help="By how much the layer in the middle is narrower: more of it, fewer weights.",
            ),
        ),
        takes="map",
        num_params=geometry.cbam_params,
        torch=TorchForm(
            cls="ChannelSpatialAttention", signature=("channels", "reduction"), inferred="channels", leading=1
        ),
    ),
    "reuse": LayerKind(
        label="Reuse",
        group="Blocks",
        help="Applies an earlier layer once more, with the same weights.",
        params=(Param(name="of", label="Layer", type="name", help="Name of the earlier layer."),),
    ),
}
"""Key → the kind. The key is what files hold, the order is what people see."""

TORCH_CLASSES: dict[str, str] = {
    cls: key
    for key, kind in LAYER_KINDS.items()
    if kind.torch
    for cls in (kind.torch.cls, kind.torch.vector_cls)
    if cls
}
"""Name of a class in PyTorch or of a block → key of `LAYER_KINDS`."""


def layer(kind: str, /, *, name: str = "", **params: Any) -> LayerSpec:
    """Make a layer, writing every value its one way and filling in defaults.

    Nothing is refused here: a table that is being edited may hold nonsense in several rows, and `check` finds it all.

    Args:
        kind: Key of `LAYER_KINDS`.
        name: By which a `reuse` refers to it.
        params: Its parameters.
    """
    entry = LAYER_KINDS.get(kind)
    if entry is None:
        return LayerSpec(kind, tuple(params.items()), name)
    values: dict[str, Any] = {}
    for param in entry.params:
        value = params.pop(param.name, None)
        if value is None:
            value = values.get(param.follows) if param.follows else param.default
        if value is not None:
            values[param.name] = param.canonical(value)
    return LayerSpec(kind, tuple((values | params).items()), name)
