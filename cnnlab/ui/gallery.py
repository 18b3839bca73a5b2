"""What the start page shows: the current image under some kernels, and the way to each page."""

import numpy as np
import streamlit as st

from cnnlab.figures.pictures import to_picture
from cnnlab.images import to_jpeg
from cnnlab.ops import KERNELS, apply_kernel, build_kernel
from cnnlab.ui import navigation, workbench

_SIDE = 320  # px
_SIGNED_SUM = 0.5  # kernels whose weights sum to less than this respond to change and are shown signed


def kernels(keys: list[str]) -> None:
    """Draw the current image under each kernel, each a way into the playground."""
    grey_hw = workbench.grey(_SIDE)
    built = {key: build_kernel(key) for key in keys}
    responses = {key: apply_kernel(grey_hw, kernel) for key, kernel in built.items()}
    signed = [responses[key].ravel() for key in keys if abs(built[key].sum()) < _SIGNED_SUM]
    limit = to_picture(np.concatenate(signed)[None], "signed", share=0.98).maximum if signed else 1.0
    with st.container(key="start-kernels"):
        columns = st.columns(len(keys), gap="small")
    for column, key in zip(columns, keys, strict=True):
        with column:
            if abs(built[key].sum()) < _SIGNED_SUM:
                shown = to_picture(responses[key], "signed", limits=(-limit, limit))
            else:
                shown = to_picture(responses[key], "clamped")
            st.image(to_jpeg(shown.rgb()), width="stretch")
            if st.button(KERNELS[key].label, key=f"start.{key}", help=KERNELS[key].purpose, width="stretch"):
                st.switch_page(navigation.page_object("kernels"), query_params={"kernel": key})
    st.caption(
        f"Your current image under six kernels. Edges share one scale: blue −{limit:.2g}, grey 0, orange {limit:.2g}; "
        "2 % of their numbers lie beyond and are shown like the ends. Blur and sharpen: 0 black, 1 white."
    )


def pages() -> None:
    """Draw a link to each page with the question it answers."""
    for key, entry in navigation.PAGES.items():
        if entry.section:
            with st.container(border=True):
                st.page_link(navigation.page_object(key))
                st.markdown(entry.question)
