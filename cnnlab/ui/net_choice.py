"""Choosing the current net and its weights, from the sidebar of every page."""

import streamlit as st

from cnnlab.errors import LabError
from cnnlab.inference.weights_files import MAX_BYTES
from cnnlab.nets import ARCHITECTURES, Weights, fetch_weights
from cnnlab.ui import nets, workbench
from cnnlab.ui.nets import CurrentNet
from cnnlab.ui.text import paragraphs, plain
from cnnlab.ui.workbench import SEED, WEIGHTS

_TOLD = "workbench.net-told"
_TAKEN = "workbench.weights-taken"
_FEW = 6


def follow() -> None:
    """Let the sidebar say what a part of the page has changed, when it says something else."""
    net = nets.current()
    now = _told(net)
    if st.session_state.get(_TOLD, now) != now:
        st.rerun()


def show() -> None:
    """Draw the net's part of the workbench, for the sidebar."""
    net = nets.current()
    st.session_state[_TOLD] = _told(net)
    st.markdown(st.session_state[_TOLD])
    if st.button("Change net", key="workbench.change-net", icon=":material/account_tree:", width="stretch"):
        _change()


def _told(net: CurrentNet) -> str:
    return f"**{plain(net.label)}**  \n{plain(_source(net))}"


def _source(net: CurrentNet) -> str:
    weights = nets.chosen_weights(net, net.num_classes, net.input_shape[0])
    if weights is None or not nets.are_here(weights):
        return f"random weights, seed {st.session_state[SEED.key]}"
    return weights.label


@st.dialog("Change net", width="large")
def _change() -> None:
    net = nets.current()
    options = {net.key: net.label} | nets.choices()
    keys = list(options)
    key = st.selectbox("Net", keys, index=keys.index(net.key), format_func=options.__getitem__, help="Type to search.")
    if entry := ARCHITECTURES.get(key):
        st.caption(f"{entry.family} · {entry.year} · {plain(entry.paper)}")
        st.markdown(plain(entry.lesson))
    chosen = nets.of(key)
    place = st.container()
    taken = _take(chosen) if nets.takes_weights(chosen) else None
    offered = nets.weights_of(chosen)
    named = {name: _offer(weights) for name, weights in offered.items()} | {nets.RANDOM: "Random, drawn from a seed"}
    here = [name for name, weights in offered.items() if nets.are_here(weights)]
    wanted = st.session_state[WEIGHTS.key] if key == net.key else None
    start = next(known for known in (taken, wanted, *here, nets.RANDOM) if known in named)
    # A long run has more epochs than a list of buttons can show.
    ask = place.radio if len(named) <= _FEW else place.selectbox
    weights_key = ask("Weights", list(named), index=list(named).index(start), format_func=named.__getitem__)
    seed = st.session_state[SEED.key]
    if weights_key == nets.RANDOM:
        seed = int(st.number_input("Seed", 0, 9999, seed, help="The same seed gives the same weights, on any machine."))
    elif not nets.are_here(offered[weights_key]) and not _fetch(offered[weights_key]):
        return
    if st.button("Use this net", type="primary"):
        if key != net.key:
            nets.choose(key)
        nets.choose_weights(weights_key)
        st.session_state[SEED.key] = seed
        st.rerun()


def _take(net: CurrentNet) -> str | None:
    """Let the visitor bring weights; the key of those in the file that is there now."""
    with st.expander("Weights from a file", icon=":material/upload_file:"):
        given = st.file_uploader(
            f"Weights for this net: .safetensors, up to {MAX_BYTES / 1e6:.0f} MB. They stay in this server's memory, "
            "are used by nobody else, and are gone a minute after you close the page.",
            max_upload_size=round(1.1 * MAX_BYTES / 1e6),  # the reader says what is too large
            key="workbench.weights-file",
        )
        if given is None:
            return None
        # The file is there at each rerun of the dialog, and reading it takes a second.
        before = st.session_state.get(_TAKEN)
        if before is None or before[:2] != (given.file_id, net.key):
            st.session_state[_TAKEN] = before = (given.file_id, net.key, *_read(net, given.name, given.getvalue()))
        *_, key, problem = before
        if problem:
            st.error(paragraphs(problem), icon=":material/error:")
        return key


def _read(net: CurrentNet, name: str, data: bytes) -> tuple[str | None, str]:
    """The key of the weights, or what is wrong with them."""
    try:
        return nets.take_weights(net, name, data), ""
    except LabError as error:
        return None, str(error)


def _offer(weights: Weights) -> str:
    size = "" if nets.are_here(weights) else f", {weights.num_bytes / 1e6:.0f} MB to download"
    return f"{weights.label}: {weights.accuracy}{size}"


def _fetch(weights: Weights) -> bool:
    """Offer to download weights; whether they are here now."""
    st.caption(f"From {plain(weights.url)}; checked, and kept for everybody who uses this lab.")
    if not st.button("Download", icon=":material/download:"):
        return False
    bar = st.progress(0.0, "Connecting")
    # Closing the dialog, or Stop, ends the download: the next thing that is drawn then does not return.
    stop = st.empty()
    stop.button("Stop", key="workbench.stop")

    begun = False

    def tell(received: int, expected: int) -> None:
        nonlocal begun
        begun = True
        bar.progress(min(1.0, received / max(1, expected)), f"{received / 1e6:.1f} of {expected / 1e6:.1f} MB")

    def wait() -> bool:
        if not begun:
            bar.progress(0.0, "Connecting, or waiting for another download to end")
        return False

    try:
        fetch_weights(weights, progress=tell, cancelled=wait)
    except LabError as error:
        bar.empty()
        stop.empty()
        st.error(plain(str(error)), icon=":material/error:")
        return False
    bar.empty()
    stop.empty()
    return True


workbench.NETS_READY.set()
