"""A picture with a magnifier and a legend, pixel for pixel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

import numpy as np
import streamlit as st

from cnnlab.ui.components import held, ignore, lut_hex, pack, view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnlab.figures.pictures import Picture


class Legend(TypedDict):
    """What the codes of a picture stand for: 0 for `minimum`, 255 for `maximum`, evenly between.

    `counts` are the bins of a histogram along the same axis, `caption` is a line of text above the bar. `cut_below`
    and `cut_above` say that an end also stands for numbers beyond it. `zero_inside` says whether zero is named; it is
    not where it falls outside the range.
    """

    minimum: float
    maximum: float
    zero_inside: NotRequired[bool]
    counts: NotRequired[Sequence[int]]
    cut_below: NotRequired[bool]
    cut_above: NotRequired[bool]
    caption: NotRequired[str]


class GroupMapping(TypedDict, total=False):
    """Where a picture's own (row, column) lies in the coordinates of its group: `offset + scale * own`.

    The coordinates are those of pixel centres, so `offset` is 0.5 where a pixel belongs between two others.
    `window_rows` and `window_cols` belong on a picture whose pixels were each computed from that many rows and
    columns of the group's coordinates, centred on the mapped point; the window is then framed in every picture
    of the group that has none of its own.
    """

    scale_row: float
    scale_col: float
    offset_row: float
    offset_col: float
    window_rows: float
    window_cols: float


_ANY_SIZE = 1 << 30
_mount = view(Path(__file__).parent, "cnnlab_picture", '<div class="cl-root cl-picture" data-testid="picture">\n</div>')


def picture(
    pixels: NDArray[np.uint8],
    *,
    key: str,
    alt: str,
    lut: NDArray[np.uint8] | None = None,
    legend: Legend | None = None,
    link: str | None = None,
    mapping: GroupMapping | None = None,
    title: str = "",
    same_scale: bool = False,
    max_height: int = 560,
    on_pick: Callable[[], None] | None = None,
) -> tuple[int, int] | None:
    """Show a picture that can be looked at through a magnifier and in which a pixel can be picked.

    Args:
        pixels: True colours, shape (H, W, 3), or codes 0 to 255, shape (H, W), coloured in the browser.
        key: Streamlit key; the pick is kept under it as `{"pick": {"row": r, "col": c}}`.
        alt: What the picture shows, for those who cannot see it.
        lut: Colours of the codes, shape (256, 3); greys if not given. With true colours, those of the legend.
        legend: What the codes stand for. Without it the magnifier shows the codes themselves.
        link: Pictures with the same name here move their magnifiers together.
        mapping: Where this picture lies in the coordinates of its group; 1:1 if not given.
        title: A line above the picture.
        same_scale: A pixel is as large as in the other pictures of the group that say so, in equally wide places;
            nothing moves when one of them shrinks.
        max_height: In CSS pixels. The picture is as wide as its place, unless that would make it higher.
        on_pick: Called when another pixel is picked, before the page runs.

    Returns:
        Row and column of the picked pixel, or None if there is none or it is outside this picture.
    """
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise TypeError(f"A picture is uint8 (H, W) or (H, W, 3), got {pixels.dtype} {pixels.shape}.")
    if pixels.size == 0:
        raise TypeError(f"A picture has at least one pixel, got {pixels.shape}.")
    if lut is None and pixels.ndim == 2:
        lut = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)

    height, width = pixels.shape[:2]
    body = planes(pixels)
    header = {
        "height": height,
        "width": width,
        "sameScale": same_scale,
        "planes": 1 if pixels.ndim == 2 else 3,
        "digest": hashlib.sha256(body).hexdigest()[:32],
        "lut": None if lut is None else lut_hex(lut),
        "legend": None if legend is None else _plain(legend),
        "link": link,
        "mapping": {name: float(number) for name, number in cast(dict[str, float], mapping or {}).items()},
        "alt": alt,
        "title": title,
        "maxHeight": max_height,
        "pick": _picked(st.session_state.get(key), height, width),
    }
    state = _mount(key=key, data=pack(header, body), on_pick_change=on_pick or ignore)
    return _picked(state, height, width)


def legend_of(shown: Picture, caption: str) -> Legend:
    """The legend of a picture, in the form that the view takes."""
    return {
        "minimum": shown.minimum,
        "maximum": shown.maximum,
        "zero_inside": shown.zero_inside,
        "counts": shown.counts,
        "cut_below": shown.num_below > 0,
        "cut_above": shown.num_above > 0,
        "caption": caption,
    }


def picked(key: str) -> tuple[int, int] | None:
    """Row and column of the latest pick in a picture, for a callback; None if the browser sent something else."""
    return _picked(st.session_state.get(key), _ANY_SIZE, _ANY_SIZE)


def planes(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels as the view reads them: plane after plane, uncompressed.

    zlib would save a quarter of the bytes of a response to a photograph, at 3 to 7 ms here and, since browsers unpack
    in the background only, a frame or two there: more than the bytes cost on any network that a lab runs on.
    """
    return np.ascontiguousarray(pixels if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)).tobytes()


def _plain(legend: Legend) -> dict[str, Any]:
    return {
        "minimum": float(legend["minimum"]),
        "maximum": float(legend["maximum"]),
        "zeroInside": bool(legend.get("zero_inside", True)),
        "cutBelow": bool(legend.get("cut_below", False)),
        "cutAbove": bool(legend.get("cut_above", False)),
        "counts": [int(count) for count in legend.get("counts", ())],
        "caption": legend.get("caption", ""),
    }


def _picked(state: Any, height: int, width: int) -> tuple[int, int] | None:
    """The pick a state holds, if it is a pixel of this picture."""
    pick = held(state, "pick")
    row, col = held(pick, "row"), held(pick, "col")
    if not (isinstance(row, int) and isinstance(col, int)):
        return None
    return (row, col) if 0 <= row < height and 0 <= col < width else None
