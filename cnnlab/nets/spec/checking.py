"""What is wrong with a net, and the shapes between its layers: by formula, without running it."""

import keyword
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cnnlab.errors import InputRejected
from cnnlab.nets.spec.geometry import MAX_VALUES, pair, shape_text, times
from cnnlab.nets.spec.kinds import LAYER_KINDS
from cnnlab.nets.spec.layers import LayerKind, LayerSpec, Misfit, Shape
from cnnlab.nets.spec.params import accepted, is_fault, is_layers, shown

MAX_LAYERS = 400
MAX_PARAMS = 200_000_000
MAX_MACS = 200 * 10**9
"""Of one pass with one picture. VGG16 takes 15 billion at 224 × 224 px, 81 billion at 512 × 512."""
MAX_NESTING = 4
MAX_SIDE = 4096

Position = tuple[int | str, ...]
"""(3, "body", 2): the second layer in the body of the third, counted from 1. Empty for the net as a whole."""

_LAYER_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
# Names that the PyTorch source of a net needs for itself.
_RESERVED = {"model", "nn", "torch"}
_PROBLEMS_TOLD = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a net.

    Args:
        position: Of the layer.
        message: Names the layer and says what came, what is accepted and what to do.
        param: Name of the parameter at fault, or "" where it is the layer as a whole.
    """

    position: Position
    message: str
    param: str = ""


class SpecError(InputRejected):
    """A net that cannot be. `problems` holds all that was found, so that a table can mark every row."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(tuple(problems))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        said = [problem.message for problem in self.problems[:_PROBLEMS_TOLD]]
        if len(self.problems) > _PROBLEMS_TOLD:
            said.append(f"… and {len(self.problems) - _PROBLEMS_TOLD} more.")
        return "\n".join(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A layer at its place in a net.

    Args:
        layer: The layer.
        position: Where it stands.
        in_shape: What arrives, without the batch: (C, H, W) or (F,).
        out_shape: What leaves.
        num_params: Weights that it brings; a reuse brings none.
        body: Of a residual.
        shortcut: Likewise.
    """

    layer: LayerSpec
    position: Position
    in_shape: Shape
    out_shape: Shape
    num_params: int
    body: tuple["Step", ...] = ()
    shortcut: tuple["Step", ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """What `check` found.

    Args:
        steps: The layers in order, up to the first fault; all of them where there is none.
        problems: Faulty parameters of all layers, and the first thing that does not fit; empty for a net that works.
    """

    steps: tuple[Step, ...]
    problems: tuple[Problem, ...]


def check(layers: Sequence[LayerSpec], input_shape: Sequence[int]) -> Check:
    """Find out what is wrong with a net, and the shapes as far as they are known. Raises nothing.

    Parameters are checked in all layers. Shapes are followed up to the first layer at fault: what would arrive behind
    it is anyone's guess.
    """
    inspector = _Inspector(layers)
    shape = inspector.input(input_shape)
    if not layers:
        inspector.problems.append(Problem((), "A net needs at least one layer. Add one."))
    steps, _ = inspector.walk(layers, shape)
    return Check(tuple(steps), tuple(inspector.problems))


def walk(steps: Sequence[Step]) -> Iterator[Step]:
    """Each step followed by those of its body and its shortcut."""
    for step in steps:
        yield step
        yield from walk(step.body)
        yield from walk(step.shortcut)


def is_layer_name(name: Any) -> bool:
    """Whether a layer may be called that: it becomes a variable in PyTorch code."""
    return (
        isinstance(name, str)
        and _LAYER_NAME.fullmatch(name) is not None
        and not keyword.iskeyword(name)
        and name not in _RESERVED
    )


def label(layer: LayerSpec) -> str:
    """The kind for people, with what tells it from its neighbours: Conv 3 × 3."""
    kind = LAYER_KINDS.get(layer.kind)
    if kind is None:
        return shown(layer.kind)
    values = dict(layer.params)
    if layer.kind == "reuse":
        return f"Reuse of {shown(values.get('of', '?')).strip(chr(39))}"
    param = kind.param("kernel_size")
    if param is None or is_fault(param, values.get("kernel_size")):
        return kind.label
    return f"{kind.label} {times(*pair(values['kernel_size']))}"


def place(layers: Sequence[LayerSpec], position: Position) -> str:
    """Name a layer: Layer 3 (Residual), body layer 2 (Conv 3 × 3)."""
    text, layer = "Layer", None
    for step in position:
        if isinstance(step, str):
            assert layer is not None
            layers, text = layer[step], f"{text}, {step} layer"
        else:
            layer = layers[step - 1]
            text = f"{text} {step} ({label(layer)})"
    return text


class _Inspector:
    """One pass over a net: collects problems, follows shapes, knows the names given so far."""

    def __init__(self, layers: Sequence[LayerSpec]) -> None:
        self.problems: list[Problem] = []
        self._layers = layers
        self._named: dict[str, tuple[LayerSpec, Shape | None]] = {}
        self._num_layers = 0
        self._num_params = 0
        self._num_macs = 0

    def input(self, shape: Sequence[int]) -> Shape | None:
        sides = tuple(shape) if isinstance(shape, (tuple, list)) else ()
        fits = all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= MAX_SIDE for side in sides)
        if len(sides) != 3 or not fits or math.prod(sides) > MAX_VALUES:
            self.problems.append(
                Problem(
                    (),
                    f"The input shape is {shown(shape)}: give channels, height and width, each 1 to {MAX_SIDE:,}, "
                    f"with at most {MAX_VALUES:,} values in all.",
                )
            )
            return None
        return sides

    def walk(
        self, layers: Sequence[LayerSpec], shape: Shape | None, parent: Position = ()
    ) -> tuple[list[Step], Shape | None]:
        """Go through layers in order; the shape becomes None at the first fault."""
        steps = []
        for number, layer in enumerate(layers, 1):
            position = (*parent, number)
            if self._num_layers == MAX_LAYERS:
                self.problems.append(
                    Problem(position, f"The net has more than {MAX_LAYERS} layers, nested ones counted. Use fewer.")
                )
            self._num_layers += 1
            if self._num_layers > MAX_LAYERS:
                return steps, None
            step = self._step(layer, shape, position)
            if step:
                steps.append(step)
            shape = step and step.out_shape
        return steps, shape

    def _step(self, layer: LayerSpec, shape: Shape | None, position: Position) -> Step | None:
        known = len(self.problems)
        kind = LAYER_KINDS.get(layer.kind)
        if kind is None:
            near = get_close_matches(str(layer.kind), LAYER_KINDS, 1)
            self._add(
                position,
                f" is of a kind that does not exist. {f'Is it {near[0]}? ' if near else ''}"
                f"Kinds: {', '.join(LAYER_KINDS)}.",
                "kind",
            )
            return None
        self._check_params(layer, kind, position)
        self._check_name(layer, position)
        if len(self.problems) > known:
            shape = None
        step = None
        if layer.kind == "residual":
            step = self._residual(layer, shape, position)
        elif layer.kind == "reuse":
            step = self._reuse(layer, shape, position)
        elif shape is not None:
            step = self._single(layer, kind, shape, position)
        if layer.name and isinstance(layer.name, str):
            self._named.setdefault(layer.name, (layer, shape))
        return step if len(self.problems) == known else None

    def _single(self, layer: LayerSpec, kind: LayerKind, shape: Shape, position: Position) -> Step | None:
        out_shape = self._passed(layer, kind, shape, position)
        if out_shape is None:
            return None
        step = Step(
            layer=layer,
            position=position,
            in_shape=shape,
            out_shape=out_shape,
            num_params=kind.num_params(layer, shape),
        )
        before, self._num_params = self._num_params, self._num_params + step.num_params
        if before <= MAX_PARAMS < self._num_params:
            self._add(
                position,
                f" has {step.num_params:,} parameters and brings the net to {self._num_params:,}; the lab takes "
                f"up to {MAX_PARAMS // 10**6} million. Make it narrower, or pool before it.",
            )
        return step

    def _residual(self, layer: LayerSpec, shape: Shape | None, position: Position) -> Step | None:
        if sum(isinstance(part, str) for part in position) >= MAX_NESTING:
            self._add(position, f" is nested more than {MAX_NESTING} deep. Take it out of the blocks around it.")
            return None
        parts: list[tuple[list[Step], Shape | None]] = []
        values = dict(layer.params)
        for side in ("body", "shortcut"):
            layers = values.get(side, ())
            usable = layers if is_layers(layers) else ()
            parts.append(self.walk(usable, shape, (*position, side)))
        (body, made), (shortcut, around) = parts
        if shape is None or made is None or around is None:
            return None
        if made != around:
            self._add(position, f": {_unequal_text(shape, made, around, bool(shortcut))}")
            return None
        return Step(
            layer=layer,
            position=position,
            in_shape=shape,
            out_shape=made,
            num_params=sum(step.num_params for step in (*body, *shortcut)),
            body=tuple(body),
            shortcut=tuple(shortcut),
        )

    def _reuse(self, layer: LayerSpec, shape: Shape | None, position: Position) -> Step | None:
        name = dict(layer.params).get("of")
        if not isinstance(name, str):
            return None
        if name not in self._named:
            have = f"Names before it: {', '.join(self._named)}." if self._named else "No layer before it has a name."
            self._add(position, f": no layer before it is called that. {have}", "of")
            return None
        target, first_shape = self._named[name]
        if target.kind in ("residual", "reuse"):
            self._add(position, ": only single layers can be used again. Name one inside the block.", "of")
            return None
        if shape is None or first_shape is None:
            return None
        kind = LAYER_KINDS[target.kind]
        if kind.torch and kind.torch.inferred and (shape[0], len(shape)) != (first_shape[0], len(first_shape)):
            self._add(
                position,
                f" gets {shape_text(shape)}; its weights were made for {shape_text(first_shape)}. "
                f"Bring it to {first_shape[0]} {'channels' if len(first_shape) > 1 else 'values'} before.",
            )
            return None
        out_shape = self._passed(target, kind, shape, position)
        if out_shape is None:
            return None
        return Step(layer=layer, position=position, in_shape=shape, out_shape=out_shape, num_params=0)

    def _passed(self, layer: LayerSpec, kind: LayerKind, shape: Shape, position: Position) -> Shape | None:
        """What leaves a layer; its work is added to the net's. None where it does not fit."""
        try:
            out_shape = _fitted(layer, kind, shape)
        except Misfit as misfit:
            self._add(position, f" {misfit}")
            return None
        num_macs = kind.num_macs(layer, shape, out_shape)
        before, self._num_macs = self._num_macs, self._num_macs + num_macs
        if before <= MAX_MACS < self._num_macs:
            self._add(
                position,
                f" takes {num_macs / 1e9:,.1f} billion multiply-adds for one picture and brings the net to "
                f"{self._num_macs / 1e9:,.1f} billion; the lab takes up to {MAX_MACS // 10**9} billion. "
                "Use a smaller window, fewer channels, or stride or pooling before it.",
            )
        return out_shape

    def _check_params(self, layer: LayerSpec, kind: LayerKind, position: Position) -> None:
        values = dict(layer.params)
        for param in kind.params:
            if param.name not in values:
                self._add(position, f" needs {param.name}: {accepted(param)}.", param.name)
            elif is_fault(param, values[param.name]):
                self._add(
                    position,
                    f" has {param.name} {shown(values[param.name])}; it takes {accepted(param)}.",
                    param.name,
                )
        for name in values:
            if kind.param(name) is None:
                have = ", ".join(param.name for param in kind.params)
                takes = f"It takes {have}." if have else "It takes none."
                self._add(position, f" has no parameter {shown(name)}. {takes}", str(name))

    def _check_name(self, layer: LayerSpec, position: Position) -> None:
        name = layer.name
        if name == "":
            return
        if not is_layer_name(name):
            self._add(
                position,
                f" is named {shown(name)}: a name is up to 30 small letters, digits and underscores, begins "
                "with a letter and is no word of Python.",
                "name",
            )
        elif name in self._named:
            self._add(position, f" is named {name}, as a layer before it is. Choose another name.", "name")
        elif layer.kind == "reuse":
            self._add(position, f" has a name of its own, {name}. Leave it out.", "name")

    def _add(self, position: Position, message: str, param: str = "") -> None:
        """Note a problem; the message continues the name of the layer."""
        self.problems.append(Problem(position, place(self._layers, position) + message, param))


def _fitted(layer: LayerSpec, kind: LayerKind, shape: Shape) -> Shape:
    if kind.takes == "map" and len(shape) == 1:
        raise Misfit(f"gets {shape_text(shape)} in a row, and works on maps. Put it before the flatten.")
    if kind.takes == "vector" and len(shape) > 1:
        raise Misfit(f"gets a map of {shape_text(shape)}, and works on a row of values. Put a flatten before it.")
    out_shape = kind.out_shape(layer, shape)
    if math.prod(out_shape) > MAX_VALUES:
        raise Misfit(
            f"makes {shape_text(out_shape)}, {math.prod(out_shape):,} values for one picture; the lab takes up to "
            f"{MAX_VALUES:,}. Use fewer channels, or stride or pooling before it."
        )
    return out_shape


def _unequal_text(shape: Shape, made: Shape, around: Shape, has_shortcut: bool) -> str:
    text = f"the body makes {shape_text(made)}, the shortcut {shape_text(around)}"
    if has_shortcut or len(made) != 3 or len(shape) != 3:
        return f"{text}, and only equal shapes can be added. Change one of the two."
    strides = [-(-before // after) for before, after in zip(shape[1:], made[1:], strict=True)]
    if any(-(-size // s) != after for size, s, after in zip(shape[1:], strides, made[1:], strict=True)):
        return f"{text}, and no stride leads from one to the other. Change the padding in the body."
    stride = strides[0] if strides[0] == strides[1] else times(*strides)
    return f"{text}; add a 1 × 1 conv with stride {stride} and {made[0]} channels to the shortcut."
