"""What became of a run whose process has ended: its state, and the reason in words."""

import signal
from dataclasses import dataclass

from cnnlab.runs.worker import Failed
from cnnlab.train.events import Ended

SHUT_DOWN_WAITING = "The lab was shut down while this run was waiting. Start it again."
LAB_GONE_WAITING = "The lab was restarted while this run was waiting. Start it again."
LAB_GONE = "The lab was restarted while this run was going on. Resume it."

_STATES = {
    "finished": "finished",
    "early": "finished",
    "stopped": "stopped",
    "diverged": "failed",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """All that is known when a process is gone.

    Attributes:
        ended: The run's own last event, if it came to that.
        failed: Why it could not go on, if it could still say so.
        code: Of the process, −n for signal n; None where nobody knows.
        has_started: Whether it came to its first step.
        was_killed: Whether it was ended because somebody asked for it to stop.
        is_cut_short: Whether it was ended because the lab ends.
        kept: Whole epochs from which it can go on; None where nothing was kept.
    """

    ended: Ended | None
    failed: Failed | None
    code: int | None
    has_started: bool
    was_killed: bool
    is_cut_short: bool
    kept: int | None

    def state_and_reason(self) -> tuple[str, str]:
        """A state of `cnnlab.runs.store.STATES`, and words."""
        if self.ended:
            return _STATES[self.ended.reason], self.ended.text
        if self.is_cut_short:
            return "interrupted", f"The lab was shut down. {self._advice}"
        if self.failed:
            # What can be put right says so itself.
            return "failed", f"{self.failed.text} {self._advice}" if self.failed.trace else self.failed.text
        if self.was_killed:
            said = "Did not stop by itself, so it was ended." if self.has_started else "Stopped before its first step."
            return "stopped", f"{said} {self._advice}"
        if self.code == 0:
            return "interrupted", f"The system asked the training process to end. {self._advice}"
        return "failed", f"{self._death} {self._advice}"

    @property
    def _death(self) -> str:
        if self.code is None:
            return "The training process is gone; how it ended is not known."
        if self.code == -9:
            return "The training process was killed (signal 9), perhaps because memory ran out."
        if self.code < 0:
            return f"The training process was ended by signal {-self.code} ({_signal_name(-self.code)})."
        return f"The training process ended with code {self.code}; why is in the lab's log."

    @property
    def _advice(self) -> str:
        if self.kept is None:
            return "Nothing was kept yet: resuming begins anew."
        return f"Resume from epoch {self.kept}." if self.kept else "Resume from within epoch 1."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown here"
