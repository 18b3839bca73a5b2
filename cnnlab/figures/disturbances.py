"""Charts of how what a net says changes as a picture is disturbed."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from cnnlab.figures import palette
from cnnlab.figures.names import shown

_MARGIN = {"l": 8, "r": 110, "t": 8, "b": 8}
_QUIET = "#7F7F7F"
_MOST = 6  # classes with a line of their own
_LEAST = 0.05  # probability that a class must reach somewhere
_APART = 6.5  # percent, between the names at the ends of lines


def probability_curves(
    amounts: Sequence[float],
    probabilities: NDArray[np.floating],
    classes: Sequence[str],
    title: str,
    *,
    at: float | None = None,
    neutral: float | None = None,
) -> go.Figure:
    """Probability of the classes over the amount of a disturbance, a line each; those that never matter in one.

    Args:
        amounts: Ascending.
        probabilities: 0 to 1, (amounts, classes).
        classes: Their names, in the order of the logits: colours go by it, as on every page.
        title: Of the axis of amounts, with its unit.
        at: Amount that is set now, marked.
        neutral: Amount that leaves the picture as it is, marked where it lies inside.
    """
    percent = 100 * np.asarray(probabilities, dtype=float)
    highest = percent.max(axis=0)
    chosen = [index for index in np.argsort(-highest, kind="stable")[:_MOST] if highest[index] >= 100 * _LEAST]
    chosen = sorted(int(index) for index in chosen)
    lines = [(shown(classes[index]), percent[:, index], _style(index)) for index in chosen]
    if rest := len(classes) - len(chosen):
        others = np.clip(100 - percent[:, chosen].sum(axis=1), 0, 100)
        lines.append((f"{rest} other{'s' if rest > 1 else ''}", others, {"color": _QUIET, "width": 1.5, "dash": "dot"}))
    figure = go.Figure()
    for name, values, line in lines:
        figure.add_scatter(
            x=list(amounts),
            y=values,
            mode="lines",
            line=line,
            name=name,
            hovertemplate=f"{name}<br>%{{x:.3~g}}: %{{y:.1f}} %<extra></extra>",
        )
    for (name, _, line), place in zip(lines, _apart([values[-1] for _, values, _ in lines]), strict=True):
        figure.add_annotation(
            x=amounts[-1],
            y=place,
            # The name itself in the page's colour: yellow letters cannot be read on white.
            text=f'<span style="color:{line["color"]}">━</span> {name}',
            font={"size": 13},
            showarrow=False,
            xanchor="left",
            xshift=6,
        )
    if neutral is not None and amounts[0] < neutral < amounts[-1]:
        figure.add_vline(x=neutral, line={"color": _QUIET, "width": 1, "dash": "dot"})
    if at is not None:
        figure.add_vline(x=at, line={"color": _QUIET, "width": 2})
    figure.update_xaxes(title=title, range=(amounts[0], amounts[-1]))
    figure.update_yaxes(title="probability, %", range=(-2, 102), tickvals=[0, 25, 50, 75, 100])
    figure.update_layout(height=320, showlegend=False, margin=_MARGIN)
    return figure


def _style(index: int) -> dict[str, object]:
    """The colour of a class; of two that share one, the later is dashed."""
    colours = palette.OKABE_ITO
    dash = ("solid", "dash", "dashdot")[index // len(colours) % 3]
    return {"color": colours[index % len(colours)], "width": 2.5, "dash": dash}


def _apart(ends: Sequence[float]) -> list[float]:
    """Places for names, in percent: near the ends of their lines, in their order, none over another."""
    places = [0.0] * len(ends)
    lowest = -np.inf
    for index in np.argsort(ends, kind="stable"):
        lowest = max(float(ends[index]), lowest + _APART)
        places[index] = lowest
    # What was pushed over the top comes down together with what it now meets.
    highest = 100.0
    for index in np.argsort(places, kind="stable")[::-1]:
        places[index] = min(places[index], highest)
        highest = places[index] - _APART
    return places
