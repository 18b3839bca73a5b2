"""The blocks: their weights counted by hand, their outputs against the equations."""

import numpy as np
import pytest
import torch
from torch import nn

from cnnlab.nets.blocks import (
    ChannelSpatialAttention,
    Residual,
    SqueezeExcitation,
    depthwise_separable,
    residual_block,
)


def num_weights(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def zeroed(module: nn.Module) -> nn.Module:
    for weight in module.parameters():
        nn.init.zeros_(weight)
    return module


# --- residual ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (residual_block(64, 64), 2 * (64 * 64 * 9) + 2 * (2 * 64)),
        (residual_block(64, 128, stride=2), 64 * 128 * 9 + 128 * 128 * 9 + 64 * 128 + 3 * (2 * 128)),
    ],
)
def test_residual_blocks_have_the_weights_counted_by_hand(block, expected):
    assert num_weights(block) == expected
    assert expected in (73_984, 230_144)


@pytest.mark.parametrize(("in_channels", "out_channels", "stride"), [(4, 4, 1), (4, 8, 1), (4, 4, 2), (4, 8, 2)])
def test_a_residual_block_is_torchvisions_basic_block(in_channels, out_channels, stride):
    from torchvision.models.resnet import BasicBlock

    ours = residual_block(in_channels, out_channels, stride).eval()
    downsample = None if isinstance(ours.shortcut, nn.Identity) else ours.shortcut
    reference = BasicBlock(in_channels, out_channels, stride, downsample).eval()
    for part, place in (("conv1", "0"), ("bn1", "1"), ("conv2", "3"), ("bn2", "4")):
        reference.get_submodule(part).load_state_dict(ours.body.get_submodule(place).state_dict())
    x = noise(2, in_channels, 7, 9)
    torch.testing.assert_close(ours(x), reference(x))


def test_a_residual_block_with_nothing_in_its_body_passes_relu_of_its_input():
    block = residual_block(8, 8)
    zeroed(block.body)
    x = noise(2, 8, 5, 6)
    assert torch.equal(block.train()(x), x.clamp(min=0))
    assert torch.equal(block.eval()(x), x.clamp(min=0))


def test_a_residual_adds_and_nothing_else_unless_told():
    x = noise(1, 3, 4, 4)
    assert torch.equal(Residual(nn.Identity())(x), 2 * x)
    assert torch.equal(Residual(nn.Identity(), shortcut=nn.Flatten(0))(x.flatten()), 2 * x.flatten())
    assert torch.equal(Residual(nn.Identity(), activation=nn.ReLU())(x), (2 * x).clamp(min=0))


def test_a_residual_block_hands_the_whole_gradient_past_a_dead_body():
    block = Residual(zeroed(nn.Conv2d(3, 3, 3, padding=1)))
    x = noise(1, 3, 5, 5).requires_grad_()
    block(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))


# --- squeeze and excitation -------------------------------------------------------------------------------------


def test_squeeze_and_excitation_has_the_weights_counted_by_hand():
    assert num_weights(SqueezeExcitation(64, 16)) == (64 * 16 + 16) + (16 * 64 + 64) == 2128


def test_squeeze_and_excitation_is_the_equations_of_the_paper():
    block = SqueezeExcitation(6, 3)
    x = noise(2, 6, 4, 5)
    w1, b1, w2, b2 = (weight.detach().numpy().astype(np.float64) for weight in block.parameters())
    x_nchw = x.numpy().astype(np.float64)
    squeezed = x_nchw.mean(axis=(2, 3))
    hidden = np.maximum(squeezed @ w1[:, :, 0, 0].T + b1, 0)
    gates = sigmoid(hidden @ w2[:, :, 0, 0].T + b2)
    np.testing.assert_allclose(block(x).detach().numpy(), x_nchw * gates[:, :, None, None], atol=1e-6)


