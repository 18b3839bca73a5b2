"""What is done to pictures while the net learns, step by step, and what comes of it."""

import math
from collections.abc import Callable

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from cnnlab.data import AUGMENTATIONS, Augment, Dataset, Feed, Parameter, Step
from cnnlab.images import to_jpeg
from cnnlab.train import draws
from cnnlab.train.config import TrainConfig
from cnnlab.train.sampling import order_of
from cnnlab.ui.text import plain
from cnnlab.ui.training import changes
from cnnlab.ui.training.setup import Setup

_STEPS = "training.set.augment"
_SEED = "training.set.augment-seed"
_PICTURES, _TIMES = 3, 5
_WIDTH = 1200  # px; what is drawn is then shrunk, which keeps pixels square
_GAP, _GREY = 6, 128  # px between pictures, of a shade that is neither the page's nor the pictures'


def show(setup: Setup) -> None:
    """Draw the steps with their strengths, and a few pictures as they go through."""
    augment = setup.config.augment
    keys = list(dict.fromkeys(step.key for step in augment.steps))
    if st.session_state.get(_STEPS) != keys:
        st.session_state[_STEPS] = keys
    st.multiselect(
        "Steps, in this order",
        list(AUGMENTATIONS),
        format_func=lambda key: AUGMENTATIONS[key].label,
        key=_STEPS,
        on_change=_chosen,
        args=(augment, setup.base),
        help="Each picture is changed a little, differently each time: the net cannot learn the pictures by heart. "
        "What a step does must not change what the picture shows.",
    )
    for index, step in enumerate(augment.steps):
        st.caption(f"**{AUGMENTATIONS[step.key].label}.** {plain(AUGMENTATIONS[step.key].about)}")
        for name, parameter in AUGMENTATIONS[step.key].parameters.items():
            _strength(augment, index, name, parameter, setup.base)
    if "augment" in setup.faults:
        st.error(plain(setup.faults["augment"]), icon=":material/error:")
    if setup.dataset is not None and augment.steps:
        seed = int(st.number_input("Draw", 0, 9999, 0, key=_SEED, help="Each number draws other changes."))
        st.image(variants(setup.dataset, augment, seed), width="stretch")
        st.caption("Left: as it is. To the right: as the net may see it.")


def _chosen(augment: Augment, base: TrainConfig) -> None:
    known = {step.key: step for step in augment.steps}
    steps = tuple(known.get(key) or Step(key) for key in st.session_state[_STEPS])
    changes.change("augment", Augment(steps), base)


def _strength(augment: Augment, index: int, name: str, parameter: Parameter, base: TrainConfig) -> None:
    step = augment.steps[index]
    key = f"{_STEPS}.{index}.{step.key}.{name}"
    value = step.params[name]
    if st.session_state.get(key) != value:
        st.session_state[key] = value
    kind: Callable[[float], float] = int if parameter.is_whole else float
    st.slider(
        parameter.label,
        kind(parameter.minimum),
        kind(parameter.maximum),
        step=1 if parameter.is_whole else _fine(parameter),
        key=key,
        help=parameter.about,
        on_change=_strengthened,
        args=(augment, index, name, key, base),
    )


def _fine(parameter: Parameter) -> float:
    """A step that makes about a hundred of the range, and is a power of ten or half of one."""
    power = 10.0 ** math.floor(math.log10((parameter.maximum - parameter.minimum) / 50))
    return 5 * power if (parameter.maximum - parameter.minimum) / power > 250 else power


def _strengthened(augment: Augment, index: int, name: str, key: str, base: TrainConfig) -> None:
    steps = list(augment.steps)
    steps[index] = Step(steps[index].key, {**steps[index].params, name: st.session_state[key]})
    changes.change("augment", Augment(tuple(steps)), base)


def variants(dataset: Dataset, augment: Augment, seed: int) -> bytes:
    """A few training pictures, each as it is and as it may come to the net, as a JPEG."""
    part = dataset.splits.train
    chosen = part[torch.linspace(0, len(part) - 1, _PICTURES).long()]
    generator = torch.Generator().manual_seed(seed)
    as_they_are = seen(dataset, Augment(), chosen, generator)
    changed = seen(dataset, augment, chosen.repeat_interleave(_TIMES), generator)
    side = changed.shape[1:]
    rows = np.concatenate([as_they_are[:, None], changed.reshape(_PICTURES, _TIMES, *side)], axis=1)
    return sheet(rows.reshape(-1, *side), _TIMES + 1)


def first_batch(dataset: Dataset, config: TrainConfig, count: int, columns: int) -> bytes:
    """The beginning of the first batch, as a JPEG: changed as it will be where it is all of it, else drawn alike."""
    part = dataset.splits.train
    # A whole batch may be gigabytes, for a few pictures of it.
    order = order_of(config, dataset.labels[part], 0)[:count]
    shown = seen(dataset, config.augment, part[order], draws.generator(config.seed, "augment", 0))
    return sheet(shown, columns)


def seen(dataset: Dataset, augment: Augment, indices: torch.Tensor, generator: torch.Generator) -> NDArray[np.float32]:
    """Pictures as a net is given them, with the normalisation taken back.

    Args:
        dataset: Where they are.
        augment: What is done to them.
        indices: Which, (N,).
        generator: Its state moves on.

    Returns:
        (N, H, W, 3) in [0, 1].
    """
    feed = Feed(
        dataset.pictures[indices].contiguous(),
        dataset.labels[indices],
        mean=dataset.mean,
        std=dataset.std,
        num_classes=len(dataset.classes),
        augment=augment,
    )
    x_nchw, _ = feed.train_batch(torch.arange(len(indices)), generator)
    mean, std = (torch.tensor(one).view(1, -1, 1, 1) for one in (dataset.mean, dataset.std))
    rgb = (x_nchw * std + mean).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    return np.repeat(rgb, 3, axis=3) if rgb.shape[3] == 1 else rgb


def sheet(pictures: NDArray[np.float32], columns: int) -> bytes:
    """Pictures (N, H, W, 3) in [0, 1] side by side, their pixels enlarged to squares, as a JPEG."""
    count, height, width, _ = pictures.shape
    times = max(1, -(-_WIDTH // (columns * width)))
    large = np.rint(pictures * 255).astype(np.uint8).repeat(times, axis=1).repeat(times, axis=2)
    rows = -(-count // columns)
    side, across = height * times + _GAP, width * times + _GAP
    joined = np.full((rows * side - _GAP, columns * across - _GAP, 3), _GREY, np.uint8)
    for index, one in enumerate(large):
        top, left = index // columns * side, index % columns * across
        joined[top : top + height * times, left : left + width * times] = one
    return to_jpeg(joined)
