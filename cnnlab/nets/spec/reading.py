"""From pasted PyTorch code to a net as data.

The code is parsed, never run: its tree is walked along a short list of what a net is written with, and all else is
refused with its place. Constants, arithmetic of numbers, layers, and variables that hold them are on the list.
"""

import ast
import inspect
import operator
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cnnlab.nets.spec.building import BLOCKS
from cnnlab.nets.spec.checking import MAX_LAYERS, Problem, SpecError, is_layer_name
from cnnlab.nets.spec.kinds import ACTIVATIONS, LAYER_KINDS, TORCH_CLASSES
from cnnlab.nets.spec.layers import MAX_NUMBER
from cnnlab.nets.spec.netspec import NetSpec, is_net_name
from cnnlab.nets.spec.params import shown
from cnnlab.nets.spec.parts import IGNORED, Part, Unreadable, net, part

MAX_SOURCE = 200_000
"""Characters. The longest net that is allowed comes to less."""

# Brackets in brackets: 4 nested residual blocks come to 14.
_MAX_DEPTH = 50
# Kernels have two sizes, images four.
_MAX_TUPLE = 4
_TOO_LARGE = "this number is larger than anything in a net."

_MODULES = ("", "nn", "torch.nn", "collections", "ops", "torchvision.ops")
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
}
_HINTS = {
    "Softmax": "Leave it out: nets here end in logits, and the loss takes the softmax.",
    "LogSoftmax": "Leave it out: nets here end in logits, and the loss takes the softmax.",
    "LazyConv2d": "Write Conv2d with the number of channels that arrive.",
    "LazyLinear": "Write Linear with the number of values that arrive.",
}


def from_pytorch(source: str, input_shape: Sequence[int]) -> NetSpec:
    """Read an `nn.Sequential(…)` as people write it.

    The net is what the last line makes. Lines before it may import, bind layers, parts of the net and numbers to names,
    and define the blocks of `to_pytorch`. A docstring of one line becomes the net's name.

    Args:
        source: Python source, up to 200,000 characters.
        input_shape: (C, H, W) of a picture.

    Raises:
        SpecError: With line and column where the code is not of that kind, and as `NetSpec`. Numbers of channels that
            are not those which arrive are among the problems.
    """
    if len(source) > MAX_SOURCE:
        raise _error(f"The code has {len(source):,} characters; up to {MAX_SOURCE:,} are read. Paste the net alone.")
    source = textwrap.dedent(source)
    tree = _parsed(source)
    try:
        parts = _Reader().net(tree)
    except _Refused as refused:
        line, column = _place(source, refused.node)
        raise _error(f"Line {line}, column {column}: {refused}") from None
    name = (ast.get_docstring(tree, clean=False) or "").strip()
    return net(parts, input_shape, name if is_net_name(name) else "")


def _parsed(source: str) -> ast.Module:
    try:
        # Nesting that is too deep comes back as an error where the thread has 1 MB of stack (CPython 3.11, measured;
        # with 512 kB the process dies). Threads have 2 MB on Windows, 8 on Linux, 16 on macOS.
        return ast.parse(source)
    except SyntaxError as error:
        where = f"Line {error.lineno}, column {error.offset}: this" if error.lineno else "The code"
        raise _error(f"{where} is not Python ({error.msg}). Paste an nn.Sequential.") from None
    except (RecursionError, MemoryError):
        raise _error("The code is nested too deep. Paste an nn.Sequential.") from None
    except ValueError:  # half of a surrogate pair, for one
        raise _error("The code holds characters that Python does not take. Paste an nn.Sequential.") from None


class _Refused(Exception):
    """Code that is not on the list, and what is."""

    def __init__(self, node: ast.stmt | ast.expr, text: str) -> None:
        super().__init__(text)
        self.node = node


@dataclass(frozen=True, slots=True)
class _Class:
    """The name of a class, where code passes the class itself: activation=nn.SiLU."""

    name: str


