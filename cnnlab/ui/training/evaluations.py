"""What the net of a run makes of held-out pictures: worked out once for all visitors, one evaluation at a time."""

import threading
from collections import OrderedDict

import numpy as np
import streamlit as st
import torch

from cnnlab.data import DATASETS, Dataset, Progress
from cnnlab.downloading import Cancelled
from cnnlab.errors import InputRejected
from cnnlab.runs import store
from cnnlab.runs.store import Run
from cnnlab.train.building import of_run
from cnnlab.train.checkpoints import facts_of, weights_file
from cnnlab.train.config import OWN_PICTURES
from cnnlab.train.evaluating import Evaluation, evaluate
from cnnlab.ui import errors
from cnnlab.ui.jobs import Job, show
from cnnlab.ui.text import plain
from cnnlab.ui.training import data_sets, own_pictures

MOST_PICTURES = 2000
"""Of a validation part that a page looks at."""

_MOST = 24  # evaluations kept: 2,000 rows of logits each
_SHORT_S = 1.5  # what a page may take without a bar
_LOOKS_S = 1.0
_RESPLIT = "training.looked-own"
_shelf: OrderedDict[str, Job[Evaluation]] = OrderedDict()
_lock = threading.Lock()
_one_at_a_time = threading.Lock()


def pictures_of(run: Run, epoch: int) -> Dataset | None:
    """The pictures that a run was trained on, parted as it had them; where they are not at hand, says why.

    Args:
        run: Whose they are.
        epoch: One whose weights are there: with them stands what the pictures were like.
    """
    if run.config.data == OWN_PICTURES:
        return _own(run, epoch)
    dataset = data_sets.of(run.config)
    if dataset is None:
        entry = DATASETS[run.config.data]
        if fault := data_sets.fault(run.config):
            errors.show(InputRejected(fault))
        elif entry.is_here():
            _wait(run)
        else:
            st.info(
                f"{plain(entry.label)} is no longer on this machine, so its pictures cannot be shown. Choose it as the "
                "data of a new run to download it again."
            )
    return dataset


def _wait(run: Run) -> None:
    """Look again and again whether the pictures are loaded, and run the page once they are."""

    @st.fragment(run_every=_LOOKS_S)
    def look() -> None:
        if data_sets.of(run.config) is not None:
            st.rerun()
        st.markdown(f"Loading {plain(run.data)} …")

    look()


def _own(run: Run, epoch: int) -> Dataset | None:
    given = own_pictures.current()
    if given is None:
        st.info(
            "This run learnt from somebody's own pictures, which are kept nowhere. Its owner sees them here after "
            "giving the same pictures again as the data of a new run."
        )
        return None
    facts = facts_of(weights_file(store.folder(run.id), epoch))
    if not np.allclose(given.mean, facts.mean, rtol=0, atol=1e-9):
        # Parted in another way perhaps: the means are those of the training part.
        source, run_id, given = st.session_state.get(_RESPLIT, (None, "", given))
        if source is not own_pictures.current() or run_id != run.id:
            source = own_pictures.current()
            assert source is not None
            given = source.resplit(validation=run.config.validation, seed=run.config.seed)
            st.session_state[_RESPLIT] = (source, run.id, given)
    side = given.pictures.shape[1]
    if side != facts.side:
        st.info(
            f"Your pictures are at hand with {side} px a side, and this run learnt from {facts.side} px. Set the size "
            f"of the pictures to {facts.side} px to look at its mistakes."
        )
        return None
    if given.classes != facts.classes or not np.allclose(given.mean, facts.mean, rtol=0, atol=1e-9):
        st.info(
            "The pictures that you have given are others than this run learnt from. Give those to see its mistakes."
        )
        return None
    return given


def looked_at(run: Run, epoch: int, dataset: Dataset) -> Evaluation | None:
    """What the net of an epoch makes of validation pictures, at most 2,000, always the same; or how far this is.

    Args:
        run: The run.
        epoch: One whose weights are there.
        dataset: Of `pictures_of`.
    """
    path = weights_file(store.folder(run.id), epoch)
    # The time tells the weights of an epoch from those of the same epoch after a resume; the statistics tell sets of
    # somebody's own pictures apart.
    key = f"{run.id}|{epoch}|{path.stat().st_mtime_ns if path.exists() else 0}|{dataset.mean}|{dataset.std}"
    part = dataset.splits.validation
    drawn = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))[:MOST_PICTURES]
    indices = part[drawn.sort().values]

    def work(progress: Progress, cancelled: Cancelled) -> Evaluation:
        with _one_at_a_time:
            model = of_run(store.folder(run.id), epoch)
            return evaluate(model, dataset, indices, progress=progress, cancelled=cancelled)

    with _lock:
        job = _shelf.get(key)
        if job is None:
            job = _shelf[key] = Job(work)
        _shelf.move_to_end(key)
        while len(_shelf) > _MOST:
            _shelf.popitem(last=False)
    if not job.wait(_SHORT_S):
        show(job, f"{len(indices):,} pictures", key="training.stop-looking")
        return None
    if job.error is not None:
        errors.show(job.error)
        with _lock:
            _shelf.pop(key, None)  # the next look tries again
    return job.result
