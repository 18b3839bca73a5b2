"""Pictures of a data set side by side, each with what the net says of it."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from cnnlab.data import Dataset
from cnnlab.images import to_jpeg, to_png
from cnnlab.train.evaluating import Evaluation
from cnnlab.ui.text import plain

_WIDTH = 104  # CSS pixels
_SHARP = 208  # px, for screens with two pixels to one of CSS


def pictures(dataset: Dataset, seen: Evaluation, rows: Sequence[int]) -> None:
    """Draw rows of an evaluation as pictures, enlarged to squares where they are small.

    Args:
        dataset: With the pictures.
        seen: What the net says of them.
        rows: Of `seen`, in order.
    """
    with st.container(horizontal=True, gap="small"):
        for row in rows:
            st.image(
                _encoded(dataset.pictures[int(seen.indices[row])].numpy()),
                caption=_caption(dataset.classes, seen, row),
                width=_WIDTH,
            )


def _encoded(pixels_hwc: np.ndarray) -> bytes:
    pixels = pixels_hwc[:, :, 0] if pixels_hwc.shape[2] == 1 else pixels_hwc
    side = max(pixels.shape[:2])
    return to_jpeg(pixels) if side > _SHARP else to_png(pixels, scale=-(-_SHARP // side))


def _caption(classes: Sequence[str], seen: Evaluation, row: int) -> str:
    truth, said = classes[int(seen.labels[row])], classes[int(seen.predictions[row])]
    sure = f"{100 * (seen.confidences[row]):.0f} %"
    return f"{plain(truth)}, {sure}" if truth == said else f"{plain(truth)}, said **{plain(said)}**, {sure}"
