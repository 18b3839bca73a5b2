"""Two nets side by side: what they share, what changed, and by how much the one is larger."""

import streamlit as st

from cnnlab.nets.comparison import Pair, compare
from cnnlab.nets.memory import inference_memory
from cnnlab.nets.summary import LayerFacts, totals
from cnnlab.ui import nets, state, workbench
from cnnlab.ui.explorer.controls import Setup
from cnnlab.ui.explorer.diagram import compact, field, megabytes, setting, settings, size
from cnnlab.ui.text import plain

OTHER = state.Setting(key="architecture.other", param="with", default="lenet5", parse=workbench.NET.parse)
_PICK = "architecture.other-pick"
SETTINGS = (OTHER,)
_CHANGED = {
    "hyperparameters": "settings",
    "output_shape": "output",
    "num_params": "parameters",
    "macs": "MACs",
    "receptive_field": "receptive field",
}


def show(setup: Setup) -> None:
    """Draw the totals as ratios and the layers aligned, with what differs in bold."""
    options = {key: label for key, label in nets.choices().items() if key != setup.net.key}
    wanted = st.session_state[OTHER.key]
    # A net is not compared with itself, and one that is gone not at all.
    st.session_state[_PICK] = wanted if wanted in options else next(iter(options))
    key = st.selectbox("Compare with", list(options), format_func=options.__getitem__, key=_PICK, on_change=_chosen)
    other = nets.of(key)
    theirs = nets.described(other, other.num_classes, other.input_shape)
    if setup.described.failure is not None:
        st.info("The current net does not take this input size; choose one that it takes, and compare then.")
        return
    if theirs.failure is not None:
        st.info("The other net has a fault; mend it first.")
        return
    ours = setup.described
    mine, yours = totals(ours.facts), totals(theirs.facts)
    left = nets.structure(setup.net, setup.num_classes, setup.input_shape[0])
    right = nets.structure(other, other.num_classes, other.input_shape[0])
    rows = {
        "input": (size(setup.input_shape), size(other.input_shape), None),
        "parameters": (f"{mine.num_params:,}", f"{yours.num_params:,}", (mine.num_params, yours.num_params)),
        "MACs for one picture": (compact(mine.macs), compact(yours.macs), (mine.macs, yours.macs)),
        "depth": (str(mine.depth), str(yours.depth), (mine.depth, yours.depth)),
        "calls": (str(len(ours.facts)), str(len(theirs.facts)), (len(ours.facts), len(theirs.facts))),
    }
    needed = [
        inference_memory(left, setup.input_shape, 1).total,
        inference_memory(right, other.input_shape, 1).total,
    ]
    rows["memory to predict"] = (megabytes(needed[0]), megabytes(needed[1]), (needed[0], needed[1]))
    body = "\n".join(
        f"| {name} | {one} | {two} | {'' if pair is None else _ratio(*pair)} |"
        for name, (one, two, pair) in rows.items()
    )
    st.markdown(f"| | {plain(setup.net.label)} | {plain(other.label)} | ratio |\n|:--|--:|--:|--:|\n{body}")
    pairs = compare(ours.facts, theirs.facts)
    same = sum(1 for pair in pairs if pair.left and pair.right and not pair.changed)
    st.caption(
        f"{same} of {len(pairs)} lines are the same. Lines with a dot differ in what the last column names; "
        "where one side is empty, only the other net has the layer."
    )
    st.dataframe(
        [_line(pair) for pair in pairs],
        hide_index=True,
        height=420,
        column_config={"": st.column_config.TextColumn(width=32)},
    )


def _chosen() -> None:
    st.session_state[OTHER.key] = st.session_state[_PICK]


def _ratio(one: float, two: float) -> str:
    if not one or not two:
        return ""
    ratio = one / two
    return f"{ratio:,.0f} ×" if ratio >= 100 else f"{ratio:.3g} ×"


def _cell(layer: LayerFacts | None) -> str:
    if layer is None:
        return ""
    told = settings(layer)
    return f"{layer.kind} → {size(layer.output_shape)}" + (f"  ({told})" if told else "")


def _line(pair: Pair) -> dict[str, str]:
    changed = []
    for name in pair.changed:
        if pair.left is None or pair.right is None or name not in _CHANGED:
            continue
        one, two = getattr(pair.left, name), getattr(pair.right, name)
        if name == "receptive_field":
            one, two = field(pair.left), field(pair.right)
        elif name == "output_shape":
            one, two = size(one), size(two)
        elif name == "hyperparameters":
            differing = sorted(key for key in {*one, *two} if one.get(key) != two.get(key))
            one, two = (", ".join(f"{key} {setting(side.get(key, '–'))}" for key in differing) for side in (one, two))
        else:
            one, two = f"{one:,}", f"{two:,}"
        changed.append(f"{_CHANGED[name]}: {one} → {two}")
    lone = pair.left is None or pair.right is None
    return {
        "": "+" if pair.left is None else "−" if pair.right is None else "•" if pair.changed else "",
        "this net": _cell(pair.left),
        "the other": _cell(pair.right),
        "differs in": "" if lone else "; ".join(changed),
    }
