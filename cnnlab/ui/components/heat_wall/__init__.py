"""Heat maps over one picture, side by side; how they are laid over it is changed in the browser."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from cnnlab.errors import InputRejected
from cnnlab.figures import palette
from cnnlab.figures.heat import COLOURS, Look, Scale
from cnnlab.ui.components import held, ignore, lut_hex, pack, view

if TYPE_CHECKING:
    from numpy.typing import NDArray

_mount = view(Path(__file__).parent, "cnnlab_heat_wall", '<div class="cl-root" data-testid="heat-wall">\n</div>')


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """One map.

    Args:
        id: What tells it from the others.
        title: A line above it.
        map_hw: (h, w), unscaled, finite; None while there is nothing yet.
        own: Its own scale.
        shared: The one of the maps that it can be compared with.
        note: A quiet line below.
        warning: What is to be minded.
        done: Share of the work that is in it; a bar is drawn below 1.
    """

    id: str
    title: str
    map_hw: NDArray[np.float32] | None
    own: Scale
    shared: Scale
    note: str = ""
    warning: str = ""
    done: float = 1.0


def heat_wall(
    picture_hwc: NDArray[np.uint8],
    tiles: Sequence[Tile],
    *,
    key: str,
    alt: str,
    look: Look,
    columns: int,
    picture_title: str = "",
    picture_note: str = "",
    chosen: str = "",
    group: int = 0,
    has_knobs: bool = True,
    can_share: bool = True,
    max_width: int = 0,
    on_look: Callable[[], None] | None = None,
    on_pick: Callable[[], None] | None = None,
) -> None:
    """Show maps over their picture, the picture first where it has a title.

    Args:
        picture_hwc: (H, W, 3), RGB.
        tiles: In order.
        key: Streamlit key; what was changed is kept under it, see `changed_look` and `picked_tile`.
        alt: What is shown, for those who cannot see it.
        look: How the maps are laid over the picture, unless the visitor has changed it here since.
        columns: In which tiles stand where there is room.
        picture_title: Above the picture; it is not shown without.
        picture_note: Below it.
        chosen: `id` of the tile to mark.
        group: How many tiles belong side by side, such as the classes of one method; the picture then has a row for
            itself. 0 where none do.
        has_knobs: Whether the look can be changed here.
        can_share: Whether one scale for all is offered.
        max_width: In CSS pixels; 0 for all there is.
        on_look: Called when the look was changed, before the page runs.
        on_pick: Called when a tile was picked; without it none can be.
    """
    if picture_hwc.dtype != np.uint8 or picture_hwc.ndim != 3 or picture_hwc.shape[2] != 3:
        raise TypeError(f"A picture is uint8 (H, W, 3), got {picture_hwc.dtype} {picture_hwc.shape}.")
    pixels = np.ascontiguousarray(picture_hwc).tobytes()
    maps = [b"" if tile.map_hw is None else tile.map_hw.astype("<f4").tobytes() for tile in tiles]
    header = {
        "height": picture_hwc.shape[0],
        "width": picture_hwc.shape[1],
        "digest": _digest(pixels),
        "tiles": [_plain(tile, numbers) for tile, numbers in zip(tiles, maps, strict=True)],
        "colours": [
            {
                "name": name,
                "label": each.label,
                "meaning": each.meaning,
                "lut": lut_hex(each.lut()),
                "fades": each.fades,
            }
            for name, each in COLOURS.items()
        ],
        "signedLut": lut_hex(palette.diverging()),
        "look": {"opacity": look.opacity, "colours": look.colours, "shared": look.shared, "smooth": look.smooth},
        "heard": _count(held(st.session_state.get(key), "look")),
        "columns": columns,
        "group": group,
        "alt": alt,
        "pictureTitle": picture_title,
        "pictureNote": picture_note,
        "showsPicture": bool(picture_title),
        "chosen": chosen,
        "pickable": on_pick is not None,
        "hasKnobs": has_knobs,
        "canShare": can_share and len(tiles) > 1,
        "maxWidth": max_width,
    }
    _mount(
        key=key,
        data=pack(header, pixels + b"".join(maps)),
        on_look_change=on_look or ignore,
        on_pick_change=on_pick or ignore,
    )


def changed_look(key: str) -> Look | None:
    """What the visitor has set in a wall, for a callback; None if the browser sent something else."""
    told = held(st.session_state.get(key), "look")
    opacity, colours = held(told, "opacity"), held(told, "colours")
    shared, smooth = held(told, "shared"), held(told, "smooth")
    if not (isinstance(opacity, int | float) and isinstance(shared, bool) and isinstance(smooth, bool)):
        return None
    if not isinstance(colours, str):
        return None
    try:
        return Look(opacity=float(opacity), colours=colours, shared=shared, smooth=smooth)
    except InputRejected:
        return None


def picked_tile(key: str) -> str | None:
    """`id` of the latest pick in a wall, for a callback; None if the browser sent something else."""
    tile = held(held(st.session_state.get(key), "pick"), "id")
    return tile if isinstance(tile, str) else None


def _count(told: Any) -> int:
    count = held(told, "count")
    return count if isinstance(count, int) and not isinstance(count, bool) else 0


def _plain(tile: Tile, numbers: bytes) -> dict[str, Any]:
    height, width = (0, 0) if tile.map_hw is None else tile.map_hw.shape
    return {
        "id": tile.id,
        "title": tile.title,
        "note": tile.note,
        "warning": tile.warning,
        "height": height,
        "width": width,
        "own": [tile.own.minimum, tile.own.maximum],
        "shared": [tile.shared.minimum, tile.shared.maximum],
        "isSigned": tile.own.is_signed,
        "done": tile.done,
        "digest": _digest(numbers),
    }


def _digest(numbers: bytes) -> str:
    return hashlib.sha256(numbers).hexdigest()[:16]
