"""What lies under the picture of the net; a tab costs nothing until it is opened."""

import streamlit as st

from cnnlab.ui import errors, state
from cnnlab.ui.explorer import building, comparing, counting, flowing, layers, seeing, timeline
from cnnlab.ui.explorer.controls import Setup

_DRAWS = {
    "Layer by layer": layers.show,
    "Feature maps": flowing.show,
    "What a unit sees": seeing.show,
    "Build your own": building.show,
    "Compare": comparing.show,
    "Why convolutions": lambda _: counting.show(),
    "Through the years": lambda _: timeline.show(),
    "As text": layers.files,
}
TAB = state.choice("architecture.tab", "tab", _DRAWS, next(iter(_DRAWS)))
SETTINGS = (
    TAB,
    *layers.SETTINGS,
    *seeing.SETTINGS,
    *comparing.SETTINGS,
    *counting.SETTINGS,
    *timeline.SETTINGS,
)


def show(setup: Setup) -> None:
    """Draw the tabs."""
    for tab, draw in zip(st.tabs(list(_DRAWS), key=TAB.key, on_change="rerun"), _DRAWS.values(), strict=True):
        if tab.open:
            with tab, errors.shown():
                draw(setup)
