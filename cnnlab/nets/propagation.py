"""Carry what is known of the places in a picture through the operations of a net.

Each tensor is described by what lies along its axes and by the windows its units see, each axis of the picture by
itself. Each operation has a rule that makes the description of its output from those of its inputs. Where there is no
rule, nothing is known from there on. `cnnlab.nets.receptive_field` tells the formulas and where they come from.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from cnnlab.nets.operations import per_axis
from cnnlab.nets.tracing import Call, Operand


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the picture, as the units of a tensor see it; `low` is where the first window begins."""

    low: float = 0.0
    size: float = 1.0
    jump: float = 1.0
    count: int = 1

    def slid(self, kernel: int, stride: int, padding: int, dilation: int, count: int) -> "Axis":
        """After a window has gone over it."""
        return Axis(
            low=self.low - padding * self.jump,
            size=self.size + dilation * (kernel - 1) * self.jump,
            jump=self.jump * stride,
            count=count,
        )

    def mapped(self, windows: Sequence[tuple[int, int]], step: float) -> "Axis":
        """After something where output i sees the cells from the first to before the second number of window i.

        The windows are laid on a line, `step` cells apart. Where they do not lie on one, each is up to one cell off.
        """
        if self.count == 1:
            return replace(self, jump=0.0, count=len(windows))
        longest = max(stop - start for start, stop in windows)
        middle = sum((start + stop) / 2 - at * step for at, (start, stop) in enumerate(windows)) / len(windows)
        return Axis(
            low=self.low + (middle - longest / 2) * self.jump,
            size=self.size + (longest - 1) * self.jump,
            jump=self.jump * step,
            count=len(windows),
        )

    def gathered(self) -> "Axis":
        """All units put together into one."""
        return Axis(self.low, self.size + (self.count - 1) * self.jump, self.jump * self.count, 1)

    def united(self, other: "Axis") -> "Axis | None":
        """What units see that have both; None where the windows drift apart."""
        if self.count != other.count or (self.count > 1 and not math.isclose(self.jump, other.jump)):
            return None
        low = min(self.low, other.low)
        return replace(self, low=low, size=max(self.low + self.size, other.low + other.size) - low)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a tensor.

    `axes` tells for each of its axes what lies along it, in letters: n pictures, c channels, y rows, x columns;
    "cyx" after flattening. Where no axis has the letter y, every unit sees all rows that there were.
    """

    rows: Axis
    cols: Axis
    is_whole: bool
    axes: tuple[str, ...]

    @property
    def is_gathered(self) -> bool:
        """Whether every unit has seen all places."""
        return not any("y" in each or "x" in each for each in self.axes)

    def gather(self, letters: Iterable[str], axes: tuple[str, ...]) -> "Seen":
        """Put all rows together when y is among the letters, and all columns when x is."""
        rows = self.rows.gathered() if "y" in letters else self.rows
        cols = self.cols.gathered() if "x" in letters else self.cols
        seen = Seen(rows, cols, self.is_whole, axes)
        return replace(seen, is_whole=self.is_whole or seen.is_gathered)


class Constant:
    """Does not depend on the picture."""


CONSTANT = Constant()
State = Seen | Constant | None


def of_picture(calls: Sequence[Call]) -> State:
    """What is known of the net's input; None when it is no batch of pictures."""
    for call in calls:
        for source, shape in zip(call.inputs, call.input_shapes, strict=True):
            if source == -1 and len(shape) == 4:
                return Seen(Axis(count=shape[2]), Axis(count=shape[3]), False, ("n", "c", "y", "x"))
    return None


def propagate(calls: Sequence[Call], states: dict[int, State]) -> dict[int, State]:
    """States by index, of what came in (negative) and of all calls."""
    for call in calls:
        operands = [
            (operand, CONSTANT if operand.source is None else states.get(operand.source))
            for operand in _operands((call.arguments, call.options))
        ]
        states[call.index] = _after(call, operands)
    return states


