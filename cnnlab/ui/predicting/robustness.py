"""How much the picture can be disturbed before the net changes its mind."""

from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.figures.disturbances import probability_curves
from cnnlab.figures.prediction import percent
from cnnlab.images import RgbImage
from cnnlab.inference import Prediction, predict
from cnnlab.inference.calibrating import probabilities_of
from cnnlab.inference.disturbing import DISTURBANCES, disturbed, sweep
from cnnlab.nets.summary import totals
from cnnlab.ui import nets, page, state
from cnnlab.ui.components.picture import picture
from cnnlab.ui.predicting import asking, controls
from cnnlab.ui.predicting.answering import bars, named
from cnnlab.ui.predicting.asking import Asked
from cnnlab.ui.predicting.controls import Setup

_MACS_OF_A_CURVE = 1_200_000_000  # a quarter of a second on one core
_MACS_TO_WAIT_FOR = 5_000_000_000
_MOST_POINTS, _FEWEST_POINTS = 41, 9
_HEIGHT = 240  # CSS pixels
_WIDTHS = (300, 340, 430)
_UNITS = {"°": "%g°", "%": "%g %%"}

AMOUNTS = {
    key: state.number(f"predict.{key}", key, float(one.low), float(one.high), float(one.neutral))
    for key, one in DISTURBANCES.items()
}
"""Key of `DISTURBANCES` → how much."""
OVER = state.choice("predict.over", "over", DISTURBANCES, next(iter(DISTURBANCES)))
SETTINGS = (*AMOUNTS.values(), OVER)


def show(setup: Setup, prediction: Prediction) -> None:
    """Draw the sliders, the disturbed picture with its answer, and the probabilities over one amount."""
    del setup, prediction  # a fragment reruns by itself, and must not hold on to a model

    @page.fragment
    def look() -> None:
        now = controls.read()
        _look(now, asking.answer(now.asked, now.picture))

    look()


def _look(setup: Setup, prediction: Prediction) -> None:
    places = st.container(horizontal=True, gap="medium")  # in a narrow window one below the other
    left, middle, right = (places.container(width=width) for width in _WIDTHS)
    amounts = {key: float(st.session_state[setting.key]) for key, setting in AMOUNTS.items()}
    asked = setup.asked
    with middle:
        said = _disturbed_answer(asked, setup.picture, amounts, f"{asked.key}|{setup.picture.digest}|{amounts}")
        picture(
            asked.steps.picture(said.x[0].numpy()),
            key="predict.disturbed",
            alt="The disturbed picture as the net gets it",
            title="What the net gets now",
            max_height=_HEIGHT,
        )
        _verdict(setup, prediction, said)
        bars(said, setup.num_shown, setup.temperature)
    page.let_paint()
    with left:
        _sliders()
    with right:
        _curve(setup, amounts)


# A user's own pictures go through here: what is kept goes with their session.
@st.cache_resource(show_spinner=False, scope="session", max_entries=8)
def _disturbed_answer(_asked: Asked, _picture: RgbImage, _amounts: Mapping[str, float], key: str) -> Prediction:
    del key
    with nets.run_of(_asked.described):
        shown = disturbed(_picture, _asked.steps, _amounts)
        return predict(_asked.known.model, [shown], _asked.steps, _asked.known.classes, flips=_asked.flips)


@st.cache_resource(show_spinner=False, scope="session", max_entries=12)
def _swept(
    _asked: Asked,
    _picture: RgbImage,
    over: str,
    _amounts: tuple[float, ...],
    _others: Mapping[str, float],
    key: str,
) -> NDArray[np.float32]:
    del key
    with nets.run_of(_asked.described):
        return sweep(_asked.known.model, _picture, _asked.steps, over, _amounts, _others)


def _verdict(setup: Setup, before: Prediction, now: Prediction) -> None:
    [was], [best] = (said.top(1, temperature=setup.temperature) for said in (before, now))
    share = float(now.probabilities(setup.temperature)[0, was.class_index])
    if best.class_index == was.class_index:
        st.markdown(f"Still **{named(best.label)}**: {percent(was.probability)} → {percent(share)}.")
    else:
        st.markdown(
            f"Now **{named(best.label)}**, {percent(best.probability)}; {named(was.label)} "
            f"{percent(was.probability)} → {percent(share)}."
        )


def _sliders() -> None:
    columns = st.columns(2, gap="small")
    for place, (key, one) in enumerate(DISTURBANCES.items()):
        columns[place % 2].slider(
            one.label,
            float(one.low),
            float(one.high),
            step=_step(one.high - one.low),
            key=AMOUNTS[key].key,
            format=_UNITS.get(one.unit[0], "%g"),
            help=f"{one.about} In {one.unit}.",
        )
    st.button("Undisturbed", key="predict.undisturbed", icon=":material/undo:", on_click=_undo)


def _step(reach: float) -> float:
    return 1.0 if reach > 50 else 0.1 if reach > 5 else 0.05


def _undo() -> None:
    for setting in AMOUNTS.values():
        st.session_state[setting.key] = setting.default


def _points(asked: Asked, over: str) -> tuple[float, ...]:
    """Amounts of the curve, its neutral one among them; fewer for a net that takes long."""
    one = DISTURBANCES[over]
    macs = max(1, totals(asked.described.facts).macs) * (2 if asked.flips else 1)
    count = int(min(_MOST_POINTS, max(_FEWEST_POINTS, _MACS_OF_A_CURVE // macs)))
    return tuple(sorted({*np.linspace(one.low, one.high, count).round(6).tolist(), float(one.neutral)}))


def _curve(setup: Setup, amounts: Mapping[str, float]) -> None:
    over = st.selectbox("Curve over", list(DISTURBANCES), format_func=lambda key: DISTURBANCES[key].label, key=OVER.key)
    asked = setup.asked
    points = _points(asked, over)
    others = {key: amount for key, amount in amounts.items() if key != over}
    key = f"{asked.key}|{setup.picture.digest}|{over}|{points}|{others}"
    takes_long = len(points) * totals(asked.described.facts).macs > _MACS_TO_WAIT_FOR
    with st.spinner(f"Asking the net {len(points)} times") if takes_long else nullcontext():
        logits = _swept(asked, setup.picture, over, points, others, key)
    one = DISTURBANCES[over]
    figure = probability_curves(
        points,
        probabilities_of(logits, setup.temperature),
        asked.known.classes,
        f"{one.label.lower()}, {one.unit}",
        at=amounts[over],
        neutral=one.neutral,
    )
    st.plotly_chart(figure, key="predict.curve", config={"displayModeBar": False})
    changed = [DISTURBANCES[key].label.lower() for key, amount in others.items() if amount != DISTURBANCES[key].neutral]
    also = f" with {', '.join(changed)} as set" if changed else ""
    st.caption(
        f"{len(points)} pictures{also}; the thick line is what is set now, the dotted one leaves the picture as it is. "
        "What is disturbed is the picture at the net's own size."
    )
