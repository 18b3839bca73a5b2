"""Size and grey. All functions take pixels of shape (H, W, 3), uint8, and leave them untouched.

Resizing is Pillow's bilinear filter, a triangle that widens as the picture shrinks, so every source pixel counts and
fine stripes turn grey instead of into false patterns. It is what ImageNet weights were evaluated with, and unlike
bicubic it never overshoots: no bright rims appear beside edges that a network would then react to.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnlab.errors import InputRejected

_MAX_PIXELS = 50_000_000


def resize(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize to exactly height × width, antialiased when shrinking; proportions are not kept.

    Returns:
        Shape (height, width, 3), uint8. The picture itself when it has that size already.

    Raises:
        InputRejected: A side below 1 px, or a result of more than 50 megapixels.
    """
    if height < 1 or width < 1 or height * width > _MAX_PIXELS:
        raise InputRejected(
            f"Cannot resize to {width} × {height} px; sides start at 1 px and a picture ends at "
            f"{_MAX_PIXELS / 1e6:g} megapixels. Choose another size, or a picture less long and thin."
        )
    if pixels.shape[:2] == (height, width):
        return pixels
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def fit_within(pixels: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """Shrink so that the longer side is at most `longest`, keeping proportions. Never enlarges.

    Raises:
        InputRejected: `longest` is below 1.
    """
    if longest < 1:
        raise InputRejected(f"A picture cannot be fitted within {longest} px; take 1 px or more.")
    height, width = pixels.shape[:2]
    if max(height, width) <= longest:
        return pixels
    scale = longest / max(height, width)
    return resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def centre_crop(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Cut height × width out of the middle; a view.

    Where the margin is odd the extra row or column falls as in torchvision (halves round to even), so that models
    see the very pixels they were evaluated on.

    Raises:
        InputRejected: The crop has no pixels or is larger than the picture.
    """
    full_height, full_width = pixels.shape[:2]
    if not (1 <= height <= full_height and 1 <= width <= full_width):
        raise InputRejected(
            f"Cannot cut {width} × {height} px out of a picture of {full_width} × {full_height} px. "
            "Choose a smaller crop or a larger picture."
        )
    top, left = centre_offset(full_height, height), centre_offset(full_width, width)
    return pixels[top : top + height, left : left + width]


def centre_offset(full: int, part: int) -> int:
    """Where a part in the middle of a length begins."""
    return round((full - part) / 2)


def to_grey(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness as the eye weighs it: (0.299 R + 0.587 G + 0.114 B) / 255, the luma of Rec. 601.

    Returns:
        Shape (H, W), values in [0, 1], not rounded to levels.
    """
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32) / np.float32(255)
    # The weights' float32 sum may exceed 1 by a rounding error, and white must stay within [0, 1].
    return np.minimum(pixels.astype(np.float32) @ weights, np.float32(1))
