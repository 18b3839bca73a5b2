"""What lies under the answer; a tab costs nothing until it is opened."""

import streamlit as st

from cnnlab.inference import Prediction
from cnnlab.ui import errors, state
from cnnlab.ui.predicting import comparing, many, preparing, robustness, taking, trusting
from cnnlab.ui.predicting.controls import Setup

_DRAWS = {
    "What the net gets": preparing.show,
    "What is its word worth?": trusting.show,
    "Robustness": robustness.show,
    "Two nets": comparing.show,
    "Many pictures": many.show,
    "As JSON and code": taking.show,
}
TAB = state.choice("predict.tab", "tab", _DRAWS, next(iter(_DRAWS)))
SETTINGS = (TAB, *comparing.SETTINGS, *robustness.SETTINGS)


def show(setup: Setup, prediction: Prediction) -> None:
    """Draw the tabs."""
    for tab, draw in zip(st.tabs(list(_DRAWS), key=TAB.key, on_change="rerun"), _DRAWS.values(), strict=True):
        if tab.open:
            with tab, errors.shown():
                draw(setup, prediction)
