import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD, lr_scheduler

from cnnlab.train.config import TrainConfig
from cnnlab.train.schedules import factor, lr_curve, plateau_drops

EPOCHS, STEPS = st.integers(1, 12), st.integers(1, 9)


def sgd(lr=0.5):
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr)


def theirs(optimizer, scheduler, num_steps):
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@given(EPOCHS, STEPS, st.integers(1, 5), st.floats(0.01, 1))
@settings(max_examples=30)
def test_steps_are_those_of_step_lr(epochs, steps, every, gamma):
    optimizer = sgd()
    by_epoch = theirs(optimizer, lr_scheduler.StepLR(optimizer, every, gamma), epochs)
    ours = lr_curve(TrainConfig(schedule="step", epochs=epochs, lr=0.5, step_every=every, step_factor=gamma), steps)
    assert ours == pytest.approx([rate for rate in by_epoch for _ in range(steps)])


@given(EPOCHS, STEPS)
@settings(max_examples=30)
def test_cosine_is_that_of_cosine_annealing(epochs, steps):
    optimizer = sgd()
    expected = theirs(optimizer, lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps), epochs * steps)
    ours = lr_curve(TrainConfig(schedule="cosine", epochs=epochs, lr=0.5), steps)
    assert ours == pytest.approx(expected, abs=1e-9)


@given(st.integers(3, 12), st.integers(3, 9), st.floats(0, 0.9))
@settings(max_examples=30)
def test_one_cycle_is_that_of_one_cycle_lr(epochs, steps, share):
    total = epochs * steps
    # Below two steps PyTorch divides by nothing.
    warmup = max(share * epochs, 2 / steps) if share else 0.0
    optimizer = sgd()
    scheduler = lr_scheduler.OneCycleLR(
        optimizer,
        0.5,
        total_steps=total,
        pct_start=warmup / epochs if warmup else 0.3,
        anneal_strategy="linear",
        three_phase=False,
        cycle_momentum=False,
    )
    expected = [optimizer.param_groups[0]["lr"]]
    for _ in range(total - 1):
        optimizer.step()
        scheduler.step()
        expected.append(optimizer.param_groups[0]["lr"])
    ours = lr_curve(TrainConfig(schedule="one_cycle", epochs=epochs, lr=0.5, warmup=warmup), steps)
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(EPOCHS, STEPS, st.floats(0, 20))
@settings(max_examples=50)
def test_one_cycle_never_leaves_its_range_and_ends_near_nothing(epochs, steps, warmup):
    curve = lr_curve(TrainConfig(schedule="one_cycle", epochs=epochs, lr=1.0, warmup=warmup), steps)
    assert all(0 < rate <= 1 + 1e-12 for rate in curve)
    top = curve.index(max(curve))
    assert curve[: top + 1] == sorted(curve[: top + 1])
    assert curve[top:] == sorted(curve[top:], reverse=True)


@given(st.lists(st.floats(0.1, 3) | st.just(1.0) | st.just(float("nan")), max_size=30), st.integers(1, 5))
@settings(max_examples=100)
def test_plateau_is_that_of_reduce_lr_on_plateau(losses, patience):
    optimizer = sgd(1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, eps=0)
    config = TrainConfig(schedule="plateau", lr=1.0, step_factor=0.5, plateau_patience=patience)
    for done, loss in enumerate(losses, 1):
        scheduler.step(loss)
        assert factor(config, 7 * done, 7, losses[:done]) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_a_plateau_is_waited_through_by_hand():
    # Best 1.0; 1.0 and 0.99995 are no better (0.01 % is asked for); 0.9 is.
    assert [plateau_drops([1.0, 1.0, 0.99995, 0.9, 1, 1, 1, 1][:n], 1) for n in range(9)] == [0, 0, 0, 1, 1, 1, 2, 2, 3]


@given(st.sampled_from(["constant", "step", "cosine", "plateau"]), EPOCHS, STEPS, st.floats(0, 20))
@settings(max_examples=60)
def test_warm_up_rises_straight_from_nothing_and_then_is_over(schedule, epochs, steps, warmup):
    config = TrainConfig(schedule=schedule, epochs=epochs, lr=1.0, warmup=warmup, step_factor=1.0)
    for step, rate in enumerate(lr_curve(config, steps)):
        if step + 1 < warmup * steps:
            assert rate == pytest.approx((step + 1) / (warmup * steps))
        elif schedule != "cosine":
            assert rate == 1
        assert 0 < rate <= 1


def test_after_the_warm_up_cosine_takes_what_is_left():
    curve = lr_curve(TrainConfig(schedule="cosine", epochs=4, lr=1.0, warmup=1.0), 10)
    assert curve[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert curve[10:] == pytest.approx([(1 + math.cos(math.pi * i / 30)) / 2 for i in range(30)])


def test_the_rate_never_changes_unless_asked():
    assert set(lr_curve(TrainConfig(epochs=3, lr=0.25), 5)) == {0.25}
