"""What there is to know of each layer of a net, as data: sizes, parameters, multiply-adds, and how they come about."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from cnnlab.nets.formulas import Formulas, formulas
from cnnlab.nets.misfits import DoesNotFit
from cnnlab.nets.operations import layer_operation
from cnnlab.nets.receptive_field import ReceptiveField, receptive_fields
from cnnlab.nets.tracing import Block, Call, Operand, black, trace, trace_shapes

Shape = tuple[int, ...]
FLOAT32_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """One row of a summary: a layer that ran, a function between layers, or a layer that was not used.

    Everything is for one picture, in float32. A MAC is one multiply-add; biases are not counted.

    Attributes:
        index: Position in the order of execution.
        name: Unique: "features.0", "layer1.0.add", "relu#2".
        kind: Class of the layer or name of the function: "Conv2d", "add".
        operation: The same for layer and function, "conv2d"; "" when unknown.
        path: Module path of the layer, or of the module the function was called in.
        blocks: The modules around it, outermost first.
        is_module: Whether it is a layer, not a function.
        is_used: Whether it ran. Layers that did not, such as side exits used in training only, come last.
        hyperparameters: Telling settings; where both axes are equal they are one number.
        inputs: Indexes of the rows whose outputs it reads; −1 is the picture.
        input_shape: Shape of the first tensor it reads, without the batch.
        output_shape: Shape of what it makes, without the batch.
        num_params: Parameters that no row before it has counted.
        num_trainable: Those of them that learn.
        shares_with: Name of the row that has counted its parameters, or "".
        macs: Multiply-adds.
        activation_bytes: Memory its output takes; 0 where it overwrites its input or only looks at it.
        receptive_field: What its units see; None where that is not known.
        shape_formula: How the output's size comes about, "⌊(32 + 2·0 − 3) / 1⌋ + 1 = 30"; "" where there is none.
        shape_symbols: The same in symbols, as `Formulas` explains them.
        params_formula: How the parameters of the layer come about, "3·3·3·6 + 6 = 168".
        params_symbols: "K·K·Cᵢₙ·Cₒᵤₜ + Cₒᵤₜ".
        macs_formula: How the multiply-adds come about, "30·30·3·3·3·6 = 145,800".
        macs_symbols: "H′·W′·K·K·Cᵢₙ·Cₒᵤₜ".
    """

    index: int
    name: str
    kind: str
    operation: str
    path: str
    blocks: tuple[Block, ...]
    is_module: bool
    is_used: bool
    hyperparameters: Mapping[str, Any]
    inputs: tuple[int, ...]
    input_shape: Shape
    output_shape: Shape
    num_params: int
    num_trainable: int
    shares_with: str
    macs: int
    activation_bytes: int
    receptive_field: ReceptiveField | None
    shape_formula: str
    shape_symbols: str
    params_formula: str
    params_symbols: str
    macs_formula: str
    macs_symbols: str

    @property
    def scope(self) -> tuple[str, ...]:
        """Paths of the modules around it: ("layer1", "layer1.0")."""
        return tuple(each.path for each in self.blocks)

    @property
    def scope_kinds(self) -> tuple[str, ...]:
        """Their classes: ("Sequential", "BasicBlock")."""
        return tuple(each.kind for each in self.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a net comes to, for one picture, in float32.

    Attributes:
        num_params: All parameters, shared ones once, unused ones too.
        num_trainable: Those that learn.
        num_unused: Parameters of layers that did not run.
        macs: Multiply-adds.
        activation_bytes: Memory of all outputs together, as if none were given back.
        num_layers: Layers that ran, functions not counted.
        depth: Convolutions and linear layers on the longest way from the picture to the end.
    """

    num_params: int
    num_trainable: int
    num_unused: int
    macs: int
    activation_bytes: int
    num_layers: int
    depth: int

    @property
    def param_bytes(self) -> int:
        """Memory of the parameters."""
        return self.num_params * FLOAT32_BYTES


