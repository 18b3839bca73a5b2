"""The net's drawing, to choose layers on."""

import streamlit as st

from cnnlab.ui.components.net_diagram import net_diagram, picked_node
from cnnlab.ui.explaining.controls import LAYERS, Setup
from cnnlab.ui.explorer import controls as explorer
from cnnlab.ui.explorer.diagram import nodes

_KEY = "explain.diagram"
_ALONG = 5


def show(setup: Setup) -> None:
    """Draw the net; a click on a layer adds its map, another takes it away."""
    asked = setup.subject.asked
    facts = asked.described.facts
    named = {layer.index: layer.name for layer in facts}
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.button(
            "Five layers along the net",
            key="explain.along",
            on_click=_set,
            args=(_along(setup),),
            disabled=not setup.subject.layers,
        )
        st.button(
            "Automatic", key="explain.automatic", on_click=_set, args=((),), disabled=not st.session_state[LAYERS.key]
        )
        can = "Click a layer to add its map, and again to take it away."
        st.caption(can if setup.subject.layers else "No layer of this net makes maps.", width="stretch")
    marked = next((index for index, name in named.items() if name == setup.layer), None)
    net_diagram(
        nodes(
            explorer.Setup(
                net=asked.net,
                num_classes=len(setup.subject.classes),
                input_shape=(setup.subject.x.shape[1], *setup.subject.size),
                described=asked.described,
                layer=None,
            )
        ),
        key=_KEY,
        input_shape=(setup.subject.x.shape[1], *setup.subject.size),
        alt=f"{asked.net.label}, layer by layer from left to right",
        net_id=asked.net.key,
        selected=marked,
        thumbnail=setup.subject.picture(),
        on_pick=lambda: _toggle(setup, named),
    )


def _along(setup: Setup) -> tuple[str, ...]:
    """Layers at equal distances, the last one the automatic choice."""
    choice = setup.subject.choice
    names = [name for name, maps in setup.subject.layers.items() if maps.kind != "Identity"]
    if choice is None:
        return ()
    upto = names[: names.index(choice.layer) + 1] if choice.layer in names else names
    count = min(_ALONG, len(upto))
    return tuple(dict.fromkeys(upto[round((place + 1) * len(upto) / count) - 1] for place in range(count)))


def _toggle(setup: Setup, named: dict[int, str]) -> None:
    index = picked_node(_KEY)
    name = named.get(index) if index is not None else None
    if name not in setup.subject.layers:
        return
    now = st.session_state[LAYERS.key]
    _set(tuple(one for one in now if one != name) if name in now else (*now, name))


def _set(layers: tuple[str, ...]) -> None:
    st.session_state[LAYERS.key] = layers
