"""Every layer as bars, as a table that can be sorted, and as files to take away."""

from typing import Any

import streamlit as st

from cnnlab.figures import charts
from cnnlab.nets.listing import to_csv, to_json, torchsummary_text
from cnnlab.nets.spec import from_module, to_pytorch, to_yaml
from cnnlab.nets.spec import to_json as spec_json
from cnnlab.ui import errors, nets, state
from cnnlab.ui.explorer.controls import Setup
from cnnlab.ui.explorer.diagram import settings, size
from cnnlab.ui.workbench import LAYER

CUMULATIVE = state.flag("architecture.cumulative", "sum")
SETTINGS = (CUMULATIVE,)
_BARS, _TABLE = "architecture.bars", "architecture.table"


def show(setup: Setup) -> None:
    """Draw bars and table; a click in either points to the layer."""
    facts = setup.described.facts
    if not facts:
        st.info("No layer of this net takes the picture, so there is nothing to list.")
        return
    st.toggle(
        "Running sums",
        key=CUMULATIVE.key,
        help="Each bar then holds all layers up to it: steep where the parameters or the work sit.",
    )
    measures = {
        "parameters, thousands": [layer.num_params / 1e3 for layer in facts],
        "MACs, millions": [layer.macs / 1e6 for layer in facts],
        "activation memory, kB": [layer.activation_bytes / 2**10 for layer in facts],
        "receptive field, px": [
            max(layer.receptive_field.size) if layer.receptive_field else float("nan") for layer in facts
        ],
    }
    figure = charts.layer_costs(
        [f"{layer.name} · {layer.kind}" for layer in facts],
        measures,
        cumulative=st.session_state[CUMULATIVE.key],
        at=setup.layer,
    )
    st.plotly_chart(figure, key=_BARS, on_select=_bar_picked, selection_mode="points", config={"displaylogo": False})
    rows = [
        {
            "#": layer.index,
            "layer": layer.name,
            "kind": layer.kind,
            "settings": settings(layer),
            "output": size(layer.output_shape),
            "parameters": layer.num_params,
            "MACs": layer.macs,
            "memory, kB": round(layer.activation_bytes / 2**10, 1),
            "receptive field, px": max(layer.receptive_field.size) if layer.receptive_field else None,
            "step, px": max(layer.receptive_field.jump) if layer.receptive_field else None,
            "how": layer.params_formula or layer.shape_formula,
        }
        for layer in facts
    ]
    st.dataframe(
        rows,
        key=_TABLE,
        hide_index=True,
        on_select=_row_picked,
        selection_mode="single-row",
        column_config={
            "parameters": st.column_config.NumberColumn(format="localized"),
            "MACs": st.column_config.NumberColumn(format="localized"),
            "memory, kB": st.column_config.NumberColumn(format="localized"),
            "receptive field, px": st.column_config.NumberColumn(
                format="%.4g", help="Side of the square of the picture that one number of this layer depends on."
            ),
            "step, px": st.column_config.NumberColumn(
                format="%.4g", help="How far apart the fields of two neighbouring numbers are."
            ),
        },
    )
    st.caption("Click a column's name to sort by it, a row to point to the layer.")


def _selected(key: str, part: str) -> Any:
    chosen = st.session_state.get(key)
    return chosen["selection"][part] if chosen else []


def _bar_picked() -> None:
    if points := _selected(_BARS, "points"):
        st.session_state[LAYER.key] = int(points[0]["x"])


def _row_picked() -> None:
    if rows := _selected(_TABLE, "rows"):
        st.session_state[LAYER.key] = int(rows[0])


def files(setup: Setup) -> None:
    """Offer the net as text, table and code."""
    facts = setup.described.facts
    if setup.net.problems or not facts:
        st.info("The net has a fault. Its layers as YAML stand under Build your own; all else once it works.")
        return
    name = setup.net.key.replace(":", "-")
    text = torchsummary_text(facts, setup.input_shape)
    with st.container(horizontal=True, gap="small"):
        st.download_button("Table, CSV", to_csv(facts), f"{name}.csv", "text/csv", on_click="ignore")
        st.download_button("All facts, JSON", to_json(facts), f"{name}-facts.json", on_click="ignore")
    summary, source, yaml, json = st.tabs(["As torchsummary prints it", "PyTorch", "YAML", "JSON"])
    summary.code(text, language=None)
    with errors.shown():
        spec = setup.net.spec or from_module(
            nets.structure(setup.net, setup.num_classes, setup.input_shape[0]),
            (setup.input_shape[0], *setup.net.input_shape[1:]),
            name=setup.net.label,
        )
        code = to_pytorch(spec)
        source.code(code, language="python")
        yaml.code(to_yaml(spec), language="yaml")
        json.code(spec_json(spec), language="json")
        source.download_button(
            "Download", code, f"{name}.py", "text/x-python", key="architecture.py", on_click="ignore"
        )
        yaml.download_button("Download", to_yaml(spec), f"{name}.yaml", key="architecture.yaml", on_click="ignore")
        json.download_button("Download", spec_json(spec), f"{name}.json", key="architecture.json", on_click="ignore")
