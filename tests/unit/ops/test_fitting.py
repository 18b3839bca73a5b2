from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image
from torch.nn import functional as F

from cnnlab.errors import InputRejected
from cnnlab.ops import KERNELS, apply_kernel, build_kernel, fit_kernel, fit_problem

PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
SMALL = np.random.default_rng(0).uniform(0, 1, (20, 22)).astype(np.float32)


@pytest.fixture(scope="module")
def photograph():
    with Image.open(PHOTOGRAPHS / "astronaut.png") as picture:
        return np.asarray(picture.convert("L").resize((256, 256)), np.float32) / 255


def last(steps):
    *_, final = steps
    return final


@pytest.mark.parametrize("key", KERNELS)
def test_every_preset_is_found_again_on_a_photograph(key, photograph):
    kernel = build_kernel(key)
    found = last(fit_kernel(photograph, apply_kernel(photograph, kernel), kernel.shape))
    assert found.determined
    assert found.converged
    assert np.abs(found.kernel_hw - kernel).max() < 1e-3


@pytest.mark.parametrize(("key", "values"), [("gabor", {"size": 11}), ("random", {"size": 11}), ("log", {"size": 11})])
def test_kernels_of_eleven_by_eleven_are_found_again(key, values, photograph):
    kernel = build_kernel(key, **values)
    found = last(fit_kernel(photograph, apply_kernel(photograph, kernel), kernel.shape))
    assert np.abs(found.kernel_hw - kernel).max() < 1e-3


@pytest.mark.parametrize(
    "chosen",
    [
        {"padding": 1},
        {"padding": (2, 1), "padding_mode": "reflect", "stride": (2, 1)},
        {"padding": 2, "padding_mode": "circular", "dilation": 2},
        {"stride": 3, "dilation": (1, 2)},
    ],
)
def test_kernel_and_bias_are_found_under_every_setting(chosen):
    kernel = build_kernel("emboss")
    target = apply_kernel(SMALL, kernel, bias=0.25, **chosen)
    found = last(fit_kernel(SMALL, target, (3, 3), with_bias=True, **chosen))
    np.testing.assert_allclose(found.kernel_hw, kernel, atol=1e-3)
    assert found.bias == pytest.approx(0.25, abs=1e-3)


def test_loss_and_gradient_are_those_of_automatic_differentiation():
    target = np.random.default_rng(1).uniform(-1, 1, apply_kernel(SMALL, np.ones((3, 4)), stride=2, padding=1).shape)
    problem = fit_problem(SMALL, target, (3, 4), stride=2, padding=1, with_bias=True)
    weights = np.random.default_rng(2).normal(size=13)
    kernel = torch.from_numpy(weights[:12].reshape(1, 1, 3, 4).copy()).requires_grad_()
    bias = torch.from_numpy(weights[12:].copy()).requires_grad_()
    y = F.conv2d(torch.from_numpy(SMALL.astype(np.float64))[None, None], kernel, bias, stride=2, padding=1)
    loss = F.mse_loss(y[0, 0], torch.from_numpy(target.astype(np.float32).astype(np.float64)))
    loss.backward()
    assert kernel.grad is not None
    assert bias.grad is not None
    assert problem.loss(weights) == pytest.approx(loss.item(), rel=1e-9)
    expected = np.append(kernel.grad.numpy().ravel(), bias.grad.numpy())
    np.testing.assert_allclose(problem.gradient(weights), expected, rtol=1e-9, atol=1e-12)


def test_the_loss_is_the_mean_squared_error_of_the_kernel_shown():
    target = apply_kernel(SMALL, build_kernel("sobel_y"))
    for step in fit_kernel(SMALL, target, (3, 3), max_steps=20):
        error = apply_kernel(SMALL, step.kernel_hw) - target
        assert step.loss == pytest.approx(float(np.mean(error.astype(np.float64) ** 2)), rel=1e-4)


def test_the_loss_never_rises_above_the_start(photograph):
    steps = list(fit_kernel(photograph, apply_kernel(photograph, build_kernel("gabor")), (7, 7)))
    assert max(step.loss for step in steps) == steps[0].loss
    assert steps[-1].loss < 1e-10 * steps[0].loss