class _Reader:
    """Evaluates the few expressions that a net is written with."""

    def __init__(self) -> None:
        self._variables: dict[str, Any] = {}
        self._names: set[str] = set()

    def net(self, tree: ast.Module) -> list[Part]:
        made: list[Part] | None = None
        for statement in tree.body:
            match statement:
                case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                    continue
                case ast.ClassDef():
                    _check_class(statement)
                    continue
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    result = self._bound(name, self._value(value, 0))
                case ast.Expr(value=value):
                    result = self._value(value, 0)
                case _:
                    raise _Refused(
                        statement, "lines import, bind a layer or a number to a name, or build the net. Leave it out."
                    )
            if isinstance(result, (Part, list)):
                made = _flat(statement, [result])
        if made is None:
            raise _error("The code builds no net. End it with model = nn.Sequential(…).")
        return made

    def _bound(self, name: str, value: Any) -> Any:
        if isinstance(value, Part) and not value.name and is_layer_name(name) and name not in self._names:
            value.name = name
            self._names.add(name)
        self._variables[name] = value
        return value

    def _value(self, node: ast.expr, depth: int) -> Any:
        """A number, a text, a tuple of numbers, a `Part`, a list of parts (a Sequential), or a `_Class`."""
        if depth > _MAX_DEPTH:
            raise _Refused(node, f"this is nested more than {_MAX_DEPTH} deep.")
        match node:
            case ast.Constant(value=int(value)) if value > MAX_NUMBER:
                raise _Refused(node, _TOO_LARGE)
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return value
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return self._tuple(node, elements, depth)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._number(operand, depth + 1)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._calculated(node, op, self._number(left, depth + 1), self._number(right, depth + 1))
            case ast.Name(id=name) if name in self._variables:
                return self._variables[name]
            case ast.Name() | ast.Attribute():
                return self._class(node)
            case ast.Call():
                return self._call(node, depth)
        raise _Refused(node, "layers, numbers and names bound before are read here.")

    def _tuple(self, node: ast.expr, elements: Sequence[ast.expr], depth: int) -> tuple[int | float, ...]:
        # Not tuples of tuples: a = (a, a) doubles with each line.
        values = [self._value(element, depth + 1) for element in elements[: _MAX_TUPLE + 1]]
        if len(values) > _MAX_TUPLE or not all(map(_is_number, values)):
            raise _Refused(
                node,
                f"brackets hold up to {_MAX_TUPLE} numbers here, such as (3, 3). Layers stand one after the other in "
                "nn.Sequential(…).",
            )
        return tuple(values)

    def _number(self, node: ast.expr, depth: int) -> int | float:
        value = self._value(node, depth)
        if not _is_number(value):
            raise _Refused(node, "numbers alone can be calculated with.")
        return value

    def _calculated(self, node: ast.expr, op: ast.operator, left: float, right: float) -> int | float:
        if max(abs(left), abs(right)) > MAX_NUMBER:
            raise _Refused(node, _TOO_LARGE)
        try:
            return _OPERATORS[type(op)](left, right)
        except ZeroDivisionError:
            raise _Refused(node, "this divides by zero.") from None

    def _class(self, node: ast.expr) -> "_Class":
        name = _class_name(node)
        if name is None or name not in TORCH_CLASSES:
            raise _Refused(node, f"{shown(name or 'this')} was not bound to anything before.")
        return _Class(name)

    def _call(self, node: ast.Call, depth: int) -> Any:
        name = _class_name(node.func)
        if name is None:
            raise _Refused(node, "layers of torch.nn can be called here, such as nn.Conv2d(3, 16, 3).")
        if name == "Sequential":
            return self._sequential(node, depth)
        if name == "OrderedDict":
            return self._ordered(node, depth)
        if name == "Identity":
            return []
        if name == "Residual":
            return self._residual(node, depth)
        if name not in TORCH_CLASSES:
            known = ", ".join(sorted({*TORCH_CLASSES, "Identity", "Residual", "Sequential"}))
            raise _Refused(
                node, f"{shown(name)} is not among the layers here. {_HINTS.get(name, f'These are: {known}.')}"
            )
        form = LAYER_KINDS[TORCH_CLASSES[name]].torch
        assert form is not None
        given = self._bind(node, name, form.signature, (*form.fixed, *IGNORED), depth)
        for argument, value in given.items():
            param = LAYER_KINDS[TORCH_CLASSES[name]].param(argument)
            if param and param.type == "activation":
                given[argument] = _activation(node, value)
            elif isinstance(value, (Part, list, _Class)):
                raise _Refused(node, f"{name} takes a number for {argument}, not a layer.")
        try:
            made = part(name, given)
        except Unreadable as unreadable:
            raise _Refused(node, str(unreadable)) from None
        if form.inferred and form.inferred not in given:
            raise _Refused(node, f"{name} needs {form.inferred}.")
        made.line = node.lineno
        return made

    def _sequential(self, node: ast.Call, depth: int) -> list[Part]:
        if node.keywords:
            raise _Refused(node, "nn.Sequential takes layers one after the other, without names.")
        values = [self._value(argument, depth + 1) for argument in node.args]
        return _flat(node, values)

    def _ordered(self, node: ast.Call, depth: int) -> list[Part]:
        match node:
            case ast.Call(args=[ast.List(elts=pairs) | ast.Tuple(elts=pairs)], keywords=[]):
                entries = [pair.elts[1] for pair in pairs if isinstance(pair, ast.Tuple) and len(pair.elts) == 2]
                if len(entries) == len(pairs):
                    return _flat(node, [self._value(entry, depth + 1) for entry in entries])
            case ast.Call(args=[ast.Dict(keys=keys, values=entries)], keywords=[]) if None not in keys:
                return _flat(node, [self._value(entry, depth + 1) for entry in entries])
        raise _Refused(node, 'OrderedDict takes a list of pairs: [("conv1", nn.Conv2d(…)), …].')

    def _residual(self, node: ast.Call, depth: int) -> Part:
        given = self._bind(node, "Residual", ("body", "shortcut", "activation"), (), depth)
        activation = given.get("activation")
        if isinstance(activation, Part) and activation.kind in ACTIVATIONS:
            if activation.params:
                raise _Refused(node, "the activation of a block takes no settings.")
            activation = activation.kind
        elif activation in (None, []):
            activation = "none"
        else:
            raise _Refused(node, "the activation of a Residual is a layer such as nn.ReLU().")
        body = _flat(node, [given.get("body", [])])
        shortcut = [] if given.get("shortcut") is None else _flat(node, [given["shortcut"]])
        params = {"body": body, "shortcut": shortcut, "activation": activation}
        return Part(kind="residual", params=params, line=node.lineno)

    def _bind(
        self, node: ast.Call, name: str, signature: Sequence[str], by_keyword: Sequence[str], depth: int
    ) -> dict[str, Any]:
        """What each argument is given."""
        if len(node.args) > len(signature):
            takes = ", ".join(signature) or "nothing"
            raise _Refused(node, f"{name} has {len(node.args)} arguments; it takes {takes}.")
        given = {argument: self._value(value, depth + 1) for argument, value in zip(signature, node.args, strict=False)}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg not in (*signature, *by_keyword):
                takes = ", ".join(signature) or "nothing"
                raise _Refused(keyword.value, f"{name} has no argument {shown(keyword.arg)}; it takes {takes}.")
            if keyword.arg in given:
                raise _Refused(keyword.value, f"{name} is given {keyword.arg} twice.")
            given[keyword.arg] = self._value(keyword.value, depth + 1)
        return given


