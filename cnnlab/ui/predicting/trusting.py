"""What the answer is worth: how often the net is right when it is so sure, and whether it knows pictures like this."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.figures.calibration import reliability_diagram
from cnnlab.figures.prediction import among, percent
from cnnlab.images import to_png
from cnnlab.inference import Prediction, predict
from cnnlab.inference.calibrating import Bin
from cnnlab.inference.novelty import FAMILIARITIES, blank_pictures, judge
from cnnlab.inference.references import Reference, measure, reference_of
from cnnlab.nets.weights import bundled_weights
from cnnlab.ui import nets, run_weights
from cnnlab.ui.predicting.answering import named
from cnnlab.ui.predicting.asking import Asked
from cnnlab.ui.predicting.controls import TEMPERATURE, Setup, nearest
from cnnlab.ui.run_weights import RUN
from cnnlab.ui.text import plain
from cnnlab.ui.training import evaluations

_STRANGE, _UNUSUAL, _BEYOND = 0.01, 0.05, 0.999
_COLDEST = 0.051  # a fit that ends here would have gone on
_SIDE, _WIDTH = 96, 530  # CSS pixels


def known(asked: Asked) -> Reference | None:
    """What is known of the net's weights, where it came with them."""
    weights = asked.known.weights
    if weights is None or weights.url or asked.net.key.startswith(RUN):
        return None
    return _bundled(weights.file, weights.sha256)


@st.cache_resource(show_spinner=False, max_entries=64)
def _bundled(file: str, sha256: str) -> Reference | None:
    del sha256  # other weights under the same name have another reference
    key = next((key for key, one in bundled_weights().items() if one.file == file), None)
    return reference_of(key) if key else None


def bin_of(reference: Reference, confidence: float) -> Bin:
    """The pictures of which the net was about as sure."""
    filled = [one for one in reference.by_mass.bins if one.count]
    return next((one for one in filled if confidence <= one.high), filled[-1])


def in_short(setup: Setup, prediction: Prediction) -> None:
    """Say in two sentences what the answer is worth, where that is known."""
    reference = known(setup.asked)
    if reference is None:
        return
    confidence = float(prediction.probabilities()[0].max())
    among = bin_of(reference, confidence)
    assert among.accuracy is not None
    plainly = "" if setup.temperature == 1 else " at temperature 1"
    st.metric("Right when so sure", percent(among.accuracy))
    low, high = percent(among.low), percent(among.high)
    sure = f"up to {high}" if among.low == 0 else f"{low} to {high}" if low != high else low
    st.caption(f"of {among.count:,} {plain(reference.pictures)}, those answered with {sure}{plainly}.")
    [energy] = judge(prediction.logits[0], {"energy": reference.spreads["energy"]}, reference.pictures)
    st.metric("Looks", familiar(energy.share_below))
    st.caption(plain(energy.said))


def familiar(share: float) -> str:
    """How familiar a picture looks, by the share of known pictures that look as strange or stranger."""
    if share < _STRANGE:
        return "like nothing it knows"
    if share > _BEYOND:
        return "too familiar"
    return "unusual" if share < _UNUSUAL else "familiar"


def show(setup: Setup, prediction: Prediction) -> None:
    """Draw the calibration of the net, the place of this picture among those it knows, and its answers to nothing."""
    reference = known(setup.asked) or _of_run(setup.asked)
    if reference is None:
        st.info(_why_unknown(setup.asked), icon=":material/help:")
    else:
        places = st.container(horizontal=True, gap="medium")  # in a narrow window one below the other
        left, right = (places.container(width=_WIDTH) for _ in range(2))
        with left:
            _calibration(setup, prediction, reference)
        with right:
            _novelty(prediction, reference)
    _blanks(setup, reference)


def _why_unknown(asked: Asked) -> str:
    if asked.known.weights is None:
        return "The weights are random: what the net says is worth nothing, however sure it sounds."
    return (
        "What this net's confidence is worth can be told from pictures of its kind with known classes, and none are at "
        "hand for these weights. Those that come with the lab, and those of runs, have them."
    )


def _of_run(asked: Asked) -> Reference | None:
    """What is known of the net of a run, from its validation pictures, once it has been asked about them."""
    weights = asked.known.weights
    if weights is None or not asked.net.key.startswith(RUN):
        return None
    run = run_weights.run_of(asked.net.key)
    epoch = int(weights.path.stem.rpartition("_")[2])
    dataset = evaluations.pictures_of(run, epoch)
    seen = None if dataset is None else evaluations.looked_at(run, epoch, dataset)
    return None if seen is None else measure(seen.logits, seen.labels, "validation pictures of the run")


