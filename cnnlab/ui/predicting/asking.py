"""What is asked of which net, and its answer, worked out once for each picture."""

import time
from dataclasses import dataclass
from statistics import median

import streamlit as st

from cnnlab.errors import InputRejected
from cnnlab.images import Preprocessing, RgbImage
from cnnlab.inference import Prediction, StageTimes, predict
from cnnlab.ui import nets
from cnnlab.ui.nets import CurrentNet, Described, Loaded

_TIMED_S, _MOST_TIMED = 0.25, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A net and how it looks at pictures.

    Attributes:
        net: Which.
        known: With its weights.
        steps: From a picture to its input: as in training.
        described: Its layers at that input.
        flips: Whether it is shown the mirror image, too.
    """

    net: CurrentNet
    known: Loaded
    steps: Preprocessing
    described: Described
    flips: bool = False

    @property
    def key(self) -> str:
        """What tells its answers from those of others."""
        return f"{self.known.identity}|{self.steps}|{self.flips}"

    @property
    def takes_drawings(self) -> bool:
        """Whether a picture of 28 × 28 grey px is what it gets."""
        return self.steps.channels == "grey" and size_of(self.steps) == (28, 28)


def ask(net: CurrentNet, known: Loaded, *, flips: bool = False) -> Asked:
    """A net with the preprocessing that belongs to its weights.

    Raises:
        InputRejected: The net has a fault, or takes what is no picture.
    """
    steps = known.weights.preprocessing if known.weights else nets.preprocessing(None, net.input_shape)
    height, width = size_of(steps) or net.input_shape[1:]
    described = nets.described(net, len(known.classes), (len(steps.mean), height, width))
    if described.failure is not None:
        raise InputRejected(described.failure.message)
    return Asked(net=net, known=known, steps=steps, described=described, flips=flips)


def current(*, flips: bool = False) -> Asked:
    """The net of the workbench, with as many classes and channels as its weights have.

    Raises:
        InputRejected: As `ask`.
    """
    net = nets.current()
    if net.problems:
        raise InputRejected(f"The net does not work yet: {net.problems[0].message}")
    return ask(net, _loaded(net, st.session_state[nets.WEIGHTS.key]), flips=flips)


def _loaded(net: CurrentNet, weights_key: str | None) -> Loaded:
    """The net with as many classes and channels as the weights have."""
    known = nets.weights_of(net).get(weights_key or "")
    num_classes, channels = (known.num_classes, known.in_channels) if known else (net.num_classes, net.input_shape[0])
    return nets.loaded(net, num_classes, channels, weights_key)


def size_of(steps: Preprocessing) -> tuple[int, int] | None:
    """Height and width of the input; None where it depends on the picture."""
    return steps.crop or (steps.resize if isinstance(steps.resize, tuple) else None)


def answer(asked: Asked, picture: RgbImage) -> Prediction:
    """What the net says of a picture."""
    return _answer(asked, picture, f"{asked.key}|{picture.digest}")


# A user's own pictures go through here: what is kept goes with their session.
@st.cache_resource(show_spinner=False, scope="session", max_entries=8)
def _answer(_asked: Asked, _picture: RgbImage, key: str) -> Prediction:
    del key
    with nets.run_of(_asked.described):
        known = _asked.known
        return predict(known.model, [_picture], _asked.steps, known.classes, flips=_asked.flips)


def timed(asked: Asked, picture: RgbImage) -> tuple[StageTimes, int]:
    """How long each stage takes, the median of a few runs, and how many these were."""
    return _timed(asked, picture, f"{asked.key}|{picture.digest}")


@st.cache_resource(show_spinner=False, scope="session", max_entries=8)
def _timed(_asked: Asked, _picture: RgbImage, key: str) -> tuple[StageTimes, int]:
    del key
    runs: list[StageTimes] = []
    end = time.perf_counter() + _TIMED_S
    known = _asked.known
    while len(runs) < 3 or (len(runs) < _MOST_TIMED and time.perf_counter() < end):
        with nets.run_of(_asked.described):
            runs.append(predict(known.model, [_picture], _asked.steps, known.classes, flips=_asked.flips).times)
    stages = StageTimes(
        preprocess_ms=median(run.preprocess_ms for run in runs),
        forward_ms=median(run.forward_ms for run in runs),
        softmax_ms=median(run.softmax_ms for run in runs),
    )
    return stages, len(runs)


def offered(net: CurrentNet) -> dict[str, str]:
    """Key → label of the weights with which a net can be asked at once."""
    return {name: one.label for name, one in nets.weights_of(net).items() if nets.are_here(one)} | {
        nets.RANDOM: "Random weights"
    }


def with_weights(net: CurrentNet, weights_key: str, *, flips: bool = False) -> Asked:
    """Another net than that of the workbench.

    Args:
        net: Which.
        weights_key: Of `offered`.
        flips: As in `Asked`.

    Raises:
        InputRejected: As `ask`.
    """
    return ask(net, _loaded(net, weights_key), flips=flips)
