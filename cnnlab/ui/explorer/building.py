"""Build your own net: start from any, change it layer by layer or as text, see at once what it costs, keep it."""

from dataclasses import replace
from typing import Any

import streamlit as st

from cnnlab.errors import InputRejected
from cnnlab.nets import ARCHITECTURES, store
from cnnlab.nets.spec import (
    LAYER_KINDS,
    LayerSpec,
    NetSpec,
    Param,
    Problem,
    check,
    from_json,
    from_module,
    from_pytorch,
    from_yaml,
    label,
    layer,
    layers_from_yaml,
    layers_to_yaml,
)
from cnnlab.nets.spec.checking import MAX_SIDE
from cnnlab.ui import errors, nets, visitors, workbench
from cnnlab.ui.explorer.controls import Setup
from cnnlab.ui.explorer.diagram import size
from cnnlab.ui.nets import Draft
from cnnlab.ui.text import paragraphs, plain
from cnnlab.ui.workbench import LAYER

_ROW = "architecture.row"
_KIND = "architecture.new"
_TEXT = "architecture.text"
_YAML = "architecture.yaml-text"
_REFUSED = "architecture.refused"
_NAME = "architecture.name"
_SIDES = {
    "Colour channels": "architecture.in.channels",
    "Height": "architecture.in.height",
    "Width": "architecture.in.width",
}
_NEW: dict[str, dict[str, Any]] = {
    "conv": {"out_channels": 16, "kernel_size": 3, "padding": 1},
    "linear": {"out_features": 10},
    "max_pool": {"kernel_size": 2},
    "avg_pool": {"kernel_size": 2},
    "group_norm": {"num_groups": 1},
    "local_response_norm": {"size": 5},
    "se": {"squeezed": 4},
}
"""Values of a layer that was just added, where its kind has none of its own."""


def show(setup: Setup) -> None:
    """Draw the way in, or the editor of the draft."""
    if setup.net.key != nets.DRAFT:
        _begin(setup)
        return
    draft = nets.draft()
    _name(draft)
    left, right = st.columns([1.2, 1], gap="large")
    with left:
        _list(draft)
    with right:
        _form(draft)
    with st.expander("As text", icon=":material/edit_note:"):
        _as_text(draft)


def _begin(setup: Setup) -> None:
    st.markdown("Start from the current net: its layers become a list that you can change, and the page follows.")
    with st.container(horizontal=True, gap="small"):
        if st.button(f"Change a copy of {setup.net.label}", type="primary", icon=":material/edit:"):
            _open(_copy(setup))
        if st.button("Start with a small net", icon=":material/add:"):
            layers = (layer("conv", out_channels=8, kernel_size=3, padding=1), layer("relu"))
            layers += (layer("max_pool", kernel_size=2), layer("flatten"), layer("linear", out_features=10))
            _open(Draft(name="My net", input_shape=(3, 32, 32), layers=layers))
    with st.expander("Paste code, or open a file", icon=":material/content_paste:"):
        pasted = st.text_area(
            "nn.Sequential(…), YAML or JSON",
            key=_TEXT,
            height=220,
            help="The code is read, not run: only the layers the lab knows are taken.",
        )
        channels, height, width = setup.input_shape
        with st.container(horizontal=True, gap="small"):
            shape = tuple(
                int(st.number_input(name, 1, MAX_SIDE, value, key=f"architecture.paste.{name}", width=110))
                for name, value in (
                    ("Channels", channels),
                    ("Height", height),
                    ("Width", width),
                )
            )
        uploaded = st.file_uploader(
            "A .py, .yaml or .json file", ["py", "yaml", "yml", "json"], key="architecture.file"
        )
        if st.button("Read it", disabled=not (pasted or uploaded)):
            with errors.shown():
                text = uploaded.getvalue().decode("utf-8", "replace") if uploaded else pasted
                spec = _read(text, (shape[0], shape[1], shape[2]))
                _open(Draft(name=spec.name or "Pasted net", input_shape=spec.input_shape, layers=spec.layers))
    _own(setup)


def _own(setup: Setup) -> None:
    saved = store.names(visitors.owner())
    if not saved:
        return
    st.markdown("**Your nets**")
    for number, one in enumerate(saved):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(plain(one.name) + (f"  \n:red[{plain(one.fault)}]" if one.fault else ""), width=300)
            if st.button("Open", key=f"architecture.open.{number}", disabled=bool(one.fault)):
                nets.choose(f"own:{one.name}")
                st.rerun()
            if st.button("Delete", key=f"architecture.delete.{number}", icon=":material/delete:"):
                store.delete(visitors.owner(), one.name)
                if setup.net.key == f"own:{one.name}":
                    nets.choose(workbench.NET.default)
                st.rerun()


def _open(draft: Draft) -> None:
    """Show a draft on the whole page."""
    nets.change_draft(draft)
    nets.choose(nets.DRAFT)
    st.session_state[_ROW] = 0
    st.rerun()


