from dataclasses import replace

import numpy as np
import pytest

from cnnlab.figures import palette
from cnnlab.figures.training import gap, learning_curves, overlay, schedule_curve
from cnnlab.train.events import Ended, EpochEnded, Started, Stepped
from cnnlab.train.history import History
from cnnlab.train.recipes import RECIPES, Published

STARTED = Started(
    time=0,
    net="LeNet-5",
    data="Digits",
    classes=("0", "1"),
    num_train=40,
    num_validation=10,
    steps_per_epoch=4,
    epochs=5,
    first_step=0,
    num_params=10,
    num_frozen=0,
    layers=("conv",),
    device="CPU",
    threads=1,
    input_shape=(1, 8, 8),
)


def epoch(number, *, train=0.5, validation=0.5):
    return EpochEnded(
        time=number,
        epoch=number,
        step=4 * number,
        train_loss=1 - train,
        train_accuracy=train,
        validation_loss=1 - validation,
        validation_accuracy=validation,
        confusion=((5, 0), (0, 5)),
        lr=0.1,
        seconds=1,
        validation_seconds=0.1,
    )


def history(*epochs, reason="finished"):
    made = History()
    made.add(STARTED)
    made.add(Stepped(time=0.5, step=2, loss=2.0, accuracy=0.25, lr=0.1, images_per_s=100, memory_mb=1))
    for one in epochs:
        made.add(one)
    made.add(
        Ended(time=9, step=4 * len(epochs), epoch=len(epochs), reason=reason, text="", best_epoch=1, best_accuracy=1)
    )
    return made


def curves(figure, colour):
    return [line for line in figure.data if line.line.color == colour and line.opacity is None]


def texts(figure):
    return [note.text for note in figure.layout.annotations]


def test_training_is_thin_and_validation_thick_and_accuracy_in_percent():
    figure = learning_curves(history(epoch(1, train=0.4, validation=0.5), epoch(2, train=0.6, validation=0.55)))
    (train_loss, train_accuracy), (_, validation_accuracy) = (
        curves(figure, colour) for colour in (palette.TRAIN, palette.VALIDATION)
    )
    assert list(train_loss.y) == [0.6, 0.4]
    assert list(train_accuracy.y) == [40, 60]
    assert list(validation_accuracy.y) == pytest.approx([50, 55])
    assert validation_accuracy.line.width > 2 * train_accuracy.line.width


def test_steps_lie_where_they_were_in_their_epoch():
    figure = learning_curves(history(epoch(1)))
    pale = [line for line in figure.data if line.opacity]
    assert [(line.x[0], line.y[0]) for line in pale] == [(0.5, 2.0), (0.5, 25.0)]


def test_each_curve_is_named_at_its_end_and_the_names_stand_apart():
    figure = learning_curves(history(epoch(1), epoch(2, train=0.5, validation=0.5)))
    notes = {note.text: note for note in figure.layout.annotations if note.xshift and note.xref == "x2"}
    assert notes.keys() == {"training", "validation"}
    assert {note.x for note in notes.values()} == {2}
    assert notes["training"].y == notes["validation"].y
    assert notes["training"].yshift - notes["validation"].yshift == pytest.approx(16)


def test_the_best_epoch_and_an_early_end_are_marked():
    three = (epoch(1, validation=0.6), epoch(2, validation=0.9), epoch(3, validation=0.7))
    assert "best: 2" in texts(learning_curves(history(*three)))
    assert "stopped early" not in texts(learning_curves(history(*three)))
    early = learning_curves(history(*three, reason="early"))
    assert "stopped early" in texts(early)
    assert sorted({line.x0 for line in early.layout.shapes}) == [2, 3]


def test_a_run_of_no_events_but_epochs_can_be_drawn():
    made = History()
    made.add(epoch(1))
    assert len(curves(learning_curves(made), palette.VALIDATION)) == 2


def test_published_figures_are_hollow_and_in_our_units():
    said = Published(losses=(1.5, 1.2), train_accuracies=(0.4, 0.5), test_accuracy=0.57, note="")
    figure = learning_curves(history(epoch(1), epoch(2)), said)
    hollow = [line for line in figure.data if line.mode == "markers"]
    assert all("open" in line.marker.symbol for line in hollow)
    assert [list(line.y) for line in hollow] == [[1.5, 1.2], [40, 50], [pytest.approx(57)]]
    assert hollow[0].x[0] == 1
    assert hollow[2].x[0] == 2


@pytest.mark.parametrize("recipe", [one for one in RECIPES.values() if one.published], ids=lambda one: one.label)
def test_every_published_figure_of_the_table_is_drawn(recipe):
    bare = len(learning_curves(history(epoch(1))).data)
    said = recipe.published
    expected = sum(map(bool, (said.losses, said.train_accuracies, said.test_accuracy)))
    assert len(learning_curves(history(epoch(1)), said).data) == bare + expected


def test_the_gap_is_shaded_where_it_grows_above_zero_and_nowhere_else():
    gaps = ((0.5, 0.6), (0.6, 0.6), (0.8, 0.6), (0.8, 0.7), (0.9, 0.7))
    figure = gap([epoch(n, train=t, validation=v) for n, (t, v) in enumerate(gaps, start=1)])
    shaded = [list(line.x) for line in figure.data if line.fill]
    assert shaded == [[2, 3], [4, 5]]
    (line,) = [line for line in figure.data if not line.fill]
    assert list(line.y) == pytest.approx([-10, 0, 20, 10, 20])


def test_a_gap_that_narrows_below_zero_is_no_overfitting():
    figure = gap([epoch(1, train=0.3, validation=0.6), epoch(2, train=0.5, validation=0.6)])
    assert not [line for line in figure.data if line.fill]


def test_the_learning_rate_keeps_its_ends_and_is_told_in_epochs():
    rates = list(np.linspace(0.5, 0.1, 100_000))
    line = schedule_curve(rates, 1000).data[0]
    assert len(line.x) <= 1000
    assert (line.x[0], line.y[0]) == (0, 0.5)
    assert (line.x[-1], line.y[-1]) == (99.999, 0.1)
    short = schedule_curve([0.1, 0.2], 2).data[0]
    assert list(short.x) == [0, 0.5]


def test_runs_beside_each_other_have_a_colour_and_a_name_each():
    runs = {"first <b>": [epoch(1), epoch(2)], "second": [epoch(1, validation=0.8)]}
    figure = overlay(runs)
    colours = {line.legendgroup or line.name: line.line.color for line in figure.data if line.showlegend}
    assert colours == {"first &lt;b&gt;": palette.OKABE_ITO[0], "second": palette.OKABE_ITO[1]}
    of_second = [line for line in figure.data if line.line.color == palette.OKABE_ITO[1]]
    assert len(of_second) == 4
    assert sorted(line.y[0] for line in of_second) == pytest.approx([0.2, 0.5, 50, 80])


def test_loss_that_is_not_finite_does_not_keep_the_rest_from_being_drawn():
    figure = learning_curves(history(replace(epoch(1), train_loss=float("nan")), epoch(2)))
    assert '"y":[null,0.5]' in figure.to_json()
