"""What can be set on the kernel playground, and the controls that set it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.errors import InputRejected
from cnnlab.figures import palette
from cnnlab.figures.pictures import SCALINGS
from cnnlab.ops import (
    ACTIVATIONS,
    KERNELS,
    MAX_KERNEL,
    PADDING_MODES,
    Parameter,
    build_kernel,
    check_parameter,
    format_kernel,
    parse_kernel,
)
from cnnlab.ui import state
from cnnlab.ui.components.matrix_grid import edited, matrix_grid

OWN = "own"
CHANNELS = {"grey": "Grey", "each": "R, G, B", "sum": "Sum"}
SIZES = (128, 256, 512, 1024)

_SHOWN = "kernels.shown"
_MODE_LABELS = {"zeros": "Zeros", "reflect": "Reflect", "replicate": "Replicate", "circular": "Circular"}


def as_rows(kernel: NDArray[np.floating]) -> tuple[tuple[float, ...], ...]:
    """A matrix as nested tuples: the form in which settings hold it. Float32 is written as short as it can be."""
    return tuple(tuple(float(str(weight)) for weight in row) for row in kernel)


def matrix_setting(key: str, param: str, default: NDArray[np.float32], max_size: int) -> state.Setting:
    """A setting that holds a matrix, at most `max_size` on a side."""

    def parse(text: str) -> tuple[tuple[float, ...], ...]:
        matrix = parse_kernel(text)
        if max(matrix.shape) > max_size:
            rows, columns = matrix.shape
            raise InputRejected(f"{param} has {rows} × {columns} numbers; it takes up to {max_size} × {max_size}")
        return as_rows(matrix)

    def write(rows: tuple[tuple[float, ...], ...]) -> str:
        return format_kernel(np.array(rows, dtype=np.float32))

    return state.Setting(key=key, param=param, default=as_rows(default), parse=parse, format=write)


def _parameter_setting(kernel: str, parameter: Parameter) -> state.Setting:
    """A setting that holds a parameter of a preset."""
    param = f"{kernel}.{parameter.name}"

    def parse(text: str) -> float:
        return check_parameter(parameter, text)

    return state.Setting(
        key=f"kernels.{param}", param=param, default=parameter.default, parse=parse, format=lambda value: f"{value:g}"
    )


PRESET = state.choice("kernels.preset", "kernel", [*KERNELS, OWN], "sobel_x")
MATRIX = matrix_setting("kernels.matrix", "matrix", build_kernel("sobel_x"), MAX_KERNEL)
STRIDE = state.integer("kernels.stride", "stride", 1, 8, 1)
PADDING = state.integer("kernels.padding", "padding", 0, MAX_KERNEL, 1)
MODE = state.choice("kernels.mode", "mode", PADDING_MODES, "zeros")
DILATION = state.integer("kernels.dilation", "dilation", 1, 4, 1)
BIAS = state.number("kernels.bias", "bias", -2.0, 2.0, 0.0)
FLIP = state.flag("kernels.flip", "flip")
USED = state.choice("kernels.channels", "channels", CHANNELS, "grey")
ACTIVATION = state.choice("kernels.activation", "activation", ACTIVATIONS, "none")
SCALING = state.choice("kernels.scaling", "show", SCALINGS, "signed")
SHARE = state.choice("kernels.share", "ends", ["99", "100"], "99")
SIZE = state.choice("kernels.size", "size", [str(size) for size in SIZES], "512")

PARAMETERS = {
    key: {parameter.name: (parameter, _parameter_setting(key, parameter)) for parameter in kernel.parameters}
    for key, kernel in KERNELS.items()
}
"""Kernel → parameter name → the parameter and its setting."""

SETTINGS = (
    PRESET,
    MATRIX,
    *(setting for parameters in PARAMETERS.values() for _, setting in parameters.values()),
    STRIDE,
    PADDING,
    MODE,
    DILATION,
    BIAS,
    FLIP,
    USED,
    ACTIVATION,
    SCALING,
    SHARE,
    SIZE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """All that the page is set to.

    Args:
        kernel: Weights, (h, w).
        geometry: Keyword arguments of `apply_kernel`.
        channels: Key of `CHANNELS`.
        activation: Key of `ACTIVATIONS`.
        longest: Longer side of the image that is worked on, in pixels.
    """

    kernel: NDArray[np.float32]
    geometry: Mapping[str, Any]
    channels: str
    activation: str
    longest: int


def typed(grid_key: str, max_size: int) -> tuple[tuple[float, ...], ...] | None:
    """What was typed into a grid, digit for digit; None if the browser sent something else."""
    rows = edited(grid_key, max_size)
    return tuple(tuple(row) for row in rows) if rows else None


def _edited() -> None:
    """The grid was edited: from now on the kernel is the user's own."""
    if rows := typed("kernels.grid", MAX_KERNEL):
        st.session_state[MATRIX.key] = rows
        st.session_state[PRESET.key] = OWN


