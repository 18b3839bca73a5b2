import sys
from subprocess import run

import cv2
import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn import functional as F

from cnnlab.errors import InputRejected
from cnnlab.ops import (
    KERNELS,
    MAX_PADDING,
    PADDING_MODES,
    apply_kernel,
    build_kernel,
    channel_sum,
    output_size,
    products,
    size_formula,
    window_steps,
)

COUNTING = np.arange(1, 17, dtype=np.float32).reshape(4, 4)


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def by_torch(image, kernel, *, stride=1, padding=0, padding_mode="zeros", dilation=1, bias=0.0, flip=False):
    """The same through conv2d in double precision; raises where PyTorch does."""
    image, kernel = np.asarray(image), np.asarray(kernel)
    x = torch.from_numpy(np.atleast_3d(image).astype(np.float64)).permute(2, 0, 1)[:, None]
    weight = torch.from_numpy(kernel[::-1, ::-1].astype(np.float64) if flip else kernel.astype(np.float64))
    vertical, horizontal = pair(padding)
    mode = "constant" if padding_mode == "zeros" else padding_mode
    x = F.pad(x, (horizontal, horizontal, vertical, vertical), mode=mode)
    bias = torch.tensor([bias], dtype=torch.float64)
    y = F.conv2d(x, weight[None, None], bias, stride=stride, dilation=dilation)
    return (y[0, 0] if image.ndim == 2 else y[:, 0].permute(1, 2, 0)).numpy()


def by_loops(image_hw, kernel_hw, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    """The definition, cell by cell, zeros around."""
    padded = np.pad(image_hw, [(p, p) for p in padding])
    height, width = kernel_hw.shape
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel_hw.shape, strict=True)]
    rows = range(0, padded.shape[0] - reach[0] + 1, stride[0])
    cols = range(0, padded.shape[1] - reach[1] + 1, stride[1])
    out = np.zeros((len(rows), len(cols)))
    for i, top in enumerate(rows):
        for j, left in enumerate(cols):
            window = padded[top :: dilation[0], left :: dilation[1]][:height, :width]
            out[i, j] = np.sum(window * kernel_hw)
    return out


def uniform(shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@st.composite
def cases(draw, largest_kernel=7):
    """A picture and settings that fit, numbers in [-1, 1]."""
    pairs = {
        "stride": st.tuples(st.integers(1, 5), st.integers(1, 5)),
        "padding": st.tuples(st.integers(0, 6), st.integers(0, 6)),
        "dilation": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    }
    chosen = {name: draw(strategy) for name, strategy in pairs.items()}
    chosen |= {
        "padding_mode": draw(st.sampled_from(PADDING_MODES)),
        "bias": draw(st.floats(-1, 1, width=32)),
        "flip": draw(st.booleans()),
    }
    kernel_shape = draw(st.tuples(st.integers(1, largest_kernel), st.integers(1, largest_kernel)))
    shape = ()
    for padding, dilation, side in zip(chosen["padding"], chosen["dilation"], kernel_shape, strict=True):
        by_mode = {"reflect": padding + 1, "circular": padding}.get(chosen["padding_mode"], 1)
        smallest = max(1, by_mode, dilation * (side - 1) + 1 - 2 * padding)
        shape += (draw(st.integers(smallest, smallest + 30)),)
    channels = draw(st.sampled_from([(), (), (1,), (3,), (6,)]))
    seed = draw(st.integers(0, 2**32))
    return uniform(shape + channels, seed), uniform(kernel_shape, seed + 1), chosen


# --- worked out by hand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("sobel_x", [[8, 8], [8, 8]]),
        ("sobel_y", [[32, 32], [32, 32]]),
        ("laplacian", [[0, 0], [0, 0]]),
        ("edge8", [[0, 0], [0, 0]]),
        ("box_blur", [[6, 7], [10, 11]]),
        ("sharpen", [[6, 7], [10, 11]]),
    ],
)
def test_counting_to_sixteen_gives_the_known_answers(key, expected):
    np.testing.assert_allclose(apply_kernel(COUNTING, build_kernel(key)), expected, atol=1e-5)


