"""Runs whose process has outlived its lab: it ends after its step, and somebody has to say so."""

import logging
from collections.abc import Iterable
from threading import Event

from cnnlab.errors import LabError
from cnnlab.runs import store
from cnnlab.runs.endings import LAB_GONE, LAB_GONE_WAITING
from cnnlab.runs.store import Run

_LOG = logging.getLogger("cnnlab")

_LOOK_EVERY_S = 1.0
_OTHERS_SAY_WITHIN_S = 2.0


def await_ends(orphans: Iterable[Run], is_over: Event) -> None:
    """Mark runs as interrupted when their process is gone and nobody says how it ended.

    Args:
        orphans: Runs that are in the hands of another process.
        is_over: Ends this.
    """
    orphans = tuple(orphans)
    while orphans and not is_over.wait(_LOOK_EVERY_S):
        if not all(map(_is_alive, orphans)):
            # They may be those of a second lab that is alive and well, and about to say it.
            is_over.wait(_OTHERS_SAY_WITHIN_S)
            orphans = tuple(now for one in orphans if (now := _looked_after(one.id)))


def _looked_after(run_id: str) -> Run | None:
    """The run as it is now, or None where there is nothing more to wait for."""
    try:
        run = store.get(run_id)
        if run.has_ended or _is_alive(run):
            return None if run.has_ended else run
        store.set_state(run_id, "interrupted", LAB_GONE_WAITING if run.state == "waiting" else LAB_GONE)
    except LabError as error:
        _LOG.warning("Run %s: %s", run_id, error)
    return None


def _is_alive(run: Run) -> bool:
    return run.worker is not None and run.worker.is_alive
