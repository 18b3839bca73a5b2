"""What comes after a convolution: the pointwise functions, as PyTorch defines them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A function applied to every value by itself.

    Attributes:
        label: Name as shown.
        formula_latex: Definition in KaTeX.
        apply: The function; takes any shape and real numbers, gives float32 of the same shape.
    """

    label: str
    formula_latex: str
    apply: Callable[[ArrayLike], Float32Array]


def _none(x: ArrayLike) -> Float32Array:
    return np.array(x, dtype=np.float32)


def _relu(x: ArrayLike) -> Float32Array:
    return np.maximum(np.asarray(x, dtype=np.float32), np.float32(0))


def _leaky_relu(x: ArrayLike) -> Float32Array:
    values = np.asarray(x, dtype=np.float32)
    return np.where(values >= 0, values, values * np.float32(0.01))


def _tanh(x: ArrayLike) -> Float32Array:
    return np.tanh(np.asarray(x, dtype=np.float32))


def _sigmoid(x: ArrayLike) -> Float32Array:
    values: Float32Array = np.asarray(x, dtype=np.float32)
    # e^-|x| never overflows; 1/(1 + e^-x) would for x below -88.
    small = np.exp(-np.abs(values))
    share = np.where(values >= 0, np.ones_like(small), small) / (1 + small)
    return share.astype(np.float32, copy=False)


def _silu(x: ArrayLike) -> Float32Array:
    values = np.asarray(x, dtype=np.float32)
    return values * _sigmoid(values)


ACTIVATIONS: dict[str, Activation] = {
    "none": Activation(label="None", formula_latex="x", apply=_none),
    "relu": Activation(label="ReLU", formula_latex=r"\max(0, x)", apply=_relu),
    "leaky_relu": Activation(
        label="Leaky ReLU",
        formula_latex=r"\begin{cases}x & x \ge 0\\ 0.01\,x & x < 0\end{cases}",
        apply=_leaky_relu,
    ),
    "tanh": Activation(label="Tanh", formula_latex=r"\tanh(x)", apply=_tanh),
    "sigmoid": Activation(label="Sigmoid", formula_latex=r"\sigma(x) = \frac{1}{1 + e^{-x}}", apply=_sigmoid),
    "silu": Activation(label="SiLU", formula_latex=r"x \cdot \sigma(x) = \frac{x}{1 + e^{-x}}", apply=_silu),
}
