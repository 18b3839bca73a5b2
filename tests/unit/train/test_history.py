import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlab.train.events import Changed, Checkpointed, Ended, EpochEnded, Finding, LayersMeasured, Started, Stepped
from cnnlab.train.history import History, LayerCurve, StepCurve

STARTED = Started(
    time=1000.0,
    net="LeNet-5",
    data="Digits",
    classes=("0", "1"),
    num_train=1000,
    num_validation=300,
    steps_per_epoch=10,
    epochs=4,
    first_step=0,
    num_params=100,
    num_frozen=0,
    layers=("conv", "fc"),
    device="CPU",
    threads=1,
    input_shape=(1, 8, 8),
)


def stepped(step: int, *, loss: float = 1.0, time: float | None = None, speed: float = 100.0) -> Stepped:
    when = 1000.0 + step if time is None else time
    return Stepped(time=when, step=step, loss=loss, accuracy=0.5, lr=0.1, images_per_s=speed, memory_mb=200.0)


def measured(step: int, norm: float = 1.0) -> LayersMeasured:
    return LayersMeasured(
        step=step, gradient_norm=norm, gradients=(norm, 2 * norm), updates=(1e-3, 1e-3), dead={"relu": norm / 10}
    )


def epoch_ended(epoch: int, accuracy: float = 0.5) -> EpochEnded:
    return EpochEnded(
        time=1000.0 + 10 * epoch,
        epoch=epoch,
        step=10 * epoch,
        train_loss=1.0,
        train_accuracy=0.6,
        validation_loss=1.1,
        validation_accuracy=accuracy,
        confusion=((3, 1), (0, 4)),
        lr=0.1,
        seconds=10.0,
        validation_seconds=2.0,
    )


def history_of(*events: object) -> History:
    history = History()
    for event in events:
        history.add(event)  # pyright: ignore[reportArgumentType]
    return history


def test_a_short_run_is_kept_as_it_came() -> None:
    history = history_of(STARTED, *(stepped(step, loss=1 / step) for step in range(1, 1001)))

    assert history.steps.step == list(range(1, 1001))
    assert history.steps.loss == [1 / step for step in range(1, 1001)]
    assert history.steps.seconds[:3] == [1.0, 2.0, 3.0]
    assert history.last == stepped(1000, loss=1 / 1000)


def test_neighbours_are_merged_by_steps_and_the_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StepCurve, "limit", 4)
    # Steps 1, 2-4, 5, 6-7, 8: five events, one more than fits.
    history = history_of(
        STARTED,
        stepped(1, loss=8.0),
        stepped(4, loss=4.0),
        stepped(5, loss=3.0),
        stepped(7, loss=0.0),
        stepped(8, loss=2.0),
    )

    # (1 × 8 + 3 × 4) / 4 = 5, (1 × 3 + 2 × 0) / 3 = 1, and the last alone.
    assert history.steps.step == [4, 7, 8]
    assert history.steps.loss == [5.0, 1.0, 2.0]

    history.add(stepped(9, loss=6.0))
    assert history.steps.loss == [5.0, 1.0, 2.0, 6.0]
    history.add(stepped(10, loss=7.0))
    # From now on two events make one point.
    assert history.steps.step == [4, 7, 9, 10]
    assert history.steps.loss == [5.0, 1.0, 4.0, 7.0]


@settings(max_examples=30)
@given(widths=st.lists(st.integers(1, 9), min_size=1, max_size=120), losses=st.randoms())
def test_merging_keeps_the_mean_over_all_steps_and_the_length_bounded(widths, losses) -> None:
    class Small(StepCurve):
        limit = 10

    curve = Small()
    step = total = 0
    for width in widths:
        loss = losses.uniform(0, 5)
        step += width
        total += width * loss
        values = {"step": step, "seconds": float(step), "lr": 0.1, "memory_mb": 1.0}
        curve.append(values | {"loss": loss, "accuracy": 0.0, "images_per_s": 1.0})
        assert len(curve) <= 10
        assert curve.step[-1] == step
        assert curve.loss[-1] == loss

    widths_kept = [b - a for a, b in zip([0, *curve.step], curve.step, strict=False)]
    assert sum(w * one for w, one in zip(widths_kept, curve.loss, strict=True)) == pytest.approx(total)
    assert curve.step == sorted(set(curve.step))


def test_a_long_run_is_told_equally_finely_from_end_to_end() -> None:
    history = history_of(STARTED, *(stepped(step) for step in range(1, 50_001)))

    assert 1000 <= len(history.steps) <= StepCurve.limit
    widths = {b - a for a, b in zip(history.steps.step, history.steps.step[1:-2], strict=False)}
    assert widths == {32}


