"""What the net of a run gets wrong: which classes it confuses, and the pictures behind every number."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.data import Dataset
from cnnlab.errors import InputRejected
from cnnlab.figures.confusion import class_bars, confusion_matrix
from cnnlab.inference.intervals import wilson
from cnnlab.runs import store
from cnnlab.runs.store import Run
from cnnlab.train.checkpoints import epochs_in
from cnnlab.train.evaluating import Evaluation, class_scores
from cnnlab.ui import page, state
from cnnlab.ui.text import plain
from cnnlab.ui.training import evaluations, final_test, opened, wall

_MATRIX = "training.matrix"
_TRUTH, _SAID, _EPOCH_PICK = "training.cell-truth", "training.cell-said", "training.judged-pick"
_MOST_SHOWN = 18
_FEW = 6


def _cell_of_link(text: str) -> tuple[int, int]:
    index = state.integer("", "cell", 0, 999, 0)
    truth, comma, said = text.partition(",")
    if not comma:
        raise InputRejected(f"cell is '{text[:40]}'; it is two class numbers, such as 3,5")
    return index.parse(truth), index.parse(said)


EPOCH = state.Setting(
    key="training.judged", param="judged", default=None, parse=state.integer("", "judged", 0, 9999, 0).parse
)
CELL = state.Setting(
    key="training.cell",
    param="cell",
    default=None,
    parse=_cell_of_link,
    format=lambda cell: f"{cell[0]},{cell[1]}",
)
DRAW = state.integer("training.drawn", "drawn", 0, 9999, 0)
SETTINGS = (EPOCH, CELL, DRAW)


def draw(run: Run) -> None:
    """Draw the confusion matrix of the validation part with the pictures behind it, and the final test."""
    state.restore(SETTINGS)

    @page.fragment
    def look() -> None:
        _look(opened.again(run.id))

    look()


def _look(run: Run) -> None:
    epochs = epochs_in(store.folder(run.id))
    if len(epochs) < 2:
        st.info("The first weights come with the end of the first epoch; then the mistakes can be seen here.")
        return
    epoch = _choose_epoch(run, epochs)
    dataset = evaluations.pictures_of(run, epoch)
    if dataset is None:
        return
    seen = evaluations.looked_at(run, epoch, dataset)
    if seen is None:
        return
    _sum_up(epoch, seen, dataset)
    matrix, behind = st.columns([1.25, 1], gap="medium")
    cell = _cell(seen)
    with matrix:
        _matrix(seen, dataset.classes, cell)
    with behind:
        _behind(dataset, seen, cell)
    _examples(dataset, seen)
    _classes(seen, dataset.classes)
    final_test.draw(run, dataset)


def _choose_epoch(run: Run, epochs: Sequence[int]) -> int:
    wanted = st.session_state[EPOCH.key]
    best = run.best_epoch if run.best_epoch in epochs else epochs[-1]
    st.session_state[_EPOCH_PICK] = wanted if wanted in epochs else best
    return st.select_slider(
        "Epoch",
        epochs,
        key=_EPOCH_PICK,
        format_func=lambda epoch: f"{epoch} (best)" if epoch == run.best_epoch > 0 else str(epoch),
        on_change=_epoch_chosen,
        help="Whose weights are looked at; 0 is the net before training.",
        width=420,
    )


def _epoch_chosen() -> None:
    st.session_state[EPOCH.key] = st.session_state[_EPOCH_PICK]


def _sum_up(epoch: int, seen: Evaluation, dataset: Dataset) -> None:
    low, high = wilson(seen.num_right, len(seen))
    whole = len(dataset.splits.validation)
    which = (
        f"{len(seen):,} of the {whole:,} validation pictures, drawn at random and always the same"
        if len(seen) < whole
        else f"all {whole:,} validation pictures"
    )
    st.markdown(
        f"After epoch {epoch} the net tells **{100 * seen.accuracy:.2f} %** of them right (95 % interval "
        f"{100 * low:.1f} % to {100 * high:.1f} %), with a loss of {seen.loss:.4g}: "
        f"{len(seen) - seen.num_right:,} mistakes."
    )
    st.caption(f"Seen: {which}, without augmentation.")


def _cell(seen: Evaluation) -> tuple[int, int]:
    """The chosen cell, or the most frequent mistake."""
    num_classes = len(seen.confusion)
    chosen = st.session_state[CELL.key]
    if chosen is not None and max(chosen) < num_classes:
        return chosen
    wrong = seen.confusion * (1 - np.eye(num_classes, dtype=np.int64))
    truth, said = divmod(int(wrong.argmax()), num_classes)
    return truth, said


def _matrix(seen: Evaluation, classes: Sequence[str], cell: tuple[int, int]) -> None:
    st.plotly_chart(
        confusion_matrix(seen.confusion, classes, cell),
        key=_MATRIX,
        on_select=_clicked,
        selection_mode="points",
        config={"displayModeBar": False},
    )
    st.caption("Click a cell to see its pictures. Colours are shares of the row; numbers are pictures.")


def _clicked() -> None:
    # A second click on the same cell takes the selection back; the cell stays.
    points: list[Any] = st.session_state[_MATRIX].selection.points
    if points:
        st.session_state[CELL.key] = int(points[0]["y"]), int(points[0]["x"])


def _behind(dataset: Dataset, seen: Evaluation, cell: tuple[int, int]) -> None:
    st.session_state[_TRUTH], st.session_state[_SAID] = cell
    left, right = st.columns(2)
    classes = range(len(dataset.classes))
    for place, label, key in ((left, "Truth", _TRUTH), (right, "Prediction", _SAID)):
        place.selectbox(label, classes, format_func=dataset.classes.__getitem__, key=key, on_change=_cell_chosen)
    rows = seen.cell(*cell)
    truth, said = (plain(dataset.classes[index]) for index in cell)
    told = f"{truth} taken for {said}" if cell[0] != cell[1] else f"{truth} told right"
    if not len(rows):
        st.markdown(f"**{told}:** no picture.")
        return
    st.markdown(f"**{told}:** {len(rows):,} pictures, those first of which the net is surest.")
    wall.pictures(dataset, seen, rows[:_MOST_SHOWN].tolist())
    if len(rows) > _MOST_SHOWN:
        st.caption(f"The first {_MOST_SHOWN} of {len(rows):,}.")


def _cell_chosen() -> None:
    st.session_state[CELL.key] = st.session_state[_TRUTH], st.session_state[_SAID]


def _examples(dataset: Dataset, seen: Evaluation) -> None:
    random, sure, dear = st.columns(3, gap="medium")
    with random:
        st.markdown("**Six at random**")
        wall.pictures(dataset, seen, seen.sample(_FEW, st.session_state[DRAW.key]).tolist())
        st.button("Six others", key="training.draw-again", on_click=_draw_again)
    with sure:
        st.markdown("**Most confident mistakes**")
        _few(dataset, seen, seen.mistakes())
        st.caption("The net is sure and wrong: an odd picture, or a wrong label.")
    with dear:
        st.markdown("**Highest loss**")
        _few(dataset, seen, seen.mistakes("loss"))
        st.caption("The truth gets almost no probability; these pictures pull the weights the hardest.")


def _few(dataset: Dataset, seen: Evaluation, rows: NDArray[np.int64]) -> None:
    if len(rows):
        wall.pictures(dataset, seen, rows[:_FEW].tolist())
    else:
        st.markdown("No mistakes.")


def _draw_again() -> None:
    st.session_state[DRAW.key] = (st.session_state[DRAW.key] + 1) % 10_000


def _classes(seen: Evaluation, classes: Sequence[str]) -> None:
    st.markdown("**Class by class**")
    scores = class_scores(seen.confusion)
    bars, table = st.columns([1, 1.4], gap="medium")
    bars.plotly_chart(
        class_bars([score.recall for score in scores], classes), key="training.classes", config={"displaylogo": False}
    )
    table.dataframe(
        [
            {
                "class": name,
                "recall": score.recall,
                "precision": score.precision,
                "F1": score.f1,
                "pictures": score.support,
            }
            for name, score in zip(classes, scores, strict=True)
        ],
        hide_index=True,
        column_config={
            "recall": st.column_config.NumberColumn(
                format="percent", help="Of the pictures of the class, the share that is found: the bars."
            ),
            "precision": st.column_config.NumberColumn(
                format="percent", help="Of the pictures said to be of the class, the share that is."
            ),
            "F1": st.column_config.NumberColumn(format="percent", help="Harmonic mean of recall and precision."),
        },
    )
