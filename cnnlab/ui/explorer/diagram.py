"""The net as a picture, and the numbers of the whole and of the layer one points to."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from torch import nn

from cnnlab.errors import InputRejected
from cnnlab.nets.memory import inference_memory, training_memory
from cnnlab.nets.summary import LayerFacts, Totals, totals
from cnnlab.ui import errors, nets, workbench
from cnnlab.ui.components.net_diagram import Node, family_of, net_diagram, picked_node
from cnnlab.ui.explorer import kernels
from cnnlab.ui.explorer.controls import MEASURE, MEASURES, Setup
from cnnlab.ui.text import plain
from cnnlab.ui.workbench import LAYER

_KEY = "architecture.diagram"
_BATCH = 32
_THUMBNAIL_PX = 96


def size(shape: Sequence[int]) -> str:
    """A shape as people write it: 6 × 30 × 30."""
    return " × ".join(f"{side:,}" for side in shape)


def compact(number: float, unit: str = "") -> str:
    """A large number with three digits and a prefix: 5.45 M."""
    for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g} {prefix}{unit}"
    return f"{number:.3g} {unit}".rstrip()


_UNITS = ((2**30, "GB"), (2**20, "MB"), (2**10, "kB"))


def megabytes(num_bytes: float) -> str:
    """Bytes with three digits, in kB, MB or GB of 2¹⁰, 2²⁰ and 2³⁰."""
    unit, name = next((each for each in _UNITS if num_bytes >= each[0]), _UNITS[-1])
    number = num_bytes / unit
    return f"{number:.{max(0, 3 - len(str(int(number))))}f} {name}"


def field(facts: LayerFacts) -> str:
    """The receptive field in words."""
    seen = facts.receptive_field
    if seen is None:
        return "not known"
    rows, cols = (f"{side:g}" for side in seen.size)
    words = f"{rows} × {cols} px"
    return f"whole picture ({words} by itself)" if seen.whole_image else words


def setting(value: object) -> str:
    """A hyperparameter as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " × ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def settings(facts: LayerFacts) -> str:
    """All hyperparameters of a layer in a line."""
    return ", ".join(f"{name.replace('_', ' ')} {setting(value)}" for name, value in facts.hyperparameters.items())


def label(facts: LayerFacts) -> str:
    """What stands under a block: the kind, with the window where it has one."""
    short = facts.kind.removesuffix("2d")
    window = facts.hyperparameters.get("kernel_size")
    if window is None:
        return short
    rows, cols = window if isinstance(window, tuple) else (window, window)
    return f"{short} {rows}×{cols}"


def lines(facts: LayerFacts) -> list[tuple[str, str]]:
    """What the panel of a layer tells: name of a number, the number."""
    told = [("layer", facts.name)]
    told += [(name.replace("_", " "), setting(value)) for name, value in facts.hyperparameters.items()]
    told += [("arrives", size(facts.input_shape)), ("leaves", size(facts.output_shape))]
    if facts.shape_formula:
        told.append(("size", facts.shape_formula))
    if facts.shares_with:
        told.append(("parameters", f"shared with {facts.shares_with}"))
    elif facts.num_params:
        told.append(("parameters", facts.params_formula or f"{facts.num_params:,}"))
    if facts.macs:
        told.append(("MACs", facts.macs_formula or f"{facts.macs:,}"))
    told.append(("memory", megabytes(facts.activation_bytes)))
    told.append(("receptive field", field(facts)))
    return told


def nodes(setup: Setup) -> list[Node]:
    """The layers as the drawing takes them, the failing one last."""
    facts = [layer for layer in setup.described.facts if layer.is_used]
    # A shortcut that changes nothing is a line, not a block.
    behind = {layer.index: layer.inputs for layer in facts if layer.operation == "identity"}
    whole = totals(setup.described.facts)
    drawn: list[Node] = [
        {
            "index": layer.index,
            "name": layer.name,
            "label": label(layer),
            "kind": layer.kind,
            "family": family_of(layer.kind),
            "shape": layer.output_shape,
            "inputs": [source for index in layer.inputs for source in behind.get(index, (index,))],
            "scope": layer.scope,
            "scope_kinds": layer.scope_kinds,
            "lines": lines(layer),
            "shares": {
                "parameters": layer.num_params / max(1, whole.num_params),
                "MACs": layer.macs / max(1, whole.macs),
                "activation memory": layer.activation_bytes / max(1, whole.activation_bytes),
            },
        }
        for layer in facts
        if layer.index not in behind
    ]
    if failed := setup.described.failure:
        drawn.append(
            {
                "index": len(facts),
                "name": failed.name,
                "label": failed.kind,
                "kind": failed.kind,
                "family": family_of(failed.kind),
                "shape": failed.arrives,
                "inputs": [len(facts) - 1],
                "scope": (),
                "scope_kinds": (),
                "lines": [("layer", failed.name), ("arrives", size(failed.arrives))],
                "shares": {},
                "error": failed.reason,
            }
        )
    return drawn


