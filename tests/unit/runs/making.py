"""Events and limits for tests of runs."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from hypothesis import strategies as st

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

OWNER, OTHER = "a" * 32, "0123456789abcdef" * 2

STARTED = Started(
    time=1000.0,
    net="Small",
    data="Digits",
    classes=("zero", "one"),
    num_train=100,
    num_validation=10,
    steps_per_epoch=2,
    epochs=2,
    first_step=0,
    num_params=130,
    num_frozen=0,
    layers=("1",),
    device="CPU",
    threads=1,
    input_shape=(1, 8, 8),
)


def stepped(step: int, loss: float = 0.5) -> Stepped:
    return Stepped(
        time=1000.0 + step, step=step, loss=loss, accuracy=0.25, lr=0.125, images_per_s=800.0, memory_mb=300.0
    )


def measured(step: int) -> LayersMeasured:
    return LayersMeasured(step=step, gradient_norm=1.5, gradients=(1.5,), updates=(0.001,), dead={"2": 0.0})


def epoch_ended(epoch: int, accuracy: float = 0.75) -> EpochEnded:
    return EpochEnded(
        time=1001.0 + 2 * epoch,
        epoch=epoch,
        step=2 * epoch,
        train_loss=0.5,
        train_accuracy=0.75,
        validation_loss=0.625,
        validation_accuracy=accuracy,
        confusion=((4, 1), (2, 3)),
        lr=0.125,
        seconds=2.0,
        validation_seconds=0.5,
    )


ENDED = Ended(time=1010.0, step=4, epoch=2, reason="finished", text="", best_epoch=2, best_accuracy=0.875)

WHOLE_RUN: tuple[TrainEvent, ...] = (
    STARTED,
    Checkpointed(epoch=0, step=0, file="weights/epoch_0000.safetensors", is_best=False),
    stepped(1, loss=0.75),
    measured(1),
    stepped(2),
    epoch_ended(1),
    Checkpointed(epoch=1, step=2, file="weights/epoch_0001.safetensors", is_best=True),
    Changed(step=2, what="lr", value=0.0625),
    stepped(3),
    Finding(step=3, key="slow", text="It learns slowly. Raise the learning rate."),
    stepped(4),
    epoch_ended(2, accuracy=0.875),
    Checkpointed(epoch=2, step=4, file="weights/epoch_0002.safetensors", is_best=True),
    ENDED,
)


def resumed(first_step: int) -> Started:
    return replace(STARTED, first_step=first_step)


_dead = st.dictionaries(st.text(), st.floats())
events = st.one_of(
    *(st.builds(kind) for kind in get_args(TrainEvent) if kind is not LayersMeasured),
    st.builds(LayersMeasured, dead=_dead),
)
"""Events of every kind with anything that their types allow."""


@contextlib.contextmanager
def files_up_to(num_bytes: int) -> Iterator[None]:
    """Files cannot grow beyond this, as on a disk that is full: what fits of a write is written, the next one fails."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
