import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnnlab.errors import InputRejected
from cnnlab.ops import (
    ACTIVATIONS,
    KERNELS,
    MAX_KERNEL,
    PADDING_MODES,
    apply_kernel,
    build_kernel,
    channel_sum,
    check_kernel,
    format_kernel,
    kernel_json,
    kernel_torch_code,
    parse_kernel,
)

KEYS = [
    *("sobel_x", "sobel_y", "laplacian", "edge8", "box_blur", "sharpen"),
    *("identity", "gaussian", "prewitt_x", "prewitt_y", "scharr_x", "scharr_y"),
    *("emboss", "motion_blur", "log", "gabor", "random"),
]
PARAMETERS = [(key, parameter) for key, kernel in KERNELS.items() for parameter in kernel.parameters]
SUM_IS_ONE = ["box_blur", "sharpen", "identity", "gaussian", "emboss", "motion_blur"]
SUM_IS_ZERO = [key for key in KEYS if key not in SUM_IS_ONE and key != "random"]

any_kernel = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 11), st.integers(1, 11)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


# --- the table --------------------------------------------------------------------------------------------------


def test_the_table_holds_the_kernels_in_order():
    assert list(KERNELS) == KEYS


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        ("sobel_x", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
        ("sobel_y", [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
        ("laplacian", [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]),
        ("edge8", [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
        ("box_blur", [[np.float32(1 / 9)] * 3] * 3),
        ("sharpen", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
        ("identity", [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        ("prewitt_x", [[-1, 0, 1]] * 3),
        ("scharr_y", [[-3, -10, -3], [0, 0, 0], [3, 10, 3]]),
    ],
)
def test_fixed_kernels_are_the_ones_in_the_books(key, rows):
    np.testing.assert_array_equal(build_kernel(key), rows)


@pytest.mark.parametrize("key", KERNELS)
def test_every_kernel_is_a_fresh_float32_grid_with_a_label_and_a_sentence(key):
    kernel = build_kernel(key)
    assert kernel.dtype == np.float32
    assert kernel.ndim == 2
    assert max(kernel.shape) <= MAX_KERNEL
    assert np.isfinite(kernel).all()
    assert not np.shares_memory(kernel, build_kernel(key))
    assert KERNELS[key].label
    assert KERNELS[key].purpose.endswith(".")


@pytest.mark.parametrize("key", SUM_IS_ZERO)
def test_kernels_for_edges_give_nothing_on_flat_areas(key):
    assert abs(build_kernel(key).astype(float).sum()) < 1e-6


@pytest.mark.parametrize("key", SUM_IS_ONE)
def test_kernels_for_pictures_keep_the_brightness(key):
    assert build_kernel(key).astype(float).sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("key", "parameter"), PARAMETERS)
def test_every_parameter_works_from_end_to_end_of_its_range(key, parameter):
    assert parameter.minimum <= parameter.default <= parameter.maximum
    for value in (parameter.minimum, parameter.maximum):
        kernel = build_kernel(key, **{parameter.name: value})
        assert np.isfinite(kernel).all()
        assert max(kernel.shape) <= MAX_KERNEL
        if key in SUM_IS_ONE:
            assert kernel.astype(float).sum() == pytest.approx(1, abs=1e-6)
        if key in SUM_IS_ZERO:
            assert abs(kernel.astype(float).sum()) < 1e-5


@pytest.mark.parametrize(("key", "parameter"), PARAMETERS)
def test_every_parameter_refuses_what_lies_outside_its_range(key, parameter):
    for value in (parameter.minimum - parameter.step, parameter.maximum + parameter.step, np.nan, "much", None):
        with pytest.raises(InputRejected, match=parameter.label):
            build_kernel(key, **{parameter.name: value})
    if parameter.is_whole:
        with pytest.raises(InputRejected):
            build_kernel(key, **{parameter.name: parameter.minimum + 0.5})


def test_even_sizes_are_refused_where_a_middle_is_needed():
    with pytest.raises(InputRejected, match="in steps of 2"):
        build_kernel("gaussian", size=4)


def test_unknown_kernels_and_parameters_are_refused():
    with pytest.raises(InputRejected, match="sobel_x"):
        build_kernel("canny")
    with pytest.raises(InputRejected, match="size, sigma"):
        build_kernel("gaussian", width=3)
    with pytest.raises(InputRejected, match="none"):
        build_kernel("identity", size=3)


@pytest.mark.parametrize("size", [1, 5, 11])
@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_the_gaussian_is_opencvs(size, sigma):
    column = cv2.getGaussianKernel(size, sigma)
    np.testing.assert_allclose(build_kernel("gaussian", size=size, sigma=sigma), column @ column.T, atol=1e-7)


def test_the_gabor_is_opencvs_without_its_mean_and_scaled():
    reference = cv2.getGaborKernel((7, 7), 2.0, np.deg2rad(30), 4.0, 0.5, np.deg2rad(45))
    # OpenCV counts its coordinates down, which turns the grid by 180°.
    reference = reference[::-1, ::-1] - reference.mean()
    ours = build_kernel("gabor", orientation=30.0, phase=45.0)
    np.testing.assert_allclose(ours, reference * 2 / np.abs(reference).sum(), atol=1e-6)


def test_the_gabor_of_orientation_zero_finds_vertical_stripes():
    stripes = np.tile(np.cos(2 * np.pi * np.arange(32) / 4), (32, 1))
    upright = np.abs(apply_kernel(stripes, build_kernel("gabor", orientation=0.0))).max()
    lying = np.abs(apply_kernel(stripes, build_kernel("gabor", orientation=90.0))).max()
    assert upright > 10 * lying


def test_motion_blur_lies_along_its_angle():
    level = build_kernel("motion_blur", length=5, angle=0.0)
    np.testing.assert_allclose(level[2], 1 / 5, atol=1e-6)
    assert np.count_nonzero(level) == 5
    np.testing.assert_allclose(build_kernel("motion_blur", length=5, angle=90.0), level.T, atol=1e-6)
    rising = build_kernel("motion_blur", length=5, angle=45.0)
    assert rising[1, 3] > 0.1, "45 degrees goes up to the right"
    assert rising[1, 1] == 0


def test_the_laplacian_of_gaussian_answers_to_bright_spots_positively():
    kernel = build_kernel("log")
    assert kernel.argmax() == kernel.size // 2
    assert kernel[3, 3] > 0 > kernel[3, 1]


def test_the_same_seed_gives_the_same_random_kernel_and_another_seed_another():
    np.testing.assert_array_equal(build_kernel("random", seed=3), build_kernel("random", seed=3))
    assert (build_kernel("random", seed=3) != build_kernel("random", seed=4)).any()
    assert np.abs(build_kernel("random", size=5)).max() <= 1 / 5


# --- reading and writing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "0,-1,0;-1,5,-1;0,-1,0",
        "0\t-1\t0\n-1\t5\t-1\n0\t-1\t0\n",
        "0\t-1\t0\r\n-1\t5\t-1\r\n0\t-1\t0\r\n",
        "0 -1 0\n-1 5 -1\n0 -1 0",
        "  0 ,  -1, 0 ;\n -1,5 , -1;\n\n0, -1, 0 ; ",
        "0 −1 0; −1 5 −1; 0 −1 0",
        "[[0, -1, 0], [-1, 5, -1], [0, -1, 0]]",
        "[[0. -1. 0.]\n [-1. 5. -1.]\n [0. -1. 0.]]",
        "0/3,-1,0;-1,10/2,-2/2;0,-1 / 1,+0e3",
    ],
)
def test_the_same_kernel_is_read_however_it_is_written(text):
    np.testing.assert_array_equal(parse_kernel(text), build_kernel("sharpen"))


def test_fractions_are_read_as_the_nearest_float32():
    np.testing.assert_array_equal(parse_kernel("1/9 1/9 1/9\n" * 3), build_kernel("box_blur"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no numbers"),
        (" ;\n ", "no numbers"),
        ("[]", "no numbers"),
        ("1,2;3", "Row 2 has 1 numbers, row 1 has 2"),
        ("1,,2", "Row 1 has an empty cell"),
        ("1,2,", "Row 1 has an empty cell"),
        ("1\t\t2", "Row 1 has an empty cell"),
        ("1;two", "Row 2 holds 'two'"),
        ("nan", "holds 'nan'"),
        ("inf", "holds 'inf'"),
        ("1_0", "holds '1_0'"),
        ("0x1", "holds '0x1'"),
        ("1/0", "divides by zero"),
        ("1/2/3", "holds '1/2/3'"),
        ("0,5\t0,25", "decimal comma"),
        ("0,5 0,25", "decimal comma"),
        ("1e39", "too large for float32"),
        ("1e999", "too large for float32"),
        ("1 " * 65, "1 × 65"),
        ("1;" * 200_001, "characters"),
    ],
)
def test_text_that_is_no_kernel_is_refused_with_the_place(text, says):
    with pytest.raises(InputRejected) as rejection:
        parse_kernel(text)
    assert says in str(rejection.value)


@settings(max_examples=200)
@given(any_kernel)
def test_what_is_written_reads_back_to_the_very_same_numbers(kernel):
    back = parse_kernel(format_kernel(kernel))
    np.testing.assert_array_equal(back, kernel)
    np.testing.assert_array_equal(np.signbit(back), np.signbit(kernel))


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        kernel = parse_kernel(text)
    except InputRejected:
        return
    assert kernel.ndim == 2


def test_written_kernels_are_short():
    assert format_kernel(build_kernel("sobel_x")) == "-1,0,1;-2,0,2;-1,0,1"
    assert format_kernel([[0.5, -0.25, 1e-5, 1e20, 0.1]]) == ".5,-.25,1e-5,1e20,.1"


def test_checking_makes_a_copy_and_refuses_the_rest():
    kernel = build_kernel("sharpen")
    assert not np.shares_memory(check_kernel(kernel), kernel)
    with pytest.raises(InputRejected, match="row 1, column 2"):
        check_kernel([[0, np.inf]])


@settings(max_examples=60)
@given(any_kernel)
def test_json_reads_back_to_the_very_same_numbers(kernel):
    read = json.loads(
        kernel_json(kernel, stride=(2, 1), padding_mode="reflect", bias=0.5, flip=True, activation="relu")
    )
    np.testing.assert_array_equal(np.array(read.pop("kernel"), np.float32), kernel)
    assert read == {
        "stride": [2, 1],
        "padding": 0,
        "padding_mode": "reflect",
        "dilation": 1,
        "bias": 0.5,
        "flip": True,
        "activation": "relu",
    }


@settings(max_examples=80)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(-2, 2, width=32)),
    st.sampled_from([1, 2, (1, 1), (2, 1)]),
    st.sampled_from([0, 1, (0, 2), (3, 1)]),
    st.sampled_from(PADDING_MODES),
    st.sampled_from([1, 2, (1, 2)]),
    st.floats(-1, 1, width=32),
    st.booleans(),
    st.sampled_from(list(ACTIVATIONS)),
)
def test_the_exported_code_runs_and_gives_our_numbers(kernel, stride, padding, mode, dilation, bias, flip, activation):
    image = np.random.default_rng(0).uniform(-1, 1, (12, 11)).astype(np.float32)
    chosen = {
        "stride": stride,
        "padding": padding,
        "padding_mode": mode,
        "dilation": dilation,
        "bias": bias,
        "flip": flip,
    }
    scope: dict = {}
    exec(kernel_torch_code(kernel, **chosen, activation=activation), scope)
    ours = ACTIVATIONS[activation].apply(apply_kernel(image, kernel, **chosen))
    theirs = scope["respond"](torch.from_numpy(image)[None, None])[0, 0]
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("channels", ["each", "sum"])
def test_the_exported_code_treats_channels_as_we_do(channels):
    image = np.random.default_rng(0).uniform(0, 1, (9, 8, 3)).astype(np.float32)
    kernel, chosen = build_kernel("sharpen"), {"padding": 2, "padding_mode": "reflect", "stride": 2, "bias": 0.25}
    scope: dict = {}
    exec(kernel_torch_code(kernel, **chosen, channels=channels), scope)
    theirs = scope["respond"](torch.from_numpy(image).permute(2, 0, 1)[None])[0].numpy()
    if channels == "each":
        ours = np.moveaxis(apply_kernel(image, kernel, **chosen), -1, 0)
    else:
        ours = channel_sum(image, kernel, **chosen).total_hw[None]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_code_for_an_unknown_use_of_channels_is_refused():
    with pytest.raises(InputRejected, match="grey, each, sum"):
        kernel_torch_code([[1]], channels="cmyk")


def test_exported_code_says_no_more_than_needed():
    assert kernel_torch_code(build_kernel("sobel_x"), padding=1, activation="relu") == (
        "import torch\n"
        "from torch.nn import functional as F\n"
        "\n"
        "kernel = torch.tensor(\n"
        "    [\n"
        "        [-1.0, 0.0, 1.0],\n"
        "        [-2.0, 0.0, 2.0],\n"
        "        [-1.0, 0.0, 1.0],\n"
        "    ]\n"
        ")\n"
        "\n"
        "\n"
        "def respond(x):\n"
        '    """x: images, shape (N, 1, H, W), values 0 to 1."""\n'
        "    return F.relu(F.conv2d(x, kernel[None, None], padding=1))\n"
    )


def test_code_for_an_unknown_activation_is_refused():
    with pytest.raises(InputRejected, match="leaky_relu"):
        kernel_torch_code([[1]], activation="gelu")
