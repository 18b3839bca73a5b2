"""Work that takes longer than a page may, for one visitor: shown as it grows, stopped by hand or when nobody looks."""

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import streamlit as st

from cnnlab.data import Progress
from cnnlab.downloading import Cancelled
from cnnlab.errors import LabError
from cnnlab.ui import errors, state
from cnnlab.ui.jobs import Job
from cnnlab.ui.text import plain

Made = TypeVar("Made")
Steps = Callable[[Progress, Cancelled], Iterator[Made]]

_SHELF = "explain.works"
_MOST = 64  # works kept for one visitor
_LEASE_S = 20.0  # after which nobody looks any more
_LOOKS_S = 0.4
_SHORT_S = 0.4  # what a page may wait before it draws a bar
_one_at_a_time = threading.Lock()


class Work(Generic[Made]):
    """Something that is being made, step by step, in a thread of its own.

    Args:
        steps: Called in the thread with what to tell progress to and what to ask whether to end; yields what there is
            so far. What it works on is held by the thread alone, and goes with it.

    Attributes:
        latest: What was made last; None while there is nothing.
        is_whole: Whether it came to its own end.
        is_stopped: Whether somebody stopped it by hand.
    """

    def __init__(self, steps: Steps[Made]) -> None:
        self.latest: Made | None = None
        self.is_whole = False
        self.is_stopped = False
        self._looked = time.monotonic()
        self._job = Job(lambda progress, cancelled: self._run(steps, progress, cancelled))

    def _run(self, steps: Steps[Made], progress: Progress, cancelled: Cancelled) -> None:
        def is_over() -> bool:
            return cancelled() or time.monotonic() - self._looked > _LEASE_S

        for made in steps(progress, is_over):
            self.latest = made
            if is_over():
                return
        self.is_whole = True

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._job.is_over

    @property
    def error(self) -> Exception | None:
        """What went wrong; not what somebody wanted to end."""
        return None if self.is_stopped else self._job.error

    @property
    def told(self) -> tuple[str, int, int]:
        """What is being done, how much of it is, and of how much."""
        return self._job.told

    def look(self, wait_s: float = 0.0) -> None:
        """Say that somebody still wants it; wait for its end, but not longer."""
        self._looked = time.monotonic()
        self._job.wait(wait_s)

    def stop(self, *, by_hand: bool = False) -> None:
        """Ask for the end; what there is stays."""
        if not self.is_over:
            self.is_stopped = by_hand
        self._job.stop()


def in_turn(steps: Steps[Made]) -> Steps[Made]:
    """The same, but one visitor after the other: two of these would leave no core to those who only look."""

    def waiting(progress: Progress, cancelled: Cancelled) -> Iterator[Made]:
        while not _one_at_a_time.acquire(timeout=0.2):
            progress("waiting for another visitor's check to end", 0, 0)
            if cancelled():
                return
        try:
            yield from steps(progress, cancelled)
        finally:
            _one_at_a_time.release()

    return waiting


def kept(key: str, steps: Steps[Made]) -> Work[Made]:
    """The work of this key, begun where it is new, and begun again where it ended because nobody looked."""
    shelf = _shelf()
    work = shelf.get(key)
    if work is None or (work.is_over and not (work.is_whole or work.is_stopped or work.error)):
        work = shelf[key] = Work(steps)
    shelf.move_to_end(key)
    while len(shelf) > _MOST:
        shelf.popitem(last=False)[1].stop()
    return work


def forget(key: str) -> None:
    """Let it begin anew when it is asked for again."""
    if work := _shelf().pop(key, None):
        work.stop()


def started(prefix: str) -> dict[str, Work[Any]]:
    """All works whose keys begin like this."""
    return {key: work for key, work in _shelf().items() if key.startswith(prefix)}


def on_request(
    key: str,
    steps: Steps[Made],
    draw: Callable[[Made], None],
    *,
    widget: str,
    button: str,
    about: str,
    doing: str,
) -> None:
    """Offer a work; once somebody wants it, draw what it has made, and until it is over a bar and a stop.

    Args:
        key: What tells its result from all others of this visitor.
        steps: As `Work` takes them; waits for those of other visitors.
        draw: Draws what there is.
        widget: What the session keys of its buttons begin with.
        button: Label of the button that begins it.
        about: What it does and takes, beside that button.
        doing: What is being made, for people, beside the bar.
    """
    if key not in _shelf():
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            st.button(button, key=f"{widget}.begin", icon=":material/play_arrow:", on_click=lambda: _begin(key, steps))
            st.caption(about, width="stretch")
        return
    _show(kept(key, in_turn(steps)), key, draw, widget, doing)


def _begin(key: str, steps: Steps[Any]) -> None:
    kept(key, in_turn(steps))


def _show(work: Work[Made], key: str, draw: Callable[[Made], None], widget: str, doing: str) -> None:
    work.look(_SHORT_S)
    if work.is_over:
        _ending(work, key, draw, widget, doing)
        return
    ticks = itertools.count()

    @st.fragment(run_every=_LOOKS_S)
    def look() -> None:
        work.look()
        if next(ticks) and work.is_over:
            st.rerun()  # not on the page's own way through: it has not drawn all yet
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            step, done, total = work.told
            told = f"{doing}: {step}, {done:,} of {total:,}" if total else f"{doing}: {step or 'beginning'} …"
            st.progress(min(1.0, done / total) if total else 0.0, plain(told))
            st.button("Stop", key=f"{widget}.stop", icon=":material/stop:", on_click=lambda: work.stop(by_hand=True))
        if work.latest is not None:
            draw(work.latest)
        state.publish()

    look()


def _ending(work: Work[Made], key: str, draw: Callable[[Made], None], widget: str, doing: str) -> None:
    if isinstance(work.error, LabError):
        errors.show(work.error)
    elif work.error is not None:
        raise work.error
    if work.is_stopped or work.error is not None:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if work.is_stopped:
                st.caption(f"{doing}: stopped.", width="content")
            st.button("Start again", key=f"{widget}.again", on_click=forget, args=(key,))
    if work.latest is not None:
        draw(work.latest)


def _shelf() -> OrderedDict[str, Work[Any]]:
    return st.session_state.setdefault(_SHELF, OrderedDict())
