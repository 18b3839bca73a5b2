"""A run in the terminal: a bar that moves, or a line an epoch where the output goes to a file."""

import time
from typing import TextIO

from cnnlab.runs.worker import Preparing
from cnnlab.train.events import Ended, EpochEnded, Finding, Started, Stepped, TrainEvent
from cnnlab.train.history import History

_BAR = 24
_REDRAWN_EVERY_S = 0.1
_CLEAR = "\r\x1b[K"


class Display:
    """Shows what a run tells.

    Args:
        stream: Where to.
        is_terminal: Whether a line can be drawn over.
        history: What the run told before; goes on with what is shown here.
    """

    def __init__(self, stream: TextIO, *, is_terminal: bool, history: History) -> None:
        self._stream = stream
        self._is_terminal = is_terminal
        self._history = history
        self._drawn_s = 0.0
        self._has_bar = False

    def prepare(self, preparing: Preparing) -> None:
        """Show how far loading is; in a terminal alone."""
        share = preparing.done / preparing.total if preparing.total else 0.0
        self._draw(f"{preparing.what}  {_bar(share)}  {share:4.0%}")

    def show(self, event: TrainEvent) -> None:
        """Show an event, if it is one to show."""
        self._history.add(event)
        match event:
            case Started():
                self.say(_started(event))
            case Stepped():
                self._draw(self._stepped(event))
            case EpochEnded():
                self.say(self._epoch(event))
            case Finding() | Ended():
                self.say(event.text)
            case _:
                pass

    def say(self, text: str) -> None:
        """A line that stays."""
        self._stream.write(f"{_CLEAR if self._has_bar else ''}{text}\n")
        self._stream.flush()
        self._has_bar = False

    def _draw(self, text: str) -> None:
        """A line that the next one is drawn over."""
        now = time.monotonic()
        if not self._is_terminal or now < self._drawn_s + _REDRAWN_EVERY_S:
            return
        self._stream.write(f"{_CLEAR}{text}")
        self._stream.flush()
        self._drawn_s, self._has_bar = now, True

    def _stepped(self, event: Stepped) -> str:
        started = self._history.started
        assert started is not None
        epoch, step = divmod(event.step - 1, started.steps_per_epoch)
        share = (step + 1) / started.steps_per_epoch
        left = self._history.eta_s(time.time())
        return (
            f"epoch {epoch + 1:>{len(str(started.epochs))}}/{started.epochs}  {_bar(share)}  {share:4.0%}  "
            f"loss {event.loss:.4f}  {event.accuracy:6.1%}  {event.images_per_s:,.0f} pictures/s"
            + (f"  {_duration(left)} left" if left is not None else "")
        )

    def _epoch(self, event: EpochEnded) -> str:
        started = self._history.started
        assert started is not None
        is_best = self._history.best_epoch == event.epoch
        return (
            f"epoch {event.epoch:>{len(str(started.epochs))}}/{started.epochs}  "
            f"training loss {event.train_loss:.4f} {event.train_accuracy:7.2%}  "
            f"validation loss {event.validation_loss:.4f} {event.validation_accuracy:7.2%}  "
            f"{event.seconds + event.validation_seconds:.1f} s{'  best so far' * is_best}"
        )


def _started(event: Started) -> str:
    threads = f", {event.threads} thread{'s' * (event.threads != 1)}" * (event.device == "CPU")
    frozen = f" ({event.num_frozen:,} frozen)" * bool(event.num_frozen)
    return (
        f"{event.net} on {event.data}: {event.num_params:,} weights{frozen}, {event.num_train:,} pictures to learn "
        f"from, {event.num_validation:,} for validation; {event.device}{threads}"
    )


def _bar(share: float) -> str:
    full = round(share * _BAR)
    return "█" * full + "░" * (_BAR - full)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
