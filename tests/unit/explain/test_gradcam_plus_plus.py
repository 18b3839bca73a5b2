import torch
from torch import Tensor, nn

from cnnlab.explain import METHODS
from cnnlab.explain.reading import normalized
from tests.unit.explain.nets import PICTURE, pictures, small, two_channels

PLUS_PLUS = METHODS["gradcam_plus_plus"]


def test_the_closed_form_by_hand():
    # Channel 0: g = 0.5, the maps add up to 4: α = 1 / (2 + 2), w = 4 cells · 0.25 · 0.5. Channel 1: no positive g.
    assert PLUS_PLUS.run(two_channels(), PICTURE, 0, "relu").tolist() == [[[0.5, 0.0], [1.5, 0.0]]]


def test_the_closed_form_is_the_paper_s_with_derivatives_of_exp_y():
    model = small(linear_head=True).double()
    x = pictures(1).double()
    maps_khw = model.get_submodule("features")(x)[0].detach()
    head = model.get_submodule("head")

    def map_of_paper() -> Tensor:
        weights = []
        for channel in range(len(maps_khw)):
            weight = torch.tensor(0.0, dtype=torch.float64)
            for row in range(6):
                for column in range(6):
                    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
                    moved = maps_khw.clone()
                    moved[channel, row, column] += step
                    logit = head(moved[None])[0, 2]
                    (gradient,) = torch.autograd.grad(logit, step, create_graph=True)
                    (second,) = torch.autograd.grad(logit.exp(), step, create_graph=True)
                    (second,) = torch.autograd.grad(second, step, create_graph=True)
                    (third,) = torch.autograd.grad(second, step)
                    alpha = second / (2 * second + maps_khw[channel].sum() * third)  # equation 19
                    weight = weight + (alpha * gradient.relu()).detach()
            weights.append(weight)
        return (torch.stack(weights)[:, None, None] * maps_khw).sum(0).relu()

    found = PLUS_PLUS.run(model, x, 2, "features")[0]
    torch.testing.assert_close(found, map_of_paper().float(), rtol=1e-5, atol=1e-7)


def test_small_gradients_keep_the_shape_of_the_map():
    model, maps = small(linear_head=True), []
    linear = model.get_submodule("head.1")
    assert isinstance(linear, nn.Linear)
    for factor in (1e-3, 1e-3, 1e-6):  # in all, 1e-3, 1e-6, 1e-12
        with torch.no_grad():
            linear.weight *= factor
        maps.append(normalized(PLUS_PLUS.run(model, pictures(1), 2, "features")[0]))
    torch.testing.assert_close(maps[1], maps[0], rtol=0, atol=5e-4)  # α goes to ½ as g goes to 0
    torch.testing.assert_close(maps[2], maps[1], rtol=0, atol=1e-6)


def test_a_layer_with_negative_sums_has_no_pole():
    found = PLUS_PLUS.run(small(), 100 * pictures(4), 1, "features.3")
    assert bool(torch.isfinite(found).all())
