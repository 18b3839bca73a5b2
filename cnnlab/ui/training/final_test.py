"""The last question to a run, asked once: how good is its net on pictures by which nothing was chosen?"""

import threading
import time

import streamlit as st

from cnnlab.data import Dataset, Progress
from cnnlab.downloading import Cancelled
from cnnlab.inference.intervals import wilson
from cnnlab.runs import store
from cnnlab.runs.store import Run, TestResult
from cnnlab.train.building import of_run
from cnnlab.train.evaluating import evaluate
from cnnlab.ui import errors, visitors
from cnnlab.ui.jobs import Job, show

_SHORT_S = 1.5
_jobs: dict[str, Job[None]] = {}
_lock = threading.Lock()


def draw(run: Run, dataset: Dataset) -> None:
    """Draw the result of the final test, or the way to it.

    Args:
        run: With the weights of its best epoch.
        dataset: Its pictures.
    """
    st.markdown("**Final test**")
    job = _jobs.get(run.id)
    if job is not None and not job.wait(_SHORT_S):
        is_own = run.owner == visitors.owner()
        show(job, f"Test, {len(dataset.splits.test):,} pictures", key="training.stop-test", can_stop=is_own)
        return
    if job is not None:
        with _lock:
            _jobs.pop(run.id, None)
        if job.error is None:
            st.rerun()  # the result stands in the numbers of the page, too
        errors.show(job.error)
    if run.test is not None:
        say(run.test)
    elif run.owner != visitors.owner():
        st.caption("The test pictures have not been used for this run. Its owner may use them, once.")
    elif not run.has_ended:
        st.caption("When the run is over, its best epoch can be tried on the test pictures, once.")
    elif run.best_epoch:
        _offer(run, dataset)


def say(result: TestResult) -> None:
    """Tell what came of the test."""
    right = round(result.accuracy * result.num_pictures)
    low, high = wilson(right, result.num_pictures)
    st.metric("Accuracy on the test part", f"{100 * result.accuracy:.2f} %", border=True)
    st.caption(
        f"{right:,} of {result.num_pictures:,} pictures right after epoch {result.epoch}; 95 % interval "
        f"{100 * low:.2f} % to {100 * high:.2f} % (Wilson). Loss {result.loss:.4g}. The test pictures "
        f"have been used for this run, on {time.strftime('%d %B %Y', time.gmtime(result.time))}: whatever "
        "you change because of this result needs new "
        "pictures to be judged by."
    )


def _offer(run: Run, dataset: Dataset) -> None:
    st.markdown(
        f"Nothing was chosen by the {len(dataset.splits.test):,} test pictures so far: not the weights, not the epoch. "
        f"Epoch {run.best_epoch}, the best on validation, can be tried on them **once**. Do so when you have "
        "decided on this run."
    )
    st.button(
        f"Use the test pictures on epoch {run.best_epoch}",
        key="training.test",
        icon=":material/verified:",
        on_click=_begin,
        args=(run, dataset),
    )


def _begin(run: Run, dataset: Dataset) -> None:
    def work(progress: Progress, cancelled: Cancelled) -> None:
        model = of_run(store.folder(run.id), run.best_epoch)
        seen = evaluate(model, dataset, dataset.splits.test, progress=progress, cancelled=cancelled)
        result = TestResult(
            epoch=run.best_epoch,
            accuracy=seen.accuracy,
            loss=seen.loss,
            num_pictures=len(seen),
            confusion=tuple(tuple(row) for row in seen.confusion.tolist()),
            time=time.time(),
        )
        store.set_test(run.id, result)  # here, so that it is kept also when nobody waits for it

    with _lock:
        if run.id not in _jobs:
            _jobs[run.id] = Job(work)
