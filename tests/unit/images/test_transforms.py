"""Resizing, cropping, grey."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.errors import InputRejected
from cnnlab.images import centre_crop, fit_within, resize, to_grey


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_stripes_finer_than_the_result_become_even_grey() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, 8, 8).astype(int)[:, 1:-1] - 127.5).max() <= 3


def test_resizing_never_leaves_the_range_of_the_picture() -> None:
    edge = np.full((20, 20, 3), 50, dtype=np.uint8)
    edge[:, 10:] = 200
    larger = resize(edge, 61, 73)
    assert larger.shape == (61, 73, 3)
    assert (larger.min(), larger.max()) == (50, 200)


def test_resizing_to_the_same_size_changes_nothing() -> None:
    pixels = noise(7, 9)
    assert np.array_equal(resize(pixels, 7, 9), pixels)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (100_000, 100_000)])
def test_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InputRejected, match="Cannot resize"):
        resize(noise(4, 4), *size)


@given(height=st.integers(1, 60), width=st.integers(1, 60), longest=st.integers(1, 80))
def test_fitting_keeps_proportions_and_never_enlarges(height: int, width: int, longest: int) -> None:
    fitted = fit_within(noise(height, width), longest)
    new_height, new_width = fitted.shape[:2]
    assert max(new_height, new_width) == min(longest, max(height, width))
    scale = max(new_height, new_width) / max(height, width)
    assert abs(new_height - height * scale) <= 1
    assert abs(new_width - width * scale) <= 1


def test_fitting_within_nothing_is_refused() -> None:
    with pytest.raises(InputRejected, match="1 px or more"):
        fit_within(noise(4, 4), 0)


def test_the_crop_is_the_middle() -> None:
    pixels = noise(6, 8)
    assert np.array_equal(centre_crop(pixels, 2, 4), pixels[2:4, 2:6])
    assert np.array_equal(centre_crop(pixels, 6, 8), pixels)


def test_a_crop_larger_than_the_picture_is_refused_with_both_sizes() -> None:
    with pytest.raises(InputRejected, match=r"9 × 6 px out of a picture of 8 × 6 px"):
        centre_crop(noise(6, 8), 6, 9)


def test_grey_is_the_weighted_sum_and_not_rounded() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [1, 2, 3]]], np.uint8)
    expected = [0.299, 0.587, 0.114, 1, 0, (0.299 + 2 * 0.587 + 3 * 0.114) / 255]
    grey = to_grey(colours)
    assert grey.dtype == np.float32
    assert grey.shape == (1, 6)
    assert np.allclose(grey[0], expected, atol=1e-6)
    assert grey.max() <= 1
