"""Charts of how a net takes it when the pixels that a map marks go, or come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cnnlab.explain.faithfulness import Curve, Curves, RandomOrders
from cnnlab.explain.road import Road
from cnnlab.explain.sanity import Step
from cnnlab.figures import palette

_MARGIN = {"l": 8, "r": 8, "t": 40, "b": 8}
_QUIET = "#7F7F7F"
_BAND = "rgba(127, 127, 127, 0.25)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """What was found of one map.

    Attributes:
        curves: Deletion and insertion.
        road: Filling in from the neighbours.
    """

    curves: Curves
    road: Road


def faithfulness(found: Mapping[str, Checked], random: RandomOrders, label: str) -> go.Figure:
    """Deletion, insertion and ROAD beside each other; a line for each map, random orders as a grey band.

    Args:
        found: Name of a map → what was found of it; at least one.
        random: Of the same picture and class.
        label: Of the class.
    """
    figure = make_subplots(
        rows=1,
        cols=3,
        shared_yaxes=True,
        horizontal_spacing=0.035,
        subplot_titles=(
            "Deletion: a good map falls early",
            "Insertion: a good map rises early",
            "ROAD: solid falls early, dotted late",
        ),
    )
    figure.update_annotations(font={"size": 13})
    for column, part in ((1, "deletion"), (2, "insertion")):
        _random_band(figure, [getattr(order, part) for order in random.orders], column)
    for place, (name, checked) in enumerate(found.items()):
        colour = palette.OKABE_ITO[place % (len(palette.OKABE_ITO) - 1)]
        _line(figure, name, checked.curves.deletion, colour, 1, is_named=True)
        _line(figure, name, checked.curves.insertion, colour, 2)
        for dash, probabilities in (("solid", checked.road.most_first), ("dot", checked.road.least_first)):
            shown = Curve(shares=checked.road.shares, probabilities=probabilities)
            _line(figure, name, shown, colour, 3, dash=dash)
    for column, title in enumerate(("pixels taken away, %", "pixels put in, %", "pixels filled in, %"), start=1):
        figure.update_xaxes(title=title, range=[0, 100], row=1, col=column)
    figure.update_yaxes(range=[0, 1.02])
    figure.update_yaxes(title=f"probability of {label}", row=1, col=1)
    figure.update_layout(
        height=340, margin=_MARGIN, legend={"orientation": "h", "y": -0.28, "x": 0, "title": {"text": ""}}
    )
    return figure


def cascade(found: Mapping[str, Sequence[Step]], limit: float) -> go.Figure:
    """How alike each method's map stays as more and more of the net is random.

    Args:
        found: Name of a method → its steps; at least one.
        limit: Above which it is said not to react; drawn as a line.
    """
    figure = go.Figure()
    blocks = max(([step.block for step in steps] for steps in found.values()), key=len)
    for place, (name, steps) in enumerate(found.items()):
        figure.add_scatter(
            x=["nothing", *(step.block for step in steps)],
            y=[1.0, *(step.correlation for step in steps)],
            mode="lines+markers",
            name=name,
            line={"color": palette.OKABE_ITO[place % (len(palette.OKABE_ITO) - 1)], "width": 2.5},
            hovertemplate=f"{name}<br>random from the logits to %{{x}}<br>correlation %{{y:.2f}}<extra></extra>",
        )
    figure.add_hline(
        y=limit,
        line={"color": _QUIET, "width": 1.5, "dash": "dash"},
        annotation_text=f"mean above {limit:g}: does not react",
        annotation_position="bottom right",
    )
    figure.update_xaxes(
        title="random from the logits back to", categoryorder="array", categoryarray=["nothing", *blocks]
    )
    figure.update_yaxes(title="rank correlation with the trained net's map", range=[-0.5, 1.05])
    figure.update_layout(height=340, margin=_MARGIN, legend={"orientation": "h", "y": 1.14, "x": 0})
    return figure


def _random_band(figure: go.Figure, curves: Sequence[Curve], column: int) -> None:
    shares = 100 * curves[0].shares
    all_of_them = np.stack([curve.probabilities for curve in curves])
    low, high = all_of_them.min(axis=0), all_of_them.max(axis=0)
    figure.add_scatter(
        x=np.concatenate([shares, shares[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=_BAND,
        line={"width": 0},
        hoverinfo="skip",
        name=f"random orders, {len(curves)} of them",
        showlegend=column == 1,
        row=1,
        col=column,
    )
    figure.add_scatter(
        x=shares,
        y=all_of_them.mean(axis=0),
        mode="lines",
        line={"color": _QUIET, "width": 1.5, "dash": "dash"},
        hovertemplate="%{x:.0f} %<br>random %{y:.2f}<extra></extra>",
        showlegend=False,
        row=1,
        col=column,
    )


def _line(
    figure: go.Figure, name: str, curve: Curve, colour: str, column: int, *, dash: str = "solid", is_named: bool = False
) -> None:
    figure.add_scatter(
        x=100 * curve.shares,
        y=curve.probabilities,
        mode="lines",
        name=name,
        legendgroup=name,
        showlegend=is_named,
        line={"color": colour, "width": 2.5, "dash": dash},
        hovertemplate=f"{name}<br>%{{x:.0f}} %<br>probability %{{y:.2f}}<extra></extra>",
        row=1,
        col=column,
    )
