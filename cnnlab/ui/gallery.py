"""What the start page shows: the current image under some kernels, and the way to each page."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.figures.pictures import to_picture
from cnnlab.images import to_jpeg
from cnnlab.ops import KERNELS, apply_kernel, build_kernel
from cnnlab.ui import navigation, workbench

_SIDE = 320  # px
_SIGNED_SUM = 0.5  # kernels whose weights sum to less than this respond to change and are shown signed


def kernels(keys: list[str]) -> None:
    """Draw the current image under each kernel, each a way into the playground."""
    grey_hw = workbench.grey(_SIDE)
    for column, key in zip(st.columns(len(keys), gap="small"), keys, strict=True):
        with column:
            st.image(_shown(grey_hw, key), width="stretch")
            if st.button(KERNELS[key].label, key=f"start.{key}", help=KERNELS[key].purpose, width="stretch"):
                st.switch_page(navigation.page_object("kernels"), query_params={"kernel": key})


def _shown(grey_hw: NDArray[np.float32], key: str) -> bytes:
    kernel = build_kernel(key)
    response = apply_kernel(grey_hw, kernel)
    return to_jpeg(to_picture(response, "signed" if kernel.sum() < _SIGNED_SUM else "clamped", share=0.98).rgb())


def pages() -> None:
    """Draw a link to each page with the question it answers."""
    for key, entry in navigation.PAGES.items():
        if entry.section:
            with st.container(border=True):
                st.page_link(navigation.page_object(key))
                st.markdown(entry.question)
