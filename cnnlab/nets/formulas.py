"""How a layer's sizes and counts come about, as text: "⌊(32 + 2·0 − 3) / 1⌋ + 1 = 30".

A formula stands here only when what it comes to is the number that was counted. Weights made of other weights, kernels
that are no parameters, pictures cut into windows and the like have numbers for which these formulas do not hold.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cnnlab.nets.operations import per_axis
from cnnlab.nets.tracing import Call, Operand

Shape = tuple[int, ...]
# A number, or a pair for a division: (6, 2) is "(6 / 2)".
Factor = int | tuple[int, int]


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


def formulas(call: Call, num_params: int) -> Formulas:
    """Work out the formulas of one call.

    Args:
        call: From a trace of one picture.
        num_params: Numbers in all parameters that the call read.
    """
    operation = call.operation
    if not call.input_shapes or not call.output_shapes:
        return Formulas()
    if re.fullmatch(r"conv[123]d", operation):
        return _conv(call, num_params)
    if re.fullmatch(r"conv_transpose[123]d", operation):
        return _conv_transposed(call, num_params)
    if re.fullmatch(r"(max|avg)_pool[123]d", operation):
        return Formulas(**_window_shape(call, per_axis(call.settings["kernel_size"], int(operation[-2]))))
    if operation == "linear":
        return _linear(call, num_params)
    if operation in ("batch_norm", "group_norm", "layer_norm", "instance_norm"):
        return _norm(call, num_params)
    if operation == "multi_head_attention":
        return _attention(call, num_params)
    if operation in ("flatten", "view", "reshape") and len(call.output_shape) == 2 < len(call.input_shapes[0]):
        sizes = call.input_shapes[0][1:]
        symbols = "·".join(("C", "H", "W")[: len(sizes)])
        return Formulas(**_equation("shape", [sizes], call.output_shape[-1], symbols))
    if operation == "cat" and len(call.inputs) > 1 and call.settings.get("dim") in (1, -3):
        channels = [(operand.shape[1],) for operand in call.settings["tensors"]]
        symbols = " + ".join(f"C{_below(at)}" for at in range(1, len(channels) + 1))
        return Formulas(**_equation("shape", channels, call.output_shape[1], symbols))
    return Formulas()


def _conv(call: Call, num_params: int) -> Formulas:
    weight, bias = _weight(call)
    num_axes = len(weight) - 2
    groups = call.settings.get("groups", 1)
    per_output = (*weight[2:], _divided(weight[1] * groups, groups), weight[0])
    symbols = f"{'·'.join('K' * num_axes)}·{'(Cᵢₙ / G)' if groups > 1 else 'Cᵢₙ'}·Cₒᵤₜ"
    cells = call.output_shape[-num_axes:]
    return Formulas(
        **_window_shape(call, weight[2:]),
        **_params(per_output, bias, num_params, symbols),
        **_equation("macs", [(*cells, *per_output)], call.macs, f"{'·'.join(_SIZES[num_axes][1])}·{symbols}"),
    )


def _conv_transposed(call: Call, num_params: int) -> Formulas:
    weight, bias = _weight(call)
    num_axes = len(weight) - 2
    settings = call.settings
    groups = settings.get("groups", 1)
    stride, padding, dilation, extra = (
        per_axis(settings.get(key, usual), num_axes)
        for key, usual in (("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0))
    )
    lines = []
    for size, out, k, s, p, d, more in zip(
        call.input_shapes[0][-num_axes:], call.output_shape[-num_axes:], weight[2:], stride, padding, dilation, extra,
        strict=True,
    ):  # fmt: skip
        reach = f"{k}" if d == 1 else f"{d}·({k} − 1) + 1"
        lines.append(f"({size} − 1)·{s} − 2·{p} + {reach}{f' + {more}' if more else ''} = {out}")
        if (size - 1) * s - 2 * p + d * (k - 1) + 1 + more != out:
            return Formulas()
    per_input = (*weight[2:], weight[0], _divided(weight[1] * groups, groups))
    symbols = f"{'·'.join('K' * num_axes)}·Cᵢₙ·{'(Cₒᵤₜ / G)' if groups > 1 else 'Cₒᵤₜ'}"
    cells = call.input_shapes[0][-num_axes:]
    return Formulas(
        shape=_by_axis(lines),
        shape_symbols="(H − 1)·S − 2·P + K",
        **_params(per_input, bias, num_params, symbols),
        **_equation("macs", [(*cells, *per_input)], call.macs, f"{'·'.join(_SIZES[num_axes][0])}·{symbols}"),
    )


def _linear(call: Call, num_params: int) -> Formulas:
    weight, bias = _weight(call)
    numbers = (weight[1], weight[0])
    rows = math.prod(call.output_shape[:-1])
    return Formulas(
        **_params(numbers, bias, num_params, "Nᵢₙ·Nₒᵤₜ", "Nₒᵤₜ"),
        **_equation("macs", [(rows, *numbers)], call.macs, "T·Nᵢₙ·Nₒᵤₜ")
        if rows > 1
        else _equation("macs", [numbers], call.macs, "Nᵢₙ·Nₒᵤₜ"),
    )


def _norm(call: Call, num_params: int) -> Formulas:
    weight = _weight_of_layer(call, "weight")
    if weight is None:
        return Formulas()
    count = math.prod(weight)
    if _weight_of_layer(call, "bias") is None:
        return Formulas(**_equation("params", [(count,)], num_params, "C"))
    return Formulas(**_equation("params", [(2, count)], num_params, "2·C"))


def _attention(call: Call, num_params: int) -> Formulas:
    """Query, key, value and output from each token: 4·E·E each; tokens compared and mixed: 2·T·T·E."""
    length = call.settings["embed_dim"] if call.module is not None else 0
    if not length or len(call.input_shapes) > 1:
        return Formulas()
    tokens = math.prod(call.output_shape) // length
    return Formulas(
        **_equation("params", [(4, length, length), (4, length)], num_params, "4·E·E + 4·E"),
        **_equation("macs", [(4, tokens, length, length), (2, tokens, tokens, length)], call.macs, "4·T·E·E + 2·T·T·E"),
    )


def _window_shape(call: Call, kernel: Shape) -> dict[str, str]:
    num_axes = len(kernel)
    settings = call.settings
    padding = settings.get("padding", 0)
    stride = settings.get("stride", 1 if call.operation.startswith("conv") else None)
    stride = per_axis(kernel if stride in (None, (), []) else stride, num_axes)
    dilation = per_axis(settings.get("dilation", 1), num_axes)
    if padding == "same":
        return {"shape": "the padding keeps the size", "shape_symbols": "H"}
    padding = per_axis(0 if padding == "valid" else padding, num_axes)
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
        if value not in (out, out + 1):
            return {}
        # PyTorch leaves out a last window that would begin in the padding on the right.
        lines.append(f"{text} = {out}" if value == out else f"{text} − 1 = {out}")
    reach = "− K" if set(dilation) == {1} else "− D·(K − 1) − 1"
    return {"shape": _by_axis(lines), "shape_symbols": f"{opening}(H + 2·P {reach}) / S{closing} + 1"}


# Symbols of the sizes of a map that comes in and of one that goes out.
_SIZES = {1: ("W", ("W′",)), 2: ("HW", ("H′", "W′")), 3: ("DHW", ("D′", "H′", "W′"))}


def _by_axis(lines: list[str]) -> str:
    if len(set(lines)) == 1:
        return lines[0]
    names = ("depth", "rows", "columns")[-len(lines) :]
    return ", ".join(f"{name} {line}" for name, line in zip(names, lines, strict=True))


def _params(
    weight: Sequence[Factor], bias: Shape | None, num_params: int, symbols: str, bias_symbol: str = "Cₒᵤₜ"
) -> dict[str, str]:
    if not bias:
        return _equation("params", [weight], num_params, symbols)
    return _equation("params", [weight, bias], num_params, f"{symbols} + {bias_symbol}")


def _equation(name: str, terms: Sequence[Sequence[Factor]], result: int, symbols: str) -> dict[str, str]:
    """A sum of products, in numbers and in symbols; nothing where it does not come to the result."""
    if sum(math.prod(_value(factor) for factor in term) for term in terms) != result:
        return {}
    text = " + ".join("·".join(_factor_text(factor) for factor in term) for term in terms)
    return {name: f"{text} = {result:,}", f"{name}_symbols": symbols}


def _value(factor: Factor) -> int:
    return factor if isinstance(factor, int) else factor[0] // factor[1]


def _factor_text(factor: Factor) -> str:
    return f"{factor:,}" if isinstance(factor, int) else f"({factor[0]:,} / {factor[1]:,})"


def _divided(number: int, groups: int) -> Factor:
    return (number, groups) if groups > 1 else number


def _weight(call: Call) -> tuple[Shape, Shape | None]:
    """Shapes of weight and bias."""
    weight = _weight_of_layer(call, "weight") or call.settings["weight"].shape
    bias = call.settings.get("bias")
    return weight, _weight_of_layer(call, "bias") or (bias.shape if isinstance(bias, Operand) else None)


def _weight_of_layer(call: Call, name: str) -> Shape | None:
    weight = getattr(call.module, name, None)
    return None if weight is None else tuple(weight.shape)


def _below(number: int) -> str:
    return "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(number))
