import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cnnlab.ops import ACTIVATIONS, PADDING_MODES, window_steps
from cnnlab.ui.components import unpack
from cnnlab.ui.components.conv_steps import conv_steps

MATH = "conv_steps/math.js"
NUMPY_ACTIVATIONS = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.01 * x),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


def correlate(patch, kernel, stride, dilation, bias):
    """Each tap as one shifted and strided copy of the whole input: another way round than window by window."""
    patch, kernel = patch.astype(np.float64), kernel.astype(np.float64)
    rows, cols = (
        (patch.shape[axis] - (kernel.shape[axis] - 1) * dilation[axis] - 1) // stride[axis] + 1 for axis in (0, 1)
    )
    total = np.full((rows, cols), bias, np.float64)
    for (i, j), weight in np.ndenumerate(kernel):
        top, left = i * dilation[0], j * dilation[1]
        total += (
            weight
            * patch[top : top + rows * stride[0] : stride[0], left : left + cols * stride[1] : stride[1]][:rows, :cols]
        )
    return total


def convolution(patch, kernel, stride=(1, 1), dilation=(1, 1), bias=0.0, activation="none", wrong=None):
    patch, kernel = np.asarray(patch, np.float32), np.asarray(kernel, np.float32)
    output = correlate(patch, kernel, stride, dilation, bias)
    activated = NUMPY_ACTIVATIONS[activation](output)
    if wrong is not None:
        output[wrong] += 0.01 + 0.01 * abs(output[wrong])
    return {
        "patchSize": list(patch.shape),
        "kernelSize": list(kernel.shape),
        "outputSize": list(output.shape),
        "stride": list(stride),
        "dilation": list(dilation),
        "patch": patch,
        "kernel": kernel,
        "bias": bias,
        "activation": activation,
        "negativeSlope": 0.01,
        "output": output.astype(np.float32),
        "activated": activated.astype(np.float32),
    }, activated


CASES = [
    ((5, 5), (3, 3), (1, 1), (1, 1)),
    ((7, 9), (3, 3), (2, 2), (1, 1)),
    ((9, 8), (2, 2), (2, 1), (1, 1)),
    ((11, 12), (3, 3), (1, 2), (2, 2)),
    ((12, 10), (4, 2), (3, 2), (1, 3)),
    ((13, 13), (7, 7), (2, 3), (1, 1)),
    ((4, 4), (1, 1), (1, 1), (1, 1)),
    ((5, 5), (5, 5), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), CASES)
def test_the_browser_computes_what_numpy_does(javascript, size, kernel, stride, dilation, activation):
    rng = np.random.default_rng(len(activation) + size[0])
    conv, expected = convolution(rng.normal(size=size), rng.normal(size=kernel), stride, dilation, -0.3, activation)
    (result,) = javascript(MATH, ("checked", conv))
    np.testing.assert_allclose(np.reshape(result["results"], expected.shape), expected, rtol=1e-9, atol=1e-12)
    assert result["fault"] is None


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("seed", range(6))
def test_the_browser_computes_what_the_core_does(javascript, seed, activation):
    rng = np.random.default_rng([seed, len(activation)])
    steps = window_steps(
        rng.normal(size=rng.integers(6, 14, 2)).astype(np.float32),
        rng.normal(size=rng.integers(1, 5, 2)),
        stride=tuple(rng.integers(1, 4, 2).tolist()),
        padding=int(rng.integers(0, 3)),
        padding_mode=str(rng.choice(PADDING_MODES)),
        dilation=int(rng.integers(1, 3)),
        bias=float(rng.normal()),
        flip=bool(seed % 2),
    )
    activated = ACTIVATIONS[activation].apply(steps.output_hw)
    conv = {
        "patchSize": list(steps.patch_hw.shape),
        "kernelSize": list(steps.kernel_hw.shape),
        "outputSize": list(steps.output_hw.shape),
        "stride": list(steps.stride),
        "dilation": list(steps.dilation),
        "patch": steps.patch_hw,
        "kernel": steps.kernel_hw,
        "bias": steps.bias,
        "activation": activation,
        "negativeSlope": 0.01,
        "output": steps.output_hw,
        "activated": activated,
    }
    (result,) = javascript(MATH, ("checked", conv))
    assert result["fault"] is None
    np.testing.assert_allclose(np.reshape(result["results"], activated.shape), activated, atol=1e-5)


def test_a_sum_worked_out_by_hand(javascript):
    conv, _ = convolution([[1, 2, 0], [0, 3, 1], [4, 0, 2]], [[-1, 0], [2, 1]], bias=0.5, activation="relu")
    (corner,) = javascript(MATH, ("responseAt", conv, 1, 1))
    assert [(term["row"], term["col"], term["product"]) for term in corner["terms"]] == [
        (1, 1, -3),
        (1, 2, 0),
        (2, 1, 0),
        (2, 2, 2),
    ]
    assert (corner["sum"], corner["biased"], corner["result"]) == (-1, -0.5, 0)
    texts = javascript(MATH, *(("termText", term, index == 0) for index, term in enumerate(corner["terms"])))
    assert texts == ["3·(−1)", "+ 1·0", "+ 0·2", "+ 2·1"]