def show(setup: Setup) -> None:
    """Draw the net."""
    net_diagram(
        nodes(setup),
        key=_KEY,
        input_shape=setup.input_shape,
        alt=f"{setup.net.label}, layer by layer from left to right",
        measure=MEASURES[st.session_state[MEASURE.key]][1],
        net_id=f"{setup.net.key}",
        selected=setup.layer,
        thumbnail=_thumbnail(setup),
        on_pick=_picked,
    )


def _thumbnail(setup: Setup) -> NDArray[np.uint8] | None:
    channels, height, width = setup.input_shape
    if channels not in (1, 3):
        return None
    scale = max(1.0, max(height, width) / _THUMBNAIL_PX)
    steps = nets.preprocessing(None, (channels, max(1, round(height / scale)), max(1, round(width / scale))))
    with suppress(InputRejected):  # a picture that cannot be brought to this shape; the net is drawn without it
        return steps.picture(workbench.prepared(steps))
    return None


def _picked() -> None:
    st.session_state[LAYER.key] = picked_node(_KEY)


def numbers(setup: Setup) -> None:
    """Draw the totals in a row, and under it the numbers of the layer one points to."""
    facts = setup.described.facts
    # Of a net that fails on the way, what it has reached counts; the rest has no sizes.
    whole = totals([layer for layer in facts if layer.is_used] if setup.described.failure else facts)
    so_far = " so far" if setup.described.failure else ""
    with st.container(horizontal=True, gap="medium", key="architecture-totals"):
        st.metric(
            f"Parameters{so_far}",
            f"{whole.num_params:,}",
            help="Numbers the net learns. Those that two layers share are counted once.",
        )
        st.metric(
            f"Multiply-adds (MACs){so_far}",
            compact(whole.macs),
            help=f"For one picture: {whole.macs:,}. One MAC is one multiplication and one addition. Biases, "
            "activations and normalisation are not counted.",
        )
        st.metric(
            "Depth",
            f"{whole.depth} layer{'' if whole.depth == 1 else 's'}",
            help=f"Convolutions and linear layers on the longest way through; {whole.num_layers} layers ran in all.",
        )
        if setup.described.failure is None:
            with errors.shown():
                _memory(setup)
    # One place, whatever stands in it: what is below would else be made anew in the browser.
    with st.container(key="architecture-pointed"):
        if setup.layer is None:
            st.caption("Click a layer to see how its numbers come about; it stays marked in everything below.")
        else:
            _layer(facts[setup.layer], whole)
            if kernels.belong_to_the_drawing(setup):
                kernels.show(facts[setup.layer], nets.loaded(setup.net, setup.num_classes, setup.input_shape[0]))


@st.cache_data(show_spinner=False, max_entries=512)
def _memory_of(identity: str, _model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[int, int, int, str]:
    del identity  # tells one net from another in the cache
    inference = inference_memory(_model, input_shape, 1)
    training = training_memory(_model, input_shape, _BATCH, optimizer="adam")
    return inference.total, training.total, training.saved, inference.peak_at


def _memory(setup: Setup) -> None:
    model = nets.structure(setup.net, setup.num_classes, setup.input_shape[0])
    identity = f"{nets.identity(setup.net, setup.input_shape[0])}/{setup.num_classes}"
    inference, training, saved, peak_at = _memory_of(identity, model, setup.input_shape)
    st.metric(
        "Memory to predict",
        megabytes(inference),
        help=f"One picture, float32: parameters and the maps alive at one time, most of them at {plain(peak_at)}. "
        "Without the workspace of the libraries.",
    )
    st.metric(
        f"Memory to train, {_BATCH} pictures",
        megabytes(training),
        help=f"float32 with Adam: parameters, gradients, two moments, and {megabytes(saved)} of maps kept for the way "
        "back, measured on a run without numbers. Without the workspace of the libraries.",
    )


def _layer(layer: LayerFacts, whole: Totals) -> None:
    rows = [(name, value) for name, value in lines(layer) if name != "layer"]
    if layer.num_params:
        rows.append(("share of the parameters", f"{layer.num_params / max(1, whole.num_params):.1%}"))
    if layer.macs:
        rows.append(("share of the MACs", f"{layer.macs / max(1, whole.macs):.1%}"))
    with st.container(key="architecture-layer"):
        st.markdown(f"**{plain(layer.name)}** · {plain(layer.kind)}")
        half = (len(rows) + 1) // 2
        for column, part in zip(st.columns(2, gap="large"), (rows[:half], rows[half:]), strict=True):
            body = "\n".join(f"| {name} | {plain(value)} |" for name, value in part)
            column.markdown(f"| | |\n|:--|--:|\n{body}")
