"""What the answer is, how long it took, and where to go from here: the right of the page."""

import streamlit as st

from cnnlab.figures.prediction import percent
from cnnlab.inference import Prediction
from cnnlab.ui import navigation, nets, workbench
from cnnlab.ui.predicting import trusting
from cnnlab.ui.predicting.answering import named
from cnnlab.ui.predicting.asking import timed
from cnnlab.ui.predicting.controls import Setup

_TAKEN = "All pages then look at your drawing: the Grad-CAM viewer shows where in it the answer comes from."


def show(setup: Setup, prediction: Prediction) -> None:
    """Draw the answer in words, what it is worth, and the time it took."""
    first, *others = prediction.top(2, temperature=setup.temperature)
    st.metric("The net says", named(first.label))
    ahead = "".join(f"; {first.logit - one.logit:.2f} ahead of {named(one.label)} in logits" for one in others)
    st.caption(f"with a probability of {percent(first.probability)}{ahead}.")
    trusting.in_short(setup, prediction)
    _times(setup, prediction)


def onward(setup: Setup, prediction: Prediction) -> None:
    """Draw where the weights come from, and the way to the explanation of the answer."""
    nets.say_weights(setup.asked.known)
    if setup.is_drawing:
        if st.button("Make it the current image", icon=":material/image:", help=_TAKEN, key="predict.take"):
            workbench.take(setup.picture)
            st.rerun()
        return
    [best] = prediction.top(1)
    st.page_link(
        navigation.page_object("explain"),
        label=f"Why {named(best.label)}? Open the Grad-CAM viewer",
        icon=":material/visibility:",
        query_params={"class": str(best.class_index)},
    )


def _times(setup: Setup, prediction: Prediction) -> None:
    times, runs = timed(setup.asked, setup.picture)
    rows = {
        "preprocessing": times.preprocess_ms,
        "net": times.forward_ms,
        "softmax": times.softmax_ms,
        "**in all**": times.total_ms,
    }
    body = "\n".join(f"| {name} | {milliseconds(value)} |" for name, value in rows.items())
    st.markdown(f"| | |\n|:--|--:|\n{body}")
    threads = f", {prediction.threads} thread{'' if prediction.threads == 1 else 's'}" if _on_cpu(prediction) else ""
    st.caption(f"Median of {runs} runs on {prediction.device}{threads}.")


def _on_cpu(prediction: Prediction) -> bool:
    return prediction.device == "CPU"


def milliseconds(value: float) -> str:
    """A time with three significant digits."""
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"
