"""The PyTorch code of a net: as people write it, standing alone, and the same net."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import nn

from cnnlab.nets.spec import NetSpec, build, from_pytorch, layer, to_pytorch
from cnnlab.nets.spec.reading import MAX_SOURCE
from tests.unit.nets.spec import generated

SMALL = NetSpec(
    "Tiny",
    (1, 8, 8),
    (
        layer("conv", out_channels=6, kernel_size=3, bias=False),
        layer("batch_norm", name="norm"),
        layer("relu"),
        layer("reuse", of="norm"),
        layer("max_pool", kernel_size=2),
        layer("flatten"),
        layer("batch_norm"),
        layer("linear", out_features=10),
    ),
)
SMALL_SOURCE = '''\
"""Tiny"""

from torch import nn

norm = nn.BatchNorm2d(6)
model = nn.Sequential(
    nn.Conv2d(1, 6, 3, bias=False),  # (N, 6, 6, 6)
    norm,
    nn.ReLU(),
    norm,
    nn.MaxPool2d(2),  # (N, 6, 3, 3)
    nn.Flatten(),  # (N, 54)
    nn.BatchNorm1d(54),
    nn.Linear(54, 10),  # (N, 10)
)
'''


def run(source: str) -> nn.Module:
    namespace: dict[str, Any] = {}
    exec(compile(source, "<net>", "exec"), namespace)
    return namespace["model"]


def assert_same_net(spec: NetSpec) -> None:
    source = to_pytorch(spec)
    assert "cnnlab" not in source
    ours, theirs = build(spec).eval(), run(source).eval()
    assert str(ours) == str(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, *spec.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(theirs(x), ours(x), rtol=0, atol=0, equal_nan=True)
    assert from_pytorch(source, spec.input_shape) == spec


def test_a_small_net_by_hand() -> None:
    assert to_pytorch(SMALL) == SMALL_SOURCE
    assert_same_net(SMALL)


def test_every_kind_is_the_same_net_in_code() -> None:
    assert_same_net(generated.everything())


@settings(max_examples=60)
@given(generated.specs())
def test_code_is_the_same_net_and_comes_back_as_it_was(spec: NetSpec) -> None:
    assert_same_net(spec)


def test_only_the_blocks_in_use_are_written_out() -> None:
    source = to_pytorch(NetSpec("", (8, 4, 4), (layer("se", squeezed=2), layer("stochastic_depth"))))
    assert source.startswith(
        "import torch\nfrom torch import nn\nfrom torchvision.ops import StochasticDepth\n\n\nclass"
    )
    assert "class SqueezeExcitation" in source
    assert "class Residual" not in source
    assert "ChannelSpatialAttention" not in source


def test_the_longest_net_can_be_read_back() -> None:
    spec = generated.longest()
    source = to_pytorch(spec)
    assert len(source) < MAX_SOURCE
    assert from_pytorch(source, spec.input_shape) == spec


@pytest.mark.parametrize("make", [generated.everything, generated.longest, lambda: SMALL])
def test_the_code_is_formatted_as_ruff_formats_it(make: Any) -> None:
    source = to_pytorch(make())
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=120", "-"]
    result = subprocess.run(command, input=source, capture_output=True, text=True, check=True, encoding="utf-8")
    assert result.stdout == source