def test_a_single_bright_pixel_draws_the_kernel_turned_and_flip_draws_it_upright():
    spot = np.zeros((5, 5))
    spot[2, 2] = 1
    kernel = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    np.testing.assert_array_equal(apply_kernel(spot, kernel), [[9, 8, 7], [6, 5, 4], [3, 2, 1]])
    np.testing.assert_array_equal(apply_kernel(spot, kernel, flip=True), kernel)


@pytest.mark.parametrize(
    ("mode", "padded"),
    [
        ("zeros", [0, 0, 1, 2, 3, 0, 0]),
        ("reflect", [3, 2, 1, 2, 3, 2, 1]),
        ("replicate", [1, 1, 1, 2, 3, 3, 3]),
        ("circular", [2, 3, 1, 2, 3, 1, 2]),
    ],
)
def test_each_padding_mode_puts_the_known_numbers_beside_a_row(mode, padded):
    np.testing.assert_array_equal(apply_kernel([[1, 2, 3]], [[1]], padding=(0, 2), padding_mode=mode), [padded])


def test_dilation_two_takes_every_second_pixel_and_stride_two_every_second_window():
    row = [[1, 2, 3, 4, 5, 6, 7]]
    np.testing.assert_array_equal(apply_kernel(row, [[1, 1, 1]], dilation=2), [[9, 12, 15]])
    np.testing.assert_array_equal(apply_kernel(row, [[1, 1, 1]], stride=2), [[6, 12, 18]])


def test_bias_is_added_to_every_output_also_where_the_window_sees_padding_alone():
    np.testing.assert_array_equal(
        apply_kernel([[1.0]], [[2.0]], padding=1, bias=0.5), [[0.5, 0.5, 0.5], [0.5, 2.5, 0.5], [0.5, 0.5, 0.5]]
    )


def test_responses_are_not_clipped():
    step = np.repeat([[0.0, 0.0, 1.0, 1.0]], 4, axis=0)
    assert apply_kernel(step, build_kernel("sobel_x")).max() == 4
    assert apply_kernel(1 - step, build_kernel("sobel_x")).min() == -4


# --- references -------------------------------------------------------------------------------------------------


@settings(max_examples=400)
@given(cases())
def test_it_equals_conv2d_for_every_combination_of_settings(case):
    image, kernel, chosen = case
    expected = by_torch(image, kernel, **chosen)
    response = apply_kernel(image, kernel, **chosen)
    assert response.shape == expected.shape
    np.testing.assert_allclose(response, expected, rtol=0, atol=1e-5)


@settings(max_examples=150)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(4, 16), st.integers(4, 16)), elements=st.floats(-1e6, 1e6, width=32)),
    hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(-1e3, 1e3, width=32)),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from(PADDING_MODES),
)
def test_it_equals_conv2d_for_large_numbers_in_proportion(image, kernel, stride, padding, mode):
    chosen = {"stride": stride, "padding": padding, "padding_mode": mode}
    scale = max(1.0, float(np.abs(image).max()) * float(np.abs(kernel).sum()))
    np.testing.assert_allclose(
        apply_kernel(image, kernel, **chosen), by_torch(image, kernel, **chosen), rtol=0, atol=1e-5 * scale
    )


