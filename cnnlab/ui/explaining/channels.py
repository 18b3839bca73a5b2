"""The channels of the layer: their maps, what each weighs in the explanation, and what the net says without some."""

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from cnnlab.errors import InputRejected
from cnnlab.explain.channels import ChannelFacts, each_switched_off, facts_of, switched_off
from cnnlab.figures.prediction import percent
from cnnlab.ui import nets, state
from cnnlab.ui.components.map_wall import MapRow, map_wall, picked_map
from cnnlab.ui.explaining.controls import Setup
from cnnlab.ui.text import plain

_WALL = "explain.channels-wall"
_OFF_PICK = "explain.off-pick"
_MOST_MAPS = 256
_MOST_OFF = 64
_MOST_RUNS = 512  # channels that are switched off one by one
_SIDE = 56  # cells
_TOP = 6
_ORDERS = {"weight": "Weight for the class", "mean": "Mean", "number": "Number"}


def _off_of_link(text: str) -> tuple[int, ...]:
    one = state.integer("", "off", 0, 99_999, 0)
    parts = [part for part in text.split(",") if part]
    if len(parts) > _MOST_OFF:
        raise InputRejected(f"off names {len(parts)} channels; it takes up to {_MOST_OFF}")
    return tuple(dict.fromkeys(map(one.parse, parts)))


ORDER = state.choice("explain.order", "order", _ORDERS, "weight")
OFF = state.Setting(
    key="explain.off", param="off", default=(), parse=_off_of_link, format=lambda off: ",".join(map(str, off))
)
SETTINGS = (ORDER, OFF)


def show(setup: Setup) -> None:
    """Draw the maps of the layer, what is known of each, and the answer without those that are switched off."""
    layer = setup.layer
    if not layer:
        st.info("No layer of this net makes maps, so there are no channels to look at.")
        return
    facts = facts_of(setup.seen.passed, setup.target, layer)
    num_channels = len(facts.means)
    off = tuple(channel for channel in st.session_state[OFF.key] if channel < num_channels)
    left, right = st.columns([2.1, 1], gap="large")
    with left:
        _maps(setup, facts, layer)
    with right:
        _switches(setup, facts, layer, off)
    _table(setup, facts, layer)


def _maps(setup: Setup, facts: ChannelFacts, layer: str) -> None:
    st.segmented_control(
        "Order",
        list(_ORDERS),
        format_func=_ORDERS.__getitem__,
        key=ORDER.key,
        required=True,
        label_visibility="collapsed",
    )
    orders = {"weight": facts.by_weight(), "mean": facts.by_mean(), "number": list(range(len(facts.means)))}
    order = orders[st.session_state[ORDER.key]][:_MOST_MAPS]
    maps_khw = setup.seen.passed.maps(layer)[0]
    shown = _reduced(maps_khw)[order].numpy()
    maps = maps_khw.numpy()
    row: MapRow = {
        "index": 0,
        "name": layer,
        "kind": setup.subject.layers[layer].kind,
        "shape": maps.shape,
        "channels": order,
        "num_channels": len(maps),
        "num_dead": int(facts.is_dead.sum()),
        "stats": np.column_stack([maps.min((1, 2)), maps.max((1, 2)), maps.mean((1, 2)), (maps == 0).mean((1, 2))])[
            order
        ],
    }
    map_wall(
        [(row, shown)],
        key=_WALL,
        alt=f"Feature maps of {layer}",
        wrap=True,
        max_height=420,
        on_pick=_toggle,
    )
    dead = int(facts.is_dead.sum())
    told = f"{len(order):,} of {len(maps):,} maps. " if len(order) < len(maps) else f"{len(maps):,} maps. "
    st.caption(
        f"{told}{dead:,} are zero everywhere on this picture. Click one to switch it off, and again to switch it on."
    )