def _flat(node: ast.stmt | ast.expr, values: Sequence[Any]) -> list[Part]:
    """The layers of a Sequential, those of inner ones in their place."""
    found: list[Part] = []
    for value in values:
        if not isinstance(value, (Part, list)):
            raise _Refused(node, "layers stand here, such as nn.ReLU().")
        found += value if isinstance(value, list) else [value]
        if len(found) > MAX_LAYERS:
            raise _Refused(node, f"these are more than {MAX_LAYERS} layers.")
    return found


def _activation(node: ast.expr, value: Any) -> str:
    key = TORCH_CLASSES[value.name] if isinstance(value, _Class) else ""
    if key not in ACTIVATIONS:
        raise _Refused(node, "this block takes the class of an activation, such as activation=nn.SiLU.")
    return key


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _class_name(node: ast.expr) -> str | None:
    """Conv2d for nn.Conv2d, torch.nn.Conv2d and Conv2d; None for what no class is written like."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    *modules, name = node.id, *reversed(names)
    return name if ".".join(modules) in _MODULES else None


def _check_class(node: ast.ClassDef) -> None:
    """Let the definitions of our blocks pass, and nothing else."""
    if node.name not in BLOCKS:
        raise _Refused(
            node,
            f"the class {shown(node.name)} runs code of its own, which is not read here. Write its layers as "
            "nn.Sequential(…).",
        )
    ours = ast.parse(inspect.getsource(BLOCKS[node.name])).body[0]
    try:
        is_ours = ast.dump(node) == ast.dump(ours)
    except RecursionError:  # nested far deeper than ours
        is_ours = False
    if not is_ours:
        raise _Refused(
            node, f"this {node.name} is not the one that the lab writes. Leave the class out to take the lab's."
        )


def _place(source: str, node: ast.stmt | ast.expr) -> tuple[int, int]:
    """Line and column, from 1, in characters: the tree counts columns in bytes."""
    line = re.split(r"\r\n|\r|\n", source)[node.lineno - 1]
    return node.lineno, len(line.encode()[: node.col_offset].decode(errors="ignore")) + 1


def _error(text: str) -> SpecError:
    return SpecError([Problem((), text)])
