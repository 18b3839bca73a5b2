"""How much of the current picture one number of a layer sees: in theory, and in effect."""

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from cnnlab.figures.pictures import to_picture
from cnnlab.nets.receptive_field import effective_field
from cnnlab.nets.summary import LayerFacts
from cnnlab.ui import nets, state, workbench
from cnnlab.ui.components.picture import legend_of, picked, picture
from cnnlab.ui.explorer.controls import Setup
from cnnlab.ui.explorer.diagram import field, size
from cnnlab.ui.explorer.flowing import all_maps
from cnnlab.ui.workbench import LAYER

_MAP = "architecture.field-map"
UNIT = state.Setting(
    key="architecture.unit",
    param="unit",
    default=None,
    parse=lambda text: _unit(text),
    format=lambda cell: f"{cell[0]},{cell[1]}",
)
SETTINGS = (UNIT,)


def _unit(text: str) -> tuple[int, int]:
    row = state.integer("", "unit", 0, 4096, 0)
    parts = text.split(",", 1)
    return row.parse(parts[0]), row.parse(parts[1] if len(parts) == 2 else "")


def show(setup: Setup) -> None:
    """Draw a layer's map beside the picture, with the window that the chosen unit sees."""
    if setup.described.failure is not None:
        st.info("The net does not work as it is set, so there is nothing to trace through it.")
        return
    layers = {layer.index: layer for layer in setup.described.facts if len(layer.output_shape) == 3}
    if not layers:
        st.info("No layer of this net keeps rows and columns: each of its numbers sees the whole picture.")
        return
    index = setup.layer if setup.layer in layers else _telling(list(layers.values()))
    st.session_state["architecture.field-layer"] = index
    st.selectbox(
        "Layer",
        list(layers),
        format_func=lambda key: f"{key} · {layers[key].name} · {layers[key].kind} · {size(layers[key].output_shape)}",
        key="architecture.field-layer",
        on_change=_layer_chosen,
        help="The deeper the layer, the more of the picture each of its numbers sees.",
    )
    layer = layers[index]
    seen = layer.receptive_field
    if seen is None:
        st.info(
            "What this layer sees is not known: an operation before it moves pixels in a way the lab cannot follow."
        )
        return
    known = nets.loaded(setup.net, setup.num_classes, setup.input_shape[0])
    steps = nets.preprocessing(known.weights, setup.input_shape)
    x_chw = workbench.prepared(steps)
    rows, cols = layer.output_shape[1:]
    chosen = st.session_state[UNIT.key] or (rows // 2, cols // 2)
    unit = min(chosen[0], rows - 1), min(chosen[1], cols - 1)
    top, left_edge, bottom, right_edge = seen.window(*unit)
    inside = _inside(top, bottom, setup.input_shape[1]), _inside(left_edge, right_edge, setup.input_shape[2])
    shown = steps.picture(x_chw)
    run = f"{known.identity}|{steps}|{workbench.digest()}"
    with nets.run_of(setup.described):
        effective = _effective(known.model, x_chw, run, index, unit)
        mean = np.abs(all_maps(known.model, x_chw, run, index, max(rows, cols))).mean(axis=0)
    maps, source, effect = st.columns(3, gap="medium")
    with source:
        picture(
            _framed(shown, inside),
            key="architecture.field-picture",
            alt="The current picture with the window that the chosen unit sees",
            title="What it can see",
            link="architecture.field",
            max_height=380,
        )
        st.caption(
            f"Rows {inside[0][0]}–{inside[0][1] - 1}, columns {inside[1][0]}–{inside[1][1] - 1} of "
            f"{size(setup.input_shape[1:])} px; in theory {field(layer)}, with a step of "
            f"{seen.jump[0]:g} × {seen.jump[1]:g} px from one unit to the next."
        )
    with maps:
        drawn = to_picture(mean.astype(np.float32), "absolute")
        picture(
            drawn.pixels,
            key=_MAP,
            alt=f"Mean magnitude over the channels of {layer.name}",
            title=f"{layer.name}: mean |x| over channels",
            lut=drawn.lut,
            legend=legend_of(drawn, "mean magnitude"),
            link="architecture.field",
            mapping={
                "scale_row": seen.jump[0],
                "scale_col": seen.jump[1],
                "offset_row": seen.start[0] - 0.5,
                "offset_col": seen.start[1] - 0.5,
                "window_rows": seen.size[0],
                "window_cols": seen.size[1],
            },
            max_height=380,
            on_pick=_unit_picked,
        )
        st.caption(
            f"Unit at row {unit[0]}, column {unit[1]}. Move over the map to see its windows; click to choose one."
        )
    with effect:
        drawn = to_picture(effective, "absolute", share=0.999)
        picture(
            drawn.pixels,
            key="architecture.field-effect",
            alt="How much each pixel changes the chosen unit",
            title="What it does see",
            lut=drawn.lut,
            legend=legend_of(drawn, "|gradient|, all channels"),
            link="architecture.field",
            max_height=380,
        )
        _concentration(effective, inside)
    if seen.whole_image:
        st.caption(
            "A gate or a global pooling before this layer lets every pixel have a say; the frame shows the window "
            "of the convolutions alone."
        )


def _telling(layers: list[LayerFacts]) -> int:
    """The layer in the middle: deep enough to see much, shallow enough to show that it is a window."""
    return layers[len(layers) // 2].index


def _inside(start: float, end: float, side: int) -> tuple[int, int]:
    low = int(min(max(np.floor(start), 0), side - 1))
    return low, int(max(min(np.ceil(end), side), low + 1))


def _framed(rgb: NDArray[np.uint8], inside: tuple[tuple[int, int], tuple[int, int]]) -> NDArray[np.uint8]:
    """The picture, washed out towards grey outside of the window."""
    pale = (rgb * 0.4 + 76).astype(np.uint8)
    (top, bottom), (left, right) = inside
    pale[top:bottom, left:right] = rgb[top:bottom, left:right]
    return pale


@st.cache_resource(show_spinner=False, scope="session", max_entries=4)
def _effective(
    _model: torch.nn.Module, _x_chw: NDArray[np.float32], run: str, index: int, unit: tuple[int, int]
) -> NDArray[np.float32]:
    del run  # tells one run from another in the cache
    return effective_field(_model, torch.from_numpy(_x_chw)[None], index, *unit)


def _concentration(effective: NDArray[np.float32], inside: tuple[tuple[int, int], tuple[int, int]]) -> None:
    total = float(effective.sum())
    if not total:
        st.caption("No pixel changes this unit: everything on the way to it is switched off for this picture.")
        return
    ordered = np.sort(effective.ravel())[::-1]
    enough = int(np.searchsorted(np.cumsum(ordered), 0.95 * total)) + 1
    (top, bottom), (left, right) = inside
    area = (bottom - top) * (right - left)
    within = float(effective[top:bottom, left:right].sum()) / total
    st.caption(
        f"95 % of the effect comes from {enough:,} px; the window has {area:,}. {within:.1%} of it lies inside. "
        "Effective receptive field after Luo et al. 2016: the gradient of the unit, summed over its channels."
    )


def _layer_chosen() -> None:
    st.session_state[LAYER.key] = st.session_state["architecture.field-layer"]


def _unit_picked() -> None:
    if cell := picked(_MAP):
        st.session_state[UNIT.key] = cell
