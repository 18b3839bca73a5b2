"""What the events of a run add up to, in memory that does not grow with the run.

    history = History()
    for event in train(config):
        history.add(event)
    history.steps.loss, history.epochs[-1].validation_accuracy, history.best_epoch

A curve holds about 2,000 points however long the run. When it is full, neighbours are merged in pairs, and from then
on each point stands for twice as many events, so the whole run is told equally finely. The last event is always
there as it came.
"""

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any, ClassVar, Self

from cnnlab.train.events import (
    Changed,
    Checkpointed,
    Ended,
    EpochEnded,
    Finding,
    LayersMeasured,
    Started,
    Stepped,
    TrainEvent,
)

_MAX_CELLS = 1_000_000
_MAX_CHANGES = 500


class Curve:
    """Parallel lists that merge neighbours when they grow too long. Made by `History`; read it only.

    Points are complete ones, then one that is still being filled, then the last event as it came. Merged values are
    means weighted by steps; a point lies at the last of its steps.
    """

    limit: ClassVar[int]
    lasts: ClassVar[tuple[str, ...]]
    means: ClassVar[tuple[str, ...]]

    step: list[int]

    def __init__(self) -> None:
        for name in (*self.lasts, *self.means):
            setattr(self, name, [])
        self._per_point = 1
        self._in_open = 0

    def __len__(self) -> int:
        return len(self.step)

    def copy(self) -> Self:
        """One that no longer grows with this one."""
        other = copy(self)
        for name in (*self.lasts, *self.means):
            setattr(other, name, getattr(self, name).copy())
        return other

    def append(self, values: Mapping[str, Any]) -> None:
        """Put an event's values at the end; what has been the last event joins the point before where there is room."""
        if len(self) > 1 and self._in_open < self._per_point:
            self._merge(len(self) - 2)
            self._in_open += 1
        else:
            self._in_open = 1
        for name in (*self.lasts, *self.means):
            getattr(self, name).append(values[name])
        if len(self) > self.limit:
            self._halve()

    def cut(self, step: int) -> None:
        """Forget the points after a step."""
        kept = sum(one <= step for one in self.step)
        for name in (*self.lasts, *self.means):
            del getattr(self, name)[kept:]
        self._in_open = self._per_point

    def to_data(self) -> dict[str, Any]:
        """The lists by name, and what it takes to go on appending elsewhere."""
        lists = {name: _plain(getattr(self, name)) for name in (*self.lasts, *self.means)}
        return {**lists, "per_point": self._per_point, "in_open": self._in_open}

    def _weights(self, index: int) -> tuple[int, int]:
        before = self.step[index - 1] if index else 0
        return max(1, self.step[index] - before), max(1, self.step[index + 1] - self.step[index])

    def _merge(self, index: int) -> None:
        """Make one point of the one at `index` and the next."""
        weights = self._weights(index)
        for name in self.means:
            column = getattr(self, name)
            column[index : index + 2] = [_mean(column[index], column[index + 1], *weights)]
        for name in self.lasts:
            del getattr(self, name)[index]

    def _halve(self) -> None:
        """Merge all but the last event in pairs; the open point may be left over, and stays open."""
        num_pairs, left_over = divmod(len(self) - 1, 2)
        paired = 2 * num_pairs
        weights = [self._weights(index) for index in range(0, paired, 2)]
        for name in self.means:
            column = getattr(self, name)
            column[:paired] = [_mean(column[2 * i], column[2 * i + 1], *weights[i]) for i in range(num_pairs)]
        for name in self.lasts:
            column = getattr(self, name)
            column[:paired] = column[1:paired:2]
        if not left_over:
            self._in_open += self._per_point
        self._per_point *= 2


class StepCurve(Curve):
    """The course of `Stepped`.

    Attributes:
        step: Steps done in all.
        seconds: Since the run began; the time between a stop and going on is left out.
        loss, accuracy, lr, images_per_s, memory_mb: As in `Stepped`.
    """

    limit = 2000
    lasts = ("step", "seconds", "lr", "memory_mb")
    means = ("loss", "accuracy", "images_per_s")

    seconds: list[float]
    lr: list[float]
    memory_mb: list[float]
    loss: list[float]
    accuracy: list[float]
    images_per_s: list[float]


class LayerCurve(Curve):
    """The course of `LayersMeasured`: gradients and updates hold one tuple a point, dead one mapping."""

    # A point holds three numbers a layer, and there may be dozens of layers.
    limit = 400
    lasts = ("step",)
    means = ("gradient_norm", "gradients", "updates", "dead")

    gradient_norm: list[float]
    gradients: list[tuple[float, ...]]
    updates: list[tuple[float, ...]]
    dead: list[Mapping[str, float]]


