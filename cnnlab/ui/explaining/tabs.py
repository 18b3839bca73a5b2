"""What lies under the maps; a tab costs nothing until it is opened."""

from collections.abc import Callable

import streamlit as st

from cnnlab.ui import errors, state
from cnnlab.ui.explaining import channels, checking, epochs, layers, localising, taking, trusting, units
from cnnlab.ui.explaining.controls import Setup
from cnnlab.ui.explaining.mapping import Made

_DRAWS: dict[str, Callable[[Setup, dict[str, Made]], None]] = {
    "Faithfulness": trusting.show,
    "Sanity check": lambda setup, _: checking.show(setup),
    "On shapes": lambda setup, _: localising.show(setup),
    "Layers": lambda setup, _: layers.show(setup),
    "Channels": lambda setup, _: channels.show(setup),
    "What a unit looks for": lambda setup, _: units.show(setup),
    "Every epoch": lambda setup, _: epochs.show(setup),
    "Take it with you": taking.show,
}
TAB = state.choice("explain.tab", "tab", _DRAWS, next(iter(_DRAWS)))
SETTINGS = (TAB, *channels.SETTINGS, *units.SETTINGS)


def show(setup: Setup, made: dict[str, Made]) -> None:
    """Draw the tabs."""
    for tab, draw in zip(st.tabs(list(_DRAWS), key=TAB.key, on_change="rerun"), _DRAWS.values(), strict=True):
        if tab.open:
            with tab, errors.shown():
                draw(setup, made)
