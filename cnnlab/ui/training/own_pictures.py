"""One's own pictures: looked at before they are taken, in memory for this session and for runs that may need them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from cnnlab.data import RULES, Dataset, Decoded, PictureSet, Preview, Skipped
from cnnlab.errors import InputRejected
from cnnlab.train.config import TrainConfig
from cnnlab.ui import errors
from cnnlab.ui.jobs import Job, show
from cnnlab.ui.text import plain

_KEY = "training.own"
_FILES = "training.own-files"
_RULE = "training.own-rule"
_MOST_MB = 500
_SHORT_S = 1.0
_LISTED = 200
DEFAULT_SIDE = 64


@dataclass(slots=True)
class Own:
    """What a visitor has given.

    Attributes:
        name: Of the zip, or how many files.
        looking: Reads the files.
        rule: By which labels are told; None for the one that fits.
        side: To which the pictures are being made, or were.
        decoding: Makes them so; None as long as they are not taken.
        parted: The data set for a share and seed of validation.
    """

    name: str
    looking: Job[tuple[PictureSet, Preview]]
    rule: str | None = None
    side: int = 0
    decoding: Job[Decoded] | None = None
    parted: dict[tuple[float, int], Dataset] = field(default_factory=dict)


def current() -> Dataset | None:
    """The visitor's own pictures as they were last made ready; None where there are none."""
    own = _own()
    if own is None or own.decoding is None or own.decoding.result is None:
        return None
    return next(reversed(own.parted.values()), own.decoding.result.dataset)


def prepared(config: TrainConfig) -> Dataset | None:
    """The pictures as a configuration wants them, if they are ready; making them so begins where they were taken."""
    own = _own()
    if own is None or own.decoding is None:
        return None
    side = config.side or DEFAULT_SIDE
    if own.side != side and own.decoding.is_over:
        _decode(own, side)
    if own.decoding.wait(_SHORT_S) and own.decoding.result is not None and own.side == side:
        wanted = (config.validation, config.seed)
        if wanted not in own.parted:
            dataset = own.decoding.result.dataset
            own.parted = {wanted: dataset.resplit(validation=config.validation, seed=config.seed)}
        return own.parted[wanted]
    return None


def show_way(config: TrainConfig) -> None:
    """Draw the way from files to pictures: the upload, what is in it, and how far it is."""
    own = _own()
    if own is None:
        _ask()
    elif not own.looking.wait(_SHORT_S):
        show(own.looking, plain(own.name), key="training.own-stop")
    elif own.looking.error is not None:
        errors.show(own.looking.error)
        _ask()
    elif own.decoding is not None and not own.decoding.is_over:
        show(own.decoding, f"Making them {own.side} × {own.side} px", key="training.own-stop")
    else:
        if own.decoding is not None and own.decoding.error is not None:
            errors.show(own.decoding.error)
        _look(own, config.side or DEFAULT_SIDE)


def say_taken() -> None:
    """Tell in a line what was taken, and offer to take something else."""
    own = _own()
    if own is None or own.decoding is None or own.decoding.result is None:
        return
    decoded = own.decoding.result
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        left_out = f", {len(decoded.skipped):,} left out" if decoded.skipped else ""
        st.caption(
            f"{plain(own.name)}: {len(decoded.names):,} pictures of {len(decoded.dataset.classes)} classes{left_out}. "
            "They are in this server's memory, for you alone, until you close the page; with a run that can still go "
            "on, until it is finished or deleted.",
            width="stretch",
        )
        st.button("Other pictures", key="training.own-other", on_click=_forget)


def _own() -> Own | None:
    return st.session_state.get(_KEY)


def _forget() -> None:
    own = _own()
    for job in (own.looking, own.decoding) if own else ():
        if job is not None:
            job.stop()
    st.session_state.pop(_KEY, None)
    st.session_state.pop(_FILES, None)


def _ask() -> None:
    st.markdown(
        "**Give your pictures:** a zip, or several files at once. One folder per class, or names that begin with the "
        "class: `cat.1.jpg`, `dog.1.jpg`."
    )
    st.file_uploader(
        "A zip or pictures",
        accept_multiple_files=True,
        max_upload_size=uploadable_mb(),
        key=_FILES,
        on_change=_given,
        label_visibility="collapsed",
    )
    st.caption(
        f"PNG, JPEG, WebP, GIF or BMP; a zip up to {uploadable_mb()} MB. They stay in this server's memory, are "
        "written nowhere, and are gone a minute after you close the page; with a run that can still go on, once it is "
        "finished or deleted."
    )


