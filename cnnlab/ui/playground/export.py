"""What a user takes along: the result as a picture, the kernel as JSON, and the PyTorch code that does the same."""

import streamlit as st

from cnnlab.figures.pictures import to_picture
from cnnlab.images import to_png
from cnnlab.ops import kernel_json, kernel_torch_code
from cnnlab.ui.playground.controls import SCALING, SHARE, Setup
from cnnlab.ui.playground.results import Response


def show(response: Response, setup: Setup) -> None:
    """Draw the downloads and the code."""
    st.subheader("Take it with you", anchor=False)
    scaling, share = st.session_state[SCALING.key], int(st.session_state[SHARE.key]) / 100
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Result as PNG",
            # Made when it is asked for: encoding costs more than all the rest of this page.
            lambda: to_png(to_picture(response.values, scaling, share=share).rgb()),
            "result.png",
            "image/png",
            on_click="ignore",
            icon=":material/image:",
            key="kernels.png",
        )
        st.download_button(
            "Kernel as JSON",
            kernel_json(setup.kernel, **setup.geometry, activation=setup.activation),
            "kernel.json",
            "application/json",
            on_click="ignore",
            icon=":material/data_object:",
            key="kernels.json",
        )
    st.code(
        kernel_torch_code(setup.kernel, **setup.geometry, activation=setup.activation, channels=setup.channels),
        language="python",
    )
