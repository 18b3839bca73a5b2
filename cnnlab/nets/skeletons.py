"""Copies of a model that can be hooked, switched and run without a trace on the model."""

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.overrides import TorchFunctionMode

from cnnlab.errors import InputRejected, Unsupported


def skeleton(model: nn.Module, *, train: bool = False) -> nn.Module:
    """Copy a model so that the copy can be hooked, switched and run without a trace on the original.

    Parameters share their values and not their gradients, buffers are copied (batch normalisation writes into them
    while training), hooks are left out, except those of `torch.nn.utils` which make the weights (pruning, weight and
    spectral normalisation).

    Raises:
        InputRejected: The net has layers without sizes yet.
        Unsupported: It is compiled (TorchScript).
    """
    _check(model)
    # What is made in inference mode can never be learnt from, and the copy may have to be.
    with torch.inference_mode(False):
        own: dict[int, Tensor] = {id(each): each.detach().clone() for each in model.buffers()}
        for each in model.parameters():
            values = each.clone() if each.is_inference() else each
            own[id(each)] = nn.Parameter(values.detach(), requires_grad=each.requires_grad)
        return _copied(model, own, train)


def on_meta(model: nn.Module, *, train: bool = False) -> nn.Module:
    """Copy a model as in `skeleton`, with parameters and buffers that have shapes but no values.

    Raises:
        InputRejected: The net has layers without sizes yet.
        Unsupported: It is compiled (TorchScript).
    """
    _check(model)
    with torch.inference_mode(False):
        own: dict[int, Tensor] = {id(each): torch.empty_like(each, device="meta") for each in model.buffers()}
        for each in model.parameters():
            own[id(each)] = nn.Parameter(torch.empty_like(each, device="meta"), requires_grad=each.requires_grad)
        return _copied(model, own, train, device="meta")


def _check(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise Unsupported("A compiled net (TorchScript) cannot be looked into. Use the net it was compiled from.")
        if any(isinstance(each, UninitializedParameter) for each in module._parameters.values()):
            raise InputRejected(
                f"Layer {name} ({type(module).__name__}) has no size yet: it gets it when the net runs for the first "
                "time. Run the net once on a picture first."
            )


def _copied(model: nn.Module, own: dict[int, Tensor], train: bool, device: str | None = None) -> nn.Module:
    # What deepcopy finds in its memo, by id, it takes from there.
    memo: dict[int, Any] = dict(own)
    for module in model.modules():
        for attribute, hooks in vars(module).items():
            if attribute.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
                memo[id(hooks)] = OrderedDict()
        memo[id(module._forward_pre_hooks)] = OrderedDict(
            (key, hook)
            for key, hook in module._forward_pre_hooks.items()
            if type(hook).__module__.startswith("torch.nn.utils")
        )
    with _LooseTensors(device):
        return copy.deepcopy(model, memo).train(train)


class _LooseTensors(TorchFunctionMode):
    """Makes deepcopy share tensors that are neither parameter nor buffer; results of a computation it cannot copy."""

    def __init__(self, device: str | None) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        if getattr(func, "__name__", "") == "__deepcopy__":
            return torch.empty_like(args[0], device=self._device) if self._device else args[0].detach()
        return func(*args, **(kwargs or {}))
