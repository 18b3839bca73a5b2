"""The current picture on its way through the net, down to logits and probabilities; and the kernels it meets."""

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from cnnlab.figures.pictures import tiled, to_picture
from cnnlab.nets.flow import Flow, maps_of, run_through
from cnnlab.nets.summary import LayerFacts
from cnnlab.ui import nets, workbench
from cnnlab.ui.components.map_wall import MapRow, map_rows, map_wall, picked_map, whole_row
from cnnlab.ui.components.picture import picture
from cnnlab.ui.explorer.controls import LAYER, Setup
from cnnlab.ui.explorer.diagram import size
from cnnlab.ui.nets import Loaded
from cnnlab.ui.playground.results import legend
from cnnlab.ui.text import plain

_WALL = "architecture.wall"
_MOST_MAPS = 512
_MOST_KERNELS, _MOST_SLICES = 64, 8
_TOP = 10


def show(setup: Setup) -> None:
    """Draw what every layer makes of the current picture."""
    if setup.described.failure is not None:
        st.info("The net does not work as it is set, so no picture can flow through it.")
        return
    known = nets.loaded(setup.net, setup.num_classes, setup.input_shape[0])
    steps = nets.preprocessing(known.weights, setup.input_shape)
    x_chw = workbench.prepared(steps)
    flow = _flow(known.model, known.identity, x_chw)
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
        _kernels(setup.described.facts[setup.layer], known)
        _whole_layer(setup.layer, flow, known, x_chw)


@st.cache_resource(show_spinner=False, scope="session", max_entries=2)
def _flow(_model: torch.nn.Module, identity: str, x_chw: NDArray[np.float32]) -> Flow:
    del identity  # tells one model from another in the cache
    return run_through(_model, torch.from_numpy(x_chw))


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


def _whole_layer(index: int, flow: Flow, known: Loaded, x_chw: NDArray[np.float32]) -> None:
    layer = next((layer for layer in flow.layers if layer.index == index), None)
    if layer is None or not layer.channels:
        return
    st.markdown(f"**All maps of {plain(layer.name)}**, {size(layer.shape)}")
    maps = maps_of(known.model, torch.from_numpy(x_chw), index)[:_MOST_MAPS]
    map_wall(
        whole_row(layer, maps),
        key="architecture.all",
        alt=f"All feature maps of {layer.name}",
        wrap=True,
        max_height=420,
    )
    if layer.num_channels > len(maps):
        st.caption(f"The first {len(maps)} of {layer.num_channels:,}.")


def _kernels(layer: LayerFacts, known: Loaded) -> None:
    """The weights of a convolution as pictures: in colour where its input has three channels, else slice by slice."""
    if layer.operation != "conv2d" or not layer.is_module:
        return
    weight = known.model.get_submodule(layer.path).weight
    assert isinstance(weight, torch.Tensor)
    weights_oihw = weight.detach().cpu().numpy()
    kernels, slices, height, width = weights_oihw.shape
    st.markdown(f"**Kernels of {plain(layer.name)}**, {kernels:,} of {slices:,} × {height} × {width}")
    if slices == 3:
        shown = to_picture(tiled(weights_oihw[:_MOST_KERNELS].transpose(0, 2, 3, 1)), "signed")
        picture(
            shown.pixels,
            key="architecture.kernels",
            alt=f"The kernels of {layer.name} in colour",
            legend=legend(shown, "the same for red, green, blue; grey is zero"),
            max_height=300,
        )
    else:
        map_wall(
            [_slice_row(number, weights_oihw[:_MOST_KERNELS, number]) for number in range(min(slices, _MOST_SLICES))],
            key="architecture.slices",
            alt=f"The kernels of {layer.name}, a row for each input channel",
            max_height=300,
        )
        if slices > _MOST_SLICES:
            st.caption(f"Each kernel has {slices:,} slices; the first {_MOST_SLICES} are shown, a row each.")
    if kernels > _MOST_KERNELS:
        st.caption(f"The first {_MOST_KERNELS} of {kernels:,} kernels.")


def _slice_row(number: int, maps_khw: NDArray[np.float32]) -> tuple[MapRow, NDArray[np.float32]]:
    flat = maps_khw.reshape(len(maps_khw), -1)
    row: MapRow = {
        "index": number,
        "name": f"for channel {number}",
        "kind": "Kernels",
        "shape": maps_khw.shape,
        "channels": range(len(maps_khw)),
        "num_channels": len(maps_khw),
        "num_dead": 0,
        "stats": np.column_stack([flat.min(1), flat.max(1), flat.mean(1), (flat == 0).mean(1)]),
    }
    return row, maps_khw
