"""One name and one set of settings for what can be written as a layer or as a function.

`nn.Conv2d(3, 8, 3)(x)`, `F.conv2d(x, weight)` and `torch.conv2d(x, weight)` are the operation "conv2d" with the same
settings. What works on traced nets asks for those and need not care how the net was written.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor, nn

# Settings of the layers that torch.nn has, by the function that does the same. The first class that fits counts.
_CONV = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
_CONV_TRANSPOSED = ("kernel_size", "stride", "padding", "output_padding", "dilation", "groups")
_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVG_POOL = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
_BATCH_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
_LAYERS: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {
    nn.Conv1d: ("conv1d", _CONV),
    nn.Conv2d: ("conv2d", _CONV),
    nn.Conv3d: ("conv3d", _CONV),
    nn.ConvTranspose1d: ("conv_transpose1d", _CONV_TRANSPOSED),
    nn.ConvTranspose2d: ("conv_transpose2d", _CONV_TRANSPOSED),
    nn.ConvTranspose3d: ("conv_transpose3d", _CONV_TRANSPOSED),
    nn.MaxPool1d: ("max_pool1d", _MAX_POOL),
    nn.MaxPool2d: ("max_pool2d", _MAX_POOL),
    nn.MaxPool3d: ("max_pool3d", _MAX_POOL),
    nn.AvgPool1d: ("avg_pool1d", _AVG_POOL),
    nn.AvgPool2d: ("avg_pool2d", _AVG_POOL),
    nn.AvgPool3d: ("avg_pool3d", _AVG_POOL),
    nn.LPPool2d: ("lp_pool2d", ("norm_type", "kernel_size", "stride", "ceil_mode")),
    nn.AdaptiveAvgPool2d: ("adaptive_avg_pool2d", ("output_size",)),
    nn.AdaptiveMaxPool2d: ("adaptive_max_pool2d", ("output_size",)),
    nn.Linear: ("linear", ("in_features", "out_features")),
    nn.Flatten: ("flatten", ("start_dim", "end_dim")),
    nn.Unflatten: ("unflatten", ("dim", "unflattened_size")),
    nn.BatchNorm1d: ("batch_norm", _BATCH_NORM),
    nn.BatchNorm2d: ("batch_norm", _BATCH_NORM),
    nn.BatchNorm3d: ("batch_norm", _BATCH_NORM),
    nn.LayerNorm: ("layer_norm", ("normalized_shape", "eps")),
    nn.GroupNorm: ("group_norm", ("num_groups", "num_channels", "eps")),
    nn.InstanceNorm2d: ("instance_norm", ("num_features", "eps", "track_running_stats")),
    nn.LocalResponseNorm: ("local_response_norm", ("size", "alpha", "beta", "k")),
    nn.Dropout: ("dropout", ("p",)),
    nn.Dropout1d: ("dropout1d", ("p",)),
    nn.Dropout2d: ("dropout2d", ("p",)),
    nn.AlphaDropout: ("alpha_dropout", ("p",)),
    nn.Softmax: ("softmax", ("dim",)),
    nn.LogSoftmax: ("log_softmax", ("dim",)),
    nn.ZeroPad2d: ("pad", ("padding",)),
    nn.ConstantPad2d: ("pad", ("padding", "value")),
    nn.ReflectionPad2d: ("pad", ("padding",)),
    nn.ReplicationPad2d: ("pad", ("padding",)),
    nn.CircularPad2d: ("circular_pad", ("padding",)),
    nn.Upsample: ("interpolate", ("size", "scale_factor", "mode", "align_corners")),
    nn.UpsamplingNearest2d: ("interpolate", ("size", "scale_factor", "mode", "align_corners")),
    nn.UpsamplingBilinear2d: ("interpolate", ("size", "scale_factor", "mode", "align_corners")),
    nn.PixelShuffle: ("pixel_shuffle", ("upscale_factor",)),
    nn.MultiheadAttention: ("multi_head_attention", ("embed_dim", "num_heads", "batch_first", "dropout")),
    nn.PReLU: ("prelu", ("num_parameters",)),
    nn.LeakyReLU: ("leaky_relu", ("negative_slope",)),
    nn.ELU: ("elu", ("alpha",)),
    nn.Hardtanh: ("hardtanh", ("min_val", "max_val")),
    nn.GELU: ("gelu", ("approximate",)),
    nn.Identity: ("identity", ()),
    **{
        layer: (layer.__name__.lower(), ())
        for layer in (nn.ReLU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.Mish, nn.SELU)
    },
    **{layer: (layer.__name__.lower(), ()) for layer in (nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink)},
    nn.ReLU6: ("relu6", ()),
    nn.CELU: ("celu", ("alpha",)),
}

# Order of the arguments of functions that are not written in Python and so cannot be asked.
_POOL_ARGUMENTS = ("input", "kernel_size", "stride", "padding")
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    **{f"conv{n}d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups") for n in (1, 2, 3)},
    **{
        f"conv_transpose{n}d": ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
        for n in (1, 2, 3)
    },
    **{f"max_pool{n}d": (*_POOL_ARGUMENTS, "dilation", "ceil_mode") for n in (1, 2, 3)},
    **{f"avg_pool{n}d": (*_POOL_ARGUMENTS, "ceil_mode", "count_include_pad", "divisor_override") for n in (1, 2, 3)},
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "logsumexp"), ("input", "dim", "keepdim")),
    **dict.fromkeys(("std", "var"), ("input", "dim", "unbiased", "keepdim")),
    "linear": ("input", "weight", "bias"),
    "flatten": ("input", "start_dim", "end_dim"),
    "unflatten": ("input", "dim", "sizes"),
    "cat": ("tensors", "dim"),
    "stack": ("tensors", "dim"),
    "transpose": ("input", "dim0", "dim1"),
    "squeeze": ("input", "dim"),
    "unsqueeze": ("input", "dim"),
    "softmax": ("input", "dim"),
    "log_softmax": ("input", "dim"),
    "dropout": ("input", "p", "training"),
    "chunk": ("input", "chunks", "dim"),
    "split": ("input", "split_size", "dim"),
    "add": ("input", "other"),
    "sub": ("input", "other"),
    "mul": ("input", "other"),
    "div": ("input", "other"),
    "pow": ("input", "exponent"),
    "clamp": ("input", "min", "max"),
    "getitem": ("input", "index"),
}
# Functions that take their sizes or axes one by one or as one tuple.
_SPREAD = {"view": "shape", "reshape": "shape", "permute": "dims", "expand": "shape", "repeat": "repeats"}
# Names that NumPy has for them.
_ALIASES = {"axis": "dim", "axis0": "dim0", "axis1": "dim1", "keepdims": "keepdim"}
_SAME_AS = {
    **{f"{letter}{name}": name for letter in "ir" for name in ("add", "sub", "mul", "pow")},
    **dict.fromkeys(("truediv", "itruediv", "rtruediv", "idiv", "rdiv", "true_divide", "divide"), "div"),
    "multiply": "mul",
    "subtract": "sub",
    "concat": "cat",
    "concatenate": "cat",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "max_pool2d_with_indices": "max_pool2d",
    "upsample": "interpolate",
    "clip": "clamp",
    "special_expit": "sigmoid",
    "mm": "matmul",
    "multi_head_attention_forward": "multi_head_attention",
}


def layer_operation(module: nn.Module) -> tuple[str, dict[str, Any]]:
    """Name and settings of what a layer does; ("", {}) for a layer that does something of its own.

    A subclass counts as its base class as long as it inherits `forward`.
    """
    for kind in type(module).__mro__:
        if kind in _LAYERS and type(module).forward is kind.forward:
            name, settings = _LAYERS[kind]
            return name, {key: getattr(module, key) for key in settings}
    return "", {}


def function_name(function: Callable[..., Any]) -> str:
    """Plain name of a torch function: "add" for `+`, `+=`, `torch.add`, `Tensor.add_`."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":  # a property, such as Tensor.T
        name = getattr(getattr(function, "__self__", None), "__name__", name)
    name = name.split(".")[0].strip("_")
    return _SAME_AS.get(name, name)


def function_settings(
    function: Callable[..., Any], name: str, arguments: tuple[Any, ...], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments by their names, those that NumPy calls otherwise by PyTorch's. What cannot be named is left out."""
    options = {_ALIASES.get(key, key): value for key, value in options.items()}
    if name in _SPREAD:
        rest = arguments[1:]
        spread = rest[0] if len(rest) == 1 and isinstance(rest[0], (tuple, list)) else rest
        return {"input": arguments[0], _SPREAD[name]: tuple(spread), **options} if arguments else options
    names = _ARGUMENTS.get(name) or _python_arguments(function)
    return {**dict(zip(names, arguments, strict=False)), **options}


@lru_cache(maxsize=1024)
def _python_arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ("input",)
    return tuple(each.name for each in parameters if each.kind is not each.VAR_KEYWORD)


def per_axis(value: Any, num_axes: int) -> tuple[int, ...]:
    """A setting as one number for each axis: 3 and (3,) as (3, 3)."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return numbers if len(numbers) == num_axes else numbers * num_axes


def tensors(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [each for part in value for each in tensors(part)]
    if isinstance(value, dict):
        return [each for part in value.values() for each in tensors(part)]
    return []
