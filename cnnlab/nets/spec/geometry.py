"""What leaves a layer and how many weights it has, by formula: no tensor is made."""

import math

from cnnlab.nets.spec.layers import LayerSpec, Misfit, Shape

# 2^25 numbers are 128 MB as float32. VGG16 at 512 × 512 px, the dearest net here, comes to half of that.
MAX_VALUES = 2**25


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of what may be one number for both."""
    return (value, value) if isinstance(value, int) else value


def times(*numbers: int) -> str:
    """3 × 3, for people."""
    return " × ".join(str(number) for number in numbers)


def shape_text(shape: Shape) -> str:
    """64 × 8 × 8, or 120 values."""
    return times(*shape) if len(shape) > 1 else f"{math.prod(shape):,} values"


def conv(layer: LayerSpec, shape: Shape) -> Shape:
    """⌊(W + 2P − D(K − 1) − 1) / S⌋ + 1 along each axis."""
    channels, out_channels, groups = shape[0], layer["out_channels"], layer["groups"]
    if channels % groups or out_channels % groups:
        raise Misfit(
            f"splits {channels} channels into {groups} groups and makes {out_channels}: both must be divisible by the "
            f"number of groups. {_divisors_text(channels, out_channels)}"
        )
    return out_channels, *_windows(layer, shape, pair(layer["dilation"]))


def conv_params(layer: LayerSpec, shape: Shape) -> int:
    """A kernel for each pair of an output channel and an input channel of its group, and a bias for each output."""
    kernels = layer["out_channels"] * (shape[0] // layer["groups"])
    return kernels * math.prod(pair(layer["kernel_size"])) + layer["out_channels"] * layer["bias"]


def conv_macs(layer: LayerSpec, in_shape: Shape, out_shape: Shape) -> int:
    """Each kernel at each place of the output."""
    kernels = layer["out_channels"] * (in_shape[0] // layer["groups"])
    return kernels * math.prod(pair(layer["kernel_size"])) * math.prod(out_shape[1:])


def pool(layer: LayerSpec, shape: Shape) -> Shape:
    """As a convolution; with ceil_mode the last window may hang over the edge, but must begin before it."""
    for window, padding in zip(pair(layer["kernel_size"]), pair(layer["padding"]), strict=True):
        if padding > window // 2:
            raise Misfit(
                f"has padding {padding}, more than half of its window {times(*pair(layer['kernel_size']))}: some "
                f"windows would see nothing but padding. Use padding of at most {window // 2} there."
            )
    return shape[0], *_windows(layer, shape, (1, 1), ceil_mode=layer["ceil_mode"])


def pool_macs(layer: LayerSpec, _in_shape: Shape, out_shape: Shape) -> int:
    """The whole window for each value that comes out."""
    return math.prod(pair(layer["kernel_size"])) * math.prod(out_shape)


def adaptive_pool(layer: LayerSpec, shape: Shape) -> Shape:
    """The size that was asked for."""
    return shape[0], *pair(layer["output_size"])


def norm_params(layer: LayerSpec, shape: Shape) -> int:
    """A factor and a summand for each channel."""
    return 2 * shape[0] * layer["affine"]


def local_response_norm_macs(layer: LayerSpec, _in_shape: Shape, out_shape: Shape) -> int:
    """The neighbours of each value."""
    return layer["size"] * math.prod(out_shape)


def group_norm(layer: LayerSpec, shape: Shape) -> Shape:
    """Unchanged; the groups must divide the channels."""
    if shape[0] % layer["num_groups"]:
        raise Misfit(
            f"splits {shape[0]} channels into {layer['num_groups']} groups of equal size, which does not work out. "
            f"{_divisors_text(shape[0])}"
        )
    return shape


def flatten(_layer: LayerSpec, shape: Shape) -> Shape:
    """All values in one row."""
    return (math.prod(shape),)


def linear(layer: LayerSpec, _shape: Shape) -> Shape:
    """One value for each output."""
    return (layer["out_features"],)


def linear_params(layer: LayerSpec, shape: Shape) -> int:
    """A weight for each pair of an input and an output, and a bias for each output."""
    return layer["out_features"] * (shape[0] + layer["bias"])


def linear_macs(_layer: LayerSpec, in_shape: Shape, out_shape: Shape) -> int:
    """One for each pair of an input and an output."""
    return in_shape[0] * out_shape[0]


def squeeze_excitation_params(layer: LayerSpec, shape: Shape) -> int:
    """Two linear layers with bias."""
    return (shape[0] + 1) * layer["squeezed"] + (layer["squeezed"] + 1) * shape[0]


def cbam_params(layer: LayerSpec, shape: Shape) -> int:
    """Two linear layers without bias over the channels, one 7 × 7 convolution over mean and maximum."""
    return 2 * shape[0] * max(1, shape[0] // layer["reduction"]) + 2 * 7 * 7


def _windows(layer: LayerSpec, shape: Shape, dilation: tuple[int, int], *, ceil_mode: bool = False) -> tuple[int, int]:
    """Window positions along each axis, as PyTorch counts them."""
    kernel, stride, padding = pair(layer["kernel_size"]), pair(layer["stride"]), pair(layer["padding"])
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    out = []
    for size, r, s, p in zip(shape[1:], reach, stride, padding, strict=True):
        room = size + 2 * p - r
        positions = (room + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (positions - 1) * s >= size + p:
            positions -= 1
        out.append(positions)
    if min(out) < 1:
        raise Misfit(
            f"gets {shape_text(shape)}: the window needs at least {times(*reach)}"
            f"{', padding included' if any(padding) else ''}. "
            "Use a smaller window, padding, or leave out a pooling or a stride before it."
        )
    return out[0], out[1]


def _divisors_text(*numbers: int) -> str:
    common = [n for n in range(1, min(numbers) + 1) if not any(number % n for number in numbers)]
    if len(common) > 8:
        common = [*common[:7], common[-1]]
    return f"These fit: {', '.join(map(str, common))}."
