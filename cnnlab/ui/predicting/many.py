"""Many files at once, a zip of them too: a table with what the net says of each, to look at and to take along."""

import base64
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from cnnlab.data import Progress, SetLimits, Skipped
from cnnlab.data.archives import Member, members_of_files, members_of_zip
from cnnlab.downloading import Cancelled
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.images import centre_crop, decode, resize, to_jpeg
from cnnlab.inference import Prediction
from cnnlab.inference.table import Row, rows_of, to_csv
from cnnlab.ui import errors, nets, page, workbench
from cnnlab.ui.jobs import Job
from cnnlab.ui.jobs import show as show_job
from cnnlab.ui.predicting import controls
from cnnlab.ui.predicting.asking import Asked
from cnnlab.ui.predicting.controls import Setup
from cnnlab.ui.text import plain

LIMITS = SetLimits(max_files=10_000, max_total_bytes=2_000_000_000)
_FILES, _JOB, _TABLE = "predict.files", "predict.many", "predict.table"
_SHORT_S = 1.0  # what the page may take without a bar
_LISTED, _PICTURED = 1000, 120
_SIDE = 112  # px of a thumbnail
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What came of some files.

    Attributes:
        rows: One a file.
        thumbnails: Of the first ones that could be read: name → data URI.
        csv: The same rows as a file.
        net: What the net is called.
    """

    rows: tuple[Row, ...]
    thumbnails: dict[str, str]
    csv: bytes
    net: str


def show(setup: Setup, prediction: Prediction) -> None:
    """Draw the way in for files, how far the net is with them, and the table."""
    del setup, prediction  # a fragment reruns by itself, and must not hold on to a model

    @page.fragment
    def look() -> None:
        _look(controls.read().asked)

    look()


def _look(asked: Asked) -> None:
    files = st.file_uploader(
        "Pictures, or one zip of pictures. PNG, JPEG, WebP, GIF or BMP, up to 20 MB each, "
        f"{LIMITS.max_files:,} in a zip. They stay in this server's memory and are seen by nobody else.",
        accept_multiple_files=True,
        key=_FILES,
    )
    about = (tuple(file.file_id for file in files), asked.key)
    begun: tuple[Any, Job[Looked]] | None = st.session_state.get(_JOB)
    if files and (begun is None or begun[0] != about):
        if begun:
            begun[1].stop()
        begun = st.session_state[_JOB] = (about, _begin(asked, files))
    if begun is None:
        st.caption("Each file gets a row with its three most likely classes; the table can be downloaded as CSV.")
        return
    job = begun[1]
    if not job.wait(_SHORT_S):
        show_job(job, "Asking the net", key="predict.stop-many")
    elif job.error is not None:
        errors.show(job.error)
    else:
        assert job.result is not None
        _table(job.result, files)


def _begin(asked: Asked, files: Sequence[Any]) -> Job[Looked]:
    def work(progress: Progress, cancelled: Cancelled) -> Looked:
        members, skipped = _members(files)
        # Who comes second waits: a page that asks about one picture should not.
        while not _one_at_a_time.acquire(timeout=0.2):
            progress("waiting for other visitors' files", 0, len(members))
            if cancelled():
                raise RunFailed("It was stopped before its turn came. Give the files again.")
        try:
            return _looked(asked, members, skipped, progress, cancelled)
        finally:
            _one_at_a_time.release()

    return Job(work)


def _members(files: Sequence[Any]) -> tuple[list[Member], list[Skipped]]:
    zips = [file for file in files if file.name.lower().endswith(".zip")]
    if zips and len(files) > 1:
        raise InputRejected(
            f"There are {len(zips)} zip(s) among {len(files)} files. Give one zip, or pictures without any."
        )
    if zips:
        return members_of_zip(zips[0], LIMITS)
    return members_of_files(((file.name, file.getvalue()) for file in files), LIMITS)


def _looked(
    asked: Asked, members: list[Member], skipped: list[Skipped], progress: Progress, cancelled: Cancelled
) -> Looked:
    rows = tuple(
        rows_of(
            asked.known.model,
            members,
            skipped,
            asked.steps,
            asked.known.classes,
            progress=lambda done, total: progress("files", done, total),
            cancelled=cancelled,
            turn=lambda: nets.run_of(asked.described),
        )
    )
    readable = {row.name for row in rows if row.best}
    pictured = [member for member in members if member.name in readable][:_PICTURED]
    return Looked(
        rows=rows,
        thumbnails={member.name: _thumbnail(member) for member in pictured},
        csv="".join(to_csv(rows)).encode("utf-8-sig"),
        net=asked.net.label,
    )


def _thumbnail(member: Member) -> str:
    pixels = decode(member.read(), member.name).pixels
    side = min(pixels.shape[:2])
    small = to_jpeg(resize(centre_crop(pixels, side, side), _SIDE, _SIDE))
    return f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"


def _table(looked: Looked, files: Sequence[Any]) -> None:
    said = Counter(row.best[0][0] for row in looked.rows if row.best)
    unread = sum(1 for row in looked.rows if not row.best)
    shares = ", ".join(f"{count:,} × {plain(name)}" for name, count in said.most_common(8))
    total = f"{len(looked.rows):,} file{'' if len(looked.rows) == 1 else 's'}"
    without = f"; {unread:,} could not be read" if unread else ""
    st.markdown(f"**{total}, {plain(looked.net)}:** {shares or 'no picture'}{without}.")
    event: Any = st.dataframe(
        [_line(row, looked.thumbnails) for row in looked.rows[:_LISTED]],
        key=_TABLE,
        hide_index=True,
        row_height=60,
        height=min(60 * len(looked.rows) + 38, 520),
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "picture": st.column_config.ImageColumn(width=70),
            "confidence": st.column_config.NumberColumn(format="%.1f %%", width=90),
            "second %": st.column_config.NumberColumn(label="", format="%.1f %%", width=70),
            "note": st.column_config.TextColumn(width="large"),
        },
    )
    if len(looked.rows) > _LISTED:
        st.caption(f"The first {_LISTED:,} are listed; the file has all.")
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Table as CSV",
            looked.csv,
            "predictions.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/table:",
            key="predict.csv",
        )
        _take(looked, files, event.selection.rows)


def _line(row: Row, thumbnails: dict[str, str]) -> dict[str, Any]:
    first, second = [*row.best[:2], ("", None), ("", None)][:2]
    return {
        "picture": thumbnails.get(row.name),
        "file": row.name,
        "class": first[0],
        "confidence": None if first[1] is None else 100 * first[1],
        "second": second[0],
        "second %": None if second[1] is None else 100 * second[1],
        "note": row.note,
    }


def _take(looked: Looked, files: Sequence[Any], chosen: list[int]) -> None:
    """Offer to look more closely at the chosen row, where its file is at hand."""
    file = next((file for file in files for row in chosen if file.name == looked.rows[row].name), None)
    if file is None:
        return
    if st.button("Make it the current image", key="predict.take-row", icon=":material/image:"):
        workbench.take(decode(file.getvalue(), file.name))
        st.rerun()
