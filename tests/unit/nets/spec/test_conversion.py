"""Each net of the table is the start of another: as data it is the same net."""

import pytest
import torch
from torch import nn

from cnnlab.errors import Unsupported
from cnnlab.nets import ARCHITECTURES, Architecture
from cnnlab.nets.blocks import ChannelSpatialAttention, Residual, SqueezeExcitation
from cnnlab.nets.spec import (
    SpecError,
    build,
    from_json,
    from_module,
    from_pytorch,
    from_yaml,
    layer,
    num_params,
    to_json,
    to_pytorch,
    to_yaml,
)

TABLE = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)


def count(net: nn.Module) -> int:
    return sum(weights.numel() for weights in net.parameters())


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    with torch.no_grad():
        for kind in ("parameters", "buffers"):
            for theirs, ours in zip(getattr(source, kind)(), getattr(target, kind)(), strict=True):
                ours.copy_(theirs)


@TABLE
def test_a_net_of_the_table_is_the_same_net_as_data(architecture: Architecture) -> None:
    shape = architecture.input_shape
    with torch.device("meta"):  # no weights: VGG16 alone has half a gigabyte of them
        net = architecture.build(num_classes=architecture.num_classes, in_channels=shape[0])
        spec = from_module(net, shape, architecture.label)
        assert count(net) == num_params(spec) == count(build(spec))
    source = to_pytorch(spec)
    assert from_pytorch(source, shape) == from_json(to_json(spec)) == from_yaml(to_yaml(spec)) == spec
    namespace: dict[str, nn.Module] = {}
    with torch.device("meta"):
        exec(compile(source, "<net>", "exec"), namespace)
    assert count(namespace["model"]) == num_params(spec)
    if num_params(spec) < 30_000_000:
        net = architecture.build(num_classes=architecture.num_classes, in_channels=shape[0]).eval()
        for module in net.modules():  # as if trained: fresh ones hide a BatchNorm in the wrong place
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                nn.init.normal_(module.running_mean, std=0.1)
        ours = build(spec).eval()
        copy_in_order(net, ours)
        x = torch.rand(1, *shape)
        with torch.no_grad():
            torch.testing.assert_close(ours(x), net(x), rtol=1e-4, atol=1e-5)


def test_the_shared_batch_norm_stays_shared() -> None:
    norm = nn.BatchNorm2d(4)
    spec = from_module(nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU(), norm), (1, 8, 8))
    assert spec.layers[1:] == (
        layer("batch_norm", name="batch_norm_1"),
        layer("relu"),
        layer("reuse", of="batch_norm_1"),
    )


def test_a_block_used_twice_is_refused_and_not_doubled() -> None:
    block = Residual(nn.Conv2d(4, 4, 1))
    with pytest.raises(SpecError, match="only single layers can be used again"):
        from_module(nn.Sequential(block, block), (4, 8, 8))


def test_blocks_keep_their_settings() -> None:
    net = nn.Sequential(
        SqueezeExcitation(8, 3, nn.SiLU, nn.Hardsigmoid),
        ChannelSpatialAttention(8, reduction=16),
        Residual(nn.Sequential(nn.Conv2d(8, 8, 3, padding="same", dilation=2)), None, nn.ELU()),
    )
    assert from_module(net, (8, 6, 6)).layers == (
        layer("se", squeezed=3, activation="silu", gate="hardsigmoid"),
        layer("cbam", reduction=8),  # one channel in the middle, as with 16
        layer("residual", body=[layer("conv", out_channels=8, kernel_size=3, padding=2, dilation=2)], activation="elu"),
    )


def test_the_net_that_is_read_is_left_as_it_is() -> None:
    net = ARCHITECTURES["resnet_cifar"].build(num_classes=10, in_channels=3)
    before = {name: weights.clone() for name, weights in net.state_dict().items()}
    from_module(net, (3, 32, 32))
    assert net.training
    assert all(torch.equal(weights, before[name]) for name, weights in net.state_dict().items())


class OwnForward(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.PReLU())), "the net.1.0 is a PReLU"),
        (OwnForward(nn.ReLU()), "the net is a OwnForward"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding_mode="reflect")), "Conv2d has padding_mode='reflect'; the lab takes"),
        (nn.Sequential(nn.Conv2d(3, 4, 2, padding="same")), "padding='same' with an even kernel"),
        (nn.Sequential(nn.BatchNorm2d(3, momentum=None)), "BatchNorm2d has momentum=None"),
        (nn.Sequential(Residual(nn.ReLU(), None, nn.LeakyReLU(0.3))), "LeakyReLU in a block has settings of its own"),
        (nn.Sequential(Residual(nn.ReLU(), None, nn.Flatten())), "Flatten is not an activation"),
        (nn.Sequential(nn.Flatten(0)), "Flatten has start_dim=0; the lab takes start_dim=1 only."),
    ],
)
def test_what_cannot_be_read_is_named(net: nn.Module, says: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        from_module(net, (3, 8, 8))
    assert says in str(refusal.value)
    assert "Choose another net to start from" in str(refusal.value)


def test_a_picture_the_net_was_not_made_for_is_refused() -> None:
    with pytest.raises(SpecError, match=r"^Layer 1 \(Conv 3 × 3\) has in_channels 3, but a map of 1 × 8 × 8 arrives"):
        from_module(nn.Sequential(nn.Conv2d(3, 4, 3)), (1, 8, 8))
