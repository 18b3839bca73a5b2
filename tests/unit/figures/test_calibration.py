import numpy as np
import pytest

from cnnlab.figures.calibration import reliability_diagram
from cnnlab.inference.calibrating import calibrate


def seen(*, temperature=1.0):
    """Of ten pictures at 75 % eight are right; of four at 95 % all."""
    first = np.array([0.75] * 10 + [0.95] * 4)
    logits = np.log(np.stack([first, 1 - first], axis=1))
    return calibrate(logits, np.array([0] * 8 + [1] * 2 + [0] * 4), bins=10, temperature=temperature)


def test_points_lie_at_mean_confidence_and_accuracy_with_wilsons_interval():
    figure = reliability_diagram({"as it is": seen()})
    points = figure.data[1]
    assert list(points.x) == pytest.approx([75, 95])
    assert list(points.y) == [80, 100]
    # Wilson's interval of 8 of 10: 0.4902 to 0.9433; of 4 of 4: 0.5101 to 1.
    assert list(points.error_y.array) == pytest.approx([14.33, 0], abs=0.01)
    assert list(points.error_y.arrayminus) == pytest.approx([30.98, 48.99], abs=0.01)


def test_bars_stand_over_their_bins_and_are_as_high_as_pictures_are_many():
    bars = reliability_diagram({"as it is": seen()}).data[2]
    assert list(bars.x) == pytest.approx([75, 95])
    assert list(bars.width) == pytest.approx([10, 10])
    assert list(bars.y) == [10, 4]
    assert "10 pictures" in bars.customdata[0]


def test_the_diagonal_is_where_a_net_is_right_as_often_as_it_says():
    diagonal = reliability_diagram({"as it is": seen()}).data[0]
    assert (list(diagonal.x), list(diagonal.y)) == ([0, 100], [0, 100])


def test_two_are_told_apart_by_colour_and_legend_and_one_needs_none():
    figure = reliability_diagram({"as it is": seen(), "T = 2 <b>": seen(temperature=2.0)})
    first, second = figure.data[1], figure.data[3]
    assert first.line.color != second.line.color
    assert figure.layout.showlegend
    assert [trace.name for trace in figure.data if trace.showlegend] == ["as it is", "T = 2 &lt;b&gt;"]
    assert not reliability_diagram({"as it is": seen()}).layout.showlegend
