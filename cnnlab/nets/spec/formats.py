"""A net as JSON and as YAML, short enough to be written by hand.

A layer is a mapping with its kind and those parameters that are not the usual ones, or just the kind:

    name: Tiny
    input_shape: [1, 28, 28]
    layers:
    - {kind: conv, out_channels: 6, kernel_size: 5}
    - relu
"""

import json
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import yaml

from cnnlab.nets.spec.checking import MAX_LAYERS, MAX_NESTING, Position, Problem, SpecError
from cnnlab.nets.spec.kinds import LAYER_KINDS, layer
from cnnlab.nets.spec.layers import MAX_NUMBER, LayerSpec, Param
from cnnlab.nets.spec.netspec import NetSpec
from cnnlab.nets.spec.params import is_layers, shown

MAX_TEXT = 150_000
"""Characters of a file. The longest net that is allowed comes to less."""

_WIDTH = 110
# Brackets in brackets: 4 nested residual blocks come to 12.
_MAX_DEPTH = 50
_LONGEST_NUMBER = 40
_TOO_LARGE = "a number is larger than anything in a net"


def to_plain(spec: NetSpec) -> dict[str, Any]:
    """The net as dicts, lists, numbers and strings."""
    return {
        "name": spec.name,
        "input_shape": list(spec.input_shape),
        "layers": [layer_to_plain(one) for one in spec.layers],
    }


def from_plain(data: Any) -> NetSpec:
    """Make a net from what `to_plain` gives, or from what was written by hand in that form.

    Raises:
        SpecError: It is not of that form, or as `NetSpec`.
    """
    if not isinstance(data, Mapping):
        raise _error(f"A net is a mapping with name, input_shape and layers; this is {shown(data)}.")
    unknown = [key for key in data if key not in ("name", "input_shape", "layers")]
    if unknown:
        raise _error(f"A net has name, input_shape and layers, and nothing called {shown(unknown[0])}. Leave it out.")
    for needed in ("input_shape", "layers"):
        if not isinstance(data.get(needed), (list, tuple)):
            raise _error(f"The net needs {needed}, a list. {_EXAMPLES[needed]}")
    return NetSpec(data.get("name", ""), tuple(data["input_shape"]), _all_layers(data["layers"]))


def layer_to_plain(one: LayerSpec) -> str | dict[str, Any]:
    """A layer as its kind, name, and the parameters that are not the usual ones; the bare kind where there are none.

    What the lab does not know, and values that no layer takes, are written as they are.
    """
    kind = LAYER_KINDS.get(one.kind)
    plain: dict[str, Any] = {"kind": one.kind}
    if one.name != "":
        plain["name"] = one.name
    for name, value in one.params:
        param = kind and kind.param(name)
        # As written, because 1 == True.
        if param is None or repr(value) != repr(_usual(param, one)):
            plain[name] = _value_to_plain(value)
    return plain if len(plain) > 1 else one.kind


def to_json(spec: NetSpec) -> str:
    """The net as JSON, a layer a line."""
    return _json(to_plain(spec), 0) + "\n"


def from_json(text: str) -> NetSpec:
    """Read a net from JSON.

    Raises:
        SpecError: It is no JSON, or no net.
    """
    _check_size(text)
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise _error(f"Line {error.lineno}, column {error.colno}: this is not JSON ({error.msg}).") from None
    except (ValueError, RecursionError) as error:
        raise _error(_reason(error)) from None
    return from_plain(data)


def to_yaml(spec: NetSpec) -> str:
    """The net as YAML, a layer a line."""
    return yaml.dump(to_plain(spec), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf)


def from_yaml(text: str) -> NetSpec:
    """Read a net from YAML. Tags and aliases, by which a short file can become a large or a live object, are refused.

    Raises:
        SpecError: It is no YAML, or no net.
    """
    return from_plain(_yaml(text))


def _yaml(text: str) -> Any:
    _check_size(text)
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader that takes less
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"Line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise _error(f"{where}this is not the YAML of a net ({error.problem}).") from None
    except yaml.YAMLError:
        raise _error("The text holds characters that YAML does not take.") from None
    except (ValueError, OverflowError) as error:  # a date or a number that cannot be
        raise _error(_reason(error)) from None


