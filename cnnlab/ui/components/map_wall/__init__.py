"""The feature maps of every layer as thumbnails, one row a layer; or all maps of one layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

import numpy as np
import streamlit as st

from cnnlab.figures import palette
from cnnlab.ui.components import held, ignore, lut_hex, pack, view

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from cnnlab.nets.flow import Flow, Layer


class MapRow(TypedDict):
    """What stands beside the maps of a layer.

    `shape` is that of the whole output without the batch. `channels` says which channels the maps are, `stats` gives
    each one's minimum, maximum, mean and share of zeros before it was reduced; both are empty for a vector.
    `num_not_finite` is how many channels hold NaN or ∞.
    """

    index: int
    name: str
    kind: str
    shape: Sequence[int]
    channels: Sequence[int]
    num_channels: int
    num_dead: int
    num_not_finite: NotRequired[int]
    stats: ArrayLike


def map_rows(flow: Flow) -> list[tuple[MapRow, NDArray[np.float32]]]:
    """The layers of a flow as rows of a wall."""
    return [(_row(layer, layer.channels), layer.maps) for layer in flow.layers]


def whole_row(layer: Layer, maps: NDArray[np.float32]) -> list[tuple[MapRow, NDArray[np.float32]]]:
    """A layer with all its maps, as `maps_of` gives them, as the single row of a wall."""
    return [(_row(layer, range(len(maps) if maps.ndim == 3 else 0)), maps)]


def _row(layer: Layer, channels: Sequence[int]) -> MapRow:
    stats = np.column_stack([layer.minimum, layer.maximum, layer.mean, layer.zeros])
    return {
        "index": layer.index,
        "name": layer.name,
        "kind": layer.kind,
        "shape": layer.shape,
        "channels": channels,
        "num_channels": layer.num_channels,
        "num_dead": layer.num_dead,
        "num_not_finite": layer.num_not_finite,
        "stats": stats[list(channels)],
    }


Scale = Literal["map", "layer", "net"]

_TOP = 127
_NOT_FINITE = -128
_mount = view(Path(__file__).parent, "cnnlab_map_wall", '<div class="cl-root cl-wall" data-testid="map-wall">\n</div>')


def map_wall(
    rows: Sequence[tuple[MapRow, NDArray[np.float32]]],
    *,
    key: str,
    alt: str,
    selected: tuple[int, int] | None = None,
    scale: Scale = "layer",
    wrap: bool = False,
    max_height: int = 560,
    on_pick: Callable[[], None] | None = None,
) -> tuple[int, int] | None:
    """Show feature maps in signed colours, on a scale that is changed in the browser.

    A map travels as 8-bit codes, evenly spaced between minus and plus its largest magnitude: a number read off it is
    within 1/254 of that magnitude. Vectors travel as they are. 100 rows of 16 maps of 28 × 28 px take 1.3 MB.

    Args:
        rows: A layer each, in order, with its maps (k, h, w) or its numbers (n,).
        key: Streamlit key; the pick is kept under it as `{"pick": {"layer": index, "channel": c}}`.
        alt: What is shown, for those who cannot see it.
        selected: Index of a layer and a channel to mark; None leaves the mark where the visitor put it.
        scale: What shares a scale at first: the pixels of a "map", the maps of a "layer", or all of the "net".
        wrap: As many maps beside each other as fit, names above: for a single row with all its maps.
        max_height: In CSS pixels; what is higher scrolls.
        on_pick: Called when a map is picked, before the page runs.

    Returns:
        Index of the layer and channel of the pick, or None if there is none or it is not shown here.
    """
    if not rows:
        raise TypeError("A wall has at least one row.")
    coded = [_coded(row, values) for row, values in rows]
    own = _picked(st.session_state.get(key))
    header = {
        "rows": [entry for entry, _, _ in coded],
        "lut": lut_hex(palette.diverging()),
        "alien": list(bytes.fromhex(palette.OKABE_ITO[3][1:])),
        "alt": alt,
        # What the browser knows already is left out: the message stays the same after a pick, and is not sent again.
        "selected": None if selected is None or selected == own else [int(number) for number in selected],
        "scale": scale,
        "wrap": wrap,
        "maxHeight": max_height,
    }
    body = b"".join(numbers for _, numbers, _ in coded) + b"".join(codes for _, _, codes in coded)
    state = _mount(key=key, data=pack(header, body), on_pick_change=on_pick or ignore)
    pick = _picked(state)
    return pick if pick is not None and any(_holds(row, values, pick) for row, values in rows) else None


def picked_map(key: str) -> tuple[int, int] | None:
    """Index of the layer and channel of the latest pick, for a callback; None if the browser sent something else."""
    return _picked(st.session_state.get(key))


def _coded(row: MapRow, values: NDArray[np.float32]) -> tuple[dict[str, Any], bytes, bytes]:
    """A row as the view reads it: what is said of it, its numbers, and the codes of its maps."""
    if values.ndim not in (1, 3) or values.size == 0:
        raise TypeError(f"A row is maps (k, h, w) or numbers (n,), at least one, got {values.shape}.")
    values = values.astype("<f4", copy=False)
    count = len(values)
    height, width = values.shape[1:] or (0, 0)
    entry = {
        "index": int(row["index"]),
        "name": row["name"],
        "kind": row["kind"],
        "shape": [int(side) for side in row["shape"]],
        "channels": [int(channel) for channel in row["channels"]],
        "numChannels": int(row["num_channels"]),
        "numDead": int(row["num_dead"]),
        "numNotFinite": int(row.get("num_not_finite", 0)),
        "count": count,
        "height": height,
        "width": width,
    }
    if values.ndim == 1:
        return entry, values.tobytes(), b""
    stats = np.asarray(row["stats"], dtype="<f4").reshape(-1, 4)
    if not len(row["channels"]) == len(stats) == count:
        raise TypeError(f"{count} maps come with {len(row['channels'])} channels and {len(stats)} rows of stats.")
    finite = np.isfinite(values)
    known = np.where(finite, values, np.float32(0))
    limits = np.abs(known).max(axis=(1, 2))
    # One division a map, and none by zero; in double precision the smallest of limits does not overflow it.
    per_code = _TOP / np.where(limits > 0, limits, 1).astype(np.float64)
    codes = np.where(finite, np.rint(known * per_code[:, None, None]), _NOT_FINITE).astype(np.int8)
    return entry, np.column_stack([limits, stats]).astype("<f4").tobytes(), codes.tobytes()


def _holds(row: MapRow, values: NDArray[np.float32], pick: tuple[int, int]) -> bool:
    layer, channel = pick
    return layer == row["index"] and (channel < len(values) if values.ndim == 1 else channel in row["channels"])


def _picked(state: Any) -> tuple[int, int] | None:
    """The pick a state holds."""
    pick = held(state, "pick")
    layer, channel = held(pick, "layer"), held(pick, "channel")
    if not (_is_index(layer) and _is_index(channel)):
        return None
    return layer, channel


def _is_index(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0