@pytest.mark.parametrize("side", [8, 11, 12, 13, 31, 64])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_large_kernels_equal_conv2d_where_opencv_turns_to_fourier(side, stride, dilation):
    image, kernel = uniform((150, 140)), uniform((side, side), 1)
    chosen = {"stride": stride, "dilation": dilation, "padding": side // 2}
    # The limit of 1e-5 is for kernels up to 11 × 11; sums of 4096 float32 products round more.
    np.testing.assert_allclose(
        apply_kernel(image, kernel, **chosen),
        by_torch(image, kernel, **chosen),
        rtol=0,
        atol=1e-5 if side < 12 else 5e-5,
    )


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (2, 3)])
def test_thin_pictures_equal_conv2d(shape, mode):
    kernel = uniform((1 if shape[0] == 1 else 2, 1 if shape[1] == 1 else 2))
    padding = tuple(0 if size == 1 else 1 for size in shape)
    chosen = {"padding": padding, "padding_mode": mode}
    image = uniform(shape)
    np.testing.assert_allclose(apply_kernel(image, kernel, **chosen), by_torch(image, kernel, **chosen), atol=1e-6)


@pytest.mark.parametrize("key", KERNELS)
def test_every_preset_equals_filter2d_and_correlate2d(key):
    image, kernel = uniform((33, 47)), build_kernel(key)
    same = kernel.shape[0] // 2
    ours = apply_kernel(image, kernel, padding=same)
    by_cv2 = cv2.filter2D(image, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    np.testing.assert_allclose(ours, by_cv2, atol=1e-5)
    by_scipy = scipy.signal.correlate2d(image.astype(np.float64), kernel, mode="same")
    np.testing.assert_allclose(ours, by_scipy, atol=1e-5)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
def test_it_equals_the_loops_of_the_definition(shape, kernel_shape, stride, padding, dilation):
    for axis in (0, 1):
        assume(dilation[axis] * (kernel_shape[axis] - 1) + 1 <= shape[axis] + 2 * padding[axis])
    image, kernel = uniform(shape), uniform(kernel_shape, 1)
    chosen = {"stride": stride, "padding": padding, "dilation": dilation}
    np.testing.assert_allclose(apply_kernel(image, kernel, **chosen), by_loops(image, kernel, **chosen), atol=1e-5)


def test_true_convolution_is_scipys_convolve():
    image, kernel = uniform((20, 21)), uniform((4, 5), 1)
    np.testing.assert_allclose(
        apply_kernel(image, kernel, flip=True), scipy.signal.convolve2d(image, kernel, mode="valid"), atol=1e-5
    )


# --- laws -------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(cases(), st.floats(-2, 2), st.floats(-2, 2))
def test_it_is_linear_in_the_picture(case, a, b):
    image, kernel, chosen = case
    chosen["bias"] = 0.0
    other = uniform(image.shape, 99)
    mixed = apply_kernel(a * image + b * other, kernel, **chosen)
    parts = a * apply_kernel(image, kernel, **chosen) + b * apply_kernel(other, kernel, **chosen)
    np.testing.assert_allclose(mixed, parts, atol=1e-4)


@settings(max_examples=40)
@given(cases())
def test_turning_the_kernel_and_flipping_is_the_kernel_itself(case):
    image, kernel, chosen = case
    turned = apply_kernel(image, kernel[::-1, ::-1], **(chosen | {"flip": not chosen["flip"]}))
    np.testing.assert_array_equal(turned, apply_kernel(image, kernel, **chosen))


def test_shifting_the_picture_shifts_the_response():
    image, kernel = uniform((30, 30)), uniform((5, 5), 1)
    response = apply_kernel(image, kernel)
    np.testing.assert_allclose(apply_kernel(image[3:, 2:], kernel), response[3:, 2:], atol=1e-6)


def test_channels_are_filtered_each_by_itself():
    image, kernel = uniform((9, 8, 7)), uniform((3, 2), 1)
    response = apply_kernel(image, kernel, padding=1, stride=2)
    for channel in range(7):
        np.testing.assert_allclose(
            response[:, :, channel], apply_kernel(image[:, :, channel], kernel, padding=1, stride=2), atol=1e-6
        )


# --- what comes in and what goes out ----------------------------------------------------------------------------


@settings(max_examples=40)
@given(cases())
def test_the_result_is_the_callers_own_and_the_inputs_stay_untouched(case):
    image, kernel, chosen = case
    before = image.copy(), kernel.copy()
    image.flags.writeable = kernel.flags.writeable = False
    response = apply_kernel(image, kernel, **chosen)
    assert response.dtype == np.float32
    assert response.flags.c_contiguous
    assert response.flags.owndata
    assert not np.shares_memory(response, image)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(kernel, before[1])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.float16, np.float64])
