"""The table says what PyTorch says."""

import inspect

import numpy as np
import pytest

from cnnlab.nets.spec import ACTIVATIONS, LAYER_KINDS, layer
from cnnlab.nets.spec.building import torch_class
from cnnlab.nets.spec.layers import LayerKind
from tests.unit.nets.spec import generated

IN_TORCH = [
    pytest.param(kind, cls, id=cls)
    for kind in LAYER_KINDS.values()
    if kind.torch
    for cls in (kind.torch.cls, kind.torch.vector_cls)
    # These two take any arguments and use none.
    if cls not in ("", "Sigmoid", "Tanh")
]


@pytest.mark.parametrize(("kind", "cls"), IN_TORCH)
def test_arguments_stand_in_pytorchs_order_with_pytorchs_defaults(kind: LayerKind, cls: str) -> None:
    assert kind.torch is not None
    theirs = inspect.signature(torch_class(cls)).parameters
    by_position = [name for name, one in theirs.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert tuple(name for name in by_position if name not in ("device", "dtype")) == kind.torch.signature
    for param in kind.params:
        expected = theirs[param.name].default
        if param.type == "activation":
            assert torch_class(ACTIVATIONS[param.default].torch.cls) is expected  # type: ignore[union-attr]
        elif expected is not inspect.Parameter.empty:
            assert (param.default == expected) or (param.follows and expected is None), param.name


@pytest.mark.parametrize("kind", LAYER_KINDS.values(), ids=LAYER_KINDS)
def test_each_kind_says_what_it_and_its_parameters_do(kind: LayerKind) -> None:
    for text in (kind.help, *(param.help for param in kind.params)):
        assert text.endswith(".")
        assert len(text) < 160
    for param in kind.params:
        assert param.is_required or param.follows or param.canonical(param.default) == param.default
        if param.choices and param.default is not None:
            assert param.default in param.choices


def test_the_sample_net_has_each_kind() -> None:
    assert {one.kind for one in generated.everything().layers} == set(LAYER_KINDS) - {"stochastic_depth"}


def test_a_value_is_written_one_way() -> None:
    plain = layer("conv", out_channels=8, kernel_size=3, stride=(2, 1))
    assert layer("conv", out_channels=8.0, kernel_size=[3, 3.0], stride=[2, 1], padding=0, bias=True) == plain
    assert layer("conv", out_channels=np.int64(8), kernel_size=np.array([3, 3]).tolist(), stride=(2, 1)) == plain
    assert hash(plain) == hash(layer("conv", out_channels=8, kernel_size=(3, 3), stride=(2, 1)))
    assert layer("dropout", p=1) == layer("dropout", p=1.0)
    assert layer("max_pool", kernel_size=(3, 2))["stride"] == (3, 2), "the window's size where none is given"
