import numpy as np
import pytest

from cnnlab.figures import charts

NAMES = ["conv", "relu", "fc"]
MEASURES = {"parameters, thousands": [1.0, 0.0, 3.0], "receptive field, px": [3.0, 3.0, 8.0]}


def heights(*, cumulative: bool, at: int | None = None) -> list[list[float]]:
    return [list(bar.y) for bar in charts.layer_costs(NAMES, MEASURES, cumulative=cumulative, at=at).data]


def test_running_sums_add_up_what_can_be_added() -> None:
    assert heights(cumulative=False) == [[1, 0, 3], [3, 3, 8]]
    assert heights(cumulative=True) == [[1, 1, 4], [3, 3, 8]]


def test_the_layer_one_points_to_stands_out_in_every_row() -> None:
    for bar in charts.layer_costs(NAMES, MEASURES, cumulative=False, at=2).data:
        colours = list(bar.marker.color)
        assert colours[0] == colours[1] != colours[2]


def points(*places: tuple[str, int, float, float]) -> list[dict[str, object]]:
    return [
        {"label": label, "recipe": recipe, "params": params, "accuracy": accuracy, "text": label}
        for label, recipe, params, accuracy in places
    ]


@pytest.mark.parametrize("logarithmic", [True, False])
def test_two_recipes_of_a_net_are_one_line_with_one_name(logarithmic: bool) -> None:
    two = points(("ResNet-50", 1, 25.6, 76.1), ("ResNet-50", 2, 25.6, 80.9), ("AlexNet", 1, 61.1, 56.5))
    figure = charts.size_against_accuracy(two, across="params", title="parameters", logarithmic=logarithmic)
    assert [list(line.text) for line in figure.data] == [["ResNet-50", ""], ["AlexNet"]]
    assert list(figure.data[0].y) == [76.1, 80.9]


def test_neighbours_are_named_on_different_sides() -> None:
    close = points(("one", 1, 10.0, 70.0), ("two", 1, 10.0, 70.5), ("far", 1, 100.0, 90.0), ("low", 1, 1.0, 50.0))
    figure = charts.size_against_accuracy(close, across="params", title="parameters", logarithmic=True)
    spots = {line.text[0]: line.textposition for line in figure.data}
    assert spots["one"] != spots["two"]


def test_the_marked_step_of_a_loss_curve_lies_on_the_curve() -> None:
    figure = charts.loss_curve([0, 10, 20], [1.0, 0.1, 0.01], at=1)
    curve, mark = figure.data
    assert (mark.x[0], mark.y[0]) == (11, 0.1)
    assert np.allclose(curve.y, [1.0, 0.1, 0.01])
