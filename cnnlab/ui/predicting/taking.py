"""What a user takes along: the result as JSON, and the lines of Python that give the same."""

import json

import streamlit as st

from cnnlab.images import SAMPLES
from cnnlab.inference import Prediction
from cnnlab.nets import ARCHITECTURES
from cnnlab.ui import nets
from cnnlab.ui.predicting.asking import Asked
from cnnlab.ui.predicting.controls import Setup
from cnnlab.ui.run_weights import RUN

_HEIGHT, _NARROW, _WIDE = 300, 380, 680  # CSS pixels


def show(setup: Setup, prediction: Prediction) -> None:
    """Draw the result in the tutorials' form with its download, and the code."""
    result = json.dumps(prediction.as_json(), indent=2, ensure_ascii=False)
    places = st.container(horizontal=True, gap="medium")  # in a narrow window one below the other
    with places.container(width=_NARROW):
        st.markdown("**The result**")
        st.code(result, language="json", height=_HEIGHT)
        st.download_button(
            "Download",
            result,
            "prediction.json",
            "application/json",
            on_click="ignore",
            icon=":material/data_object:",
            key="predict.json",
        )
        st.caption("The confidence is the largest probability, at temperature 1 whatever the slider says.")
    with places.container(width=_WIDE):
        st.markdown("**The same in a notebook**")
        lines = code(setup.asked, st.session_state["workbench.image"] if not setup.is_drawing else "")
        if lines:
            st.code(lines, language="python", height=_HEIGHT, wrap_lines=True)
        else:
            st.caption(
                "This net is one of your own. The Architecture explorer writes it as a PyTorch module under “As text”."
            )


def code(asked: Asked, image: str) -> str:
    """Python that loads the net and asks it the same; "" for a net that only its maker has.

    Args:
        asked: The net.
        image: Key of a sample, or anything else for a file of one's own.
    """
    key, weights = asked.net.key, asked.known.weights
    is_sample = image in SAMPLES
    picture = f'load_sample("{image}")' if is_sample else 'decode(Path("picture.png").read_bytes())'
    imports = [] if is_sample else ["from pathlib import Path", ""]
    imports += [f"from cnnlab.images import {'load_sample' if is_sample else 'decode'}"]
    steps, classes = "weights.preprocessing", "weights.classes"
    flips = ", flips=True" if asked.flips else ""
    if key in ARCHITECTURES:
        made = f'build_seeded("{key}", seed={asked.known.seed}{_shape(asked)})'
        if weights is None:
            loading = [f"model = {made}"]
            imports += ["from cnnlab.images import Preprocessing", "from cnnlab.nets import build_seeded"]
            steps, classes = repr(asked.steps), repr(asked.known.classes)
        else:
            name = next((name for name, one in nets.weights_of(asked.net).items() if one.file == weights.file), "")
            if not name:
                return ""
            imports += ["from cnnlab.nets import build_seeded, load_weights, weights_for"]
            loading = [
                f'weights = weights_for("{key}")["{name}"]',
                f"load_weights(model := {made}, weights)",
            ]
    elif key.startswith(RUN) and weights is not None:
        imports += ["from cnnlab.images import Preprocessing", "from cnnlab.runs import store"]
        imports += ["from cnnlab.train.building import of_run"]
        epoch = int(weights.path.stem.rpartition("_")[2])
        loading = [f'model = of_run(store.folder("{key.removeprefix(RUN)}"), {epoch})']
        steps, classes = repr(asked.steps), repr(asked.known.classes)
    else:
        return ""
    imports += ["from cnnlab.inference import predict"]
    asking = f"predict(model, [{picture}], {steps}, {classes}{flips}).as_json()"
    return "\n".join([*sorted_imports(imports), "", *loading, asking])


def sorted_imports(imports: list[str]) -> list[str]:
    """Imports as a formatter would put them, those of one module on one line."""
    outside = [line for line in imports if not line.startswith("from cnnlab")]
    named: dict[str, set[str]] = {}
    for line in imports:
        if line.startswith("from cnnlab"):
            module, _, names = line.removeprefix("from ").partition(" import ")
            named.setdefault(module, set()).update(names.split(", "))
    return outside + [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(named.items())]


def _shape(asked: Asked) -> str:
    """Classes and channels, where they are not those that the net was made for."""
    made = ARCHITECTURES[asked.net.key]
    classes, channels = len(asked.known.classes), len(asked.steps.mean)
    said = f", num_classes={classes}" if classes != made.num_classes else ""
    return said + (f", in_channels={channels}" if channels != made.input_shape[0] else "")