def uploadable_mb() -> int:
    """How large a zip may be: what the server takes, up to what the page does."""
    return min(_MOST_MB, st.get_option("server.maxUploadSize"))


def _given() -> None:
    files = st.session_state[_FILES]
    if not files:
        return
    [name] = [files[0].name] if len(files) == 1 else [f"{len(files):,} files"]

    def look(progress: Any, cancelled: Any) -> tuple[PictureSet, Preview]:
        found = _pictures(files)
        return found, found.preview(progress=progress, cancelled=cancelled)

    st.session_state[_KEY] = Own(name=name, looking=Job(look))


def _pictures(files: Sequence[Any]) -> PictureSet:
    zips = [file for file in files if file.name.lower().endswith(".zip")]
    if zips and len(files) > 1:
        raise InputRejected(
            f"There are {len(zips)} zip(s) among {len(files)} files. Give one zip, or pictures without any."
        )
    if zips:
        return PictureSet.from_zip(zips[0])
    return PictureSet.from_files((file.name, file.getvalue()) for file in files)


def _look(own: Own, side: int) -> None:
    assert own.looking.result is not None
    pictures, preview = own.looking.result
    total = sum(preview.counts.values())
    st.markdown(f"**{plain(own.name)}: {total:,} pictures of {len(preview.counts)} classes**")
    _rule(own, preview)
    if preview.counts:
        most = max(preview.counts.values())
        st.dataframe(
            [{"class": name, "pictures": count} for name, count in preview.counts.items()],
            hide_index=True,
            height=min(36 * len(preview.counts) + 38, 290),
            column_config={
                "pictures": st.column_config.ProgressColumn(format="%d", min_value=0, max_value=most, color="blue")
            },
        )
    for sentence in _findings(preview):
        st.caption(sentence)
    _files("Left out", preview.odd)
    _files(
        "There twice; the first is kept",
        [Skipped(one[0], f"also as {', '.join(one[1:4])}") for one in preview.duplicates],
    )
    _files(
        "The same picture in two classes; none is kept",
        [Skipped(one[0], f"also as {', '.join(one[1:4])}") for one in preview.conflicts],
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.button(
            f"Take them, {side} × {side} px",
            key="training.own-take",
            type="primary",
            disabled=len(preview.counts) < 2,
        ):
            _decode(own, side, pictures)
            st.rerun()
        st.button("Other pictures", key="training.own-other", on_click=_forget)


def _rule(own: Own, preview: Preview) -> None:
    st.session_state[_RULE] = preview.labelling.rule
    st.segmented_control(
        "The class is told by",
        list(RULES),
        format_func=lambda rule: RULES[rule],
        key=_RULE,
        required=True,
        on_change=_ruled,
        args=(own,),
        help=plain(preview.labelling.reason),
    )


def _ruled(own: Own) -> None:
    assert own.looking.result is not None
    pictures = own.looking.result[0].labelled_by(st.session_state[_RULE])
    own.rule = st.session_state[_RULE]
    own.looking = Job(
        lambda progress, cancelled: (pictures, pictures.preview(progress=progress, cancelled=cancelled)),
    )


def _findings(preview: Preview) -> list[str]:
    told = []
    if preview.imbalance > 1.5:
        least, most = (
            min(preview.counts, key=preview.counts.__getitem__),
            max(preview.counts, key=preview.counts.__getitem__),
        )
        told.append(
            f"{plain(most)} has {preview.imbalance:.1f} times as many pictures as {plain(least)}: a net that always "
            "said the former would often be right. See the losses and “balanced” sampling under More."
        )
    if preview.sizes:
        (height, width), count = preview.sizes[0]
        told.append(
            f"Most common size: {width} × {height} px ({count:,} pictures); {len(preview.sizes):,} sizes in all, "
            f"{preview.num_bytes / 1e6:,.1f} MB. The shorter side is resized, the middle cut out."
        )
    return told


def _files(title: str, files: Sequence[Skipped]) -> None:
    if not files:
        return
    with st.expander(f"{title}: {len(files):,} file{'' if len(files) == 1 else 's'}"):
        st.dataframe([{"file": one.name, "reason": one.reason} for one in files[:_LISTED]], hide_index=True, height=200)
        if len(files) > _LISTED:
            st.caption(f"The first {_LISTED} are listed.")


def _decode(own: Own, side: int, pictures: PictureSet | None = None) -> None:
    assert own.looking.result is not None
    chosen = pictures or own.looking.result[0]
    own.side, own.parted = side, {}
    own.decoding = Job(lambda progress, cancelled: chosen.decode(side, progress=progress, cancelled=cancelled))
