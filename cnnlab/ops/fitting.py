"""Find the kernel that turns one picture into another, by gradient descent: training at its smallest.

Write the window of every output cell as a row of a matrix A (N outputs × m weights; a column of ones is added when a
bias is learned too), the target as a vector y. The mean squared error is a quadratic in the weights k:

    loss(k) = ‖Ak − y‖² / N = kᵀGk − 2bᵀk + c      G = AᵀA/N,  b = Aᵀy/N,  c = yᵀy/N
    gradient(k) = 2 (Gk − b)

G, b and c are summed once. After that a step costs m² multiply-adds instead of N·m, and its gradient is still the
exact one over all pixels, the one automatic differentiation finds; nothing is sampled.

Neighbouring pixels of a photograph resemble each other, so G is badly conditioned: the ratio κ of its largest to its
smallest eigenvalue is about 10⁴ for 3 × 3 and 5 · 10⁵ for 11 × 11 on a photograph of 256 × 256. Plain descent
needs about κ steps. Nesterov's method needs about √κ (Y. Nesterov, Introductory Lectures on Convex Optimization,
2004, section 2.2, constant step scheme):

    k' = v − gradient(v) / L        v' = k' + (√κ − 1)/(√κ + 1) · (k' − k)

with L = 2λ_max. Heavy-ball momentum with its best constants would be twice as fast still, but its loss first rises
by up to κ, which nobody wants to watch.

Where the picture says nothing about some combination of weights (flat areas, stripes), G has eigenvalues of zero.
The gradient has no component there, those combinations keep their start values, and the loss converges all the same;
κ is then taken over the rest. `determined` says whether it happened.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cnnlab.errors import InputRejected
from cnnlab.ops.convolution import Pair, window_steps
from cnnlab.ops.kernels import MAX_KERNEL, as_float32, real_array

RANK_TOLERANCE = 1e-10
"""Eigenvalues of G below this share of the largest count as zero; rounding of the sums makes about 1e-14 of them."""

# Rows of A gathered at a time: 121 rows of this many doubles stay in the cache of one core.
_BAND_CELLS = 4096
_YIELDS_PER_DECADE = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitProblem:
    """The least-squares problem behind a fit.

    Attributes:
        kernel_shape: Rows and columns of the kernel sought.
        with_bias: Whether the last unknown is a bias.
        gram: G, shape (m, m).
        moment: b, shape (m,).
        energy: c, the mean square of the target: the loss of a kernel of zeros.
        eigenvalues: Of G, smallest first, shape (m,).
        rank: Number of eigenvalues that are not zero.
    """

    kernel_shape: Pair
    with_bias: bool
    gram: NDArray[np.float64]
    moment: NDArray[np.float64]
    energy: float
    eigenvalues: NDArray[np.float64]
    rank: int

    @property
    def unknowns(self) -> int:
        """Number m of weights sought, the bias included."""
        return self.moment.size

    @property
    def determined(self) -> bool:
        """Whether the picture allows one best kernel only."""
        return self.rank == self.unknowns

    @property
    def condition(self) -> float:
        """Ratio κ of the largest to the smallest eigenvalue that is not zero; 1 when all are zero."""
        return float(self.eigenvalues[-1] / self.eigenvalues[-self.rank]) if self.rank else 1.0

    def loss(self, weights: NDArray[np.float64]) -> float:
        """Mean squared error of these weights, shape (m,); rounding leaves about 1e-15 of `energy`."""
        return max(0.0, float(weights @ (self.gram @ weights - 2 * self.moment) + self.energy))

    def gradient(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Gradient of the loss, shape (m,)."""
        return 2 * (self.gram @ weights - self.moment)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitStep:
    """Where a fit stands.

    Attributes:
        step: Steps taken; 0 is the random start.
        loss: Mean squared error over the output.
        kernel_hw: The kernel so far, shape (h, w).
        bias: The bias so far; 0 when none is learned.
        gradient_norm: Length of the gradient, bias included.
        converged: Whether the kernel is within the tolerance of the best one; the fit ends there.
        determined: Whether the picture allows one best kernel only.
        rank: Number of weight combinations the picture says something about.
        unknowns: Number of weights sought, the bias included.
    """

    step: int
    loss: float
    kernel_hw: NDArray[np.float64]
    bias: float
    gradient_norm: float
    converged: bool
    determined: bool
    rank: int
    unknowns: int