def test_squeeze_and_excitation_without_weights_halves_everything():
    x = noise(2, 4, 3, 3)
    torch.testing.assert_close(zeroed(SqueezeExcitation(4, 2))(x), x / 2)


# --- channel and spatial attention ------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "expected"), [(64, 610), (128, 2_146), (256, 8_290), (512, 32_866)])
def test_cbam_has_the_weights_counted_by_hand(channels, expected):
    assert num_weights(ChannelSpatialAttention(channels)) == expected == 2 * channels * (channels // 16) + 2 * 49


@pytest.mark.parametrize("channels", [1, 8, 15])
def test_cbam_works_where_dividing_by_the_reduction_leaves_no_channel(channels):
    block = ChannelSpatialAttention(channels)
    assert block.fc1.out_channels == 1
    x = noise(2, channels, 5, 5).requires_grad_()
    block(x).sum().backward()
    assert all(weight.grad is not None for weight in block.parameters())


def test_cbam_is_the_equations_of_the_paper():
    channels, height, width = 32, 6, 5
    block = ChannelSpatialAttention(channels)
    x = noise(2, channels, height, width)
    w1, w2, spatial = (weight.detach().numpy().astype(np.float64) for weight in block.parameters())
    x_nchw = x.numpy().astype(np.float64)

    def shared_mlp(seen: np.ndarray) -> np.ndarray:
        return np.maximum(seen @ w1[:, :, 0, 0].T, 0) @ w2[:, :, 0, 0].T

    x_nchw = x_nchw * sigmoid(shared_mlp(x_nchw.mean((2, 3))) + shared_mlp(x_nchw.max((2, 3))))[:, :, None, None]
    seen = np.pad(np.stack([x_nchw.mean(1), x_nchw.max(1)], axis=1), ((0, 0), (0, 0), (3, 3), (3, 3)))
    gates = np.empty((2, height, width))
    for row in range(height):
        for col in range(width):
            gates[:, row, col] = (seen[:, :, row : row + 7, col : col + 7] * spatial[0]).sum((1, 2, 3))
    np.testing.assert_allclose(block(x).detach().numpy(), x_nchw * sigmoid(gates)[:, None], atol=1e-5)


# --- depthwise separable ----------------------------------------------------------------------------------------


def test_a_depthwise_separable_convolution_has_the_weights_counted_by_hand():
    assert num_weights(depthwise_separable(32, 64)) == 32 * 9 + 2 * 32 + 32 * 64 + 2 * 64 == 2528


def test_the_depthwise_part_keeps_channels_apart_and_the_pointwise_part_mixes_them():
    block = depthwise_separable(4, 6).eval()
    x = noise(1, 4, 8, 8)
    other = x.clone()
    other[:, 2] += 1
    depthwise, mixed = block[:3], block[3:]
    moved = (depthwise(other) - depthwise(x)).abs().amax(dim=(0, 2, 3)) > 0
    assert moved.tolist() == [False, False, True, False]
    assert ((mixed(depthwise(other)) - mixed(depthwise(x))).abs().amax(dim=(0, 2, 3)) > 0).sum() > 1


def test_stride_halves_the_map():
    assert depthwise_separable(4, 6, stride=2)(noise(2, 4, 9, 8)).shape == (2, 6, 5, 4)
    assert residual_block(4, 6, stride=2)(noise(2, 4, 9, 8)).shape == (2, 6, 5, 4)


@pytest.mark.parametrize(
    "block",
    [residual_block(16, 32, 2), SqueezeExcitation(16, 4), ChannelSpatialAttention(16), depthwise_separable(16, 8)],
    ids=lambda block: type(block).__name__,
)
def test_blocks_leave_their_input_as_it_is_and_do_not_mind_channels_last(block):
    block.eval()
    x = noise(2, 16, 6, 6)
    before = x.clone()
    expected = block(x)
    assert torch.equal(x, before)
    torch.testing.assert_close(block(x.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)
