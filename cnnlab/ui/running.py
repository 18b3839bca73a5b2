"""The one runner of this server, for pages and routes alike."""

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnlab.runs.runner import Runner

_lock = Lock()
_runner: "Runner | None" = None


def runner() -> "Runner":
    """Where runs are started, commanded and watched; made when it is first asked for.

    Not a cached resource of Streamlit's: routes ask for it too, and nobody may clear it while runs go on.
    """
    global _runner
    with _lock:
        if _runner is None:
            # Only now: it takes PyTorch, for which the first page does not wait.
            from cnnlab.runs.runner import Runner

            _runner = Runner()
        return _runner


def close() -> None:
    """End all runs so that they can be resumed, as the server stops."""
    if _runner is not None:
        _runner.close()
