"""How long a run will take, from a few of its steps.

The steps are those of the loop itself, with a net that is thrown away afterwards: batch, forward pass, gradients,
optimiser, and what is measured on the way. Nothing is written, and PyTorch's global generator stays as it is.
"""

import dataclasses
import statistics
import time
from dataclasses import dataclass

from cnnlab.data import Dataset
from cnnlab.train.config import TrainConfig
from cnnlab.train.evaluating import evaluate
from cnnlab.train.events import Started, Stepped
from cnnlab.train.loop import Training

_WINDOWS_PER_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What some steps took.

    Attributes:
        images_per_s: Pictures learnt from in a second: median over windows of 50 ms, or of a step where it is longer.
        seconds_per_epoch: Expected, with the validation at its end.
        memory_mb: Most that the process held, all of it; on a GPU, the peak that PyTorch held there.
        device: "CPU" or the name of the GPU.
        threads: Of the CPU.
        steps: That were measured; those for warming up do not count.
    """

    images_per_s: float
    seconds_per_epoch: float
    memory_mb: float
    device: str
    threads: int
    steps: int


def probe(config: TrainConfig, dataset: Dataset, *, seconds: float = 1.0) -> Probe:
    """Do a few steps of a run and measure them. Belongs in a process or thread of its own, not in a page.

    Args:
        config: Of the run.
        dataset: What it will learn from.
        seconds: How long to measure, after the first window, which warms up. A first step that takes longer already is
            all that is measured.

    Raises:
        InputRejected: Net, data and settings do not go together.
        Unsupported: Something is not to be had on this device.
        RunFailed: The teacher's or first weights are damaged.
    """
    # As many epochs as there may be, so that a small set does not run out.
    endless = dataclasses.replace(config, epochs=1000, early_stopping=0)
    training = Training(endless, dataset=dataset, events_per_s=_WINDOWS_PER_S)
    began = time.perf_counter()
    windows: list[Stepped] = []
    started = None
    for event in training:
        if isinstance(event, Started):
            started = event
        elif isinstance(event, Stepped):
            windows.append(event)
            elapsed = time.perf_counter() - began
            if elapsed > seconds:
                break
            if len(windows) == 1:
                began = time.perf_counter()
    assert started is not None
    warming, *measured = windows
    if not measured:
        measured = [warming]
    images_per_s = statistics.median(window.images_per_s for window in measured)
    return Probe(
        images_per_s=images_per_s,
        seconds_per_epoch=started.num_train / images_per_s + started.num_validation * _trial_s(training),
        memory_mb=max(window.memory_mb for window in windows),
        device=started.device,
        threads=started.threads,
        steps=windows[-1].step - (warming.step if len(windows) > 1 else 0),
    )


def _trial_s(training: Training) -> float:
    """Seconds for trying the net on a picture, from one batch of validation pictures."""
    part = training.dataset.splits.validation[: training.config.batch_size]
    began = time.perf_counter()
    evaluate(training.average, training.dataset, part, device=training.device)
    return (time.perf_counter() - began) / len(part)
