import numpy as np
import pytest

from cnnlab.figures import palette
from cnnlab.figures.confusion import (
    MOST_CELLS,
    class_bars,
    confusion_matrix,
    distance_bars,
    probability_bars,
)
from cnnlab.figures.names import shown

COUNTS = ((8, 2, 0), (5, 5, 0), (0, 0, 0))
NAMES = ("cat", "dog", "bird")


def test_rows_are_shares_of_their_class_also_of_an_empty_one():
    heat = confusion_matrix(COUNTS, NAMES).data[0]
    np.testing.assert_allclose(heat.z, [[80, 20, 0], [50, 50, 0], [0, 0, 0]])
    assert (heat.zmin, heat.zmax) == (0, 100)
    assert [list(row) for row in heat.text] == [["8", "2", ""], ["5", "5", ""], ["", "", ""]]


def test_every_cell_can_be_hit_and_says_where_it_is():
    marks = confusion_matrix(COUNTS, NAMES).data[1]
    assert [(row[0], row[1]) for row in marks.customdata] == [(r, c) for r in range(3) for c in range(3)]
    assert [(int(y), int(x)) for y, x in zip(marks.y, marks.x, strict=True)] == [
        (row[0], row[1]) for row in marks.customdata
    ]
    assert list(marks.customdata[1][2:]) == ["cat", "dog", 2, 20.0]


def test_the_chosen_cell_is_framed_at_its_place():
    (frame,) = confusion_matrix(COUNTS, NAMES, (1, 0)).layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (-0.5, 0.5, 0.5, 1.5)
    assert not confusion_matrix(COUNTS, NAMES).layout.shapes


def test_cells_that_are_too_small_to_hit_have_no_marks_and_no_names():
    many = MOST_CELLS + 1
    figure = confusion_matrix(np.eye(many, dtype=int), [str(n) for n in range(many)])
    assert len(figure.data) == 1
    assert figure.layout.xaxis.ticktext is None


def test_truth_runs_down_and_prediction_to_the_right():
    figure = confusion_matrix(COUNTS, NAMES)
    assert tuple(figure.layout.yaxis.range) == (2.5, -0.5)
    assert tuple(figure.layout.xaxis.range) == (-0.5, 2.5)


def test_classes_are_ordered_from_the_worst_and_those_without_pictures_left_out():
    bar = class_bars((0.9, None, 0.2), NAMES).data[0]
    assert list(bar.x) == [20, 90]
    assert list(bar.customdata) == ["bird", "cat"]


def test_a_class_keeps_its_colour_whatever_else_is_shown():
    probabilities = [0.01 * n for n in range(14)]
    bar = probability_bars(probabilities, [str(n) for n in range(14)], truth=13).data[0]
    assert list(bar.customdata) == [*[str(n) for n in range(2, 13)], "<b>13</b>"]
    assert bar.marker.color[0] == palette.OKABE_ITO[2]
    assert list(bar.x) == pytest.approx([n * 1.0 for n in range(2, 14)])


def test_names_that_are_cut_to_the_same_letters_stay_two_bars():
    bar = probability_bars([0.5, 0.5], ["a very long name of one", "a very long name of two"]).data[0]
    assert list(bar.y) == [0, 1]


def test_distances_share_an_axis_and_none_leaves_it():
    assert distance_bars({"conv": 0.1}, 0.5).layout.xaxis.range[1] == pytest.approx(52.5)
    assert distance_bars({"conv": 1.0, "fc": float("inf")}, 0.5).layout.xaxis.range[1] == pytest.approx(105)


def test_a_name_is_text_whatever_is_in_it():
    assert shown("<a href='x'>&") == "&lt;a href='x'&gt;&amp;"
    assert shown("a" * 17) == "a" * 15 + "…"
    assert shown("a" * 16) == "a" * 16
