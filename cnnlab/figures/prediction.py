"""A net's answer as bars with their numbers, its place among others, and a picture with the part that the net sees.

The bars are HTML and not Plotly: they are the first thing that a page shows, and Plotly's 5 MB take a browser seconds.
"""

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from cnnlab.figures import palette
from cnnlab.inference.novelty import Spread
from cnnlab.inference.predicting import Ranked

_GRID = "display:grid;grid-template-columns:minmax(3.5rem,26%) 1fr 4.4rem 3.6rem;column-gap:0.7rem;align-items:center"
_NUMBER = "text-align:right;font-variant-numeric:tabular-nums"
_BINS = 40
_QUIET = "opacity:0.75;font-size:0.86em"


def answer_bars(rows: Sequence[Ranked], heading: str, *, others: tuple[int, float] = (0, 0.0)) -> str:
    """The classes with a bar as long as their probability, the probability and the logit: HTML, theme and width open.

    Args:
        rows: In the order in which they are drawn.
        heading: What stands over the names; also what the table is called for those who cannot see it.
        others: How many classes are left out, and the probability of all of them together.
    """
    lines = [
        f'<div role="row" style="{_GRID};{_QUIET}"><span role="columnheader">{html.escape(heading)}</span>'
        f'<span role="presentation"></span><span role="columnheader" style="{_NUMBER}">probability</span>'
        f'<span role="columnheader" style="{_NUMBER}">logit</span></div>'
    ]
    for place, row in enumerate(rows):
        colour = palette.OKABE_ITO[row.class_index % len(palette.OKABE_ITO)]
        lines.append(_line(row.label, row.probability, signed(row.logit), colour, is_first=place == 0))
    count, rest = others
    if count:
        lines.append(_line(f"{count:,} other{'' if count == 1 else 's'}", rest, "", "currentColor", is_quiet=True))
    return f'<div role="table" aria-label="{html.escape(heading)}" data-testid="answer-bars">{"".join(lines)}</div>'


def _line(name: str, share: float, logit: str, colour: str, *, is_first: bool = False, is_quiet: bool = False) -> str:
    weight = "font-weight:600" if is_first else "opacity:0.75" if is_quiet else ""
    label = html.escape(name)
    return (
        f'<div role="row" style="{_GRID};padding:0.17rem 0;{weight}">'
        f'<span role="rowheader" title="{label}" style="overflow:hidden;text-overflow:ellipsis;white-space:nowrap">'
        f"{label}</span>"
        '<span role="presentation" style="display:block;height:1.05rem;border-radius:2px;'
        'background:color-mix(in srgb, currentColor 9%, transparent)">'
        f'<span style="display:block;height:100%;width:{100 * share:.3f}%;min-width:1px;border-radius:2px;'
        f'background:{colour}{";opacity:0.45" if is_quiet else ""}"></span></span>'
        f'<span role="cell" style="{_NUMBER}">{percent(share)}</span>'
        f'<span role="cell" style="{_NUMBER};font-weight:400">{logit}</span></div>'
    )


def percent(share: float) -> str:
    """A share in percent with as many digits as mean something: 86.1 %, 0.03 %, never a rounded 0 or 100."""
    if share == 0:
        return "0 %"
    points = 100 * share
    if points < 0.01:
        return "< 0.01 %"
    if points > 99.99 and share < 1:
        return "> 99.99 %"
    if share == 1:
        return "100 %"
    return f"{points:.2f} %" if points < 0.995 or points >= 99.5 else f"{points:.1f} %"


def signed(number: float) -> str:
    """A logit with two decimals and its sign, unless it rounds to zero."""
    written = f"{number:+.2f}".replace("-", "−")
    return written if written.strip("+−0.") else "0.00"


def with_box(pixels: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """The picture, washed out towards grey outside of a box; the picture itself where the box is all of it.

    Args:
        pixels: RGB, (H, W, 3); left as they are.
        box: (top, left, height, width), inside the picture.
    """
    top, left, height, width = box
    if (height, width) == pixels.shape[:2]:
        return pixels
    pale = (pixels * 0.4 + 76).astype(np.uint8)
    inside = slice(top, top + height), slice(left, left + width)
    pale[inside] = pixels[inside]
    return pale


def among(spread: Spread, value: float, title: str) -> go.Figure:
    """How a number spreads over known pictures, as bars of equal width, and where one picture lies.

    Args:
        spread: Of the known pictures.
        value: Of the one that is marked.
        title: Of the axis: what the number is.
    """
    low, high = min(spread.values[0], value), max(spread.values[-1], value)
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    below = np.array([spread.share_below(float(edge)) for edge in edges])
    below[0] = 0.0
    shares = 100 * np.diff(below)
    figure = go.Figure(
        go.Bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=shares,
            width=edges[1] - edges[0],
            marker={"color": palette.VALIDATION, "opacity": 0.6, "line": {"width": 0}},
            hovertemplate="%{x:.3~g}: %{y:.2f} % of the pictures<extra></extra>",
        )
    )
    figure.add_vline(
        x=value,
        line={"color": palette.OKABE_ITO[5], "width": 3},
        annotation_text="this picture",
        annotation_position="top left" if value > (low + high) / 2 else "top right",
    )
    figure.update_xaxes(title=title, showgrid=False)
    figure.update_yaxes(title="of the pictures, %", rangemode="tozero", nticks=4)
    figure.update_layout(height=250, showlegend=False, bargap=0, margin={"l": 8, "r": 8, "t": 24, "b": 8})
    return figure
