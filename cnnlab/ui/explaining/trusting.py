"""Faithfulness: whether the net really rests on what a map marks. Takes hundreds of runs, so it is done on request."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st
import torch

from cnnlab.data import Progress
from cnnlab.downloading import Cancelled
from cnnlab.explain.faithfulness import (
    ORDERS,
    STEPS,
    Confidence,
    RandomOrders,
    confidence,
    delete_and_insert,
    random_orders,
)
from cnnlab.explain.road import SHARES, road
from cnnlab.figures.faithfulness import Checked, faithfulness
from cnnlab.figures.prediction import percent
from cnnlab.ui.explaining import working
from cnnlab.ui.explaining.controls import Asking, Setup
from cnnlab.ui.explaining.mapping import Made
from cnnlab.ui.explaining.working import Steps
from cnnlab.ui.text import plain

_MOST = 8  # maps that are checked at a time
_RUNS_OF_RANDOM = ORDERS * 2 * (STEPS + 1)
_RUNS_OF_MAP = 2 * (STEPS + 1) + 2 * len(SHARES) + 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What the checks have found so far.

    Attributes:
        random: What any map has to beat.
        maps: `Asking.id` → its curves.
        left: `Asking.id` → what the net says when only the marked part is left.
    """

    random: RandomOrders
    maps: Mapping[str, Checked]
    left: Mapping[str, Confidence]


def show(setup: Setup, made: Mapping[str, Made]) -> None:
    """Draw the checks of the maps that are shown for the class of the chosen one."""
    askings = _of_class(setup, made)
    label = setup.label(setup.class_index)
    st.markdown(
        f"If the net rests on what a map marks, then **{plain(label)}** must become unlikely when those pixels are "
        "taken away first, and likely when they come first. A map that looks right and fails here points to what you "
        "see, not to what the net uses."
    )
    if not askings:
        st.info("Wait for the slow maps, or choose a method that is done: there is no whole map to check yet.")
        return
    working.on_request(
        f"faith|{setup.subject.key}|{setup.class_index}|{','.join(asking.id for asking in askings)}",
        _steps(setup, askings, made),
        lambda found: _draw(setup, askings, found),
        widget="explain.checks",
        button=f"Check the {len(askings)} maps" if len(askings) > 1 else "Check the map",
        about=f"Runs the net {_RUNS_OF_RANDOM + len(askings) * _RUNS_OF_MAP:,} times: deletion and insertion in "
        f"{STEPS} steps each, for {ORDERS} random orders of the pixels and for each map, and ROAD.",
        doing="Checking",
    )


def _of_class(setup: Setup, made: Mapping[str, Made]) -> list[Asking]:
    """Whole maps that answer for the class of the chosen one, that one first."""
    fitting = [
        asking
        for asking in setup.askings
        if asking.target in (None, setup.target) and made[asking.id].done == 1 and made[asking.id].map_hw is not None
    ]
    return sorted(fitting, key=lambda asking: asking != setup.chosen)[:_MOST]


def _steps(setup: Setup, askings: list[Asking], made: Mapping[str, Made]) -> Steps[Found]:
    model, x, index = setup.seen.passed.model, setup.subject.x, setup.class_index

    def steps(progress: Progress, cancelled: Cancelled) -> Iterator[Found]:
        random = random_orders(
            model,
            x,
            index,
            progress=lambda _, done, total: progress("random orders, pictures", done, total),
            cancelled=cancelled,
        )
        maps, left = {}, {}
        for place, asking in enumerate(askings, start=1):
            map_hw = torch.tensor(made[asking.id].map_hw)
            title = f"map {place} of {len(askings)}, pictures"
            follow = lambda _, done, total, title=title: progress(title, done, total)  # noqa: E731
            curves = delete_and_insert(model, x, map_hw, index, progress=follow, cancelled=cancelled)
            filled = road(model, x, map_hw, index, progress=follow, cancelled=cancelled)
            maps = {**maps, asking.id: Checked(curves=curves, road=filled)}
            left = {**left, asking.id: confidence(model, x, map_hw[None], index)}
            yield Found(random=random, maps=maps, left=left)

    return steps


def _draw(setup: Setup, askings: list[Asking], found: Found) -> None:
    names = {asking.id: setup.name(asking) for asking in askings if asking.id in found.maps}
    label = setup.label(setup.class_index)
    st.plotly_chart(
        faithfulness({name: found.maps[key] for key, name in names.items()}, found.random, label),
        key="explain.faithfulness",
        config={"displayModeBar": False},
    )
    st.dataframe([_row(name, found, key) for key, name in names.items()], hide_index=True, column_config=_columns())
    first = found.maps[askings[0].id]
    gains = found.random.deletion(first.curves.deletion), found.random.insertion(first.curves.insertion)
    verdicts = [
        f"{'better' if gain.better_by > 0 else 'worse'} than random by {abs(gain.better_by):.3f}"
        + ("" if abs(gain.better_by) > 2 * gain.random_spread else ", within two of its standard deviations")
        for gain in gains
    ]
    st.markdown(f"**{plain(names[askings[0].id])}:** deletion is {verdicts[0]}; insertion is {verdicts[1]}.")
    st.caption(
        "Areas under the curves, 0 to 1. Random orders speckle the picture and a map removes patches, so this is the "
        "least a map has to beat. Deleted pixels get the picture's mean colour, inserted ones replace a blurred "
        "picture; ROAD fills in from the neighbours, so that the shape of the hole tells the net nothing. The drop is "
        f"what the probability of {plain(label)} loses when only the marked part is left. One picture is one sample."
    )


def _row(name: str, found: Found, key: str) -> dict[str, object]:
    checked, left = found.maps[key], found.left[key]
    deletion, insertion = (
        found.random.deletion(checked.curves.deletion),
        found.random.insertion(checked.curves.insertion),
    )
    return {
        "map": name,
        "deletion": deletion.area,
        "better by": deletion.better_by,
        "insertion": insertion.area,
        "better by ": insertion.better_by,
        "ROAD": checked.road.score,
        "drop": 100 * left.average_drop,
        "only the marked part": percent(float(left.masked[0])),
    }


def _columns() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "deletion": number(format="%.3f", help="Area under the deletion curve: low is good."),
        "better by": number(format="%+.3f", help="Mean area of random orders minus this area: above 0 is good."),
        "insertion": number(format="%.3f", help="Area under the insertion curve: high is good."),
        "better by ": number(format="%+.3f", help="This area minus the mean of random orders: above 0 is good."),
        "ROAD": number(
            format="%+.3f",
            help="Half of how much higher the net's probability stays when what the map marks least is filled in "
            "first, rather than what it marks most: −0.5 to 0.5, high is good.",
        ),
        "drop": number(format="%.1f %%", help="Average drop: what the probability loses, as a share of itself."),
        "only the marked part": st.column_config.TextColumn(
            help="Probability of the class when the picture is multiplied by the map."
        ),
    }
