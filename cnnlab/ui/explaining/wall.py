"""The maps over their picture: methods × layers × classes."""

from collections.abc import Mapping

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from cnnlab.explain import METHODS
from cnnlab.explain.reading import read
from cnnlab.figures.heat import Look, Scale, own_scale, shared_scale
from cnnlab.figures.prediction import answer_bars
from cnnlab.inference import Ranked
from cnnlab.ui import state, workbench
from cnnlab.ui.components.heat_wall import Tile, changed_look, heat_wall, picked_tile
from cnnlab.ui.explaining import mapping
from cnnlab.ui.explaining.controls import CELLS, CHOSEN, COLOUR, OPACITY, OVER, SHARED, Asking, Setup
from cnnlab.ui.explaining.mapping import Made
from cnnlab.ui.explaining.subject import original

KEY = "explain.wall"
_LOOKS_S = 0.4
_COARSE = 7  # cells; below, a map names a region rather than a place
_FEW, _MANY = 3, 8
_MOST_COLUMNS = 4
_TOP = 5
_NOTHING = Scale(minimum=0.0, maximum=0.0, is_signed=False)


def show(setup: Setup) -> dict[str, Made]:
    """Draw the maps; what there is of each when the page is drawn."""
    made = mapping.maps(setup)
    if mapping.are_over(made.values()):
        _draw(setup, made)
        _stopped(made)
    else:
        _follow(setup)
    _answer(setup)
    return made


def _answer(setup: Setup) -> None:
    """What the net says, most likely classes first."""
    seen = setup.seen
    order = np.argsort(-seen.logits, kind="stable")[:_TOP].tolist()
    rows = [
        Ranked(
            class_index=index,
            label=setup.label(index),
            logit=float(seen.logits[index]),
            probability=float(seen.probs[index]),
        )
        for index in order
    ]
    rest = max(0.0, 1 - sum(row.probability for row in rows))
    with st.container(key="explain-answer"):
        st.html(answer_bars(rows, "what the net says", others=(len(seen.probs) - len(rows), rest)))


def _follow(setup: Setup) -> None:
    """Draw again and again until the slow maps are done."""

    @st.fragment(run_every=_LOOKS_S)
    def look() -> None:
        made = mapping.maps(setup)
        if mapping.are_over(made.values()) or st.session_state[CHOSEN.key] != chosen_before:
            st.rerun()
        _draw(setup, made)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            going = [one for one in made.values() if not one.is_over]
            st.caption(
                f"{len(going)} slow map{'s' if len(going) > 1 else ''} in the making: what is there is approximate.",
                width="content",
            )
            st.button("Stop", key="explain.stop", icon=":material/stop:", on_click=mapping.stop)
        state.publish()

    chosen_before = st.session_state[CHOSEN.key]
    look()


def _stopped(made: Mapping[str, Made]) -> None:
    if any(one.done < 1 for one in made.values()):
        st.button("Finish the stopped maps", key="explain.go-on", icon=":material/play_arrow:", on_click=mapping.go_on)


def _draw(setup: Setup, made: Mapping[str, Made]) -> None:
    over_original = st.session_state[OVER.key] == "original"
    shown = tiles(setup, made)
    varied = [len(each) for each in (setup.methods, setup.layers, setup.classes) if len(each) > 1]
    group = varied[-1] if len(varied) > 1 else 0
    height, width = setup.subject.size
    heat_wall(
        below(setup),
        shown,
        key=KEY,
        alt="Heat maps over the picture",
        look=setup.look,
        columns=_columns(len(shown), group),
        picture_title="The part of the original" if over_original else "What the net gets",
        picture_note=f"the net gets {height} × {width} px" if over_original else f"{height} × {width} px",
        chosen=setup.chosen.id,
        group=group,
        on_look=_look_changed,
        on_pick=_picked,
    )


def below(setup: Setup) -> NDArray[np.uint8]:
    """What the maps are laid over, (H, W, 3)."""
    if st.session_state[OVER.key] == "original":
        return original(workbench.image(), setup.subject)
    return setup.subject.picture()


def _columns(num_tiles: int, group: int) -> int:
    if group:
        return group * max(1, _MOST_COLUMNS // group)
    return 2 if num_tiles == 1 else _FEW if num_tiles < _MANY else _MOST_COLUMNS


def tiles(setup: Setup, made: Mapping[str, Made]) -> list[Tile]:
    """The maps as the wall takes them."""
    scales = _shared(setup, made)
    return [_tile(setup, asking, made[asking.id], scales.get(asking.method, _NOTHING)) for asking in setup.askings]


def _shared(setup: Setup, made: Mapping[str, Made]) -> dict[str, Scale]:
    """One scale for each method: maps of different methods count in different units."""
    found: dict[str, list[NDArray[np.float32]]] = {}
    for asking in setup.askings:
        map_hw = made[asking.id].map_hw
        if map_hw is not None:
            found.setdefault(asking.method, []).append(map_hw)
    return {method: shared_scale(maps, is_signed=METHODS[method].is_signed) for method, maps in found.items()}


def _tile(setup: Setup, asking: Asking, made: Made, shared: Scale) -> Tile:
    map_hw = made.map_hw
    method = METHODS[asking.method]
    return Tile(
        id=asking.id,
        title=setup.name(asking),
        map_hw=map_hw,
        own=_NOTHING if map_hw is None else own_scale(map_hw, is_signed=method.is_signed),
        shared=shared,
        note=_note(asking, made),
        warning=_warning(setup, asking, made),
        done=made.done,
    )


def _note(asking: Asking, made: Made) -> str:
    if made.map_hw is None:
        return "waiting for its turn" if not made.is_over else "no map"
    height, width = made.map_hw.shape
    unit = "cells" if METHODS[asking.method].grid == "layer" else "px"
    so_far = f" · {100 * made.done:.0f} % done" if made.done < 1 else ""
    return f"{height} × {width} {unit}{so_far}"


def _warning(setup: Setup, asking: Asking, made: Made) -> str:
    if made.map_hw is None:
        return made.fault
    told = []
    if made.done == 1 and not METHODS[asking.method].is_signed:
        told.append(read(torch.from_numpy(made.map_hw)).said)
    height, width = made.map_hw.shape
    if METHODS[asking.method].grid == "layer" and min(height, width) < _COARSE:
        rows, columns = (round(side / cells) for side, cells in zip(setup.subject.size, (height, width), strict=True))
        told.append(f"Below {_COARSE} × {_COARSE} cells: one cell stands for {rows} × {columns} px. It names a region.")
    return " ".join(filter(None, told))


def _look_changed() -> None:
    if look := changed_look(KEY):
        keep(look)


def keep(look: Look) -> None:
    """Remember how maps are laid over their picture."""
    st.session_state[OPACITY.key] = round(100 * look.opacity)
    st.session_state[COLOUR.key] = look.colours
    st.session_state[SHARED.key] = look.shared
    st.session_state[CELLS.key] = not look.smooth


def _picked() -> None:
    if tile := picked_tile(KEY):
        st.session_state[CHOSEN.key] = tile
