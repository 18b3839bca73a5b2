"""Nets and weights of training runs, for every page: any epoch of any run that a visitor may see."""

import streamlit as st

from cnnlab.errors import InputRejected
from cnnlab.images import Preprocessing
from cnnlab.nets.weights import Weights
from cnnlab.runs import store
from cnnlab.train.checkpoints import NetFacts, epochs_in, facts_of, weights_file
from cnnlab.ui import running, visitors, workbench

RUN = "run:"
"""What the key of such a net begins with; the id of the run follows."""


def use(run_id: str, epoch: int) -> None:
    """Make the net of a run, as it was after an epoch, the one that every page works on."""
    st.session_state[workbench.NET.key] = f"{RUN}{run_id}"
    st.session_state[workbench.WEIGHTS.key] = str(epoch)
    for setting in workbench.VIEW_SETTINGS:
        st.session_state[setting.key] = None


def choices() -> dict[str, str]:
    """Key → label of the nets of this visitor's runs, the newest first; no two labels are the same."""
    runs = store.of_owner(visitors.owner())
    return {f"{RUN}{run.id}": f"{run.name} (run) · {run.id[:4]}" for run in runs if _epochs(run)}


def run_of(key: str) -> store.Run:
    """The run that a key names.

    Raises:
        InputRejected: There is none that this visitor may see, or it has kept no weights yet.
    """
    run = store.get(key.removeprefix(RUN))
    if not store.may_see(run, visitors.owner()):
        raise InputRejected("There is no such run, or its owner has not published it.")
    if not _epochs(run):
        raise InputRejected(f"The run {run.name!r} has kept no weights yet. Wait for its first epoch.")
    return run


def facts(run: store.Run) -> NetFacts:
    """Which pictures the net of a run takes and which classes it tells apart."""
    return facts_of(weights_file(store.folder(run.id), _epochs(run)[0]))


def weights_of(run: store.Run) -> dict[str, Weights]:
    """The weights of each epoch by its number, the best first."""
    folder, about = store.folder(run.id), facts(run)
    accuracies = {one.epoch: one.validation_accuracy for one in running.runner().history(run.id).epochs}
    epochs = sorted(_epochs(run), key=lambda epoch: (epoch != run.best_epoch, epoch))
    preprocessing = Preprocessing(
        resize=(about.side, about.side),
        channels="grey" if about.in_channels == 1 else "rgb",
        mean=about.mean,
        std=about.std,
    )
    found = {}
    for epoch in epochs:
        path = weights_file(folder, epoch)
        found[str(epoch)] = Weights(
            label=f"epoch {epoch} of {run.name}" if epoch else f"{run.name} before training",
            architecture=run.config.net if isinstance(run.config.net, str) else "",
            classes=about.classes,
            preprocessing=preprocessing,
            file=str(path),
            sha256="",
            num_bytes=path.stat().st_size if path.exists() else 0,
            accuracy=_told(accuracies.get(epoch), is_best=epoch == run.best_epoch > 0),
            source="a training run in this lab",
        )
    return found


def _told(accuracy: float | None, *, is_best: bool) -> str:
    if accuracy is None:
        return "not tried on the validation part"
    return f"{100 * accuracy:.1f} % of the validation pictures" + (", the best of the run" if is_best else "")


def _epochs(run: store.Run) -> tuple[int, ...]:
    return epochs_in(store.folder(run.id))
