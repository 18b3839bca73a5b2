"""The current picture on its way through the net, down to logits and probabilities."""

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from cnnlab.nets.flow import Flow, maps_of, run_through
from cnnlab.ui import nets, workbench
from cnnlab.ui.components.map_wall import map_rows, map_wall, picked_map, whole_row
from cnnlab.ui.components.picture import picture
from cnnlab.ui.explorer import kernels
from cnnlab.ui.explorer.controls import Setup
from cnnlab.ui.explorer.diagram import size
from cnnlab.ui.nets import Loaded
from cnnlab.ui.text import plain
from cnnlab.ui.workbench import LAYER

_WALL = "architecture.wall"
_MOST_MAPS = 512
_MAP_SIDE = 56  # cells
_TOP = 10


def show(setup: Setup) -> None:
    """Draw what every layer makes of the current picture."""
    if setup.described.failure is not None:
        st.info("The net does not work as it is set, so no picture can flow through it.")
        return
    known = nets.loaded(setup.net, setup.num_classes, setup.input_shape[0])
    steps = nets.preprocessing(known.weights, setup.input_shape)
    x_chw = workbench.prepared(steps)
    run = f"{known.identity}|{steps}|{workbench.digest()}"
    with nets.run_of(setup.described):
        flow = _flow(known.model, x_chw, run)
    left, right = st.columns([1.1, 3], gap="medium")
    with left:
        picture(
            steps.picture(x_chw),
            key="architecture.input",
            alt="The current picture as the net gets it",
            title=f"What the net gets, {size(x_chw.shape)}",
            max_height=240,
        )
        nets.say_weights(known)
        _ending(flow, known)
    with right:
        map_wall(
            map_rows(flow),
            key=_WALL,
            alt="Feature maps of every layer",
            selected=None if setup.layer is None else (setup.layer, 0),
            max_height=680,
            on_pick=_picked,
        )
        _dead(flow)
    if setup.layer is None:
        st.caption("Pick a layer, here or in the drawing, to see all its maps and its kernels.")
    else:
        if not kernels.belong_to_the_drawing(setup):
            kernels.show(setup.described.facts[setup.layer], known)
        _whole_layer(setup.layer, flow, all_maps(known.model, x_chw, run, setup.layer, _MAP_SIDE))


# A run is told from others by the model, the steps and the picture's digest: Streamlit's hash of a large array looks
# at a sample of it.
@st.cache_resource(show_spinner="Running the net", scope="session", max_entries=2)
def _flow(_model: torch.nn.Module, _x_chw: NDArray[np.float32], run: str) -> Flow:
    del run
    return run_through(_model, torch.from_numpy(_x_chw))


@st.cache_resource(show_spinner="Running the net", scope="session", max_entries=2)
def all_maps(
    _model: torch.nn.Module, _x_chw: NDArray[np.float32], run: str, index: int, side: int
) -> NDArray[np.float32]:
    """All maps of a layer, (C, h, w), at most `side` cells high and wide."""
    del run
    return maps_of(_model, torch.from_numpy(_x_chw), index, max_side=side)


def _picked() -> None:
    if pick := picked_map(_WALL):
        st.session_state[LAYER.key] = pick[0]


def _dead(flow: Flow) -> None:
    maps = [layer for layer in flow.layers if layer.channels]
    dead = sum(layer.num_dead for layer in maps)
    if dead:
        st.caption(
            f"{dead:,} of {sum(layer.num_channels for layer in maps):,} channels are zero everywhere on this picture: "
            "they tell the layers behind them nothing."
        )


def _ending(flow: Flow, known: Loaded) -> None:
    """The logits and the softmax, written out."""
    steps = flow.softmax
    if steps is None:
        st.caption("The net ends in maps, not in a row of logits. A flatten and a linear layer would make one of them.")
        return
    order = np.argsort(-steps.logits)[:_TOP]
    st.markdown("**From logits to probabilities**")
    st.dataframe(
        [
            {
                "class": known.classes[index],
                "logit": float(steps.logits[index]),
                "exp": float(steps.exponentials[index]),
                "probability": 100 * float(steps.probabilities[index]),
            }
            for index in order
        ],
        hide_index=True,
        column_config={
            "logit": st.column_config.NumberColumn(format="%.2f", help="What the last layer says."),
            "exp": st.column_config.NumberColumn(format="%.3f", help="e to the power of logit minus largest logit."),
            "probability": st.column_config.NumberColumn(
                format="%.1f %%", help="The exponential divided by the sum of all exponentials."
            ),
        },
    )
    best = int(order[0])
    shown = f" The {_TOP} largest of {len(steps.logits):,} are shown." if len(steps.logits) > _TOP else ""
    st.caption(
        f"{plain(known.classes[best])}: {steps.exponentials[best]:.3f} / {steps.total:.3f} = "
        f"{steps.probabilities[best]:.1%}, where {steps.total:.3f} is the sum of all exponentials.{shown}"
    )


def _whole_layer(index: int, flow: Flow, maps: NDArray[np.float32]) -> None:
    layer = next((layer for layer in flow.layers if layer.index == index), None)
    if layer is None or not layer.channels:
        return
    st.markdown(f"**All maps of {plain(layer.name)}**, {size(layer.shape)}")
    maps = maps[:_MOST_MAPS]
    map_wall(
        whole_row(layer, maps),
        key="architecture.all",
        alt=f"All feature maps of {layer.name}",
        wrap=True,
        max_height=420,
    )
    if layer.num_channels > len(maps):
        st.caption(f"The first {len(maps)} of {layer.num_channels:,}.")
