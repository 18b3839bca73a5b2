"""What a run has told, as it was told: one line of JSON an event, in `events.jsonl` in the run's folder.

A line counts once its end is there. A kill leaves at most one line without, which readers skip and the next writer
cuts off. So does a reader with whatever else is no event: a damaged line costs itself and nothing more.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, get_args

from cnnlab.runs.plain import from_data, to_json
from cnnlab.storing import disk_in_words
from cnnlab.train.events import Ended, EpochEnded, TrainEvent, to_data

if TYPE_CHECKING:
    from cnnlab.train.history import History

EVENTS = "events.jsonl"
MAX_LINE = 16_000_000
"""Bytes. The confusion matrix of 1,000 classes, which is the longest that comes, takes 2 to 8 million."""

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in get_args(TrainEvent)}


def to_line(event: TrainEvent) -> bytes:
    """An event as a line of strict JSON, with its end. What is not finite has a name: "NaN", "Infinity"."""
    return to_json(to_data(event)).encode() + b"\n"


def from_line(line: bytes) -> TrainEvent:
    """The reverse of `to_line`.

    Raises:
        ValueError: This is no event.
    """
    try:
        data = json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    kind = data.pop("kind", None) if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError("this is no kind of event")
    return from_data(_KINDS[kind], data)


class Journal:
    """Where one process writes down what its run tells. Made by `Journal.open`; closed by `close` or `with`."""

    def __init__(self, file: IO[bytes], num_bytes: int) -> None:
        self._file = file
        self._num_bytes = num_bytes

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Go on behind the last whole line, or begin.

        Raises:
            ResourceExhausted: The disk is full or cannot be written to.
        """
        with _disk():
            # Without a buffer: what was appended is with the system at once, also if this process is killed.
            file = (folder / EVENTS).open("ab+", buffering=0)
            num_bytes = _end_of_last_line(file)
            file.truncate(num_bytes)
            return cls(file, num_bytes)

    def append(self, event: TrainEvent) -> None:
        """Write an event down. The ends of epochs and of the run are on the disk when this returns.

        Raises:
            ResourceExhausted: The disk is full or cannot be written to. What was there before is still whole.
        """
        line = to_line(event)
        with _disk():
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                self._file.truncate(self._num_bytes)
                raise
            self._num_bytes += len(line)
            if isinstance(event, EpochEnded | Ended):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class EventReader(Iterator[TrainEvent]):
    """The events of a run, in order; what cannot be read is left out and counted.

    Attributes:
        num_damaged: Lines left out so far; complete once the iteration is over.
    """

    def __init__(self, folder: Path) -> None:
        self.num_damaged = 0
        self._events = self._read(folder / EVENTS)

    def __next__(self) -> TrainEvent:
        return next(self._events)

    def _read(self, path: Path) -> Iterator[TrainEvent]:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            while line := file.readline(MAX_LINE):
                is_too_long = len(line) == MAX_LINE
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE)
                if not line:
                    return  # the end of the last line is not written yet
                try:
                    if is_too_long:
                        raise ValueError("no event is so long")
                    yield from_line(line)
                except ValueError:
                    self.num_damaged += 1


def read_events(folder: Path) -> EventReader:
    """The events of a run as far as they are written down; none where there is no journal yet.

    Args:
        folder: Of the run; it may be going on.

    Raises:
        OSError: While iterating: the disk cannot be read.
    """
    return EventReader(folder)


def journal_size(folder: Path) -> int:
    """Bytes of the journal, by which one sees whether there is news; 0 where there is none that can be read."""
    try:
        return (folder / EVENTS).stat().st_size
    except OSError:
        return 0


def read_history(folder: Path) -> "History":
    """What the events of a run add up to.

    Raises:
        ResourceExhausted: The disk cannot be read.
    """
    from cnnlab.train.history import History

    history = History()
    with disk_in_words("The run could not be read", to_delete="runs"):
        for event in read_events(folder):
            history.add(event)
    return history


def _end_of_last_line(file: IO[bytes]) -> int:
    """How many bytes there are up to the end of the last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _disk() -> Any:
    return disk_in_words("The run could not be written down", to_delete="runs")
