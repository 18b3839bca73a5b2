"""How long a run will take: measured with a few steps of it, in a thread, while the page is looked at."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import streamlit as st
import torch

from cnnlab.data import Dataset
from cnnlab.downloading import Cancelled
from cnnlab.nets.summary import summarize, totals
from cnnlab.train.building import build_net
from cnnlab.train.config import TrainConfig
from cnnlab.train.probing import Probe, probe
from cnnlab.ui.jobs import Job
from cnnlab.ui.training.setup import Setup

_MOST = 64
_SECONDS = 0.7
_MOST_BYTES = 2e9
_COPIES = 3  # of each map in training: itself, its gradient, and what the layers keep and work with
_MINE = "training.probe"
_probes: OrderedDict[str, Job[Probe | None]] = OrderedDict()
_lock = threading.Lock()
_one_at_a_time = threading.Lock()


def too_large(setup: Setup) -> str:
    """Why the time of a run like this one is not measured beside other visitors' work, or ""."""
    if setup.dataset is None or setup.faults:
        return ""
    _, side, _, channels = setup.dataset.pictures.shape
    telling = replace(TrainConfig(), net=setup.config.net)
    a_picture = _bytes_of_maps(telling.to_yaml(), len(setup.dataset.classes), channels, side)
    needed = a_picture * min(setup.config.batch_size, len(setup.dataset.splits.train)) * _COPIES
    if needed <= _MOST_BYTES:
        return ""
    return (
        f"With batches this large the net takes about {needed / 1e9:,.1f} GB; the time is not measured here. Choose a "
        "smaller batch or side."
    )


@st.cache_data(show_spinner=False, max_entries=64)
def _bytes_of_maps(config_yaml: str, num_classes: int, in_channels: int, side: int) -> int:
    with torch.device("meta"):
        model = build_net(
            TrainConfig.from_yaml(config_yaml), num_classes=num_classes, in_channels=in_channels, side=side
        )
    return totals(summarize(model, (in_channels, side, side))).activation_bytes


def of(setup: Setup) -> Job[Probe | None] | None:
    """The measurement of a run like this one, begun if nobody has made it; None where it cannot be made.

    Each session waits for one at a time: what it waited for before is stopped.
    """
    if setup.dataset is None or setup.faults or too_large(setup):
        return None
    config, dataset = setup.config, setup.dataset
    key = f"{_telling(config).to_yaml()}{dataset.key}{tuple(dataset.pictures.shape)}{len(dataset.splits.train)}"
    with _lock:
        job = _probes.get(key)
        if job is None or (job.is_over and job.result is None and job.error is None):  # stopped before its turn
            job = _probes[key] = Job(lambda _progress, cancelled: _measure(config, dataset, cancelled))
        _probes.move_to_end(key)
        while len(_probes) > _MOST:
            _probes.popitem(last=False)[1].stop()
    before = st.session_state.get(_MINE)
    if before is not None and before is not job:
        before.stop()
    st.session_state[_MINE] = job
    return job


def _telling(config: TrainConfig) -> TrainConfig:
    """The same where how long a step takes is concerned."""
    return replace(
        config,
        **{
            name: getattr(TrainConfig(), name)
            for name in ("seed", "epochs", "lr", "schedule", "warmup", "step_every", "step_factor", "early_stopping")
        },
    )


def _measure(config: TrainConfig, dataset: Dataset, cancelled: Cancelled) -> Probe | None:
    with _one_at_a_time, _threads(config.threads):
        return None if cancelled() else probe(config, dataset, seconds=_SECONDS)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """As many threads as the run will have. PyTorch gives the number to the thread that asks, and to new ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
