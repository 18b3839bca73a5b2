"""What lies under the curves; a tab costs nothing until it is opened."""

import streamlit as st

from cnnlab.runs import store
from cnnlab.runs.store import Run
from cnnlab.ui import errors, state, visitors
from cnnlab.ui.training import as_code, comparing, evolving, mistakes, runs_list
from cnnlab.ui.training.setup import Setup

_OF_A_RUN = {
    "Evolving": ("filters, feature maps and answers at every epoch", evolving.draw),
    "Mistakes": ("which pictures the net gets wrong, and how sure it is", mistakes.draw),
}
_LABELS = (*_OF_A_RUN, "Compare", "Your runs", "The code")
TAB = state.choice("training.tab", "tab", _LABELS, _LABELS[0])
SETTINGS = (TAB,)


def show(setup: Setup, run: Run | None) -> None:
    """Draw the tabs."""
    for label, tab in zip(_LABELS, st.tabs(list(_LABELS), key=TAB.key, on_change="rerun"), strict=True):
        if tab.open:
            with tab, errors.shown():
                _draw(label, setup, run)


def _draw(label: str, setup: Setup, run: Run | None) -> None:
    if label == "Your runs":
        runs_list.show()
    elif label == "The code":
        as_code.show(setup, run)
    elif run is None:
        shows = _OF_A_RUN[label][0] if label in _OF_A_RUN else "several runs over one another, and what differs"
        st.markdown(f"Start a run, or open one under **Your runs**: here you see {shows}.")
    elif label == "Compare":
        comparing.draw(run, _others(run))
    else:
        _OF_A_RUN[label][1](run)


def _others(run: Run) -> tuple[Run, ...]:
    """All other runs that the visitor may see."""
    seen = {one.id: one for one in (*store.of_owner(visitors.owner()), *store.published())}
    return tuple(one for one in seen.values() if one.id != run.id)
