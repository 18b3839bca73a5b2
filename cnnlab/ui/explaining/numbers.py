"""The numbers of the map that is looked at closely."""

import streamlit as st
import torch

from cnnlab.explain import METHODS, Contrast
from cnnlab.explain.integrated_gradients import to_account_for
from cnnlab.figures.prediction import percent
from cnnlab.ui import nets
from cnnlab.ui.explaining.controls import Setup
from cnnlab.ui.explaining.mapping import Made
from cnnlab.ui.text import plain


def show(setup: Setup, made: Made) -> None:
    """Draw what the net says, what the map holds, what it took, and what it cannot tell."""
    target, seen = setup.target, setup.seen
    method = METHODS[setup.chosen.method]
    st.metric(
        "The net says" if setup.class_index == seen.predicted else "Asked about",
        setup.label(setup.class_index),
        border=False,
    )
    rows = [("probability", percent(seen.probs[setup.class_index]))]
    if isinstance(target, Contrast):
        rows.append((f"… of {plain(setup.label(target.against))}", percent(seen.probs[target.against])))
        rows.append(("logits apart", number(seen.logits[target.of] - seen.logits[target.against])))
    else:
        rows.append(("logit", number(seen.logits[setup.class_index])))
    if setup.class_index != seen.predicted:
        rows.append((f"says {plain(setup.label(seen.predicted))}", percent(seen.probs[seen.predicted])))
    st.markdown(_table(rows))
    st.markdown(f"**{plain(method.label)}**")
    rows = []
    if setup.chosen.layer:
        rows.append(("layer", plain(setup.chosen.layer)))
    if made.map_hw is not None:
        rows += [("least", number(float(made.map_hw.min()))), ("most", number(float(made.map_hw.max())))]
        if setup.chosen.method == "integrated_gradients" and made.is_over:
            # Completeness: a gap tells how far 50 steps along the path are from the integral.
            rows.append(("adds up to", number(float(made.map_hw.sum()))))
            rows.append(("should add up to", number(float(to_account_for(seen.passed, target)))))
    rows.append(("pass through the net", milliseconds(seen.forward_ms)))
    rows.append(("method, on that pass", milliseconds(made.took_ms) if made.is_over else "going on"))
    st.markdown(_table(rows))
    threads = torch.get_num_threads()
    st.caption(
        f"Timed once on {seen.passed.x.device.type.upper()}, {threads} thread{'' if threads == 1 else 's'}. "
        "Another class or method shares the pass."
    )
    blind = "" if method.is_class_specific else " It does not know which class is asked for."
    st.caption(f"{plain(method.about)}{blind} **Mind:** {plain(method.caution)}")
    nets.say_weights(setup.subject.asked.known)
    st.caption(
        "A heat map shows association, not cause: what went along with the answer, for this picture. Look below at "
        "whether the net really rests on it."
    )


def _table(rows: list[tuple[str, str]]) -> str:
    body = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"| | |\n|:--|--:|\n{body}"


def number(value: float) -> str:
    """Three significant digits with a true minus sign."""
    text = f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e")
    return text.replace("-", "−")


def milliseconds(value: float) -> str:
    """A time with as many digits as mean something."""
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"
