"""One run, told to all who watch it."""

import time
from threading import Condition, Lock
from types import TracebackType
from typing import Self

from cnnlab.train.events import LayersMeasured, Stepped, TrainEvent
from cnnlab.train.history import History

_ROOM = 256


class Channel:
    """What a run has told, and those to whom it tells the rest. For any thread.

    Args:
        history: What it told before; from now on it belongs to the channel.
        is_open: Whether there is more to come.
    """

    def __init__(self, history: History, *, is_open: bool = True) -> None:
        self._history = history
        self._is_open = is_open
        self._listeners: list[Subscription] = []
        self._lock = Lock()

    def add(self, event: TrainEvent) -> None:
        """Tell an event to everybody."""
        with self._lock:
            self._history.add(event)
            for one in self._listeners:
                one.put(event)

    def end(self) -> None:
        """Say that nothing more will come."""
        with self._lock:
            self._is_open = False
            for one in self._listeners:
                one.end()
            self._listeners.clear()

    def history(self) -> History:
        """What was told so far; it stays as it is."""
        with self._lock:
            return self._history.copy()

    def subscribe(self) -> "Subscription":
        """Listen from now on; nothing is missed between the history and the first event."""
        with self._lock:
            subscription = Subscription(self, self._history.copy())
            if self._is_open:
                self._listeners.append(subscription)
            else:
                subscription.end()
            return subscription

    def leave(self, subscription: "Subscription") -> None:
        """Tell somebody nothing more."""
        with self._lock:
            if subscription in self._listeners:
                self._listeners.remove(subscription)
        subscription.end()


class Subscription:
    """One who watches a run, at an own pace. Made by `Channel.subscribe`; leaves at the end of `with`.

    For somebody slow, every other of the measurements that wait (`Stepped`, `LayersMeasured`) is dropped, again and
    again, so that nobody waits and no memory grows. All other events come.

    Attributes:
        history: What the run had told before.
    """

    def __init__(self, channel: Channel, history: History) -> None:
        self.history = history
        self._channel = channel
        self._events: list[TrainEvent] = []
        self._room = _ROOM
        self._has_ended = False
        self._arrived = Condition()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        with self._arrived:
            return self._has_ended and not self._events

    def next(self, timeout_s: float) -> list[TrainEvent]:
        """What came since the last call, in order; waits for something to come.

        Args:
            timeout_s: How long at most.

        Returns:
            Nothing when the time is up or nothing more will come.
        """
        give_up = time.monotonic() + timeout_s
        with self._arrived:
            while not self._events and not self._has_ended and (left := give_up - time.monotonic()) > 0:
                self._arrived.wait(left)
            events, self._events, self._room = self._events, [], _ROOM
            return events

    def close(self) -> None:
        """Listen no more."""
        self._channel.leave(self)

    def put(self, event: TrainEvent) -> None:
        """For the channel: here is an event."""
        with self._arrived:
            self._events.append(event)
            if len(self._events) > self._room:
                self._thin_out()
            self._arrived.notify_all()

    def end(self) -> None:
        """For the channel: that was all."""
        with self._arrived:
            self._has_ended = True
            self._arrived.notify_all()

    def _thin_out(self) -> None:
        measured = [i for i, event in enumerate(self._events) if isinstance(event, Stepped | LayersMeasured)]
        dropped = set(measured[:-1:2])
        self._events = [event for i, event in enumerate(self._events) if i not in dropped]
        self._room = len(self._events) + _ROOM

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
