import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnlab.errors import InputRejected
from cnnlab.images import Preprocessing, RgbImage, to_tensor
from cnnlab.inference.capturing import share
from cnnlab.inference.disturbing import DISTURBANCES, disturb, disturbed, sweep

RNG = np.random.default_rng(5)
PICTURE = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)
SMALL = Preprocessing(resize=20, crop=(16, 16), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def net(classes=4):
    torch.manual_seed(0)
    return share(nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 14 * 14, classes)))


@pytest.mark.parametrize("key", DISTURBANCES)
def test_the_neutral_amount_leaves_every_bit(key):
    neutral = DISTURBANCES[key].neutral
    assert DISTURBANCES[key].low <= neutral <= DISTURBANCES[key].high
    np.testing.assert_array_equal(disturb(PICTURE, {key: neutral}), PICTURE)


@pytest.mark.parametrize("key", DISTURBANCES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (28, 28), (64, 48)])
def test_every_amount_gives_a_picture_of_the_same_size_and_leaves_the_first_alone(key, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    before = pixels.copy()
    for amount in np.linspace(DISTURBANCES[key].low, DISTURBANCES[key].high, 7):
        changed = disturb(pixels, {key: float(amount)})
        assert (changed.shape, changed.dtype) == (pixels.shape, np.uint8)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("key", DISTURBANCES)
def test_both_ends_change_a_picture(key):
    disturbance = DISTURBANCES[key]
    for end in {disturbance.low, disturbance.high} - {disturbance.neutral}:
        assert (disturb(PICTURE, {key: end}) != PICTURE).mean() > 0.2


def test_a_quarter_turn_is_numpys():
    square = PICTURE[:37, :37]
    np.testing.assert_array_equal(disturb(square, {"rotate": 90.0}), np.rot90(square))
    np.testing.assert_array_equal(disturb(square, {"rotate": -180.0}), square[::-1, ::-1])


def test_a_shift_by_whole_pixels_moves_them_and_repeats_the_border():
    pixels = RNG.integers(0, 256, (10, 20, 3), dtype=np.uint8)
    right = disturb(pixels, {"shift_right": 10.0})
    np.testing.assert_array_equal(right[:, 2:], pixels[:, :-2])
    np.testing.assert_array_equal(right[:, :2], pixels[:, [0, 0]])
    up = disturb(pixels, {"shift_down": -30.0})
    np.testing.assert_array_equal(up[:-3], pixels[3:])


def test_brightness_adds_levels_and_cuts_off():
    pixels = np.array([[[0, 100, 250]]], dtype=np.uint8)
    assert disturb(pixels, {"brightness": 20.0}).tolist() == [[[20, 120, 255]]]
    assert disturb(pixels, {"brightness": -20.0}).tolist() == [[[0, 80, 230]]]


def test_contrast_multiplies_the_distance_from_the_mean():
    pixels = np.array([[[90, 100, 110]]], dtype=np.uint8)
    assert disturb(pixels, {"contrast": 2.0}).tolist() == [[[80, 100, 120]]]
    assert disturb(pixels, {"contrast": 0.0}).tolist() == [[[100, 100, 100]]]


def test_noise_has_the_standard_deviation_it_says_and_is_the_same_again():
    grey = np.full((200, 200, 3), 128, dtype=np.uint8)
    noisy = disturb(grey, {"noise": 10.0})
    assert noisy.std() == pytest.approx(10, rel=0.02)
    np.testing.assert_array_equal(noisy, disturb(grey, {"noise": 10.0}))


def test_the_patch_is_square_central_and_grey():
    covered = disturb(PICTURE, {"cover": 50.0})
    changed = np.argwhere((covered != PICTURE).any(axis=2))
    side = round(37 / 2)
    assert (covered == 128).all(axis=2).sum() >= side * side
    assert changed.min(axis=0).tolist() == [(37 - side) // 2, (53 - side) // 2]
    assert np.ptp(changed, axis=0).tolist() == [side - 1, side - 1]


def test_blur_spreads_a_point_by_the_standard_deviation():
    pixels = np.zeros((101, 101, 3), dtype=np.uint8)
    pixels[50, 50] = 255
    pixels[50, :] = 255  # a line: wide enough to survive rounding to levels
    profile = disturb(pixels, {"blur": 4.0})[:, 50, 0].astype(float)
    rows = np.arange(101)
    assert np.sqrt((profile * (rows - 50) ** 2).sum() / profile.sum()) == pytest.approx(4.04, rel=0.03)


def test_jpeg_loses_more_as_the_loss_grows():
    y, x = np.mgrid[:64, :64]
    smooth = np.stack([2 * x, 2 * y, x + y], axis=-1).astype(np.uint8)
    errors = [np.abs(disturb(smooth, {"jpeg": loss}).astype(int) - smooth).mean() for loss in (1.0, 60.0, 99.0)]
    assert errors == sorted(errors)
    assert errors[0] < 2


@given(order=st.permutations(["noise", "rotate", "brightness", "blur"]))
@settings(max_examples=10)
def test_the_order_is_that_of_the_table_however_they_are_named(order):
    amounts = {"noise": 20.0, "rotate": 12.0, "brightness": 60.0, "blur": 3.0}
    expected = PICTURE
    for key in ("rotate", "blur", "brightness", "noise"):
        expected = DISTURBANCES[key].apply(expected, amounts[key])
    np.testing.assert_array_equal(disturb(PICTURE, {key: amounts[key] for key in order}), expected)


def test_an_amount_out_of_range_and_an_unknown_disturbance_are_refused():
    with pytest.raises(InputRejected, match="0 to 128 levels, got 200"):
        disturb(PICTURE, {"noise": 200.0})
    with pytest.raises(InputRejected, match="0 to 4"):
        disturb(PICTURE, {"contrast": float("nan")})
    with pytest.raises(InputRejected, match="no disturbance melt"):
        disturb(PICTURE, {"melt": 1.0})


@pytest.mark.parametrize(
    "preprocessing",
    [
        SMALL,
        Preprocessing(resize=(16, 16), mean=(0.0,) * 3, std=(1.0,) * 3),
        Preprocessing(crop=(16, 16), channels="bgr", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)),
        Preprocessing(resize=(28, 28), channels="grey", mean=(0.1,), std=(0.3,)),
    ],
)
def test_an_undisturbed_picture_enters_the_net_bit_for_bit(preprocessing):
    image = RgbImage(PICTURE)
    seen = disturbed(image, preprocessing, {})
    np.testing.assert_array_equal(preprocessing.apply(seen), preprocessing.apply(image))


def test_a_sweep_says_at_each_amount_what_the_net_says_of_the_disturbed_picture():
    model, image = net(), RgbImage(PICTURE)
    amounts = np.linspace(0, 60, 70)  # more than one batch
    logits = sweep(model, image, SMALL, "noise", amounts, {"rotate": 10.0})
    assert logits.shape == (70, 4)
    for at in (0, 33, 69):
        alone = disturbed(image, SMALL, {"noise": float(amounts[at]), "rotate": 10.0})
        torch.testing.assert_close(torch.from_numpy(logits[at : at + 1]), model(to_tensor(alone, SMALL)))
    torch.testing.assert_close(
        torch.from_numpy(sweep(model, image, SMALL, "blur", [0.0])), model(to_tensor(image, SMALL))
    )


def test_the_sweep_of_a_net_that_is_not_shared_leaves_it_in_training():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2)).train()
    sweep(model, RgbImage(PICTURE), SMALL, "blur", [0.0, 5.0])
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
