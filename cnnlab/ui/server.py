"""What the server does around the pages: which script draws, and what is made ready while nobody waits."""

import asyncio
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import streamlit as st
from starlette.formparsers import MultiPartParser

from cnnlab.ui import running

# An upload stays in memory, as the lab promises: above this, Starlette keeps it in a temporary file while it comes in.
MultiPartParser.spool_max_size = 512 * 2**20

SHELL = Path(__file__).with_name("shell.py")

_LOG = logging.getLogger("cnnlab")


def _warm_up() -> None:
    """Load what the first visitors will ask for next: the charts' library, thumbnails of the samples, PyTorch."""
    from cnnlab.figures import charts
    from cnnlab.images import SAMPLES
    from cnnlab.ui import intake

    for key in SAMPLES:
        intake.thumbnail(key)
    from cnnlab.ui import net_choice, nets, workbench

    running.runner().warm_up()

    # The first net that PyTorch runs without numbers takes a second or two longer than all after it.
    default = nets.of(workbench.NET.default)
    nets.described(default, default.num_classes, default.input_shape)
    assert charts
    assert net_choice


def send_at_once() -> None:
    """Let the listening socket hand out connections that send without waiting for more to send.

    `streamlit run` binds a socket of protocol 0, for which asyncio leaves Nagle's algorithm on: the messages of a rerun
    then wait for the browser's acknowledgement of the ones before, 40 ms and more. Connections inherit the option.
    """
    descriptors = Path("/dev/fd")
    for entry in descriptors.iterdir() if descriptors.exists() else ():
        with suppress(OSError):  # closed by now, or not a TCP socket
            if stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                with socket.socket(fileno=os.dup(int(entry.name))) as candidate:
                    if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Warm up in a thread of its own; the server answers meanwhile."""
    send_at_once()
    warming = asyncio.create_task(asyncio.to_thread(_warm_up))
    warming.add_done_callback(_log_failure)
    yield
    warming.cancel()
    await asyncio.to_thread(running.close)


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        _LOG.error("Warm-up failed; pages will load what they need themselves", exc_info=error)
