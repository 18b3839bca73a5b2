"""The picture, what the net gets of it, and what it says: the middle of the page."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.figures.prediction import answer_bars, with_box
from cnnlab.images import Preprocessing, RgbImage, fit_within
from cnnlab.inference import Prediction
from cnnlab.ui.components.picture import picture
from cnnlab.ui.predicting.asking import Asked, answer
from cnnlab.ui.predicting.controls import Setup
from cnnlab.ui.text import plain, short

_HEIGHT = 262  # CSS pixels
_LONGEST = 480  # px; a larger original is sent reduced


def show(setup: Setup) -> Prediction:
    """Draw picture, input and answer."""
    prediction = answer(setup.asked, setup.picture)
    pictures(setup.asked, setup.picture, prediction, setup.label)
    if setup.is_drawing and not setup.picture.pixels.any():
        st.caption("Nothing is drawn yet, and the net must name a digit all the same.")
    bars(prediction, setup.num_shown, setup.temperature)
    return prediction


def pictures(asked: Asked, image: RgbImage, prediction: Prediction, label: str) -> None:
    """Draw the original with the part that the net sees, and beside it the pixels that it gets."""
    steps = asked.steps
    box = steps.crop_box(image)
    left, right = st.columns(2, gap="small")
    framed, scale = _framed(image, steps, f"{image.digest}|{steps}")
    height, width = prediction.x.shape[2:]
    rows, cols = box[2] * scale / height, box[3] * scale / width
    with left:
        picture(
            framed,
            key="predict.original",
            alt=f"{label}, with the part that the net sees",
            title=f"{short(label)}, {image.width} × {image.height} px",
            link="predict",
            max_height=_HEIGHT,
        )
    with right:
        picture(
            steps.picture(prediction.x[0].numpy()),
            key="predict.input",
            alt="What the net gets, pixel by pixel",
            title=f"What the net gets, {width} × {height} px",
            link="predict",
            # In the pixels of the original as it is shown here.
            mapping={
                "scale_row": rows,
                "scale_col": cols,
                "offset_row": box[0] * scale + (rows - 1) / 2,
                "offset_col": box[1] * scale + (cols - 1) / 2,
                "window_rows": rows,
                "window_cols": cols,
            },
            max_height=_HEIGHT,
        )


@st.cache_resource(show_spinner=False, scope="session", max_entries=4)
def _framed(_image: RgbImage, _steps: Preprocessing, key: str) -> tuple[NDArray[np.uint8], float]:
    """The original, small enough to be sent, and how many of its pixels are one of the original's."""
    del key
    small = fit_within(_image.pixels, _LONGEST)
    scale = small.shape[0] / _image.height
    top, left, height, width = (round(scale * part) for part in _steps.crop_box(_image))
    height, width = min(height, small.shape[0] - top), min(width, small.shape[1] - left)
    return with_box(small, (top, left, max(1, height), max(1, width))), scale


def bars(prediction: Prediction, num_shown: int, temperature: float, heading: str = "class") -> None:
    """Draw the most likely classes, and the others as one."""
    rows = prediction.top(num_shown, temperature=temperature)
    others = len(prediction.classes) - len(rows)
    rest = max(0.0, 1 - sum(row.probability for row in rows))
    st.html(answer_bars(rows, heading, others=(others, rest)))


def named(text: str) -> str:
    """A class as text: it may be a user's own word."""
    return plain(short(text))
