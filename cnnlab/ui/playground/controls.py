"""What can be set on the kernel playground, and the controls that set it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.figures import palette
from cnnlab.figures.pictures import SCALINGS
from cnnlab.ops import (
    ACTIVATIONS,
    KERNELS,
    MAX_KERNEL,
    PADDING_MODES,
    Parameter,
    build_kernel,
    check_kernel,
    format_kernel,
    parse_kernel,
)
from cnnlab.ui import state
from cnnlab.ui.components.matrix_grid import matrix_grid

OWN = "own"
CHANNELS = {"grey": "Grey", "each": "R, G, B", "sum": "Sum"}
SIZES = (128, 256, 512, 1024)

_SHOWN = "kernels.shown"
_MODE_LABELS = {"zeros": "Zeros", "reflect": "Reflect", "replicate": "Replicate", "circular": "Circular"}


def _matrix(text: str) -> tuple[tuple[float, ...], ...]:
    return as_rows(parse_kernel(text))


def as_rows(kernel: NDArray[np.floating]) -> tuple[tuple[float, ...], ...]:
    """A matrix as nested tuples: the form in which settings hold it. Float32 is written as short as it can be."""
    return tuple(tuple(float(str(weight)) for weight in row) for row in kernel)


PRESET = state.choice("kernels.preset", "kernel", [*KERNELS, OWN], "sobel_x")
MATRIX = state.Setting(
    key="kernels.matrix",
    param="matrix",
    default=as_rows(build_kernel("sobel_x")),
    parse=_matrix,
    format=lambda rows: format_kernel(np.array(rows, dtype=np.float32)),
)
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

SETTINGS = (PRESET, STRIDE, PADDING, MODE, DILATION, BIAS, FLIP, USED, ACTIVATION, SCALING, SHARE, SIZE)


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


def _preset_parameters(key: str) -> dict[str, tuple[Parameter, state.Setting]]:
    """The sliders of a preset: parameter name → its description and its setting."""
    found = {}
    for parameter in KERNELS[key].parameters if key in KERNELS else ():
        whole = isinstance(parameter.default, int)
        make = state.integer if whole else state.number
        name = f"{key}.{parameter.name}"
        setting = make(f"kernels.{name}", name, parameter.minimum, parameter.maximum, parameter.default)  # pyright: ignore[reportArgumentType]
        found[parameter.name] = (parameter, setting)
    return found


def typed(grid_key: str) -> tuple[tuple[float, ...], ...]:
    """What was typed into a grid, digit for digit.

    Raises:
        InputRejected: The browser sent something else.
    """
    rows = st.session_state[grid_key]["edit"]["matrix"]
    check_kernel(rows)
    return tuple(tuple(float(number) for number in row) for row in rows)


def _edited() -> None:
    """The grid was edited: from now on the kernel is the user's own."""
    st.session_state[MATRIX.key] = typed("kernels.grid")
    st.session_state[PRESET.key] = OWN


def read() -> Setup:
    """What the controls say. They need not be drawn yet, so that the picture can go out before them.

    Raises:
        InputRejected: The kernel cannot be used.
    """
    kernel = _kernel(st.session_state[PRESET.key])
    # The slider ends where the window lies wholly in the padding.
    st.session_state[PADDING.key] = min(st.session_state[PADDING.key], max(kernel.shape))
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
        if _SHOWN in st.session_state:
            st.session_state.setdefault(MATRIX.key, st.session_state[_SHOWN])  # begin with what was there
        state.restore([MATRIX])
        return np.array(st.session_state[MATRIX.key], dtype=np.float32)
    parameters = _preset_parameters(preset)
    state.restore(setting for _, setting in parameters.values())
    kernel = build_kernel(preset, **{name: st.session_state[setting.key] for name, (_, setting) in parameters.items()})
    st.session_state[_SHOWN] = as_rows(kernel)
    return kernel


def show(setup: Setup) -> None:
    """Draw the controls."""
    preset = st.selectbox(
        "Kernel",
        [*KERNELS, OWN],
        format_func=lambda key: KERNELS[key].label if key in KERNELS else "Your own",
        key=PRESET.key,
    )
    st.caption(KERNELS[preset].purpose if preset in KERNELS else "Type, paste from a spreadsheet, or use the tools.")
    parameters = _preset_parameters(preset)
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
        max(setup.kernel.shape),
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
    st.select_slider(
        "Image size",
        [str(size) for size in SIZES],
        key=SIZE.key,
        format_func="{} px".format,
        help="The longer side of the image that is worked on.",
    )
