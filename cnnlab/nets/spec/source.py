"""From a net as data to PyTorch code that stands alone."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from cnnlab.nets.spec.building import BLOCKS, activation_class, arguments
from cnnlab.nets.spec.checking import Step, walk
from cnnlab.nets.spec.kinds import LAYER_KINDS
from cnnlab.nets.spec.netspec import NetSpec

_WIDTH = 120


def to_pytorch(spec: NetSpec) -> str:
    """Write the net as Python source.

    Returns:
        A module that binds `model`, with the weights' names of `build(spec)`. It imports PyTorch (and torchvision
        where a layer is from there), defines the blocks it uses, and needs nothing of ours.
    """
    used = _classes_used(spec)
    classes = [inspect.getsource(cls).rstrip() for name, cls in BLOCKS.items() if name in used]
    imports = ["import torch"] if classes else []
    imports.append("from torch import nn")
    if "StochasticDepth" in used:
        imports.append("from torchvision.ops import StochasticDepth")
    head = "\n".join(imports)
    if spec.name:
        name = spec.name.replace("\\", "\\\\").replace('"', '\\"')
        head = f'"""{name}"""\n\n{head}'
    statements: list[str] = []
    lines = _sequential(spec.steps, 1, statements)
    body = "\n".join([*statements, "model = nn.Sequential(", *lines, ")"])
    return ("\n\n\n" if classes else "\n\n").join([head, *classes, body]) + "\n"


def _classes_used(spec: NetSpec) -> set[str]:
    used = set()
    for step in walk(spec.steps):
        form = LAYER_KINDS[step.layer.kind].torch
        used.add(form.cls if form else step.layer.kind.capitalize())
    return used


def _sequential(steps: Sequence[Step], depth: int, statements: list[str]) -> list[str]:
    """One line for each layer, or several, the last with the shape that leaves it where the layer changes it.

    A layer with a name is bound to a variable before, in `statements`, so that it can stand in two places.
    """
    lines = []
    for step in steps:
        name = step.layer["of"] if step.layer.kind == "reuse" else step.layer.name
        if step.layer.name:
            statements.append("\n".join(_expression(step, 0, statements, before=f"{name} = ")))
        changed = step.out_shape != step.in_shape
        after = f",  # (N, {', '.join(map(str, step.out_shape))})" if changed else ","
        lines += [_indented(name + after, depth)] if name else _expression(step, depth, statements, after=after)
    return lines


def _expression(step: Step, depth: int, statements: list[str], before: str = "", after: str = "") -> list[str]:
    """What makes a layer, on as many lines as it takes."""
    layer = step.layer
    if layer.kind == "residual":
        lines = [_indented(f"{before}Residual(", depth)]
        for side, steps in (("body", step.body), ("shortcut", step.shortcut)):
            if steps:
                inside = _sequential(steps, depth + 2, statements)
                lines += [_indented(f"{side}=nn.Sequential(", depth + 1), *inside, _indented("),", depth + 1)]
        if layer["activation"] != "none":
            lines.append(_indented(f"activation=nn.{activation_class(layer['activation']).__name__}(),", depth + 1))
        return [*lines, _indented(f"){after}", depth)]
    form = LAYER_KINDS[layer.kind].torch
    assert form is not None, layer.kind
    cls = form.cls_for(step.in_shape)
    prefix = "" if cls in BLOCKS or cls == "StochasticDepth" else "nn."
    call = _call(*arguments(layer, step.in_shape))
    line = _indented(f"{before}{prefix}{cls}({call}){after}", depth)
    if len(line) <= _WIDTH:
        return [line]
    head, end = _indented(f"{before}{prefix}{cls}(", depth), _indented(f"){after}", depth)
    return [head, _indented(call, depth + 1), end]


def _call(leading: Sequence[Any], others: Mapping[str, Any]) -> str:
    return ", ".join([*map(_literal, leading), *(f"{name}={_literal(value)}" for name, value in others.items())])


def _literal(value: Any) -> str:
    if isinstance(value, type):
        return f"nn.{value.__name__}"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _indented(text: str, depth: int) -> str:
    return "    " * depth + text
