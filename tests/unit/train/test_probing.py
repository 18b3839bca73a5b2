from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from cnnlab.data import load_dataset
from cnnlab.train import loop, probing
from cnnlab.train.config import TrainConfig
from cnnlab.train.loop import Training
from cnnlab.train.probing import probe

CONFIG = TrainConfig(net="mlp", data="digits", device="cpu")


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def test_an_epoch_takes_its_pictures_by_the_speed_and_a_trial_besides(digits):
    found = probe(CONFIG, digits, seconds=0.3)
    learning_s = len(digits.splits.train) / found.images_per_s
    assert learning_s < found.seconds_per_epoch < 3 * learning_s + 1
    assert found.device == "CPU"
    assert found.threads == torch.get_num_threads()
    assert found.memory_mb > 50
    assert found.steps > 1


@pytest.fixture
def take(monkeypatch):
    """Makes steps, in turn, and a trial take seconds of a clock of its own."""

    def take(steps_s, trial_s):
        now, coming = [0.0], iter(steps_s)
        step, evaluate = Training._step, probing.evaluate

        def timed_step(training, indices):
            now[0] += next(coming)
            return step(training, indices)

        def timed_trial(*args, **kwargs):
            now[0] += trial_s
            return evaluate(*args, **kwargs)

        clock = SimpleNamespace(perf_counter=lambda: now[0], time=lambda: now[0])
        for module in (loop, probing):
            monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(Training, "_step", timed_step)
        monkeypatch.setattr(probing, "evaluate", timed_trial)

    return take


@pytest.mark.parametrize(
    ("steps_s", "images_per_s", "steps"),
    [
        ([0.75, 0.25, 0.25, 0.25, 0.25, 0.25], 64 / 0.25, 5),  # the first warms up
        ([1, 0.25, 0.25, 8], 64 / 0.25, 3),  # one that is held up makes no difference
        ([40, 40], 64 / 40, 1),  # all that is measured
        ([0.75, *[1 / 64] * 100], 64 * 64, 66),  # four in a window, and what is left of an epoch of 21
    ],
    ids=["even", "held up", "slow", "fast"],
)
def test_speed_is_the_median_over_windows_after_the_first(digits, take, steps_s, images_per_s, steps):
    take(steps_s, trial_s=16)
    found = probe(replace(CONFIG, batch_size=64), digits, seconds=1.0)
    assert found.images_per_s == images_per_s
    assert found.steps == steps
    # A trial of 64 pictures takes 16 s.
    expected_s = len(digits.splits.train) / images_per_s + len(digits.splits.validation) / 4
    assert found.seconds_per_epoch == pytest.approx(expected_s)


def test_without_time_the_first_window_is_all_that_is_measured(digits):
    hasty, patient = probe(CONFIG, digits, seconds=0), probe(CONFIG, digits, seconds=0.5)
    assert 1 <= hasty.steps < patient.steps
    assert hasty.images_per_s > 0


def test_a_short_set_does_not_run_out(digits):
    found = probe(replace(CONFIG, epochs=1, batch_size=1024, early_stopping=1), digits, seconds=0.3)
    assert found.steps > 2  # which is an epoch of that batch size


def test_the_global_generator_stays_as_it_is(digits):
    before = torch.get_rng_state()
    probe(replace(CONFIG, net="simple_conv_net"), digits, seconds=0.1)
    assert torch.equal(torch.get_rng_state(), before)


def test_pictures_of_the_caller_stay_as_they_are(digits):
    before = digits.pictures.clone()
    probe(CONFIG, digits, seconds=0.1)
    assert torch.equal(digits.pictures, before)
