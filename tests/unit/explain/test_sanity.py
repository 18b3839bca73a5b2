import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from cnnlab.errors import InputRejected, Unsupported
from cnnlab.explain import METHODS, Pass, Target
from cnnlab.explain.localizing import drawn_shapes
from cnnlab.explain.method import at_once
from cnnlab.explain.sanity import LIMIT, Step, randomized, spearman, verdict
from cnnlab.inference import share
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.weights import bundled_weights, load_weights

WEIGHTS = bundled_weights()["resnet_cifar_shapes"]


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )


def edges(seen: Pass, target: Target, layer: str) -> Tensor:
    """A "method" that shows the picture and never asks the net."""
    del target, layer
    return seen.x.mean(1).diff(dim=2).abs()


EDGES = dataclasses.replace(METHODS["gradcam"], grid="picture", stream=at_once(edges))


@given(st.lists(st.integers(-3, 3), min_size=3, max_size=30), st.integers(0, 1000))
def test_rank_correlation_is_that_of_scipy_also_with_ties(values: list[int], seed: int):
    one = np.array(values, dtype=float)
    other = np.random.default_rng(seed).integers(-2, 3, len(values)).astype(float)
    ours = spearman(torch.tensor(one), torch.tensor(other))
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        assert ours == 0
    else:
        assert ours == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-12)


def test_rank_correlation_by_hand():
    # Ranks 0, 1½, 1½, 3 against 0, 1, 2, 3: 4½ of √(4½ · 5).
    assert spearman(torch.tensor([1.0, 2, 2, 9]), torch.tensor([1.0, 2, 3, 4])) == pytest.approx(4.5 / 22.5**0.5)
    rising = torch.arange(6.0).reshape(2, 3)
    assert spearman(rising, rising.exp()) == 1
    assert spearman(rising, -rising) == -1


def test_blocks_become_random_from_the_logits_back_and_batch_norm_goes_with_its_layer():
    x = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    steps = [*randomized(METHODS["gradcam"], small_net(), x, 0, "3")]
    assert [step.block for step in steps] == ["6", "3.0", "0"]
    assert [step.done for step in steps] == pytest.approx([1 / 3, 2 / 3, 1])
    assert all(step.correlations.shape == (4,) for step in steps)


def test_residual_blocks_are_one_step_each():
    net = ARCHITECTURES["resnet_cifar"].build(num_classes=6, in_channels=3)
    blocks = [step.block for step in randomized(EDGES, net, torch.randn(2, 3, 16, 16), 0, "")]
    assert blocks == ["classifier.2", "features.6", "features.5", "features.4", "features.3", "features.0"]


def test_a_map_that_never_asks_the_net_does_not_react():
    x = torch.randn(2, 3, 12, 12)
    steps = [*randomized(EDGES, small_net(), x, 0, "")]
    found = verdict(steps)
    assert found.correlation == 1
    assert not found.reacts
    assert found.said.startswith("Does not react")


def test_the_limit_is_the_last_mean_that_counts_as_reacting():
    def step(correlation: float) -> Step:
        return Step(block="", correlations=np.array([correlation]), maps=torch.zeros(1, 1, 1), done=1)

    assert verdict([step(LIMIT)]).reacts
    assert not verdict([step(LIMIT + 0.01)]).reacts
    assert verdict([step(0.9), step(-0.9)]).correlation == 0
    assert "−0.20" in verdict([step(-0.2)]).said


def test_the_same_seed_gives_the_same_steps_and_another_one_others():
    x = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    net = small_net()
    first, again, other = (
        torch.stack([step.maps for step in randomized(METHODS["gradcam"], net, x, 0, "3", seed=seed)])
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_model_stays_as_it_is_also_when_nobody_waits_for_the_end():
    net = share(small_net())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    steps = randomized(METHODS["gradcam"], net, torch.randn(1, 3, 12, 12), 0, "3")
    next(steps)
    steps.close()
    [*randomized(METHODS["gradcam"], net, torch.randn(1, 3, 12, 12), 0, "3")]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.training
    assert not any(module.training for module in net.modules())


def test_a_single_picture_will_do_where_batch_norm_sees_one_number_of_it():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten())
    steps = [*randomized(METHODS["gradcam"], net, torch.randn(1, 3, 8, 8), 0, "1")]
    assert all(np.isfinite(step.correlations).all() for step in steps)


def test_what_cannot_be_asked_is_refused():
    x = torch.randn(1, 3, 12, 12)
    with pytest.raises(InputRejected, match="0 to 1"):
        next(randomized(METHODS["gradcam"], small_net(), x, 2, "3"))
    with pytest.raises(Unsupported, match="no weights"):
        next(randomized(METHODS["gradcam"], nn.Sequential(nn.ReLU(), nn.Flatten()), x, 0, "0"))


def test_grad_cam_reacts_and_guided_backpropagation_does_not():
    net = ARCHITECTURES[WEIGHTS.architecture].build(num_classes=6, in_channels=3)
    load_weights(net, WEIGHTS)
    drawn = drawn_shapes(24, 32, WEIGHTS.preprocessing)
    found = {
        key: verdict(
            [*randomized(METHODS[key], net, drawn.x[:8], drawn.labels[:8].tolist(), "features.6", statistics_x=drawn.x)]
        )
        for key in ("gradcam", "guided_backprop")
    }
    assert found["gradcam"].reacts
    assert not found["guided_backprop"].reacts
    assert found["guided_backprop"].correlation > found["gradcam"].correlation + 0.2
