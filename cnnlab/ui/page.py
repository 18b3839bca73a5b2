"""The pattern every page follows: its head, the chips to try, the code behind it; and the look they share."""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from types import FunctionType
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from cnnlab.ui import errors, navigation, state
from cnnlab.ui.text import plain

_PAINT_S = 0.03
_HINT = "Each sets the controls to something worth seeing and says what to look for."
_STYLE = Path(__file__).with_name("style.css")


def style() -> None:
    """The few rules of layout that the theme cannot express."""
    st.html(_STYLE)


def head(key: str, settings: Sequence[state.Setting] = ()) -> None:
    """Give the page's settings their values, and draw its title, its question, and what its link asked for in vain."""
    state.restore(settings)
    entry = navigation.PAGES[key]
    st.title(entry.title, anchor=False)
    st.markdown(entry.question)
    for sentence in state.refused():
        st.info(f"This link could not be followed in one point: {plain(sentence)}.", icon=":material/link_off:")


def columns() -> tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator]:
    """Places for the controls, the picture and the numbers; in a narrow window the picture comes first."""
    with st.container(key="page-columns"):
        controls, picture, numbers = st.columns([1.05, 2.5, 1], gap="medium")
    return controls, picture, numbers


def let_paint() -> None:
    """Wait a moment, so that the browser paints what it has been sent before the rest of the page keeps it busy.

    A browser that gets everything at once paints when all of it is laid out: from a moved slider to the picture that
    took 190 ms in place of 120 (medians, 512 × 512 px, 2 cores).
    """
    time.sleep(_PAINT_S)


def below() -> DeltaGenerator:
    """Place for what follows under the columns. The browser lays it out only once it is scrolled to."""
    return st.container(key="page-below")


def fragment(draw: Callable[[], None]) -> Callable[[], None]:
    """A part of a page that reruns by itself when one of its controls changes, with the boundary around it."""

    @st.fragment
    @wraps(draw)
    def guarded() -> None:
        state.recall()
        with errors.shown():
            draw()
        state.publish()

    return guarded


def chips(key: str, tries: Mapping[str, tuple[str, Mapping[str, Any]]], settings: Sequence[state.Setting]) -> None:
    """Offer things worth seeing.

    Args:
        key: Session key of the chips.
        tries: Label → (what to look for, session keys and the values they get).
        settings: The page's settings; those that a chip does not name go back to their defaults.
    """
    defaults = {setting.key: setting.default for setting in settings}

    def set_up(label: str) -> None:
        for setting, value in {**defaults, **tries[label][1]}.items():
            st.session_state[setting] = value

    def is_set_up(label: str) -> bool:
        wanted = {**defaults, **tries[label][1]}
        return all(st.session_state.get(setting) == value for setting, value in wanted.items())

    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=key):
        st.caption("Try", width="content")
        for index, label in enumerate(tries):
            st.button(label, key=f"{key}.{index}", on_click=set_up, args=(label,))
    st.caption(next((tries[label][0] for label in tries if is_set_up(label)), _HINT))


def code(key: str, page_file: str, functions: Sequence[FunctionType]) -> None:
    """Show the page's own lines and the core functions behind them, once somebody asks.

    Args:
        key: Session key of the expander.
        page_file: `__file__` of the page.
        functions: What the page calls in the core.
    """
    with st.expander("Show the code", key=key, on_change="rerun", icon=":material/code:") as expander:
        if not expander.open:
            return
        names = [f"{function.__module__}.{function.__name__}" for function in functions]
        sources = [Path(page_file).read_text(), *map(inspect.getsource, functions)]
        for tab, source in zip(st.tabs([f"pages/{Path(page_file).name}", *names]), sources, strict=True):
            tab.code(source, language="python")
