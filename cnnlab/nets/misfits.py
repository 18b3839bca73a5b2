"""Why a layer cannot work on what reaches it, in words that say what to change."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnlab.errors import InputRejected
from cnnlab.nets.operations import per_axis

if TYPE_CHECKING:
    from cnnlab.nets.tracing import Call

Shape = tuple[int, ...]

_LARGER = "Use a larger picture, or take out a layer before it that shrinks the picture."
_MADE_FOR = "Use a picture of the size the net was made for, or change the layer to what arrives."
_CHANNELS = "Give the layer as many channels as arrive, or use pictures with as many channels as it takes."


@dataclass(frozen=True, slots=True)
class Reason:
    """What is wrong ("its 3 × 3 window needs at least 3 × 3 px"), and what can be done.

    Attributes:
        text: What is wrong.
        advice: A sentence.
        direction: 1 when a larger picture may help, −1 when a smaller one may, 0 when nothing is known of that.
    """

    text: str
    advice: str
    direction: int = 0


class DoesNotFit(InputRejected):
    """A net cannot work on an input of this shape.

    Attributes:
        name: The layer that failed: "features.9".
        kind: Its class or function: "MaxPool2d".
        is_layer: Whether it is a layer, not a function.
        arrives: Shape that reached it, without the batch: (256, 1, 1).
        reason: What is wrong, in plain words: "its 3 × 3 window needs at least 3 × 3 px".
        direction: 1 when a larger picture may help, −1 when a smaller one may, 0 when nothing is known of that.
        is_certain: Whether the reason was worked out here; otherwise it is PyTorch's own message.
        calls: What ran before it.
    """

    def __init__(
        self,
        *,
        name: str,
        kind: str,
        is_layer: bool,
        arrives: Shape,
        reason: Reason,
        is_certain: bool,
        calls: "tuple[Call, ...]",
    ) -> None:
        who = f"Layer {name} ({kind})" if is_layer else f"Function {name}"
        super().__init__(f"{who} cannot work on {shape_text(arrives)}: {reason.text}. {reason.advice}")
        self.name = name
        self.kind = kind
        self.is_layer = is_layer
        self.arrives = arrives
        self.reason = reason.text
        self.direction = reason.direction
        self.is_certain = is_certain
        self.calls = calls


def shape_text(shape: Shape) -> str:
    """(256, 1, 1) as "256 × 1 × 1"."""
    return " × ".join(f"{size:,}" for size in shape) or "a single number"


def why(
    operation: str, settings: Mapping[str, Any], arriving: tuple[Shape, ...], weight: Shape | None, unrolled: Shape
) -> Reason | None:
    """Find what keeps an operation from working, or None where nothing is seen to be wrong.

    Args:
        operation: As `cnnlab.nets.operations` names it.
        settings: Its settings.
        arriving: Shapes of the tensors that reach it, parameters left out, with the batch.
        weight: Shape of its weight, if it has one.
        unrolled: Shape, without the batch, of the map that was flattened on the way here; () if there was none.
    """
    if not arriving:
        return None
    arrives = arriving[0]
    if re.fullmatch(r"conv(_transpose)?[123]d", operation):
        return _why_conv(operation, settings, arrives, weight)
    if re.fullmatch(r"(max|avg|lp)_pool[123]d", operation):
        return _why_window(settings, arrives, per_axis(settings["kernel_size"], int(operation[-2])))
    if operation == "linear" and weight is not None and arrives[-1:] != weight[-1:]:
        arrived = arrives[-1] if arrives else 1
        return _other_count(weight[-1], arrived, unrolled)
    if operation in ("view", "reshape"):
        return _why_view(settings, arrives)
    if operation in ("batch_norm", "group_norm"):
        return _why_norm(settings, arrives, weight)
    if operation == "instance_norm" and math.prod(arrives[2:]) == 1:
        return Reason("it compares the places of a map, and a map of one place has nothing to compare", _LARGER, 1)
    if operation == "layer_norm":
        expected = tuple(settings.get("normalized_shape", ()))
        if expected and arrives[-len(expected) :] != expected:
            return Reason(f"it expects {shape_text(expected)} at the end", _MADE_FOR)
    if operation in ("add", "sub", "mul", "div") and len(arriving) > 1 and not _broadcast(*arriving[:2]):
        both = " and ".join(shape_text(shape[1:]) for shape in arriving[:2])
        return Reason(f"{both} do not go together", "Make both ways deliver the same size.")
    return None


def unrolled_away(shape: Shape, wanted: Shape) -> Reason:
    """The reason when `view(-1, …)` has made several pictures out of one."""
    return _other_count(math.prod(wanted[1:]), math.prod(shape[1:]), shape[1:])


def torch_reason(error: Exception) -> Reason:
    """The message of an exception as one line without addresses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = re.sub(r"\s*(at )?0x[0-9a-fA-F]+", "", lines[0] if lines else type(error).__name__)
    text = re.sub(r"torch\.Size\((\[[^\]]*\])\)", r"\1", text).rstrip(". ")
    text = text if len(text) <= 200 else text[:199] + "…"
    return Reason(f"PyTorch says “{text}”", "Use a picture of another size, or change this layer or one before it.")


