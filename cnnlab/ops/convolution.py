"""Slide a kernel over a picture: the convolution layer, one kernel at a time, with nothing hidden.

Everything here is *cross-correlation*, which deep learning calls convolution:

    out[i, j] = bias + Σ_u Σ_v kernel[u, v] · padded[i·S + u·D, j·S + v·D]

with stride S and dilation D per axis, as in `torch.nn.Conv2d`. `flip=True` turns the kernel by 180° first and so
gives the convolution of signal processing.

How it is computed. OpenCV's `filter2D` sums taps directly and skips those that are zero, so dilation is a kernel
with zeros between its taps. Stride over rows costs nothing: kernel rows that meet the same residue class of
picture rows are filtered together on a view of every S-th row. From a kernel area of 130 on `filter2D` turns to a
discrete Fourier transform; kernels of few taps spread over a wide area are split so that no part gets there.
"""

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cnnlab.errors import InputRejected
from cnnlab.ops.kernels import as_float32, check_kernel, real_array

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
# Past this a padded picture is nothing but border; it also keeps a slip of the hand from filling the memory.
MAX_PADDING = 4096

_BORDERS = {
    "zeros": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
    "circular": cv2.BORDER_WRAP,
}
# OpenCV takes the Fourier way for float32 kernels of this area or more (modules/imgproc/src/filter.dispatch.cpp).
_FOURIER_AREA = 130
# With more taps than this the Fourier way is the quicker and the more exact one.
_MAX_DIRECT_TAPS = 128
# copyMakeBorder fills a constant border for at most four channels.
_MAX_CHANNELS_AT_ONCE = 4
_FLOAT32_MAX = float(np.finfo(np.float32).max)

Pair = tuple[int, int]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeFormula:
    """The output size of a convolution along one axis, with the numbers that went in.

    Attributes:
        size: Input size W in pixels.
        kernel: Kernel size K.
        stride: Stride S.
        padding: Padding P on each side.
        dilation: Dilation D.
    """

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def latex_symbols(self) -> str:
        """The formula in symbols, for KaTeX."""
        return r"\left\lfloor\frac{W+2P-D(K-1)-1}{S}\right\rfloor+1"

    @property
    def latex(self) -> str:
        """The formula with its numbers and its result; a fraction is shown before it is rounded down."""
        numerator = f"{self.size}+2\\cdot{self.padding}-{self.dilation}\\cdot({self.kernel}-1)-1"
        steps = Fraction(self._room, self.stride)
        if steps.denominator == 1:
            floored = str(steps)
        elif 1000 % steps.denominator == 0:
            floored = rf"\lfloor {float(steps):.10g} \rfloor"
        else:
            floored = rf"\lfloor \tfrac{{{self._room}}}{{{self.stride}}} \rfloor"
        return rf"\left\lfloor\frac{{{numerator}}}{{{self.stride}}}\right\rfloor+1 = {floored} + 1 = {self.value}"

    @property
    def value(self) -> int:
        """Output size."""
        return self._room // self.stride + 1

    @property
    def dropped(self) -> int:
        """Input rows or columns at the end that no window reaches (padding that is not reached does not count)."""
        return max(0, self._room % self.stride - self.padding)

    @property
    def _room(self) -> int:
        """How far the window can travel, in pixels."""
        return self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSum:
    """One kernel on every channel, and the sum a convolution layer makes of it.

    Attributes:
        partials_chw: Response of each channel alone, without bias, shape (C, H', W').
        bias: Added once, to the sum.
        total_hw: Sum over the channels plus bias, shape (H', W').
    """

    partials_chw: Float32Array
    bias: float
    total_hw: Float32Array


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSteps:
    """What a step-by-step view of a convolution needs to know about a rectangle of output cells.

    The window of output cell (row, col), counted inside `output_hw`, starts at patch cell
    (row · stride[0], col · stride[1]) and takes every `dilation`-th cell from there.

    Attributes:
        patch_hw: The part of the padded picture these outputs see, shape (h, w).
        is_padding_hw: Which cells of the patch are padding, same shape.
        origin: Row and column of `patch_hw[0, 0]` in the picture; negative inside the padding.
        kernel_hw: The kernel as applied: already turned when a true convolution was asked for.
        stride: Vertical and horizontal stride.
        dilation: Vertical and horizontal dilation.
        bias: Added to every output cell.
        output_hw: The responses, before any activation, unclipped.
        output_origin: Row and column of `output_hw[0, 0]` in the whole output.
    """

    patch_hw: Float32Array
    is_padding_hw: NDArray[np.bool_]
    origin: Pair
    kernel_hw: Float32Array
    stride: Pair
    dilation: Pair
    bias: float
    output_hw: Float32Array
    output_origin: Pair


