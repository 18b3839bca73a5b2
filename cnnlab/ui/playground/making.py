"""How a number is made: the window, the products, their sum and the bias, step by step."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.figures import palette
from cnnlab.ops import ACTIVATIONS, window_steps
from cnnlab.ui import errors, state
from cnnlab.ui.components.conv_steps import conv_steps
from cnnlab.ui.components.matrix_grid import matrix_grid
from cnnlab.ui.playground.controls import Setup, matrix_setting, typed
from cnnlab.ui.playground.results import Response, check_size, pointed_at

SOURCES = {
    "window": "Window of the image",
    "ramp": "4 × 4, 1 to 16",
    "pooling": "4 × 4, pooling example",
    "typed": "Typed matrix",
}
_MATRICES = {
    "ramp": np.arange(1, 17, dtype=np.float32).reshape(4, 4),
    "pooling": np.array([[1, 3, 2, 4], [5, 6, 1, 2], [7, 2, 9, 3], [1, 8, 4, 6]], dtype=np.float32),
}
_MAX_TYPED = 12
_CELLS = 5  # output cells on a side of the window, when there is room
_PATCH = 18  # input cells on a side at most: below that, numbers cannot be read

SOURCE = state.choice("kernels.making", "steps", SOURCES, "window")
TYPED = matrix_setting("kernels.typed", "typed", _MATRICES["ramp"], _MAX_TYPED)
CHANNEL = state.choice("kernels.making.channel", "channel", ("red", "green", "blue"), "red")
SETTINGS = (SOURCE, TYPED, CHANNEL)


def _typed() -> None:
    if rows := typed("kernels.typed.grid", _MAX_TYPED):
        st.session_state[TYPED.key] = rows


def show(image: NDArray[np.float32], response: Response, setup: Setup) -> None:
    """Draw the step-by-step view; a kernel larger than the padded matrix is answered in its place."""
    st.subheader("How a number is made", anchor=False)
    with errors.shown():
        _show(image, response, setup)


def _show(image: NDArray[np.float32], response: Response, setup: Setup) -> None:
    st.segmented_control(
        "Numbers from", list(SOURCES), format_func=SOURCES.__getitem__, key=SOURCE.key, required=True,
        help="Click into the image or the result to move the window.",
    )  # fmt: skip
    chosen = st.session_state[SOURCE.key]
    geometry = dict(setup.geometry)
    outputs, start = None, None
    if chosen == "window":
        matrix = image
        caption = "A window of the image, around the place you clicked"
        if image.ndim == 3:
            st.segmented_control(
                "Channel", ("red", "green", "blue"), format_func=str.capitalize, key=CHANNEL.key, required=True
            )
            channel = st.session_state[CHANNEL.key]
            matrix = np.ascontiguousarray(image[..., ("red", "green", "blue").index(channel)])
            caption = f"{channel.capitalize()} channel: {caption[0].lower()}{caption[1:]}"
            if setup.channels == "sum":
                geometry["bias"] = 0.0  # it is added once, to the sum of the three maps
                caption += "; a partial map, without the bias"
        outputs = _around(response.values.shape[:2], setup)
        picked = pointed_at(response.values.shape[:2])
        start = picked[0] - outputs[0], picked[1] - outputs[1]
    elif chosen == "typed":
        with st.container(width=300):
            matrix_grid(
                st.session_state[TYPED.key], key="kernels.typed.grid", label="Input matrix", max_size=_MAX_TYPED,
                tools=False, tint=palette.diverging(), on_change=_typed,
            )  # fmt: skip
        matrix = np.array(st.session_state[TYPED.key], dtype=np.float32)
        caption = "The matrix you typed"
    else:
        matrix = _MATRICES[chosen]
        caption = SOURCES[chosen]
    steps = window_steps(matrix, setup.kernel, outputs=outputs, **geometry)
    check_size(steps.output_hw)
    is_partial = chosen == "window" and setup.channels == "sum"
    activation = "none" if is_partial else setup.activation
    conv_steps(
        key="kernels.steps",
        patch=steps.patch_hw,
        is_padding=steps.is_padding_hw,
        kernel=steps.kernel_hw,
        output=steps.output_hw,
        activated=ACTIVATIONS[activation].apply(steps.output_hw),
        stride=steps.stride,
        dilation=steps.dilation,
        bias=steps.bias,
        activation=activation,
        origin=steps.origin,
        output_origin=steps.output_origin,
        start=start,
        tint=palette.diverging(),
        input_tint=palette.greys() if chosen == "window" else None,
        caption=caption,
    )


def _around(shape: tuple[int, ...], setup: Setup) -> tuple[int, int, int, int]:
    """The output cells to show: a square around the picked one, as many as keep the numbers readable."""
    starts, counts = [], []
    for axis, (centre, size) in enumerate(zip(pointed_at(shape), shape, strict=False)):
        span = setup.geometry["dilation"] * (setup.kernel.shape[axis] - 1) + 1
        fits = max(1, (_PATCH - span) // setup.geometry["stride"] + 1)
        count = min(_CELLS, fits, size)
        starts.append(int(np.clip(centre - count // 2, 0, size - count)))
        counts.append(count)
    return starts[0], starts[1], counts[0], counts[1]
