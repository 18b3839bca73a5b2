import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnlab.explain import METHODS, look
from cnnlab.explain.occlusion import patch_and_stride
from tests.unit.explain.nets import PICTURE, pictures, small, two_channels

OCCLUSION = METHODS["occlusion"]


def brightness() -> nn.Module:
    """One logit: the sum of all pixels."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_covering_single_pixels_shows_what_each_adds_to_the_logit():
    assert patch_and_stride(2, 2) == (1, 1)
    # Logit 0 is 0.5; the pixels 1, −2, 3, −4 add 2/4 and 1/4 of theirs.
    found = OCCLUSION.run(two_channels(), PICTURE, 0, "")
    torch.testing.assert_close(found, torch.tensor([[[0.5, -0.5], [1.5, -1.0]]]))


def test_a_pixel_gets_the_mean_over_the_squares_that_cover_it():
    assert patch_and_stride(14, 14) == (2, 1)
    x = torch.zeros(1, 1, 14, 14)
    x[0, 0, 5, 6] = 196  # mean 1
    expected = torch.zeros(14, 14)
    # Four squares cover a pixel; of those that cover a neighbour, two cover the bright one too, and one at the corners.
    expected[4:7, 5:8] = torch.tensor([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])
    torch.testing.assert_close(OCCLUSION.run(brightness(), x, 0, "")[0], expected)


@pytest.mark.parametrize(("side", "patch", "stride"), [(28, 4, 2), (32, 5, 2), (64, 9, 4), (224, 32, 16)])
def test_the_square_grows_with_the_picture(side: int, patch: int, stride: int):
    assert patch_and_stride(side, 2 * side) == (patch, stride)


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=15)
def test_every_pixel_of_any_picture_is_covered(height: int, width: int):
    # Of an even picture, each square takes as much as it covers: nowhere is nothing lost.
    found = OCCLUSION.run(brightness(), torch.ones(1, 1, height, width), 0, "")
    assert found.shape == (1, height, width)
    assert float(found.min()) > 0


def test_the_first_squares_lie_side_by_side_and_leave_no_large_holes():
    seen = look(brightness(), torch.ones(1, 1, 64, 64))
    parts = list(OCCLUSION.stream(seen, 0, ""))
    a_quarter = next(part for part in parts if part.done >= 0.25)
    assert float((a_quarter.maps > 0).float().mean()) > 0.85


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("height", "width"), [(12, 12), (31, 22)])
def test_captum_gives_the_same(height: int, width: int):
    captum = pytest.importorskip("captum.attr")
    model = nn.Sequential(small().get_submodule("features"), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(7))
    patch, stride = patch_and_stride(height, width)
    theirs = captum.Occlusion(copy.deepcopy(model)).attribute(
        x.clone(), (3, patch, patch), strides=(3, stride, stride), target=torch.tensor([4, 5])
    )
    assert float(theirs.abs().max()) > 0.1
    torch.testing.assert_close(OCCLUSION.run(model, x, [4, 5], ""), theirs[:, 0], rtol=0, atol=1e-5)


def test_the_pictures_themselves_stay_whole():
    x = pictures()
    before = x.clone()
    OCCLUSION.run(small(), x, 0, "")
    assert torch.equal(x, before)