@dataclass(frozen=True, slots=True)
class _Settings:
    """Checked settings, each a (vertical, horizontal) pair."""

    stride: Pair
    padding: Pair
    mode: str
    dilation: Pair
    bias: float


def apply_kernel(
    image: ArrayLike,
    kernel: ArrayLike,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    padding_mode: str = "zeros",
    dilation: int | Pair = 1,
    bias: float = 0.0,
    flip: bool = False,
) -> Float32Array:
    """Cross-correlate a picture with a kernel, exactly as `torch.nn.Conv2d` with one channel does.

    Args:
        image: Picture, shape (H, W) or (H, W, C); bool, integer or real, any range. Each channel is
            filtered with the same kernel. NaN and infinity spread to all that sees them, as in PyTorch.
        kernel: Shape (h, w), odd or even, each side 1 to 64.
        stride: Step of the window in pixels, one number or (vertical, horizontal).
        padding: Cells added on each side, one number or (vertical, horizontal).
        padding_mode: One of `PADDING_MODES`, with the meaning and the limits they have in PyTorch.
        dilation: Distance between kernel taps in pixels, one number or (vertical, horizontal).
        bias: Added to every output.
        flip: Turn the kernel by 180° first (true convolution).

    Returns:
        Response, shape (H', W') or (H', W', C), sizes as in `output_size`. Unclipped: Sobel goes down to −4 and up
        to 4 on a picture in [0, 1]; sums too large for float32 become infinite, as in PyTorch. Within
        1e-5 · max(1, Σ|kernel| · max|image|) of the exact sums.

    Raises:
        InputRejected: The picture, the kernel or a setting cannot be used, or the window does not fit.
    """
    settings = _check_settings(stride, padding, padding_mode, dilation, bias)
    kernel_hw = check_kernel(kernel)
    picture = _check_image(image)
    if flip:
        kernel_hw = kernel_hw[::-1, ::-1]
    output_hw = _check_fit(picture.shape[:2], kernel_hw.shape, settings)
    if picture.ndim == 2:
        return _correlate(picture, kernel_hw, settings, output_hw)
    output_hwc = np.empty((*output_hw, picture.shape[2]), np.float32)
    for first in range(0, picture.shape[2], _MAX_CHANNELS_AT_ONCE):
        channels = slice(first, first + _MAX_CHANNELS_AT_ONCE)
        group = np.ascontiguousarray(picture[:, :, channels])
        if group.shape[2] == 1:  # OpenCV drops a channel axis of length one
            group = group[:, :, 0]
        output_hwc[:, :, channels] = _correlate(group, kernel_hw, settings, output_hw).reshape(*output_hw, -1)
    return output_hwc


