"""Charts of what a net confuses, how well it knows each class, and what it says of one picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from cnnlab.figures import palette
from cnnlab.figures.names import shown

MOST_CELLS = 40
"""Classes; of more the cells are too small to be hit, and are shown without their marks."""

_MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}
_MOST_WRITTEN = 20
_GREY = palette.OKABE_ITO[-1]


def confusion_matrix(
    confusion: NDArray[np.int64] | Sequence[Sequence[int]],
    classes: Sequence[str],
    marked: tuple[int, int] | None = None,
) -> go.Figure:
    """Truth against prediction: each row as shares of its class, the counts written in where they fit.

    Every cell carries an invisible mark, because a heat map tells nobody that it was clicked; its `customdata` is
    (truth, prediction).

    Args:
        confusion: Counts, shape (K, K). Row: truth, column: prediction.
        classes: K names.
        marked: Truth and prediction of the cell that gets a frame.
    """
    counts = np.asarray(confusion)
    support = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.maximum(support, 1)
    places = list(range(len(classes)))
    truth, prediction = (index.ravel() for index in np.indices(counts.shape))
    written = [[f"{count:,}" if count else "" for count in row] for row in counts.tolist()]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            zmin=0,
            zmax=100,
            colorscale=palette.as_plotly(palette.sequential()),
            colorbar={"title": {"text": "% of the class", "side": "right"}, "thickness": 12, "outlinewidth": 0},
            xgap=1,
            ygap=1,
            text=written,
            texttemplate="%{text}" if len(classes) <= _MOST_WRITTEN else None,
            textfont={"size": 12 if len(classes) <= 12 else 9},
            hoverinfo="skip",
        )
    )
    if len(classes) <= MOST_CELLS:
        figure.add_scatter(
            x=prediction,
            y=truth,
            mode="markers",
            marker={"symbol": "square", "size": max(10, 360 // len(classes)), "opacity": 0, "color": _GREY},
            # All look the same, chosen or not: the frame says which one is.
            selected={"marker": {"opacity": 0}},
            unselected={"marker": {"opacity": 0}},
            customdata=[
                (row, column, shown(classes[row]), shown(classes[column]), count, share)
                for row, column, count, share in zip(
                    truth.tolist(), prediction.tolist(), counts.ravel().tolist(), shares.ravel().tolist(), strict=True
                )
            ],
            hovertemplate="truth %{customdata[2]}, predicted %{customdata[3]}<br>%{customdata[4]:,} pictures, "
            "%{customdata[5]:.1f} % of the class<extra></extra>",
        )
    if marked is not None:
        row, column = marked
        figure.add_shape(
            type="rect",
            x0=column - 0.5,
            x1=column + 0.5,
            y0=row - 0.5,
            y1=row + 0.5,
            line={"color": palette.OKABE_ITO[5], "width": 3},
        )
    axis: dict[str, Any] = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    if len(classes) <= MOST_CELLS:
        axis |= {"tickvals": places, "ticktext": [shown(name) for name in classes]}
    ends = (-0.5, len(classes) - 0.5)
    figure.update_xaxes(title="prediction", range=ends, **axis)
    figure.update_yaxes(title="truth", range=ends[::-1], scaleanchor="x", **axis)
    figure.update_layout(
        height=min(620, 230 + 28 * len(classes)), margin=_MARGIN, showlegend=False, dragmode=False, hoverdistance=-1
    )
    return figure


def class_bars(recalls: Sequence[float | None], classes: Sequence[str]) -> go.Figure:
    """Share of each class that is found, the worst on top.

    Args:
        recalls: 0 to 1; None for a class without pictures, which is left out.
        classes: Their names.
    """
    known = [(share, name) for share, name in zip(recalls, classes, strict=True) if share is not None]
    known.sort()
    figure = go.Figure(
        go.Bar(
            x=[100 * share for share, _ in known],
            orientation="h",
            marker={"color": palette.VALIDATION, "line": {"width": 0}},
            text=[f"{100 * share:.1f}" for share, _ in known],
            textposition="auto",
            hovertemplate="%{customdata}: %{x:.1f} % found<extra></extra>",
        )
    )
    figure.update_xaxes(title="found, % of the class", range=(0, 100))
    return _rows(figure, [shown(name) for _, name in known])


def probability_bars(probabilities: Sequence[float], classes: Sequence[str], truth: int | None = None) -> go.Figure:
    """What a net says of one picture, a bar for each class, always from 0 to 100 %.

    Args:
        probabilities: 0 to 1.
        classes: Their names; of more than twelve the largest are shown, in their order.
        truth: Index of the true class, whose name is set in bold.
    """
    chosen = sorted(sorted(range(len(classes)), key=lambda index: -probabilities[index])[:12])
    figure = go.Figure(
        go.Bar(
            x=[100 * probabilities[index] for index in chosen],
            orientation="h",
            marker={
                "color": [palette.OKABE_ITO[index % len(palette.OKABE_ITO)] for index in chosen],
                "line": {"width": 0},
            },
            hovertemplate="%{customdata}: %{x:.2f} %<extra></extra>",
        )
    )
    figure.update_xaxes(title="probability, %", range=(0, 100))
    names = [shown(classes[index]) for index in chosen]
    return _rows(
        figure, [f"<b>{name}</b>" if index == truth else name for index, name in zip(chosen, names, strict=True)]
    )


def distance_bars(moved: Mapping[str, float], limit: float) -> go.Figure:
    """How far the weights of each layer are from where they began.

    Args:
        moved: Name of a layer → distance by the length of the weights at the beginning.
        limit: End of the axis at least, the same for all epochs.
    """
    figure = go.Figure(
        go.Bar(
            x=[100 * distance for distance in moved.values()],
            orientation="h",
            marker={"color": palette.TRAIN, "line": {"width": 0}},
            hovertemplate="%{customdata}: %{x:.3g} %<extra></extra>",
        )
    )
    far = max((distance for distance in moved.values() if np.isfinite(distance)), default=0.0)
    figure.update_xaxes(title="change, % of the length", range=(0, 105 * max(limit, far)))
    return _rows(figure, [shown(name, 24) for name in moved])


def _rows(figure: go.Figure, names: Sequence[str]) -> go.Figure:
    """Horizontal bars, the first on top, a name at each: by place, as two names may be cut to the same letters."""
    places = list(range(len(names)))
    figure.update_traces(y=places, customdata=list(names))
    figure.update_yaxes(autorange="reversed", tickvals=places, ticktext=list(names), showgrid=False)
    figure.update_layout(height=80 + 24 * len(names), margin=_MARGIN, bargap=0.2)
    return figure
