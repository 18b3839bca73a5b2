"""Two nets asked about the same picture, side by side."""

import numpy as np
import streamlit as st

from cnnlab.errors import InputRejected
from cnnlab.figures.prediction import percent
from cnnlab.images import to_png
from cnnlab.inference import Prediction
from cnnlab.nets.summary import totals
from cnnlab.nets.weights import bundled_weights
from cnnlab.ui import nets, page, state, workbench
from cnnlab.ui.predicting import asking, controls
from cnnlab.ui.predicting.answering import bars, named
from cnnlab.ui.predicting.asking import Asked
from cnnlab.ui.predicting.controls import Setup
from cnnlab.ui.predicting.numbers import milliseconds
from cnnlab.ui.text import plain

_NET, _WEIGHTS = "predict.other-net", "predict.other-pick"
_SIDE, _WIDTH = 112, 530  # CSS pixels


def _weights_of_link(text: str) -> str:
    wanted = st.session_state.get(OTHER.key)
    if wanted is None or text not in asking.offered(nets.of(wanted)):
        raise InputRejected(f"the second net has no weights called '{text[:40]}'; others are used")
    return text


OTHER = state.Setting(key="predict.other", param="with", default=None, parse=workbench.NET.parse)
OTHER_WEIGHTS = state.Setting(key="predict.other-weights", param="withw", default=None, parse=_weights_of_link)
SETTINGS = (OTHER, OTHER_WEIGHTS)


def show(setup: Setup, prediction: Prediction) -> None:
    """Draw both answers, in what they agree, and what each costs."""
    del setup, prediction  # a fragment reruns by itself, and must not hold on to a model

    @page.fragment
    def compare() -> None:
        now = controls.read()
        _compare(now, asking.answer(now.asked, now.picture))

    compare()


def _compare(setup: Setup, prediction: Prediction) -> None:
    other = _choose(setup.asked)
    theirs = asking.answer(other, setup.picture)
    same_classes = prediction.classes == theirs.classes
    st.markdown(_agreement(setup, prediction, other, theirs) if same_classes else _no_agreement(prediction, theirs))
    sides = ((setup.asked, prediction), (other, theirs))
    places = st.container(horizontal=True, gap="medium")  # in a narrow window one below the other
    for asked, said in sides:
        with places.container(width=_WIDTH):
            _side(asked, said, setup)
    _costs(setup, sides)


def _choose(mine: Asked) -> Asked:
    options = nets.choices()
    key = st.session_state[OTHER.key]
    if key not in options:
        key = _partner(mine)
    with st.container(horizontal=True, gap="medium"):
        st.session_state[_NET] = key
        st.selectbox(
            "Second net", list(options), format_func=options.__getitem__, key=_NET, on_change=_net_chosen, width=280
        )
        net = nets.of(key)
        offered = asking.offered(net)
        weights = st.session_state[OTHER_WEIGHTS.key]
        weights = weights if weights in offered else next(iter(offered))
        st.session_state[_WEIGHTS] = weights
        st.selectbox(
            "Its weights",
            list(offered),
            format_func=offered.__getitem__,
            key=_WEIGHTS,
            on_change=_weights_chosen,
            width=280,
        )
    return asking.with_weights(net, weights, flips=mine.flips)


@st.cache_resource(show_spinner=False, max_entries=64)
def _partners(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Nets that come with weights for the same classes."""
    return tuple(weights.architecture for weights in bundled_weights().values() if weights.classes == classes)


def _partner(mine: Asked) -> str:
    """Another net that knows the same classes, where there is one."""
    return next((key for key in reversed(_partners(mine.known.classes)) if key != mine.net.key), workbench.NET.default)


def _net_chosen() -> None:
    st.session_state[OTHER.key] = st.session_state[_NET]
    st.session_state[OTHER_WEIGHTS.key] = None


def _weights_chosen() -> None:
    st.session_state[OTHER.key] = st.session_state[_NET]
    st.session_state[OTHER_WEIGHTS.key] = st.session_state[_WEIGHTS]


def _label(asked: Asked) -> str:
    weights = asked.known.weights
    return f"{plain(asked.net.label)}, {plain(weights.label) if weights else 'random weights'}"


def _agreement(setup: Setup, mine: Prediction, other: Asked, theirs: Prediction) -> str:
    one, two = (said.probabilities(setup.temperature)[0] for said in (mine, theirs))
    first, second = int(np.argmax(one)), int(np.argmax(two))
    names = mine.classes
    mean = (one + two) / 2
    best = int(np.argmax(mean))
    together = f"The mean of both gives {named(names[best])} {percent(float(mean[best]))}."
    shared = f"{percent(float(np.minimum(one, two).sum()))} of their probability lies on the same classes."
    if first == second:
        return f"**Both say {named(names[first])}.** {shared} {together}"
    return (
        f"**They disagree:** {plain(setup.asked.net.label)} says {named(names[first])}, {plain(other.net.label)} says "
        f"{named(names[second])}. {shared} {together}"
    )


def _no_agreement(mine: Prediction, theirs: Prediction) -> str:
    return (
        f"These nets tell different classes apart, {len(mine.classes):,} and {len(theirs.classes):,} of them: their "
        "probabilities cannot be compared."
    )


def _side(asked: Asked, said: Prediction, setup: Setup) -> None:
    st.markdown(f"**{_label(asked)}**")
    shown = asked.steps.picture(said.x[0].numpy())
    height, width = shown.shape[:2]
    seen, list_of = st.columns([1, 3.4], gap="small")
    seen.image(
        to_png(shown, scale=max(1, 2 * _SIDE // max(height, width))), width="stretch", caption=f"{width} × {height} px"
    )
    with list_of:
        bars(said, setup.num_shown, setup.temperature)


def _costs(setup: Setup, sides: tuple[tuple[Asked, Prediction], ...]) -> None:
    columns = []
    for asked, _ in sides:
        whole = totals(asked.described.facts)
        times, _ = asking.timed(asked, setup.picture)
        columns.append(
            {
                "parameters": f"{whole.num_params:,}",
                "MACs": f"{whole.macs:,}",
                "time for this picture": milliseconds(times.total_ms),
                "accuracy": plain(asked.known.weights.accuracy) if asked.known.weights else "not trained",
            }
        )
    body = "\n".join(f"| {name} | {columns[0][name]} | {columns[1][name]} |" for name in columns[0])
    heads = " | ".join(_label(asked) for asked, _ in sides)
    st.markdown(f"| | {heads} |\n|:--|--:|--:|\n{body}")
