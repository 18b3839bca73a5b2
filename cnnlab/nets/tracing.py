"""Run a net once and write down what it did: every layer and every function between the layers, in order.

The given model is only read. What runs is a copy that shares its parameters (`skeleton`), or one whose parameters
have shapes but no values (`on_meta`), so that nothing is computed. Hooks, `eval()` and the recording belong to the
copy and to the calling thread: many threads may trace one model at the same time.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import DisableTorchFunction
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from cnnlab.errors import LabError, ResourceExhausted
from cnnlab.nets.counting import MacCounter
from cnnlab.nets.misfits import DoesNotFit, torch_reason, unrolled_away, why
from cnnlab.nets.operations import function_name, function_settings, layer_operation, tensors
from cnnlab.nets.skeletons import on_meta, skeleton

__all__ = ["Block", "Call", "DoesNotFit", "Operand", "black", "output_of", "trace", "trace_shapes"]

Shape = tuple[int, ...]
NET_INPUT = -1
# Where a net without values makes a tensor of its own, that one must have no values either.
_FACTORIES = frozenset(
    getattr(torch, name)
    for name in ("zeros", "ones", "empty", "full", "eye", "arange", "linspace", "tensor", "rand", "randn", "randint")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A tensor among the arguments of a call.

    Attributes:
        source: Index of the call that made it, −1 for the net's input, None for parameters and constants.
        shape: With the batch.
        parameter: Name of the parameter it is, as in `model.named_parameters()`, or None.
    """

    source: int | None
    shape: Shape
    parameter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One run of a module that has other modules inside.

    Attributes:
        path: "layer1.0".
        kind: Its class: "BasicBlock".
        is_sequential: Whether it is an `nn.Sequential`, or inherits from it.
        first: Index of the first call inside; tells one run of a module from the next.
    """

    path: str
    kind: str
    is_sequential: bool
    first: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One thing a net did: a layer that ran, or a function between layers.

    Attributes:
        index: Position in the order of execution.
        name: Unique: "features.0" for a layer, "layer1.0.add" for a function called inside of "layer1.0"; from the
            second time on with a number, "relu#2".
        kind: Class of the layer ("Conv2d") or name of the function ("add").
        operation: What it does, the same for layer and function ("conv2d"); "" for layers we know nothing of.
        settings: Arguments of that operation by name, tensors as `Operand`.
        path: Module path of the layer, or of the module the function was called in.
        blocks: The modules around it, outermost first, without the net itself.
        module: The layer in the given model (not in the copy that ran), None for functions.
        arguments: Positional arguments, tensors as `Operand`.
        options: Keyword arguments, tensors as `Operand`.
        inputs: Indexes of the calls whose outputs it read, each once; −1 is the net's input.
        input_shapes: Shapes of these, with the batch.
        output_shape: Shape of the first tensor it made, with the batch.
        output_shapes: Shapes of all tensors it made.
        macs: Multiply-adds of the whole batch, as `torch.utils.flop_counter` counts them (halved).
        parameters: Names of the parameters it read, as in `model.named_parameters()`.
        new_bytes: Memory its outputs took; 0 where they only look at memory of others.
        memory_of: Index of the call that took the memory of the first output; −1 for the net's input, None for
            memory of parameters and constants.
        inner: What a layer did inside of which we know no operation. Here −1, −2, … are its first, second, … tensor.
        inner_result: Which of these made the output of such a layer, None where that is not known.
    """

    index: int
    name: str
    kind: str
    operation: str
    settings: Mapping[str, Any]
    path: str
    blocks: tuple[Block, ...]
    module: nn.Module | None
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    inputs: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    output_shapes: tuple[Shape, ...]
    macs: int
    parameters: tuple[str, ...]
    new_bytes: int
    memory_of: int | None
    inner: "tuple[Call, ...]"
    inner_result: int | None


class _Enough(Exception):
    """What was asked for has been seen; the rest of the net need not run."""


