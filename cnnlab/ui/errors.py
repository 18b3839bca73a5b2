"""The one boundary between what goes wrong and what a page says about it."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from cnnlab.errors import LabError
from cnnlab.ui.text import paragraphs

_LOG = logging.getLogger("cnnlab")


def show(error: Exception) -> bool:
    """Say on the page what went wrong; a fault of ours goes to the log in full and to the page by its number.

    Returns:
        True: it has been shown (Streamlit asks this of its `on_script_error` handler).
    """
    if isinstance(error, LabError):
        st.error(paragraphs(str(error)), icon=":material/error:")
        return True
    fault_id = secrets.token_hex(4)
    _LOG.error("Fault %s", fault_id, exc_info=error)
    st.error(
        f"Something broke on our side. The rest of the lab still works. "
        f"Reload the page to try again; if it stays, report fault **{fault_id}**, which the server's log explains.",
        icon=":material/report:",
    )
    return True


@contextmanager
def shown() -> Iterator[None]:
    """Show what the block raises instead of letting it end the page."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the boundary: nothing may pass it
        show(error)
