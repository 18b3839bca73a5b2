"""A pad on which a digit is drawn, with mouse, finger, pen or keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from cnnlab.ui.components import held, ignore, view

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 28
"""Pixels of the pad on a side, those of MNIST."""

_HEX = re.compile(rf"[0-9a-f]{{{2 * SIDE * SIDE}}}")
_mount = view(Path(__file__).parent, "cnnlab_draw_pad", '<div class="cl-root cl-pad" data-testid="draw-pad">\n</div>')


def draw_pad(
    *,
    key: str,
    label: str = "Drawing",
    hint: str = "Draw a digit with mouse, finger or pen.",
    pixels: NDArray[np.uint8] | None = None,
    live: bool = True,
    on_change: Callable[[], None] | None = None,
) -> NDArray[np.uint8] | None:
    """Show a pad of 28 × 28 pixels to draw on, white on black, with strokes as wide and soft as MNIST's.

    The browser owns the drawing. Python hears of it when a stroke ends and, while one is drawn, eight times a second
    at most, less often where pages take long.

    Args:
        key: Streamlit key; the drawing is kept under it as `{"drawing": {"pixels": hex, "version": n, "count": n}}`.
        label: Name of the pad, seen above it.
        hint: Seen on the empty pad.
        pixels: What the pad begins with, (28, 28): what is kept from an earlier visit. Other pixels than before
            replace what is drawn, unless they are what was drawn just now; so what is returned may be given back.
        live: Whether Python hears of a stroke while it grows.
        on_change: Called when something was drawn, before the page runs.

    Returns:
        What is drawn, (28, 28), or None where the pad is empty.
    """
    if pixels is not None and (pixels.dtype != np.uint8 or pixels.shape != (SIDE, SIDE)):
        raise TypeError(f"A drawing is uint8 ({SIDE}, {SIDE}), got {pixels.dtype} {pixels.shape}.")
    given = bytes(SIDE * SIDE) if pixels is None else pixels.tobytes()
    start = _start(key, given)
    state = _mount(
        key=key,
        data={
            # Of use to a view that is mounted anew; one that lives knows better, and leaves it.
            "pixels": (_drawn(st.session_state.get(key), start["version"]) or start["pixels"]).hex(),
            "version": start["version"],
            "heard": held(held(st.session_state.get(key), "drawing"), "count"),
            "label": label,
            "hint": hint,
            "live": live,
        },
        on_drawing_change=on_change or ignore,
    )
    drawn = _drawn(state, start["version"])
    shown = start["pixels"] if drawn is None else drawn
    st.session_state[_memory_key(key)] = {**start, "returned": shown}
    return np.frombuffer(shown, np.uint8).reshape(SIDE, SIDE) if any(shown) else None


def _memory_key(key: str) -> str:
    return f"{key}.given"


def _start(key: str, given: bytes) -> dict[str, Any]:
    """What the pad began with, and its version: another one where something is given that did not come from the pad."""
    memory = st.session_state.get(_memory_key(key))
    if memory:
        now = _drawn(st.session_state.get(key), memory["version"])
        # Nothing is held where nothing was drawn, and where the visitor left the page and came back.
        known = (memory["pixels"],) if now is None else (memory["given"], memory["returned"], now)
        if given in known:
            return {**memory, "given": given}
    version = memory["version"] + 1 if memory else 1
    return {"given": given, "pixels": given, "version": version, "returned": given}


def _drawn(state: Any, version: int) -> bytes | None:
    """The drawing a state holds, if it is one and was drawn on the pad of this version."""
    drawing = held(state, "drawing")
    text = held(drawing, "pixels")
    if not isinstance(text, str) or not _HEX.fullmatch(text) or held(drawing, "version") != version:
        return None
    return bytes.fromhex(text)