def trace(
    model: nn.Module,
    x: Tensor,
    *,
    train: bool = False,
    watch: Callable[[Call, Tensor], None] | None = None,
) -> tuple[Call, ...]:
    """Run a net on a batch and return what it did, in order.

    Runs in the gradient mode of the caller: wrap it in `torch.no_grad()` unless gradients are wanted. Attention takes
    its plain way here, never PyTorch's fused inference path, whose inside nobody can see.

    Args:
        model: Any module. It is not touched.
        x: Batch, shape (N, C, H, W). On the device "meta" nothing is computed, only shapes are worked out.
        train: Run as in training (dropout, batch statistics) instead of as in use.
        watch: Called with each call and its first output as soon as it is there, before anything overwrites it.
            Layers that would overwrite their input then do not. What it raises, `trace` raises.

    Raises:
        DoesNotFit: A layer cannot work on what reaches it.
        InputRejected: The net has layers without sizes yet.
        ResourceExhausted: Not enough memory.
    """
    net = on_meta(model, train=train) if x.is_meta else skeleton(model, train=train)
    if watch:
        for module in net.modules():
            if getattr(module, "inplace", False) is True:
                setattr(module, "inplace", False)  # noqa: B010 - only some modules have it
    recorder = _Recorder(model, net, is_on_meta=x.is_meta, watch=watch)
    with_gradients = torch.is_grad_enabled()
    # In inference mode a tensor does not tell that it was overwritten.
    with torch.inference_mode(False), torch.set_grad_enabled(with_gradients):
        return recorder.run(x)


def output_of(model: nn.Module, x: Tensor, layer: str | int) -> Tensor | None:
    """Run a net as far as one call and return the first tensor that it made.

    Runs in the gradient mode of the caller, as `trace` does.

    Args:
        model: Any module. It is not touched.
        x: Batch, shape (N, C, H, W).
        layer: Name or index of the call.

    Returns:
        The output with its batch, or None when no such call ran.

    Raises:
        DoesNotFit: A layer before it cannot work on what reaches it.
        InputRejected: The net has layers without sizes yet.
        ResourceExhausted: Not enough memory.
    """
    found: list[Tensor] = []

    def catch(call: Call, output: Tensor) -> None:
        if layer in (call.name, call.index):
            found.append(output)
            raise _Enough

    try:
        trace(model, x, watch=catch)
    except _Enough:
        return found[0]
    return None


def trace_shapes(
    model: nn.Module, input_shape: tuple[int, int, int], *, batch_size: int = 1, train: bool = False
) -> tuple[Call, ...]:
    """Trace a net without computing anything, for a batch of this shape.

    Nets whose way depends on the values they see have none to see here; those are run on a black picture.

    Args:
        model: Any module. It is not touched.
        input_shape: (C, H, W).
        batch_size: Pictures at once.
        train: As in `trace`.

    Raises:
        DoesNotFit: A layer cannot work on what reaches it.
        InputRejected: The net has layers without sizes yet.
    """
    shape = (batch_size, *input_shape)
    with torch.no_grad():
        try:
            return trace(model, black(model, shape, on_meta=True), train=train)
        except DoesNotFit as misfit:
            if misfit.is_certain:
                raise
        return trace(model, black(model, shape), train=train)


def black(model: nn.Module, shape: Shape, *, on_meta: bool = False) -> Tensor:
    """A batch of zeros as the model's parameters are: of their type, on their device unless `on_meta`."""
    parameter = next((each for each in model.parameters() if each.is_floating_point()), torch.empty(0))
    return torch.zeros(shape, dtype=parameter.dtype, device="meta" if on_meta else parameter.device)


@dataclass(slots=True)
class _Frame:
    """What is being recorded: the net itself, or the inside of a layer of unknown kind."""

    # Tensor → (index of the call that made it, index of the call that took its memory), or None for constants.
    made: WeakTensorKeyDictionary = field(default_factory=WeakTensorKeyDictionary)
    calls: list[Call] = field(default_factory=list)
    times_used: Counter[str] = field(default_factory=Counter)

    def source(self, tensor: Tensor) -> int | None:
        made = self.made.get(tensor)
        return None if made is None else made[0]


