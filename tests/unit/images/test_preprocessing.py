"""Preprocessing against torchvision on Pillow pictures, and its own inverse."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from cnnlab.errors import InputRejected
from cnnlab.images import IMAGENET, UNIT, Preprocessing, RgbImage, to_tensor


def noise(height: int, width: int) -> RgbImage:
    return RgbImage(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(300, 451), (451, 300), (256, 256), (257, 300), (100, 80), (225, 1000), (37, 259)])
def test_imagenet_preprocessing_is_torchvisions(size: tuple[int, int]) -> None:
    image = noise(*size)
    reference = v2.Compose(
        [
            v2.Resize(256, antialias=True),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET.mean, IMAGENET.std),
        ]
    )(Image.fromarray(image.pixels))
    ours = to_tensor(image, IMAGENET)
    assert ours.shape == (1, 3, 224, 224)
    assert ours.dtype == torch.float32
    # The same 8-bit pixels; only the last float operations may round differently.
    torch.testing.assert_close(ours[0], reference, rtol=0, atol=2e-6)


def test_exact_sizes_are_torchvisions() -> None:
    image = noise(50, 90)
    preprocessing = Preprocessing(resize=(31, 47), mean=(0, 0, 0), std=(1, 1, 1))
    reference = v2.functional.pil_to_tensor(v2.Resize((31, 47))(Image.fromarray(image.pixels))) / 255
    torch.testing.assert_close(to_tensor(image, preprocessing)[0], reference, rtol=0, atol=1e-6)


def test_unit_leaves_the_picture_as_it_is() -> None:
    image = noise(9, 13)
    x = UNIT.apply(image)
    assert x.shape == (3, 9, 13)
    assert np.allclose(x, image.pixels.transpose(2, 0, 1) / 255, atol=1e-7)
    assert np.array_equal(UNIT.picture(x), image.pixels)


@pytest.mark.parametrize("channels", ["rgb", "bgr", "grey"])
def test_the_picture_of_what_a_model_is_fed_is_what_was_cut_out(channels: str) -> None:
    values = (0.4,) if channels == "grey" else (0.1, 0.5, 0.9)
    preprocessing = Preprocessing(crop=(6, 8), channels=channels, mean=values, std=values)
    image = noise(12, 20)
    x = preprocessing.apply(image)
    assert x.shape == (len(values), 6, 8)
    assert x.flags.c_contiguous
    cut = image.pixels[3:9, 6:14].astype(np.float64)
    if channels == "grey":
        cut = np.repeat((cut @ [0.299, 0.587, 0.114])[:, :, None], 3, axis=2)
    assert np.abs(preprocessing.picture(x) - cut).max() <= (0.51 if channels == "grey" else 0)


def test_blue_comes_first_in_bgr_and_mean_and_std_follow_that_order() -> None:
    image = RgbImage(np.full((2, 2, 3), (255, 0, 51), dtype=np.uint8))
    x = Preprocessing(channels="bgr", mean=(0.2, 0, 0.5), std=(1, 1, 0.25)).apply(image)
    assert np.allclose(x[:, 0, 0], [0, 0, 2], atol=1e-6)


def test_values_no_picture_has_are_clipped_when_shown() -> None:
    x = np.array([-5, 0.5, 7, np.nan], dtype=np.float32).reshape(1, 2, 2).repeat(3, axis=0)
    assert UNIT.picture(x)[:, :, 0].tolist() == [[0, 128], [255, 0]]


def test_steps_say_every_number() -> None:
    said = " | ".join(IMAGENET.steps())
    for part in ("256 px", "224 × 224 px", "red, green, blue", "255", "0.485", "0.406", "0.229", "0.225"):
        assert part in said
    assert UNIT.steps() == ("Channels in the order red, green, blue", "Levels 0 to 255 divided by 255")


def test_the_crop_box_is_in_pixels_of_the_original() -> None:
    # 512 × 1024 becomes 256 × 512; the middle 224 × 224 begins at (16, 144); twice that in the original.
    assert IMAGENET.crop_box(noise(512, 1024)) == (32, 288, 448, 448)
    assert UNIT.crop_box(noise(5, 9)) == (0, 0, 5, 9)
    assert Preprocessing(resize=(7, 7), mean=(0, 0, 0), std=(1, 1, 1)).crop_box(noise(5, 9)) == (0, 0, 5, 9)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (5, 7), (224, 2)])
def test_the_crop_box_lies_within_the_picture(size: tuple[int, int]) -> None:
    top, left, height, width = IMAGENET.crop_box(noise(*size))
    assert 0 <= top < top + height <= size[0]
    assert 0 <= left < left + width <= size[1]


def test_a_crop_that_does_not_fit_is_refused() -> None:
    preprocessing = Preprocessing(crop=(10, 10), mean=(0, 0, 0), std=(1, 1, 1))
    for method in (preprocessing.apply, preprocessing.crop_box):
        with pytest.raises(InputRejected, match="out of a picture of 12 × 9 px"):
            method(noise(9, 12))


def test_a_hair_of_a_picture_is_refused_instead_of_blown_up() -> None:
    with pytest.raises(InputRejected, match="long and thin"):
        IMAGENET.apply(RgbImage(np.zeros((1, 1_000_000, 3), np.uint8)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"resize": 0},
        {"resize": -3},
        {"resize": 10_000},
        {"resize": True},
        {"resize": (3,)},
        {"resize": (3, 0)},
        {"resize": 2.5},
        {"crop": (0, 1)},
        {"crop": (1, 2, 3)},
        {"resize": 100, "crop": (101, 5)},
        {"resize": (50, 100), "crop": (60, 60)},
        {"channels": "cmyk"},
        {"channels": "grey"},
        {"mean": (0, 0)},
        {"mean": (0, 0, float("nan"))},
        {"std": (1, 1, 0)},
        {"std": (1, 1, -1)},
        {"std": (1, 1, float("inf"))},
    ],
)
def test_nonsense_is_refused_on_creation(wrong: dict) -> None:
    with pytest.raises(InputRejected):
        Preprocessing(**({"mean": (0, 0, 0), "std": (1, 1, 1)} | wrong))


def test_the_picture_is_left_untouched() -> None:
    image = noise(30, 40)
    before = image.pixels.copy()
    tensor = to_tensor(image, UNIT)
    tensor += 1
    assert np.array_equal(image.pixels, before)


def test_an_array_of_another_shape_is_a_fault_of_ours() -> None:
    with pytest.raises(TypeError, match="x_chw"):
        UNIT.picture(np.zeros((1, 4, 4), np.float32))
