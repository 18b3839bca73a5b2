from dataclasses import replace

import pytest
import torch

from cnnlab.data import DATASETS
from cnnlab.nets.spec import num_params
from cnnlab.train.building import build_net
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.evaluating import evaluate
from cnnlab.train.loop import Training
from cnnlab.train.recipes import DEFAULT_RECIPE, DIGIT_NET, RECIPES

_SIDES = {"digits": 28, "shapes": 32, "mnist": 28, "fashion_mnist": 28, "cifar10": 32}


@pytest.mark.parametrize("key", RECIPES)
def test_each_recipe_can_be_written_down_and_read_again(key):
    config = RECIPES[key].config
    assert TrainConfig.from_yaml(config.to_yaml()) == config


@pytest.mark.parametrize("key", RECIPES)
def test_each_recipes_net_takes_its_pictures(key):
    config = RECIPES[key].config
    entry = DATASETS.get(config.data)
    classes, channels = (len(entry.classes), entry.channels) if entry else (2, 3)
    side = config.side or _SIDES[config.data]
    model = build_net(config, num_classes=classes, in_channels=channels, side=side)
    assert model(torch.zeros(1, channels, side, side)).shape == (1, classes)


@pytest.mark.parametrize("key", RECIPES)
def test_each_recipe_says_in_a_few_sentences_what_to_look_for(key):
    recipe = RECIPES[key]
    assert 2 <= sum(recipe.about.count(mark) for mark in (". ", ": ", "? ")) + 1 <= 6
    assert len(recipe.about) <= 330
    assert recipe.about.endswith(".")


def test_labels_are_told_apart():
    labels = [recipe.label for recipe in RECIPES.values()]
    assert len(set(labels)) == len(labels)


def test_the_first_recipe_needs_no_network():
    assert not DATASETS[RECIPES[DEFAULT_RECIPE].config.data].files


def test_the_small_digit_net_has_as_many_weights_as_counted_by_hand():
    convolutions = 16 * 25 + 32 * 16 * 9 + 64 * 32 * 9 + 64 * 64 * 9
    normalisations = 2 * (16 + 32 + 64 + 64)
    assert num_params(DIGIT_NET) == convolutions + normalisations + 64 * 7 * 7 * 10 + 10 == 92_026


@pytest.mark.parametrize("key", [key for key, recipe in RECIPES.items() if recipe.published])
def test_reproductions_start_as_pytorch_does_and_say_how_theirs_was_measured(key):
    recipe = RECIPES[key]
    assert recipe.config.initialisation == "default"
    assert recipe.published.note
    assert not recipe.is_ours


@pytest.mark.parametrize("key", [key for key, recipe in RECIPES.items() if recipe.published])
def test_published_figures_are_no_more_than_the_epochs_that_are_trained(key):
    recipe = RECIPES[key]
    published = recipe.published
    assert len(published.losses) in (0, recipe.config.epochs)
    assert len(published.train_accuracies) in (0, len(published.losses))
    assert all(0 <= accuracy <= 1 for accuracy in published.train_accuracies)


def test_settings_of_the_tutorials_are_theirs():
    simple = RECIPES["mnist_simple_cnn"].config
    assert (simple.net, simple.optimizer, simple.lr, simple.momentum, simple.batch_size, simple.epochs) == (
        "simple_cnn", "sgd", 0.01, 0.9, 64, 5
    )  # fmt: skip
    wide = RECIPES["mnist_wide_cnn"].config
    assert (wide.net, wide.optimizer, wide.lr, wide.batch_size, wide.epochs) == ("cnn_mnist", "adam", 1e-3, 128, 10)
    lenet = RECIPES["cifar10_lenet"].config
    assert (lenet.net, lenet.optimizer, lenet.lr, lenet.batch_size) == ("image_classification", "adam", 1e-3, 8)
    for key in ("cifar10_cnn", "cats_dogs_stuck"):
        config = RECIPES[key].config
        assert (config.optimizer, config.lr, config.weight_decay) == ("adam", 1e-3, 1e-4)
        assert (config.schedule, config.step_every, config.step_factor) == ("step", 7, 0.1)


def test_the_lesson_on_learning_rates_differs_in_rate_and_epochs_alone():
    stuck, slow = RECIPES["cats_dogs_stuck"].config, RECIPES["cats_dogs_slow"].config
    assert slow.data == OWN_PICTURES
    assert slow.lr == pytest.approx(stuck.lr / 10)
    assert replace(slow, lr=stuck.lr, epochs=stuck.epochs) == stuck


def test_digits_are_learnt_in_a_few_epochs():
    training = Training(replace(RECIPES[DEFAULT_RECIPE].config, device="cpu"))
    for _ in training:
        pass
    assert evaluate(training.average, training.dataset, training.dataset.splits.test).accuracy >= 0.98
