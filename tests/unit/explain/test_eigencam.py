import math

import pytest
import torch
from torch import Tensor, nn

from cnnlab.explain import METHODS
from tests.unit.explain.nets import PICTURE, pictures, small, two_channels

EIGENCAM = METHODS["eigencam"]


def of_maps(maps_nkhw: Tensor) -> Tensor:
    model = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    return EIGENCAM.run(model, maps_nkhw, 0, "0")


def test_the_leading_pattern_by_hand():
    # Less their means the channels are (0, −1, 2, −1) and (−1.5, 0.5, −1.5, 2.5); AᵀA = (6, −6; −6, 11) with the
    # largest eigenvalue 15 and its vector (−2, 3) / √13, along which the map goes with the sum of the channels.
    expected = torch.tensor([[[-4.5, 3.5], [-8.5, 9.5]]]) / math.sqrt(13)
    torch.testing.assert_close(EIGENCAM.run(two_channels(), PICTURE, 0, "relu"), expected)


@pytest.mark.parametrize("shape", [(3, 20, 4, 5), (3, 20, 2, 3), (3, 4, 6, 7), (2, 1, 5, 5), (2, 5, 1, 1)])
def test_the_map_is_the_projection_on_the_first_singular_vector(shape: tuple[int, ...]):
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for found, each in zip(of_maps(maps), maps, strict=True):
        columns = each.flatten(1).T
        columns = columns - columns.mean(0)
        projection = (columns @ torch.linalg.svd(columns).Vh[0]).reshape(shape[2:])
        sign = torch.sign((projection * (each.sum(0) - each.sum(0).mean())).sum())
        torch.testing.assert_close(found, sign * projection, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_very_large_and_very_small_values_keep_their_pattern(scale: float):
    maps = torch.randn(1, 6, 4, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(of_maps(maps * scale) / scale, of_maps(maps), rtol=1e-4, atol=1e-5)


def test_it_goes_along_with_the_sum_of_the_channels():
    maps = pictures(8).relu()
    found = of_maps(maps)
    summed = maps.sum(1)
    assert bool(((found * (summed - summed.mean((1, 2), keepdim=True))).sum((1, 2)) > 0).all())


def test_a_layer_that_is_silent_gives_zeros():
    assert not of_maps(torch.zeros(2, 3, 4, 4)).any()
    assert not of_maps(torch.full((1, 3, 2, 2), 7.0)).any()


def test_the_class_does_not_matter():
    model = small()
    torch.testing.assert_close(
        EIGENCAM.run(model, pictures(), 0, "features"), EIGENCAM.run(model, pictures(), 3, "features")
    )