def test_other_number_types_are_taken_as_float32(dtype):
    image = np.random.default_rng(0).integers(0, 2, (6, 7)).astype(dtype)
    expected = apply_kernel(image.astype(np.float32), build_kernel("sobel_x"))
    np.testing.assert_array_equal(apply_kernel(image, build_kernel("sobel_x").astype(int)), expected)


def test_lists_slices_and_fortran_order_are_taken_too():
    image, kernel = uniform((12, 14)), uniform((3, 3), 1)
    expected = apply_kernel(image[::2, ::-1].copy(), kernel)
    np.testing.assert_array_equal(apply_kernel(image[::2, ::-1], np.asfortranarray(kernel)), expected)
    np.testing.assert_array_equal(apply_kernel(image[::2, ::-1].tolist(), kernel.tolist()), expected)


GOOD = np.ones((4, 5), np.float32)
BOX = np.ones((3, 3), np.float32)


@pytest.mark.parametrize(
    ("image", "kernel", "chosen", "says"),
    [
        (np.ones(4), BOX, {}, "shape 4;"),
        (np.ones((2, 4, 5, 3)), BOX, {}, "2 × 4 × 5 × 3"),
        (np.float32(1), BOX, {}, "a single number"),
        (np.ones((0, 5)), BOX, {}, "empty"),
        (np.ones((4, 5, 0)), BOX, {}, "empty"),
        (np.ones((4, 5), complex), BOX, {}, "complex128"),
        (np.array([[1, "a"]], object), [[1]], {}, "object"),
        ([[1, 2], [3]], [[1]], {}, "different lengths"),
        (GOOD, [[1, 2], [3]], {}, "different lengths"),
        (GOOD, [[1, np.nan]], {}, "row 1, column 2"),
        (GOOD, [[1], [np.inf]], {}, "row 2, column 1"),
        (GOOD, [[1, None]], {}, "empty cells"),
        (GOOD, [["a"]], {}, "real numbers"),
        (GOOD, [], {}, "empty"),
        (GOOD, [[]], {}, "empty"),
        (GOOD, [1, 2], {}, "1 dimension"),
        (GOOD, np.ones((1, 65)), {}, "1 × 65"),
        (GOOD, np.ones((5, 1)), {}, "window is 5 px high"),
        (GOOD, np.ones((1, 3)), {"dilation": 3}, "window is 7 px wide"),
        (GOOD, BOX, {"stride": 0}, "at least 1, got 0"),
        (GOOD, BOX, {"stride": (1, 2, 3)}, "got 3 numbers"),
        (GOOD, BOX, {"stride": 1.5}, "whole number"),
        (GOOD, BOX, {"stride": True}, "whole number"),
        (GOOD, BOX, {"padding": -1}, "at least 0, got -1"),
        (GOOD, BOX, {"padding": MAX_PADDING + 1}, str(MAX_PADDING)),
        (GOOD, BOX, {"dilation": 0}, "at least 1"),
        (GOOD, BOX, {"padding": 4, "padding_mode": "reflect"}, "up to 3"),
        (GOOD, BOX, {"padding": (0, 6), "padding_mode": "circular"}, "up to 5"),
        (GOOD, BOX, {"padding_mode": "mirror"}, "zeros, reflect, replicate, circular"),
        (GOOD, BOX, {"bias": np.nan}, "finite"),
        (GOOD, BOX, {"bias": "much"}, "finite"),
    ],
)
def test_what_cannot_be_used_is_rejected_with_a_sentence(image, kernel, chosen, says):
    with pytest.raises(InputRejected) as rejection:
        apply_kernel(image, kernel, **chosen)
    text = str(rejection.value)
    assert says in text
    assert text.endswith(".")
    assert text.count(". ") >= 1, "what came and what to do are two sentences"


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_padding_limits_are_those_of_pytorch(mode):
    for size in (1, 3):
        for padding in range(6):
            chosen = {"padding": padding, "padding_mode": mode}
            try:
                expected = by_torch(np.ones((size, size)), [[1.0]], **chosen)
            except RuntimeError:
                with pytest.raises(InputRejected):
                    apply_kernel(np.ones((size, size)), [[1.0]], **chosen)
            else:
                np.testing.assert_allclose(apply_kernel(np.ones((size, size)), [[1.0]], **chosen), expected)


