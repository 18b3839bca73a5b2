"""What a user has set: kept across pages, written into links, read from them with care.

A widget's value is forgotten when the user changes page, and a page's parameters leave the address at the same time.
So each control is a `Setting`: its value lives under its session key while its page is open, is kept aside for the
way back, and stands in the URL whenever it differs from its default.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from cnnlab.errors import InputRejected, LabError

_WHOLE = re.compile("-?[0-9]{1,9}")

_KEPT = "state.kept"
_HERE = "state.page"
_ARRIVED = "state.arrived"
_REFUSED = "state.refused"
_ON_PAGE = "state.settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One control.

    Args:
        key: Session key, `page.control`.
        param: Name in the URL.
        default: Value of a first visit; it is not written into links.
        parse: Text of a link to a value; raises `InputRejected` for anything that the control could not hold.
        format: Value to the text of a link.
    """

    key: str
    param: str
    default: Any
    parse: Callable[[str], Any]
    format: Callable[[Any], str] = str


def choice(key: str, param: str, options: Collection[str], default: str) -> Setting:
    """A setting that takes one of `options`."""

    def parse(text: str) -> str:
        if text not in options:
            raise InputRejected(f"{param} is '{text[:40]}'; it is one of {', '.join(options)}")
        return text

    return Setting(key=key, param=param, default=default, parse=parse)


def integer(key: str, param: str, low: int, high: int, default: int) -> Setting:
    """A setting that takes a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise InputRejected(f"{param} is '{text[:40]}'; it is a whole number from {low} to {high}")
        return int(text)

    return Setting(key=key, param=param, default=default, parse=parse)


def number(key: str, param: str, low: float, high: float, default: float) -> Setting:
    """A setting that takes a number from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise InputRejected(f"{param} is '{text[:40]}'; it is a number from {low:g} to {high:g}")
        return value

    return Setting(key=key, param=param, default=default, parse=parse, format=lambda value: f"{value:.6g}")


def flag(key: str, param: str, *, default: bool = False) -> Setting:
    """A setting that is on or off."""

    def parse(text: str) -> bool:
        if text not in ("0", "1"):
            raise InputRejected(f"{param} is '{text[:40]}'; it is 0 or 1")
        return text == "1"

    return Setting(key=key, param=param, default=default, parse=parse, format=lambda on: str(int(on)))


def arrive(page: str) -> None:
    """Tell that `page` is about to run. On the run that opens it, its link is read; on later ones, its widgets."""
    st.session_state[_ARRIVED] = st.session_state.get(_HERE) != page
    st.session_state[_HERE] = page
    st.session_state[_ON_PAGE] = {}


def settle() -> None:
    """Tell that the page has run: from now on its link is written, not read."""
    publish()
    st.session_state[_ARRIVED] = False


def restore(settings: Iterable[Setting]) -> None:
    """Give every control its value, before its widget is made.

    The value comes from the link that opened the page, from the last visit, or is the default. What a link asks for in
    vain is listed by `refused`.
    """
    has_arrived = st.session_state.get(_ARRIVED, True)
    kept = st.session_state.setdefault(_KEPT, {})
    for setting in settings:
        st.session_state.setdefault(_ON_PAGE, {})[setting.key] = setting
        if has_arrived and setting.key in kept and not setting.key.startswith("workbench."):
            # A value that was given before its widget was first drawn outlives the widget, and is an old one by now.
            st.session_state[setting.key] = kept[setting.key]
        if has_arrived and setting.param in st.query_params:
            try:
                st.session_state[setting.key] = setting.parse(st.query_params[setting.param])
                continue
            except LabError as error:
                st.session_state[_REFUSED] = (*st.session_state.get(_REFUSED, ()), str(error).rstrip("."))
    recall()


def recall() -> None:
    """Give the page's controls back the values that they lost where their widgets were not drawn in the last run."""
    kept = st.session_state.setdefault(_KEPT, {})
    for key, setting in st.session_state.get(_ON_PAGE, {}).items():
        # A control that must have a value and has none was drawn, and its run was interrupted.
        if key not in st.session_state or (st.session_state[key] is None and setting.default is not None):
            st.session_state[key] = kept.get(key, setting.default)


def refused() -> tuple[str, ...]:
    """What the link that opened this page asked for and could not be given, a sentence each; told once."""
    return st.session_state.pop(_REFUSED, ())


def publish() -> None:
    """Keep the page's values for the way back, and write those that differ from their defaults into the URL."""
    kept = st.session_state.setdefault(_KEPT, {})
    wanted = {}
    for key, setting in st.session_state.get(_ON_PAGE, {}).items():
        kept[key] = value = st.session_state.get(key, kept.get(key, setting.default))
        if value != setting.default:
            wanted[setting.param] = setting.format(value)
    # A switch of pages empties the address in the browser, whatever the server believes it to hold.
    if st.query_params.to_dict() != wanted or (wanted and st.session_state.get(_ARRIVED)):
        st.query_params.from_dict(wanted)