def _operands(value: Any) -> list[Operand]:
    if isinstance(value, Operand):
        return [value]
    if isinstance(value, tuple):
        return [each for part in value for each in _operands(part)]
    if isinstance(value, dict):
        return [each for part in value.values() for each in _operands(part)]
    return []


def _after(call: Call, operands: list[tuple[Operand, State]]) -> State:
    """What is known of the output of a call, from what is known of its tensors."""
    moving = [(operand, state) for operand, state in operands if not isinstance(state, Constant)]
    if not moving:
        return CONSTANT
    known = [(operand, state) for operand, state in moving if isinstance(state, Seen)]
    if len(known) < len(moving) or not call.output_shapes:
        return None
    if all(state.is_gathered for _, state in known):
        # Whatever is done with numbers that have all seen everything.
        return _united(known, call, ("",) * len(call.output_shape))
    if call.module is not None and not call.operation:
        if call.inner_result is None:
            return None
        inside: dict[int, State] = {-1 - position: state for position, (_, state) in enumerate(operands)}
        return propagate(call.inner, inside).get(call.inner_result)
    if call.operation in _POINTWISE:
        return _united(known, call, None)
    rule = _RULES.get(call.operation)
    return rule(call, known) if rule else None


# --- rules ------------------------------------------------------------------------------------------------------------

_Known = list[tuple[Operand, Seen]]


def _united(known: _Known, call: Call, axes: tuple[str, ...] | None) -> State:
    """What units see that have all of these, each stretched where it has one place and others have many."""
    num_axes = len(call.output_shape)
    if axes is None:
        merged = [""] * num_axes
        for operand, state in known:
            offset = num_axes - len(operand.shape)
            for position, (size, letters) in enumerate(zip(operand.shape, state.axes, strict=False)):
                at = offset + position
                if 0 <= at < num_axes and size == call.output_shape[at] and letters:
                    if merged[at] and merged[at] != letters:
                        return None
                    merged[at] = letters
        axes = tuple(merged)
    rows = _united_axis([(state, state.rows) for _, state in known], "y", axes)
    cols = _united_axis([(state, state.cols) for _, state in known], "x", axes)
    if rows is None or cols is None:
        return None
    is_stretched = any(
        (axis.count > 1 and (own.count == 1 or not _has(state, letter)) and _has_letter(axes, letter))
        for _, state in known
        for letter, axis, own in (("y", rows, state.rows), ("x", cols, state.cols))
    )
    return Seen(rows, cols, is_stretched or any(state.is_whole for _, state in known), axes)


def _united_axis(candidates: list[tuple[Seen, Axis]], letter: str, axes: tuple[str, ...]) -> Axis | None:
    if _has_letter(axes, letter):
        most = max(axis.count for state, axis in candidates if _has(state, letter))
        chosen = [axis for state, axis in candidates if _has(state, letter) and axis.count == most]
    else:
        chosen = [axis for _, axis in candidates]
    united: Axis | None = chosen[0]
    for axis in chosen[1:]:
        united = united and united.united(axis)
    return united


def _has(state: Seen, letter: str) -> bool:
    return _has_letter(state.axes, letter)


def _has_letter(axes: tuple[str, ...], letter: str) -> bool:
    return any(letter in each for each in axes)


def _is_picture(state: Seen) -> bool:
    """Whether rows and columns lie along the last two axes."""
    return state.axes[-2:] == ("y", "x")


_pair = partial(per_axis, num_axes=2)


