"""The net of a run through its epochs: its first filters, what it makes of one picture, how far its weights moved."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from cnnlab.data import Dataset
from cnnlab.errors import Unsupported
from cnnlab.explain import METHODS
from cnnlab.explain.layers import automatic
from cnnlab.explain.reading import Reading, read
from cnnlab.figures.confusion import distance_bars, probability_bars
from cnnlab.figures.heat import overlay, own_scale
from cnnlab.figures.pictures import tiled, to_picture
from cnnlab.images import Preprocessing
from cnnlab.inference import share
from cnnlab.nets.flow import Layer
from cnnlab.runs import store
from cnnlab.runs.store import Run
from cnnlab.train import evolving
from cnnlab.train.building import of_run
from cnnlab.train.checkpoints import NetFacts, epochs_in, facts_of, weights_file
from cnnlab.train.config import OWN_PICTURES
from cnnlab.train.evolving import Frame
from cnnlab.ui import errors, run_weights, state, workbench
from cnnlab.ui.components.picture import legend_of, picture
from cnnlab.ui.text import plain
from cnnlab.ui.training import data_sets, evaluations, opened

_PLAY_S = 0.8
_LOOKS_S = 2.0
_PLAYING = "training.playing"
_EPOCH_PICK, _LAYER_PICK = "training.at-pick", "training.maps-pick"
_MOST_FILTERS = 64
_PROBES = {"validation": "A validation picture", "image": "The current image"}

EPOCH = state.Setting(key="training.at", param="at", default=None, parse=state.integer("", "at", 0, 9999, 0).parse)
LAYER = state.Setting(
    key="training.maps", param="maps", default=None, parse=state.integer("", "maps", 0, 9999, 0).parse
)
PROBE = state.choice("training.probe-of", "probe", _PROBES, "validation")
NUMBER = state.integer("training.probe-number", "picture", 0, 999_999, 0)
SETTINGS = (EPOCH, LAYER, PROBE, NUMBER)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heat:
    """Where in the picture an answer comes from, by Grad-CAM.

    Attributes:
        layer: Whose maps were weighed.
        map_hw: Unscaled.
        reading: What it says in numbers and words.
    """

    layer: str
    map_hw: NDArray[np.float32]
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """The picture that is followed through the epochs.

    Attributes:
        x_chw: As the net gets it.
        pixels: As people see it, (H, W) or (H, W, 3), uint8.
        truth: Index of its class; None where nobody knows.
        digest: What tells it from every other.
        is_everybodys: Whether others than the visitor have it: what is made of it may then outlive the session.
    """

    x_chw: NDArray[np.float32]
    pixels: NDArray[np.uint8]
    truth: int | None
    digest: str
    is_everybodys: bool


def draw(run: Run) -> None:
    """Draw the net of an epoch, with a slider over all whose weights are there."""
    state.restore(SETTINGS)
    if not epochs_in(store.folder(run.id)):
        st.info("The first weights are written when the run begins; then its net can be looked at here.")
        return
    _moving(run, _pace(run))


def _pace(run: Run) -> float | None:
    """Seconds after which to look again: while it plays, and while new epochs come."""
    if st.session_state.get(_PLAYING):
        return _PLAY_S
    return None if run.has_ended else _LOOKS_S


def _moving(run: Run, every_s: float | None) -> None:
    @st.fragment(run_every=every_s)
    def show() -> None:
        if _pace(run) != every_s:  # it cannot be changed from inside
            st.rerun()
        state.recall()
        with errors.shown():
            _show(opened.again(run.id))
        state.publish()

    show()


def _show(run: Run) -> None:
    folder = store.folder(run.id)
    epochs = epochs_in(folder)
    _play_on(epochs)
    epoch = _choose_epoch(run, epochs)
    facts = facts_of(weights_file(folder, epoch))
    probe = _probe(run, epoch, facts)
    if probe is None:
        return
    frame = _frame if probe.is_everybodys else _own_frame
    now = frame(folder, epoch, probe.x_chw, f"{_stamp(folder, epoch)}|{probe.digest}")
    all_epochs = f"{len(epochs)}|{_stamp(folder, epochs[-1])}"
    seen, filters, distance = st.columns([1, 1.5, 1], gap="medium")
    with seen:
        _probabilities(now, probe, facts)
        _heat_map(folder, now, probe, facts)
    with filters:
        _filters(folder, all_epochs, now)
    with distance:
        _distance(folder, epochs[-1], now)
    _maps(folder, all_epochs, now, probe)


def _stamp(folder: Path, epoch: int) -> str:
    """What tells the weights of an epoch from all others, also from those of the same epoch after a resume."""
    return f"{folder.name}|{epoch}|{weights_file(folder, epoch).stat().st_mtime_ns}"


def _play_on(epochs: Sequence[int]) -> None:
    """While it plays: the epoch that is due, by the clock, and to the end of it at the last."""
    if playing := st.session_state.get(_PLAYING):
        began_s, first = playing
        place = first + int((time.monotonic() - began_s) / _PLAY_S)
        st.session_state[EPOCH.key] = epochs[min(place, len(epochs) - 1)]
        if place >= len(epochs) - 1:
            st.session_state[_PLAYING] = None
            st.rerun()


def _choose_epoch(run: Run, epochs: Sequence[int]) -> int:
    wanted = st.session_state[EPOCH.key]
    st.session_state[_EPOCH_PICK] = wanted if wanted in epochs else epochs[-1]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if len(epochs) > 1:
            playing = bool(st.session_state.get(_PLAYING))
            st.button(
                "Pause" if playing else "Play",
                key="training.play",
                icon=":material/pause:" if playing else ":material/play_arrow:",
                on_click=_play,
                args=(epochs,),
            )
            epoch = st.select_slider(
                "Epoch",
                epochs,
                key=_EPOCH_PICK,
                on_change=_epoch_chosen,
                format_func=lambda epoch: f"{epoch} (best)" if epoch == run.best_epoch > 0 else str(epoch),
                help="0 is the net before training.",
                width=480,
            )
        else:
            epoch = epochs[0]
        if st.button(
            f"Use epoch {epoch} on every page",
            key="training.use",
            icon=":material/open_in_new:",
            help="The workbench takes this run's net as it was after this epoch: every page then looks at it.",
        ):
            run_weights.use(run.id, epoch)
            st.rerun()
    return epoch


def _play(epochs: Sequence[int]) -> None:
    here = st.session_state[_EPOCH_PICK]
    first = 0 if here == epochs[-1] else epochs.index(here)
    st.session_state[_PLAYING] = None if st.session_state.get(_PLAYING) else (time.monotonic(), first)


def _epoch_chosen() -> None:
    st.session_state[EPOCH.key] = st.session_state[_EPOCH_PICK]
    st.session_state[_PLAYING] = None


def _probe(run: Run, epoch: int, facts: NetFacts) -> Probe | None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.segmented_control(
            "Picture", list(_PROBES), format_func=_PROBES.__getitem__, key=PROBE.key, required=True, width="content"
        )
        if st.session_state[PROBE.key] == "image":
            return _current_image(facts)
        is_own = run.config.data == OWN_PICTURES
        dataset = evaluations.pictures_of(run, epoch) if is_own else data_sets.of(run.config)
        if dataset is None:
            st.caption(
                "The validation pictures are not at hand; choose the current image, or come back when they are loaded."
            )
            return None
        part = dataset.splits.validation
        st.session_state[NUMBER.key] %= len(part)
        st.number_input("Number", 0, len(part) - 1, key=NUMBER.key, width=140)
    return _of_validation(dataset, int(part[st.session_state[NUMBER.key]]), is_everybodys=not is_own)


def _of_validation(dataset: Dataset, index: int, *, is_everybodys: bool) -> Probe:
    pixels_hwc = dataset.pictures[index].numpy()
    mean, std = (np.array(values, dtype=np.float32) for values in (dataset.mean, dataset.std))
    x_hwc = (pixels_hwc.astype(np.float32) / np.float32(255) - mean) / std
    return Probe(
        x_chw=np.ascontiguousarray(x_hwc.transpose(2, 0, 1)),
        pixels=pixels_hwc[:, :, 0] if pixels_hwc.shape[2] == 1 else pixels_hwc,
        truth=int(dataset.labels[index]),
        digest=f"{index}|{dataset.mean}|{dataset.std}",
        is_everybodys=is_everybodys,
    )


def _current_image(facts: NetFacts) -> Probe:
    steps = Preprocessing(
        resize=(facts.side, facts.side),  # as the workbench does for the net of a run
        channels="grey" if facts.in_channels == 1 else "rgb",
        mean=facts.mean,
        std=facts.std,
    )
    x_chw = workbench.prepared(steps)
    pixels, digest = steps.picture(x_chw), workbench.digest()
    return Probe(x_chw=x_chw, pixels=pixels, truth=None, digest=digest, is_everybodys=False)


# Runs are told from one another by text: Streamlit's hash of a large array looks at a sample of it.
def _compute_frame(_folder: Path, epoch: int, _x_chw: NDArray[np.float32], run: str) -> Frame:
    del run
    return evolving.frame(_folder, epoch, torch.from_numpy(_x_chw))


def _compute_map_limit(_folder: Path, _x_chw: NDArray[np.float32], index: int, run: str) -> float:
    del run
    return evolving.map_limit(_folder, torch.from_numpy(_x_chw), index)


def _compute_heat(_folder: Path, epoch: int, _x_chw: NDArray[np.float32], asked: int, run: str) -> Heat | None:
    del run
    model, x = share(of_run(_folder, epoch)), torch.from_numpy(_x_chw)[None]
    try:
        layer = automatic(model, x).layer
    except Unsupported:  # a net without maps
        return None
    map_hw = METHODS["gradcam"].run(model, x, asked, layer)[0]
    return Heat(layer=layer, map_hw=map_hw.numpy(), reading=read(map_hw))


# What is made of a visitor's own picture stays in their session, and no longer.
_running = "Running the net of each epoch"
_frame = st.cache_resource(show_spinner=False, max_entries=24)(_compute_frame)
_own_frame = st.cache_resource(show_spinner=False, max_entries=12, scope="session")(_compute_frame)
_heat = st.cache_resource(show_spinner=False, max_entries=24)(_compute_heat)
_own_heat = st.cache_resource(show_spinner=False, max_entries=12, scope="session")(_compute_heat)
_map_limit = st.cache_resource(show_spinner=_running, max_entries=64)(_compute_map_limit)
_own_map_limit = st.cache_resource(show_spinner=_running, max_entries=64, scope="session")(_compute_map_limit)


@st.cache_resource(show_spinner=False, max_entries=64)
def _filter_limit(_folder: Path, layer: str, run: str) -> float:
    del run
    return evolving.filter_limit(_folder, layer)


@st.cache_resource(show_spinner=False, max_entries=64)
def _way(_folder: Path, epoch: int, run: str) -> float:
    """The longest way that a layer has gone after an epoch."""
    del run
    return max(evolving.moved(_folder, epoch).values(), default=0.0)


def _probabilities(now: Frame, probe: Probe, facts: NetFacts) -> None:
    picture(
        probe.pixels,
        key="training.probe-picture",
        alt="The picture that is followed",
        title="" if probe.truth is None else f"Truth: {facts.classes[probe.truth]}",
        max_height=180,
    )
    if now.flow.softmax is not None:
        st.plotly_chart(
            probability_bars(now.flow.softmax.probabilities.tolist(), facts.classes, probe.truth),
            key="training.probabilities",
            config={"displayModeBar": False},
        )


def _heat_map(folder: Path, now: Frame, probe: Probe, facts: NetFacts) -> None:
    """Where the net looks for the true class, or for the one that it names where the truth is not known."""
    if now.flow.softmax is None:
        return
    asked = int(now.flow.softmax.probabilities.argmax()) if probe.truth is None else probe.truth
    heat_of = _heat if probe.is_everybodys else _own_heat
    heat = heat_of(folder, now.epoch, probe.x_chw, asked, f"{_stamp(folder, now.epoch)}|{probe.digest}")
    if heat is None:
        return
    pixels_hwc = np.broadcast_to(probe.pixels.reshape(*probe.pixels.shape[:2], -1), (*probe.pixels.shape[:2], 3))
    picture(
        overlay(np.ascontiguousarray(pixels_hwc), heat.map_hw, own_scale(heat.map_hw, is_signed=False)),
        key="training.heat",
        alt=f"Grad-CAM for {facts.classes[asked]} after epoch {now.epoch}",
        title=f"Grad-CAM for {facts.classes[asked]}",
        max_height=180,
    )
    (height, width), said = heat.map_hw.shape, heat.reading
    told = (
        f"{height} × {width} cells of {heat.layer}, {said.minimum:.3g} to {said.maximum:.3g}; each epoch its own scale."
    )
    st.caption(plain(said.said or told))


def _filters(folder: Path, all_epochs: str, now: Frame) -> None:
    if now.filters is None:
        st.caption("The first layer of this net does not look at the picture itself; its filters are no pictures.")
        return
    count, channels, height, width = now.filters.weights.shape
    limit = _filter_limit(folder, now.filters.layer, all_epochs)
    shown = now.filters.weights[:_MOST_FILTERS]
    maps = shown.transpose(0, 2, 3, 1) if channels == 3 else shown[:, 0]
    drawn = to_picture(tiled(maps, columns=8), "signed", limits=(-limit, limit))
    colours = "; three channels as red, green, blue, grey is zero" if channels == 3 else ""
    picture(
        drawn.pixels,
        key="training.filters",
        alt=f"The filters of the first layer after epoch {now.epoch}",
        title=f"Filters of {now.filters.layer}: {count} of {channels} × {height} × {width}",
        lut=drawn.lut if drawn.pixels.ndim == 2 else None,
        legend=legend_of(drawn, f"weight, one scale for all epochs{colours}"),
        max_height=420,
    )
    if count > _MOST_FILTERS:
        st.caption(f"The first {_MOST_FILTERS} of {count:,}.")


def _distance(folder: Path, last: int, now: Frame) -> None:
    if not now.moved:
        return
    st.markdown("**How far the weights moved**")
    limit = _way(folder, last, _stamp(folder, last))
    st.plotly_chart(distance_bars(now.moved, limit), key="training.moved", config={"displayModeBar": False})
    st.caption("Distance from the weights before training by their length there, ‖W − W₀‖ / ‖W₀‖.")


def _maps(folder: Path, all_epochs: str, now: Frame, probe: Probe) -> None:
    layers = {layer.index: layer for layer in now.flow.layers if layer.channels}
    if not layers:
        return
    wanted = st.session_state[LAYER.key]
    st.session_state[_LAYER_PICK] = wanted if wanted in layers else _first_activation(list(layers.values()))
    index = st.selectbox(
        "Feature maps of",
        list(layers),
        format_func=lambda key: f"{layers[key].name} · {layers[key].kind}",
        key=_LAYER_PICK,
        on_change=_layer_chosen,
        width=320,
    )
    layer = layers[index]
    limit_of = _map_limit if probe.is_everybodys else _own_map_limit
    limit = limit_of(folder, probe.x_chw, index, f"{all_epochs}|{probe.digest}")
    drawn = to_picture(tiled(layer.maps), "signed", limits=(-limit, limit))
    picture(
        drawn.pixels,
        key="training.maps-picture",
        alt=f"Feature maps of {layer.name} after epoch {now.epoch}",
        title=f"{len(layer.maps)} of {layer.num_channels:,} maps after epoch {now.epoch}",
        lut=drawn.lut,
        legend=legend_of(drawn, "activation, one scale for all epochs"),
        max_height=360,
    )
    if layer.num_dead:
        st.caption(
            f"{layer.num_dead:,} of {layer.num_channels:,} channels of {plain(layer.name)} are zero everywhere here."
        )


def _first_activation(layers: Sequence[Layer]) -> int:
    """The first ReLU, where what a filter finds is to be seen; else the first layer."""
    return next((layer.index for layer in layers if "relu" in layer.kind.lower()), layers[0].index)


def _layer_chosen() -> None:
    st.session_state[LAYER.key] = st.session_state[_LAYER_PICK]
