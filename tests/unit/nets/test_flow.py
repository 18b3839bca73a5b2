import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cnnlab.errors import InputRejected
from cnnlab.nets import build_seeded
from cnnlab.nets.flow import MOST_NUMBERS, maps_of, run_through, softmax_steps


def small_net(*, inplace=False):
    """Doubles a picture, negates it, keeps what is positive, and adds it all up."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=inplace), nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([2.0, -1.0]).reshape(2, 1, 1, 1))
        net[0].bias.copy_(torch.tensor([0.0, -1.0]))
        net[3].weight.copy_(torch.tensor([[1.0] * 8, [0.0] * 8]))
        net[3].bias.zero_()
    return net


PICTURE = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])


def identity(channels=1):
    net = nn.Sequential(nn.Conv2d(channels, channels, 1, groups=channels, bias=False), nn.Flatten())
    with torch.no_grad():
        net[0].weight.fill_(1.0)
    return net


def test_each_layer_is_what_is_worked_out_by_hand():
    conv, relu, flat, linear = run_through(small_net(), PICTURE).layers
    np.testing.assert_array_equal(conv.maps, [[[0, 2], [4, 6]], [[-1, -2], [-3, -4]]])
    np.testing.assert_array_equal(relu.maps, [[[0, 2], [4, 6]], [[0, 0], [0, 0]]])
    np.testing.assert_array_equal(flat.maps, [0, 2, 4, 6, 0, 0, 0, 0])
    np.testing.assert_array_equal(linear.maps, [12, 0])
    assert [layer.name for layer in (conv, relu, flat, linear)] == ["0", "1", "2", "3"]
    assert [layer.kind for layer in (conv, relu, flat, linear)] == ["Conv2d", "ReLU", "Flatten", "Linear"]
    assert [layer.shape for layer in (conv, relu, flat, linear)] == [(2, 2, 2), (2, 2, 2), (8,), (2,)]


def test_statistics_are_those_of_each_channel():
    conv, relu = run_through(small_net(), PICTURE).layers[:2]
    np.testing.assert_array_equal(conv.minimum, [0, -4])
    np.testing.assert_array_equal(conv.maximum, [6, -1])
    np.testing.assert_array_equal(conv.mean, [3, -2.5])
    np.testing.assert_array_equal(conv.zeros, [0.25, 0])
    np.testing.assert_array_equal(relu.zeros, [0.25, 1])
    assert conv.range == (-4, 6)


def test_a_channel_that_relu_kills_is_dead_and_no_other():
    layers = run_through(small_net(), PICTURE).layers
    assert [layer.num_dead for layer in layers] == [0, 1, 5, 1]


def test_a_constant_channel_is_not_dead():
    assert run_through(small_net(), torch.ones(1, 2, 2)).layers[0].num_dead == 0


def test_what_a_layer_made_is_seen_before_the_next_overwrites_it():
    conv = run_through(small_net(inplace=True), PICTURE).layers[0]
    np.testing.assert_array_equal(conv.maps[1], [[-1, -2], [-3, -4]])


def test_large_maps_are_means_over_squares_and_what_is_left_at_the_edge():
    x = torch.arange(25.0).reshape(1, 5, 5)
    layer = run_through(identity(), x, max_side=2).layers[0]
    assert layer.factor == 3
    # Rows 0 to 2 and columns 0 to 2; the same rows and columns 3 and 4; and so on.
    np.testing.assert_allclose(layer.maps, [[[6, 8.5], [18.5, 21]]])
    assert (layer.maximum[0], layer.mean[0]) == (24, 12)


def test_small_maps_are_not_reduced():
    x = torch.arange(25.0).reshape(1, 5, 5)
    layer = run_through(identity(), x, max_side=5).layers[0]
    assert layer.factor == 1
    np.testing.assert_array_equal(layer.maps[0], x[0].numpy())


def test_the_first_channels_are_shown_and_all_are_counted():
    x = torch.zeros(20, 4, 4)
    x[18] = 1
    layer = run_through(identity(20), x).layers[0]
    assert layer.channels == tuple(range(16))
    assert (layer.num_channels, layer.num_dead, layer.maps.shape) == (20, 19, (16, 4, 4))
    assert layer.range == (0, 1)


def test_a_long_vector_is_cut_and_says_how_long_it_was():
    layer = run_through(nn.Sequential(nn.Flatten(), nn.Linear(5000, 2)), torch.rand(1, 50, 100)).layers[0]
    assert (layer.maps.shape, layer.num_channels, layer.shape) == ((MOST_NUMBERS,), 5000, (5000,))


def test_all_logits_count_however_many_there_are():
    x = torch.randn(1, 50, 100)
    flow = run_through(nn.Sequential(nn.Flatten()), x)
    np.testing.assert_allclose(flow.softmax.probabilities, F.softmax(x.flatten().double(), 0).numpy(), rtol=1e-12)


def test_maps_of_one_cell_are_numbers():
    pool = run_through(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), torch.ones(3, 4, 4)).layers[0]
    np.testing.assert_array_equal(pool.maps, [1, 1, 1])
    assert pool.shape == (3, 1, 1)


def test_all_maps_of_a_layer_are_maps_also_when_they_have_one_cell():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    np.testing.assert_array_equal(maps_of(net, torch.ones(3, 4, 4), 0), np.ones((3, 1, 1)))
    np.testing.assert_array_equal(maps_of(net, torch.ones(3, 4, 4), 1), np.ones(3))


def test_layers_behind_the_one_asked_for_do_not_run():
    net = small_net()
    assert maps_of(net, torch.rand(1, 9, 9), 1).shape == (2, 9, 9)  # the linear layer would refuse it
    with pytest.raises(InputRejected):
        maps_of(net, torch.rand(1, 9, 9), 3)


def test_a_net_that_ends_in_maps_has_no_softmax():
    assert run_through(nn.Conv2d(1, 3, 1), PICTURE).softmax is None
    assert run_through(nn.Sequential(nn.Conv2d(1, 3, 1), nn.AdaptiveAvgPool2d(1)), PICTURE).softmax is not None
    assert run_through(nn.Identity(), PICTURE).softmax is None


def test_the_memory_taken_does_not_grow_with_the_number_of_layers():
    """Each of 24 layers makes 4 MB; kept whole they would be 96 MB, and are 2.4 MB when reduced."""
    net = nn.Sequential(*[nn.ReLU() for _ in range(24)])
    x = torch.rand(16, 256, 256)
    with torch.profiler.profile(profile_memory=True) as profile:
        run_through(net, x)
    held, most = 0, 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    assert 4 * 2**20 < most < 40 * 2**20


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_reported(bad):
    x = PICTURE.clone()
    x[0, 0, 1] = bad
    flow = run_through(small_net(), x)
    conv = flow.layers[0]
    assert conv.num_not_finite == 2
    assert conv.num_dead == 0
    assert not np.isfinite(conv.maps[0, 0, 1])
    assert not np.isfinite(conv.range).all()
    expected = F.softmax(torch.from_numpy(flow.softmax.logits), 0).numpy()
    np.testing.assert_array_equal(flow.softmax.probabilities, expected)


def test_a_picture_comes_with_and_without_a_batch():
    alone, batched = run_through(small_net(), PICTURE), run_through(small_net(), PICTURE[None])
    np.testing.assert_array_equal(alone.layers[0].maps, batched.layers[0].maps)
    with pytest.raises(TypeError, match="one picture"):
        run_through(small_net(), PICTURE.expand(2, 1, 2, 2))


def test_all_maps_of_a_layer():
    net = identity(20)
    x = torch.rand(20, 9, 9)
    maps = maps_of(net, x, 0, max_side=9)
    np.testing.assert_array_equal(maps, x.numpy())
    np.testing.assert_array_equal(maps_of(net, x, 0, max_side=3)[:16], run_through(net, x, max_side=3).layers[0].maps)
    assert maps_of(net, x, 1).shape == (20 * 81,)
    with pytest.raises(IndexError):
        maps_of(net, x, 7)


@pytest.mark.parametrize("key", ["lenet5", "resnet18"])
def test_a_run_ends_where_the_net_does(key):
    net = build_seeded(key, seed=3)
    x = torch.rand(1, 28, 28) if key == "lenet5" else torch.randn(3, 224, 224)
    flow = run_through(net, x)
    with torch.inference_mode():
        logits = net(x[None])[0]
    np.testing.assert_allclose(flow.softmax.logits, logits.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(flow.softmax.probabilities, F.softmax(logits, 0).numpy(), rtol=1e-4, atol=1e-7)
    assert [layer.index for layer in flow.layers] == list(range(len(flow.layers)))


def test_a_large_map_of_resnet_is_the_mean_of_its_cells():
    net = build_seeded("resnet18", seed=3)
    x = torch.randn(3, 224, 224)
    first = run_through(net, x).layers[0]
    with torch.inference_mode():
        whole = net.get_submodule("conv1")(x[None])[0, :16].numpy()
    assert first.shape == (64, 112, 112)
    np.testing.assert_allclose(first.maps, whole.reshape(16, 56, 2, 56, 2).mean((2, 4)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.maximum[:16], whole.max((1, 2)), rtol=1e-5)


def test_maps_of_many_layers_are_made_smaller_until_a_browser_can_take_them():
    x = torch.rand(1, 112, 112)
    few = run_through(nn.Sequential(*[nn.ReLU() for _ in range(3)], nn.Flatten()), x.expand(16, 112, 112))
    many = run_through(nn.Sequential(*[nn.ReLU() for _ in range(40)], nn.Flatten()), x.expand(16, 112, 112))
    assert few.layers[0].maps.shape == (16, 56, 56)
    assert many.layers[0].maps.shape == (16, 28, 28)


def snapshot(net):
    return {name: each.clone() for name, each in net.state_dict().items()}


def untouched(net, before):
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(each.grad is None and each.requires_grad for each in net.parameters())


@pytest.mark.parametrize("inplace", [False, True])
def test_the_net_is_given_back_as_it_was(inplace):
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(), *small_net(inplace=inplace)).train()
    before = snapshot(net)
    run_through(net, PICTURE)
    maps_of(net, PICTURE, 2)
    untouched(net, before)
    assert net[3].inplace is inplace


def test_the_net_is_given_back_as_it_was_after_a_failure():
    net = small_net().train()
    before = snapshot(net)
    with pytest.raises(InputRejected):
        run_through(net, torch.rand(1, 5, 5))
    untouched(net, before)


def test_dropout_is_off():
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9)).train()
    np.testing.assert_array_equal(run_through(net, PICTURE).softmax.logits, [0, 1, 2, 3])


def test_eight_threads_on_one_net_see_the_same():
    net = build_seeded("lenet5", seed=3)
    x = torch.rand(1, 28, 28)
    with ThreadPoolExecutor(8) as pool:
        flows = list(pool.map(lambda _: run_through(net, x), range(16)))
    for flow in flows[1:]:
        for layer, other in zip(flow.layers, flows[0].layers, strict=True):
            for mine, theirs in zip(astuple(layer), astuple(other), strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_maps_cannot_be_written_by_those_who_share_them():
    layer = run_through(small_net(), PICTURE).layers[0]
    with pytest.raises(ValueError, match="read-only"):
        layer.maps[0, 0, 0] = 1


def test_a_softmax_worked_out_by_hand():
    steps = softmax_steps(np.log([1.0, 2.0, 5.0]))
    np.testing.assert_allclose(steps.shifted, np.log([0.2, 0.4, 1.0]), atol=1e-15)
    np.testing.assert_allclose(steps.exponentials, [0.2, 0.4, 1.0])
    assert steps.total == pytest.approx(1.6)
    np.testing.assert_allclose(steps.probabilities, [1 / 8, 2 / 8, 5 / 8])


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=12))
def test_a_softmax_is_that_of_torch_however_large_the_logits(logits):
    steps = softmax_steps(np.array(logits))
    expected = F.softmax(torch.tensor(logits, dtype=torch.float64), 0).numpy()
    np.testing.assert_allclose(steps.probabilities, expected, rtol=1e-12, atol=0)
    assert steps.probabilities.sum() == pytest.approx(1)


def test_minus_infinity_is_impossible_and_nothing_else_is_special():
    np.testing.assert_array_equal(softmax_steps(np.array([-math.inf, 0.0, 0.0])).probabilities, [0, 0.5, 0.5])
    assert np.isnan(softmax_steps(np.array([math.inf, 0.0])).probabilities).all()


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros((1, 3))])
def test_what_is_no_row_of_logits_is_refused(bad):
    with pytest.raises(TypeError, match="one row"):
        softmax_steps(bad)
