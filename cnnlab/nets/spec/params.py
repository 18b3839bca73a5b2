"""What a parameter takes, and how values are named in messages."""

from reprlib import Repr
from typing import Any

from cnnlab.nets.spec.layers import LayerSpec, Param


class _Repr(Repr):
    """Short, also where Python refuses to write a number because it has more than 4,300 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 40

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if abs(x) < 10**400 else "a number of more than 400 digits"


_repr = _Repr()


def is_fault(param: Param, value: Any) -> bool:
    """Whether a parameter does not take a value."""
    match param.type:
        case "bool":
            return not isinstance(value, bool)
        case "choice" | "activation":
            return value not in param.choices
        case "name":
            return not isinstance(value, str)
        case "layers":
            return not is_layers(value) or len(value) < param.minimum
        case "float":
            return not isinstance(value, float) or not param.minimum <= value <= param.maximum
        case "pair" if isinstance(value, tuple):
            return len(value) != 2 or any(_is_out(param, one) for one in value)
        case _:
            return _is_out(param, value)


def is_layers(value: Any) -> bool:
    """Whether it is a tuple of layers."""
    return isinstance(value, tuple) and all(isinstance(one, LayerSpec) for one in value)


def accepted(param: Param) -> str:
    """What a parameter takes, in words."""
    bounds = f"{param.minimum:,.10g} to {param.maximum:,.10g}".replace("-", "−")
    match param.type:
        case "bool":
            return "true or false"
        case "choice" | "activation":
            return f"one of {', '.join(param.choices)}"
        case "name":
            return "the name of an earlier layer"
        case "layers":
            return "a list of layers" + (f", at least {param.minimum:g}" if param.minimum else "")
        case "float":
            return f"a number from {bounds}"
        case "pair":
            return f"a whole number from {bounds}, or two of them: rows, columns"
        case _:
            return f"a whole number from {bounds}"


def shown(value: Any) -> str:
    """A value for a message, cut short where it is long."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(one, (int, float)) for one in value):
        return " × ".join(map(shown, value))
    return _repr.repr(value)


def _is_out(param: Param, value: Any) -> bool:
    return not isinstance(value, int) or isinstance(value, bool) or not param.minimum <= value <= param.maximum
