"""What is explained: the picture and the net of the workbench, and the one pass through it that all maps share."""

import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from cnnlab.errors import Unsupported
from cnnlab.explain import Pass, look
from cnnlab.explain.layers import Choice, LayerMaps, automatic, layers_of
from cnnlab.images import RgbImage, fit_within
from cnnlab.ui import nets, workbench
from cnnlab.ui.predicting import asking
from cnnlab.ui.predicting.asking import Asked

_LONGEST = 448  # px; of the original, where maps are laid over it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A picture and the net that is asked about it.

    Attributes:
        asked: The net, with its weights and how it looks at pictures.
        key: What tells this net with this picture from all others.
        x: (1, C, H, W), as the net gets it.
        layers: Name → maps, of each layer that makes any; in order.
        choice: The layer to begin with; None where no layer makes maps.
    """

    asked: Asked
    key: str
    x: torch.Tensor
    layers: dict[str, LayerMaps]
    choice: Choice | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the logits."""
        return self.asked.known.classes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what the net gets, px."""
        return self.x.shape[2], self.x.shape[3]

    def picture(self) -> NDArray[np.uint8]:
        """What the net gets, as a picture, (H, W, 3)."""
        return self.asked.steps.picture(self.x[0].numpy())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """A pass, and how long it took.

    Attributes:
        passed: With the layers that were asked for.
        key: What tells it from other passes.
        forward_ms: Of the pass.
        probs: What the net says, (classes,).
        logits: Likewise, before the softmax.
    """

    passed: Pass
    key: str
    forward_ms: float
    probs: NDArray[np.float64]
    logits: NDArray[np.float64]

    @property
    def predicted(self) -> int:
        """Index of the class that the net finds most likely."""
        return int(np.argmax(self.logits))


def current() -> Subject:
    """What the workbench holds.

    Raises:
        InputRejected: The net cannot be asked, or not about this picture.
    """
    asked = asking.current()
    image = workbench.image()
    x = _prepared(asked, image, f"{asked.key}|{image.digest}")
    layers, choice = _layers(asked, x, f"{asked.known.identity}|{tuple(x.shape)}")
    return Subject(asked=asked, key=f"{asked.key}|{image.digest}", x=x, layers=layers, choice=choice)


@st.cache_resource(show_spinner=False, scope="session", max_entries=4)
def _prepared(_asked: Asked, _image: RgbImage, key: str) -> torch.Tensor:
    del key
    return torch.from_numpy(_asked.steps.apply(_image))[None]


@st.cache_resource(show_spinner=False, max_entries=64)
def _layers(_asked: Asked, _x: torch.Tensor, key: str) -> tuple[dict[str, LayerMaps], Choice | None]:
    """Depends on shapes alone, so it is kept for everybody."""
    del key
    with nets.run_of(_asked.described):
        found = {maps.name: maps for maps in layers_of(_asked.known.model, _x)}
        try:
            return found, automatic(_asked.known.model, _x)
        except Unsupported:
            return found, None


def see(subject: Subject, layers: tuple[str, ...]) -> Seen:
    """The pass that keeps these layers; the same one as long as nothing changes and the model stays in the cache."""
    key = f"{subject.key}|{','.join(layers)}"
    kept, place = _kept(key), subject.asked.known.loan.place
    seen = kept.get(place)
    if seen is None:
        with st.spinner("Running the net"):
            seen = kept[place] = _seen(subject, layers, key)
    return seen


# Of one visitor: the graph is theirs, and the picture may be. A pass holds the model, so a loan beside it would keep an
# idle tab's model from ever leaving the cache, and without one the model would stay in memory uncounted. So a pass is
# kept by its model's place in the cache and goes with it: what is drawn holds a loan, and what is idle can be evicted.
@st.cache_resource(show_spinner=False, scope="session", max_entries=2)
def _kept(key: str) -> WeakKeyDictionary[object, Seen]:
    del key
    return WeakKeyDictionary()


def _seen(subject: Subject, layers: tuple[str, ...], key: str) -> Seen:
    with nets.run_of(subject.asked.described):
        begin = time.perf_counter()
        passed = look(subject.asked.known.model, subject.x, layers)
        forward_ms = 1000 * (time.perf_counter() - begin)
    logits = passed.logits.detach()[0].double()
    return Seen(
        passed=passed,
        key=key,
        forward_ms=forward_ms,
        probs=torch.softmax(logits, dim=0).numpy(),
        logits=logits.numpy(),
    )


def original(image: RgbImage, subject: Subject) -> NDArray[np.uint8]:
    """The part of the original that the net sees, (H, W, 3), at most 448 px on its longer side."""
    top, left, height, width = subject.asked.steps.crop_box(image)
    return np.ascontiguousarray(fit_within(image.pixels[top : top + height, left : left + width], _LONGEST))
