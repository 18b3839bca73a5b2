"""How long a run will take: measured with a few steps of it, in a thread, while the page is looked at."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from cnnlab.data import Dataset
from cnnlab.train.config import TrainConfig
from cnnlab.train.probing import Probe, probe
from cnnlab.ui.training.jobs import Job
from cnnlab.ui.training.setup import Setup

_MOST = 64
_SECONDS = 0.7
_probes: OrderedDict[str, Job[Probe]] = OrderedDict()
_lock = threading.Lock()
_one_at_a_time = threading.Lock()


def of(setup: Setup) -> Job[Probe] | None:
    """The measurement of a run like this one, begun if nobody has made it; None where it cannot be made."""
    if setup.dataset is None or setup.faults:
        return None
    config, dataset = setup.config, setup.dataset
    key = f"{_telling(config).to_yaml()}{dataset.key}{tuple(dataset.pictures.shape)}{len(dataset.splits.train)}"
    with _lock:
        if key not in _probes:
            _probes[key] = Job(lambda _progress, cancelled: _measure(config, dataset, cancelled))
            while len(_probes) > _MOST:
                _probes.popitem(last=False)
        _probes.move_to_end(key)
        return _probes[key]


def _telling(config: TrainConfig) -> TrainConfig:
    """The same where how long a step takes is concerned."""
    return replace(
        config,
        **{
            name: getattr(TrainConfig(), name)
            for name in ("seed", "epochs", "lr", "schedule", "warmup", "step_every", "step_factor", "early_stopping")
        },
    )


def _measure(config: TrainConfig, dataset: Dataset, _cancelled: object) -> Probe:
    with _one_at_a_time, _threads(config.threads):
        return probe(config, dataset, seconds=_SECONDS)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """As many threads as the run will have. PyTorch gives the number to the thread that asks, and to new ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
