"""Count multiply-adds while a net runs, and run nets without values quickly.

What counts is what `torch.utils.flop_counter` counts, by its own formulas: convolutions, matrix products, attention.
A net on the device "meta" computes no values, yet PyTorch works out the shape of each result in Python, which takes
0.1 to 0.5 ms an operation. The same operation on the same shapes gives the same shapes: they are remembered.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_MAX_REMEMBERED = 20_000
# (operation, shapes and settings) → (shapes of the results, FLOPs). Threads may lose an entry to each other, no more.
_remembered: dict[Any, tuple[Any, int]] = {}


class MacCounter(TorchDispatchMode):
    """Adds up the multiply-adds of everything that runs in this thread.

    Attributes:
        flops: 2 × multiply-adds so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation of PyTorch's core and add what it takes."""
        del types
        kwargs = kwargs or {}
        if not isinstance(func, OpOverload):
            return func(*args, **kwargs)
        key = _key(func, args, kwargs) if _makes_new(func) else None
        # One look-up: another thread may empty the memory between two.
        remembered = None if key is None else _remembered.get(key)
        if remembered is not None:
            results, flops = remembered
            self.flops += flops
            return _revived(results)
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        flops = 0 if formula is None else formula(*args, **kwargs, out_val=result)
        self.flops += flops
        if key is not None and (results := _described(result)) is not None:
            if len(_remembered) >= _MAX_REMEMBERED:
                _remembered.clear()
            _remembered[key] = results, flops
        return result


@lru_cache(maxsize=4096)
def _makes_new(func: OpOverload) -> bool:
    """Whether an operation writes into none of its arguments and returns none of them, nor a view of one."""
    schema = func._schema
    return not schema.is_mutable and all(each.alias_info is None for each in schema.returns)


class _NotMeta(Exception):
    """A tensor has values, so the result is more than a shape."""


def _key(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """All that the shape of the result depends on; None when that is not known."""
    try:
        key = (func, _hashable(args), _hashable(kwargs))
        hash(key)
    except (_NotMeta, TypeError):
        return None
    return key


def _hashable(value: Any) -> Any:
    if isinstance(value, Tensor):
        if not value.is_meta:
            raise _NotMeta
        return (value.shape, value.stride(), value.dtype)
    if isinstance(value, (tuple, list)):
        return tuple(_hashable(each) for each in value)
    if isinstance(value, dict):
        return tuple((key, _hashable(each)) for key, each in value.items())
    # 1, 1.0 and True are equal, but do not make results of the same type.
    return (type(value), value)


def _described(result: Any) -> Any:
    """Shape, strides and type of a result, or of each of several; None for anything else."""
    if isinstance(result, Tensor):
        return (tuple(result.shape), result.stride(), result.dtype) if _is_plain(result) else None
    if isinstance(result, tuple) and all(isinstance(each, Tensor) and _is_plain(each) for each in result):
        return [_described(each) for each in result]
    return None


def _is_plain(tensor: Tensor) -> bool:
    return tensor.is_meta and tensor.layout is torch.strided


def _revived(results: Any) -> Any:
    if isinstance(results, list):
        return tuple(_revived(each) for each in results)
    shape, strides, dtype = results
    return torch.empty_strided(shape, strides, dtype=dtype, device="meta")
