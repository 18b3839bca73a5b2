"""Encoding: read back by another library."""

import io

import numpy as np
import pytest
from PIL import Image

from cnnlab.images import to_jpeg, to_png


def read(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7)])
def test_png_keeps_every_pixel(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(read(to_png(pixels)), pixels)
    assert np.array_equal(read(to_png(pixels, 3)), np.kron(pixels, np.ones((3, 3, 1)[: len(shape)], np.uint8)))


def test_jpeg_keeps_colours_in_their_order() -> None:
    pixels = np.full((16, 16, 3), (200, 100, 30), dtype=np.uint8)
    assert np.abs(read(to_jpeg(pixels)).astype(int) - pixels).max() <= 3
    assert read(to_jpeg(pixels[:, :, 0])).shape == (16, 16)


def test_higher_quality_takes_more_bytes_and_errs_less() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    coarse, fine = to_jpeg(pixels, 20), to_jpeg(pixels, 95)
    assert len(coarse) < len(fine)
    error = [np.abs(read(data).astype(int) - pixels).mean() for data in (coarse, fine)]
    assert error[0] > error[1]


def test_views_of_a_picture_can_be_encoded() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    assert np.array_equal(read(to_png(pixels[::-1, ::2])), pixels[::-1, ::2])
    assert np.array_equal(read(to_png(pixels[:, :, 1])), pixels[:, :, 1])


def test_wrong_arguments_are_a_fault_of_ours() -> None:
    grey = np.zeros((4, 4), np.uint8)
    with pytest.raises(TypeError, match="uint8"):
        to_png(grey.astype(np.float32))
    with pytest.raises(TypeError, match="uint8"):
        to_jpeg(np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="scale"):
        to_png(grey, 0)
    with pytest.raises(ValueError, match="quality"):
        to_jpeg(grey, 101)
