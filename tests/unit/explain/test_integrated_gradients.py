import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from cnnlab.explain import METHODS, Contrast, look
from cnnlab.explain.integrated_gradients import attributions, to_account_for
from tests.unit.explain.nets import PICTURE, pictures, small, two_channels

INTEGRATED_GRADIENTS = METHODS["integrated_gradients"]


def smooth() -> nn.Module:
    """A net without kinks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = nn.Conv2d(3, 8, 3, stride=2), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.SiLU(), nn.Flatten(), nn.Linear(72, 4)
        return nn.Sequential(*layers).eval()


def test_each_pixel_gets_its_slope_times_its_value_where_the_slope_is_the_same_on_the_way():
    # Slopes 2/4 above zero and 1/4 below; the pixels are 1, −2, 3, −4. They add up to the logit, 0.5.
    found = INTEGRATED_GRADIENTS.run(two_channels(), PICTURE, 0, "")
    torch.testing.assert_close(found, torch.tensor([[[0.5, -0.5], [1.5, -1.0]]]))


def test_a_slope_that_grows_on_the_way_counts_with_its_mean():
    class Cube(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x**3).flatten(1).sum(1, keepdim=True)

    x = torch.tensor([[[[2.0, -1.0]]]])
    torch.testing.assert_close(INTEGRATED_GRADIENTS.run(Cube(), x, 0, ""), torch.tensor([[[8.0, -1.0]]]))


@pytest.mark.parametrize("target", [[1, 3, 0], Contrast(2, 0)])
@pytest.mark.parametrize(("make", "within"), [(smooth, 1e-5), (small, 1e-3)])
def test_attributions_add_up_to_what_the_picture_adds_to_an_empty_one(
    make: Callable[[], nn.Module], within: float, target: list[int] | Contrast
):
    seen = look(make(), pictures(3))
    expected = to_account_for(seen, target)
    assert float(expected.abs().max()) > 20 * within
    torch.testing.assert_close(attributions(seen, target).sum((1, 2, 3)), expected, rtol=0, atol=within)
    torch.testing.assert_close(INTEGRATED_GRADIENTS.of(seen, target, "").sum((1, 2)), expected, rtol=0, atol=within)


def test_what_is_to_account_for_is_the_logit_less_that_of_the_mean_colour():
    model, x = smooth(), pictures(1)
    with torch.no_grad():
        expected = model(x)[:, 2] - model(torch.zeros_like(x))[:, 2]
    torch.testing.assert_close(to_account_for(look(model, x), 2), expected)


def test_a_map_that_is_not_whole_yet_already_knows_all_of_the_way():
    seen = look(smooth(), 3 * pictures(2))
    expected = to_account_for(seen, 1)
    first = next(INTEGRATED_GRADIENTS.stream(seen, 1, ""))
    assert first.done < 0.5
    torch.testing.assert_close(first.maps.sum((1, 2)), expected, rtol=0.2, atol=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [small, smooth])
def test_captum_gives_the_same(make: Callable[[], nn.Module]):
    captum = pytest.importorskip("captum.attr")
    model, x = make(), pictures()
    theirs = captum.IntegratedGradients(copy.deepcopy(model)).attribute(x.clone(), target=torch.tensor([1, 3]))
    torch.testing.assert_close(attributions(look(model, x), [1, 3]), theirs.float(), rtol=0, atol=1e-6)
