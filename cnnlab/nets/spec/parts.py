"""What pasted code and nets in memory have in common: layers as PyTorch makes them, on the way to a `NetSpec`.

A part used twice is one module applied twice. It becomes a layer with a name, and a `reuse` of that name.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnlab.nets.spec.checking import MAX_LAYERS, MAX_NESTING, Position, Problem, SpecError, Step, check, place, walk
from cnnlab.nets.spec.geometry import pair, shape_text
from cnnlab.nets.spec.kinds import LAYER_KINDS, TORCH_CLASSES, layer
from cnnlab.nets.spec.layers import LayerSpec
from cnnlab.nets.spec.netspec import NetSpec
from cnnlab.nets.spec.params import shown

IGNORED = frozenset({"inplace", "device", "dtype"})
"""Arguments that change no number."""


class Unreadable(Exception):
    """The lab has no layer for this; the text is a sentence that names the class."""


@dataclass(eq=False, kw_only=True)
class Part:
    """A module, its own weights identified by the object itself.

    Args:
        kind: Key of `LAYER_KINDS`.
        params: Its parameters; "body" and "shortcut" hold parts.
        cls: Name of its class.
        stated: The number of channels or features it was made for, or None where it has none.
        name: Variable that holds it, or "".
        line: Of the source, or 0.
    """

    kind: str
    params: dict[str, Any] = field(default_factory=dict)
    cls: str = ""
    stated: Any = None
    name: str = ""
    line: int = 0


def part(cls: str, arguments: Mapping[str, Any]) -> Part:
    """Make a part from a class in `TORCH_CLASSES` and what it was called with.

    Raises:
        Unreadable: An argument the lab has no counterpart for.
    """
    kind = LAYER_KINDS[TORCH_CLASSES[cls]]
    form = kind.torch
    assert form is not None
    made = Part(kind=TORCH_CLASSES[cls], cls=cls)
    for argument, value in arguments.items():
        if argument == form.inferred:
            made.stated = value
        elif argument in form.fixed:
            fixed = form.fixed[argument]
            if value != fixed and value != (fixed, fixed):
                raise Unreadable(f"{cls} has {argument}={shown(value)}; the lab takes {argument}={fixed!r} only.")
        elif argument in IGNORED:
            continue
        elif value is None and argument != "stride":  # a pooling takes its window's size for it
            raise Unreadable(f"{cls} has {argument}=None; give it a value.")
        else:
            made.params[argument] = value
    if made.kind == "conv":
        made.params["padding"] = _padding(made.params)
    return made


def net(parts: Sequence[Part], input_shape: Sequence[int], name: str) -> NetSpec:
    """Put parts together to a checked net.

    Raises:
        SpecError: As `NetSpec`, and where a stated number of channels or features is not what arrives. Problems name
            the line of the source where parts do.
    """
    assembly = _Assembly(parts)
    found = check(assembly.layers, input_shape)
    problems = [*_contradictions(assembly.layers, found.steps, assembly.parts), *found.problems]
    if problems:
        raise SpecError([_with_line(problem, assembly.parts) for problem in problems])
    return NetSpec(name, (input_shape[0], input_shape[1], input_shape[2]), assembly.layers)


class _Assembly:
    """Layers made of parts, and which part stands where."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts: dict[Position, Part] = {}
        self._uses: Counter[Part] = Counter()
        self._count(parts, 0)
        self._taken = {one.name for one in self._uses}
        self._placed: set[Part] = set()
        self.layers = self._layers(parts, ())

    def _count(self, parts: Sequence[Part], depth: int) -> None:
        if parts and depth > MAX_NESTING:
            raise SpecError(
                [Problem((), f"Blocks are nested more than {MAX_NESTING} deep. Use fewer inside each other.")]
            )
        for one in parts:
            self._uses[one] += 1
            if self._uses.total() > MAX_LAYERS:
                raise SpecError([Problem((), f"The net has more than {MAX_LAYERS} layers. Use fewer.")])
            for side in ("body", "shortcut"):
                self._count(one.params.get(side, ()), depth + 1)

    def _layers(self, parts: Sequence[Part], parent: Position) -> tuple[LayerSpec, ...]:
        return tuple(self._layer(one, (*parent, number)) for number, one in enumerate(parts, 1))

    def _layer(self, one: Part, position: Position) -> LayerSpec:
        self.parts[position] = one
        if one in self._placed and one.name:
            return layer("reuse", of=one.name)
        self._placed.add(one)
        # Without weights a copy does as well.
        if self._uses[one] > 1 and not one.name and (one.stated is not None or one.kind == "residual"):
            one.name = self._new_name(one.kind)
        sides = {
            side: self._layers(one.params[side], (*position, side))
            for side in ("body", "shortcut")
            if side in one.params
        }
        return layer(one.kind, name=one.name, **(one.params | sides))

    def _new_name(self, kind: str) -> str:
        number = 1
        while f"{kind}_{number}" in self._taken:
            number += 1
        self._taken.add(f"{kind}_{number}")
        return f"{kind}_{number}"


def _contradictions(
    layers: Sequence[LayerSpec], steps: Sequence[Step], parts: Mapping[Position, Part]
) -> Iterator[Problem]:
    """Where code states another number, or another class, than what arrives asks for."""
    for step in walk(steps):
        one = parts[step.position]
        form = LAYER_KINDS[one.kind].torch
        if form is None or step.layer.kind == "reuse":
            continue
        here, arrives, size = place(layers, step.position), shape_text(step.in_shape), step.in_shape[0]
        cls = form.cls_for(step.in_shape)
        if one.cls != cls:
            yield Problem(step.position, f"{here} is a {one.cls}, but {arrives} arrive. Write {cls}.")
        if form.inferred and one.stated != size:
            arrives = f"{arrives} arrive" if len(step.in_shape) == 1 else f"a map of {arrives} arrives"
            yield Problem(
                step.position, f"{here} has {form.inferred} {shown(one.stated)}, but {arrives}. Write {size}."
            )


def _with_line(problem: Problem, parts: Mapping[Position, Part]) -> Problem:
    one = parts.get(problem.position)
    if one is None or not one.line:
        return problem
    return Problem(problem.position, f"Line {one.line}: {problem.message}", problem.param)


def _padding(params: Mapping[str, Any]) -> Any:
    """Padding in numbers where PyTorch has "same" and "valid"."""
    padding = params.get("padding", 0)
    if padding == "valid":
        return 0
    if padding != "same":
        return padding
    try:
        kernel, dilation, stride = (pair(params.get(name, 1)) for name in ("kernel_size", "dilation", "stride"))
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        steps = math.prod(stride)
    except (TypeError, ValueError):  # nonsense in one of them, which the check of the parameter names
        return 0
    if steps != 1:
        raise Unreadable(
            "Conv2d has padding='same' with a stride, which PyTorch refuses. Write the padding in numbers."
        )
    if any(one % 2 for one in reach):
        raise Unreadable(
            "Conv2d has padding='same' with an even kernel, which pads one side more than the other; the lab pads both "
            "alike. Use an odd kernel, or write the padding in numbers."
        )
    return reach[0] // 2, reach[1] // 2
