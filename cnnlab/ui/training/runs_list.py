"""A visitor's runs, and those that others have published: to open, name, keep, give away and delete."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from cnnlab.errors import LabError
from cnnlab.runs import archive, store
from cnnlab.runs.store import Run
from cnnlab.train.checkpoints import epochs_in, weights_file
from cnnlab.ui import errors, visitors
from cnnlab.ui.running import runner
from cnnlab.ui.text import plain
from cnnlab.ui.training import opened, own_pictures
from cnnlab.ui.training.first_look import ago

_ROWS = "training.runs"
_NAME = "training.run-name"
_TAGS = "training.run-tags"
_REFUSED = "training.run-refused"
_IMPORT = "training.import"
_MOST_WEIGHTS = archive.MAX_BYTES - 100_000_000  # the rest of the zip is for curves and settings


def show() -> None:
    """Draw the table, what can be done with the chosen run, and the way in for runs from elsewhere."""
    owner = visitors.owner()
    own = store.of_owner(owner)
    others = tuple(run for run in store.published() if run.owner != owner)
    runs = own + others
    if not runs:
        st.markdown("No runs yet. Start one on the left: the digits take seconds.")
    else:
        _table(runs, owner)
    if refused := st.session_state.pop(_REFUSED, None):
        st.error(plain(refused), icon=":material/error:")
    _bring_in(owner)
    if own and not visitors.is_remembered():
        st.caption("Your browser keeps no cookies: your runs are found until you close the page. Export them.")


def _table(runs: tuple[Run, ...], owner: str) -> None:
    is_any_elses = any(run.owner != owner for run in runs)
    rows = [
        {
            "name": run.name,
            "state": run.state,
            "net": run.net,
            "data": run.data,
            "epochs": f"{run.epochs_done} of {run.config.epochs}",
            "best validation, %": None if run.best_accuracy is None else 100 * run.best_accuracy,
            "tags": list(run.tags),
            "begun": ago(run.created),
        }
        | ({"test, %": run.test and 100 * run.test.accuracy} if any(one.test for one in runs) else {})
        | ({"whose": "yours" if run.owner == owner else "published"} if is_any_elses else {})
        for run in runs
    ]
    chosen = st.dataframe(
        rows,
        hide_index=True,
        key=_ROWS,
        on_select="rerun",
        selection_mode="single-row",
        height=min(36 * len(rows) + 38, 330),
        column_config={
            "best validation, %": st.column_config.NumberColumn(format="%.2f"),
            "test, %": st.column_config.NumberColumn(format="%.2f"),
        },
    )
    selected = chosen["selection"]["rows"]
    if not selected or selected[0] >= len(runs):
        st.caption("Choose a line to open, rename, publish, export or delete a run.")
        return
    run = runs[selected[0]]
    with st.container(border=True, key="training-run"):
        _actions(run, is_own=run.owner == owner)


def _actions(run: Run, *, is_own: bool) -> None:
    st.markdown(f"**{plain(run.name)}**")
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.button("Open", type="primary", key="training.run-open", on_click=opened.show, args=(run.id,))
        if is_own:
            _own_actions(run)
        _exports(run)
    if is_own:
        _naming(run)


def _own_actions(run: Run) -> None:
    st.button(
        "Unpublish" if run.is_published else "Publish",
        key="training.run-publish",
        icon=":material/public:",
        on_click=_do,
        args=(store.publish, run.id, not run.is_published),
        help="Everybody who has the link, or looks at this list, may see a published run; only you can steer it.",
    )
    if st.button("Delete", key="training.run-delete", icon=":material/delete:", disabled=not run.has_ended,
                 help=None if run.has_ended else "It is going on. Stop it first."):  # fmt: skip
        _confirm(run)


@st.dialog("Delete this run?")
def _confirm(run: Run) -> None:
    st.markdown(
        f"**{plain(run.name)}** goes, with its curves and the weights of {run.epochs_done} epochs. It cannot be had "
        "back."
    )
    if st.button("Delete", type="primary", key="training.run-confirmed", on_click=_do, args=(_delete, run.id)):
        st.rerun()


def _delete(run_id: str) -> None:
    runner().forget(run_id)  # refuses where it goes on
    store.delete(run_id)


def _exports(run: Run) -> None:
    with st.popover("Export", icon=":material/download:", key="training.run-export"):
        weights = st.radio(
            "Weights", list(archive.WEIGHTS), format_func=archive.WEIGHTS.__getitem__, key="training.run-weights"
        )
        with_tensorboard = st.toggle(
            "Curves for TensorBoard",
            key="training.run-tensorboard",
            help="Event files go with it: unpack the zip, and run `tensorboard --logdir tensorboard` beside them.",
        )
        num_bytes = _weights_bytes(run, weights)
        if num_bytes > _MOST_WEIGHTS:
            st.caption(
                f"These weights take {num_bytes / 1e6:,.0f} MB, and there is room for {_MOST_WEIGHTS / 1e6:,.0f} MB in "
                "a zip. Take those of one epoch."
            )
            return
        # The zip is made only once somebody asks for it.
        st.download_button(
            "Download zip",
            data=lambda: archive.export_zip(run.id, weights=weights, with_tensorboard=with_tensorboard),
            file_name=f"run-{run.id[:8]}.zip",
            mime="application/zip",
            icon=":material/download:",
            on_click="ignore",
            key="training.run-zip",
            help="Settings, curves and weights. Import it here or in another lab.",
        )


def _weights_bytes(run: Run, weights: str) -> int:
    """What the chosen weights take; of one epoch, all take the same."""
    folder = store.folder(run.id)
    epochs = epochs_in(folder)
    return sum(weights_file(folder, epoch).stat().st_size for epoch in (epochs if weights == "all" else epochs[-1:]))


def _naming(run: Run) -> None:
    # The session forgets what a field holds once it is not drawn, but not whose it was.
    if st.session_state.get(f"{_NAME}.of") != run.id or not {_NAME, _TAGS} <= set(st.session_state):
        st.session_state[f"{_NAME}.of"] = run.id
        st.session_state[_NAME], st.session_state[_TAGS] = run.name, ", ".join(run.tags)
    left, right = st.columns(2)
    name, tags = st.session_state[_NAME], st.session_state[_TAGS]
    left.text_input("Name", name, store.MAX_NAME, key=_NAME, on_change=_renamed, args=(run.id,))
    right.text_input("Tags, with commas between them", tags, 400, key=_TAGS, on_change=_tagged, args=(run.id,))


def _renamed(run_id: str) -> None:
    _do(store.rename, run_id, st.session_state[_NAME])


def _tagged(run_id: str) -> None:
    tags = tuple(part.strip() for part in st.session_state[_TAGS].split(",") if part.strip())
    _do(store.tag, run_id, tags)


def _do(change: Callable[..., None], run_id: str, *value: Any) -> None:
    """Change a run of the visitor's own; what stands against it is kept for the page to show."""
    try:
        if store.get(run_id).owner == visitors.owner():
            change(run_id, *value)
    except LabError as error:
        st.session_state[_REFUSED] = str(error)


def _bring_in(owner: str) -> None:
    with st.expander("Import a run", icon=":material/upload:", key="training.import-open"):
        given = st.file_uploader(
            "A zip from “Export”", ["zip"], key=_IMPORT, max_upload_size=own_pictures.uploadable_mb()
        )
        if given is not None and st.button("Import", key="training.import-take", type="primary"):
            with errors.shown():
                run = archive.import_zip(given.getvalue(), owner)
                opened.show(run.id)
                st.rerun()