def _copy(setup: Setup) -> Draft:
    spec = setup.net.spec or from_module(
        nets.structure(setup.net, setup.num_classes, setup.input_shape[0]),
        (setup.input_shape[0], *setup.net.input_shape[1:]),
        name=setup.net.label,
    )
    return Draft(name=_own_name(spec.name), input_shape=spec.input_shape, layers=spec.layers)


def _own_name(name: str) -> str:
    published = any(name == entry.label for entry in ARCHITECTURES.values())
    return f"My {name}"[:60] if published else name


def _read(text: str, input_shape: tuple[int, int, int]) -> NetSpec:
    stripped = text.lstrip()
    if stripped.startswith("{"):
        return from_json(text)
    if "nn." in text or "Sequential" in text:
        return from_pytorch(text, input_shape)
    return from_yaml(text)


def _name(draft: Draft) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.session_state[_NAME] = draft.name
        st.text_input("Name", key=_NAME, max_chars=60, width=260, on_change=_renamed)
        for part, value in zip(_SIDES, draft.input_shape, strict=True):
            st.session_state[_SIDES[part]] = value
            st.number_input(part, 1, MAX_SIDE, key=_SIDES[part], width=130, on_change=_resized)
        if st.button("Save", type="primary", icon=":material/save:"):
            with errors.shown():
                name = store.save(visitors.owner(), NetSpec(draft.name, draft.input_shape, draft.layers))
                nets.choose(f"own:{name}")
                nets.drop_draft()
                st.rerun()
        if st.button("Leave", help="The draft stays among the nets until you close the page."):
            nets.choose(workbench.NET.default)
            st.rerun()
    if visitors.is_remembered():
        st.caption("Saved nets stay on this server for this browser; no other visitor sees them.")
    else:
        st.caption("Your browser keeps no cookies: what you save is found until you close the page. Download it.")


def _renamed() -> None:
    # One line without what nobody can see; a name that nothing is left of stays as it was.
    seen = "".join(letter if letter.isprintable() else " " for letter in st.session_state[_NAME])
    name = " ".join(seen.split())
    nets.change_draft(replace(nets.draft(), name=name or nets.draft().name))


def _resized() -> None:
    channels, height, width = (int(st.session_state[key]) for key in _SIDES.values())
    nets.change_draft(replace(nets.draft(), input_shape=(channels, height, width)))


def _list(draft: Draft) -> None:
    found = check(draft.layers, draft.input_shape)
    at_fault: dict[int, list[Problem]] = {}
    for problem in found.problems:
        if problem.position:
            at_fault.setdefault(int(problem.position[0]), []).append(problem)
    captions = []
    for number in range(1, len(draft.layers) + 1):
        if number in at_fault:
            captions.append(f":red[{plain(at_fault[number][0].message)}]")
        elif number <= len(found.steps):
            step = found.steps[number - 1]
            weights = f" · {step.num_params:,} parameters" if step.num_params else ""
            captions.append(f"{size(step.out_shape)}{weights}")
        else:
            captions.append("not reached")
    for problem in found.problems:
        if not problem.position:
            st.error(plain(problem.message), icon=":material/error:")
    row = min(st.session_state.get(_ROW) or 0, max(0, len(draft.layers) - 1))
    st.session_state[_ROW] = row if draft.layers else None
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.selectbox(
            "New layer",
            list(LAYER_KINDS),
            format_func=lambda kind: f"{LAYER_KINDS[kind].group}: {LAYER_KINDS[kind].label}",
            key=_KIND,
            width=240,
        )
        st.button("Add below", on_click=_insert, icon=":material/add:")
    with st.container(horizontal=True, gap="small"):
        st.button("Up", on_click=_move, args=(-1,), disabled=row == 0, icon=":material/arrow_upward:")
        st.button(
            "Down", on_click=_move, args=(1,), disabled=row + 1 >= len(draft.layers), icon=":material/arrow_downward:"
        )
        st.button("Copy", on_click=_insert, args=(True,), disabled=not draft.layers, icon=":material/content_copy:")
        st.button("Remove", on_click=_remove, disabled=not draft.layers, icon=":material/delete:")
    with st.container(height=460):
        st.radio(
            "Layers",
            range(len(draft.layers)),
            format_func=lambda index: f"{index + 1} · {_title(draft.layers[index])}",
            captions=captions,
            key=_ROW,
            label_visibility="collapsed",
        )


def _title(entry: LayerSpec) -> str:
    values = dict(entry.params)
    wide = values.get("out_channels", values.get("out_features"))
    called = f" “{entry.name}”" if entry.name else ""
    return plain(label(entry) + (f", {wide}" if wide is not None else "") + called)


def _change(layers: list[LayerSpec], row: int) -> None:
    nets.change_draft(replace(nets.draft(), layers=tuple(layers)))
    st.session_state[_ROW] = row
    st.session_state[LAYER.key] = None


