"""Charts of what confidence is worth: how often a net is right when it is so sure."""

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cnnlab.figures import palette
from cnnlab.figures.names import shown
from cnnlab.inference.calibrating import Bin, Calibration

_MARGIN = {"l": 8, "r": 16, "t": 12, "b": 8}
_QUIET = "#7F7F7F"
_COLOURS = (palette.VALIDATION, palette.OKABE_ITO[2])


def reliability_diagram(calibrations: Mapping[str, Calibration]) -> go.Figure:
    """Accuracy against confidence, a point with its 95 % interval for each bin that has pictures; below, how many.

    On the diagonal a net is right as often as it says; below it, it is too sure of itself. A point lies at the mean
    confidence of its bin, not in the bin's middle.

    Args:
        calibrations: Name → what `calibrate` found; one, or two that are compared.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.04)
    figure.add_scatter(
        x=[0, 100],
        y=[0, 100],
        mode="lines",
        line={"color": _QUIET, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    is_one = len(calibrations) == 1
    for place, (name, calibration) in enumerate(calibrations.items()):
        _add(figure, shown(name, 40), calibration, is_second=place > 0, in_legend=not is_one)
    for text, x, y, anchor in (("too modest", 3, 97, "left"), ("too sure", 97, 3, "right")):
        figure.add_annotation(
            x=x, y=y, text=text, xanchor=anchor, showarrow=False, font={"size": 12, "color": _QUIET}, row=1, col=1
        )
    figure.update_xaxes(range=(0, 100), tickvals=list(range(0, 101, 20)), showgrid=False)
    figure.update_xaxes(title="confidence, %", row=2, col=1)
    figure.update_yaxes(title="right, %", range=(0, 100), row=1, col=1)
    figure.update_yaxes(title="pictures", rangemode="tozero", nticks=3, row=2, col=1)
    figure.update_layout(
        height=430,
        margin=_MARGIN,
        barmode="overlay",
        showlegend=not is_one,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )
    return figure


def _add(figure: go.Figure, name: str, calibration: Calibration, *, is_second: bool, in_legend: bool) -> None:
    colour = _COLOURS[is_second]
    filled = [(one, one.accuracy) for one in calibration.bins if one.accuracy is not None]
    figure.add_scatter(
        x=[100 * one.confidence for one, _ in filled],
        y=[100 * accuracy for _, accuracy in filled],
        error_y={
            "type": "data",
            "array": [100 * (one.accuracy_high - accuracy) for one, accuracy in filled],
            "arrayminus": [100 * (accuracy - one.accuracy_low) for one, accuracy in filled],
            "thickness": 1.5,
            "width": 4,
        },
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"size": 8},
        cliponaxis=False,
        name=name,
        legendgroup=name,
        showlegend=in_legend,
        customdata=[_said(one, accuracy) for one, accuracy in filled],
        hovertemplate="%{customdata}<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_bar(
        x=[50 * (one.low + one.high) for one, _ in filled],
        y=[one.count for one, _ in filled],
        width=[100 * (one.high - one.low) for one, _ in filled],
        # The second as an outline: two areas over each other make a third colour.
        marker={"color": "rgba(0,0,0,0)" if is_second else colour, "line": {"color": colour, "width": 2 * is_second}},
        opacity=1 if is_second else 0.6,
        legendgroup=name,
        showlegend=False,
        customdata=[_said(one, accuracy) for one, accuracy in filled],
        hovertemplate="%{customdata}<extra></extra>",
        row=2,
        col=1,
    )


def _said(one: Bin, accuracy: float) -> str:
    return (
        f"confidence {100 * one.low:.1f} to {100 * one.high:.1f} %, mean {100 * one.confidence:.1f} %<br>"
        f"right {100 * accuracy:.1f} % (95 % interval {100 * one.accuracy_low:.1f} to {100 * one.accuracy_high:.1f} %)"
        f"<br>{one.count:,} pictures"
    )