def summarize(model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[LayerFacts, ...]:
    """Summarise a net for one picture, as it is in use (not in training). Nothing is computed.

    Args:
        model: Any module. It is not touched.
        input_shape: (C, H, W).

    Raises:
        DoesNotFit: A layer cannot work on what reaches it.
        InputRejected: The net has layers without sizes yet.
    """
    return facts_of(model, trace_shapes(model, input_shape))


def facts_of(model: nn.Module, calls: Sequence[Call]) -> tuple[LayerFacts, ...]:
    """The same from a trace of one picture through this model."""
    sizes = {name: (each.numel(), each.requires_grad) for name, each in model.named_parameters()}
    counted: dict[str, str] = {}
    facts = []
    for call, seen in zip(calls, receptive_fields(calls), strict=True):
        new = [name for name in call.parameters if name not in counted]
        shared = [counted[name] for name in call.parameters if name in counted]
        counted.update(dict.fromkeys(new, call.name))
        texts = formulas(call, sum(sizes[name][0] for name in call.parameters))
        facts.append(
            LayerFacts(
                index=call.index,
                name=call.name,
                kind=call.kind,
                operation=call.operation,
                path=call.path,
                blocks=call.blocks,
                is_module=call.module is not None,
                is_used=True,
                hyperparameters=_hyperparameters(call),
                inputs=call.inputs,
                input_shape=_per_picture(call.input_shapes[0]) if call.input_shapes else (),
                output_shape=_per_picture(call.output_shape),
                num_params=sum(sizes[name][0] for name in new),
                num_trainable=sum(sizes[name][0] for name in new if sizes[name][1]),
                shares_with=shared[0] if shared else "",
                macs=call.macs,
                activation_bytes=_activation_bytes(call),
                receptive_field=seen,
                shape_formula=texts.shape,
                shape_symbols=texts.shape_symbols,
                params_formula=texts.params,
                params_symbols=texts.params_symbols,
                macs_formula=texts.macs,
                macs_symbols=texts.macs_symbols,
            )
        )
    return (*facts, *_unused(model, sizes, counted, len(facts)))


def totals(facts: Sequence[LayerFacts]) -> Totals:
    """Add up a summary."""
    depths: dict[int, int] = {-1: 0}
    for fact in facts:
        has_weights = fact.macs > 0 and (fact.num_params > 0 or bool(fact.shares_with))
        depths[fact.index] = max((depths[each] for each in fact.inputs), default=0) + has_weights
    return Totals(
        num_params=sum(fact.num_params for fact in facts),
        num_trainable=sum(fact.num_trainable for fact in facts),
        num_unused=sum(fact.num_params for fact in facts if not fact.is_used),
        macs=sum(fact.macs for fact in facts),
        activation_bytes=sum(fact.activation_bytes for fact in facts),
        num_layers=sum(fact.is_module and fact.is_used for fact in facts),
        depth=max(depths.values()),
    )


def legal_sizes(model: nn.Module, in_channels: int, near: int, *, largest: int = 1024) -> tuple[int, int | None] | None:
    """Find which square pictures a net takes. Nothing is computed; some ten runs without values.

    Args:
        model: Any module. It is not touched.
        in_channels: Channels of the picture.
        near: Side in px at which to begin looking.
        largest: Where looking ends.

    Returns:
        Smallest and largest side in px, the latter None when `largest` is taken too; None when no side was found.
        Nets that join maps of several sizes may refuse some of the sides in between.
    """
    # 1: too small, −1: too large, 0: unknown, None: it fits.
    known: dict[int, int | None] = {}

    def misfit(side: int) -> int | None:
        if side not in known:
            known[side] = _misfit(model, in_channels, side)
        return known[side]

    fitting = _fitting(misfit, near, largest)
    if fitting is None:
        return None
    smallest = 1 if misfit(1) is None else _last(lambda side: misfit(side) is not None, 1, fitting) + 1
    if misfit(largest) is None:
        return smallest, None
    return smallest, _last(lambda side: misfit(side) is None, fitting, largest)


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The last number for which something holds that holds at `low`, not at `high`, and changes once in between."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


# Sides for which people make nets; tried where a failure does not tell whether to go up or down.
_USUAL_SIDES = (224, 32, 28, 64, 96, 128, 160, 192, 227, 256, 299, 320, 384, 448, 512)


def _fitting(misfit: Callable[[int], int | None], near: int, largest: int) -> int | None:
    low, high, side = 1, largest, min(max(1, near), largest)
    while low <= high:
        direction = misfit(side)
        if direction is None:
            return side
        if direction == 0:
            return next((each for each in _USUAL_SIDES if each <= largest and misfit(each) is None), None)
        low, high = (side + 1, high) if direction > 0 else (low, side - 1)
        side = (low + high) // 2
    return None


def _misfit(model: nn.Module, in_channels: int, side: int) -> int | None:
    try:
        with torch.no_grad():
            trace(model, black(model, (1, in_channels, side, side), on_meta=True))
    except DoesNotFit as misfit:
        return misfit.direction
    return None


# --- rows -------------------------------------------------------------------------------------------------------------


def _per_picture(shape: Shape) -> Shape:
    """Without the batch of one; where pictures were cut into pieces along it, all of it."""
    return shape[1:] if shape[:1] == (1,) else shape


def _activation_bytes(call: Call) -> int:
    if not call.new_bytes:
        return 0
    return sum(_numel(shape) for shape in call.output_shapes) * FLOAT32_BYTES


def _numel(shape: Shape) -> int:
    return torch.Size(shape).numel()


def _unused(
    model: nn.Module, sizes: Mapping[str, tuple[int, bool]], counted: Mapping[str, str], first_index: int
) -> list[LayerFacts]:
    """Rows for what has parameters and did not run."""
    by_owner: dict[str, list[str]] = {}
    for name in sizes:
        if name not in counted:
            by_owner.setdefault(name.rpartition(".")[0], []).append(name)
    facts = []
    texts = Formulas()
    for index, (path, names) in enumerate(by_owner.items(), first_index):
        owner = model.get_submodule(path)
        facts.append(
            LayerFacts(
                index=index,
                name=f"{path or type(owner).__name__}#unused",
                kind=type(owner).__name__,
                operation=layer_operation(owner)[0],
                path=path,
                blocks=tuple(_block(model, each, index) for each in _around(path)),
                is_module=True,
                is_used=False,
                hyperparameters={},
                inputs=(),
                input_shape=(),
                output_shape=(),
                num_params=sum(sizes[name][0] for name in names),
                num_trainable=sum(sizes[name][0] for name in names if sizes[name][1]),
                shares_with="",
                macs=0,
                activation_bytes=0,
                receptive_field=None,
                shape_formula=texts.shape,
                shape_symbols=texts.shape_symbols,
                params_formula=texts.params,
                params_symbols=texts.params_symbols,
                macs_formula=texts.macs,
                macs_symbols=texts.macs_symbols,
            )
        )
    return facts


def _around(path: str) -> tuple[str, ...]:
    """Paths of the modules around a module, outermost first."""
    return tuple(accumulate(path.split(".")[:-1], "{}.{}".format))


def _block(model: nn.Module, path: str, first: int) -> Block:
    module = model.get_submodule(path)
    return Block(path=path, kind=type(module).__name__, is_sequential=isinstance(module, nn.Sequential), first=first)


# Settings that say nothing: what is worked on, and what is the same in every layer of its kind.
_NOT_TELLING = frozenset(
    [
        *("input", "weight", "tensors", "training", "inplace", "num_features", "num_channels", "affine", "momentum"),
        *("track_running_stats", "return_indices", "running_mean", "running_var", "memory_format"),
    ]
)
# … unless they differ from these.
_USUAL = {
    "dilation": 1,
    "groups": 1,
    "padding_mode": "zeros",
    "ceil_mode": False,
    "count_include_pad": True,
    "output_padding": 0,
}


def _hyperparameters(call: Call) -> dict[str, Any]:
    if call.module is not None and not call.operation:
        settings = _attributes(call.module)
    else:
        settings = dict(call.settings)
        if call.operation == "linear" or "conv" in call.operation:
            bias = getattr(call.module, "bias", None) if call.module is not None else settings.get("bias")
            settings["bias"] = bias is not None
    telling = {}
    for key, value in settings.items():
        collapsed = _collapsed(value)
        if key in _NOT_TELLING or isinstance(value, Operand) or collapsed is None:
            continue
        if key in _USUAL and collapsed == _USUAL[key]:
            continue
        telling[key] = collapsed
    return telling


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Plain values that a layer of unknown kind keeps."""
    return {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_") and isinstance(value, (bool, int, float, str, tuple))
    }


def _collapsed(value: Any) -> Any:
    """(3, 3) as 3; nothing where tensors are among the values."""
    if isinstance(value, tuple):
        if any(isinstance(each, Operand) for each in value):
            return None
        return value[0] if len(value) > 1 and len(set(map(repr, value))) == 1 else value
    return value
