"""How much a picture can be disturbed before a net changes its mind.

The picture is first brought to the size at which the net's preprocessing would crop it, and disturbed there: noise and
blur then mean the same for a photograph of 12 megapixels as for a thumbnail, instead of vanishing when it is resized.

Several disturbances at once are applied in the order of `DISTURBANCES`, which is the way of the light: the object moves
and is covered, the lens blurs, the sensor takes it too bright or too dark and adds noise, the file is compressed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from cnnlab.errors import InputRejected
from cnnlab.images import Preprocessing, RgbImage, to_jpeg
from cnnlab.inference.batching import logits_of_pictures

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """One way to disturb a picture.

    Attributes:
        label: Name shown to people.
        unit: Of the amount.
        low: Smallest amount.
        high: Largest amount.
        neutral: Amount that leaves every pixel as it is.
        about: What a larger amount does, in a sentence for people.
        apply: Pixels (H, W, 3) and an amount → pixels of the same shape; does not change what it is given.
    """

    label: str
    unit: str
    low: float
    high: float
    neutral: float
    about: str
    apply: Callable[[Pixels, float], Pixels]


def disturb(pixels: Pixels, amounts: Mapping[str, float]) -> Pixels:
    """Apply several disturbances, in the order of `DISTURBANCES` whatever the order of `amounts`.

    Args:
        pixels: RGB, (H, W, 3); left as they are.
        amounts: Key of `DISTURBANCES` → how much. Neutral ones cost nothing.

    Returns:
        (H, W, 3), uint8.

    Raises:
        InputRejected: There is no such disturbance, or an amount is out of its range.
    """
    if unknown := amounts.keys() - DISTURBANCES.keys():
        raise InputRejected(
            f"There is no disturbance {', '.join(sorted(unknown))}; choose among {', '.join(DISTURBANCES)}."
        )
    for key, disturbance in DISTURBANCES.items():
        amount = amounts.get(key, disturbance.neutral)
        if not disturbance.low <= amount <= disturbance.high:
            raise InputRejected(
                f"{disturbance.label} takes {disturbance.low:g} to {disturbance.high:g} {disturbance.unit}, "
                f"got {amount:g}."
            )
        if amount != disturbance.neutral:
            pixels = disturbance.apply(pixels, amount)
    return pixels


def disturbed(image: RgbImage, preprocessing: Preprocessing, amounts: Mapping[str, float]) -> RgbImage:
    """The picture at the size at which it is cropped for the net, disturbed. `preprocessing` then only crops it.

    Raises:
        InputRejected: As `disturb` and `Preprocessing.apply`.
    """
    # Values v / 255 come back as exactly v, so that an undisturbed picture is the very one that the net gets.
    resizing = replace(preprocessing, crop=None, channels="rgb", mean=(0.0,) * 3, std=(1.0,) * 3)
    return RgbImage(disturb(resizing.picture(resizing.apply(image)), amounts), name=image.name)


def sweep(
    model: nn.Module,
    image: RgbImage,
    preprocessing: Preprocessing,
    key: str,
    amounts: Sequence[float],
    others: Mapping[str, float] | None = None,
) -> NDArray[np.float32]:
    """What the net says as one disturbance grows, in batches.

    Args:
        model: Of `cnnlab.inference.share`, or any other, which stays as it is.
        image: Left as it is.
        preprocessing: What the net was fed in training.
        key: Of `DISTURBANCES`.
        amounts: At least one.
        others: Amounts of further disturbances, the same all along.

    Returns:
        Logits, (amounts, classes).

    Raises:
        InputRejected: As `disturb` and `Preprocessing.apply`.
    """
    base = disturbed(image, preprocessing, {})
    rest = dict(others or {})
    pictures = (RgbImage(disturb(base.pixels, {**rest, key: float(amount)})) for amount in amounts)
    return logits_of_pictures(model, pictures, preprocessing)


def _moved(pixels: Pixels, matrix: NDArray[np.float64]) -> Pixels:
    """Bilinear; beyond the border its pixels go on, so that nothing appears that was not there."""
    height, width = pixels.shape[:2]
    moved = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)


def _rotate(pixels: Pixels, degrees: float) -> Pixels:
    height, width = pixels.shape[:2]
    # About the middle of the picture, which lies between pixels where a side is even.
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return _moved(pixels, np.asarray(matrix, dtype=np.float64))


def _shift_right(pixels: Pixels, percent: float) -> Pixels:
    return _moved(pixels, np.array([[1.0, 0.0, percent / 100 * pixels.shape[1]], [0.0, 1.0, 0.0]]))


def _shift_down(pixels: Pixels, percent: float) -> Pixels:
    return _moved(pixels, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, percent / 100 * pixels.shape[0]]]))


def _cover(pixels: Pixels, percent: float) -> Pixels:
    height, width = pixels.shape[:2]
    side = round(percent / 100 * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    covered = pixels.copy()
    covered[top : top + side, left : left + side] = 128
    return covered


def _blur(pixels: Pixels, percent: float) -> Pixels:
    sigma = percent / 100 * min(pixels.shape[:2])
    blurred = cv2.GaussianBlur(pixels, (0, 0), sigmaX=sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, dtype=np.uint8)


def _as_levels(values: NDArray[np.floating]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _brighten(pixels: Pixels, levels: float) -> Pixels:
    return _as_levels(pixels.astype(np.float32) + np.float32(levels))


def _contrast(pixels: Pixels, factor: float) -> Pixels:
    mean = pixels.mean(dtype=np.float64)
    return _as_levels(mean + factor * (pixels.astype(np.float64) - mean))


def _add_noise(pixels: Pixels, sigma: float) -> Pixels:
    # The same grains at every amount, so that a curve over amounts is smooth and can be drawn again.
    grains = np.random.default_rng(0).standard_normal(pixels.shape, dtype=np.float32)
    return _as_levels(pixels.astype(np.float32) + np.float32(sigma) * grains)


def _compress(pixels: Pixels, loss: float) -> Pixels:
    packed = np.frombuffer(to_jpeg(pixels, quality=max(1, round(100 - loss))), dtype=np.uint8)
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR_RGB), dtype=np.uint8)


DISTURBANCES: dict[str, Disturbance] = {
    "rotate": Disturbance(
        label="Rotation",
        unit="°",
        low=-180,
        high=180,
        neutral=0,
        about="Turns the picture against the clock, about its middle; the border's pixels fill the corners.",
        apply=_rotate,
    ),
    "shift_right": Disturbance(
        label="Shift to the right",
        unit="% of the width",
        low=-50,
        high=50,
        neutral=0,
        about="Moves the picture; the border's pixels fill what becomes free.",
        apply=_shift_right,
    ),
    "shift_down": Disturbance(
        label="Shift down",
        unit="% of the height",
        low=-50,
        high=50,
        neutral=0,
        about="Moves the picture; the border's pixels fill what becomes free.",
        apply=_shift_down,
    ),
    "cover": Disturbance(
        label="Covering patch",
        unit="% of the shorter side",
        low=0,
        high=100,
        neutral=0,
        about="Lays a grey square over the middle.",
        apply=_cover,
    ),
    "blur": Disturbance(
        label="Blur",
        unit="% of the shorter side",
        low=0,
        high=15,
        neutral=0,
        about="Gaussian blur; the amount is its standard deviation.",
        apply=_blur,
    ),
    "brightness": Disturbance(
        label="Brightness",
        unit="levels",
        low=-200,
        high=200,
        neutral=0,
        about="Adds the amount to every level; what leaves 0 to 255 is cut off.",
        apply=_brighten,
    ),
    "contrast": Disturbance(
        label="Contrast",
        unit="×",
        low=0,
        high=4,
        neutral=1,
        about="Multiplies the distance of every level from the picture's mean; 0 leaves one grey.",
        apply=_contrast,
    ),
    "noise": Disturbance(
        label="Noise",
        unit="levels",
        low=0,
        high=128,
        neutral=0,
        about="Adds normally distributed noise of this standard deviation, always the same grains.",
        apply=_add_noise,
    ),
    "jpeg": Disturbance(
        label="JPEG loss",
        unit="100 − quality",
        low=0,
        high=99,
        neutral=0,
        about="Packs and unpacks the picture as JPEG; at 0 it is not packed at all.",
        apply=_compress,
    ),
}
