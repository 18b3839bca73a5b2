"""Whether maps point at the object, on drawn shapes whose place is known, beside whether they depend on the net."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from cnnlab.data import Progress
from cnnlab.data.shapes import CLASSES
from cnnlab.downloading import Cancelled
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.explain import METHODS
from cnnlab.explain.layers import automatic
from cnnlab.explain.localizing import (
    Drawn,
    Localization,
    Scenes,
    Telling,
    centre_maps,
    drawn_scenes,
    drawn_shapes,
    localization,
    maps_of,
    random_maps,
    telling,
)
from cnnlab.explain.sanity import Verdict, randomized, verdict
from cnnlab.nets.weights import bundled_weights
from cnnlab.ui import nets
from cnnlab.ui.explaining import working
from cnnlab.ui.explaining.controls import Setup
from cnnlab.ui.explaining.working import Steps
from cnnlab.ui.predicting import asking
from cnnlab.ui.predicting.asking import Asked

_WEIGHTS = "resnet_cifar_shapes"
_EARLY = "features.4"  # of that net: knows edges, hardly yet which shape they make
_COUNT, _SCENES = 120, 60
_ROBUST = 8  # pictures whose maps are looked at with random weights
_STATISTICS = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """What was found of one method.

    Attributes:
        alone: Pictures of one object.
        together: Pictures of two, asked for each.
        layer: Whose maps were used; "" for what works on the pixels.
        check: Whether it reacts to random weights; None for what knows no net.
    """

    alone: Localization
    together: Telling
    layer: str = ""
    check: Verdict | None = None


def show(setup: Setup) -> None:
    """Draw the table for the methods that are shown, an early layer, and what a map without a net reaches."""
    asked = _asked(setup)
    methods = tuple(dict.fromkeys([*setup.methods, "gradcam", "guided_backprop"]))
    st.markdown(
        "On drawn shapes the place of the object is known, so a map can be held against it. **Localisation alone is "
        "not faithfulness:** a method may point at the object because it draws edges, and do so with random weights, "
        "too. So both stand side by side."
    )
    st.caption(
        f"With {asked.net.label}, {asked.known.weights.label if asked.known.weights else 'random weights'}; "
        f"{_COUNT} pictures of one object and {_SCENES} of two that it has not learnt from."
    )
    working.on_request(
        f"shapes|{asked.key}|{','.join(methods)}",
        _steps(asked, methods),
        _draw,
        widget="explain.shapes",
        button="Measure",
        about=", ".join(METHODS[key].label for key in methods),
        doing="Measuring",
    )


def _asked(setup: Setup) -> Asked:
    """The current net where it knows the shapes, else the one that comes with the lab."""
    if setup.subject.classes == CLASSES and setup.subject.asked.known.weights is not None:
        return setup.subject.asked
    return asking.with_weights(nets.of(bundled_weights()[_WEIGHTS].architecture), _WEIGHTS)


def _steps(asked: Asked, methods: tuple[str, ...]) -> Steps[Mapping[str, Row]]:
    def steps(progress: Progress, cancelled: Cancelled) -> Iterator[Mapping[str, Row]]:
        size = asking.size_of(asked.steps)
        if size not in ((32, 32), (64, 64)):
            raise InputRejected("The shapes are drawn with 32 or 64 px, and this net takes others. Choose another net.")
        side = size[0]
        alone = drawn_shapes(_COUNT, side, asked.steps)
        together = drawn_scenes(_SCENES, side, asked.steps)
        choice = automatic(asked.known.model, alone.x).layer
        rows: dict[str, Row] = {}
        jobs = [(METHODS[key].label, key, choice) for key in methods]
        if asked.net.key == bundled_weights()[_WEIGHTS].architecture:
            jobs.insert(1, ("Grad-CAM, too early", "gradcam", _EARLY))
        for place, (name, key, layer) in enumerate(jobs, start=1):
            progress(name, place, len(jobs))
            layer = layer if METHODS[key].grid == "layer" else ""
            rows = {**rows, name: _row(asked, key, layer, alone, together, cancelled)}
            yield rows
        for name, maps in (("Middle of the picture", centre_maps), ("Chance", random_maps)):
            rows = {
                **rows,
                name: Row(alone=localization(maps(alone), alone), together=telling(maps(together), together)),
            }
        yield rows

    return steps


def _row(asked: Asked, key: str, layer: str, alone: Drawn, together: Scenes, cancelled: Cancelled) -> Row:
    model, method = asked.known.model, METHODS[key]
    found = maps_of(method, model, alone, layer, cancelled=cancelled)
    told = maps_of(method, model, together, layer, cancelled=cancelled)
    steps = []
    for step in randomized(
        method,
        model,
        alone.x[:_ROBUST],
        alone.labels[:_ROBUST].tolist(),
        layer,
        statistics_x=alone.x[_ROBUST : _ROBUST + _STATISTICS],
    ):
        steps.append(step)
        if cancelled():
            raise RunFailed("The measurement was stopped. Start it again when you need it.")
    return Row(alone=localization(found, alone), together=telling(told, together), layer=layer, check=verdict(steps))


def _draw(rows: Mapping[str, Row]) -> None:
    st.dataframe(
        [
            {
                "method": name,
                "layer": row.layer,
                "points at it": 100 * row.alone.pointing,
                "95 % interval": "{:.0f} to {:.0f} %".format(*(100 * end for end in row.alone.interval)),
                "energy on it": 100 * float(row.alone.energy.mean()),
                "overlap": float(row.alone.iou.mean()),
                "of two: on the asked one": 100 * float(row.together.energy.mean()),
                "random weights": "" if row.check is None else "reacts" if row.check.reacts else "does not react",
                "stays alike": None if row.check is None else row.check.correlation,
            }
            for name, row in rows.items()
        ],
        hide_index=True,
        column_config=_columns(),
    )
    st.caption(
        f"Points at it: the highest value lies on the object or one pixel beside it ({_COUNT} pictures, Wilson's "
        "interval). Overlap: of as many pixels as the object has, against the object (IoU). Of two: the share of the "
        "map on the object that was asked for, 50 % for a map that cannot tell them apart. Stays alike: mean rank "
        f"correlation of the map with random weights to that of the trained net, {_ROBUST} pictures; above 0.5 it does "
        "not react."
    )


def _columns() -> dict[str, Any]:
    share = st.column_config.NumberColumn
    return {
        "points at it": share(format="%.1f %%"),
        "energy on it": share(format="%.1f %%", help="Share of the map's positive values on the object."),
        "overlap": share(format="%.2f"),
        "of two: on the asked one": share(format="%.1f %%"),
        "stays alike": share(format="%.2f"),
    }
