"""The page table: one line a page, in the order of the menu."""

import logging
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.navigation.page import StreamlitPage

_LOG = logging.getLogger("cnnlab")
_FOLDER = Path(__file__).parents[2] / "pages"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageEntry:
    """A page of the lab.

    Args:
        title: Name in the menu and in the browser's tab.
        question: What the page answers; its first sentence.
        icon: Name of a Material symbol.
        section: Heading in the menu under which it stands.
    """

    title: str
    question: str
    icon: str
    section: str


PAGES: dict[str, PageEntry] = {
    "start": PageEntry(
        title="Start",
        question="What can you do here?",
        icon="home",
        section="",
    ),
    "kernels": PageEntry(
        title="Kernel playground",
        question="What does this kernel do to my image, and how is each number made?",
        icon="grid_on",
        section="See",
    ),
    "architecture": PageEntry(
        title="Architecture explorer",
        question="What is this net made of, what does each layer cost, and what does it see?",
        icon="account_tree",
        section="Take apart",
    ),
    "training": PageEntry(
        title="Training dashboard",
        question="How does a net learn, what helps it, and what does it still get wrong?",
        icon="show_chart",
        section="Train",
    ),
    "predict": PageEntry(
        title="Predict",
        question="What does the net say about my picture, and how much is its word worth?",
        icon="image_search",
        section="Ask",
    ),
    "explain": PageEntry(
        title="Grad-CAM viewer",
        question="Where in my picture does the net's answer come from, and can that explanation be trusted?",
        icon="visibility",
        section="Ask",
    ),
}
"""File name in `pages/` and place in the URL → page. The first is shown at the root."""


def page_object(key: str) -> StreamlitPage:
    """The page as Streamlit knows it, for the menu and for links."""
    entry = PAGES[key]
    return st.Page(
        _FOLDER / f"{key}.py",
        title=entry.title,
        icon=f":material/{entry.icon}:",
        url_path=key,
        default=key == next(iter(PAGES)),
    )


def present() -> dict[str, StreamlitPage]:
    """The pages whose files are there. A missing one is logged and left out; the others work on."""
    found = {}
    for key in PAGES:
        try:
            found[key] = page_object(key)
        except StreamlitAPIException:
            _LOG.error("Page '%s' has no file in pages/ and is left out of the menu", key)
    return found
