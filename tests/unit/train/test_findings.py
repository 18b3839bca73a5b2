from dataclasses import replace

import pytest

from cnnlab.train.events import Ended, EpochEnded, LayersMeasured, Started, Stepped
from cnnlab.train.findings import Watcher
from tests.unit.train.making import config

STARTED = Started(
    time=0.0,
    net="Small",
    data="Digits",
    classes=tuple("0123456789"),
    num_train=1000,
    num_validation=500,
    steps_per_epoch=10,
    epochs=9,
    first_step=0,
    num_params=10,
    num_frozen=0,
    layers=("a", "b", "c"),
    device="CPU",
    threads=1,
    input_shape=(1, 28, 28),
)
STEPPED = Stepped(time=0.0, step=1, loss=1.0, accuracy=0.5, lr=0.1, images_per_s=10.0, memory_mb=1.0)
LAYERS = LayersMeasured(step=1, gradient_norm=1.0, gradients=(1.0,) * 3, updates=(1e-3,) * 3, dead={"relu": 0.1})
EPOCH = EpochEnded(
    time=0.0,
    epoch=1,
    step=10,
    train_loss=1.0,
    train_accuracy=0.7,
    validation_loss=1.0,
    validation_accuracy=0.7,
    confusion=tuple(tuple(10 if i == j else 0 for j in range(10)) for i in range(10)),
    lr=0.1,
    seconds=1.0,
    validation_seconds=0.1,
)


def told(*events, known=(), **chosen):
    watcher = Watcher(config(**chosen), [*known])
    return [finding for event in events for finding in watcher.look(event)]


def keys(*events, **how):
    return [finding.key for finding in told(*events, **how)]


def test_a_healthy_run_is_left_in_peace():
    healthy = [replace(EPOCH, epoch=i, train_loss=1 / i, validation_loss=1.1 / i) for i in range(1, 9)]
    ended = Ended(time=0.0, step=80, epoch=8, reason="finished", text="", best_epoch=8, best_accuracy=0.9)
    assert keys(STARTED, *[STEPPED] * 9, *[LAYERS] * 9, *healthy, ended) == []


def test_few_validation_pictures_are_pointed_out_with_what_one_weighs():
    [finding] = told(replace(STARTED, num_validation=40))
    assert finding.key == "few"
    assert "Only 40 pictures" in finding.text
    assert "2.5 %" in finding.text


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_told_once_with_what_to_try(loss):
    [finding] = told(STARTED, *[replace(STEPPED, step=7, loss=loss)] * 3, lr=0.5)
    assert (finding.key, finding.step) == ("diverged", 7)
    assert "ten times lower than 0.5" in finding.text


def test_dead_units_are_told_when_they_stay_dead():
    dead, alive = replace(LAYERS, dead={"relu": 0.6, "other": 0.0}), LAYERS
    assert keys(STARTED, *[dead] * 3) == []
    assert keys(STARTED, *[dead] * 3, alive, *[dead] * 3) == []
    [finding] = told(STARTED, *[dead] * 9)
    assert finding.key == "dead"
    assert "60 % of the units behind relu" in finding.text


def test_large_updates_are_judged_by_the_layer_in_the_middle():
    assert keys(STARTED, *[replace(LAYERS, updates=(1e-3, 1e-3, 0.9))] * 9) == []
    assert keys(STARTED, *[replace(LAYERS, updates=(1e-3, 0.1, 0.9))] * 9) == ["updates"]
    assert keys(STARTED, *[replace(LAYERS, updates=())] * 9) == []


def test_guessing_is_told_with_what_guessing_costs():
    [finding] = told(STARTED, replace(EPOCH, train_loss=2.302, train_accuracy=0.1), lr=0.01)
    assert finding.key == "chance"
    assert "ln 10 = 2.303" in finding.text
    assert "0.001 and 0.1" in finding.text


def test_the_commonest_class_is_a_guess_too():
    lopsided = tuple((90, 0) if i == 0 else (10, 0) for i in range(2))
    two = replace(STARTED, classes=("a", "b"))
    assert keys(two, replace(EPOCH, confusion=lopsided, train_loss=0.69, train_accuracy=0.91)) == ["chance"]
    assert keys(two, replace(EPOCH, confusion=lopsided, train_loss=0.69, train_accuracy=0.95)) == []
    assert keys(two, replace(EPOCH, confusion=lopsided, train_loss=0.3, train_accuracy=0.91)) == []


def overfitting(validation, train=(4, 3, 2, 1)):
    return [
        replace(EPOCH, epoch=i, step=10 * i, train_loss=low, validation_loss=high)
        for i, (low, high) in enumerate(zip(train, validation, strict=True), 1)
    ]


def test_overfitting_takes_three_epochs_apart():
    assert keys(STARTED, *overfitting((1, 2, 3, 4))) == ["overfitting"]
    assert keys(STARTED, *overfitting((1, 2, 3, 3))) == []
    assert keys(STARTED, *overfitting((1, 2, 3, 4), train=(4, 3, 2, 2))) == []
    assert keys(STARTED, *overfitting((1, 2, 3, 4))[:3]) == []


def test_what_was_told_before_a_resume_is_not_told_again():
    watcher = Watcher(config(), ["few"])
    assert [*watcher.look(replace(STARTED, num_validation=5))] == []
    assert [one.key for one in watcher.look(replace(STEPPED, loss=float("nan")))] == ["diverged"]
    assert watcher.known == ["few", "diverged"]