def fit_kernel(
    source_hw: ArrayLike,
    target_hw: ArrayLike,
    kernel_shape: Pair,
    *,
    padding: int | Pair = 0,
    padding_mode: str = "zeros",
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    with_bias: bool = False,
    max_steps: int = 200_000,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> Iterator[FitStep]:
    """Learn the kernel that turns `source_hw` into `target_hw`.

    Args:
        source_hw: Grey picture, shape (H, W).
        target_hw: What it should become, shape as `output_size` says.
        kernel_shape: Rows and columns of the kernel, each 1 to 11.
        padding: As in `apply_kernel`.
        padding_mode: As in `apply_kernel`.
        stride: As in `apply_kernel`.
        dilation: As in `apply_kernel`.
        with_bias: Learn a bias too.
        max_steps: Stop after so many steps.
        tolerance: Stop when the weights are provably within this distance of the best ones (in the combinations the
            picture determines): the gradient is then shorter than 2 λ_min · tolerance.
        seed: Start values, uniform within ±1/√m as in `torch.nn.Conv2d`.

    Yields:
        The start, then steps evenly spaced on a logarithmic scale, then the last one. Stopping in between is free.

    Raises:
        InputRejected: At once, not at the first step: as in `apply_kernel`, or a target of the wrong size.
    """
    problem = fit_problem(
        source_hw,
        target_hw,
        kernel_shape,
        padding=padding,
        padding_mode=padding_mode,
        stride=stride,
        dilation=dilation,
        with_bias=with_bias,
    )
    if max_steps < 0 or not tolerance > 0:
        raise InputRejected(
            f"A fit needs 0 or more steps and a tolerance above 0, got {max_steps} and {tolerance}. Change them."
        )
    return _descend(problem, max_steps, tolerance, seed)


def fit_problem(
    source_hw: ArrayLike,
    target_hw: ArrayLike,
    kernel_shape: Pair,
    *,
    padding: int | Pair = 0,
    padding_mode: str = "zeros",
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    with_bias: bool = False,
) -> FitProblem:
    """Sum up G, b and c for a fit; arguments and errors are those of `fit_kernel`."""
    height, width = kernel_shape
    if not (1 <= height <= MAX_KERNEL and 1 <= width <= MAX_KERNEL):
        raise InputRejected(
            f"A kernel of {height} × {width} cannot be learned here; the lab learns 1 × 1 to {MAX_KERNEL} × "
            f"{MAX_KERNEL}. Take a smaller one."
        )
    steps = window_steps(
        source_hw,
        np.zeros((height, width)),
        stride=stride,
        padding=padding,
        padding_mode=padding_mode,
        dilation=dilation,
    )
    target = as_float32(real_array(target_hw, "Target")).astype(np.float64)
    if target.shape != steps.output_hw.shape:
        expected = " × ".join(map(str, steps.output_hw.shape))
        raise InputRejected(
            f"Target is {' × '.join(map(str, target.shape))}; a {height} × {width} kernel with these settings makes "
            f"{expected} of the source, by ⌊(W + 2P − D(K − 1) − 1)/S⌋ + 1 along each side. Take a target of that size "
            "or change the padding."
        )
    if not np.isfinite(target).all():
        raise InputRejected("Target holds values that are NaN or infinite. Replace them with finite numbers.")

    padded = steps.patch_hw.astype(np.float64)
    rows_out, cols_out = target.shape
    num_taps = height * width
    unknowns = num_taps + with_bias
    gram = np.zeros((unknowns, unknowns))
    moment = np.zeros(unknowns)
    band = max(1, _BAND_CELLS // cols_out)
    for first in range(0, rows_out, band):
        last = min(rows_out, first + band)
        windows = np.ones((unknowns, (last - first) * cols_out))
        for tap in range(num_taps):
            top = first * steps.stride[0] + tap // width * steps.dilation[0]
            left = tap % width * steps.dilation[1]
            cells = padded[top :: steps.stride[0], left :: steps.stride[1]][: last - first, :cols_out]
            windows[tap] = cells.ravel()
        gram += windows @ windows.T
        moment += windows @ target[first:last].ravel()
    gram /= target.size
    eigenvalues = np.linalg.eigvalsh(gram).astype(np.float64)
    return FitProblem(
        kernel_shape=(height, width),
        with_bias=with_bias,
        gram=gram,
        moment=moment / target.size,
        energy=float(np.mean(target**2)),
        eigenvalues=eigenvalues,
        rank=int(np.count_nonzero(eigenvalues > RANK_TOLERANCE * eigenvalues[-1])) if eigenvalues[-1] > 0 else 0,
    )


def _descend(problem: FitProblem, max_steps: int, tolerance: float, seed: int) -> Iterator[FitStep]:
    limit = 1 / math.sqrt(problem.unknowns)
    # A stream of its own: the random preset of the same seed would otherwise be where the search begins.
    weights = np.random.default_rng((seed, 1)).uniform(-limit, limit, problem.unknowns)
    steepest = 2 * float(problem.eigenvalues[-1])
    enough = tolerance * steepest / problem.condition
    root = math.sqrt(problem.condition)
    momentum = (root - 1) / (root + 1)
    ahead = weights
    step, next_shown = 0, 0
    while True:
        # The method measures the gradient a little ahead of the weights. It costs a second one to know how far the
        # weights themselves are, so that is asked only for showing and when the end seems near.
        gradient = problem.gradient(ahead)
        if step >= min(next_shown, max_steps) or float(gradient @ gradient) <= enough**2:
            own = problem.gradient(weights)
            norm = math.sqrt(float(own @ own))
            converged = norm <= enough
            if converged or step >= max_steps or step >= next_shown:
                yield _show(problem, step, weights, norm, converged)
                next_shown = max(step + 1, round(step * 10 ** (1 / _YIELDS_PER_DECADE)))
            if converged or step >= max_steps:
                return
        moved = ahead - gradient / steepest
        ahead = moved + momentum * (moved - weights)
        weights = moved
        step += 1


def _show(
    problem: FitProblem, step: int, weights: NDArray[np.float64], gradient_norm: float, converged: bool
) -> FitStep:
    num_taps = problem.kernel_shape[0] * problem.kernel_shape[1]
    return FitStep(
        step=step,
        loss=problem.loss(weights),
        kernel_hw=weights[:num_taps].reshape(problem.kernel_shape).copy(),
        bias=float(weights[num_taps]) if problem.with_bias else 0.0,
        gradient_norm=gradient_norm,
        converged=converged,
        determined=problem.determined,
        rank=problem.rank,
        unknowns=problem.unknowns,
    )
