import copy

import pytest
import torch
from torch import nn

from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.blocks import Residual
from cnnlab.train.arranging import arranged

POOLINGS = {
    "apart": nn.MaxPool2d(2),
    "overlapping": nn.MaxPool2d(3, stride=1),
    "padded": nn.MaxPool2d(3, stride=2, padding=1),
    "beyond the border": nn.MaxPool2d(2, stride=2, ceil_mode=True),
    "dilated": nn.MaxPool2d(2, stride=1, dilation=2),
}


def kinds(net):
    return [type(module).__name__ for module in net]


def trained(net, x, gradient):
    """What a net makes of `x`, and the gradient that comes out in front."""
    x = x.clone().requires_grad_()
    out = net(x)
    out.backward(gradient[: out.shape[0], : out.shape[1], : out.shape[2], : out.shape[3]])
    return out.detach(), x.grad


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])
@pytest.mark.parametrize("pooling", POOLINGS.values(), ids=POOLINGS)
@pytest.mark.parametrize("levels", [1, 2, 5], ids=lambda levels: f"-{levels} to {levels}")
def test_values_and_gradients_stay_bit_for_bit_also_where_all_is_equal_or_zero(levels, pooling, layout):
    draws = torch.Generator().manual_seed(levels)
    # Few levels: nearly every window has several largest, in many they are zero, and in some below.
    x = torch.randint(-levels, levels + 1, (4, 16, 9, 9), generator=draws).float().contiguous(memory_format=layout)
    gradient = torch.randn(x.shape, generator=draws)
    plain = nn.Sequential(nn.ReLU(), pooling)
    twin = arranged(plain)
    assert kinds(twin) == ["MaxPool2d", "ReLU"]
    for ours, theirs in zip(trained(twin, x, gradient), trained(plain, x, gradient), strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_no_number_stays_so():
    x = torch.tensor([[[[-1.0, float("nan")], [2.0, 0.0]]]])
    plain = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    assert arranged(plain)(x).isnan().all()
    assert plain(x).isnan().all()


@pytest.mark.parametrize("key", ["simple_cnn", "image_classification", "cifar10_cnn_shared_bn", "resnet9"])
def test_a_net_learns_the_same_bit_for_bit(key):
    architecture = ARCHITECTURES[key]
    plain = architecture.build().to(memory_format=torch.channels_last)
    for module in plain.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    ours = copy.deepcopy(plain)
    x = torch.rand(3, *architecture.input_shape)
    for net, forward in ((plain, plain), (ours, arranged(ours))):
        net.train()
        forward(x).square().sum().backward()
    for (name, one), other in zip(plain.named_parameters(), ours.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), name
    for name, one in plain.state_dict().items():
        assert torch.equal(one, ours.state_dict()[name]), name


def test_layers_are_those_of_the_net_which_itself_stays_as_it_is():
    net = ARCHITECTURES["simple_cnn"].build()
    names = [name for name, _ in net.named_modules()]
    twin = arranged(net)
    assert [name for name, _ in net.named_modules()] == names
    assert kinds(net.features) == ["Conv2d", "ReLU", "MaxPool2d"] * 2
    assert kinds(twin.features) == ["Conv2d", "MaxPool2d", "ReLU"] * 2
    assert twin.features[0] is net.features[0]
    assert twin.features[2] is net.features[1]
    assert all(one is other for one, other in zip(twin.parameters(), net.parameters(), strict=True))


def test_other_orders_stay():
    layers = [nn.LeakyReLU(), nn.MaxPool2d(2), nn.ReLU(), nn.AvgPool2d(2), nn.ReLU(), nn.ReLU6(), nn.MaxPool2d(2)]
    assert [*arranged(nn.Sequential(*layers))] == layers


def test_layers_inside_blocks_are_arranged_and_a_layer_that_is_used_twice_is_still_one():
    shared = nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(2, 2, 1))
    net = nn.Sequential(Residual(shared), shared)
    twin = arranged(net)
    assert twin[1][2] is net[1][2]
    assert kinds(twin[1]) == ["MaxPool2d", "ReLU", "Conv2d"]
    x = torch.randn(2, 2, 5, 5)
    assert torch.equal(twin(x), net(x))
