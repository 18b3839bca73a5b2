import numpy as np
import torch

from cnnlab.explain.faithfulness import Curve, Curves, RandomOrders
from cnnlab.explain.road import Road
from cnnlab.explain.sanity import Step
from cnnlab.figures.faithfulness import Checked, cascade, faithfulness

SHARES = np.array([0.0, 0.5, 1.0])


def curves(*probabilities):
    curve = Curve(shares=SHARES, probabilities=np.array(probabilities))
    return Curves(deletion=curve, insertion=Curve(shares=SHARES, probabilities=curve.probabilities[::-1]))


def checked(*probabilities):
    road = Road(shares=SHARES, most_first=np.array([0.5, 0.1, 0.0]), least_first=np.array([0.9, 0.8, 0.7]))
    return Checked(curves=curves(*probabilities), road=road)


RANDOM = RandomOrders(orders=(curves(1.0, 0.4, 0.0), curves(1.0, 0.6, 0.2)))


def lines(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_each_map_has_a_line_for_each_test_in_one_colour_and_one_entry_in_the_legend():
    figure = faithfulness({"one": checked(1, 0.2, 0), "other": checked(1, 0.9, 0)}, RANDOM, "cat")
    own = lines(figure, "one")
    assert len(own) == 4
    assert len({line.line.color for line in own}) == 1
    assert [line.showlegend for line in own] == [True, False, False, False]
    assert own[0].line.color != lines(figure, "other")[0].line.color
    np.testing.assert_array_equal(own[0].x, [0, 50, 100])
    np.testing.assert_array_equal(own[0].y, [1, 0.2, 0])
    np.testing.assert_array_equal(own[1].y, [0, 0.2, 1])


def test_the_band_holds_all_random_orders_and_the_dashed_line_is_their_mean():
    figure = faithfulness({"one": checked(1, 0.2, 0)}, RANDOM, "cat")
    band, mean = figure.data[0], figure.data[1]
    assert band.name == "random orders, 2 of them"
    np.testing.assert_allclose(band.y, [1, 0.6, 0.2, 0, 0.4, 1])
    np.testing.assert_allclose(mean.y, [1, 0.5, 0.1])
    assert figure.layout.yaxis.title.text == "probability of cat"


def step(block, correlation):
    return Step(block=block, correlations=np.array([correlation, correlation]), maps=torch.zeros(2, 1, 1), done=1.0)


def test_the_cascade_begins_at_the_trained_net_and_keeps_the_order_of_the_blocks():
    figure = cascade({"one": (step("fc", 0.9),), "other": (step("fc", 0.5), step("conv", 0.1))}, 0.5)
    assert list(figure.data[1].x) == ["nothing", "fc", "conv"]
    np.testing.assert_allclose(figure.data[1].y, [1, 0.5, 0.1])
    assert list(figure.layout.xaxis.categoryarray) == ["nothing", "fc", "conv"]
    assert figure.layout.shapes[0].y0 == 0.5
