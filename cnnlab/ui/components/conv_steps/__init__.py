"""How each number of a feature map is made: window, products, sum, bias, activation."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.ui.components import lut_hex, pack, view

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_mount = view(
    Path(__file__).parent, "cnnlab_conv_steps", '<div class="cl-root cl-steps" data-testid="conv-steps">\n</div>'
)


def conv_steps(
    *,
    key: str,
    patch: ArrayLike,
    kernel: ArrayLike,
    output: ArrayLike,
    tint: NDArray[np.uint8],
    input_tint: NDArray[np.uint8] | None = None,
    is_padding: ArrayLike | None = None,
    activated: ArrayLike | None = None,
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    bias: float = 0.0,
    activation: str = "none",
    negative_slope: float = 0.01,
    origin: tuple[int, int] = (0, 0),
    output_origin: tuple[int, int] = (0, 0),
    start: tuple[int, int] | None = None,
    caption: str = "",
) -> None:
    """Show input, kernel and output side by side, and the sum behind each output.

    The browser does the arithmetic again from `patch` and `kernel`, and warns on the page if it disagrees with
    `output` or `activated`. Python hears nothing while the view is explored.

    Args:
        key: Streamlit key.
        patch: Input including padding, shape (H, W). Output (r, c) looks at rows `r * stride + i * dilation`.
        kernel: As applied: laid over the input without flipping, shape (h, w).
        output: Sums with bias, before the activation. As many as fit into `patch`, or fewer.
        tint: Diverging colours, shape (256, 3); zero is in the middle.
        input_tint: Colours of the input from 0 to 1, shape (256, 3), for a window of a picture; `tint` if not given.
        is_padding: Which cells of `patch` are padding, shape (H, W); none if not given.
        activated: `output` after the activation; not checked if not given.
        stride: Rows and columns, or one number for both.
        dilation: As `stride`.
        bias: Added to each sum.
        activation: Key of `cnnlab.ops.ACTIVATIONS`, applied to each sum; the right matrix shows what comes out of it.
        negative_slope: Of "leaky_relu".
        origin: Row and column of `patch[0, 0]` in the whole input, negative if it is padding.
        output_origin: Row and column of `output[0, 0]` in the whole output.
        start: Row and column in `output` that is explained first; the middle if not given.
        caption: A line above the matrices.
    """
    patch_hw = np.ascontiguousarray(patch, dtype="<f4")
    kernel_hw = np.ascontiguousarray(kernel, dtype="<f4")
    output_hw = np.ascontiguousarray(output, dtype="<f4")
    activated_hw = None if activated is None else np.ascontiguousarray(activated, dtype="<f4")
    padding_hw = np.zeros(patch_hw.shape, np.uint8) if is_padding is None else np.asarray(is_padding, dtype=np.uint8)
    strides = (stride, stride) if isinstance(stride, int) else stride
    dilations = (dilation, dilation) if isinstance(dilation, int) else dilation

    for name, array in (("patch", patch_hw), ("kernel", kernel_hw), ("output", output_hw)):
        if array.ndim != 2 or array.size == 0:
            raise TypeError(f"{name} has two dimensions and at least one number, got {array.shape}.")
    if padding_hw.shape != patch_hw.shape:
        raise TypeError(f"is_padding has the shape of patch, {patch_hw.shape}, got {padding_hw.shape}.")
    if activated_hw is not None and activated_hw.shape != output_hw.shape:
        raise TypeError(f"activated has the shape of output, {output_hw.shape}, got {activated_hw.shape}.")
    for axis in (0, 1):
        reach = (output_hw.shape[axis] - 1) * strides[axis] + (kernel_hw.shape[axis] - 1) * dilations[axis] + 1
        if reach > patch_hw.shape[axis]:
            raise TypeError(f"The outputs need {reach} rows or columns of patch, got {patch_hw.shape[axis]}.")

    header = {
        "patch": patch_hw.shape,
        "kernel": kernel_hw.shape,
        "output": output_hw.shape,
        "hasActivated": activated_hw is not None,
        "stride": [int(number) for number in strides],
        "dilation": [int(number) for number in dilations],
        "bias": float(bias),
        "activation": activation,
        "negativeSlope": float(negative_slope),
        "origin": [int(number) for number in origin],
        "outputOrigin": [int(number) for number in output_origin],
        "start": None if start is None else [int(number) for number in start],
        "tint": lut_hex(tint),
        "inputTint": None if input_tint is None else lut_hex(input_tint),
        "caption": caption,
    }
    arrays = [patch_hw, kernel_hw, output_hw, *([] if activated_hw is None else [activated_hw]), padding_hw]
    body = b"".join(array.tobytes() for array in arrays)
    header["digest"] = hashlib.sha256(pack(header, body)).hexdigest()[:32]
    _mount(key=key, data=pack(header, body))
