import numpy as np
import pytest

from cnnlab.figures import palette
from cnnlab.figures.disturbances import probability_curves

AMOUNTS = [0.0, 10.0, 20.0]
PROBS = np.array([[0.90, 0.06, 0.03, 0.01], [0.50, 0.46, 0.03, 0.01], [0.10, 0.86, 0.03, 0.01]])
NAMES = ("cat", "dog", "bird", "<i>fish")


def lines(figure):
    return {line.name: line for line in figure.data}


def test_each_class_that_matters_has_its_line_and_the_rest_share_one():
    drawn = lines(probability_curves(AMOUNTS, PROBS, NAMES, "blur"))
    assert list(drawn) == ["cat", "dog", "2 others"]
    assert list(drawn["cat"].y) == pytest.approx([90, 50, 10])
    assert list(drawn["2 others"].y) == pytest.approx([4, 4, 4])
    assert sum(line.y[1] for line in drawn.values()) == pytest.approx(100)


def test_a_class_has_the_colour_of_its_place_and_two_of_one_colour_differ_in_their_dashes():
    probs = np.full((2, 10), 0.01)
    probs[:, 1], probs[:, 9] = 0.5, 0.42
    drawn = lines(probability_curves([0.0, 1.0], probs, [f"class {index}" for index in range(10)], "noise"))
    assert drawn["class 1"].line.color == drawn["class 9"].line.color == palette.OKABE_ITO[1]
    assert drawn["class 1"].line.dash != drawn["class 9"].line.dash


def test_names_stand_at_the_ends_of_lines_apart_and_in_their_order():
    probs = np.array([[0.25, 0.25, 0.25, 0.25], [0.26, 0.25, 0.25, 0.24]])
    figure = probability_curves([0.0, 1.0], probs, NAMES, "noise")
    notes = {note.text.split("> ")[-1]: note.y for note in figure.layout.annotations}
    assert list(notes) == ["cat", "dog", "bird", "&lt;i&gt;fish"]
    places = sorted(notes.values())
    assert np.diff(places).min() >= 6
    assert max(notes, key=lambda name: notes[name]) == "cat"


def test_names_never_leave_the_chart():
    probs = np.array([[0.2] * 5, [0.95, 0.02, 0.01, 0.01, 0.01]])
    figure = probability_curves([0.0, 1.0], probs, [f"class {index}" for index in range(5)], "noise")
    assert max(note.y for note in figure.layout.annotations) <= 100
    assert min(note.y for note in figure.layout.annotations) >= 0


def test_what_is_set_and_what_changes_nothing_are_marked():
    figure = probability_curves([-10.0, 0.0, 10.0], PROBS, NAMES, "turn", at=5.0, neutral=0.0)
    assert [shape.x0 for shape in figure.layout.shapes] == [0, 5]
    # At the end of the axis there is nothing to mark: the curve begins there.
    assert not probability_curves(AMOUNTS, PROBS, NAMES, "blur", neutral=0.0).layout.shapes
