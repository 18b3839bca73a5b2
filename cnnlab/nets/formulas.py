"""How a layer's sizes and counts come about, as text: "⌊(32 + 2·0 − 3) / 1⌋ + 1 = 30"."""

import math
import re
from dataclasses import dataclass
from typing import Any

from cnnlab.nets.tracing import Call, Operand

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Formulas:
    """With numbers, and with symbols; "" where there is nothing to work out or where we have no formula.

    Symbols: H, W size of the map that comes in, H′, W′ of the one that goes out, K window, S stride, P padding,
    D dilation, G groups, C channels, N numbers, T tokens, E length of a token.
    """

    shape: str = ""
    shape_symbols: str = ""
    params: str = ""
    params_symbols: str = ""
    macs: str = ""
    macs_symbols: str = ""


def formulas(call: Call) -> Formulas:
    """Work out the formulas of one call. The batch is left out: everything is per picture."""
    operation = call.operation
    if not call.input_shapes or not call.output_shapes:
        return Formulas()
    if re.fullmatch(r"conv[123]d", operation):
        return _conv(call)
    if re.fullmatch(r"conv_transpose[123]d", operation):
        return _conv_transposed(call)
    if re.fullmatch(r"(max|avg)_pool[123]d", operation):
        shape, symbols = _window_shape(call, _per_axis(call.settings["kernel_size"], int(operation[-2])))
        return Formulas(shape=shape, shape_symbols=symbols)
    if operation == "linear":
        return _linear(call)
    if operation in ("batch_norm", "group_norm", "layer_norm", "instance_norm"):
        return _norm(call)
    if operation == "multi_head_attention":
        return _attention(call)
    if operation in ("flatten", "view", "reshape") and len(call.output_shape) == 2 < len(call.input_shapes[0]):
        sizes = call.input_shapes[0][1:]
        return Formulas(
            shape=f"{_times(sizes)} = {call.output_shape[-1]:,}", shape_symbols=_times(("C", "H", "W")[: len(sizes)])
        )
    if operation == "cat" and len(call.inputs) > 1 and call.settings.get("dim") in (1, -3):
        channels = [operand.shape[1] for operand in call.settings["tensors"]]
        return Formulas(
            shape=f"{' + '.join(f'{each:,}' for each in channels)} = {call.output_shape[1]:,}",
            shape_symbols=" + ".join(f"C{_below(at)}" for at in range(1, len(channels) + 1)),
        )
    return Formulas()


def _conv(call: Call) -> Formulas:
    weight, bias = _weight(call)
    num_axes = len(weight) - 2
    shape, shape_symbols = _window_shape(call, weight[2:])
    groups = call.settings.get("groups", 1)
    incoming = weight[1] * groups
    kernel = "·".join("K" * num_axes)
    per_output = [*map(_number, weight[2:]), _divided(incoming, groups), _number(weight[0])]
    symbols = f"{kernel}·{'(Cᵢₙ / G)' if groups > 1 else 'Cᵢₙ'}·Cₒᵤₜ"
    cells = call.output_shape[-num_axes:]
    return Formulas(
        shape=shape,
        shape_symbols=shape_symbols,
        **_params(weight, bias, "·".join(per_output), symbols),
        macs=f"{'·'.join([*map(_number, cells), *per_output])} = {call.macs:,}",
        macs_symbols=f"{'·'.join(_SIZES[num_axes][1])}·{symbols}",
    )


def _conv_transposed(call: Call) -> Formulas:
    weight, bias = _weight(call)
    num_axes = len(weight) - 2
    settings = call.settings
    groups = settings.get("groups", 1)
    stride, padding = (_per_axis(settings.get(key, first), num_axes) for key, first in (("stride", 1), ("padding", 0)))
    dilation = _per_axis(settings.get("dilation", 1), num_axes)
    extra = _per_axis(settings.get("output_padding", 0), num_axes)
    lines = []
    for size, out, k, s, p, d, more in zip(
        call.input_shapes[0][-num_axes:], call.output_shape[-num_axes:], weight[2:], stride, padding, dilation, extra,
        strict=True,
    ):  # fmt: skip
        reach = f"{k}" if d == 1 else f"{d}·({k} − 1) + 1"
        lines.append(f"({size} − 1)·{s} − 2·{p} + {reach}{f' + {more}' if more else ''} = {out}")
    kernel = "·".join("K" * num_axes)
    per_input = [*map(_number, weight[2:]), _number(weight[0]), _divided(weight[1] * groups, groups)]
    symbols = f"{kernel}·Cᵢₙ·{'(Cₒᵤₜ / G)' if groups > 1 else 'Cₒᵤₜ'}"
    cells = call.input_shapes[0][-num_axes:]
    return Formulas(
        shape=_by_axis(lines),
        shape_symbols="(H − 1)·S − 2·P + K",
        **_params(weight, bias, "·".join(per_input), symbols),
        macs=f"{'·'.join([*map(_number, cells), *per_input])} = {call.macs:,}",
        macs_symbols=f"{'·'.join(_SIZES[num_axes][0])}·{symbols}",
    )


