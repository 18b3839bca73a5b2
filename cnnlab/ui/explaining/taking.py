"""What a user takes along: the overlay, the numbers of the map, and the lines of Python that make it."""

import io

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.explain import METHODS, Contrast
from cnnlab.figures.heat import Scale, overlay_png, own_scale, shared_scale
from cnnlab.images import SAMPLES
from cnnlab.ui import nets
from cnnlab.ui.explaining.controls import Setup
from cnnlab.ui.explaining.mapping import Made
from cnnlab.ui.explaining.wall import below
from cnnlab.ui.text import plain


def show(setup: Setup, made: dict[str, Made]) -> None:
    """Draw the downloads of the chosen map and the code behind it."""
    asking = setup.chosen
    map_hw = made[asking.id].map_hw
    st.markdown(f"**{plain(setup.name(asking))}**")
    if map_hw is None or made[asking.id].done < 1:
        st.info("The map is not done yet.")
    else:
        scale, picture = _scale(setup, made, map_hw), below(setup)
        with st.container(horizontal=True, gap="small"):
            st.download_button(
                "Overlay as PNG",
                # Made when it is asked for, in a thread that knows nothing of this session.
                lambda: overlay_png(picture, map_hw, scale, setup.look),
                f"{asking.method}.png",
                "image/png",
                on_click="ignore",
                icon=":material/image:",
                key="explain.png",
            )
            st.download_button(
                "Map as NumPy file",
                lambda: npy(map_hw),
                f"{asking.method}.npy",
                "application/octet-stream",
                on_click="ignore",
                icon=":material/data_array:",
                key="explain.npy",
            )
        height, width = map_hw.shape
        st.caption(f"The file holds {height} × {width} numbers, float32, unscaled: as the method makes them.")
    st.markdown("**The same in a notebook**")
    st.code(code(setup), language="python")


def npy(map_hw: NDArray[np.float32]) -> bytes:
    """An array as a `.npy` file."""
    file = io.BytesIO()
    np.save(file, map_hw, allow_pickle=False)
    return file.getvalue()


def _scale(setup: Setup, made: dict[str, Made], map_hw: NDArray[np.float32]) -> Scale:
    """The one in which the map is shown."""
    method = setup.chosen.method
    is_signed = METHODS[method].is_signed
    if not setup.look.shared or len(setup.askings) == 1:
        return own_scale(map_hw, is_signed=is_signed)
    others = [made[one.id].map_hw for one in setup.askings if one.method == method]
    return shared_scale([one for one in others if one is not None], is_signed=is_signed)


def code(setup: Setup) -> str:
    """Python that makes the chosen map, without the browser."""
    asked = setup.subject.asked
    target = setup.target
    question = f"Contrast({target.of}, {target.against})" if isinstance(target, Contrast) else str(target)
    imports = "METHODS, Contrast" if isinstance(target, Contrast) else "METHODS"
    weights = asked.known.weights
    lines = [f"from cnnlab.explain import {imports}"]
    sample = st.session_state["workbench.image"]
    if weights is not None and weights.architecture and asked.net.architecture == asked.net.key and sample in SAMPLES:
        lines += [
            "from cnnlab.images import load_sample, to_tensor",
            "from cnnlab.nets import ARCHITECTURES, load_weights, weights_for",
            "",
            f'weights = weights_for("{asked.net.key}")["{_key(setup)}"]',
            f'model = ARCHITECTURES["{asked.net.key}"].build(num_classes={weights.num_classes}, '
            f"in_channels={weights.in_channels})",
            "load_weights(model, weights)",
            f'x = to_tensor(load_sample("{sample}"), weights.preprocessing)',
        ]
    else:
        lines += ["", "# model is your net, x a picture as it takes it: (1, C, H, W), normalised"]
    layer = setup.chosen.layer or setup.layer
    told = f"  # {setup.asked(setup.chosen.target)}"
    lines.append(f'map_hw = METHODS["{setup.chosen.method}"].run(model, x, {question}, "{layer}")[0]{told}')
    return "\n".join(lines)


def _key(setup: Setup) -> str:
    """What the weights are called in the table."""
    asked = setup.subject.asked
    return next(name for name, one in nets.weights_of(asked.net).items() if one == asked.known.weights)
