"""Which run is open: in the link, so that it is found again by whoever reloads the page or is sent the link."""

import streamlit as st

from cnnlab.errors import InputRejected
from cnnlab.runs import store
from cnnlab.runs.store import Run
from cnnlab.ui import state, visitors

_LOOKED = "training.looked-for-run"


def _of_link(text: str) -> str:
    try:
        run = store.get(text)
    except InputRejected:
        run = None
    if run is None or not store.may_see(run, visitors.owner()):
        raise InputRejected("there is no such run, or its owner has not published it")
    return run.id


RUN = state.Setting(key="training.run", param="run", default=None, parse=_of_link)
SETTINGS = (RUN,)


def current() -> Run | None:
    """The open run; who comes without a link to one is shown their own newest that goes on."""
    run_id = st.session_state[RUN.key]
    if run_id is None and not st.session_state.get(_LOOKED):
        going_on = (run for run in store.of_owner(visitors.owner()) if not run.has_ended)
        run_id = st.session_state[RUN.key] = next((run.id for run in going_on), None)
    st.session_state[_LOOKED] = True
    if run_id is None:
        return None
    try:
        run = store.get(run_id)
    except InputRejected:  # deleted, in another window perhaps
        run = None
    if run is None or not store.may_see(run, visitors.owner()):
        st.session_state[RUN.key] = None
        return None
    return run


def again(run_id: str) -> Run:
    """A run as it is now, for what draws itself again while the page stands still.

    Raises:
        InputRejected: The visitor may see it no longer.
    """
    try:
        run = store.get(run_id)
    except InputRejected:
        run = None
    if run is None or not store.may_see(run, visitors.owner()):
        raise InputRejected("This run is gone: it was deleted, or is no longer published. Close it, or open another.")
    return run


def show(run_id: str | None) -> None:
    """Open a run, or none; for callbacks."""
    st.session_state[RUN.key] = run_id


def is_own(run: Run) -> bool:
    """Whether the visitor may command it."""
    return run.owner == visitors.owner()