@dataclass(slots=True)
class _Running:
    """A module whose forward has begun and not ended.

    `first` is the index that the next call had then; `inside` is where a layer of unknown kind is recorded.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    flops: int
    is_leaf: bool
    first: int
    inside: _Frame | None = None


class _Recorder(TorchFunctionMode):
    """Writes down what one run of one copy does."""

    def __init__(
        self,
        model: nn.Module,
        net: nn.Module,
        *,
        is_on_meta: bool,
        watch: Callable[[Call, Tensor], None] | None,
    ) -> None:
        super().__init__()
        self._net = net
        self._watch = watch
        self._watch_error: Exception | None = None
        self._is_on_meta = is_on_meta
        self._counter = MacCounter()
        self._paths = {id(module): name for name, module in net.named_modules()}
        self._originals = dict(model.named_modules())
        self._parameters = {id(each): name for name, each in net.named_parameters()}
        self._parameter_views: list[Tensor] = []  # keeps alive those whose id is in `_parameters`
        self._outside = self._frame = _Frame()
        self._running: list[_Running] = []
        self._failed: tuple[Exception, Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None = None

    def run(self, x: Tensor) -> tuple[Call, ...]:
        """Run the copy on a batch."""
        for module in self._net.modules():
            module.register_forward_pre_hook(self._enter, prepend=True, with_kwargs=True)
            module.register_forward_hook(self._leave, with_kwargs=True)
        x = x.clone()  # a net may overwrite what it is given
        self._outside.made[x] = (NET_INPUT, NET_INPUT)
        try:
            with self._counter, self:
                result = self._net(x)
            calls = tuple(self._outside.calls)
        except (LabError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if error is self._watch_error:
                raise
            if "allocate memory" in str(error):
                raise ResourceExhausted("There is not enough memory to run this net. Use a smaller picture.") from error
            raise self._misfit(error) from error
        finally:
            # The copy's hooks and the recorder refer to each other: tensors kept here would outlive their last use.
            self._outside = self._frame = _Frame()
            self._running.clear()
            self._parameter_views.clear()
            self._failed = None
        _check_batch(calls, x, result)
        return calls

    # --- what the hooks and the mode see ---------------------------------------------------------------------------

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with DisableTorchFunction():
            self._begin(module, args, kwargs)

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        with DisableTorchFunction():
            self._end(module, args, kwargs, output)

    def _begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._running and self._running[-1].is_leaf:
            return
        is_leaf = _is_leaf(module, is_root=module is self._net)
        running = _Running(module, args, kwargs, self._counter.flops, is_leaf, first=len(self._frame.calls))
        self._running.append(running)
        operation, settings = layer_operation(module) if is_leaf else ("", {})
        if is_leaf and not operation:
            running.inside, self._frame = self._frame, _Frame()
            for position, tensor in enumerate([*tensors(args), *tensors(kwargs)]):
                self._frame.made[tensor] = (-1 - position, -1 - position)
        if self._is_on_meta and operation.startswith("conv_transpose"):
            # Without values PyTorch 2.15 lets other channels pass here, and maps of no size.
            shapes = tuple(tuple(each.shape) for each in tensors(args))
            if reason := why(operation, settings, shapes, _weight_shape(module), ()):
                raise RuntimeError(reason.text)

    def _end(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        while self._running and self._running[-1].module is not module:
            if self._running[-1].is_leaf:
                return
            self._running.pop()  # left by an exception that the net itself caught
        running = self._running.pop()
        if not running.is_leaf:
            return
        made = tensors(output)
        inner: tuple[Call, ...] = ()
        inner_result = None
        if running.inside is not None:
            inner = tuple(self._frame.calls)
            inner_result = self._frame.source(made[0]) if made else None
            self._frame = running.inside
        path = self._paths[id(module)]
        operation, settings = layer_operation(module)
        own = module.parameters() if module._modules else module._parameters.values()
        self._record(
            name=path or type(module).__name__,
            kind=_kind(module),
            operation=operation,
            settings=settings,
            path=path,
            module=self._originals[path],
            args=args,
            kwargs=kwargs,
            made=made,
            flops=self._counter.flops - running.flops,
            parameters=tuple(dict.fromkeys(self._parameters[id(each)] for each in own if id(each) in self._parameters)),
            inner=inner,
            inner_result=inner_result,
        )

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if self._is_on_meta and func in _FACTORIES:
            kwargs.setdefault("device", "meta")
        running = self._running[-1] if self._running else None
        if running is not None and running.is_leaf and running.inside is None:
            return func(*args, **kwargs)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        version = None if first is None else _version(first)
        flops = self._counter.flops
        try:
            result = func(*args, **kwargs)
        except Exception as error:
            self._failed = (error, func, args, kwargs)
            raise
        made = [first] if func is Tensor.__setitem__ and first is not None else tensors(result)
        if made:
            # Where nobody counts, what comes back as the same object is taken for overwritten.
            is_changed = first is not None and (made[0] is first if version is None else _version(first) != version)
            self._record_function(func, args, kwargs, made, self._counter.flops - flops, is_changed)
        return result

    # --- writing down ----------------------------------------------------------------------------------------------

    def _record_function(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        made: list[Tensor],
        flops: int,
        is_changed: bool,
    ) -> None:
        name = function_name(func)
        read = [*tensors(args), *tensors(kwargs)]
        parameters = tuple(dict.fromkeys(self._parameters[id(each)] for each in read if id(each) in self._parameters))
        is_constant = name.startswith("new_") or name.endswith("_like")
        if not flops and not parameters and (is_constant or all(self._frame.source(each) is None for each in read)):
            return
        if len(made) == 1 and not is_changed and "dropout" not in name:
            for each in read:
                if _is_same(made[0], each):
                    self._take_over(made[0], each)
                    return
        path = self._paths[id(self._running[-1].module)] if self._running else ""
        self._record(
            name=f"{path}.{name}" if path else name,
            kind=name,
            operation=name,
            settings=self._described(function_settings(func, name, args, kwargs)),
            path=path,
            module=None,
            args=args,
            kwargs=kwargs,
            made=made,
            flops=flops,
            parameters=parameters,
            inner=(),
            inner_result=None,
        )

    def _take_over(self, tensor: Tensor, original: Tensor) -> None:
        """Take a tensor for another one: it is the same numbers in the same shape and place."""
        if tensor is original:
            return
        if (made := self._frame.made.get(original)) is not None:
            self._frame.made[tensor] = made
        if id(original) in self._parameters:
            self._parameters[id(tensor)] = self._parameters[id(original)]
            self._parameter_views.append(tensor)

    def _record(
        self,
        *,
        name: str,
        kind: str,
        operation: str,
        settings: Mapping[str, Any],
        path: str,
        module: nn.Module | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        made: list[Tensor],
        flops: int,
        parameters: tuple[str, ...],
        inner: tuple[Call, ...],
        inner_result: int | None,
    ) -> None:
        frame = self._frame
        index = len(frame.calls)
        read = [*tensors(args), *tensors(kwargs)]
        first_shapes: dict[int, Shape] = {}
        owners: dict[int, int | None] = {}
        for each in read:
            source, owner = frame.made.get(each) or (None, None)
            owners[_storage(each)] = owner
            if source is not None:
                first_shapes.setdefault(source, tuple(each.shape))
        # Before what is overwritten gets its new maker.
        arguments, options = self._described(args), self._described(kwargs)
        new_bytes = 0
        for each in made:
            storage = _storage(each)
            if storage not in owners:
                owners[storage] = index
                new_bytes += each.untyped_storage().nbytes() if each.layout is torch.strided else 0
            frame.made[each] = (index, owners[storage])
        around = [each for each in self._running if not each.is_leaf and each.module is not self._net]
        call = Call(
            index=index,
            name=self._unique(name, is_function=module is None),
            kind=kind,
            operation=operation,
            settings=settings,
            path=path,
            blocks=tuple(self._block(each) for each in around),
            module=module,
            arguments=arguments,
            options=options,
            inputs=tuple(first_shapes),
            input_shapes=tuple(first_shapes.values()),
            output_shape=tuple(made[0].shape) if made else (),
            output_shapes=tuple(tuple(each.shape) for each in made),
            macs=flops // 2,
            parameters=parameters,
            new_bytes=new_bytes,
            memory_of=owners[_storage(made[0])] if made else None,
            inner=inner,
            inner_result=inner_result,
        )
        frame.calls.append(call)
        if self._watch and made and frame is self._outside:
            flops_before_watching = self._counter.flops
            try:
                self._watch(call, made[0])
            except Exception as error:
                self._watch_error = error
                raise
            self._counter.flops = flops_before_watching

    def _block(self, running: _Running) -> Block:
        return Block(
            path=self._paths[id(running.module)],
            kind=_kind(running.module),
            is_sequential=isinstance(running.module, nn.Sequential),
            first=running.first,
        )

    def _unique(self, name: str, *, is_function: bool) -> str:
        times_used = self._frame.times_used
        if is_function and not times_used[name] and name in self._originals:
            times_used[name] = 1  # the name belongs to a layer
        times_used[name] += 1
        return name if times_used[name] == 1 else f"{name}#{times_used[name]}"

    def _described(self, value: Any) -> Any:
        """The same with an `Operand` for each tensor."""
        if isinstance(value, Tensor):
            return Operand(
                source=self._frame.source(value),
                shape=tuple(value.shape),
                parameter=self._parameters.get(id(value)),
            )
        if isinstance(value, (tuple, list)):
            return tuple(self._described(each) for each in value)
        if isinstance(value, dict):
            return {key: self._described(each) for key, each in value.items()}
        return value

    # --- when it fails ---------------------------------------------------------------------------------------------

    def _misfit(self, error: Exception) -> DoesNotFit:
        running = self._running[-1] if self._running else None
        path = self._paths[id(running.module)] if running else ""
        frame = running.inside if running and running.inside else self._frame
        operation, settings, weight = "", {}, None
        is_function = bool(running and not running.is_leaf and self._failed and self._failed[0] is error)
        if is_function and self._failed:
            _, func, args, kwargs = self._failed
            operation = kind = function_name(func)
            name = f"{path}.{kind}" if path else kind
            settings = self._described(function_settings(func, operation, args, kwargs))
            read = [*tensors(args), *tensors(kwargs)]
            arriving = [each for each in read if id(each) not in self._parameters]
            weight = next((tuple(each.shape) for each in read if id(each) in self._parameters), None)
        else:
            module = running.module if running else self._net
            name, kind = path or type(module).__name__, _kind(module)
            arriving = [*tensors(running.args), *tensors(running.kwargs)] if running else []
            if running and running.is_leaf:
                operation, settings = layer_operation(module)
                weight = _weight_shape(module)
        shapes = tuple(tuple(each.shape) for each in arriving)
        source = frame.source(arriving[0]) if arriving else None
        reason = why(operation, settings, shapes, weight, _unrolled(frame.calls, source))
        return DoesNotFit(
            name=name,
            kind=kind,
            is_layer=not is_function,
            arrives=shapes[0][1:] if shapes else (),
            reason=reason or torch_reason(error),
            is_certain=reason is not None,
            calls=tuple(self._outside.calls),
        )


def _is_leaf(module: nn.Module, *, is_root: bool) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return True
    if any(name != "parametrizations" for name in module._modules):
        return False
    return not is_root or type(module).__module__.startswith("torch.nn.")


def _kind(module: nn.Module) -> str:
    name = type(module).__name__
    return name.removeprefix("Parametrized") if parametrize.is_parametrized(module) else name


def _weight_shape(module: nn.Module) -> Shape | None:
    weight = getattr(module, "weight", None)
    return tuple(weight.shape) if isinstance(weight, Tensor) else None


def _version(tensor: Tensor) -> int | None:
    """How often a tensor was overwritten; None in inference mode, where nobody counts."""
    return None if tensor.is_inference() else tensor._version


def _storage(tensor: Tensor) -> int:
    """Tells which memory a tensor looks at, as long as it lives."""
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else id(tensor)


def _is_same(tensor: Tensor, other: Tensor) -> bool:
    """Whether both are the same numbers in the same memory, in the same shape."""
    if tensor is other:
        return True
    return bool(
        tensor.shape == other.shape
        and tensor.layout is other.layout is torch.strided
        and _storage(tensor) == _storage(other)
        and tensor.stride() == other.stride()
        and tensor.storage_offset() == other.storage_offset()
    )


def _unrolled(calls: list[Call], source: int | None) -> Shape:
    """Shape, without the batch, of the map behind a row of numbers; () if there is none."""
    while source is not None and source >= 0:
        call = calls[source]
        shape = call.input_shapes[0] if call.input_shapes else ()
        if len(shape) > 2 >= len(call.output_shape):
            return shape[1:]
        if shape != call.output_shape:
            return ()
        source = call.inputs[0]
    return ()


def _check_batch(calls: tuple[Call, ...], x: Tensor, result: Any) -> None:
    """Refuse what `x.view(-1, 3136)` makes of a map with 4 × 3136 numbers: four pictures out of one.

    Raises:
        DoesNotFit: There are as many rows in the result as a `view` made, and not as many as pictures.
    """
    if not isinstance(result, Tensor) or not result.ndim or result.shape[0] == x.shape[0]:
        return
    for call in calls:
        is_view = call.operation in ("view", "reshape") and call.settings["shape"][:1] == (-1,)
        if is_view and call.output_shape[0] == result.shape[0] and call.input_shapes[0][0] == x.shape[0]:
            raise DoesNotFit(
                name=call.name,
                kind=call.kind,
                is_layer=False,
                arrives=call.input_shapes[0][1:],
                reason=unrolled_away(call.input_shapes[0], call.output_shape),
                is_certain=True,
                calls=calls[: call.index],
            )
