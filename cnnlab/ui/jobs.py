"""Work that takes longer than a page may: in a thread, told by a bar, with a stop."""

import atexit
import itertools
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import streamlit as st

from cnnlab.data import Progress
from cnnlab.downloading import Cancelled
from cnnlab.ui.text import plain

Made = TypeVar("Made")
_LOOKS_S = 0.5
_LAST_WAIT_S = 5.0
_at_work: "set[Job[Any]]" = set()


class Job(Generic[Made]):
    """Something that is being made.

    Args:
        work: Called in a thread of its own with what to tell progress to, and what to ask whether it is to end.

    Attributes:
        result: What was made, once it is.
        error: What went wrong instead.
    """

    def __init__(self, work: Callable[[Progress, Cancelled], Made]) -> None:
        self.result: Made | None = None
        self.error: Exception | None = None
        self._told = ("", 0, 0)
        self._stop = threading.Event()
        self._over = threading.Event()
        # Daemons, or Ctrl+C would wait for a download; but PyTorch aborts where Python ends under one of its threads.
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        _at_work.add(self)
        self._thread.start()

    def _run(self, work: Callable[[Progress, Cancelled], Made]) -> None:
        try:
            self.result = work(self._tell, self._stop.is_set)
        except Exception as error:  # noqa: BLE001 - carried to the page, whose boundary tells faults of ours apart
            self.error = error
        finally:
            self._over.set()
            _at_work.discard(self)

    def _tell(self, doing: str, done: int, total: int) -> None:
        self._told = (doing, done, total)

    @property
    def is_over(self) -> bool:
        """Whether there is a result or an error."""
        return self._over.is_set()

    @property
    def told(self) -> tuple[str, int, int]:
        """What is being done, how much of it is, and of how much."""
        return self._told

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end, but not longer; whether it came."""
        return self._over.wait(timeout_s)

    def stop(self) -> None:
        """Ask for the end; it comes when the work looks."""
        self._stop.set()


@atexit.register
def _end_all() -> None:
    jobs = list(_at_work)
    for job in jobs:
        job.stop()
    for job in jobs:
        job.wait(_LAST_WAIT_S)


def show(
    job: Job[Any], title: str, *, key: str, unit: Callable[[int], str] = "{:,}".format, can_stop: bool = True
) -> None:
    """Draw how far a job is, with a button that stops it; the page runs again when it is over.

    Args:
        job: That is not over.
        title: What is being made, for people.
        key: Session key.
        unit: How much in words.
        can_stop: Whether there is such a button: not for who shares somebody else's job.
    """
    ticks = itertools.count()

    @st.fragment(run_every=_LOOKS_S)
    def look() -> None:
        if next(ticks) and job.is_over:
            st.rerun()  # not on the page's own way through: it has not drawn all yet
        doing, done, total = job.told
        told = f"{title}: {doing}, {unit(done)} of {unit(total)}" if total else f"{title} …"
        st.progress(min(1.0, done / total) if total else 0.0, plain(told))
        if can_stop:
            st.button("Stop", key=key, icon=":material/stop:", on_click=job.stop)

    look()
