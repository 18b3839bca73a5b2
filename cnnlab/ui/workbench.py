"""The workbench: what is carried from page to page: the current image and the current net."""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.errors import InputRejected
from cnnlab.images import SAMPLES, Preprocessing, RgbImage, load_sample, to_grey, to_jpeg
from cnnlab.ui import errors, intake, state
from cnnlab.ui.text import plain, short

Made = TypeVar("Made")

_LONGEST = 1024  # px; a user's own picture is kept no larger, 3 MB at most
# Streamlit's own hash of a large array looks at a sample of it, and takes near twins for the same.
_BY_DIGEST: dict[str | type, Callable[[Any], str]] = {RgbImage: lambda picture: picture.digest}
_OWN = "upload"
_OWN_IMAGE = "workbench.own"


def _image_of_link(text: str) -> str:
    if text == _OWN and _OWN_IMAGE not in st.session_state:
        raise InputRejected(
            "it was made with somebody's own picture, which a link does not carry; a sample is shown in its place"
        )
    if text != _OWN and text not in SAMPLES:
        raise InputRejected(f"there is no sample called '{text[:40]}'; another one is shown in its place")
    return text


_IMAGE = state.Setting(key="workbench.image", param="image", default=next(iter(SAMPLES)), parse=_image_of_link)


def _net_of_link(text: str) -> str:
    from cnnlab.ui import nets  # PyTorch takes seconds to load, and few links name a net

    return nets.of_link(text)


def _weights_of_link(text: str) -> str:
    from cnnlab.ui import nets

    return nets.weights_of_link(text)


NET = state.Setting(key="workbench.net", param="net", default="resnet_cifar", parse=_net_of_link)
WEIGHTS = state.Setting(key="workbench.weights", param="weights", default=None, parse=_weights_of_link)
SEED = state.integer("workbench.seed", "seed", 0, 9999, 0)
NET_SETTINGS = (NET, WEIGHTS, SEED)


def _own(key: str, param: str, low: int, high: int) -> state.Setting:
    """A whole number, or None for what the net was made for."""
    return state.Setting(key=key, param=param, default=None, parse=state.integer(key, param, low, high, low).parse)


SIZE = _own("workbench.size", "size", 1, 1024)
CHANNELS = state.Setting(
    key="workbench.channels",
    param="channels",
    default=None,
    parse=lambda text: int(state.choice("", "channels", ("1", "3"), "3").parse(text)),
)
CLASSES = _own("workbench.classes", "classes", 2, 1000)
LAYER = _own("workbench.layer", "layer", 0, 9999)
VIEW_SETTINGS = (SIZE, CHANNELS, CLASSES, LAYER)
"""How the current net is looked at: input side in px, channels, classes, and the layer that is pointed to."""

NETS_READY = threading.Event()
"""Set once PyTorch and the nets are loaded. A fresh server loads them while its first visitors look at other things."""


def image() -> RgbImage:
    """The current image, at most 1024 px on its longer side."""
    key = st.session_state[_IMAGE.key]
    return st.session_state[_OWN_IMAGE] if key == _OWN else load_sample(key)


def digest() -> str:
    """What tells the current image from every other."""
    return image().digest


def label() -> str:
    """What the current image is called."""
    key = st.session_state[_IMAGE.key]
    return image().name or "Your picture" if key == _OWN else SAMPLES[key].label


def show() -> None:
    """Draw the workbench, for the sidebar, and answer what is changed there."""
    state.restore([_IMAGE, *NET_SETTINGS])
    current = image()
    with st.container(key="workbench"):
        st.caption("Current image")
        tall = current.height > current.width
        st.image(_thumbnail(current), width=max(1, 200 * current.width // current.height) if tall else "stretch")
        st.markdown(f"**{plain(short(label()))}**  \n{current.width} × {current.height} px")
        for note in current.notes:
            st.caption(plain(note))
        if st.button("Change image", key="workbench.change", icon=":material/image:", width="stretch"):
            _change()
    with st.container(key="workbench-net"), errors.shown():
        _net()


def _net() -> None:
    st.caption("Current net")
    if NETS_READY.is_set():
        _show_net()
    else:
        _wait_for_nets()


def _show_net() -> None:
    from cnnlab.ui import net_choice

    net_choice.show()


@st.fragment(run_every=1.0)
def _wait_for_nets() -> None:
    # Asks by itself, instead of having the whole page run again while a visitor may be at work on it.
    if NETS_READY.is_set():
        _show_net()
    else:
        st.markdown("Loading PyTorch …")


@st.dialog("Change image", width="large")
def _change() -> None:
    chosen = intake.choose(st.session_state.get(_OWN_IMAGE))
    if chosen is None:
        return
    key, picture = chosen
    if key:
        st.session_state[_IMAGE.key] = key
    else:
        take(picture)
    st.rerun()


def take(picture: RgbImage) -> None:
    """Make a picture of the visitor's own the current image, on every page."""
    if picture is not st.session_state.get(_OWN_IMAGE):
        st.session_state[_OWN_IMAGE] = intake.reduced(picture, _LONGEST)
    st.session_state[_IMAGE.key] = _OWN


def grey(longest: int) -> NDArray[np.float32]:
    """The current image in grey, (H, W) in [0, 1], its longer side at most `longest` px. Shared: do not write to it."""
    return _scaled(image(), longest, as_grey=True)


def colour(longest: int) -> NDArray[np.float32]:
    """The current image, (H, W, 3) in [0, 1], its longer side at most `longest` px. Shared: do not write to it."""
    return _scaled(image(), longest, as_grey=False)


def _kept(compute: Callable[..., Made]) -> Callable[..., Made]:
    """Compute once: for a sample, in the whole process; for a user's own picture, in their session, and no longer."""
    once = {"show_spinner": False, "hash_funcs": _BY_DIGEST}
    shared = st.cache_resource(max_entries=128, **once)(compute)
    own = st.cache_resource(max_entries=3, scope="session", **once)(compute)

    @wraps(compute)
    def get(*arguments: Any, **named: Any) -> Made:
        return (own if st.session_state[_IMAGE.key] == _OWN else shared)(*arguments, **named)

    return get


def prepared(steps: Preprocessing) -> NDArray[np.float32]:
    """The current image as a net gets it, (C, H, W)."""
    return steps.apply(image())


@_kept
def _thumbnail(current: RgbImage) -> bytes:
    return to_jpeg(intake.reduced(current, 320).pixels)


@_kept
def _scaled(current: RgbImage, longest: int, *, as_grey: bool) -> NDArray[np.float32]:
    pixels = intake.reduced(current, longest).pixels
    scaled = to_grey(pixels) if as_grey else pixels.astype(np.float32) / np.float32(255)
    scaled.flags.writeable = False
    return scaled
