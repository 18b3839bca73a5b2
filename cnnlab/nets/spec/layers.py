"""A layer as plain data, and what there is to say about a kind of layer.

`kinds.py` fills the table with these; everything else in this package reads the table.
"""

import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Shape = tuple[int, ...]
"""What travels between layers, without the batch: (C, H, W) for maps, (F,) for vectors."""

ParamType = Literal["int", "pair", "float", "bool", "choice", "activation", "layers", "name"]


MAX_NUMBER = 10**12
"""Any whole number in a net is far below it; beyond, arithmetic and printing alone could take all day."""


class Misfit(Exception):
    """What arrives does not suit the layer; the text continues "Layer 5 (Conv 3 × 3) …"."""


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer. Made by `cnnlab.nets.spec.layer`, which fills in defaults; checked when it becomes part of a net.

    Args:
        kind: Key of `LAYER_KINDS`.
        params: Name and value of each parameter, in the order of the kind's entry.
        name: By which a `reuse` further down refers to it, or "".
    """

    kind: str
    params: tuple[tuple[str, Any], ...] = ()
    name: str = ""

    def __getitem__(self, name: str) -> Any:
        """Value of a parameter; KeyError where it has none."""
        for known, value in self.params:
            if known == name:
                return value
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter of a kind of layer.

    Args:
        name: As PyTorch calls it.
        label: Shown to people.
        type: "int", "float", "bool"; "pair": a whole number or (rows, columns); "choice": one of `choices`;
            "activation": key of an activation, one of `choices`; "layers": a list of layers; "name": of a layer.
        default: What stands where nothing is given; None where something must be given, or see `follows`.
        follows: The parameter whose value stands where nothing is given, or "".
        minimum: Smallest number, and smallest count of layers.
        maximum: Largest number.
        choices: What a choice is made from.
        help: What happens when it is raised, switched on, or chosen.
    """

    name: str
    label: str
    type: ParamType
    default: Any = None
    follows: str = ""
    minimum: float = 0
    maximum: float = 4096
    choices: tuple[str, ...] = ()
    help: str

    @property
    def is_required(self) -> bool:
        """Whether a value must be given."""
        return self.default is None and not self.follows

    def canonical(self, value: Any) -> Any:
        """The one way to write a value: 3 for 3.0, NumPy's 3 and (3, 3); tuples for lists. Nonsense stays as it is."""
        if self.type == "layers" and isinstance(value, list):
            return tuple(value)
        if self.type == "pair" and isinstance(value, (list, tuple)):
            pair = tuple(_whole(one) for one in value)
            # Only numbers: [null, null] stays as it is, because null alone would be no value at all.
            return pair[0] if len(pair) == 2 and type(pair[0]) is int and pair[0] == pair[1] else pair
        if self.type in ("int", "pair"):
            return _whole(value)
        if self.type == "float" and isinstance(value, numbers.Real) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                return value
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchForm:
    """How PyTorch writes a kind of layer.

    Args:
        cls: Name of the class for maps, in `torch.nn` or one of the blocks.
        vector_cls: Name of the class for vectors, where it is another one.
        signature: Names of the arguments that can be given by position, in order.
        inferred: The argument that is the number of channels or features which arrive, or "".
        leading: How many arguments are always written, by position.
        fixed: Arguments of which the lab takes this value only; some can be given by keyword alone.
    """

    cls: str
    vector_cls: str = ""
    signature: tuple[str, ...] = ()
    inferred: str = ""
    leading: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def cls_for(self, shape: Shape) -> str:
        """Name of the class for what arrives."""
        return self.vector_cls if self.vector_cls and len(shape) == 1 else self.cls


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKind:
    """One entry of `LAYER_KINDS`.

    Args:
        label: Name shown to people.
        group: Heading under which it is listed.
        help: What it does, in a sentence.
        params: Its parameters.
        takes: What may arrive: "map" (C × H × W), "vector", or "any".
        out_shape: `out_shape(layer, shape)` gives what leaves, or raises `Misfit`.
        num_params: `num_params(layer, shape)` counts the weights.
        num_macs: `num_macs(layer, in_shape, out_shape)` counts the multiply-adds for one picture. A value that a
            window looks at without a weight counts as one; layers that take each value by itself count as none.
        torch: How PyTorch writes it; None for those that are written as a structure of others.
    """

    label: str
    group: str
    help: str
    params: tuple[Param, ...] = ()
    takes: Literal["map", "vector", "any"] = "any"
    out_shape: Callable[[LayerSpec, Shape], Shape] = lambda _, shape: shape
    num_params: Callable[[LayerSpec, Shape], int] = lambda _layer, _shape: 0
    num_macs: Callable[[LayerSpec, Shape, Shape], int] = lambda _layer, _in_shape, _out_shape: 0
    torch: TorchForm | None = None

    def param(self, name: str) -> Param | None:
        """The parameter of that name, or None."""
        return next((param for param in self.params if param.name == name), None)


def _whole(value: Any) -> Any:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_NUMBER else value
