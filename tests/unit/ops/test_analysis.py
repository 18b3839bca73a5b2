import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlab.errors import InputRejected
from cnnlab.ops import KERNELS, apply_kernel, build_kernel, equivariance, frequency_response, separability

IMAGE = np.random.default_rng(0).uniform(0, 1, (24, 30)).astype(np.float32)


# --- separability -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "rank"),
    [
        ("sobel_x", 1),
        ("sobel_y", 1),
        ("box_blur", 1),
        ("gaussian", 1),
        ("laplacian", 2),
        ("edge8", 2),
        ("sharpen", 2),
        ("random", 3),
    ],
)
def test_ranks_of_the_presets(key, rank):
    assert separability(build_kernel(key)).rank == rank


@pytest.mark.parametrize("key", KERNELS)
def test_the_outer_products_give_the_kernel_back(key):
    kernel = build_kernel(key)
    parts = separability(kernel)
    assert parts.columns_hr.shape == (kernel.shape[0], parts.rank)
    assert parts.rows_rw.shape == (parts.rank, kernel.shape[1])
    atol = 1e-6 * max(1, np.abs(kernel).max())
    np.testing.assert_allclose(parts.columns_hr @ parts.rows_rw, kernel, rtol=0, atol=atol)


def test_two_passes_of_a_separable_kernel_are_one_pass_of_the_whole():
    kernel = build_kernel("gaussian", size=7, sigma=1.5)
    parts = separability(kernel)
    two_passes = apply_kernel(apply_kernel(IMAGE, parts.columns_hr), parts.rows_rw)
    np.testing.assert_allclose(two_passes, apply_kernel(IMAGE, kernel), atol=1e-5)


def test_the_work_is_counted_per_output_pixel():
    parts = separability(build_kernel("gaussian", size=11))
    assert (parts.macs_direct, parts.macs_separated) == (121, 22)
    parts = separability(build_kernel("laplacian"))
    assert (parts.macs_direct, parts.macs_separated) == (9, 12)


def test_a_kernel_of_zeros_has_rank_zero():
    parts = separability(np.zeros((3, 5)))
    assert parts.rank == parts.macs_separated == 0
    np.testing.assert_array_equal(parts.columns_hr @ parts.rows_rw, np.zeros((3, 5)))


# --- frequency response -----------------------------------------------------------------------------------------


def test_the_identity_passes_every_frequency():
    np.testing.assert_allclose(frequency_response(build_kernel("identity")).magnitude_hw, 1, atol=1e-12)


def test_the_box_blur_swallows_stripes_of_three_pixels():
    response = frequency_response(build_kernel("box_blur"), 63)
    middle = 63 // 2
    third = int(np.argmin(np.abs(response.frequencies - 1 / 3)))
    np.testing.assert_allclose(response.frequencies[third], 1 / 3)
    np.testing.assert_allclose(response.magnitude_hw[middle, third], 0, atol=1e-7)
    expected = np.abs(1 + 2 * np.cos(2 * np.pi * response.frequencies)) / 3
    np.testing.assert_allclose(response.magnitude_hw[middle], expected, atol=1e-7)


def test_sobel_x_does_not_see_what_is_constant_along_rows():
    response = frequency_response(build_kernel("sobel_x"))
    np.testing.assert_allclose(response.magnitude_hw[:, 32], 0, atol=1e-12)
    assert response.magnitude_hw[32].max() == pytest.approx(8)


@pytest.mark.parametrize("key", KERNELS)
def test_frequency_zero_is_the_sum_of_the_weights(key):
    kernel = build_kernel(key)
    response = frequency_response(kernel, 32)
    assert response.frequencies[16] == 0
    assert response.frequencies[0] == -0.5
    assert response.dc == pytest.approx(abs(float(kernel.astype(float).sum())), abs=1e-12)
    assert response.magnitude_hw[16, 16] == pytest.approx(response.dc, abs=1e-9)


def test_a_wave_comes_out_as_much_weaker_as_the_response_says():
    response = frequency_response(build_kernel("gaussian"), 32)
    wave = np.cos(2 * np.pi * np.arange(64) * 4 / 32)[None].repeat(8, axis=0)
    filtered = apply_kernel(wave, build_kernel("gaussian"))
    assert np.abs(filtered).max() == pytest.approx(response.magnitude_hw[16, 20], abs=1e-5)


@pytest.mark.parametrize("size", [2, 1025])
def test_spectra_of_impossible_sizes_are_refused(size):
    with pytest.raises(InputRejected, match="3 to 1024"):
        frequency_response(build_kernel("sobel_x"), size)


# --- equivariance -----------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.integers(-6, 6),
    st.integers(-6, 6),
    st.integers(0, 3),
    st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    st.sampled_from([1, 2, (2, 1)]),
    st.booleans(),
)
def test_at_stride_one_nothing_differs_inside(dx, dy, padding, mode, dilation, flip):
    answer = equivariance(
        IMAGE,
        build_kernel("emboss"),
        dx=dx,
        dy=dy,
        padding=padding,
        padding_mode=mode,
        dilation=dilation,
        flip=flip,
    )
    assert answer.inside_hw.any()
    assert answer.max_inside <= 1e-5
    assert answer.shift_out == (dy, dx)
    assert answer.exact_shift


def test_at_the_border_the_padding_shows():
    answer = equivariance(IMAGE, build_kernel("sobel_x"), dx=3, dy=0, padding=1)
    assert answer.max_inside <= 1e-5 < 0.1 < answer.max_border
    assert answer.error_hw.max() == answer.max_border


def test_a_picture_that_wraps_around_has_no_border():
    answer = equivariance(IMAGE, build_kernel("sobel_x"), dx=5, dy=-4, padding=1, padding_mode="circular")
    assert max(answer.max_inside, answer.max_border) <= 1e-5


@pytest.mark.parametrize(("dx", "differs"), [(1, True), (2, False), (3, True), (-4, False)])
def test_stride_two_keeps_even_shifts_only(dx, differs):
    answer = equivariance(IMAGE, build_kernel("sobel_x"), dx=dx, dy=0, stride=2)
    assert answer.exact_shift != differs
    assert (answer.max_inside > 0.1) == differs
    if not differs:
        assert answer.max_inside <= 1e-5


@pytest.mark.parametrize(("dx", "out"), [(1, 1), (2, 1), (-1, -1), (4, 2), (0, 0)])
def test_shifts_are_rounded_to_the_nearest_cell_halves_away_from_zero(dx, out):
    assert equivariance(IMAGE, [[1]], dx=dx, dy=0, stride=2).shift_out == (0, out)


def test_inside_cells_are_counted_by_hand():
    # 24 rows give 22 outputs. Moved down by 2, rows 0 and 1 see what moved in, and have no partner either.
    answer = equivariance(IMAGE, build_kernel("box_blur"), dx=0, dy=2)
    np.testing.assert_array_equal(answer.inside_hw.any(axis=1), np.arange(22) >= 2)
    assert answer.inside_hw[2:].all()


def test_shifts_as_large_as_the_picture_are_refused():
    with pytest.raises(InputRejected, match="leaves nothing"):
        equivariance(IMAGE, [[1]], dx=30, dy=0)
    with pytest.raises(InputRejected, match="Pick one channel"):
        equivariance(np.ones((3, 3, 3)), [[1]], dx=0, dy=0)