def test_pytorch_is_not_loaded():
    code = "import sys, cnnlab.ops; sys.exit('torch' in sys.modules or 'streamlit' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


# --- sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"), [(5, 3, 1, 1, 5), (640, 3, 2, 0, 319), (32, 3, 1, 0, 30)]
)
def test_output_sizes_worked_out_by_hand(size, kernel, stride, padding, expected):
    assert output_size(size, kernel, stride=stride, padding=padding) == expected


@settings(max_examples=80)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(1, 3))
def test_output_size_is_the_size_of_the_output(size, kernel, stride, padding, dilation):
    assume(dilation * (kernel - 1) + 1 <= size + 2 * padding)
    chosen = {"stride": stride, "padding": padding, "dilation": dilation}
    formula = size_formula(size, kernel, **chosen)
    # A column of its own number shows which columns no window reaches.
    response = apply_kernel(np.ones((size, size)), np.ones((kernel, kernel)), **chosen)
    assert response.shape == (formula.value, formula.value)
    last_seen = (formula.value - 1) * stride - padding + dilation * (kernel - 1)
    assert formula.dropped == max(0, size - 1 - last_seen)


def test_the_formula_shows_the_fraction_before_it_is_rounded_down():
    formula = size_formula(640, 3, stride=2)
    assert formula.latex == (
        r"\left\lfloor\frac{640+2\cdot0-1\cdot(3-1)-1}{2}\right\rfloor+1 = \lfloor 318.5 \rfloor + 1 = 319"
    )
    assert formula.dropped == 1
    assert size_formula(5, 3, padding=1).latex.endswith(r"\right\rfloor+1 = 4 + 1 = 5")
    assert r"\lfloor \tfrac{7}{3} \rfloor + 1 = 3" in size_formula(10, 3, stride=3).latex
    assert formula.latex_symbols == r"\left\lfloor\frac{W+2P-D(K-1)-1}{S}\right\rfloor+1"


def test_padding_that_no_window_reaches_is_not_counted_as_dropped_picture():
    assert size_formula(640, 3, stride=2, padding=1).dropped == 0


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ((2, 3, {}), "window is 3 px long"),
        ((0, 3, {}), "Input size"),
        ((5, 0, {}), "Kernel size"),
        ((5, 3, {"stride": 0}), "Stride"),
        ((5, 3, {"padding": -1}), "Padding"),
        ((5, 3, {"dilation": 3}), "window is 7 px long"),
    ],
)
def test_sizes_that_make_no_sense_are_rejected(numbers, says):
    size, kernel, chosen = numbers
    with pytest.raises(InputRejected, match=says):
        output_size(size, kernel, **chosen)


# --- sums over channels -----------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(cases())
def test_a_sum_over_channels_is_the_partial_maps_plus_one_bias(case):
    image, kernel, chosen = case
    assume(image.ndim == 3)
    parts = channel_sum(image, kernel, **chosen)
    assert parts.partials_chw.shape[0] == image.shape[2]
    np.testing.assert_allclose(parts.total_hw, parts.partials_chw.sum(axis=0) + chosen["bias"], atol=1e-5)
    expected = by_torch(image, kernel, **(chosen | {"bias": 0.0})).sum(axis=2) + chosen["bias"]
    np.testing.assert_allclose(parts.total_hw, expected, atol=5e-5)


