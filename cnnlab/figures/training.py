"""Charts of finished training: curves, the gap, the learning rate, runs beside each other."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cnnlab.figures import palette
from cnnlab.figures.names import shown
from cnnlab.train.events import EpochEnded
from cnnlab.train.history import History
from cnnlab.train.recipes import Published

_MARGIN = {"l": 8, "r": 8, "t": 28, "b": 8}
_THIN, _THICK = 1.5, 3.5
_QUIET = "#7F7F7F"
_MOST_MARKED = 30  # epochs; of longer runs a mark each is a thick line


def learning_curves(history: History, published: Published | None = None) -> go.Figure:
    """Loss and accuracy over the epochs: training thin, validation thick, the single steps pale behind them.

    Args:
        history: Of a run with at least one finished epoch.
        published: What a tutorial says came out, drawn as hollow marks.
    """
    figure = _two_plots()
    _steps(figure, history)
    epochs = history.epochs
    for column, unit, quantity in ((1, 1.0, "loss"), (2, 100.0, "accuracy")):
        told = {part: [unit * getattr(one, f"{part}_{quantity}") for one in epochs] for part in ("train", "validation")}
        for part, colour, width in (("train", palette.TRAIN, _THIN), ("validation", palette.VALIDATION, _THICK)):
            _line(figure, epochs, told[part], part, colour, width, column=column)
        _name_ends(figure, epochs[-1].epoch, {name: values[-1] for name, values in told.items()}, column)
        _mark_epochs(figure, history, column)
    if published:
        _published(figure, published, epochs[-1].epoch)
    _epoch_axis(figure, epochs)
    figure.update_layout(height=340, showlegend=False, margin=_MARGIN)
    return figure


def gap(epochs: Sequence[EpochEnded]) -> go.Figure:
    """Training accuracy minus validation accuracy over the epochs; shaded where it grows above zero.

    Args:
        epochs: Finished ones, in order, at least one.
    """
    numbers = [one.epoch for one in epochs]
    gaps = [100 * one.gap for one in epochs]
    figure = go.Figure()
    for left in range(len(gaps) - 1):
        if gaps[left + 1] > max(gaps[left], 0):
            figure.add_scatter(
                x=numbers[left : left + 2],
                y=np.maximum(gaps[left : left + 2], 0),
                mode="lines",
                line={"width": 0},
                fill="tozeroy",
                fillcolor="rgba(213, 94, 0, 0.28)",
                hoverinfo="skip",
            )
    figure.add_scatter(
        x=numbers,
        y=gaps,
        mode="lines+markers",
        line={"color": palette.OKABE_ITO[5], "width": 2},
        hovertemplate="epoch %{x}<br>%{y:+.2f} points<extra></extra>",
    )
    figure.add_hline(y=0, line={"color": _QUIET, "width": 1})
    figure.update_yaxes(title="training − validation accuracy, points")
    _epoch_axis(figure, epochs)
    figure.update_layout(height=300, showlegend=False, margin={**_MARGIN, "t": 8})
    return figure


def schedule_curve(rates: Sequence[float], steps_per_epoch: int) -> go.Figure:
    """The learning rate of every step, over the epochs.

    Args:
        rates: One a step, as `cnnlab.train.schedules.lr_curve` gives them.
        steps_per_epoch: How many.
    """
    # Every point of a long run would weigh megabytes; its first and last steps are among those drawn.
    shown = np.unique(np.linspace(0, len(rates) - 1, 1000).round().astype(int))
    figure = go.Figure(
        go.Scatter(
            x=shown / steps_per_epoch,
            y=np.asarray(rates)[shown],
            mode="lines",
            line={"color": palette.TRAIN, "width": 2},
            hovertemplate="epoch %{x:.2f}<br>%{y:.3g}<extra></extra>",
        )
    )
    figure.update_xaxes(title="epochs")
    figure.update_yaxes(title="learning rate", rangemode="tozero", exponentformat="power")
    figure.update_layout(height=200, margin={**_MARGIN, "t": 8})
    return figure


def overlay(runs: Mapping[str, Sequence[EpochEnded]]) -> go.Figure:
    """Several runs in one picture, a colour each: training thin, validation thick.

    Args:
        runs: Label → finished epochs in order, at least one of each.
    """
    figure = _two_plots()
    for place, (name, epochs) in enumerate(runs.items()):
        label = shown(name, 40)
        colour = palette.OKABE_ITO[place % len(palette.OKABE_ITO)]
        for column, unit, quantity in ((1, 1.0, "loss"), (2, 100.0, "accuracy")):
            for part, width in (("train", _THIN), ("validation", _THICK)):
                values = [unit * getattr(one, f"{part}_{quantity}") for one in epochs]
                curve = f"{label}, {part}"
                _line(figure, epochs, values, curve, colour, width, column=column, legend=label if column == 1 else "")
    _epoch_axis(figure, max(runs.values(), key=len))
    figure.update_layout(
        height=400,
        margin=_MARGIN,
        legend={"orientation": "h", "y": -0.22, "title": {"text": "training thin, validation thick"}},
    )
    return figure


def _line(
    figure: go.Figure,
    epochs: Sequence[EpochEnded],
    values: Sequence[float],
    name: str,
    colour: str,
    width: float,
    *,
    column: int,
    legend: str = "",
) -> None:
    """A curve over the epochs; the thick one of a group stands for it in the legend."""
    unit = " %" if column == 2 else ""
    figure.add_scatter(
        x=[one.epoch for one in epochs],
        y=values,
        name=legend or name,
        legendgroup=legend or None,
        showlegend=bool(legend) and width == _THICK,
        mode="lines+markers" if len(epochs) <= _MOST_MARKED else "lines",
        line={"color": colour, "width": width},
        marker={"size": width + 3},
        hovertemplate=f"{name}, epoch %{{x}}<br>%{{y:.4g}}{unit}<extra></extra>",
        row=1,
        col=column,
    )


def _steps(figure: go.Figure, history: History) -> None:
    if history.started is None:
        return
    steps = history.steps
    along = [step / history.started.steps_per_epoch for step in steps.step]
    for column, values in ((1, steps.loss), (2, [100 * value for value in steps.accuracy])):
        figure.add_scatter(
            x=along,
            y=values,
            mode="lines",
            line={"color": palette.TRAIN, "width": 1},
            opacity=0.25,
            hoverinfo="skip",
            row=1,
            col=column,
        )


def _name_ends(figure: go.Figure, at: int, ends: Mapping[str, float], column: int) -> None:
    """Write the name of each curve beside its end; the upper one above, so that they stay apart where curves meet."""
    ordered = sorted(ends, key=ends.__getitem__, reverse=True)
    for name, shift in zip(ordered, (8, -8), strict=True):
        colour = palette.TRAIN if name == "train" else palette.VALIDATION
        figure.add_annotation(
            x=at,
            y=ends[name],
            text="training" if name == "train" else name,
            font={"color": colour, "size": 13},
            showarrow=False,
            xanchor="left",
            xshift=8,
            yshift=shift,
            row=1,
            col=column,
        )


def _mark_epochs(figure: go.Figure, history: History, column: int) -> None:
    """A line at the epoch with the best validation accuracy, and one where early stopping ended the run."""
    marks = {history.best_epoch: f"best: {history.best_epoch}"}
    if history.ended is not None and history.ended.reason == "early" and history.ended.epoch != history.best_epoch:
        marks[history.ended.epoch] = "stopped early"
    for epoch, text in marks.items():
        figure.add_shape(
            type="line",
            x0=epoch,
            x1=epoch,
            y0=0,
            y1=1,
            yref="y domain",
            line={"color": _QUIET, "width": 1, "dash": "dot"},
            row=1,
            col=column,
        )
        figure.add_annotation(
            x=epoch,
            y=0,
            yref="y domain",
            text=text,
            font={"size": 11, "color": _QUIET},
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            row=1,
            col=column,
        )


def _published(figure: go.Figure, published: Published, last: int) -> None:
    """What the tutorial says, as hollow marks: of training thin, of the test pictures larger."""
    hollow = {"symbol": "circle-open", "size": 8, "color": palette.TRAIN, "line": {"width": 1.5}}
    for column, unit, values in ((1, 1.0, published.losses), (2, 100.0, published.train_accuracies)):
        if values:
            figure.add_scatter(
                x=list(range(1, len(values) + 1)),
                y=[unit * value for value in values],
                mode="markers",
                marker=hollow,
                hovertemplate="tutorial, training, epoch %{x}<br>%{y:.4g}<extra></extra>",
                row=1,
                col=column,
            )
    if published.test_accuracy is not None:
        figure.add_scatter(
            x=[last],
            y=[100 * published.test_accuracy],
            mode="markers",
            marker={**hollow, "symbol": "diamond-open", "size": 12, "color": palette.VALIDATION},
            hovertemplate="tutorial, test pictures<br>%{y:.4g} %<extra></extra>",
            row=1,
            col=2,
        )


def _two_plots() -> go.Figure:
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=["loss, cross-entropy in nats", "accuracy, %"], horizontal_spacing=0.14
    )
    figure.update_annotations(font={"size": 13})
    return figure


def _epoch_axis(figure: go.Figure, epochs: Sequence[EpochEnded]) -> None:
    # Whole epochs only: a tick at 1.5 would promise a validation there.
    figure.update_xaxes(title="epoch", dtick=1 if len(epochs) <= 12 else None, rangemode="tozero")
