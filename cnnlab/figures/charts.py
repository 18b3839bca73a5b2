"""Charts, as Plotly figures without a theme: the page lends them its own, light or dark."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from cnnlab.figures import palette

_MARGIN = {"l": 8, "r": 8, "t": 28, "b": 8}


def _square(figure: go.Figure, column: int) -> None:
    """Cells as squares, the first row on top, no axis lines: a matrix, not a graph."""
    figure.update_xaxes(visible=False, constrain="domain", row=1, col=column)
    figure.update_yaxes(
        visible=False, autorange="reversed", scaleanchor=f"x{column}", constrain="domain", row=1, col=column
    )


def frequency_response(frequencies: NDArray[np.float64], magnitude_hw: NDArray[np.float64]) -> go.Figure:
    """How much of each spatial frequency a kernel lets through.

    Args:
        frequencies: Cycles per pixel, from −0.5 up, for both axes.
        magnitude_hw: Gain, zero frequency in the middle.
    """
    figure = go.Figure(
        go.Heatmap(
            x=frequencies,
            y=frequencies,
            z=magnitude_hw,
            zmin=0,
            colorscale=palette.as_plotly(palette.sequential()),
            colorbar={"title": {"text": "gain"}, "thickness": 12, "outlinewidth": 0},
            hovertemplate="fx %{x:.2f}, fy %{y:.2f} cycles/px<br>gain %{z:.3g}<extra></extra>",
        )
    )
    ticks = [-0.5, -0.25, 0, 0.25, 0.5]
    figure.update_xaxes(
        title="horizontal frequency, cycles per pixel", range=[-0.5, 0.5], constrain="domain", tickvals=ticks
    )
    # Downwards, as rows run: a wave towards the lower right is found there.
    figure.update_yaxes(
        title="vertical frequency, cycles per pixel",
        range=[0.5, -0.5],
        scaleanchor="x",
        constrain="domain",
        tickvals=ticks,
    )
    figure.update_layout(height=400, width=480, margin={**_MARGIN, "t": 8})
    return figure


def loss_curve(steps: Sequence[int], losses: Sequence[float], at: int) -> go.Figure:
    """Loss against step, both logarithmic, with the step `at` marked.

    Args:
        steps: Numbers of the steps, from 0; drawn one to the right, where a log axis begins.
        losses: Mean squared error at each.
        at: Index into both.
    """
    # A log axis has no room for zero; what lies below the rounding of float64 stands for an exact fit.
    shown = np.maximum(np.asarray(losses, dtype=float), max(losses) * 1e-16)
    figure = go.Figure(
        go.Scatter(
            x=[step + 1 for step in steps],
            y=shown,
            mode="lines",
            line={"color": palette.TRAIN, "width": 2},
            hovertemplate="step %{customdata:,}<br>loss %{y:.3g}<extra></extra>",
            customdata=list(steps),
        )
    )
    figure.add_scatter(
        x=[steps[at] + 1],
        y=[shown[at]],
        mode="markers",
        marker={"size": 11, "color": palette.VALIDATION},
        hoverinfo="skip",
    )
    figure.update_xaxes(type="log", title="step + 1", dtick=1)
    figure.update_yaxes(type="log", title="mean squared error", exponentformat="power")
    figure.update_layout(height=300, showlegend=False, margin=_MARGIN)
    return figure


def matrices(named: Mapping[str, NDArray[np.floating]]) -> go.Figure:
    """Matrices side by side on one signed scale, with their numbers written in when they fit."""
    limit = max(float(np.abs(matrix).max()) for matrix in named.values()) or 1.0
    figure = make_subplots(rows=1, cols=len(named), subplot_titles=list(named), horizontal_spacing=0.06)
    for column, matrix in enumerate(named.values(), start=1):
        written = max(matrix.shape) <= 5
        figure.add_heatmap(
            z=matrix,
            zmin=-limit,
            zmax=limit,
            colorscale=palette.as_plotly(palette.diverging()),
            showscale=column == len(named),
            colorbar={"thickness": 12, "outlinewidth": 0},
            xgap=1,
            ygap=1,
            texttemplate="%{z:.3g}" if written else None,
            textfont={"color": "#1D2329"},
            hovertemplate="row %{y}, column %{x}<br>%{z:.6g}<extra></extra>",
            row=1,
            col=column,
        )
        _square(figure, column)
    figure.update_layout(height=300, margin=_MARGIN)
    return figure


def layer_costs(
    names: Sequence[str], measures: Mapping[str, Sequence[float]], *, cumulative: bool, at: int | None
) -> go.Figure:
    """A row of bars for each measure, one bar a layer, all over the same axis of layers.

    Args:
        names: Of the layers, in order.
        measures: Title with unit → a number for each layer.
        cumulative: Draw running sums in place of single layers; what does not add up is left as it is.
        at: Index of the layer that is marked.
    """
    figure = make_subplots(
        rows=len(measures), cols=1, shared_xaxes=True, vertical_spacing=0.1, subplot_titles=list(measures)
    )
    figure.update_annotations(x=0, xanchor="left", font={"size": 13})
    for row, (title, numbers) in enumerate(measures.items(), start=1):
        values = np.asarray(numbers, dtype=float)
        adds_up = not title.startswith("receptive")
        shown = np.cumsum(values) if cumulative and adds_up else values
        figure.add_bar(
            x=list(range(len(names))),
            y=shown,
            customdata=list(names),
            marker={
                "color": [palette.VALIDATION if index == at else palette.TRAIN for index in range(len(names))],
                "line": {"width": 0},
            },
            hovertemplate="%{customdata}<br>%{y:,.6~g} " + title.split(", ")[-1] + "<extra></extra>",
            row=row,
            col=1,
        )
        figure.update_yaxes(row=row, col=1, nticks=4)
    figure.update_xaxes(title="layer, in the order of execution", row=len(measures), col=1)
    figure.update_layout(height=120 * len(measures) + 60, showlegend=False, bargap=0.15, margin=_MARGIN)
    return figure


def size_against_accuracy(
    points: Sequence[Mapping[str, Any]], *, across: str, title: str, logarithmic: bool
) -> go.Figure:
    """Accuracy against what it costs, every architecture at its place; two recipes of one net are joined.

    Args:
        points: Each with "label", "recipe" (1 or 2), "accuracy" in percent, "text" for the hover, and `across`.
        across: Which entry of a point lies along the axis.
        title: Of that axis, with its unit.
        logarithmic: Whether that axis is.
    """
    figure = go.Figure()
    spots = _label_spots(points, across, logarithmic=logarithmic)
    for label in dict.fromkeys(point["label"] for point in points):
        own = [point for point in points if point["label"] == label]
        figure.add_scatter(
            x=[point[across] for point in own],
            y=[point["accuracy"] for point in own],
            mode="lines+markers+text",
            text=[label, *([""] * (len(own) - 1))],
            textposition=spots[label],
            textfont={"size": 11},
            line={"color": palette.TRAIN, "width": 1, "dash": "dot"},
            marker={
                "size": 9,
                "color": [palette.TRAIN if point["recipe"] == 1 else palette.VALIDATION for point in own],
            },
            customdata=[point["text"] for point in own],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_xaxes(title=title, type="log" if logarithmic else "linear", dtick=1 if logarithmic else None)
    figure.update_yaxes(title="top-1 accuracy on ImageNet-1k, %")
    figure.update_layout(height=_TALL + 60, showlegend=False, margin={**_MARGIN, "t": 8})
    return figure


_WIDE, _TALL = 1000, 420  # px, about what the chart gets
_LETTER, _LINE = 6.2, 14  # px
# Where a label may stand, and where its box then begins, as parts of its width and height from the point.
_SPOTS = {
    "top center": (-0.5, -1.5),
    "bottom center": (-0.5, 0.5),
    "middle right": (0.1, -0.5),
    "middle left": (-1.1, -0.5),
    "top right": (0.0, -1.4),
    "bottom right": (0.0, 0.4),
    "top left": (-1.0, -1.4),
    "bottom left": (-1.0, 0.4),
}


def _label_spots(points: Sequence[Mapping[str, Any]], across: str, *, logarithmic: bool) -> dict[str, str]:
    """For each label the first spot at which it covers no point and no label placed before it."""
    along = np.array([point[across] for point in points], dtype=float)
    along = np.log(along) if logarithmic else along
    up = np.array([point["accuracy"] for point in points], dtype=float)
    x = (along - along.min()) / max(float(np.ptp(along)), 1e-9) * _WIDE
    y = (up.max() - up) / max(float(np.ptp(up)), 1e-9) * _TALL
    taken = [(left - 5, top - 5, left + 5, top + 5) for left, top in zip(x, y, strict=True)]
    spots: dict[str, str] = {}
    for point, left, top in zip(points, x, y, strict=True):
        label = point["label"]
        if label in spots:
            continue
        width = len(label) * _LETTER
        boxes = {
            spot: (left + dx * width, top + dy * _LINE, left + (dx + 1) * width, top + (dy + 1) * _LINE)
            for spot, (dx, dy) in _SPOTS.items()
        }
        spots[label] = min(boxes, key=lambda spot: sum(_overlap(boxes[spot], other) for other in taken))
        taken.append(boxes[spots[label]])
    return spots


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(tall, 0.0)
