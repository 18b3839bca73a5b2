"""From the picture to the numbers that enter the net, step by step."""

from dataclasses import replace

import numpy as np
import streamlit as st

from cnnlab.figures.pictures import to_picture
from cnnlab.images import Preprocessing, RgbImage
from cnnlab.inference import Prediction
from cnnlab.ui.components.picture import legend_of, picture
from cnnlab.ui.predicting.controls import Setup

_HEIGHT = 220  # CSS pixels


def show(setup: Setup, prediction: Prediction) -> None:
    """Draw the picture after each step, and the channels as the net gets them, on one scale."""
    steps = setup.asked.steps
    words, resized = st.columns([1, 1.2], gap="medium")
    with words:
        st.markdown("**What is done to the picture**")
        st.markdown("\n".join(f"{number}. {step}" for number, step in enumerate(steps.steps(), start=1)))
        x_chw = prediction.x[0].numpy()
        told = " The same was done in training." if setup.asked.known.weights else ""
        st.caption(
            f"{x_chw.size:,} numbers go in: {x_chw.shape[0]} × {x_chw.shape[1]} × {x_chw.shape[2]}, "
            f"{x_chw.nbytes / 1024:,.0f} KB as float32.{told}"
        )
    with resized:
        at_size = _resized(setup.picture, steps)
        height, width = at_size.shape[:2]
        cut = " before the middle is cut out" if steps.crop not in (None, (height, width)) else ""
        picture(
            at_size,
            key="predict.resized",
            alt="The picture at the size that it is resized to",
            title=f"Resized to {width} × {height} px{cut}",
            max_height=_HEIGHT,
        )
    st.markdown("**What enters the net, channel by channel**")
    names = {"grey": ("Grey",), "rgb": ("Red", "Green", "Blue"), "bgr": ("Blue", "Green", "Red")}[steps.channels]
    limit = float(np.abs(x_chw).max()) or 1.0
    for place, name, map_hw in zip(st.columns(3, gap="small"), names, x_chw, strict=False):
        shown = to_picture(map_hw, "signed", limits=(-limit, limit))
        with place:
            picture(
                shown.pixels,
                key=f"predict.channel-{name.lower()}",
                alt=f"{name} channel after normalisation",
                title=f"{name}: {map_hw.min():.2f} to {map_hw.max():.2f}, mean {map_hw.mean():.2f}".replace("-", "−"),
                lut=shown.lut,
                legend=legend_of(shown, "0 is the mean of the training pictures" if any(steps.mean) else "levels"),
                link="predict.channels",
                max_height=_HEIGHT,
            )


def _resized(image: RgbImage, steps: Preprocessing) -> np.ndarray:
    plain = replace(steps, crop=None, channels="rgb", mean=(0.0,) * 3, std=(1.0,) * 3)
    return plain.picture(plain.apply(image))
