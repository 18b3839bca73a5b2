from dataclasses import replace

import pytest
import torch

from cnnlab.data import load_dataset
from cnnlab.train.config import TrainConfig
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


def test_a_net_that_computes_a_hundred_times_as_much_is_slower(digits):
    small = probe(CONFIG, digits, seconds=0.2)
    large = probe(replace(CONFIG, net="simple_cnn"), digits, seconds=0.2)
    assert large.images_per_s < small.images_per_s
    assert large.seconds_per_epoch > small.seconds_per_epoch


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
