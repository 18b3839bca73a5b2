"""What a unit looks for: a picture made to excite it, and the pictures of a data set that excite it most."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from cnnlab.data import DATASETS, Dataset, Progress
from cnnlab.downloading import Cancelled
from cnnlab.explain.channels import TopPictures, facts_of, top_pictures
from cnnlab.explain.maximizing import Attempt, Channel, maximize
from cnnlab.images import RgbImage, to_png
from cnnlab.train.config import TrainConfig
from cnnlab.ui import nets, run_weights, state
from cnnlab.ui.components.picture import picture
from cnnlab.ui.explaining import working
from cnnlab.ui.explaining.controls import Setup
from cnnlab.ui.explaining.numbers import number
from cnnlab.ui.explaining.working import Steps
from cnnlab.ui.explorer import kernels
from cnnlab.ui.text import plain
from cnnlab.ui.training import data_sets, evaluations

_UNIT_PICK = "explain.unit-pick"
_MOST = 2000  # pictures that are tried
_BATCH = 64
_NUM = 9
_WIDTH = 96  # CSS pixels
_GOALS = {"channel": "A channel", "class": "The class"}

GOAL = state.choice("explain.goal", "goal", _GOALS, "channel")
UNIT = state.Setting(
    key="explain.unit", param="unit", default=None, parse=state.integer("", "unit", 0, 99_999, 0).parse
)
START = state.integer("explain.start", "start", 0, 9999, 0)
SETTINGS = (GOAL, UNIT, START)


def show(setup: Setup) -> None:
    """Draw what excites a channel of the layer, or the class."""
    channel = None
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        if setup.layer:
            st.segmented_control("Of", list(_GOALS), format_func=_GOALS.__getitem__, key=GOAL.key, required=True)
        if setup.layer and st.session_state[GOAL.key] == "channel":
            channel = _channel(setup)
        st.number_input(
            "Start",
            0,
            9999,
            key=START.key,
            width=120,
            help="Where the climb begins. What comes out of every start belongs to the unit, the rest to the start.",
        )
    made, found = st.columns([1, 1.6], gap="large")
    with made:
        _climb(setup, channel)
    with found:
        if channel is None:
            st.caption("Choose a channel to see which pictures excite it most.")
        else:
            _pictures(setup, channel)
    _first_kernels(setup)


def _first_kernels(setup: Setup) -> None:
    """The weights that meet the picture: what these look for can be read without a climb."""
    asked = setup.subject.asked
    met = (layer for layer in asked.described.facts if layer.inputs == (-1,) and layer.operation == "conv2d")
    first = next(met, None)
    if first is not None:
        kernels.show(first, asked.known)


def _channel(setup: Setup) -> int:
    facts = facts_of(setup.seen.passed, setup.target, setup.layer)
    order = facts.by_weight()
    wanted = st.session_state[UNIT.key]
    st.session_state[_UNIT_PICK] = wanted if wanted is not None and wanted < len(order) else order[0]
    st.selectbox(
        f"Channel of {setup.layer}",
        order,
        key=_UNIT_PICK,
        format_func=lambda channel: f"{channel} · weight {number(float(facts.weights[channel]))}",
        on_change=lambda: st.session_state.update({UNIT.key: st.session_state[_UNIT_PICK]}),
        width=240,
        help="The first is the one that speaks most for the class.",
    )
    return st.session_state[_UNIT_PICK]


def _climb(setup: Setup, channel: int | None) -> None:
    goal = setup.class_index if channel is None else Channel(layer=setup.layer, index=channel)
    start = st.session_state[START.key]
    st.markdown("**Made to excite it**")
    working.on_request(
        f"climb|{setup.subject.asked.key}|{goal}|{start}",
        _climbing(setup, goal, start),
        lambda attempt: _attempt(attempt, "logit" if channel is None else "largest of its map"),
        widget="explain.climb",
        button="Make a picture",
        about="128 steps up the gradient, from noise.",
        doing="Climbing",
    )


def _climbing(setup: Setup, goal: Channel | int, start: int) -> Steps[Attempt]:
    model, asked, size = setup.seen.passed.model, setup.subject.asked, setup.subject.size

    def steps(progress: Progress, cancelled: Cancelled) -> Iterator[Attempt]:
        del cancelled
        for attempt in maximize(model, goal, asked.steps, size, seed=start):
            progress("steps", attempt.step, attempt.steps)
            yield attempt

    return steps


def _attempt(attempt: Attempt, unit: str) -> None:
    # Not as a file: while it grows, a browser would ask for what has been replaced already.
    picture(
        _as_rgb(np.rint(255 * attempt.picture).astype(np.uint8)),
        key="explain.climbed",
        alt="A picture made to excite the unit",
        max_height=320,
    )
    st.caption(
        f"After {attempt.step} of {attempt.steps} steps: {unit} {number(attempt.activation)}. Waves, moved about as "
        "they climb, so that no single pixel can do the work."
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Swept:
    """Which pictures excite each channel, and those pictures."""

    top: TopPictures
    dataset: Dataset
    indexes: torch.Tensor


def _pictures(setup: Setup, channel: int) -> None:
    st.markdown("**Pictures that excite it most**")
    dataset = _dataset(setup)
    if dataset is None:
        return
    part = dataset.splits.validation
    drawn = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))[:_MOST]
    indexes = part[drawn.sort().values]
    working.on_request(
        f"sweep|{setup.subject.asked.key}|{setup.layer}|{dataset.key}|{dataset.mean}",
        _sweeping(setup, dataset, indexes),
        lambda swept: _swept(setup, swept, channel),
        widget="explain.sweep",
        button=f"Look through {len(indexes):,} pictures",
        about=f"of the validation part of {dataset.label}; for all channels of the layer at once.",
        doing="Looking",
    )


def _dataset(setup: Setup) -> Dataset | None:
    """Pictures of the kind that the net learnt from; where there are none, says so or what it takes."""
    net = setup.subject.asked.net
    weights = setup.subject.asked.known.weights
    if net.key.startswith(run_weights.RUN) and weights is not None:
        epoch = next(int(name) for name, one in nets.weights_of(net).items() if one == weights)
        return evaluations.pictures_of(run_weights.run_of(net.key), epoch)
    classes = setup.subject.classes
    key = next((key for key, entry in DATASETS.items() if entry.classes == classes and entry.is_here()), None)
    key = key or next((key for key, entry in DATASETS.items() if entry.classes == classes), None)
    if key is None:
        st.info("The lab has no pictures of the classes that this net tells apart.")
        return None
    config = TrainConfig(data=key)
    dataset = data_sets.of(config)
    if dataset is None:
        data_sets.show_way(config)
    return dataset


def _sweeping(setup: Setup, dataset: Dataset, indexes: torch.Tensor) -> Steps[_Swept]:
    model, steps_of, layer = setup.seen.passed.model, setup.subject.asked.steps, setup.layer

    def prepared(part: torch.Tensor) -> torch.Tensor:
        pictures = [RgbImage(pixels=_as_rgb(dataset.pictures[index].numpy())) for index in part.tolist()]
        return torch.from_numpy(np.stack([steps_of.apply(picture) for picture in pictures]))

    def steps(progress: Progress, cancelled: Cancelled) -> Iterator[_Swept]:
        del cancelled
        batches = (prepared(part) for part in indexes.split(_BATCH))
        for top in top_pictures(model, batches, layer, _NUM):
            progress("pictures", top.num_seen, len(indexes))
            yield _Swept(top=top, dataset=dataset, indexes=indexes)

    return steps


def _as_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W), (H, W, 1) or (H, W, 3) → (H, W, 3)."""
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _swept(setup: Setup, swept: _Swept, channel: int) -> None:
    rows, columns = swept.top.cells
    best = swept.top.of(channel)
    if not best or best[0].value <= 0:
        st.info(f"None of {swept.top.num_seen:,} pictures excites channel {channel} of {plain(setup.layer)}.")
        return
    with st.container(horizontal=True, gap="small"):
        for picture in best:
            index = int(swept.indexes[picture.index])
            pixels = _as_rgb(swept.dataset.pictures[index].numpy())
            truth = swept.dataset.classes[int(swept.dataset.labels[index])]
            st.image(
                _framed(pixels, picture.place, (rows, columns)),
                width=_WIDTH,
                caption=f"{plain(truth)}, {number(picture.value)}",
            )
    st.caption(
        f"The largest of its map in each of {swept.top.num_seen:,} pictures; the frame is where the cell with that "
        "number lies. What the cell sees reaches beyond it."
    )


def _framed(pixels: NDArray[np.uint8], place: tuple[int, int], cells: tuple[int, int]) -> bytes:
    """The picture enlarged to squares, with a frame around a cell."""
    scale = max(1, 2 * _WIDTH // max(pixels.shape[:2]))
    large = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    rows, columns = (side / count for side, count in zip(large.shape[:2], cells, strict=True))
    top, bottom = int(place[0] * rows), int((place[0] + 1) * rows)
    left, right = int(place[1] * columns), int((place[1] + 1) * columns)
    for inset, shade in ((0, 0), (2, 255)):
        box = slice(top + inset, bottom - inset), slice(left + inset, right - inset)
        inner = slice(top + inset + 2, bottom - inset - 2), slice(left + inset + 2, right - inset - 2)
        kept = large[inner].copy()
        large[box] = shade
        large[inner] = kept
    return to_png(large)
