"""Frozen dataclasses as strict JSON and back, with every type checked on the way back.

JSON has no number that is not finite, and a run that diverges has many. They are written as "NaN", "Infinity" and
"-Infinity", and these words are read as numbers where a number is expected and as text where text is.
"""

import dataclasses
import functools
import json
import math
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

T = TypeVar("T")


def to_json(data: Any) -> str:
    """One line of ASCII.

    Args:
        data: Numbers, strings, lists, tuples and dicts.
    """
    try:
        return json.dumps(data, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_name_numbers(data), allow_nan=False, separators=(",", ":"))


def from_json(kind: type[T], text: str | bytes) -> T:
    """Read a dataclass from its fields by name; what has a default may be left out.

    Fields may be float, int, str, bool, tuples, mappings from str, further dataclasses, or None beside one of these.

    Raises:
        ValueError: It is no JSON, or not of this kind.
    """
    try:
        return from_data(kind, json.loads(text))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def from_data(kind: type[T], data: Any) -> T:
    """The same from what `json.loads` gives.

    Raises:
        ValueError: It is not of this kind.
    """
    return _reader(kind)(data)


def _name_numbers(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
    if isinstance(data, Mapping):
        return {name: _name_numbers(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_name_numbers(value) for value in data]
    return data


# Made once for each type: a long run has 100,000 events, and looking at type hints takes longer than reading JSON.
@functools.cache
def _reader(hint: Any) -> Callable[[Any], Any]:
    origin, args = get_origin(hint), get_args(hint)
    if hint is float:
        return _number
    if hint in (int, str, bool):
        return functools.partial(_exactly, hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return functools.partial(_fields, hint, get_type_hints(hint))
    if origin is tuple and args[1:] == (...,):
        return functools.partial(_sequence, _reader(args[0]))
    if origin is tuple:
        return functools.partial(_tuple, tuple(map(_reader, args)))
    if origin is not None and issubclass(origin, Mapping) and args[0] is str:
        return functools.partial(_mapping, _reader(args[1]))
    if origin in (Union, types.UnionType) and len(args) == 2 and args[1] is types.NoneType:
        return functools.partial(_optional, _reader(args[0]))
    raise TypeError(f"cannot be read from JSON: {hint}")


def _number(data: Any) -> float:
    if isinstance(data, float):
        return data
    if isinstance(data, str) and data in _NAMED:
        return _NAMED[data]
    try:
        return float(_exactly(int, data))
    except OverflowError:
        raise ValueError("a number is too large") from None


def _exactly(kind: type[T], data: Any) -> T:
    if type(data) is not kind:
        raise ValueError(f"{kind.__name__} expected, got {type(data).__name__}")
    return data


def _fields(kind: type[T], hints: Mapping[str, Any], data: Any) -> T:
    if not isinstance(data, dict) or not data.keys() <= hints.keys():
        raise ValueError(f"these are not the fields of {kind.__name__}")
    values = {name: _reader(hints[name])(value) for name, value in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _sequence(read: Callable[[Any], Any], data: Any) -> tuple[Any, ...]:
    return tuple(map(read, _exactly(list, data)))


def _tuple(reads: tuple[Callable[[Any], Any], ...], data: Any) -> tuple[Any, ...]:
    if len(_exactly(list, data)) != len(reads):
        raise ValueError(f"{len(reads)} values expected, got {len(data)}")
    return tuple(read(value) for read, value in zip(reads, data, strict=True))


def _mapping(read: Callable[[Any], Any], data: Any) -> dict[str, Any]:
    return {name: read(value) for name, value in _exactly(dict, data).items()}


def _optional(read: Callable[[Any], Any], data: Any) -> Any:
    return None if data is None else read(data)
