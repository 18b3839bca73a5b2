"""What a run's numbers say that one should know, in words, once each."""

import math
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from cnnlab.train.config import TrainConfig
from cnnlab.train.events import EpochEnded, Finding, LayersMeasured, Started, Stepped, TrainEvent

_FEW = 200
_LARGE_UPDATE = 0.05
_DEAD = 0.5
_TIMES = 4


class Watcher:
    """Looks at events as they come.

    Args:
        config: Of the run.
        known: Names of the findings that were told before a resume.
    """

    def __init__(self, config: TrainConfig, known: list[str]) -> None:
        self._config = config
        self.known = list(known)
        self._num_classes = 0
        self._epochs: list[EpochEnded] = []
        self._counts: dict[str, int] = {}

    def look(self, event: TrainEvent) -> Iterator[Finding]:
        """The findings that an event gives rise to."""
        for finding in self._found(event):
            if finding.key not in self.known:
                self.known.append(finding.key)
                yield finding

    def _found(self, event: TrainEvent) -> Iterator[Finding]:
        if isinstance(event, Started):
            self._num_classes = len(event.classes)
            if event.num_validation < _FEW:
                yield Finding(
                    step=event.first_step,
                    key="few",
                    text=f"Only {event.num_validation} pictures are for validation: one of them is "
                    f"{100 / event.num_validation:.1f} %. Do not read much into small differences.",
                )
        elif isinstance(event, Stepped):
            if not math.isfinite(event.loss):
                yield Finding(
                    step=event.step,
                    key="diverged",
                    text="The loss is no longer a finite number: the steps grew until the weights overflowed. Try a "
                    f"learning rate ten times lower than {self._config.lr:g}, a warm-up, or gradient clipping.",
                )
        elif isinstance(event, LayersMeasured):
            yield from self._of_layers(event)
        elif isinstance(event, EpochEnded):
            self._epochs.append(event)
            yield from self._of_epoch(event)

    def _of_layers(self, event: LayersMeasured) -> Iterator[Finding]:
        for name, share in event.dead.items():
            if self._again(f"dead {name}", is_so=share > _DEAD):
                yield Finding(
                    step=event.step,
                    key="dead",
                    text=f"{100 * share:.0f} % of the units behind {name} are zero for every picture of a batch. Such "
                    "units learn nothing. A lower learning rate, BatchNorm or He initialisation keeps them alive.",
                )
        # The median: a last layer that began near zero takes large steps in the healthiest of runs.
        usual = median(event.updates) if event.updates else 0.0
        if self._again("updates", is_so=usual > _LARGE_UPDATE):
            yield Finding(
                step=event.step,
                key="updates",
                text=f"Each step changes the weights of a layer by {100 * usual:.1f} % of their size; about 0.1 % is "
                "usual. The learning rate may be too high.",
            )

    def _again(self, what: str, *, is_so: bool) -> bool:
        """Whether something was so several times in a row: once may be chance."""
        self._counts[what] = self._counts.get(what, 0) + 1 if is_so else 0
        return self._counts[what] >= _TIMES

    def _of_epoch(self, event: EpochEnded) -> Iterator[Finding]:
        truths = [sum(row) for row in event.confusion]
        guess = max(truths) / sum(truths)
        # Half-way between guessing and the loss that a net has which guesses shares of 1/K.
        if event.train_accuracy < guess + 0.03 and event.train_loss > 0.97 * math.log(self._num_classes):
            yield Finding(
                step=event.step,
                key="chance",
                text=f"After epoch {event.epoch} the net is no better than guessing: loss {event.train_loss:.3f}, and "
                f"guessing costs ln {self._num_classes} = {math.log(self._num_classes):.3f}. Often the learning rate "
                f"is too high or too low; try {self._config.lr / 10:g} and {self._config.lr * 10:g}.",
            )
        last = self._epochs[-4:]
        rising = len(last) == 4 and all(
            after.validation_loss > before.validation_loss and after.train_loss < before.train_loss
            for before, after in pairwise(last)
        )
        if rising:
            yield Finding(
                step=event.step,
                key="overfitting",
                text="For three epochs the training loss has fallen while the validation loss has risen: the net "
                "learns its training pictures by heart. Stop early, or try augmentation, weight decay or dropout.",
            )