def test_a_wrong_output_is_found(javascript):
    rng = np.random.default_rng(0)
    conv, _ = convolution(rng.normal(size=(6, 6)), rng.normal(size=(3, 3)), wrong=(2, 1))
    (result,) = javascript(MATH, ("checked", conv))
    assert (result["fault"]["row"], result["fault"]["col"]) == (2, 1)


def test_a_wrong_activation_is_found(javascript):
    conv, _ = convolution([[-1.0]], [[1.0]], activation="relu")
    conv["activated"] = np.array([[-1.0]], np.float32)
    (result,) = javascript(MATH, ("checked", conv))
    assert result["fault"] == {"row": 0, "col": 0, "ours": 0, "theirs": -1}


def test_rounding_of_terms_that_cancel_is_no_fault(javascript):
    conv, _ = convolution([[1e6, -1e6, 1e-3]], [[1.0, 1.0, 1.0]])
    conv["output"] = np.array([[0.0]], np.float32)
    (result,) = javascript(MATH, ("checked", conv))
    assert result["fault"] is None


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), CASES)
def test_users_of_an_input_are_those_whose_terms_name_it(javascript, size, kernel, stride, dilation):
    conv, activated = convolution(np.zeros(size), np.zeros(kernel), stride, dilation)
    outputs = list(np.ndindex(activated.shape))
    terms = javascript(MATH, *(("termsAt", conv, row, col) for row, col in outputs))
    expected = {place: set() for place in np.ndindex(size)}
    for (row, col), ones in zip(outputs, terms, strict=True):
        for tap, term in enumerate(ones):
            expected[term["row"], term["col"]].add((row, col, tap))
    users = javascript(MATH, *(("usersOf", conv, row, col) for row, col in expected))
    for found, wanted in zip(users, expected.values(), strict=True):
        assert {(user["row"], user["col"], user["tap"]) for user in found} == wanted
        assert len(found) == len(wanted)


@pytest.mark.parametrize(
    ("name", "before", "after", "text"),
    [
        ("none", 8.5, 8.5, ""),
        ("relu", 8.5, 8.5, "ReLU(8.5) = 8.5"),
        ("leaky_relu", -2, -0.02, "LeakyReLU(−2) = 0.01·(−2) = −0.02"),
        ("tanh", 0, 0, "tanh(0) = 0"),
        ("sigmoid", 0, 0.5, "sigmoid(0) = 0.5"),
        ("silu", -1, -0.2689, "SiLU(−1) = (−1)·sigmoid(−1) = −0.269"),
    ],
)
def test_an_activation_is_written_out(javascript, name, before, after, text):
    assert javascript(MATH, ("activationText", name, before, after, 0.01)) == [text]


def test_activations_of_the_ends_of_the_line(javascript):
    infinity = float("inf")
    assert javascript(
        MATH, ("activate", "silu", -infinity), ("activate", "sigmoid", -infinity), ("activate", "silu", infinity)
    ) == [0, 0, infinity]


@pytest.mark.parametrize("width", [240, 500, 700, 1300])
@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), [*CASES, ((64, 64), (11, 11), (1, 1), (1, 1))])
def test_the_matrices_fit_the_width(javascript, width, size, kernel, stride, dilation):
    conv, activated = convolution(np.zeros(size), np.zeros(kernel), stride, dilation)
    side_by_side = width >= 640
    (sides,) = javascript(MATH, ("cellSides", width, side_by_side, conv))
    widths = [size[1] * sides["input"], kernel[1] * sides["kernel"], activated.shape[1] * sides["output"]]
    assert (sum(widths) if side_by_side else max(widths)) <= width + 1e-9
    assert sides["input"] == sides["output"]


def page():
    import numpy as np

    from cnnlab.ui.components.conv_steps import conv_steps

    conv_steps(
        key="steps",
        patch=np.arange(12.0).reshape(3, 4),
        is_padding=np.eye(3, 4, dtype=bool),
        kernel=[[1, -1]],
        output=np.full((3, 3), -1.0),
        activated=np.zeros((3, 3)),
        activation="relu",
        origin=(-1, 0),
        tint=np.zeros((256, 3), np.uint8),
    )


def test_arrays_arrive_in_the_browser_as_they_were(javascript):
    at = AppTest.from_function(page).run()
    assert not at.exception
    header, body = unpack(at.get("bidi_component")[0].proto.bytes)
    (conv,) = javascript(MATH, ("convolutionOf", header, np.frombuffer(body, np.uint8)))
    assert conv["patch"] == list(range(12))
    assert conv["kernel"] == [1, -1]
    assert conv["output"] == [-1] * 9
    assert conv["activated"] == [0] * 9
    assert conv["padding"] == np.eye(3, 4).ravel().tolist()
    assert header["origin"] == [-1, 0]


@pytest.mark.parametrize(
    "change",
    [
        {"patch": np.zeros(4)},
        {"output": np.zeros((4, 4))},
        {"activated": np.zeros((1, 1))},
        {"is_padding": np.zeros((1, 1))},
        {"stride": 2},
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(change, diverging):
    sound = {"patch": np.zeros((4, 4)), "kernel": np.zeros((3, 3)), "output": np.zeros((2, 2)), "tint": diverging}
    with pytest.raises(TypeError):
        conv_steps(key="x", **{**sound, **change})
