from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.errors import InputRejected, RunFailed
from cnnlab.explain.channels import top_pictures
from cnnlab.explain.maximizing import Attempt, Channel, maximize
from cnnlab.images import Preprocessing
from cnnlab.inference import share
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.weights import bundled_weights, load_weights
from tests.unit.explain.nets import small, state_of, state_of_thread

RGB = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
BGR = Preprocessing(channels="bgr", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
GREY = Preprocessing(channels="grey", mean=(0.0,), std=(1.0,))
CLEAN = (True, False, [], [])


def last_of(*args: Any, **options: Any) -> Attempt:
    *_, last = maximize(*args, **options)
    return last


def halves() -> nn.Module:
    """Logit 0 is the sum of the left half less that of the right; logit 1 the reverse; for grey pictures of 28 × 28."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 2, bias=False))
    left = torch.ones(28, 28)
    left[:, 14:] = -1
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([left.flatten(), -left.flatten()]))
    return model


def test_a_class_gets_the_picture_that_its_weights_ask_for():
    # Moved by at most 2 px, the best picture is white on the left and black on the right, but for the seams; a pixel
    # that went too far the wrong way at first may stay there.
    first, *_, last = maximize(halves(), 0, GREY, (28, 28))
    assert last.picture.shape == (28, 28)
    assert last.picture.dtype == np.float32
    assert float(last.picture[:, 3:11].mean()) > 0.8
    assert float(last.picture[:, 17:25].mean()) < 0.2
    assert abs(first.activation) < 20
    assert last.activation > 250  # 392 at most
    assert float(last_of(halves(), 1, GREY, (28, 28), steps=64).picture[:, 3:11].mean()) < 0.2


def test_what_is_reported_is_what_the_picture_excites():
    with torch.no_grad():
        for attempt in maximize(halves(), 0, GREY, (28, 28), steps=20):
            logits = halves()(torch.from_numpy(attempt.picture)[None, None])
            assert attempt.activation == pytest.approx(float(logits[0, 0]), rel=1e-5, abs=1e-3)
        model = share(small())
        attempt = last_of(model, Channel("features.3", 2), RGB, (12, 12), steps=9)
        x = torch.from_numpy((attempt.picture.transpose(2, 0, 1)[None] - 0.5) / 0.25)
        largest = float(model.get_submodule("features")[:4](x)[0, 2].max())  # type: ignore[index]
    assert attempt.activation == pytest.approx(largest, rel=1e-4)


@pytest.mark.parametrize(("preprocessing", "brightest"), [(RGB, 0), (BGR, 2)])
def test_colours_come_back_as_red_green_and_blue(preprocessing: Preprocessing, brightest: int):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[1.0, -0.5, -0.5]]))
    picture = last_of(model, 0, preprocessing, (8, 10)).picture
    assert picture.shape == (8, 10, 3)
    means = picture.mean((0, 1))
    assert means[brightest] > 0.7
    assert np.delete(means, brightest).mean() < 0.3


def test_an_edge_detector_without_relu_gets_edges():
    # Its mean over the map is nearly the same for all pictures; its largest is 1, from black to white.
    model = nn.Sequential(nn.Conv2d(1, 1, (1, 2), bias=False), nn.Flatten(), nn.Linear(240, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([-1.0, 1.0]).reshape(1, 1, 1, 2))
    last = last_of(model, Channel("0", 0), GREY, (16, 16), steps=64)
    assert 0.8 < last.activation <= 1
    assert float((np.diff(last.picture, axis=1) > 0.8).mean()) > 0.1


class StartsDead(nn.Module):
    """One channel, 4 · brightness − 3, which a grey picture leaves below zero; its mean is the logit."""

    def __init__(self, relu: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.relu = relu
        self.block = nn.Identity()
        with torch.no_grad():
            self.conv.weight.fill_(4)
            self.conv.bias.fill_(-3)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.relu(self.conv(x))).mean((2, 3))


@pytest.mark.parametrize("relu", [nn.ReLU(), nn.ReLU(inplace=True), F.relu, torch.relu_, nn.ReLU6()])
@pytest.mark.parametrize("goal", [Channel("block", 0), 0])
def test_a_unit_that_starts_dead_wakes_up(relu: Any, goal: Channel | int):
    first, *_, last = maximize(StartsDead(relu), goal, GREY, (6, 6), steps=64)
    assert first.activation == 0
    # As a logit, the mean: cells that are still shut when the first one opens may stay so.
    assert (0.5 if isinstance(goal, Channel) else 0.1) < last.activation <= 1


def test_a_unit_that_nothing_wakes_stays_at_zero_and_its_picture_a_picture():
    model = StartsDead(nn.ReLU())
    with torch.no_grad():
        model.conv.bias.fill_(-1000)  # type: ignore[union-attr]
    last = last_of(model, 0, GREY, (6, 6), steps=40)
    assert last.activation == 0
    assert np.isfinite(last.picture).all()


def test_the_same_seed_gives_the_same_picture_and_another_one_another():
    pictures = [last_of(small(), 1, RGB, (12, 12), seed=seed, steps=10).picture for seed in (0, 0, 1)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert float(np.abs(pictures[0] - pictures[2]).max()) > 0.01


def test_one_may_watch_and_stop_and_leaves_no_trace():
    model = share(small())
    before = state_of(model)
    attempts = maximize(model, Channel("features.4", 1), RGB, (12, 12), steps=20)
    seen = []
    for attempt in attempts:
        assert state_of_thread() == CLEAN  # while the caller has its turn
        seen.append(attempt.step)
        if attempt.step == 16:
            attempts.close()  # type: ignore[attr-defined]
    assert seen == [0, 8, 16]
    assert [each.step for each in maximize(model, 0, RGB, (12, 12), steps=20)] == [0, 8, 16, 20]
    assert state_of(model) == before
    assert state_of_thread() == CLEAN


def test_what_cannot_be_climbed_is_refused():
    for goal in (Channel("features.4", 6), Channel("nowhere", 0), 4, -1):
        with pytest.raises(InputRejected):
            last_of(small(), goal, RGB, (12, 12))
    broken = small()
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    with pytest.raises(RunFailed):
        last_of(broken, 0, RGB, (12, 12))


@pytest.mark.parametrize("channel", [0, 40])
def test_a_unit_of_a_trained_net_gets_more_than_any_of_many_random_pictures_gives_it(channel: int):
    weights = bundled_weights()["resnet_cifar"]
    model = ARCHITECTURES["resnet_cifar"].build()
    load_weights(model, weights)
    share(model)
    noise = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    waves = torch.nn.functional.interpolate(noise[:, :, ::4, ::4], size=(32, 32), mode="bilinear")
    [*_, table] = top_pictures(model, torch.cat([noise, 2 * waves]), "features.5", 1)
    last = last_of(model, Channel("features.5", channel), weights.preprocessing, (32, 32), steps=64)
    assert last.activation > 1.5 * table.of(channel)[0].value
