"""The pictures to train on: loaded once for all visitors, with a bar where that takes longer."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

import streamlit as st

from cnnlab.data import AUGMENTATIONS, DATASETS, Augment, Dataset, Progress
from cnnlab.downloading import Cancelled
from cnnlab.errors import LabError, RunFailed
from cnnlab.train.building import load_data
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.ui import errors
from cnnlab.ui.jobs import Job, show
from cnnlab.ui.text import plain
from cnnlab.ui.training import own_pictures

_MOST = 4  # sets in memory; those from files are mapped and cost next to nothing
_SHORT_S = 1.5  # what a page may take without a bar
_shelf: OrderedDict[str, Job[Dataset]] = OrderedDict()
_lock = threading.Lock()
# One at a time, so that memory is asked for once; but nobody whose pictures are here waits for a download.
_loading = {is_here: threading.Lock() for is_here in (True, False)}
_LOOKS_S = 0.2
_BEGUN = "training.data-begun"

LABELS = {key: entry.label for key, entry in DATASETS.items()} | {OWN_PICTURES: "Your own pictures"}


def of(config: TrainConfig) -> Dataset | None:
    """The pictures of a configuration, parted and resized, if they are there or nearly so."""
    if config.data == OWN_PICTURES:
        return own_pictures.prepared(config)
    job = _job(config)
    if job is None and DATASETS[config.data].is_here():
        job = _begin(config)
    if job is None or not job.wait(_SHORT_S):
        return None
    return job.result


def show_way(config: TrainConfig) -> None:
    """Draw what it takes to get pictures that `of` does not give: a bar, a download, a second try."""
    entry = DATASETS[config.data]
    job = _job(config)
    # One that came to its end since `of` looked is shown too: the page then runs again by itself.
    if job is not None and job.error is None:
        # Others may wait for the same pictures: only who asked for them may stop that.
        show(job, entry.label, key="training.stop-data", can_stop=job in st.session_state.get(_BEGUN, ()))
        return
    if job is not None:
        assert job.error is not None
        errors.show(job.error)
        again = "Try again"
    else:
        st.markdown(f"**{plain(entry.label)} is not on this machine yet.** {plain(entry.about)}")
        st.caption(
            f"{entry.num_bytes / 1e6:,.0f} MB to download, checked, and kept for everybody who uses this lab. "
            f"{plain(entry.credit)}."
        )
        again = "Download"
    st.button(again, key="training.fetch", icon=":material/download:", on_click=_fetch, args=(config,))


def _key(config: TrainConfig) -> str:
    asked = (config.data, sorted(config.data_choices.items()), config.side, config.validation, config.seed)
    return repr(asked)


def _job(config: TrainConfig) -> Job[Dataset] | None:
    with _lock:
        job = _shelf.get(_key(config))
        if job is not None:
            _shelf.move_to_end(_key(config))
        return job


def _fetch(config: TrainConfig) -> None:
    _begin(config)


def _begin(config: TrainConfig) -> Job[Dataset]:
    def load(progress: Progress, cancelled: Cancelled) -> Dataset:
        with _turn(_loading[DATASETS[config.data].is_here()], cancelled):
            return load_data(config, progress, cancelled)

    with _lock:
        _shelf[_key(config)] = job = Job(load)
        _shelf.move_to_end(_key(config))
        while len(_shelf) > _MOST:
            # First what is over and longest unused; else what has been waited for longest.
            _shelf.pop(next((key for key, one in _shelf.items() if one.is_over), next(iter(_shelf)))).stop()
    st.session_state.setdefault(_BEGUN, WeakSet()).add(job)
    return job


@contextmanager
def _turn(lock: threading.Lock, cancelled: Cancelled) -> Iterator[None]:
    while not lock.acquire(timeout=_LOOKS_S):
        if cancelled():
            raise RunFailed("Getting these pictures was stopped. Start it again when you need them.")
    try:
        yield
    finally:
        lock.release()


def fault(config: TrainConfig) -> str:
    """Why the pictures cannot be had, or "" where nothing is known against it."""
    job = None if config.data == OWN_PICTURES else _job(config)
    error = job.error if job is not None and job.is_over else None
    return str(error) if isinstance(error, LabError) else ""


def step_labels(augment: Augment) -> tuple[str, ...]:
    """What is done to pictures, by the names that people see."""
    return tuple(AUGMENTATIONS[step.key].label.lower() for step in augment.steps)