def test_layers_are_merged_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LayerCurve, "limit", 2)
    history = history_of(STARTED, measured(1, 1.0), measured(2, 3.0), measured(3, 9.0))

    assert history.layers.step == [2, 3]
    assert history.layers.gradient_norm == [2.0, 9.0]
    assert history.layers.gradients == [(2.0, 4.0), (9.0, 18.0)]
    assert history.layers.dead == [{"relu": pytest.approx(0.2)}, {"relu": 0.9}]


def test_a_run_that_goes_on_forgets_what_it_does_again() -> None:
    resumed = replace(STARTED, time=5000.0, first_step=10)
    history = history_of(
        STARTED,
        *(stepped(step) for step in range(1, 11)),
        measured(5),
        epoch_ended(1, 0.7),
        Checkpointed(epoch=1, step=10, file="weights/epoch_0001.safetensors", is_best=True),
        *(stepped(step) for step in range(11, 21)),
        measured(15),
        epoch_ended(2, 0.9),
        Finding(step=15, key="overfitting", text="…"),
        Changed(step=18, what="paused"),
        Ended(time=1020.0, step=20, epoch=2, reason="failed", text="…", best_epoch=2, best_accuracy=0.9),
        resumed,
    )

    assert history.steps.step == list(range(1, 11))
    assert history.layers.step == [5]
    assert [one.epoch for one in history.epochs] == [1]
    assert [one.epoch for one in history.checkpoints] == [1]
    assert history.best_epoch == 1
    assert history.ended is None
    assert not history.findings
    assert not history.changes
    assert not history.is_paused

    # Ten seconds had been trained before; the hour between is not counted.
    history.add(stepped(11, time=5001.0))
    assert history.steps.seconds[-1] == pytest.approx(11.0)


def test_the_same_file_written_again_is_one_checkpoint() -> None:
    first = Checkpointed(epoch=0, step=0, file="weights/epoch_0000.safetensors", is_best=False)
    assert history_of(STARTED, first, STARTED, first).checkpoints == [first]


def test_the_best_epoch_is_the_first_of_equals() -> None:
    history = history_of(STARTED, epoch_ended(1, 0.5), epoch_ended(2, 0.9), epoch_ended(3, 0.9))
    assert history.best_epoch == 2
    assert History().best_epoch == 0


def test_what_remains_counts_pictures_and_validations() -> None:
    history = history_of(STARTED, stepped(1, time=1001.0, speed=100.0))
    # 39 steps of 100 pictures at 100 a second; 4 validations of 300 pictures at a third of the cost: 1 s each.
    assert history.eta_s(1001.0) == pytest.approx(39 + 4)
    assert history.eta_s(1002.5) == pytest.approx(39 + 4 - 1.5)

    history.add(stepped(10, time=1010.0, speed=100.0))
    history.add(epoch_ended(1))
    # The validation took 2 s, three of them are to come.
    assert history.eta_s(1010.0) == pytest.approx(30 + 6)

    history.add(Changed(step=10, what="paused"))
    assert history.eta_s(9999.0) == pytest.approx(30 + 6)


def test_before_the_first_step_and_after_the_end_nothing_remains_to_be_told() -> None:
    assert history_of(STARTED).eta_s(1000.0) is None
    end = Ended(time=1.0, step=1, epoch=0, reason="stopped", text="", best_epoch=0, best_accuracy=0.0)
    assert history_of(STARTED, stepped(1), end).eta_s(1000.0) is None


def test_a_copy_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StepCurve, "limit", 4)
    history = history_of(STARTED, *(stepped(step) for step in range(1, 5)), epoch_ended(1))
    before = history.copy()
    told = json.dumps(before.to_data())

    history.add(stepped(11))
    history.add(epoch_ended(2))
    history.add(Finding(step=11, key="x", text="y"))

    assert json.dumps(before.to_data()) == told
    assert len(history.steps) == 3


def test_what_is_not_finite_is_null_in_json() -> None:
    history = history_of(STARTED, stepped(1, loss=math.nan), measured(1, math.inf))
    data = json.loads(json.dumps(history.to_data(), allow_nan=False))

    assert data["steps"]["loss"] == [None]
    assert data["layers"]["gradient_norm"] == [None]
    assert data["started"]["net"] == "LeNet-5"
    assert data["started"]["time"] == 1000.0


def test_confusions_of_many_classes_are_kept_for_the_latest_epochs_only() -> None:
    row = (1,) * 500
    history = history_of(STARTED, *(replace(epoch_ended(one), confusion=(row,) * 500) for one in range(1, 8)))
    # Four of 250,000 cells make a million.
    assert [bool(one.confusion) for one in history.epochs] == [False] * 3 + [True] * 4
    assert history.epochs[0].validation_accuracy == 0.5
