import pytest
import torch
from torch import nn

from cnnlab.errors import Unsupported
from cnnlab.explain.layers import LayerMaps, automatic, layers_of
from cnnlab.inference import share
from cnnlab.nets import ARCHITECTURES, build_seeded
from tests.unit.explain.nets import PICTURE, pictures, small, state_of, two_channels, without_maps


def test_layers_that_make_maps_come_in_the_order_in_which_they_end():
    assert layers_of(two_channels(), PICTURE) == (
        LayerMaps("conv", "Conv2d", 2, 2, 2),
        LayerMaps("relu", "ReLU", 2, 2, 2),
    )


def test_blocks_are_listed_where_they_end():
    names = [maps.name for maps in layers_of(small(), pictures())]
    assert names == [*[f"features.{index}" for index in range(5)], "features", "head.0"]


@pytest.mark.parametrize(
    ("net", "layer", "size"),
    [
        ("resnet18", "layer4", "512 maps of 7 × 7"),
        ("cifar10_cnn", "features.19", "128 maps of 8 × 8"),  # not those behind its last pooling
        ("lenet5", "features.4", "16 maps of 10 × 10"),
        ("resnet_cifar", "features", "96 maps of 8 × 8"),
        ("mobilenet_v3_small", "features", "576 maps of 7 × 7"),  # not the 1 × 1 maps of squeeze-and-excitation
    ],
)
def test_the_automatic_layer_is_the_last_one_before_the_pooling(net: str, layer: str, size: str):
    choice = automatic(build_seeded(net, seed=0), torch.zeros(1, *ARCHITECTURES[net].input_shape))
    assert choice.layer == layer
    assert size in choice.reason


def test_a_dropout_behind_the_pooling_is_passed_over():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 2)).eval()
    assert automatic(model, torch.zeros(1, 1, 4, 4)).layer == "0"


def test_a_pooling_is_chosen_where_there_is_nothing_else():
    model = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 2)).eval()
    assert automatic(model, torch.zeros(1, 1, 4, 4)).layer == "0"


def test_a_net_without_maps_is_refused_with_the_reason():
    assert layers_of(without_maps(), pictures()) == ()
    with pytest.raises(Unsupported, match="without convolutions"):
        automatic(without_maps(), pictures())


def test_every_net_of_the_lab_is_answered():
    for key, architecture in ARCHITECTURES.items():
        if max(architecture.input_shape) > 64:
            continue
        x = torch.zeros(1, *architecture.input_shape)
        model = build_seeded(key, seed=0)
        if key == "mlp":
            continue
        names = {maps.name for maps in layers_of(model, x)}
        assert automatic(model, x).layer in names


def test_neither_a_shared_nor_a_training_model_is_changed():
    for model in (share(small()), small().train(), share(small(is_clipped=True))):
        before, x = state_of(model), pictures()
        automatic(model, x)
        layers_of(model, x)
        assert state_of(model) == before
        assert torch.equal(x, pictures())