def output_size(size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Return the number of window positions along one axis: ⌊(W + 2P − D(K − 1) − 1) / S⌋ + 1.

    Raises:
        InputRejected: A number is out of range, or the window does not fit into the padded input.
    """
    return size_formula(size, kernel, stride=stride, padding=padding, dilation=dilation).value


def size_formula(size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> SizeFormula:
    """Work out the output size along one axis, keeping the numbers for showing.

    Args:
        size: Input size W in pixels, at least 1.
        kernel: Kernel size K, at least 1.
        stride: Stride S, at least 1.
        padding: Padding P on each side, at least 0.
        dilation: Dilation D, at least 1.

    Raises:
        InputRejected: A number is out of range, or the window does not fit into the padded input.
    """
    formula = SizeFormula(
        size=_whole(size, "Input size", 1),
        kernel=_whole(kernel, "Kernel size", 1),
        stride=_whole(stride, "Stride", 1),
        padding=_whole(padding, "Padding", 0),
        dilation=_whole(dilation, "Dilation", 1),
    )
    reach = formula.dilation * (formula.kernel - 1) + 1
    padded = formula.size + 2 * formula.padding
    if reach > padded:
        raise InputRejected(
            f"The window is {reach} px long (kernel {formula.kernel}, dilation {formula.dilation}), the padded input "
            f"only {padded} px. Take a smaller kernel or dilation, or more padding."
        )
    return formula


def channel_sum(
    image_hwc: ArrayLike,
    kernel: ArrayLike,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    padding_mode: str = "zeros",
    dilation: int | Pair = 1,
    bias: float = 0.0,
    flip: bool = False,
) -> ChannelSum:
    """Apply one kernel to every channel and add up the results, as one filter of a convolution layer does.

    Args:
        image_hwc: Picture, shape (H, W, C).
        kernel: Shape (h, w), used on every channel.
        stride: As in `apply_kernel`.
        padding: As in `apply_kernel`.
        padding_mode: As in `apply_kernel`.
        dilation: As in `apply_kernel`.
        bias: Added once, not once per channel.
        flip: As in `apply_kernel`.

    Raises:
        InputRejected: As in `apply_kernel`, and when the picture has no channel axis.
    """
    picture = _check_image(image_hwc)
    if picture.ndim != 3:
        raise InputRejected(
            f"A sum over channels needs a picture of shape (H, W, C), got {_shape_text(picture.shape)}. "
            "Take a colour picture."
        )
    checked_bias = _check_bias(bias)
    maps_hwc = apply_kernel(
        picture,
        kernel,
        stride=stride,
        padding=padding,
        padding_mode=padding_mode,
        dilation=dilation,
        flip=flip,
    )
    partials_chw = np.ascontiguousarray(maps_hwc.transpose(2, 0, 1))
    total_hw = partials_chw.sum(axis=0, dtype=np.float64) + checked_bias
    return ChannelSum(partials_chw=partials_chw, bias=checked_bias, total_hw=as_float32(total_hw))


def window_steps(
    image_hw: ArrayLike,
    kernel: ArrayLike,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    padding_mode: str = "zeros",
    dilation: int | Pair = 1,
    bias: float = 0.0,
    flip: bool = False,
    outputs: tuple[int, int, int, int] | None = None,
) -> WindowSteps:
    """Cut out what a rectangle of output cells sees, for showing a convolution step by step.

    Args:
        image_hw: Grey picture, shape (H, W).
        kernel: As in `apply_kernel`.
        stride: As in `apply_kernel`.
        padding: As in `apply_kernel`.
        padding_mode: As in `apply_kernel`.
        dilation: As in `apply_kernel`.
        bias: As in `apply_kernel`.
        flip: As in `apply_kernel`.
        outputs: Rectangle of output cells as (top, left, height, width); all of them when None.

    Raises:
        InputRejected: As in `apply_kernel`, for a picture with channels, and for a rectangle outside the output.
    """
    settings = _check_settings(stride, padding, padding_mode, dilation, bias)
    kernel_hw = check_kernel(kernel)
    picture_hw = _check_image(image_hw)
    if picture_hw.ndim != 2:
        raise InputRejected(
            f"The steps are shown for a grey picture of shape (H, W), got {_shape_text(picture_hw.shape)}. "
            "Pick one channel."
        )
    if flip:
        kernel_hw = kernel_hw[::-1, ::-1]
    kernel_hw = np.ascontiguousarray(kernel_hw)
    top, left, height, width = _check_rectangle(outputs, _check_fit(picture_hw.shape, kernel_hw.shape, settings))

    rows = _seen(top, height, kernel_hw.shape[0], settings, axis=0)
    cols = _seen(left, width, kernel_hw.shape[1], settings, axis=1)
    source_rows, row_is_padding = _source_index(rows, picture_hw.shape[0], settings.mode)
    source_cols, col_is_padding = _source_index(cols, picture_hw.shape[1], settings.mode)
    patch_hw = picture_hw[np.ix_(source_rows, source_cols)]
    is_padding_hw = row_is_padding[:, None] | col_is_padding[None, :]
    if settings.mode == "zeros":
        patch_hw[is_padding_hw] = 0.0
    return WindowSteps(
        patch_hw=patch_hw,
        is_padding_hw=is_padding_hw,
        origin=(int(rows[0]), int(cols[0])),
        kernel_hw=kernel_hw,
        stride=settings.stride,
        dilation=settings.dilation,
        bias=settings.bias,
        output_hw=apply_kernel(
            patch_hw, kernel_hw, stride=settings.stride, dilation=settings.dilation, bias=settings.bias
        ),
        output_origin=(top, left),
    )


def products(steps: WindowSteps, row: int, col: int) -> Float32Array:
    """Multiply the window of one output cell with the kernel, cell by cell.

    Args:
        steps: From `window_steps`.
        row: Row of the output cell inside `steps.output_hw`.
        col: Column of the output cell inside `steps.output_hw`.

    Returns:
        The h × w products. Their sum plus the bias is `steps.output_hw[row, col]`.

    Raises:
        InputRejected: There is no such output cell.
    """
    height, width = steps.output_hw.shape
    if not (0 <= row < height and 0 <= col < width):
        raise InputRejected(
            f"Output cell ({row}, {col}) does not exist: the part shown has {height} rows and {width} columns. "
            "Pick a cell inside it."
        )
    kernel_h, kernel_w = steps.kernel_hw.shape
    window_hw = steps.patch_hw[row * steps.stride[0] :: steps.dilation[0], col * steps.stride[1] :: steps.dilation[1]]
    return window_hw[:kernel_h, :kernel_w] * steps.kernel_hw


# --- the arithmetic ------------------------------------------------------------------------------------------------


def _correlate(picture: Float32Array, kernel_hw: Float32Array, settings: _Settings, output_hw: Pair) -> Float32Array:
    """Filter a contiguous picture of one to four channels with settings that are known to fit."""
    pad_v, pad_h = settings.padding
    stride_v, stride_h = settings.stride
    spread_hw = _spread(kernel_hw, settings.dilation[1])
    reach_v = settings.dilation[0] * (kernel_hw.shape[0] - 1) + 1
    parts = list(_parts(spread_hw, stride_v, pad_v, settings.dilation[0], taps=kernel_hw.shape[1]))

    # filter2D extends the picture by itself as far as its window reaches, which spares the copy with a border as
    # long as no output lies further out. Rows of a residue class, and parts of a kernel, agree on a border of zeros
    # only, and filter2D has no circular one.
    extends_itself = 2 * pad_v < reach_v and 2 * pad_h < spread_hw.shape[1]
    extends_itself &= settings.mode == "zeros" or (settings.mode != "circular" and stride_v == len(parts) == 1)
    border = _BORDERS[settings.mode] if extends_itself else cv2.BORDER_CONSTANT
    if not extends_itself and (pad_v or pad_h):
        picture = _with_border(picture, (pad_v, pad_v, pad_h, pad_h), settings.mode)
        parts = list(_parts(spread_hw, stride_v, 0, settings.dilation[0], taps=kernel_hw.shape[1]))
        pad_v = pad_h = 0

    rows_out, cols_out = output_hw
    cols_wide = (cols_out - 1) * stride_h + 1
    total: Float32Array | None = None
    # Fresh memory costs as much as filtering it with a 3 × 3 kernel, so the parts of a sum share one piece.
    rows_most = max(rows_out, -(-picture.shape[0] // stride_v))
    scratch = np.empty((rows_most, *picture.shape[1:]), np.float32) if len(parts) > 1 else None
    for part in parts:
        rows = picture[part.first_row :: stride_v]
        if rows.shape[0] == 0 or part.first_output >= rows_out:  # these taps meet nothing but zeros
            continue
        if part.anchor_row and rows.shape[0] < rows_out:
            rows = _with_border(rows, (0, rows_out - rows.shape[0], 0, 0), "zeros")
        response = np.asarray(
            cv2.filter2D(
                rows,
                cv2.CV_32F,
                part.taps_hw,
                dst=scratch[: rows.shape[0]] if scratch is not None else None,
                anchor=(pad_h, part.anchor_row),
                delta=settings.bias if total is None else 0.0,
                borderType=border,
            ),
            np.float32,
        )
        wanted = response[: rows_out - part.first_output, :cols_wide:stride_h]
        if total is not None:
            total[part.first_output : part.first_output + wanted.shape[0]] += wanted
        elif wanted.shape[0] == rows_out:
            total = response if scratch is None and wanted.shape == response.shape else wanted.copy()
        else:
            total = np.full((*output_hw, *picture.shape[2:]), settings.bias, np.float32)
            total[part.first_output : part.first_output + wanted.shape[0]] = wanted
    if total is None:
        return np.full((*output_hw, *picture.shape[2:]), settings.bias, np.float32)
    return total


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of a kernel, and where they slide.

    Attributes:
        taps_hw: The kernel rows, as `filter2D` takes them.
        first_row: They meet this picture row and every stride-th from there.
        anchor_row: How many of them begin above the first of these rows.
        first_output: Output rows before this one see nothing but the zeros above the picture.
    """

    taps_hw: Float32Array
    first_row: int
    anchor_row: int
    first_output: int


def _spread(kernel_hw: Float32Array, dilation_h: int) -> Float32Array:
    """Put `dilation_h - 1` columns of zeros between the columns of the kernel."""
    spread_hw = np.zeros((kernel_hw.shape[0], dilation_h * (kernel_hw.shape[1] - 1) + 1), np.float32)
    spread_hw[:, ::dilation_h] = kernel_hw
    return spread_hw


def _parts(spread_hw: Float32Array, stride: int, padding: int, dilation: int, *, taps: int) -> Iterator[_Part]:
    """Group kernel rows by the residue class of picture rows they meet, and keep each part small.

    Kernel row u meets picture rows i·S + (u·D − P) = (i + q)·S + a, so that on the view of rows a, a + S, … it is
    an ordinary kernel row at distance q.
    """
    classes: dict[int, list[tuple[int, int]]] = {}
    for u in range(spread_hw.shape[0]):
        q, a = divmod(u * dilation - padding, stride)
        classes.setdefault(a, []).append((u, q))
    width = spread_hw.shape[1]
    for a, members in classes.items():
        most_rows = members[-1][1] - members[0][1] + 1
        if len(members) * taps <= _MAX_DIRECT_TAPS:
            # Few taps on a wide area: cut before filter2D would turn to Fourier, about four times as slow then.
            most_rows = max(1, (_FOURIER_AREA - 1) // width)
        while members:
            group = [(u, q) for u, q in members if q - members[0][1] < most_rows]
            members = members[len(group) :]
            low, high = group[0][1], group[-1][1]
            taps_hw = np.zeros((high - low + 1, width), np.float32)
            for u, q in group:
                taps_hw[q - low] = spread_hw[u]
            yield _Part(
                taps_hw=taps_hw,
                first_row=a + max(0, low) * stride,
                anchor_row=min(max(0, -low), high - low),
                first_output=max(0, -high),
            )


def _with_border(picture: Float32Array, top_bottom_left_right: tuple[int, int, int, int], mode: str) -> Float32Array:
    bordered = cv2.copyMakeBorder(picture, *top_bottom_left_right, _BORDERS[mode], value=(0.0,) * 4)
    return np.asarray(bordered, np.float32)


def _seen(first: int, count: int, kernel: int, settings: _Settings, *, axis: int) -> NDArray[np.int64]:
    """Picture coordinates along one axis that `count` outputs from `first` on see, padding included."""
    start = first * settings.stride[axis] - settings.padding[axis]
    length = (count - 1) * settings.stride[axis] + settings.dilation[axis] * (kernel - 1) + 1
    return np.arange(start, start + length)


def _source_index(coordinates: NDArray[np.int64], size: int, mode: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which picture row (or column) each padded coordinate shows, and which coordinates are padding."""
    is_padding = (coordinates < 0) | (coordinates >= size)
    if mode == "reflect":
        period = max(1, 2 * size - 2)
        index = (size - 1) - np.abs(np.mod(coordinates, period) - (size - 1))
    elif mode == "circular":
        index = np.mod(coordinates, size)
    else:
        index = np.clip(coordinates, 0, size - 1)
    return index, is_padding


# --- what is accepted ----------------------------------------------------------------------------------------------


def _check_settings(
    stride: int | Pair, padding: int | Pair, padding_mode: str, dilation: int | Pair, bias: float
) -> _Settings:
    if padding_mode not in PADDING_MODES:
        raise InputRejected(f"Padding mode {padding_mode!r} is unknown. Take one of: {', '.join(PADDING_MODES)}.")
    checked = _Settings(
        stride=_pair(stride, "Stride", 1),
        padding=_pair(padding, "Padding", 0),
        mode=padding_mode,
        dilation=_pair(dilation, "Dilation", 1),
        bias=_check_bias(bias),
    )
    if max(checked.padding) > MAX_PADDING:
        raise InputRejected(f"Padding is {max(checked.padding)} px; the lab takes up to {MAX_PADDING}. Take less.")
    return checked


def _check_bias(bias: float) -> float:
    try:
        value = float(bias)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value) or abs(value) > _FLOAT32_MAX:
        raise InputRejected(f"Bias must be a finite number, got {bias!r}. Enter a number such as 0.5.")
    return value


def _whole(value: Any, name: str, minimum: int) -> int:
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise InputRejected(f"{name} must be a whole number, got {value!r}. Enter {minimum} or more.") from None
    if number < minimum:
        raise InputRejected(f"{name} must be at least {minimum}, got {number}. Enter {minimum} or more.")
    return number


def _pair(value: Any, name: str, minimum: int) -> Pair:
    if isinstance(value, (tuple, list, np.ndarray)):
        if len(value) != 2:
            raise InputRejected(
                f"{name} must be one number or a (vertical, horizontal) pair, got {len(value)} numbers. Give two."
            )
        return _whole(value[0], name, minimum), _whole(value[1], name, minimum)
    number = _whole(value, name, minimum)
    return number, number


def _check_image(image: ArrayLike) -> Float32Array:
    """Return the picture as contiguous float32; the same array when it already is that."""
    picture = real_array(image, "Picture")
    if picture.ndim not in (2, 3):
        raise InputRejected(
            f"Picture has shape {_shape_text(picture.shape)}; the lab takes (H, W) or (H, W, C). "
            "Give one picture, grey or with channels last."
        )
    if picture.size == 0:
        raise InputRejected(f"Picture is empty (shape {_shape_text(picture.shape)}). Give at least one pixel.")
    # Not looked through for NaN: that reads the picture once more, which a 3 × 3 kernel feels (0.15 of 0.5 ms).
    return as_float32(picture)


def _check_fit(image_hw: tuple[int, ...], kernel_hw: tuple[int, ...], settings: _Settings) -> Pair:
    """Return the output size, or say along which side the window or the padding does not fit."""
    sizes = []
    for axis, side in enumerate(("high", "wide")):
        size, padding = image_hw[axis], settings.padding[axis]
        limit = {"reflect": size - 1, "circular": size}.get(settings.mode, padding)
        if padding > limit:
            raise InputRejected(
                f"Padding {padding} is too much for {settings.mode} padding of a picture {size} px {side}; up to "
                f"{limit} is possible. Take less padding or another mode."
            )
        reach = settings.dilation[axis] * (kernel_hw[axis] - 1) + 1
        if reach > size + 2 * padding:
            raise InputRejected(
                f"The window is {reach} px {side} (kernel {kernel_hw[axis]}, dilation {settings.dilation[axis]}), the "
                f"padded picture only {size + 2 * padding} px. Take a smaller kernel or dilation, or more padding."
            )
        sizes.append((size + 2 * padding - reach) // settings.stride[axis] + 1)
    return sizes[0], sizes[1]


def _check_rectangle(outputs: tuple[int, int, int, int] | None, output_hw: Pair) -> tuple[int, int, int, int]:
    if outputs is None:
        return 0, 0, *output_hw
    if len(outputs) != 4:
        raise InputRejected(f"Outputs must be (top, left, height, width), got {len(outputs)} numbers. Give four.")
    top, left = (_whole(value, "First output cell", 0) for value in outputs[:2])
    height, width = (_whole(value, "Number of output cells", 1) for value in outputs[2:])
    if top + height > output_hw[0] or left + width > output_hw[1]:
        raise InputRejected(
            f"Output rows {top} to {top + height - 1} and columns {left} to {left + width - 1} were asked for; the "
            f"output has {output_hw[0]} rows and {output_hw[1]} columns. Ask for cells inside it."
        )
    return top, left, height, width


def _shape_text(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) if shape else "a single number"
