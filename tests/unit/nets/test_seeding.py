import math

import pytest
import torch
from torch import nn

from cnnlab.nets import ARCHITECTURES, build_seeded
from cnnlab.nets.seeding import INITIALISATIONS, build_filled

WITH_WEIGHTS = (nn.Conv2d, nn.Linear)


def filled(key, initialisation, seed=3):
    architecture = ARCHITECTURES[key]
    return build_filled(
        architecture.build,
        seed=seed,
        num_classes=10,
        in_channels=architecture.input_shape[0],
        initialisation=initialisation,
    )


def layers(model):
    return [module for module in model.modules() if isinstance(module, WITH_WEIGHTS)]


def fans(weight):
    cells = weight[0, 0].numel() if weight.ndim == 4 else 1
    return weight.shape[1] * cells, weight.shape[0] * cells


def assert_fills(weight, bound):
    """As a uniform distribution in ±bound: nothing beyond, something near, variance bound² / 3."""
    assert weight.abs().max() <= bound
    if weight.numel() > 1000:
        assert weight.abs().max() > 0.98 * bound
        assert weight.var().item() == pytest.approx(bound**2 / 3, rel=0.15)


@pytest.mark.parametrize("key", ["lenet5", "image_classification", "tiny_vgg", "cifar10_cnn"])
def test_default_is_what_pytorch_draws_after_the_same_seed(key):
    before = torch.get_rng_state()
    torch.manual_seed(3)
    expected = ARCHITECTURES[key].build(num_classes=10, in_channels=ARCHITECTURES[key].input_shape[0]).state_dict()
    torch.set_rng_state(before)
    ours = filled(key, "default").state_dict()
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


@pytest.mark.parametrize("key", ["lenet5", "cifar10_cnn", "resnet_cifar"])
def test_xavier_fills_its_bounds_and_no_more(key):
    for layer in layers(filled(key, "xavier")):
        assert_fills(layer.weight, math.sqrt(6 / sum(fans(layer.weight))))
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("key", ["lenet5", "cifar10_cnn", "resnet_cifar"])
def test_he_fills_its_bounds_and_the_last_layer_a_tenth_of_them(key):
    *inner, last = layers(filled(key, "he"))
    for layer in inner:
        assert_fills(layer.weight, math.sqrt(6 / fans(layer.weight)[0]))
        assert layer.bias is None or not layer.bias.any()
    assert_fills(last.weight, 0.1 * math.sqrt(6 / fans(last.weight)[0]))


def test_he_is_what_one_gets_without_asking():
    asked, unasked = filled("lenet5", "he").state_dict(), build_seeded("lenet5", seed=3, num_classes=10).state_dict()
    assert all(torch.equal(asked[name], unasked[name]) for name in unasked)


@pytest.mark.parametrize("initialisation", INITIALISATIONS)
def test_a_start_depends_on_the_seed_alone(initialisation):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = filled("lenet5", initialisation).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = (filled("lenet5", initialisation, seed).state_dict() for seed in (3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["features.0.weight"], other["features.0.weight"])
