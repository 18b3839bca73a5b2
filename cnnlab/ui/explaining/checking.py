"""The sanity check: whether a map changes when what the net has learnt is taken from it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch

from cnnlab.data import Progress
from cnnlab.downloading import Cancelled
from cnnlab.errors import RunFailed
from cnnlab.explain import METHODS, Contrast, Target, look
from cnnlab.explain.sanity import LIMIT, Step, randomized, verdict
from cnnlab.figures.faithfulness import cascade
from cnnlab.figures.heat import own_scale
from cnnlab.images import SAMPLES, load_sample
from cnnlab.ui.components.heat_wall import Tile, heat_wall
from cnnlab.ui.explaining import mapping, working
from cnnlab.ui.explaining.controls import Setup
from cnnlab.ui.explaining.working import Steps
from cnnlab.ui.text import plain

_MOST = 4  # methods at a time
_PICTURES = 8  # with the visitor's own
_SHOWN = 8  # maps of the cascade


Found = Mapping[str, tuple[Step, ...]]
"""Key of a method → the steps so far."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """What the check is made with.

    Attributes:
        x: (N, C, H, W), the visitor's picture first, then samples.
        target: What is asked of each.
    """

    x: torch.Tensor
    target: Target


def show(setup: Setup) -> None:
    """Draw the cascade of the methods that are shown, for the layer of the chosen map."""
    methods = tuple(sorted(setup.methods, key=lambda key: key != setup.chosen.method))[:_MOST]
    names = [METHODS[key].label for key in methods]
    st.markdown(
        "The weights are made random, block by block, from the logits back to the first layer. A map that rests on "
        "what the net has **learnt** must change; one that stays draws the picture, as an edge filter would, however "
        "right it looks."
    )
    working.on_request(
        f"sanity|{setup.subject.key}|{setup.layer}|{setup.target}|{','.join(methods)}",
        _steps(setup, methods),
        lambda found: _draw(setup, methods, found),
        widget="explain.sanity",
        button=f"Check {names[0]}" if len(names) == 1 else f"Check {len(names)} methods",
        about=f"{', '.join(names)}, with your picture and {_PICTURES - 1} samples, in a copy of the net; the net "
        "itself stays as it is.",
        doing="Making weights random",
    )


def _pictures(setup: Setup) -> Pictures:
    """The visitor's picture and samples, each asked for what the net says of it."""
    steps = setup.subject.asked.steps
    group = "digit" if steps.channels == "grey" else "photograph"
    keys = [key for key, sample in SAMPLES.items() if sample.group == group]
    others = [torch.from_numpy(steps.apply(load_sample(key))) for key in keys]
    fitting = [x for x in others if x.shape == setup.subject.x.shape[1:]][: _PICTURES - 1]
    x = torch.stack([setup.subject.x[0], *fitting])
    if isinstance(setup.target, Contrast):
        return Pictures(x=x, target=setup.target)
    said = look(setup.seen.passed.model, x).logits.argmax(dim=1).tolist()
    return Pictures(x=x, target=[setup.class_index, *said[1:]])


def _steps(setup: Setup, methods: tuple[str, ...]) -> Steps[Found]:
    model, layer = setup.seen.passed.model, setup.layer

    def steps(progress: Progress, cancelled: Cancelled) -> Iterator[Found]:
        pictures = _pictures(setup)
        found: dict[str, tuple[Step, ...]] = {}
        for place, key in enumerate(methods):
            for step in randomized(METHODS[key], model, pictures.x, pictures.target, layer):
                found = {**found, key: (*found.get(key, ()), step)}
                progress(METHODS[key].label, round(100 * (place + step.done)), 100 * len(methods))
                yield found
                if cancelled():
                    raise RunFailed("The check was stopped. Start it again when you need it.")

    return steps


def _draw(setup: Setup, methods: tuple[str, ...], found: Found) -> None:
    chart, words = st.columns([1.5, 1], gap="large")
    with chart:
        st.plotly_chart(
            cascade({METHODS[key].label: found[key] for key in methods if key in found}, LIMIT),
            key="explain.cascade",
            config={"displayModeBar": False},
        )
    with words:
        for key in methods:
            if key in found and found[key][-1].done == 1:
                said = verdict(found[key])
                icon = ":material/check:" if said.reacts else ":material/warning:"
                st.markdown(f"{icon} **{plain(METHODS[key].label)}.** {plain(said.said)}")
        st.caption(
            f"Spearman's rank correlation with the map of the trained net, mean of {len(_any(found).correlations)} "
            "pictures; after Adebayo et al. 2018, whose paper sets no limit. Passing shows that a map depends on the "
            "weights, not that it is right: look at Faithfulness, too."
        )
    for key in methods:
        if key in found:
            _maps(setup, key, found[key])


def _any(found: Found) -> Step:
    return next(iter(found.values()))[0]


def _maps(setup: Setup, key: str, steps: tuple[Step, ...]) -> None:
    """The visitor's picture under the maps of a method, as more and more of the net is random."""
    is_signed = METHODS[key].is_signed
    asking = next(asking for asking in setup.askings if asking.method == key)
    trained = mapping.made(setup, asking).map_hw
    maps = [] if trained is None else [("trained", "", trained)]
    chosen = sorted({round(place) for place in np.linspace(0, len(steps) - 1, min(_SHOWN, len(steps)))})
    maps += [
        (f"random to {steps[at].block}", f"correlation {steps[at].correlations[0]:.2f}", steps[at].maps[0].numpy())
        for at in chosen
    ]
    scales = [own_scale(map_hw, is_signed=is_signed) for _, _, map_hw in maps]
    st.markdown(f"**{plain(METHODS[key].label)}**, each map on its own scale")
    heat_wall(
        setup.subject.picture(),
        [
            Tile(
                id=title,
                title=title,
                map_hw=map_hw,
                own=scale,
                shared=scale,
                note=note.replace("-", "−"),
            )
            for (title, note, map_hw), scale in zip(maps, scales, strict=True)
        ],
        key=f"explain.sanity-wall.{key}",
        alt=f"{METHODS[key].label} as more and more of the net is random",
        look=setup.look,
        columns=_SHOWN,
        has_knobs=False,
        can_share=False,
    )