def test_steps_are_shown_ever_more_sparsely_and_the_last_one_too():
    target = apply_kernel(SMALL, build_kernel("sobel_y"))
    shown = [step.step for step in fit_kernel(SMALL, target, (3, 3), max_steps=1000, tolerance=1e-30)]
    assert shown[:4] == [0, 1, 2, 3]
    assert shown[-1] == 1000
    assert shown == sorted(set(shown))
    assert len(shown) < 50


def test_a_fit_can_be_left_at_any_step():
    steps = fit_kernel(SMALL, apply_kernel(SMALL, [[1, 2]]), (1, 2))
    assert next(steps).step == 0
    assert next(steps).step == 1


def test_the_same_seed_starts_the_same_and_no_seed_starts_at_the_random_preset():
    target = apply_kernel(SMALL, build_kernel("random"))
    start, again, other = (next(fit_kernel(SMALL, target, (3, 3), seed=seed)).kernel_hw for seed in (0, 0, 1))
    np.testing.assert_array_equal(start, again)
    assert (start != other).any()
    assert np.abs(start - build_kernel("random", seed=0)).max() > 0.01


@pytest.mark.parametrize(
    ("source", "rank"),
    [
        (np.full((16, 16), 0.5), 1),
        (np.tile(np.arange(16) % 2, (16, 1)), 2),
        (np.tile(np.random.default_rng(0).uniform(0, 1, 16), (16, 1)), 3),
    ],
)
def test_flat_and_striped_pictures_do_not_determine_the_kernel_but_the_loss_goes_to_nothing(source, rank):
    target = apply_kernel(source, build_kernel("sharpen"))
    final = last(fit_kernel(source, target, (3, 3)))
    assert not final.determined
    assert (final.rank, final.unknowns) == (rank, 9)
    assert final.converged
    assert final.loss < 1e-9
    np.testing.assert_allclose(apply_kernel(source, final.kernel_hw), target, atol=1e-3)


def test_a_black_picture_ends_at_once():
    steps = list(fit_kernel(np.zeros((8, 8)), np.ones((6, 6)), (3, 3)))
    assert len(steps) == 1
    assert steps[0].rank == 0
    assert steps[0].loss == pytest.approx(1)


def test_a_target_no_kernel_makes_leaves_the_least_squares_loss():
    target = np.random.default_rng(5).normal(size=(18, 20))
    final = last(fit_kernel(SMALL, target, (3, 3)))
    windows = np.lib.stride_tricks.sliding_window_view(SMALL.astype(np.float64), (3, 3)).reshape(-1, 9)
    best, *_ = np.linalg.lstsq(windows, target.astype(np.float32).ravel().astype(np.float64), rcond=None)
    np.testing.assert_allclose(final.kernel_hw.ravel(), best, atol=1e-4)


def test_the_gram_matrix_of_a_large_picture_is_that_of_its_windows():
    source = np.random.default_rng(0).uniform(0, 1, (512, 512)).astype(np.float32)
    target = np.zeros((502, 502))
    problem = fit_problem(source, target, (11, 11))
    rows = np.lib.stride_tricks.sliding_window_view(source.astype(np.float64), (11, 11))
    assert problem.gram[0, 120] == pytest.approx(float(np.mean(rows[:, :, 0, 0] * rows[:, :, 10, 10])))


@pytest.mark.parametrize(
    ("source", "target", "shape", "chosen", "says"),
    [
        (SMALL, np.ones((20, 22)), (3, 3), {}, "18 × 20"),
        (SMALL, np.ones((18, 20)), (3, 3), {"padding": 1}, "20 × 22"),
        (SMALL, np.ones((18, 20, 3)), (3, 3), {}, "18 × 20 × 3"),
        (SMALL, np.full((18, 20), np.nan), (3, 3), {}, "NaN"),
        (SMALL, np.ones((9, 11)), (12, 12), {}, "1 × 1 to 11 × 11"),
        (SMALL, np.ones((9, 11)), (0, 3), {}, "1 × 1 to 11 × 11"),
        (np.ones((4, 4, 3)), np.ones((2, 2)), (3, 3), {}, "Pick one channel"),
        (SMALL, np.ones((18, 20)), (3, 3), {"max_steps": -1}, "0 or more steps"),
        (SMALL, np.ones((18, 20)), (3, 3), {"tolerance": 0.0}, "tolerance above 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused_at_once(source, target, shape, chosen, says):
    with pytest.raises(InputRejected, match=says):
        fit_kernel(source, target, shape, **chosen)
