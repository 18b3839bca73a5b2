"""Every colour that stands for data, in one place.

Magnitudes use viridis; signed values a blue – neutral – orange map, built here in OKLab so that equal steps in value
are equal steps in lightness on both sides of zero; classes the eight colours of Okabe and Ito (2008), which people
with any common colour blindness tell apart.

OKLab: B. Ottosson, "A perceptual color space for image processing", 2020.
"""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7F7F7F")
"""Colours of classes, by index. The last is a grey in place of black, which vanishes on a dark page."""

TRAIN = OKABE_ITO[0]
VALIDATION = OKABE_ITO[1]

_LIGHTEST, _DARKEST = 0.955, 0.55  # OKLab lightness of zero and of the ends
_MOST_CHROMA = 0.13  # what both hues have inside sRGB at almost every lightness in between
_BLUE_HUE, _ORANGE_HUE = np.radians(250.0), np.radians(64.0)


def _oklab_to_srgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """OKLab (..., 3) to sRGB (..., 3) in [0, 1], clipped to the gamut."""
    to_lms = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(((lab @ to_lms.T) ** 3) @ to_rgb.T, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@functools.cache
def diverging() -> NDArray[np.uint8]:
    """Blue – neutral – orange for signed values, (256, 3) RGB; 127 and 128 are the same neutral grey: zero."""
    value = np.abs(np.arange(256) - 127.5) - 0.5  # 127 … 0, 0 … 127
    distance = value / value.max()
    lightness = _LIGHTEST + (_DARKEST - _LIGHTEST) * distance
    chroma = _MOST_CHROMA * np.sin(distance * np.pi / 2)
    hue = np.where(np.arange(256) < 128, _BLUE_HUE, _ORANGE_HUE)
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    return _frozen(np.rint(_oklab_to_srgb(lab) * 255).astype(np.uint8))


@functools.cache
def sequential() -> NDArray[np.uint8]:
    """Viridis for magnitudes, (256, 3) RGB, dark to light."""
    steps = np.arange(256, dtype=np.uint8)
    bgr = cv2.applyColorMap(steps[:, None], cv2.COLORMAP_VIRIDIS)
    return _frozen(np.asarray(bgr[:, 0, ::-1], dtype=np.uint8).copy())


@functools.cache
def greys() -> NDArray[np.uint8]:
    """Black to white, (256, 3) RGB: for what is looked at as a picture."""
    return _frozen(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))


def as_plotly(lut: NDArray[np.uint8]) -> list[list[object]]:
    """A (256, 3) look-up table as Plotly's colour scale, every fourth colour."""
    chosen = [*range(0, 255, 4), 255]
    return [[index / 255, "rgb({},{},{})".format(*lut[index])] for index in chosen]


def _frozen(lut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    lut.flags.writeable = False  # shared by every session
    return lut