def layers_to_yaml(layers: Any) -> str:
    """Layers by themselves as YAML, a layer a line; also of a net that does not work yet.

    Args:
        layers: A sequence of `LayerSpec`, or what a draft has in its place: anything that `layers_from_yaml` lets
            through as the body of a block.
    """
    return yaml.dump(_value_to_plain(layers), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def layers_from_yaml(text: str) -> tuple[LayerSpec, ...]:
    """Read layers from YAML. Whether they fit together is not looked at; `check` does that.

    Raises:
        SpecError: It is no YAML, no list of layers, or more of them than a net may have.
    """
    data = _yaml(text)
    if not isinstance(data, list):
        raise _error(f"Layers are a list, each on a line that begins with a dash; this is {shown(data)}.")
    return _all_layers(data)


_EXAMPLES = {
    "input_shape": "Channels, height and width: [3, 32, 32].",
    "layers": 'Such as [{"kind": "conv", "out_channels": 8, "kernel_size": 3}, "relu"].',
}


class _Dumper(yaml.SafeDumper):
    """Writes on one line what holds no layers, and in full what stands in two places."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - its name is PyYAML's
        return True


_Dumper.add_representer(
    list,
    lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, not _holds_layers(value)),
)
_Dumper.add_representer(
    dict,
    lambda dumper, value: dumper.represent_mapping(
        "tag:yaml.org,2002:map", value, not any(map(_holds_layers, value.values()))
    ),
)

# PyYAML reads some line breaks otherwise than it writes them, unless they are escaped.
_Dumper.add_representer(
    str,
    lambda dumper, value: dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"'
    ),
)


class _Loader(yaml.SafeLoader):
    """Takes neither aliases nor tags nor a key given twice, and only what is as small and flat as nets are."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(problem="aliases and tags are not taken here", problem_mark=mark)  # pyright: ignore[reportArgumentType]
        if self._depth > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"it is nested more than {_MAX_DEPTH} deep", problem_mark=mark)  # pyright: ignore[reportArgumentType]
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        # Before its value is worked out: 1:1:1:… counts in sixties.
        if len(node.value) <= _LONGEST_NUMBER:
            value = super().construct_yaml_int(node)
            if abs(value) <= MAX_NUMBER:
                return value
        raise yaml.MarkedYAMLError(problem=_TOO_LARGE, problem_mark=node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) != len(set(keys)):
            raise yaml.MarkedYAMLError(problem="a key is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
# YAML 1.1 takes 1e-5 for a word, because it has no dot. The writer must know too, to put the word 1e-5 in quotes.
for _cls in (_Loader, _Dumper):
    _cls.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
    )


def _all_layers(data: Sequence[Any]) -> tuple[LayerSpec, ...]:
    problems: list[Problem] = []
    layers = _layers(data, (), "Layer", problems)
    if problems:
        raise SpecError(problems)
    number = _num_layers(layers)
    if number > MAX_LAYERS:
        raise _error(f"The net has {number:,} layers, nested ones counted; the lab takes up to {MAX_LAYERS}.")
    return layers


def _num_layers(layers: Sequence[LayerSpec]) -> int:
    return sum(1 + sum(_num_layers(value) for _, value in one.params if is_layers(value)) for one in layers)


def _layers(data: Sequence[Any], parent: Position, place: str, problems: list[Problem]) -> tuple[LayerSpec, ...]:
    made = []
    for number, plain in enumerate(data, 1):
        position, here = (*parent, number), f"{place} {number}"
        fields = {"kind": plain} if isinstance(plain, str) else plain
        if isinstance(fields, Mapping) and isinstance(fields.get("kind"), str):
            made.append(_layer(dict(fields), position, here, problems))
        else:
            text = f"{here} is {shown(plain)}: give its kind, or a mapping with its kind."
            problems.append(Problem(position, text, "kind"))
    return tuple(made)


def _layer(fields: dict[Any, Any], position: Position, here: str, problems: list[Problem]) -> LayerSpec:
    kind, name = fields.pop("kind"), fields.pop("name", "")
    params = {str(key): value for key, value in fields.items()}
    for param in LAYER_KINDS[kind].params if kind in LAYER_KINDS else ():
        inside = params.get(param.name)
        # One level more than is allowed, so that the check names the block which is too deep.
        if param.type == "layers" and isinstance(inside, list) and len(position) // 2 <= MAX_NESTING:
            params[param.name] = _layers(inside, (*position, param.name), f"{here}, {param.name} layer", problems)
    return layer(kind, name=name, **params)


def _usual(param: Param, one: LayerSpec) -> Any:
    return dict(one.params).get(param.follows) if param.follows else param.default


def _value_to_plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [layer_to_plain(one) if isinstance(one, LayerSpec) else one for one in value]
    return value


def _holds_layers(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, (str, dict)) for one in value)


def _json(value: Any, depth: int) -> str:
    """JSON on one line where it is short or holds no layers, else an entry a line."""
    line = json.dumps(value, ensure_ascii=False)
    if depth and len(line) + 2 * depth <= _WIDTH:
        return line
    inside, outside = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and any(map(_holds_layers, value.values())):
        entries = [f"{inside}{json.dumps(key)}: {_json(one, depth + 1)}" for key, one in value.items()]
        return "{\n" + ",\n".join(entries) + f"\n{outside}}}"
    if _holds_layers(value):
        return "[\n" + ",\n".join(inside + _json(one, depth + 1) for one in value) + f"\n{outside}]"
    return line


def _whole(text: str) -> int:
    if len(text) > _LONGEST_NUMBER or abs(int(text)) > MAX_NUMBER:
        raise ValueError(_TOO_LARGE)
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _check_size(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise _error(f"The text has {len(text):,} characters; a net has up to {MAX_TEXT:,}. Give the net alone.")


def _reason(error: Exception) -> str:
    return f"This is not a net: {'it is nested too deep' if isinstance(error, RecursionError) else error}."


def _error(text: str) -> SpecError:
    return SpecError([Problem((), text)])