def _blanks(setup: Setup, reference: Reference | None) -> None:
    st.markdown("**What it says of nothing**")
    pictures = blank_pictures(setup.asked.steps)
    said = _of_blanks(setup.asked, setup.asked.key)
    for index, (place, (label, image)) in enumerate(zip(st.columns(5, gap="small"), pictures.items(), strict=True)):
        [best] = said.top(1, index, setup.temperature)
        with place:
            st.image(to_png(_with_edge(image.pixels), scale=max(1, 2 * _SIDE // image.height)), width=_SIDE)
            st.markdown(f"{label}: **{named(best.label)}**, {percent(best.probability)}")
            if reference:
                [energy] = judge(said.logits[index], {"energy": reference.spreads["energy"]}, reference.pictures)
                st.caption(f"looks {familiar(energy.share_below)}")
    st.caption(
        "There is no answer “none of these”: the softmax divides the certainty among the classes, whatever the picture."
    )


def _with_edge(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey line around the picture: white is seen on a white page, and black on a black one."""
    return np.pad(pixels, ((1, 1), (1, 1), (0, 0)), constant_values=128)


@st.cache_resource(show_spinner=False, max_entries=64)
def _of_blanks(_asked: Asked, key: str) -> Prediction:
    del key
    with nets.run_of(_asked.described):
        return predict(
            _asked.known.model,
            list(blank_pictures(_asked.steps).values()),
            _asked.steps,
            _asked.known.classes,
            flips=_asked.flips,
        )


def _calibration(setup: Setup, prediction: Prediction, reference: Reference) -> None:
    scaled = reference.scaled
    before, after = scaled.before, scaled.after
    confidence = float(prediction.probabilities()[0].max())
    can_be_fitted = scaled.temperature > _COLDEST
    shown = {"as it says": before} | ({f"at temperature {scaled.temperature:.3g}": after} if can_be_fitted else {})
    st.markdown("**Is it as often right as it is sure?**")
    figure = reliability_diagram(shown)
    figure.add_vline(x=100 * confidence, line={"color": "#7F7F7F", "width": 2})
    st.plotly_chart(figure, key="predict.reliability", config={"displayModeBar": False})
    fitted = (
        f"the temperature was fitted to {scaled.num_fitted:,} others (Guo et al. 2017)"
        if can_be_fitted
        else f"no temperature can be fitted, because {scaled.num_fitted:,} others are all told right"
    )
    st.caption(
        f"{before.count:,} {plain(reference.pictures)}; {fitted}. The upright line is this answer, "
        f"{percent(confidence)}."
    )
    rows = {
        "told right": [percent(one.accuracy) for one in shown.values()],
        "mean confidence": [percent(one.confidence) for one in shown.values()],
        "expected calibration error (ECE)": [percent(one.ece) for one in shown.values()],
        "negative log likelihood": [f"{one.nll:.3f}" for one in shown.values()],
    }
    body = "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())
    st.markdown(f"| | {' | '.join(shown)} |\n|:--|{'--:|' * len(shown)}\n{body}")
    nearby = nearest(scaled.temperature)
    if can_be_fitted and setup.temperature != nearby:
        st.button(
            f"Set the temperature to {nearby:g}",
            key="predict.fitted",
            icon=":material/thermostat:",
            on_click=_set_temperature,
            args=(nearby,),
        )


def _set_temperature(temperature: float) -> None:
    st.session_state[TEMPERATURE.key] = temperature


def _novelty(prediction: Prediction, reference: Reference) -> None:
    st.markdown("**Has it seen pictures like this?**")
    verdicts = {one.key: one for one in judge(prediction.logits[0], reference.spreads, reference.pictures)}
    energy = verdicts["energy"]
    figure = among(reference.spreads["energy"], energy.value, FAMILIARITIES["energy"].label.lower())
    st.plotly_chart(figure, key="predict.among", config={"displayModeBar": False})
    if energy.share_below < _STRANGE:
        st.markdown(
            f"**This looks like nothing it was trained on.** {plain(energy.said)} It names "
            f"{named(prediction.top(1)[0].label)} all the same."
        )
    elif energy.share_below > _BEYOND:
        st.markdown(
            f"**Surer than of any picture it knows.** {plain(energy.said)} That is strange, too: evidence without end "
            "comes from pictures unlike any in training."
        )
    else:
        st.markdown(plain(energy.said))
    for key, verdict in verdicts.items():
        if key != "energy":
            st.caption(plain(verdict.said))
    _separations(reference)


def _separations(reference: Reference) -> None:
    if not reference.separations:
        return
    keys = list(FAMILIARITIES)
    heads = " | ".join(FAMILIARITIES[key].label.lower() for key in keys)
    body = "\n".join(
        f"| {plain(name)} | " + " | ".join(percent(found[key]) if key in found else "" for key in keys) + " |"
        for name, found in reference.separations.items()
    )
    st.markdown(f"| told from | {heads} |\n|:--|{'--:|' * len(keys)}\n{body}")
    st.caption(
        f"How often one of the {plain(reference.pictures)} looks more familiar than one of these strangers; 50 % is "
        "chance. So a familiar look is no proof."
    )
