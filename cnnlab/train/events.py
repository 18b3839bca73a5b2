"""What a training run tells while it goes: numbers and strings only, so that it fits a pipe, a file and a browser.

    Started · Stepped… · LayersMeasured… · EpochEnded · Checkpointed · … · Ended

`to_data` gives a dict for JSON whose `kind` is the name of the class; `from_data` reads it back.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The net is built, the data loaded, the first step comes next; also after a resume.

    Attributes:
        time: Seconds since 1970.
        net: Name of the net for people.
        data: Name of the data set for people.
        classes: In the order of the logits.
        num_train: Pictures.
        num_validation: Likewise.
        steps_per_epoch: How many.
        epochs: To be trained in all.
        first_step: Steps done before, 0 for a new run.
        num_params: That are trained.
        num_frozen: That are not.
        layers: Names of the layers with weights, in order, as in `state_dict`.
        device: "CPU" or the name of the GPU.
        threads: Of the CPU.
        input_shape: (C, H, W).
    """

    time: float
    net: str
    data: str
    classes: tuple[str, ...]
    num_train: int
    num_validation: int
    steps_per_epoch: int
    epochs: int
    first_step: int
    num_params: int
    num_frozen: int
    layers: tuple[str, ...]
    device: str
    threads: int
    input_shape: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """Some steps were done since the last such event: means over these.

    Attributes:
        time: Seconds since 1970.
        step: Steps done in all, from 1.
        loss: Mean over the pictures, as it was minimised (with smoothing, weights, teacher).
        accuracy: Share of the pictures whose largest logit was right; of mixed pictures, the larger part counts.
        lr: Learning rate of the last step.
        images_per_s: Speed, without validation and pauses.
        memory_mb: Of the process, resident; on a GPU, the peak that PyTorch holds there.
    """

    time: float
    step: int
    loss: float
    accuracy: float
    lr: float
    images_per_s: float
    memory_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersMeasured:
    """What one step did to each layer, twice a second at most.

    Attributes:
        step: As in `Stepped`.
        gradient_norm: Euclidean length of the whole gradient, before clipping.
        gradients: For each layer of `Started.layers`, the length of its weight's gradient.
        updates: Length of what the step changed in its weight, by the length of the weight: healthy near 10⁻³.
        dead: Share of the channels or units behind each ReLU that were zero for the whole batch, by the ReLU's name.
    """

    step: int
    gradient_norm: float
    gradients: tuple[float, ...]
    updates: tuple[float, ...]
    dead: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded:
    """All pictures were seen once more, and the net was tried on the validation part.

    Attributes:
        time: Seconds since 1970.
        epoch: From 1.
        step: Steps done in all.
        train_loss: Mean over the epoch while it was learnt from, with augmentation and dropout.
        train_accuracy: Likewise, 0 to 1.
        validation_loss: Plain cross-entropy without augmentation, dropout, smoothing.
        validation_accuracy: 0 to 1.
        confusion: Row: truth, column: prediction; counts on the validation part.
        lr: Learning rate of the last step.
        seconds: Of the training steps, without pauses.
        validation_seconds: Of the validation.
    """

    time: float
    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    lr: float
    seconds: float
    validation_seconds: float

    @property
    def per_class(self) -> tuple[float | None, ...]:
        """Share of each class's validation pictures that are told right; None for a class without any."""
        return tuple(row[i] / sum(row) if sum(row) else None for i, row in enumerate(self.confusion))

    @property
    def gap(self) -> float:
        """Training accuracy minus validation accuracy."""
        return self.train_accuracy - self.validation_accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointed:
    """Weights were written.

    Attributes:
        epoch: Epochs done; 0 for the net before training.
        step: Steps done.
        file: Name in the run's folder.
        is_best: Whether no epoch had a better validation accuracy so far.
    """

    epoch: int
    step: int
    file: str
    is_best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that one should know, in words: loss not finite, nothing learnt, overfitting, dead units.

    Attributes:
        step: When it was seen.
        key: Short name, at most one finding of a name in a run.
        text: What was seen, what it may mean, what to try.
    """

    step: int
    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A command was carried out.

    Attributes:
        step: Steps done.
        what: "paused", "resumed" or "lr".
        value: The new learning rate for "lr", else 0.
    """

    step: int
    what: str
    value: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The last event.

    Attributes:
        time: Seconds since 1970.
        step: Steps done.
        epoch: Whole epochs done.
        reason: "finished", "stopped" (by command), "early" (no better validation accuracy), "diverged" (loss not
            finite) or "failed".
        text: The reason in words.
        best_epoch: With the best validation accuracy, the first of equals; 0 when no epoch was finished.
        best_accuracy: Of that epoch, 0 to 1.
    """

    time: float
    step: int
    epoch: int
    reason: str
    text: str
    best_epoch: int
    best_accuracy: float


TrainEvent = Started | Stepped | LayersMeasured | EpochEnded | Checkpointed | Finding | Changed | Ended

_KINDS = {kind.__name__: kind for kind in TrainEvent.__args__}


def to_data(event: TrainEvent) -> dict[str, Any]:
    """As numbers, strings, lists and dicts."""
    return {"kind": type(event).__name__, **dataclasses.asdict(event)}


def from_data(data: Mapping[str, Any]) -> TrainEvent:
    """The reverse of `to_data`.

    Raises:
        KeyError: There is no such kind of event.
        TypeError: Something is missing, or too much.
    """
    values = {name: _tuples(value) for name, value in data.items() if name != "kind"}
    return _KINDS[data["kind"]](**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value
