"""The finished curves of a run, its gap between training and validation, and other runs beside it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from cnnlab.data import AUGMENTATIONS
from cnnlab.errors import InputRejected
from cnnlab.figures.training import gap, learning_curves, overlay
from cnnlab.runs.store import Run
from cnnlab.train.events import EpochEnded
from cnnlab.train.history import History
from cnnlab.ui import state
from cnnlab.ui.running import runner
from cnnlab.ui.training.watching import published_of

_MOST = 7  # beside the open one: there are eight colours
_ID = re.compile("[0-9a-z]{26}")


def _ids_of_link(text: str) -> list[str]:
    ids = text.split(",")
    if len(ids) > _MOST or not all(_ID.fullmatch(one) for one in ids):
        raise InputRejected(f"beside names no runs; it is up to {_MOST} of their ids with commas between them")
    return ids


BESIDE = state.Setting(key="training.beside", param="beside", default=[], parse=_ids_of_link, format=",".join)
ALL = state.flag("training.all-settings", "all_settings")
SETTINGS = (BESIDE, ALL)


def draw(run: Run, others: Sequence[Run]) -> None:
    """Draw curves over the epochs, the gap, and what differs from other runs.

    Args:
        run: That is open.
        others: All that the visitor may see beside it.
    """
    state.restore(SETTINGS)
    history = runner().history(run.id)
    if not history.epochs:
        st.info("The first points come with the end of the first epoch.")
        return
    beside = _choose(others)
    told = {one.id: runner().history(one.id) for one in (run, *beside)}
    if beside:
        _overlay([run, *beside], told)
        _settings([run, *beside])
    else:
        _curves(run, history)
    _overfitting(history.epochs)


def _choose(others: Sequence[Run]) -> list[Run]:
    known = {one.id: one for one in others if one.epochs_done}
    st.session_state[BESIDE.key] = [one for one in st.session_state[BESIDE.key] if one in known]
    if not known:
        st.caption("Once there are other runs with a finished epoch, they can be drawn beside this one.")
        return []
    chosen = st.multiselect(
        "Beside this run",
        list(known),
        key=BESIDE.key,
        format_func=lambda one: _label(known[one]),
        max_selections=_MOST,
        placeholder="Choose runs to compare with",
    )
    return [known[one] for one in chosen]


def _label(run: Run) -> str:
    """Its name, what it reached, and the beginning of its id: names need not differ."""
    reached = "" if run.best_accuracy is None else f" · {100 * run.best_accuracy:.1f} %"
    return f"{run.name}{reached} · {run.id[:4]}"


def _curves(run: Run, history: History) -> None:
    published = published_of(run.config)
    st.plotly_chart(learning_curves(history, published), key="training.finished", config={"displaylogo": False})
    told = (
        "Thin: training, while it learnt, with augmentation and dropout; pale: single steps. Thick: validation, after "
        "the epoch, without them. Dotted: the epoch with the best validation accuracy."
    )
    if published is not None and (published.losses or published.test_accuracy is not None):
        told += f" Hollow marks: what the tutorial says; the diamond is its accuracy on test pictures. {published.note}"
    st.caption(told)


def _overlay(runs: Sequence[Run], told: Mapping[str, History]) -> None:
    lines = {_label(run): told[run.id].epochs for run in runs if told[run.id].epochs}
    st.plotly_chart(overlay(lines), key="training.overlay", config={"displaylogo": False})
    if len({run.data for run in runs}) > 1:
        st.caption("These runs learnt from different data: their accuracies do not compare.")


def _settings(runs: Sequence[Run]) -> None:
    """The configurations as a table, what differs first."""
    told = [_told(run) for run in runs]
    differs = {name: len({values[name] for values in told}) > 1 for name in told[0]}
    st.toggle("Also the settings that are the same", key=ALL.key)
    names = [name for name in differs if differs[name]]
    if st.session_state[ALL.key]:
        names += [name for name in differs if not differs[name]]
    if not names:
        st.markdown("These runs have the same settings in everything.")
        return
    rows = [
        {"": "•" if differs[name] else "", "setting": name}
        | {_label(run): values[name] for run, values in zip(runs, told, strict=True)}
        for name in names
    ]
    st.dataframe(rows, hide_index=True, column_config={"": st.column_config.TextColumn(width=32)})
    count = sum(differs.values())
    st.caption(f"{count} of {len(differs)} lines differ; they come first, with a dot.")


def _told(run: Run) -> dict[str, str]:
    """What a run is set to and what it reached, as text."""
    settings = {name.replace("_", " "): _value(value) for name, value in run.config.to_data().items()}
    settings["net"] = run.net
    settings["data"] = run.data
    settings["augment"] = (
        ", ".join(
            " ".join([AUGMENTATIONS[step.key].label, *(f"{number:g}" for number in step.params.values())])
            for step in run.config.augment.steps
        )
        or "none"
    )
    reached = "–" if run.best_accuracy is None else f"{100 * run.best_accuracy:.2f} %, epoch {run.best_epoch}"
    return {"best validation accuracy": reached, "epochs done": str(run.epochs_done), **settings}


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in value.items()) or "–"
    return "–" if value in (None, "") else str(value)


def _overfitting(epochs: Sequence[EpochEnded]) -> None:
    st.markdown("**Does it learn by heart?**")
    chart, words = st.columns([2, 1], gap="medium")
    chart.plotly_chart(gap(epochs), key="training.gap", config={"displaylogo": False})
    words.markdown(_verdict(epochs))
    words.caption(
        "The gap is training minus validation accuracy; shaded where it grows above zero. Dropout and augmentation "
        "make training harder than validation, so it may well be negative."
    )


def _verdict(epochs: Sequence[EpochEnded]) -> str:
    """What the gap and the validation loss say, in words."""
    last = epochs[-1]
    lowest = min(epochs, key=lambda one: one.validation_loss)
    said = f"After epoch {last.epoch} the gap is {100 * last.gap:+.2f} points.".replace("-", "−")
    rise = last.validation_loss / lowest.validation_loss - 1 if lowest.validation_loss else 0.0
    if last.epoch > lowest.epoch and rise > 0.02 and last.gap > 0.02:
        return (
            f"{said} The validation loss was lowest after epoch {lowest.epoch} and has risen by {100 * rise:.0f} % "
            "since: what the net went on to learn is about its training pictures alone. More augmentation, dropout or "
            "weight decay help, more pictures help most, and stopping early costs nothing."
        )
    if last.gap > 0.05:
        return (
            f"{said} The net knows its training pictures much better than others, though validation has not turned "
            "for the worse yet."
        )
    return f"{said} Training and validation are close together: no sign of learning by heart."
