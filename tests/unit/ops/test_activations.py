import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn import functional as F

from cnnlab.ops import ACTIVATIONS

BY_TORCH = {
    "none": lambda x: x,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
}


def test_the_table_holds_the_six_in_order():
    assert list(ACTIVATIONS) == list(BY_TORCH)


@pytest.mark.parametrize("key", ACTIVATIONS)
@given(hnp.arrays(np.float32, st.integers(1, 20), elements=st.floats(-50, 50, width=32)))
def test_every_activation_equals_pytorch(key, values):
    np.testing.assert_allclose(
        ACTIVATIONS[key].apply(values), BY_TORCH[key](torch.from_numpy(values)).numpy(), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_huge_numbers_neither_overflow_nor_warn(key):
    values = np.array([-3e38, -1000, -89, 0, 89, 1000, 3e38], np.float32)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        answer = ACTIVATIONS[key].apply(values)
    np.testing.assert_allclose(answer, BY_TORCH[key](torch.from_numpy(values)).numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_the_result_is_a_fresh_float32_array_of_the_same_shape(key):
    values = np.linspace(-2, 2, 12).reshape(2, 3, 2)
    answer = ACTIVATIONS[key].apply(values)
    assert answer.dtype == np.float32
    assert answer.shape == values.shape
    values32 = values.astype(np.float32)
    assert not np.shares_memory(ACTIVATIONS[key].apply(values32), values32)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("none", [-1, 0, 2]),
        ("relu", [0, 0, 2]),
        ("leaky_relu", [-0.01, 0, 2]),
        ("tanh", [-0.76159416, 0, 0.96402758]),
        ("sigmoid", [0.26894142, 0.5, 0.88079708]),
        ("silu", [-0.26894142, 0, 1.76159416]),
    ],
)
def test_known_values(key, expected):
    np.testing.assert_allclose(ACTIVATIONS[key].apply([-1, 0, 2]), expected, atol=1e-7)


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_every_activation_has_a_label_and_a_balanced_formula(key):
    activation = ACTIVATIONS[key]
    assert activation.label
    assert activation.formula_latex.count("{") == activation.formula_latex.count("}")