def _why_conv(operation: str, settings: Mapping[str, Any], arrives: Shape, weight: Shape | None) -> Reason | None:
    num_axes = int(operation[-2])
    if weight is None or len(arrives) not in (num_axes + 1, num_axes + 2):
        return _axes(num_axes)
    channels = arrives[-num_axes - 1]
    is_transposed = "transpose" in operation
    expected = weight[0] if is_transposed else weight[1] * settings.get("groups", 1)
    if channels != expected:
        return _other_channels(expected, channels)
    if not is_transposed:
        return _why_window(settings, arrives, weight[2:])
    stride, padding, dilation, extra = (
        per_axis(settings.get(key, usual), num_axes)
        for key, usual in (("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0))
    )
    made = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + more
        for n, s, p, d, k, more in zip(arrives[-num_axes:], stride, padding, dilation, weight[2:], extra, strict=True)
    ]
    if min(made) >= 1:
        return None
    return Reason(f"its padding of {shape_text(padding)} cuts off all that it makes", _LARGER, 1)


def _why_window(settings: Mapping[str, Any], arrives: Shape, kernel: Shape) -> Reason | None:
    num_axes = len(kernel)
    if len(arrives) not in (num_axes + 1, num_axes + 2):
        return _axes(num_axes)
    sizes = arrives[-num_axes:]
    padding = settings.get("padding", 0)
    if padding == "same":
        return None
    padding = (0,) * num_axes if padding == "valid" else per_axis(padding, num_axes)
    dilation = per_axis(settings.get("dilation", 1), num_axes)
    if settings.get("padding_mode") == "reflect" and any(p >= n for p, n in zip(padding, sizes, strict=True)):
        return Reason(f"its border mirrors {shape_text(padding)} px, and so it needs more than that", _LARGER, 1)
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    needed = tuple(max(1, r - 2 * p) for r, p in zip(reach, padding, strict=True))
    if all(n >= least for n, least in zip(sizes, needed, strict=True)):
        return None
    text = f"its {shape_text(reach)} window needs at least {shape_text(needed)} px"
    return Reason(f"{text}, its padding of {shape_text(padding)} counted in" if any(padding) else text, _LARGER, 1)


def _why_norm(settings: Mapping[str, Any], arrives: Shape, weight: Shape | None) -> Reason | None:
    expected = settings.get("num_features") or settings.get("num_channels") or (weight[0] if weight else None)
    if expected is not None and len(arrives) > 1 and arrives[1] != expected:
        return _other_channels(expected, arrives[1])
    if len(arrives) > 1 and math.prod(arrives) == arrives[1]:
        return Reason(
            "while training it compares the values of a channel, and a single value has nothing to compare",
            "Train on more pictures at once, or use a larger picture.",
        )
    return None


def _why_view(settings: Mapping[str, Any], arrives: Shape) -> Reason | None:
    shape = settings.get("shape", ())
    wanted = [size for size in shape[1:] if isinstance(size, int)]
    expected = math.prod(wanted)
    if -1 in wanted or len(wanted) != len(shape) - 1 or not arrives or expected == math.prod(arrives[1:]):
        return None
    return unrolled_away(arrives, (1, *wanted))


def _broadcast(shape: Shape, other: Shape) -> bool:
    pairs = zip(reversed(shape), reversed(other), strict=False)
    return all(size == other_size or 1 in (size, other_size) for size, other_size in pairs)


def _other_channels(expected: int, channels: int) -> Reason:
    arrived = f"{channels:,} {'arrives' if channels == 1 else 'arrive'}"
    return Reason(f"it expects {_count(expected, 'channel')}, {arrived}", _CHANNELS)


def _other_count(expected: int, arrived: int, unrolled: Shape) -> Reason:
    source = f" ({shape_text(unrolled)})" if len(unrolled) > 1 else ""
    return Reason(
        f"it expects {_count(expected, 'number')} a picture, {arrived:,} arrive{source}",
        _MADE_FOR,
        1 if arrived < expected else -1,
    )


def _axes(num_axes: int) -> Reason:
    places = {1: "one axis", 2: "rows and columns", 3: "three axes"}[num_axes]
    return Reason(f"it expects channels with {places}", "Move it before the layer that flattens, or leave it out.")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
