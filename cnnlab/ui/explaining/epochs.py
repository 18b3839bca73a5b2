"""The same map at every epoch of a training run: how what the net looks at comes about."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from cnnlab.data import Progress
from cnnlab.downloading import Cancelled
from cnnlab.explain import METHODS, look
from cnnlab.figures.heat import own_scale, shared_scale
from cnnlab.figures.prediction import percent
from cnnlab.inference import share
from cnnlab.runs import store
from cnnlab.train.building import of_run
from cnnlab.train.checkpoints import epochs_in
from cnnlab.ui import navigation, run_weights
from cnnlab.ui.components.heat_wall import Tile, heat_wall
from cnnlab.ui.explaining import mapping, working
from cnnlab.ui.explaining.controls import Setup
from cnnlab.ui.explaining.working import Steps
from cnnlab.ui.text import plain

_MOST = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtEpoch:
    """The map after an epoch.

    Attributes:
        epoch: 0 is before training.
        map_hw: (h, w), unscaled.
        probability: Of the class that is asked for.
    """

    epoch: int
    map_hw: NDArray[np.float32]
    probability: float


def show(setup: Setup) -> None:
    """Draw the chosen map after each epoch of the run, or at most sixteen of them."""
    net = setup.subject.asked.net
    if not net.key.startswith(run_weights.RUN):
        st.info(
            "This net comes from no training run. Train one, choose it under Change net, and its epochs stand here."
        )
        st.page_link(navigation.page_object("training"))
        return
    run = run_weights.run_of(net.key)
    epochs = epochs_in(store.folder(run.id))
    if len(epochs) > _MOST:
        epochs = [epochs[round(place)] for place in np.linspace(0, len(epochs) - 1, _MOST)]
    working.on_request(
        f"epochs|{setup.subject.key}|{setup.chosen.id}|{','.join(map(str, epochs))}",
        _steps(setup, run.id, tuple(epochs)),
        lambda found: _draw(setup, found),
        widget="explain.epochs",
        button=f"Draw it at {len(epochs)} epochs",
        about=f"{METHODS[setup.chosen.method].label} for {plain(setup.asked(setup.target))}, with the weights that the "
        "run kept after each.",
        doing="Epochs",
    )


def _steps(setup: Setup, run_id: str, epochs: tuple[int, ...]) -> Steps[tuple[AtEpoch, ...]]:
    x, asking = setup.subject.x, setup.chosen
    target, index = mapping.target_of(setup, asking), setup.class_index
    method = METHODS[asking.method]

    def steps(progress: Progress, cancelled: Cancelled) -> Iterator[tuple[AtEpoch, ...]]:
        del cancelled
        found: tuple[AtEpoch, ...] = ()
        for place, epoch in enumerate(epochs, start=1):
            model = share(of_run(store.folder(run_id), epoch))
            seen = look(model, x, [asking.layer] if asking.layer else [])
            map_hw = method.of(seen, target, asking.layer)[0].numpy()
            probability = float(torch.softmax(seen.logits.detach()[0].double(), dim=0)[index])
            found = (*found, AtEpoch(epoch=epoch, map_hw=map_hw, probability=probability))
            progress("epochs", place, len(epochs))
            yield found

    return steps


def _draw(setup: Setup, found: tuple[AtEpoch, ...]) -> None:
    is_signed = METHODS[setup.chosen.method].is_signed
    shared = shared_scale([one.map_hw for one in found], is_signed=is_signed)
    heat_wall(
        setup.subject.picture(),
        [
            Tile(
                id=str(one.epoch),
                title=f"epoch {one.epoch}" if one.epoch else "before training",
                map_hw=one.map_hw,
                own=own_scale(one.map_hw, is_signed=is_signed),
                shared=shared,
                note=f"{setup.label(setup.class_index)} {percent(one.probability)}",
            )
            for one in found
        ],
        key="explain.epochs-wall",
        alt="The map after each epoch",
        look=setup.look,
        columns=6,
        has_knobs=False,
    )
    scale = "one scale for all" if setup.look.shared else "each its own scale; choose Shared above to compare strengths"
    st.caption(f"One picture, the same question, {scale}.")
