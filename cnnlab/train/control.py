"""What one may ask of a run while it goes; each is carried out within one step."""

from collections import deque
from dataclasses import dataclass
from threading import Condition
from typing import Protocol

from cnnlab.errors import InputRejected

COMMANDS = ("pause", "resume", "step", "stop", "lr", "snapshot")


@dataclass(frozen=True, slots=True)
class Command:
    """Something to do before the next step.

    Args:
        name: Of `COMMANDS`. "step" does one step and pauses again; "snapshot" writes the weights.
        value: The new learning rate for "lr"; what the schedule says later is scaled alike.

    Raises:
        InputRejected: No such command, or a learning rate that is out of range.
    """

    name: str
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in COMMANDS:
            raise InputRejected(f"There is no command {self.name!r}; there are {', '.join(COMMANDS)}.")
        if self.name == "lr" and not 1e-8 <= self.value <= 10:
            raise InputRejected(f"The learning rate must be from 1e-8 to 10, got {self.value:g}.")


class Commands(Protocol):
    """Where a run looks for commands."""

    def next(self, *, wait: bool) -> Command | None:
        """The next command, or None where there is none; with `wait`, when there is one."""
        ...


class Control:
    """Commands for a run in this process, from any thread."""

    def __init__(self) -> None:
        self._waiting: deque[Command] = deque()
        self._arrived = Condition()

    def send(self, name: str, value: float = 0.0) -> None:
        """Ask for something.

        Raises:
            InputRejected: As `Command`.
        """
        with self._arrived:
            self._waiting.append(Command(name, value))
            self._arrived.notify()

    def next(self, *, wait: bool) -> Command | None:
        """As in `Commands`."""
        with self._arrived:
            while wait and not self._waiting:
                self._arrived.wait()
            return self._waiting.popleft() if self._waiting else None
