"""From a picture's own colour space to sRGB, which the lab shows and feeds to models.

A profile that changes no colour by more than `UNSEEN` levels is taken for sRGB and left alone: most cameras
attach one of those, and converting costs 18 ns a pixel, about as much as unpacking a JPEG.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

UNSEEN = 2  # levels of 255: what rounding alone does to a picture
MAX_PIXELS = {"RGB": 24_000_000, "L": 24_000_000, "CMYK": 8_000_000}
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_PERCEPTUAL = ImageCms.Intent.PERCEPTUAL


@dataclass(frozen=True, slots=True)
class Conversion:
    """What to do with a picture's colours.

    Attributes:
        transform: Turns a Pillow image of the profile's mode into RGB; None when colours stay as they are.
        note: What the user should know, or "".
    """

    transform: ImageCms.ImageCmsTransform | None
    note: str


def to_srgb(profile: bytes | None, mode: str, num_pixels: int) -> Conversion:
    """Choose the conversion for pixels of Pillow mode `mode` ("RGB", "L" or "CMYK").

    Never raises: a profile that is broken, or for another kind of picture, yields a note and no transform.
    """
    if profile is None:
        return Conversion(None, "")
    try:
        facts = ImageCms.core.profile_frombytes(profile)
        name = _plain(facts.profile_description)
        if _SPACES.get(facts.xcolor_space) != mode:
            return Conversion(None, "colour profile of another kind of picture ignored")
        source, srgb = ImageCms.ImageCmsProfile(facts), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB", _PERCEPTUAL)
        if mode != "CMYK" and _changes_nothing(transform, mode):
            return Conversion(None, "")
    except Exception:  # noqa: BLE001  Whatever is wrong with a stranger's profile, the pixels remain usable.
        return Conversion(None, "broken colour profile ignored")
    if num_pixels > MAX_PIXELS[mode]:
        largest = f"{MAX_PIXELS[mode] // 1_000_000} megapixels"
        return Conversion(None, f"colours left in '{name}': pictures over {largest} are not converted")
    return Conversion(transform, f"colours converted to sRGB from '{name}'")


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Compare before and after on a cube of 9 × 9 × 9 colours, or on all greys."""
    if mode == "L":
        probe = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    else:
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        probe = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3))
    before = np.asarray(probe.convert("RGB"), dtype=np.int16)
    after = np.asarray(transform.apply(probe), dtype=np.int16)
    return int(np.abs(after - before).max()) <= UNSEEN


def _plain(name: str | None) -> str:
    """A profile's own name, fit to be shown: printable, at most 40 characters."""
    text = "".join(char for char in name or "" if char.isprintable()).strip()
    return text[:40] or "an unnamed profile"
