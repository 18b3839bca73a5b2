"""The ways in for a picture, one widget for all pages: the samples, a file, the camera."""

import streamlit as st

from cnnlab.images import SAMPLES, RgbImage, centre_crop, decode, fit_within, load_sample, resize, to_jpeg
from cnnlab.ui import errors

_GROUPS = {"photograph": "Photographs", "digit": "Handwritten digits", "drawn": "Drawn"}
_THUMBNAIL = 144  # px, twice what a tile shows at most, for sharp screens
_COLUMNS = 6


@st.cache_resource(show_spinner=False, max_entries=128)
def thumbnail(key: str) -> bytes:
    """A sample as a square JPEG; made once for all sessions."""
    pixels = load_sample(key).pixels
    side = min(pixels.shape[:2])
    return to_jpeg(resize(centre_crop(pixels, side, side), _THUMBNAIL, _THUMBNAIL))


def choose(own: RgbImage | None = None) -> tuple[str, RgbImage] | None:
    """Draw the ways in; return what was just chosen, as (sample key, or "" for a user's own picture; picture).

    `own` is the picture the user gave before, if any: it is offered again.

    A picture that cannot be used is answered on the spot, and what was there before stays.
    """
    way = st.segmented_control(
        "Where from", ["Samples", "Upload", "Camera"], default="Samples", required=True, key="intake.way",
        label_visibility="collapsed",
    )  # fmt: skip
    if own is not None and way != "Samples":
        left, right = st.columns([1, _COLUMNS - 1], vertical_alignment="center")
        left.image(to_jpeg(fit_within(own.pixels, _THUMBNAIL)), width=72)
        if right.button("Use your picture again", key="intake.own"):
            return "", own
    if way == "Samples":
        key = _sample()
        return (key, load_sample(key)) if key else None
    if way == "Upload":
        given = st.file_uploader(
            "Your picture: PNG, JPEG, WebP, GIF or BMP, up to 20 MB and 50 megapixels. It stays in this server's "
            "memory, is seen by nobody else, and is gone a minute after you close the page.",
            # Only helps the file dialog; what counts is the content, which `decode` checks.
            type="image",
            max_upload_size=24,  # MB; the intake takes 20 and says so itself
            key="intake.upload",
        )
    else:
        given = st.camera_input("Take a picture", key="intake.camera")
    if given is None:
        return None
    with errors.shown():
        return "", decode(given.getvalue(), given.name)
    return None


def _sample() -> str | None:
    chosen = None
    for group, heading in _GROUPS.items():
        st.caption(heading)
        keys = [key for key, sample in SAMPLES.items() if sample.group == group]
        for start in range(0, len(keys), _COLUMNS):
            for column, key in zip(st.columns(_COLUMNS), keys[start : start + _COLUMNS], strict=False):
                sample = SAMPLES[key]
                column.image(thumbnail(key), width="stretch")
                if column.button(
                    sample.label, key=f"intake.{key}", help=f"{sample.about} {sample.credit}", width="stretch"
                ):
                    chosen = key
    return chosen


def reduced(image: RgbImage, longest: int) -> RgbImage:
    """The picture with its longer side at most `longest` px, saying so."""
    if max(image.height, image.width) <= longest:
        return image
    pixels = fit_within(image.pixels, longest)
    note = f"reduced from {image.width} × {image.height} px"
    return RgbImage(pixels=pixels, notes=(*image.notes, note), name=image.name)