def _insert(copy: bool = False) -> None:
    layers, row = list(nets.draft().layers), st.session_state[_ROW] or 0
    kind = st.session_state[_KIND]
    if copy:
        new = replace(layers[row], name="")
    elif kind == "reuse":
        named = [entry.name for entry in layers[: row + 1] if entry.name]
        new = layer("reuse", of=named[-1] if named else "")
    elif kind == "residual":
        steps = check(layers, nets.draft().input_shape).steps
        channels = steps[row].out_shape[0] if row < len(steps) else 16
        new = layer(
            "residual", body=(layer("conv", out_channels=channels, kernel_size=3, padding=1),), activation="relu"
        )
    else:
        new = layer(kind, **_NEW.get(kind, {}))
    layers.insert(row + 1, new)
    _change(layers, min(row + 1, len(layers) - 1))


def _move(by: int) -> None:
    layers, row = list(nets.draft().layers), st.session_state[_ROW]
    layers.insert(row + by, layers.pop(row))
    _change(layers, row + by)


def _remove() -> None:
    layers, row = list(nets.draft().layers), st.session_state[_ROW]
    del layers[row]
    _change(layers, max(0, row - 1))


def _form(draft: Draft) -> None:
    if not draft.layers:
        return
    row = st.session_state[_ROW]
    entry = draft.layers[row]
    kind = LAYER_KINDS.get(entry.kind)
    if kind is None:
        st.markdown(f"Layer {row + 1} is of a kind that the lab does not know. Remove it.")
        return
    st.markdown(f"**Layer {row + 1}: {plain(label(entry))}**")
    st.caption(kind.help)
    values = dict(entry.params)
    for param in kind.params:
        key = f"architecture.edit.{row}.{entry.kind}.{param.name}"
        _field(param, key, row, values.get(param.name))
    if not kind.params:
        st.caption("There is nothing to set.")


def _field(param: Param, key: str, row: int, value: Any) -> None:
    """A control for one parameter, showing its value; a change goes into the draft."""
    options: dict[str, Any] = {"key": key, "help": param.help, "on_change": _set, "args": (param, key, row)}
    if param.type == "layers":
        st.session_state[key] = layers_to_yaml(value if isinstance(value, tuple) else ())
        st.text_area(f"{param.label}, as YAML", height=220, **options)
    elif param.type == "bool":
        st.session_state[key] = bool(value)
        st.toggle(param.label, **options)
    elif param.choices:
        st.session_state[key] = value if value in param.choices else param.choices[0]
        st.selectbox(param.label, param.choices, **options)
    elif param.type == "float":
        st.session_state[key] = float(value) if isinstance(value, (int, float)) else float(param.minimum)
        st.number_input(param.label, float(param.minimum), float(param.maximum), format="%g", **options)
    elif param.type == "name" or isinstance(value, tuple | str):
        st.session_state[key] = " × ".join(map(str, value)) if isinstance(value, tuple) else str(value or "")
        st.text_input(param.label, **options)
    else:
        st.session_state[key] = value if isinstance(value, int) else int(param.minimum)
        st.number_input(param.label, int(param.minimum), int(param.maximum), step=1, **options)


def _set(param: Param, key: str, row: int) -> None:
    given = st.session_state[key]
    if param.type == "layers":
        given = _layers_of(given)
        if given is None:
            return
    elif param.type == "pair" and isinstance(given, str):
        parts = given.replace("×", " ").replace("x", " ").replace(",", " ").split()
        given = tuple(int(part) if part.isdecimal() and len(part) < 7 else part for part in parts)
        given = given[0] if len(given) == 1 else given
    layers = list(nets.draft().layers)
    values = dict(layers[row].params) | {param.name: param.canonical(given)}
    layers[row] = replace(layers[row], params=tuple(values.items()))
    _change(layers, st.session_state[_ROW])


def _as_text(draft: Draft) -> None:
    st.caption("All layers as YAML: quick to rearrange, and the way into blocks. Ctrl+Enter takes the change over.")
    written = layers_to_yaml(draft.layers)
    if st.session_state.get(f"{_YAML}.of") != written:
        st.session_state[_YAML] = st.session_state[f"{_YAML}.of"] = written
    st.text_area("Layers", key=_YAML, height=360, on_change=_text_changed, label_visibility="collapsed")
    if refused := st.session_state.get(_REFUSED):
        st.error(paragraphs(refused), icon=":material/error:")


def _text_changed() -> None:
    if (layers := _layers_of(st.session_state[_YAML])) is not None:
        _change(list(layers), 0)


def _layers_of(text: str) -> tuple[LayerSpec, ...] | None:
    """The layers of a text, or None where it holds none; why is kept for the page to show."""
    try:
        layers = layers_from_yaml(text)
    except InputRejected as error:
        st.session_state[_REFUSED] = str(error)
        return None
    st.session_state.pop(_REFUSED, None)
    return layers