def test_a_sum_over_channels_needs_channels():
    with pytest.raises(InputRejected, match="colour picture"):
        channel_sum(GOOD, BOX)


# --- step by step -----------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(cases(largest_kernel=4), st.data())
def test_the_products_of_a_step_sum_up_to_the_response(case, data):
    image, kernel, chosen = case
    image = image if image.ndim == 2 else image[:, :, 0]
    response = apply_kernel(image, kernel, **chosen)
    top, left = (data.draw(st.integers(0, size - 1)) for size in response.shape)
    height, width = (
        data.draw(st.integers(1, min(3, n - at))) for n, at in zip(response.shape, (top, left), strict=True)
    )
    steps = window_steps(image, kernel, **chosen, outputs=(top, left, height, width))
    assert steps.output_origin == (top, left)
    assert steps.patch_hw.dtype == np.float32
    assert steps.is_padding_hw.shape == steps.patch_hw.shape
    np.testing.assert_allclose(steps.output_hw, response[top : top + height, left : left + width], atol=1e-5)
    for row in range(height):
        for col in range(width):
            each = products(steps, row, col)
            assert each.shape == kernel.shape
            assert float(each.sum()) + steps.bias == pytest.approx(float(steps.output_hw[row, col]), abs=1e-5)


@settings(max_examples=40)
@given(cases(largest_kernel=4))
def test_the_patch_shows_the_picture_where_it_is_not_padding(case):
    image, kernel, chosen = case
    image = image if image.ndim == 2 else image[:, :, 0]
    steps = window_steps(image, kernel, **chosen)
    for (row, col), value in np.ndenumerate(steps.patch_hw):
        y, x = row + steps.origin[0], col + steps.origin[1]
        is_inside = 0 <= y < image.shape[0] and 0 <= x < image.shape[1]
        assert steps.is_padding_hw[row, col] == (not is_inside)
        if is_inside:
            assert value == image[y, x]


def test_the_first_step_over_a_padded_picture_by_hand():
    steps = window_steps(COUNTING, build_kernel("box_blur"), padding=1, outputs=(0, 0, 1, 1))
    np.testing.assert_array_equal(steps.patch_hw, [[0, 0, 0], [0, 1, 2], [0, 5, 6]])
    np.testing.assert_array_equal(steps.is_padding_hw, [[1, 1, 1], [1, 0, 0], [1, 0, 0]])
    assert steps.origin == (-1, -1)
    np.testing.assert_allclose(products(steps, 0, 0) * 9, [[0, 0, 0], [0, 1, 2], [0, 5, 6]], rtol=1e-6)
    np.testing.assert_allclose(steps.output_hw, [[14 / 9]], rtol=1e-6)


def test_the_kernel_of_a_true_convolution_is_shown_as_applied():
    steps = window_steps(COUNTING, [[1, 2], [3, 4]], flip=True)
    np.testing.assert_array_equal(steps.kernel_hw, [[4, 3], [2, 1]])


@pytest.mark.parametrize("outputs", [(0, 0, 3, 1), (2, 0, 1, 1), (0, 0, 0, 1), (-1, 0, 1, 1), (0, 0, 1)])
def test_cells_outside_the_output_are_rejected(outputs):
    with pytest.raises(InputRejected):
        window_steps(COUNTING, BOX, outputs=outputs)


def test_products_of_a_cell_that_is_not_shown_are_rejected():
    steps = window_steps(COUNTING, BOX)
    with pytest.raises(InputRejected, match="2 rows and 2 columns"):
        products(steps, 2, 0)


def test_steps_need_a_grey_picture():
    with pytest.raises(InputRejected, match="Pick one channel"):
        window_steps(np.ones((4, 4, 3)), BOX)