def _window(call: Call, known: _Known) -> State:
    """Convolution and pooling; not known with a border that shows the opposite edge."""
    state = known[0][1]
    settings = call.settings
    if not _is_picture(state) or len(known) > 1:
        return None
    kernel = _pair(settings["kernel_size"] if "kernel_size" in settings else settings["weight"].shape[-2:])
    dilation = _pair(settings.get("dilation", 1))
    padding = settings.get("padding", 0)
    if padding == "same":
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    padding = _pair(0 if padding == "valid" else padding)
    if settings.get("padding_mode") == "circular" and any(padding):
        return None
    stride = settings.get("stride", 1 if "conv" in call.operation else None)
    stride = _pair(stride if stride not in (None, (), []) else kernel)
    rows, cols = (
        axis.slid(*numbers, count)
        for axis, *numbers, count in zip(
            (state.rows, state.cols), kernel, stride, padding, dilation, call.output_shape[-2:], strict=True
        )
    )
    return replace(state, rows=rows, cols=cols)


def _transposed(call: Call, known: _Known) -> State:
    """Transposed convolution: output o = i·S − P + t·D sees the inputs i for which there is such a tap t.

    Not known where some outputs lie between the taps and see nothing.
    """
    state = known[0][1]
    settings = call.settings
    if not _is_picture(state) or len(known) > 1:
        return None
    kernel = _pair(settings["kernel_size"] if "kernel_size" in settings else settings["weight"].shape[-2:])
    stride, padding = _pair(settings.get("stride", 1)), _pair(settings.get("padding", 0))
    dilation = _pair(settings.get("dilation", 1))

    def grown(axis: Axis, at: int) -> Axis | None:
        windows = []
        for place in range(padding[at], padding[at] + call.output_shape[-2 + at]):
            starts = (place - tap * dilation[at] for tap in range(kernel[at]))
            cells = [start // stride[at] for start in starts if start % stride[at] == 0]
            if not cells:
                return None
            windows.append((min(cells), max(cells) + 1))
        return axis.mapped(windows, 1 / stride[at])

    rows, cols = grown(state.rows, 0), grown(state.cols, 1)
    return replace(state, rows=rows, cols=cols) if rows and cols else None


def _resized(call: Call, known: _Known) -> State:
    """Interpolation: each output sees the nearest cell, or the two between which it lies; four when bicubic."""
    state = known[0][1]
    settings = call.settings
    mode = settings.get("mode", "nearest")
    if not _is_picture(state) or mode not in _REACH or settings.get("antialias"):
        return None
    scales = (None, None) if settings.get("recompute_scale_factor") else _pair(settings.get("scale_factor"))

    def stretched(axis: Axis, at: int) -> Axis:
        count, scale = call.output_shape[at], scales[at]
        # A scale that was given counts, even where the sizes, being whole, are in another proportion.
        step = Fraction(axis.count, count) if scale is None else 1 / Fraction(scale).limit_denominator(10_000)
        if settings.get("align_corners"):
            step = Fraction(axis.count - 1, max(1, count - 1))
            places = [at * step for at in range(count)]
        else:
            places = [(at + Fraction(1, 2)) * step - Fraction(1, 2) for at in range(count)]
        if reach := _REACH[mode]:
            windows = [(math.floor(place - reach) + 1, math.ceil(place + reach)) for place in places]
        elif mode == "nearest":
            windows = [(first := math.floor(at * step), first + 1) for at in range(count)]
        else:
            windows = [(first := math.floor(place + Fraction(1, 2)), first + 1) for place in places]
        return axis.mapped(windows, float(step))

    return replace(state, rows=stretched(state.rows, -2), cols=stretched(state.cols, -1))


# Cells to both sides of a place that have a say in it; 0 for modes that take one cell.
_REACH = {"nearest": 0, "nearest-exact": 0, "bilinear": 1, "bicubic": 2}


def _padded(call: Call, known: _Known) -> State:
    """Cells added around, or cut off where the number is negative; not known where they are the opposite edge."""
    state = known[0][1]
    if not _is_picture(state) or call.settings.get("mode") == "circular":
        return None
    amounts = call.settings["pad"] if "pad" in call.settings else call.settings["padding"]
    left, _, top, *_ = (*amounts, 0, 0) if isinstance(amounts, (tuple, list)) else (amounts,) * 4
    height, width = call.output_shape[-2:]
    return replace(
        state,
        rows=replace(state.rows, low=state.rows.low - top * state.rows.jump, count=height),
        cols=replace(state.cols, low=state.cols.low - left * state.cols.jump, count=width),
    )


def _adaptive(call: Call, known: _Known) -> State:
    """Adaptive pooling: output i sees the cells from ⌊i·n/m⌋ to ⌈(i + 1)·n/m⌉."""
    state = known[0][1]
    if not _is_picture(state):
        return None
    height, width = call.output_shape[-2:]
    axes = (*state.axes[:-2], "y" if height > 1 else "", "x" if width > 1 else "")
    gone = ("y" if height == 1 else "") + ("x" if width == 1 else "")
    seen = state.gather(gone, axes)
    rows = seen.rows if height == 1 else _adapted(state.rows, height)
    cols = seen.cols if width == 1 else _adapted(state.cols, width)
    return replace(seen, rows=rows, cols=cols)


def _adapted(axis: Axis, count: int) -> Axis:
    windows = [(i * axis.count // count, -(-(i + 1) * axis.count // count)) for i in range(count)]
    return axis.mapped(windows, axis.count / count)


def _reduced(call: Call, known: _Known) -> State:
    """Mean, sum, maximum … over some axes."""
    operand, state = known[0]
    if len(known) > 1:
        return _united(known, call, None)  # torch.max(a, b)
    chosen = _axes_of(call.settings.get("dim"), len(operand.shape))
    gone = "".join(state.axes[at] for at in chosen)
    if len(call.output_shape) == len(operand.shape):
        axes = tuple("" if at in chosen else letters for at, letters in enumerate(state.axes))
    else:
        axes = tuple(letters for at, letters in enumerate(state.axes) if at not in chosen)
    return state.gather(gone, axes)


def _linear(_: Call, known: _Known) -> State:
    state = known[0][1]
    return state.gather(state.axes[-1], (*state.axes[:-1], "c"))


def _attention(_: Call, known: _Known) -> State:
    """Every token looks at every other."""
    state = known[0][1]
    if not all(_is_sequence(each) for _, each in known):
        return None
    return state.gather("yx", tuple(_without_places(letters) for letters in state.axes))


def _is_sequence(state: Seen) -> bool:
    """Whether all places lie along one axis, not spread over windows."""
    return sum("y" in each or "x" in each for each in state.axes) <= 1


def _without_places(letters: str) -> str:
    return letters.replace("y", "").replace("x", "")


def _product(call: Call, known: _Known) -> State:
    """Matrix product: what lies along the axis that is summed over is put together."""
    if len(known) != 2 or any(len(operand.shape) < 2 for operand, _ in known):
        return None
    (_, left), (_, right) = known
    if len(left.axes) != len(right.axes) or left.axes[:-2] != right.axes[:-2]:
        return None
    left = left.gather(left.axes[-1], (*left.axes[:-1], ""))
    right = right.gather(right.axes[-2], (*right.axes[:-2], "", right.axes[-1]))
    axes = (*left.axes[:-2], left.axes[-2], right.axes[-1])
    return _united([(known[0][0], left), (known[1][0], right)], call, axes)


def _layer_norm(call: Call, known: _Known) -> State:
    state = known[0][1]
    num_axes = len(call.settings["normalized_shape"])
    return _with_statistics(state, "".join(state.axes[-num_axes:]))


def _with_statistics(state: Seen, letters: str) -> Seen:
    return replace(state, is_whole=state.is_whole or "y" in letters or "x" in letters)


def _statistics_unless_learnt(call: Call, known: _Known) -> State:
    """Normalisation by statistics of all places, or by those that training has left behind."""
    settings = call.settings
    if call.operation == "batch_norm":
        is_learnt = settings.get("running_mean") is not None and not settings.get("training")
    else:
        is_learnt = not settings.get("use_input_stats", True)
    is_learnt = settings.get("track_running_stats", is_learnt)
    return known[0][1] if is_learnt else replace(known[0][1], is_whole=True)


def _all_statistics(_: Call, known: _Known) -> State:
    return replace(known[0][1], is_whole=True)


def _normalised(call: Call, known: _Known) -> State:
    """Softmax and the like: statistics along one axis."""
    operand, state = known[0]
    dim = call.settings.get("dim", 1 if call.operation == "normalize" else None)
    return _with_statistics(state, "".join(state.axes[at] for at in _axes_of(dim, len(operand.shape))))


def _joined(call: Call, known: _Known) -> State:
    """Concatenation along channels; along places only of what does not depend on the picture."""
    operand, state = known[0]
    (at,) = _axes_of(call.settings.get("dim", 0), len(call.output_shape))
    if any("y" in each.axes[at] or "x" in each.axes[at] for _, each in known):
        if len(known) > 1:
            return None
        parts = call.settings["tensors"]
        before = sum(part.shape[at] for part in parts[: parts.index(operand)])
        count = call.output_shape[at]
        if state.axes[at] == "y":
            return replace(state, rows=replace(state.rows, low=state.rows.low - before * state.rows.jump, count=count))
        if state.axes[at] == "x":
            return replace(state, cols=replace(state.cols, low=state.cols.low - before * state.cols.jump, count=count))
        return state
    rows = _united_axis([(each, each.rows) for _, each in known], "y", state.axes)
    cols = _united_axis([(each, each.cols) for _, each in known], "x", state.axes)
    if rows is None or cols is None:
        return None
    is_whole = any(each.is_whole or each.axes != state.axes for _, each in known)
    richest = next((each.axes for _, each in known if not each.is_gathered), state.axes)
    return Seen(rows, cols, is_whole, richest)


def _reordered(call: Call, known: _Known) -> State:
    state = known[0][1]
    num_axes = len(state.axes)
    if call.operation == "transpose":
        order = list(range(num_axes))
        first, second = (int(call.settings[key]) % num_axes for key in ("dim0", "dim1"))
        order[first], order[second] = second, first
    else:
        order = [int(each) % num_axes for each in call.settings["dims"]]
    return replace(state, axes=tuple(state.axes[at] for at in order))


def _reshaped(call: Call, known: _Known) -> State:
    """View, reshape, flatten, squeeze: find which axes were merged, and which split."""
    operand, state = known[0]
    old, new = list(operand.shape), list(call.output_shape)
    if math.prod(old) != math.prod(new):
        return None
    axes: list[str] = []
    at = 0
    while len(axes) < len(new):
        size = new[len(axes)]
        if at < len(old) and old[at] == size:
            axes.append(state.axes[at])
            at += 1
            continue
        if size == 1:
            axes.append("")
            continue
        taken, letters, made = 1, "", [size]
        while taken != math.prod(made):
            if taken < math.prod(made):
                taken *= old[at]
                letters += state.axes[at]
                at += 1
            else:
                made.append(new[len(axes) + len(made)])
        if sum(each > 1 for each in made) > 1 and ("y" in letters or "x" in letters):
            return None  # rows cut into pieces
        axes += [letters if each > 1 else "" for each in made]
    # Axes of length one that are left over at the end belong to what is before them.
    left_over = "".join(state.axes[at:])
    if left_over and axes:
        axes[-1] += left_over
    return replace(state, axes=tuple(axes))


def _expanded(call: Call, known: _Known) -> State:
    return _united(known, call, None)


def _picked(call: Call, known: _Known) -> State:
    """x[…] with numbers and slices."""
    state = known[0][1]
    operand = known[0][0]
    index = call.settings["index"]
    index = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in index:
        at = index.index(Ellipsis)
        missing = len(operand.shape) - sum(each is not None for each in index) + 1
        index[at : at + 1] = [slice(None)] * missing
    axes: list[str] = []
    rows, cols = state.rows, state.cols
    gone = ""
    at = 0
    for each in [*index, *[slice(None)] * (len(operand.shape) - sum(i is not None for i in index))]:
        if each is None:
            axes.append("")
            continue
        letters, size = state.axes[at], operand.shape[at]
        at += 1
        has_places = "y" in letters or "x" in letters
        if isinstance(each, slice):
            start, stop, step = each.indices(size)
            if (start, stop, step) != (0, size, 1) and has_places:
                if letters not in ("y", "x"):
                    return None
                axis = rows if letters == "y" else cols
                axis = Axis(axis.low + start * axis.jump, axis.size, axis.jump * step, len(range(start, stop, step)))
                rows, cols = (axis, cols) if letters == "y" else (rows, axis)
            axes.append(letters)
        elif isinstance(each, int) and (not has_places or state.is_whole):
            gone += letters  # one place of those that have all seen everything stands for all
        else:
            return None
    return Seen(rows, cols, state.is_whole, tuple(axes)).gather(gone, tuple(axes))


def _parted(call: Call, known: _Known) -> State:
    """Chunk, split and unbind along channels, and GLU, which multiplies the halves."""
    state = known[0][1]
    (at,) = _axes_of(call.settings.get("dim", -1 if call.operation == "glu" else 0), len(state.axes))
    if "y" in state.axes[at] or "x" in state.axes[at]:
        return None
    if len(call.output_shape) < len(state.axes):
        return replace(state, axes=(*state.axes[:at], *state.axes[at + 1 :]))
    return state


def _axes_of(dim: Any, num_axes: int) -> tuple[int, ...]:
    if dim is None or dim == () or isinstance(dim, bool):  # `x.std(False)` is without a correction, not along an axis
        return tuple(range(num_axes))
    return tuple(each % num_axes for each in (dim if isinstance(dim, (tuple, list)) else (dim,)))


# Each number of the result comes from the numbers at the same place.
_POINTWISE = frozenset(
    re.split(
        r"\s+",
        "identity local_response_norm dropout dropout1d dropout2d alpha_dropout feature_dropout "
        "relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh sigmoid tanh "
        "softplus softsign logsigmoid log_sigmoid tanhshrink hardshrink softshrink threshold clamp "
        "add sub mul div pow neg abs exp log sqrt rsqrt square reciprocal sign sin cos erf floor round "
        "maximum minimum where lerp addcmul addcdiv masked_fill clone contiguous float half double to type_as "
        "nan_to_num channel_shuffle native_channel_shuffle eq ne lt le gt ge",
    )
)

_RULES: dict[str, Callable[[Call, _Known], State]] = {
    **dict.fromkeys(("conv2d", "max_pool2d", "avg_pool2d", "lp_pool2d"), _window),
    "conv_transpose2d": _transposed,
    "interpolate": _resized,
    "pixel_shuffle": _resized,
    "pad": _padded,
    "adaptive_avg_pool2d": _adaptive,
    "adaptive_max_pool2d": _adaptive,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "std", "var", "logsumexp", "norm"), _reduced),
    "linear": _linear,
    "multi_head_attention": _attention,
    "matmul": _product,
    "bmm": _product,
    "layer_norm": _layer_norm,
    "group_norm": _all_statistics,
    **dict.fromkeys(("batch_norm", "instance_norm"), _statistics_unless_learnt),
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "normalize"), _normalised),
    "cat": _joined,
    "permute": _reordered,
    "transpose": _reordered,
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"), _reshaped),
    "expand": _expanded,
    "expand_as": _expanded,
    "getitem": _picked,
    **dict.fromkeys(("chunk", "split", "unbind", "tensor_split", "glu"), _parted),
}
