"""What the server does around the pages: which script draws, and what is made ready while nobody waits."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st

SHELL = Path(__file__).with_name("shell.py")

_LOG = logging.getLogger("cnnlab")


def _warm_up() -> None:
    """Load what the first visitors will ask for next: the charts' library and the thumbnails of the samples."""
    from cnnlab.figures import charts
    from cnnlab.images import SAMPLES
    from cnnlab.ui import intake

    assert charts
    for key in SAMPLES:
        intake.thumbnail(key)


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Warm up in a thread of its own; the server answers meanwhile."""
    warming = asyncio.create_task(asyncio.to_thread(_warm_up))
    warming.add_done_callback(_log_failure)
    yield
    warming.cancel()


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        _LOG.error("Warm-up failed; pages will load what they need themselves", exc_info=error)
