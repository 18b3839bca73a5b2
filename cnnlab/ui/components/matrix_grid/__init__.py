"""An editable grid of numbers: a kernel under one's hands."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import streamlit as st

from cnnlab.ui.components import held, ignore, lut_hex, view

if TYPE_CHECKING:
    from numpy.typing import NDArray

Matrix: TypeAlias = list[list[float]]

_mount = view(
    Path(__file__).parent, "cnnlab_matrix_grid", '<div class="cl-root cl-matrix" data-testid="matrix-grid">\n</div>'
)


def matrix_grid(
    matrix: Sequence[Sequence[float]] | NDArray[np.floating],
    *,
    key: str,
    label: str,
    tint: NDArray[np.uint8],
    max_size: int = 11,
    min_size: int = 1,
    size_step: int = 1,
    tools: bool = True,
    step: float = 1.0,
    version: int | str = "",
    on_change: Callable[[], None] | None = None,
) -> Matrix | None:
    """Show a matrix whose numbers can be typed, pasted, stepped, turned and resized.

    The browser owns the grid while it is edited. A `matrix` that differs from the one given before, and is not
    what was just edited, is a new one (a preset was chosen): the grid shows it and older edits are forgotten. So
    a page may pass its preset each time and use the return value, or pass back what was returned; both work.

    Args:
        matrix: What to show, finite numbers, rectangular.
        key: Streamlit key. The last edit is kept under it as `{"edit": {"matrix": …, "base": …}}`.
        label: Name of the grid, seen above it.
        tint: Diverging colours, shape (256, 3); zero is in the middle.
        max_size: Most rows, and most columns.
        min_size: Fewest.
        size_step: Rows and columns grow and shrink by so many; 2 keeps odd sizes odd.
        tools: Whether to offer size, transpose, turn, flip, normalise, zero and undo.
        step: What Alt+Up adds to a number.
        version: Change it to show `matrix` again although it is the same as before ("back to the preset").
        on_change: Called when an edit is committed, before the page runs.

    Returns:
        The matrix as last edited, exactly as typed, or None if `matrix` was not edited since it was given.
    """
    given = _rectangle(matrix, 1, 1_000_000)
    if given is None:
        raise TypeError("A matrix has rows of equal length and finite numbers.")

    edit = _edit(st.session_state.get(key), min_size, max_size)
    base = _base(key, given, version, edit)
    current = edit["matrix"] if edit and edit["base"] in (None, base) else None
    state = _mount(
        key=key,
        data={
            "matrix": current or given,
            "version": base,
            "label": label,
            "maxSize": max_size,
            "minSize": min_size,
            "sizeStep": size_step,
            "tools": tools,
            "step": step,
            "tint": lut_hex(tint),
        },
        on_edit_change=on_change or ignore,
    )
    edit = _edit(state, min_size, max_size)
    edited = edit["matrix"] if edit and edit["base"] in (None, base) else None
    st.session_state[_memory_key(key)]["returned"] = edited
    return edited


def _memory_key(key: str) -> str:
    return f"{key}.given"


def edited(key: str, max_size: int = 11) -> Matrix | None:
    """The matrix as last edited, for a callback; None if the browser sent something that is none."""
    edit = _edit(st.session_state.get(key), 1, max_size)
    return edit["matrix"] if edit else None


def _base(key: str, given: Matrix, version: int | str, edit: dict[str, Any] | None) -> int:
    """Number of the matrix that edits are counted from; it rises whenever a new one is given.

    What a page gives back is no new one, be it the edit of this run or, where the next edit has overtaken the
    page, what was returned in the run before.
    """
    memory = st.session_state.get(_memory_key(key))
    if memory is None:
        base = 1
    elif memory["version"] != version:
        base = memory["base"] + 1
    elif given in (memory["matrix"], memory["returned"]) or (edit and edit["matrix"] == given):
        base = memory["base"]
    else:
        base = memory["base"] + 1
    returned = None if memory is None or memory["base"] != base else memory["returned"]
    memory = {"matrix": given, "version": version, "base": base, "returned": returned}
    st.session_state[_memory_key(key)] = memory
    return base


def _edit(state: Any, min_size: int, max_size: int) -> dict[str, Any] | None:
    """The edit a state holds, if it is a matrix of an allowed size."""
    edit = held(state, "edit")
    matrix = _rectangle(held(edit, "matrix"), min_size, max_size)
    return None if matrix is None else {"matrix": matrix, "base": held(edit, "base")}


def _rectangle(rows: Any, min_size: int, max_size: int) -> Matrix | None:
    """Rows as lists of floats, or None if they are no matrix of finite numbers of an allowed size."""
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()
    if not isinstance(rows, list | tuple) or not min_size <= len(rows) <= max_size:
        return None
    matrix: Matrix = []
    for row in rows:
        if not isinstance(row, list | tuple | np.ndarray) or not min_size <= len(row) <= max_size:
            return None
        if not all(isinstance(cell, int | float | np.number) and math.isfinite(cell) for cell in row):
            return None
        matrix.append([float(cell) for cell in row])
    return matrix if len({len(row) for row in matrix}) == 1 else None