class History:
    """All that is known of a run, from its events in order.

    A run that goes on from a checkpoint starts anew at its step: what came after that step is forgotten, as it is
    done again.

    Attributes:
        started: The last start; None before the first.
        steps: Loss, accuracy, speed … over the steps.
        layers: Gradients and updates over the steps.
        epochs: Finished ones, in order. In very long runs with very many classes the confusion of early ones is ().
        checkpoints: Weights that were written, in order.
        findings: In order.
        changes: Commands that were carried out, the last 500.
        ended: How it ended; None while it goes on.
        is_paused: Whether it waits for a command.
        last: The last `Stepped`, as it came.
    """

    def __init__(self) -> None:
        self.started: Started | None = None
        self.steps = StepCurve()
        self.layers = LayerCurve()
        self.epochs: list[EpochEnded] = []
        self.checkpoints: list[Checkpointed] = []
        self.findings: list[Finding] = []
        self.changes: list[Changed] = []
        self.ended: Ended | None = None
        self.is_paused = False
        self.last: Stepped | None = None
        self._began = 0.0

    def copy(self) -> "History":
        """One that stays as it is while this one goes on; 0.3 ms at most."""
        other = copy(self)
        for name in ("steps", "layers", "epochs", "checkpoints", "findings", "changes"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def add(self, event: TrainEvent) -> None:
        """Take in the next event."""
        match event:
            case Started():
                self._start(event)
            case Stepped():
                self.last = event
                values = {name: getattr(event, name) for name in event.__slots__}
                self.steps.append(values | {"seconds": event.time - self._began})
            case LayersMeasured():
                self.layers.append({name: getattr(event, name) for name in event.__slots__})
            case EpochEnded():
                self.epochs.append(event)
                self._bound_confusions()
            case Checkpointed():
                self.checkpoints = [one for one in self.checkpoints if one.file != event.file] + [event]
            case Finding():
                self.findings.append(event)
            case Changed():
                self.changes = [*self.changes, event][-_MAX_CHANGES:]
                if event.what in ("paused", "resumed"):
                    self.is_paused = event.what == "paused"
            case Ended():
                self.ended = event
                self.is_paused = False

    @property
    def best(self) -> EpochEnded | None:
        """The epoch with the best validation accuracy, the first of equals; None before the first is finished."""
        return max(self.epochs, key=lambda one: one.validation_accuracy, default=None)

    @property
    def best_epoch(self) -> int:
        """Number of `best`, 0 where there is none."""
        return self.best.epoch if self.best else 0

    def eta_s(self, now: float) -> float | None:
        """Seconds until the last epoch is done, should none of them be left out.

        From the speed of the last ten points and the last validation; before the first validation a picture there is
        taken to cost a third of one that is learnt from, as nothing goes backwards.

        Args:
            now: Seconds since 1970.

        Returns:
            None before the first step and when the run is over.
        """
        start, last = self.started, self.last
        if start is None or last is None or self.ended is not None:
            return None
        speeds = [one for one in self.steps.images_per_s[-10:] if one > 0]
        if not speeds:
            return None
        seconds_per_picture = sum(1 / one for one in speeds) / len(speeds)
        steps_left = start.epochs * start.steps_per_epoch - last.step
        learning = steps_left * start.num_train / start.steps_per_epoch * seconds_per_picture
        if self.epochs:
            validation = self.epochs[-1].validation_seconds
        else:
            validation = start.num_validation * seconds_per_picture / 3
        left = learning + (start.epochs - len(self.epochs)) * validation
        latest = max(last.time, self.epochs[-1].time if self.epochs else 0)
        return max(0.0, left if self.is_paused else left - (now - latest))

    def to_data(self) -> dict[str, Any]:
        """All of it for JSON, without the confusions; what is not finite is None, as JSON knows no such number."""
        return {
            "started": self.started and for_browser(self.started),
            "steps": self.steps.to_data(),
            "layers": self.layers.to_data(),
            "epochs": [for_browser(one) for one in self.epochs],
            "checkpoints": [for_browser(one) for one in self.checkpoints],
            "findings": [for_browser(one) for one in self.findings],
            "changes": [for_browser(one) for one in self.changes],
            "ended": self.ended and for_browser(self.ended),
            "is_paused": self.is_paused,
            "best_epoch": self.best_epoch,
            "began": self._began,
        }

    def _start(self, event: Started) -> None:
        step = event.first_step
        self.steps.cut(step)
        self.layers.cut(step)
        self.epochs = [one for one in self.epochs if one.step <= step]
        self.checkpoints = [one for one in self.checkpoints if one.step <= step]
        self.findings = [one for one in self.findings if one.step <= step]
        self.changes = [one for one in self.changes if one.step <= step]
        self._began = event.time - (self.steps.seconds[-1] if len(self.steps) else 0)
        self.started, self.ended, self.last, self.is_paused = event, None, None, False

    def _bound_confusions(self) -> None:
        cells = len(self.epochs[-1].confusion) ** 2
        too_old = len(self.epochs) - 1 - max(1, _MAX_CELLS // max(1, cells))
        if too_old >= 0:
            self.epochs[too_old] = replace(self.epochs[too_old], confusion=())


def _mean(first: Any, second: Any, first_weight: int, second_weight: int) -> Any:
    """Weighted mean of numbers, or of each of several."""
    if isinstance(first, Mapping):
        return {key: _mean(first[key], value, first_weight, second_weight) for key, value in second.items()}
    if isinstance(first, tuple):
        return tuple(_mean(a, b, first_weight, second_weight) for a, b in zip(first, second, strict=True))
    return (first * first_weight + second * second_weight) / (first_weight + second_weight)


def for_browser(event: TrainEvent) -> dict[str, Any]:
    """An event for JSON that is drawn from: without its confusion, None for what is not finite, six digits."""
    values = {name: _plain(getattr(event, name)) for name in event.__slots__ if name != "confusion"}
    return {"kind": type(event).__name__, **values}


def _plain(value: Any) -> Any:
    """The same for JSON: lists for tuples, None for what is not finite, six digits of what was measured."""
    if isinstance(value, float):
        # Seconds since 1970 have more digits than six.
        return float(f"{value:.6g}") if abs(value) < 1e6 else value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
