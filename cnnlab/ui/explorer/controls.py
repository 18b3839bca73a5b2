"""What can be set on the architecture explorer, and the controls that set it."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from cnnlab.nets import ARCHITECTURES
from cnnlab.ui import nets, state
from cnnlab.ui.nets import CurrentNet, Described
from cnnlab.ui.text import paragraphs, plain
from cnnlab.ui.workbench import CHANNELS, CLASSES, LAYER, SIZE, VIEW_SETTINGS

_MOST_CLASSES = 1000
_PICK = "architecture.pick"
_SLIDER = "architecture.slider"
_COLOURS = "architecture.colours"
_OUTPUTS = "architecture.outputs"
MEASURES = {
    "params": ("Parameters", "parameters"),
    "macs": ("MACs", "MACs"),
    "memory": ("Memory", "activation memory"),
    "none": ("None", None),
}
"""Key → its name as a choice, and as a share of the whole net."""
_CHANNEL_NAMES = {1: "1, grey", 3: "3, colour"}


MEASURE = state.choice("architecture.measure", "share", MEASURES, "params")
SETTINGS = (*VIEW_SETTINGS, MEASURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the page is set to.

    Args:
        net: The current net.
        num_classes: Length of its output.
        input_shape: (C, H, W) at which it is looked at.
        described: Its layers at that size.
        layer: Index of the layer the user points to, or None.
    """

    net: CurrentNet
    num_classes: int
    input_shape: tuple[int, int, int]
    described: Described
    layer: int | None


def read() -> Setup:
    """What is set, with the layers it makes."""
    net = nets.current()
    channels, height, width = net.input_shape
    if st.session_state[SIZE.key]:
        height = width = st.session_state[SIZE.key]
    input_shape = (st.session_state[CHANNELS.key] or channels, height, width)
    num_classes = net.num_classes if net.spec else st.session_state[CLASSES.key] or net.num_classes
    described = nets.described(net, num_classes, input_shape)
    layer = st.session_state[LAYER.key]
    return Setup(
        net=net,
        num_classes=num_classes,
        input_shape=input_shape,
        described=described,
        layer=layer if layer is not None and layer < len(described.facts) else None,
    )


def show(setup: Setup) -> None:
    """Draw the controls in a row above the picture."""
    with st.container(horizontal=True, gap="medium", key="architecture-controls"):
        _net(setup)
        _size(setup)
        _channels(setup)
        _classes(setup)
        st.segmented_control(
            "Bars under the layers",
            list(MEASURES),
            format_func=lambda key: MEASURES[key][0],
            key=MEASURE.key,
            required=True,
            help="What share of the whole net's parameters, work or memory each layer has.",
        )
    if entry := ARCHITECTURES.get(setup.net.key):
        paper = f"[{plain(entry.paper)}]({entry.url})" if entry.url else plain(entry.paper)
        st.caption(f"**{entry.year}.** {plain(entry.lesson)} {paper}.")


def _net(setup: Setup) -> None:
    options = nets.choices()
    st.session_state[_PICK] = setup.net.key
    st.selectbox(
        "Net",
        list(options),
        format_func=options.__getitem__,
        key=_PICK,
        on_change=lambda: nets.choose(st.session_state[_PICK]),
        help="It stays with you on every page. Type to search.",
        width=220,
    )


def _size(setup: Setup) -> None:
    side, made_for = setup.input_shape[1], setup.net.input_shape[1]
    st.session_state[_SLIDER] = side
    st.slider(
        "Input size, px",
        min(8, side),
        max(2 * made_for, side),
        key=_SLIDER,
        on_change=_take,
        args=(SIZE, _SLIDER, made_for),
        help=f"Height and width of the picture. The net was made for {made_for} px; see what changes, and what breaks.",
        width=240,
    )


def _channels(setup: Setup) -> None:
    made_for = setup.net.input_shape[0]
    if made_for not in _CHANNEL_NAMES:
        return
    st.session_state[_COLOURS] = setup.input_shape[0]
    st.segmented_control(
        "Input channels",
        list(_CHANNEL_NAMES),
        format_func=_CHANNEL_NAMES.__getitem__,
        key=_COLOURS,
        required=True,
        on_change=_take,
        args=(CHANNELS, _COLOURS, made_for),
        help="Only the first layer changes: each of its kernels has a slice for every channel.",
    )


def _classes(setup: Setup) -> None:
    if setup.net.spec is not None:
        return
    st.session_state[_OUTPUTS] = setup.num_classes
    st.number_input(
        "Classes",
        2,
        _MOST_CLASSES,
        key=_OUTPUTS,
        on_change=_take,
        args=(CLASSES, _OUTPUTS, setup.net.num_classes),
        help="One logit for each. Only the last layer changes.",
        width=110,
    )


def _take(setting: state.Setting, widget: str, made_for: int) -> None:
    """Keep what a widget was set to; None stands for what the net was made for."""
    value: Any = st.session_state[widget]
    st.session_state[setting.key] = None if value == made_for else value


def failure(setup: Setup) -> None:
    """Say which layer cannot work, why, and what to do."""
    if failed := setup.described.failure:
        st.error(paragraphs(failed.message), icon=":material/error:")
        _way_out(setup)


def _way_out(setup: Setup) -> None:
    """Say which sizes the net takes, and offer the nearest."""
    side = setup.input_shape[1]
    if setup.net.problems:
        return
    taken = nets.sizes(setup.net, setup.num_classes, setup.input_shape[0])
    if taken is None:
        return
    smallest, largest = taken
    if largest is None:
        told = f"It takes {smallest} px and more."
    else:
        told = (
            f"It takes {smallest} to {largest} px." if smallest < largest else f"It takes {smallest} px and no other."
        )
    nearest = max(smallest, side if largest is None else min(side, largest))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(told, width="content")
        if nearest != side:
            st.button(f"Set {nearest} px", on_click=_set_side, args=(nearest, setup.net.input_shape[1]))


def _set_side(side: int, made_for: int) -> None:
    st.session_state[SIZE.key] = None if side == made_for else side
