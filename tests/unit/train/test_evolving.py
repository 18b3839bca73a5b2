import numpy as np
import pytest
import torch
from torch import nn

from cnnlab.errors import InputRejected
from cnnlab.nets.spec import NetSpec, layer
from cnnlab.train.building import build_net
from cnnlab.train.checkpoints import NetFacts, weights_file, write_weights
from cnnlab.train.config import TrainConfig
from cnnlab.train.evolving import filter_limit, first_filters, frame, map_limit, moved

SPEC = NetSpec(
    "Tiny",
    (1, 2, 2),
    (layer("conv", out_channels=2, kernel_size=1), layer("relu"), layer("flatten"), layer("linear", out_features=2)),
)
FACTS = NetFacts(classes=("dark", "light"), in_channels=1, side=2, mean=(0.0,), std=(1.0,))
PICTURE = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])


def run_of(folder, *factors):
    """A run whose weights after each epoch are those of the beginning times a factor."""
    config = TrainConfig(net=SPEC, data="digits")
    (folder / "config.yaml").write_text(config.to_yaml())
    for epoch, factor in enumerate((1.0, *factors)):
        model = build_net(config, num_classes=2, in_channels=1, side=2)
        with torch.no_grad():
            conv, linear = (each for each in model.modules() if isinstance(each, nn.Conv2d | nn.Linear))
            conv.weight.copy_(factor * torch.tensor([1.0, -0.5]).reshape(2, 1, 1, 1))
            conv.bias.zero_()
            linear.weight.fill_(1.0)[1] = 0.0
            linear.bias.zero_()
        write_weights(weights_file(folder, epoch), model, FACTS)
    return folder


def test_a_frame_is_the_net_of_its_epoch(tmp_path):
    folder = run_of(tmp_path, 2.0)
    before, after = frame(folder, 0, PICTURE), frame(folder, 1, PICTURE)
    np.testing.assert_array_equal(before.filters.weights[:, 0, 0, 0], [1, -0.5])
    np.testing.assert_array_equal(after.filters.weights[:, 0, 0, 0], [2, -1])
    np.testing.assert_array_equal(after.flow.layers[0].maps, [[[0, 2], [4, 6]], [[0, -1], [-2, -3]]])
    # The positive map adds up to 6, then to 12; the other logit is 0.
    np.testing.assert_allclose(before.flow.softmax.probabilities[0], 1 / (1 + np.exp(-6)), rtol=1e-6)
    np.testing.assert_allclose(after.flow.softmax.probabilities[0], 1 / (1 + np.exp(-12)), rtol=1e-6)


def test_distances_are_relative_to_the_beginning_and_per_layer(tmp_path):
    folder = run_of(tmp_path, 3.0, -1.0)
    conv, linear = moved(folder, 1)
    assert moved(folder, 0) == {conv: 0, linear: 0}
    assert moved(folder, 1) == {conv: pytest.approx(2), linear: 0}
    assert moved(folder, 2) == {conv: pytest.approx(2), linear: 0}


def test_scales_hold_every_epoch(tmp_path):
    folder = run_of(tmp_path, 4.0, 0.5)
    name = frame(folder, 0, PICTURE).filters.layer
    assert filter_limit(folder, name) == 4
    assert map_limit(folder, PICTURE, 0) == 12  # 4 × the brightest pixel


def test_the_scale_of_a_long_run_is_that_of_its_ends_and_some_between(tmp_path):
    folder = run_of(tmp_path, *[1.0] * 29, 5.0)
    assert map_limit(folder, PICTURE, 0) == 15


def test_maps_that_are_all_zero_have_a_scale(tmp_path):
    assert map_limit(run_of(tmp_path), torch.zeros(1, 2, 2), 0) == 1


def test_a_fully_connected_first_layer_looks_at_the_whole_picture():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    found = first_filters(net, (3, 2, 2))
    assert found.layer == "1"
    np.testing.assert_array_equal(found.weights.reshape(5, 12), net[1].weight.detach().numpy())
    assert found.weights.shape == (5, 3, 2, 2)


def test_a_first_layer_behind_a_pooling_is_no_picture():
    assert first_filters(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)), (3, 2, 2)) is None
    assert first_filters(nn.Flatten(), (3, 2, 2)) is None


def test_an_epoch_that_was_not_kept_is_refused_in_words(tmp_path):
    with pytest.raises(InputRejected, match="another epoch"):
        frame(run_of(tmp_path), 7, PICTURE)