def _reduced(maps_khw: torch.Tensor) -> torch.Tensor:
    """At most `_SIDE` cells high and wide, each the mean of those it stands for."""
    factor = -(-max(maps_khw.shape[1:]) // _SIDE)
    return F.avg_pool2d(maps_khw[None], factor, ceil_mode=True, count_include_pad=False)[0]


def _toggle() -> None:
    if pick := picked_map(_WALL):
        off = st.session_state[OFF.key]
        channel = pick[1]
        st.session_state[OFF.key] = tuple(one for one in off if one != channel) if channel in off else (*off, channel)


def _switches(setup: Setup, facts: ChannelFacts, layer: str, off: tuple[int, ...]) -> None:
    st.session_state[_OFF_PICK] = list(off)
    order = facts.by_weight()
    st.multiselect(
        "Switched off",
        order,
        format_func=lambda channel: f"{channel} · weight {facts.weights[channel]:+.2g}".replace("-", "−"),
        key=_OFF_PICK,
        on_change=lambda: _set(tuple(st.session_state[_OFF_PICK])),
        max_selections=_MOST_OFF,
        placeholder="None",
        help="These channels make zeros everywhere; the layers behind work with what is left.",
    )
    with st.container(horizontal=True, gap="small"):
        for name, few in (("Most for it", order[:3]), ("Most against it", order[-3:])):
            st.button(
                name,
                key=f"explain.off.{name}",
                on_click=_set,
                args=(tuple(few),),
                help=f"Switch off the three whose weight speaks {name.lower()}.",
            )
        st.button("All on", key="explain.off.none", on_click=_set, args=((),), disabled=not off)
    with nets.run_of(setup.subject.asked.described):
        logits = switched_off(setup.seen.passed, layer, off)[0] if off else setup.seen.passed.logits.detach()[0]
    after = torch.softmax(logits.double(), dim=0).numpy()
    _answers(setup, after)


def _set(off: tuple[int, ...]) -> None:
    st.session_state[OFF.key] = off


def _answers(setup: Setup, after: NDArray[np.float64]) -> None:
    before = setup.seen.probs
    most = np.argsort(-np.maximum(before, after), kind="stable")[:_TOP]
    shown = dict.fromkeys([setup.class_index, *most.tolist()])
    st.dataframe(
        [
            {
                "class": setup.label(index),
                "all on": 100 * before[index],
                "now": 100 * after[index],
                "change": 100 * (after[index] - before[index]),
            }
            for index in shown
        ],
        hide_index=True,
        column_config={
            "all on": st.column_config.NumberColumn(format="%.1f %%"),
            "now": st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100),
            "change": st.column_config.NumberColumn(format="%+.1f", help="In percentage points."),
        },
    )
    said = int(np.argmax(after))
    if said != setup.seen.predicted:
        st.markdown(f"Without them the net says **{plain(setup.label(said))}**.")


def _table(setup: Setup, facts: ChannelFacts, layer: str) -> None:
    rows = [
        {
            "channel": channel,
            "weight": float(facts.weights[channel]),
            "mean": float(facts.means[channel]),
            "most": float(facts.maxima[channel]),
            "dead": bool(facts.is_dead[channel]),
        }
        for channel in facts.by_weight()
    ]
    if len(rows) <= _MOST_RUNS:
        without = _each_off(setup, layer, f"{setup.seen.key}|{layer}")[:, setup.class_index]
        for row in rows:
            row["without it"] = 100 * float(without[row["channel"]])
    label = plain(setup.label(setup.class_index))
    st.dataframe(
        rows,
        hide_index=True,
        height=240,
        column_config={
            "weight": st.column_config.NumberColumn(
                format="%.3g", help="α of Grad-CAM: by how much the score rises with the channel, a cell's mean."
            ),
            "mean": st.column_config.NumberColumn(format="%.3g"),
            "most": st.column_config.NumberColumn(format="%.3g"),
            "dead": st.column_config.CheckboxColumn(help="Zero everywhere on this picture."),
            "without it": st.column_config.NumberColumn(
                format="%.1f %%",
                help=f"Probability of {label} with this channel alone switched off; with all on it is "
                f"{percent(setup.seen.probs[setup.class_index])}.",
            ),
        },
    )
    st.caption(
        "A weight says how the score would change with a little more of the channel; switching it off says what the "
        "net does without it altogether. The two need not agree."
    )


@st.cache_resource(show_spinner="Switching the channels off, one by one", scope="session", max_entries=4)
def _each_off(_setup: Setup, layer: str, key: str) -> NDArray[np.float64]:
    del key
    with nets.run_of(_setup.subject.asked.described):
        logits = each_switched_off(_setup.seen.passed, layer)
    return torch.softmax(logits.double(), dim=1).numpy()
