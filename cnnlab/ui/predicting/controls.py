"""What can be set on the page, and the controls that set it."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from cnnlab.images import RgbImage
from cnnlab.ui import state, workbench
from cnnlab.ui.components.draw_pad import SIDE, draw_pad
from cnnlab.ui.predicting import asking
from cnnlab.ui.predicting.asking import Asked

TEMPERATURES = tuple(float(f"{10 ** (step / 40):.3g}") for step in range(-40, 41))
"""0.1 to 10, each 6 % above the one before, 1 in the middle."""

_PAD, _DRAWN = "predict.pad", "predict.drawn"
_WAYS = {"picture": "Current image", "drawing": "A drawing"}
_SHOWN = (3, 5, 10)


def nearest(temperature: float) -> float:
    """The temperature on the slider that is nearest, by ratio."""
    return min(TEMPERATURES, key=lambda one: max(one / temperature, temperature / one))


def _temperature_of_link(text: str) -> float:
    return nearest(state.number("", "temperature", TEMPERATURES[0], TEMPERATURES[-1], 1.0).parse(text))


TEMPERATURE = state.Setting(
    key="predict.temperature", param="temperature", default=1.0, parse=_temperature_of_link, format="{:g}".format
)
SHOWN = state.Setting(
    key="predict.shown",
    param="top",
    default=5,
    parse=lambda text: int(state.choice("", "top", [str(number) for number in _SHOWN], "5").parse(text)),
)
WAY = state.choice("predict.way", "ask", _WAYS, "picture")
FLIPS = state.flag("predict.flips", "flips")
SETTINGS = (TEMPERATURE, SHOWN, WAY, FLIPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the page is set to.

    Attributes:
        asked: The net.
        picture: What it is asked about.
        label: What that is called.
        is_drawing: Whether it comes from the pad, not from the workbench.
        temperature: By which logits are divided.
        num_shown: Classes in the list.
    """

    asked: Asked
    picture: RgbImage
    label: str
    is_drawing: bool
    temperature: float
    num_shown: int


def read(left: DeltaGenerator | None = None) -> Setup:
    """What is set.

    Args:
        left: Place for the controls that are drawn at once, because what is on the pad is what is asked about; None
            where they are drawn already.

    Raises:
        InputRejected: The net cannot be asked.
    """
    asked = asking.current(flips=st.session_state[FLIPS.key])
    if left is not None and asked.takes_drawings:
        with left:
            _pad()
    is_drawing = asked.takes_drawings and st.session_state[WAY.key] == "drawing"
    return Setup(
        asked=asked,
        picture=_drawing() if is_drawing else workbench.image(),
        label="Your drawing" if is_drawing else workbench.label(),
        is_drawing=is_drawing,
        temperature=st.session_state[TEMPERATURE.key],
        num_shown=st.session_state[SHOWN.key],
    )


def _pad() -> None:
    """The choice between picture and drawing, and the pad; what is drawn stays while other pages are looked at."""
    st.segmented_control("Ask about", list(_WAYS), format_func=_WAYS.__getitem__, key=WAY.key, required=True)
    if st.session_state[WAY.key] == "drawing":
        st.session_state[_DRAWN] = draw_pad(key=_PAD, label="Your digit", pixels=st.session_state.get(_DRAWN))


def _drawing() -> RgbImage:
    """What is on the pad, black where nothing is."""
    drawn = st.session_state.get(_DRAWN)
    drawn = np.zeros((SIDE, SIDE), np.uint8) if drawn is None else drawn
    return RgbImage(np.repeat(drawn[:, :, None], 3, axis=2), name="Your drawing")


def show(setup: Setup | None) -> None:
    """Draw the controls that the answer does not wait for."""
    st.select_slider(
        "Temperature",
        TEMPERATURES,
        key=TEMPERATURE.key,
        format_func="{:g}".format,
        help="Divides the logits before the softmax. Raise it and the net sounds less sure, lower it and it sounds "
        "surer; logits and order stay. 1 is what it was trained with.",
    )
    st.segmented_control(
        "Classes shown", _SHOWN, key=SHOWN.key, required=True, help="The most likely ones; the others are summed up."
    )
    st.toggle(
        "Average with the mirror image",
        key=FLIPS.key,
        help="Asks twice, the second time with left and right exchanged, and takes the mean of the logits: often a "
        "little more accurate, twice the work. Not for digits.",
    )
    if setup is None or not setup.is_drawing:
        st.caption(
            "**Change image** in the sidebar takes a sample, a file of yours or a shot of the camera. Several files at "
            "once: **Many pictures**, below."
        )