def _linear(call: Call) -> Formulas:
    weight, bias = _weight(call)
    numbers = f"{weight[1]:,}·{weight[0]:,}"
    rows = math.prod(call.output_shape[1:-1])
    return Formulas(
        **_params(weight, bias, numbers, "Nᵢₙ·Nₒᵤₜ", "Nₒᵤₜ"),
        macs=f"{f'{rows:,}·' if rows > 1 else ''}{numbers} = {call.macs:,}",
        macs_symbols=f"{'T·' if rows > 1 else ''}Nᵢₙ·Nₒᵤₜ",
    )


def _norm(call: Call) -> Formulas:
    weight = _weight_of_layer(call, "weight")
    if weight is None:
        return Formulas()
    count = math.prod(weight)
    if _weight_of_layer(call, "bias") is None:
        return Formulas(params=f"{count:,}", params_symbols="C")
    return Formulas(params=f"2·{count:,} = {2 * count:,}", params_symbols="2·C")


def _attention(call: Call) -> Formulas:
    """Query, key, value and output from each token: 4·E·E each; tokens compared and mixed: 2·T·T·E."""
    if call.module is None or len(call.input_shapes) > 1:
        return Formulas()
    length = call.settings["embed_dim"]
    tokens = math.prod(call.output_shape) // length
    macs = 4 * tokens * length * length + 2 * tokens * tokens * length
    num_params = sum(each.numel() for each in call.module.parameters())
    found = Formulas()
    if num_params == 4 * length * length + 4 * length:
        found = Formulas(
            params=f"4·{length:,}·{length:,} + 4·{length:,} = {num_params:,}", params_symbols="4·E·E + 4·E"
        )
    if macs == call.macs:
        text = f"4·{tokens:,}·{length:,}·{length:,} + 2·{tokens:,}·{tokens:,}·{length:,} = {macs:,}"
        found = Formulas(
            params=found.params, params_symbols=found.params_symbols, macs=text, macs_symbols="4·T·E·E + 2·T·T·E"
        )
    return found


def _window_shape(call: Call, kernel: Shape) -> tuple[str, str]:
    num_axes = len(kernel)
    settings = call.settings
    padding = settings.get("padding", 0)
    stride = settings.get("stride", 1 if call.operation.startswith("conv") else None)
    stride = _per_axis(kernel if stride in (None, (), []) else stride, num_axes)
    dilation = _per_axis(settings.get("dilation", 1), num_axes)
    if padding == "same":
        return "the padding keeps the size", "H"
    padding = _per_axis(0 if padding == "valid" else padding, num_axes)
    is_ceiled = bool(settings.get("ceil_mode"))
    opening, closing = "⌈⌉" if is_ceiled else "⌊⌋"
    lines = []
    for size, out, k, s, p, d in zip(
        call.input_shapes[0][-num_axes:], call.output_shape[-num_axes:], kernel, stride, padding, dilation, strict=True
    ):
        reach = f"− {k}" if d == 1 else f"− {d}·({k} − 1) − 1"
        text = f"{opening}({size} + 2·{p} {reach}) / {s}{closing} + 1"
        room = size + 2 * p - d * (k - 1) - 1
        value = (-(-room // s) if is_ceiled else room // s) + 1
        # PyTorch leaves out a last window that would begin in the padding on the right.
        lines.append(f"{text} = {out}" if value == out else f"{text} − 1 = {out}")
    reach = "− K" if set(dilation) == {1} else "− D·(K − 1) − 1"
    return _by_axis(lines), f"{opening}(H + 2·P {reach}) / S{closing} + 1"


# Symbols of the sizes of a map that comes in and of one that goes out.
_SIZES = {1: ("W", ("W′",)), 2: ("HW", ("H′", "W′")), 3: ("DHW", ("D′", "H′", "W′"))}


def _by_axis(lines: list[str]) -> str:
    if len(set(lines)) == 1:
        return lines[0]
    names = ("depth", "rows", "columns")[-len(lines) :]
    return ", ".join(f"{name} {line}" for name, line in zip(names, lines, strict=True))


def _params(weight: Shape, bias: Shape | None, numbers: str, symbols: str, bias_symbol: str = "Cₒᵤₜ") -> dict[str, str]:
    count = math.prod(weight) + math.prod(bias or (0,))
    if not bias:
        return {"params": f"{numbers} = {count:,}", "params_symbols": symbols}
    return {"params": f"{numbers} + {math.prod(bias):,} = {count:,}", "params_symbols": f"{symbols} + {bias_symbol}"}


def _weight(call: Call) -> tuple[Shape, Shape | None]:
    """Shapes of weight and bias."""
    weight = _weight_of_layer(call, "weight") or call.settings["weight"].shape
    bias = call.settings.get("bias")
    return weight, _weight_of_layer(call, "bias") or (bias.shape if isinstance(bias, Operand) else None)


def _weight_of_layer(call: Call, name: str) -> Shape | None:
    weight = getattr(call.module, name, None)
    return None if weight is None else tuple(weight.shape)


def _per_axis(value: Any, num_axes: int) -> Shape:
    if isinstance(value, (tuple, list)):
        return tuple(value) if len(value) == num_axes else tuple(value) * num_axes
    return (value,) * num_axes


def _divided(number: int, groups: int) -> str:
    return f"({number:,} / {groups:,})" if groups > 1 else f"{number:,}"


def _number(value: int) -> str:
    return f"{value:,}"


def _times(values: tuple[Any, ...]) -> str:
    return "·".join(each if isinstance(each, str) else f"{each:,}" for each in values)


def _below(number: int) -> str:
    return "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(number))
