"""What can be said about a kernel before it meets a picture: its rank, its spectrum, its respect for shifts.

Separability: a kernel of rank r is a sum of r outer products column · rowᵀ (the singular value decomposition), so
it can be applied as r pairs of one-dimensional passes. Frequency response: the discrete-time Fourier transform of
the kernel, sampled; for a picture far from its border, filtering multiplies every frequency by it. Equivariance:
shifting the picture and filtering gives the same as filtering and shifting, up to borders and stride.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cnnlab.errors import InputRejected
from cnnlab.ops.convolution import Pair, apply_kernel, window_steps
from cnnlab.ops.kernels import check_kernel, real_array

RANK_TOLERANCE = 1e-6
"""Singular values below this share of the largest count as zero: float32 kernels carry about 6e-8 of rounding."""

# Up to here whole numbers are easier to read than fractions of the largest.
_LARGEST_WHOLE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Separability:
    """A kernel as a sum of outer products.

    Attributes:
        rank: Number r of outer products needed; 1 means separable, 0 is the kernel of zeros.
        singular_values: All of them, largest first, shape (min(h, w),).
        columns_hr: Column vectors, shape (h, r), scaled to be read: small whole numbers where there are such, else the
            largest entry is 1.
        rows_rw: Row vectors, shape (r, w), with what is left of the weights; `columns_hr @ rows_rw` is the kernel
            within 1e-6 of its largest weight (or of 1).
        macs_direct: Multiply-adds per output pixel with the kernel as it is, h · w.
        macs_separated: Multiply-adds per output pixel in one-dimensional passes, r · (h + w).
    """

    rank: int
    singular_values: NDArray[np.float64]
    columns_hr: NDArray[np.float64]
    rows_rw: NDArray[np.float64]
    macs_direct: int
    macs_separated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyResponse:
    """How strongly a kernel passes each frequency.

    Attributes:
        frequencies: Cycles per pixel, −0.5 to below 0.5, shape (size,); the same for both axes.
        magnitude_hw: |DFT|, vertical frequency down, horizontal to the right, frequency 0 at index size // 2.
        dc: |sum of the weights|, the magnitude at frequency 0: what becomes of a flat area.
    """

    frequencies: NDArray[np.float64]
    magnitude_hw: NDArray[np.float64]
    dc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivariance:
    """How far "shift, then filter" differs from "filter, then shift".

    Attributes:
        error_hw: Absolute difference in every output cell.
        inside_hw: Cells whose windows, before and after the shift, see neither padding nor shifted-in pixels.
        max_inside: Largest error inside; 0.0 when no cell is inside.
        max_border: Largest error elsewhere; 0.0 when every cell is inside.
        shift_out: Shift of the output (down, right) in cells: the shift of the picture divided by the stride and
            rounded to the nearest whole number, halves away from zero.
        exact_shift: Whether the stride divides the shift, so that nothing was rounded.
    """

    error_hw: NDArray[np.float32]
    inside_hw: NDArray[np.bool_]
    max_inside: float
    max_border: float
    shift_out: Pair
    exact_shift: bool


def separability(kernel: ArrayLike) -> Separability:
    """Split a kernel into outer products by singular value decomposition.

    Raises:
        InputRejected: It is not a kernel.
    """
    kernel_hw = check_kernel(kernel).astype(np.float64)
    columns, singular_values, rows = np.linalg.svd(kernel_hw, full_matrices=False)
    rank = int(np.count_nonzero(singular_values > RANK_TOLERANCE * singular_values[0]))
    height, width = kernel_hw.shape
    scale = np.array([_readable_scale(column) for column in columns[:, :rank].T])
    return Separability(
        rank=rank,
        singular_values=singular_values,
        columns_hr=columns[:, :rank] * scale,
        rows_rw=rows[:rank] * (singular_values[:rank] / scale)[:, None],
        macs_direct=height * width,
        macs_separated=rank * (height + width),
    )


def _readable_scale(vector: NDArray[np.float64]) -> float:
    """What to multiply a unit vector with so that people can read it: [0.41, 0.82, 0.41] is [1, 2, 1]."""
    sizes = np.abs(vector)
    largest = vector[np.argmax(sizes)]
    smallest = sizes[sizes > RANK_TOLERANCE * abs(largest)].min()
    whole = vector / smallest * np.sign(largest)
    if abs(largest) / smallest < _LARGEST_WHOLE and np.abs(whole - np.rint(whole)).max() < 1e-4:
        return float(np.sign(largest) / smallest)
    return float(1.0 / largest)


def frequency_response(kernel: ArrayLike, size: int = 64) -> FrequencyResponse:
    """Sample the spectrum of a kernel.

    Args:
        kernel: Shape (h, w).
        size: Samples per axis, at least the larger side of the kernel, up to 1024.

    Raises:
        InputRejected: It is not a kernel, or the size does not fit.
    """
    kernel_hw = check_kernel(kernel).astype(np.float64)
    smallest = max(kernel_hw.shape)
    if not smallest <= size <= 1024:
        raise InputRejected(f"The spectrum needs {smallest} to 1024 samples per axis, got {size}. Change the size.")
    spectrum = np.fft.fftshift(np.fft.fft2(kernel_hw, (size, size)))
    return FrequencyResponse(
        frequencies=np.fft.fftshift(np.fft.fftfreq(size)).astype(np.float64),
        magnitude_hw=np.abs(spectrum),
        dc=float(abs(kernel_hw.sum())),
    )


def equivariance(
    image_hw: ArrayLike,
    kernel: ArrayLike,
    *,
    dx: int,
    dy: int,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    padding_mode: str = "zeros",
    dilation: int | Pair = 1,
    flip: bool = False,
) -> Equivariance:
    """Compare filtering a shifted picture with shifting the filtered picture.

    The picture moves right by `dx` and down by `dy`; what moves in is zero, or the other side of the picture when
    the padding is circular. The output moves by the same distance divided by the stride, in the same manner.

    Args:
        image_hw: Grey picture, shape (H, W).
        kernel: As in `apply_kernel`.
        dx: Shift to the right in pixels, negative to the left.
        dy: Shift down in pixels, negative upwards.
        stride: As in `apply_kernel`.
        padding: As in `apply_kernel`.
        padding_mode: As in `apply_kernel`.
        dilation: As in `apply_kernel`.
        flip: As in `apply_kernel`.

    Raises:
        InputRejected: As in `apply_kernel`; for a picture with channels; for a shift as large as the picture.
    """
    picture_hw = real_array(image_hw, "Picture")
    if picture_hw.ndim != 2:
        raise InputRejected(f"Shifts are shown for a grey picture, got {picture_hw.ndim} dimensions. Pick one channel.")
    for shift, size, name in ((dy, picture_hw.shape[0], "rows"), (dx, picture_hw.shape[1], "columns")):
        if abs(shift) >= size:
            raise InputRejected(f"A shift by {shift} leaves nothing of {size} {name}. Shift by less than {size}.")
    # One cell of steps checks the settings and says how the window lies; the rest follows from arithmetic.
    steps = window_steps(
        picture_hw,
        kernel,
        stride=stride,
        padding=padding,
        padding_mode=padding_mode,
        dilation=dilation,
        flip=flip,
        outputs=(0, 0, 1, 1),
    )
    circular = padding_mode == "circular"
    filtered_hw, filtered_shifted_hw = (
        apply_kernel(
            picture,
            kernel,
            stride=stride,
            padding=padding,
            padding_mode=padding_mode,
            dilation=dilation,
            flip=flip,
        )
        for picture in (picture_hw, _shifted(picture_hw, dy, dx, circular))
    )
    shift_out = (_rounded(dy, steps.stride[0]), _rounded(dx, steps.stride[1]))
    error_hw = np.abs(filtered_shifted_hw - _shifted(filtered_hw, *shift_out, circular))
    inside_rows, inside_cols = (
        _inside(
            picture_hw.shape[axis],
            error_hw.shape[axis],
            start=steps.origin[axis],
            reach=steps.patch_hw.shape[axis],
            stride=steps.stride[axis],
            shift=(dy, dx)[axis],
            shift_out=shift_out[axis],
        )
        for axis in (0, 1)
    )
    inside_hw = inside_rows[:, None] & inside_cols[None, :]
    return Equivariance(
        error_hw=error_hw,
        inside_hw=inside_hw,
        max_inside=float(error_hw[inside_hw].max(initial=0.0)),
        max_border=float(error_hw[~inside_hw].max(initial=0.0)),
        shift_out=shift_out,
        exact_shift=dy % steps.stride[0] == 0 and dx % steps.stride[1] == 0,
    )


def _shifted(array_hw: NDArray, down: int, right: int, circular: bool) -> NDArray:
    moved_hw = np.roll(array_hw, (down, right), axis=(0, 1))
    if not circular:
        for axis, shift in enumerate((down, right)):
            edge = [slice(None), slice(None)]
            edge[axis] = slice(0, shift) if shift >= 0 else slice(shift, None)
            moved_hw[tuple(edge)] = 0
    return moved_hw


def _rounded(shift: int, stride: int) -> int:
    whole = (2 * abs(shift) + stride) // (2 * stride)
    return whole if shift >= 0 else -whole


def _inside(
    size: int, outputs: int, *, start: int, reach: int, stride: int, shift: int, shift_out: int
) -> NDArray[np.bool_]:
    """Which outputs along one axis see only true pixels: in the shifted picture, and where the other side got its."""
    output = np.arange(outputs)
    here = start + output * stride
    there = start + (output - shift_out) * stride
    low, high = max(0, shift), size + min(0, shift)
    return (
        (here >= low)
        & (here + reach <= high)
        & (there >= 0)
        & (there + reach <= size)
        & (output - shift_out >= 0)
        & (output - shift_out < outputs)
    )
