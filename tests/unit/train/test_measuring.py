import math

import pytest
import torch
from torch import nn

from cnnlab.nets import build_seeded
from cnnlab.train.building import build_net
from cnnlab.train.events import LayersMeasured
from cnnlab.train.measuring import StepMeasure, layers_with_weights, memory_mb
from tests.unit.train.making import LINEAR, config, digits, of_kind, ran


def measured(model, x, change=lambda: None):
    measure = StepMeasure(model, layers_with_weights(model))
    with measure.watching():
        loss = model(x).sum()
    loss.backward()
    with torch.no_grad():
        change()
    return measure.result(1, torch.tensor(0.5))


def test_layers_with_weights_are_those_of_the_state_dict_in_order():
    model = build_seeded("resnet_cifar", seed=0)
    state = build_seeded("resnet_cifar", seed=0).state_dict()
    expected = [name.removesuffix(".weight") for name, one in state.items() if name.endswith("weight") and one.ndim > 1]
    assert [*layers_with_weights(model)] == expected


def test_dead_units_by_hand():
    linear = nn.Linear(2, 4, bias=False)
    linear.weight.data = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [-1, -1]])
    model = nn.Sequential(linear, nn.ReLU())
    # The outputs are (1, −1, 0, −1) and (2, −2, 3, −5): the second and the fourth unit are silent for both.
    assert measured(model, torch.tensor([[1.0, 0], [2, 3]])).dead == {"1": 0.5}


def test_of_a_map_a_channel_is_dead_where_all_its_cells_are():
    x = torch.tensor([[[[-1.0, 0], [0, 0]], [[-1, 0], [0, 1]], [[5, 5], [5, 5]]]], requires_grad=True)
    assert measured(nn.Sequential(nn.ReLU()), x).dead == {"0": pytest.approx(1 / 3)}


def test_leaky_units_below_zero_are_counted_too_but_what_is_no_relu_is_not():
    x = torch.tensor([[-1.0, 1.0]], requires_grad=True)
    assert measured(nn.Sequential(nn.LeakyReLU(0.1), nn.Tanh(), nn.Sigmoid()), x).dead == {"0": 0.5}


def test_the_update_is_a_share_of_the_weight():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].weight.data = torch.tensor([[3.0, 0], [0, 4]])

    def change():
        model[0].weight += torch.tensor([[0.0, 0.3], [0.4, 0]])

    result = measured(model, torch.ones(1, 2), change)
    assert result.updates == (pytest.approx(0.1), 0)
    assert result.gradient_norm == 0.5


def test_a_weight_of_zeros_has_a_finite_update():
    model = nn.Linear(2, 2)
    model.weight.data.zero_()
    assert all(map(math.isfinite, measured(model, torch.ones(1, 2), lambda: model.weight.add_(1)).updates))


def test_what_is_frozen_has_no_gradient():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(requires_grad=False)
    assert measured(model, torch.ones(1, 2)).gradients[0] == 0


@pytest.mark.parametrize("fails", [False, True])
def test_the_net_is_given_back_without_hooks(fails):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    measure = StepMeasure(model, layers_with_weights(model))
    try:
        with measure.watching():
            model(torch.ones(1, 3 if fails else 2))
    except RuntimeError:
        assert fails
    assert not any(module._forward_hooks for module in model.modules())


def test_a_linear_nets_first_step_by_hand():
    data = digits(20)
    chosen = config(net=LINEAR, epochs=1, batch_size=64, momentum=0.0, lr=0.1, initialisation="xavier")
    _, told = ran(chosen, dataset=data)
    [layers] = of_kind(LayersMeasured, told)
    # Softmax regression: the gradient is (p − y)ᵀ x / n.
    start = build_net(chosen, num_classes=10, in_channels=1, side=28)
    weight, bias = (one.detach().double() for one in start.parameters())
    x = (data.pictures[data.splits.train].double().flatten(1) / 255 - data.mean[0]) / data.std[0]
    errors = (x @ weight.T + bias).softmax(1) - nn.functional.one_hot(data.labels[data.splits.train], 10)
    of_weight, of_bias = errors.T @ x / len(x), errors.mean(0)
    assert layers.step == 1
    assert layers.gradients == (pytest.approx(float(of_weight.norm()), rel=1e-4),)
    assert layers.gradient_norm == pytest.approx(float((of_weight.norm() ** 2 + of_bias.norm() ** 2).sqrt()), rel=1e-4)
    assert layers.updates == (pytest.approx(float(0.1 * of_weight.norm() / weight.norm()), rel=1e-3),)
    assert layers.dead == {}


def test_the_process_holds_what_was_taken():
    before = memory_mb(torch.device("cpu"))
    taken = torch.ones(25_000_000)  # 100 MB
    assert 50 < before < 1e5
    assert memory_mb(torch.device("cpu")) - before == pytest.approx(4 * len(taken) / 1e6, abs=30)