def _chosen() -> None:
    """Another kernel was chosen. One's own begins with what was there, until it has been edited."""
    if st.session_state[PRESET.key] == OWN and st.session_state[MATRIX.key] == MATRIX.default:
        st.session_state[MATRIX.key] = st.session_state[_SHOWN]


def read() -> Setup:
    """What the controls say. They need not be drawn yet, so that the picture can go out before them."""
    kernel = _kernel(st.session_state[PRESET.key])
    chosen = {setting.key: st.session_state[setting.key] for setting in SETTINGS}
    return Setup(
        kernel=kernel,
        geometry={
            "stride": chosen[STRIDE.key],
            "padding": chosen[PADDING.key],
            "padding_mode": chosen[MODE.key],
            "dilation": chosen[DILATION.key],
            "bias": chosen[BIAS.key],
            "flip": chosen[FLIP.key],
        },
        channels=chosen[USED.key],
        activation=chosen[ACTIVATION.key],
        longest=int(chosen[SIZE.key]),
    )


def _kernel(preset: str) -> NDArray[np.float32]:
    if preset == OWN:
        return np.array(st.session_state[MATRIX.key], dtype=np.float32)
    values = {name: st.session_state[setting.key] for name, (_, setting) in PARAMETERS[preset].items()}
    kernel = build_kernel(preset, **values)
    st.session_state[_SHOWN] = as_rows(kernel)
    return kernel


def show(setup: Setup) -> None:
    """Draw the controls."""
    preset = st.selectbox(
        "Kernel",
        [*KERNELS, OWN],
        format_func=lambda key: KERNELS[key].label if key in KERNELS else "Your own",
        key=PRESET.key,
        on_change=_chosen,
    )
    st.caption(KERNELS[preset].purpose if preset in KERNELS else "Type, paste from a spreadsheet, or use the tools.")
    parameters = PARAMETERS.get(preset, {})
    places = st.columns(2, gap="small") * len(parameters) if parameters else []
    for place, (parameter, setting) in zip(places, parameters.values(), strict=False):
        place.slider(
            parameter.label,
            parameter.minimum,
            parameter.maximum,
            step=parameter.step,
            key=setting.key,
            help=parameter.help,
        )
    matrix_grid(
        st.session_state[MATRIX.key] if preset == OWN else as_rows(setup.kernel),
        key="kernels.grid",
        label="Kernel",
        max_size=MAX_KERNEL,
        tint=palette.diverging(),
        on_change=_edited,
    )
    left, right = st.columns(2, gap="small")
    left.slider(
        "Stride", 1, 8, key=STRIDE.key, help="Raise it and the window jumps: the result shrinks by this factor."
    )
    right.slider(
        "Padding",
        0,
        # More than the kernel's own size sees nothing but padding; what was set for a larger kernel is kept.
        max(*setup.kernel.shape, setup.geometry["padding"]),
        key=PADDING.key,
        help="Raise it and the result grows: the window starts outside the image.",
    )
    st.segmented_control(
        "Image",
        list(CHANNELS),
        format_func=CHANNELS.__getitem__,
        key=USED.key,
        required=True,
        help="Grey: one map. R, G, B: the three channels filtered on their own. Sum: their three maps added up, as a "
        "network does it.",
    )
    with st.expander("More"):
        _show_more()


def _show_more() -> None:
    st.selectbox(
        "Padding mode",
        PADDING_MODES,
        format_func=_MODE_LABELS.__getitem__,
        key=MODE.key,
        help="What the window sees outside the image: zeros, the mirror image, the edge repeated, the other side.",
    )
    st.slider(
        "Dilation", 1, 4, key=DILATION.key, help="Raise it and the taps spread: as few weights see a wider window."
    )
    st.slider(
        "Bias", -2.0, 2.0, step=0.05, key=BIAS.key, help="Raise it and every number of the result rises by as much."
    )
    st.toggle(
        "True convolution",
        key=FLIP.key,
        help="Turns the kernel by 180° first, as mathematics defines it. Networks do without.",
    )
    st.selectbox(
        "Activation",
        list(ACTIVATIONS),
        format_func=lambda key: ACTIVATIONS[key].label,
        key=ACTIVATION.key,
        help="The function that every number of the result passes through.",
    )
    if st.session_state[ACTIVATION.key] != "none":
        st.latex(ACTIVATIONS[st.session_state[ACTIVATION.key]].formula_latex)
    st.select_slider(
        "Image size",
        [str(size) for size in SIZES],
        key=SIZE.key,
        format_func="{} px".format,
        help="The longer side of the image that is worked on, at most its own; samples have up to 640 px.",
    )
