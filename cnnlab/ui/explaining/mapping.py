"""The maps: quick ones at once, slow ones in a thread of their own that shows what it has as it goes."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.data import Progress
from cnnlab.downloading import Cancelled
from cnnlab.errors import LabError
from cnnlab.explain import METHODS, Target
from cnnlab.ui import nets
from cnnlab.ui.explaining import working
from cnnlab.ui.explaining.controls import Asking, Setup
from cnnlab.ui.explaining.working import Steps, Work

_SLOW = "map|"
_SHORT_S = 0.3  # what a page may wait for slow ones before it is drawn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """A map, as far as it is known.

    Attributes:
        map_hw: (h, w), unscaled; None while there is nothing, or where there will be nothing.
        done: Share of the work that is in it.
        is_over: Whether no more will come.
        took_ms: Time that the method has computed, without the pass.
        fault: Why there is no map, for people.
    """

    map_hw: NDArray[np.float32] | None
    done: float
    is_over: bool
    took_ms: float
    fault: str = ""


_NOTHING = Made(map_hw=None, done=0.0, is_over=False, took_ms=0.0)


def maps(setup: Setup) -> dict[str, Made]:
    """`Asking.id` → its map, in order. Slow ones that nobody asks for any more are stopped."""
    asked = {key_of(setup, asking): asking for asking in setup.askings if METHODS[asking.method].is_slow}
    for key, work in working.started(_SLOW).items():
        if key not in asked:
            work.stop()
    works = {key: working.kept(key, _steps(setup, asking)) for key, asking in asked.items()}
    patience = time.monotonic() + _SHORT_S
    for work in works.values():
        work.look(max(0.0, patience - time.monotonic()))
    return {asking.id: made(setup, asking) for asking in setup.askings}


def made(setup: Setup, asking: Asking) -> Made:
    """One of the maps; of slow ones, what there is."""
    key = key_of(setup, asking)
    if METHODS[asking.method].is_slow:
        return _so_far(working.kept(key, _steps(setup, asking)))
    return _quick(setup, asking, key)


def are_over(made: Iterable[Made]) -> bool:
    """Whether nothing more will come."""
    return all(one.is_over for one in made)


def stop() -> None:
    """Stop all slow maps; what they have stays, as approximate as it is."""
    for work in working.started(_SLOW).values():
        work.stop(by_hand=True)


def go_on() -> None:
    """Make the stopped ones after all, from the beginning."""
    for key, work in working.started(_SLOW).items():
        if work.is_stopped:
            working.forget(key)


def key_of(setup: Setup, asking: Asking) -> str:
    """What tells a map from all others of this visitor."""
    return f"{_SLOW}{setup.subject.key}|{asking.id}"


def target_of(setup: Setup, asking: Asking) -> Target:
    """What to ask a method, also one that does not look at it."""
    return setup.classes[0] if asking.target is None else asking.target


def _so_far(work: Work[Made]) -> Made:
    if isinstance(work.error, LabError):
        return Made(map_hw=None, done=1.0, is_over=True, took_ms=0.0, fault=str(work.error))
    if work.error is not None:
        raise work.error
    made = work.latest or _NOTHING
    return Made(map_hw=made.map_hw, done=made.done, is_over=work.is_over, took_ms=made.took_ms)


def _steps(setup: Setup, asking: Asking) -> Steps[Made]:
    def steps(progress: Progress, cancelled: Cancelled) -> Iterator[Made]:
        del progress, cancelled  # the map itself says how far it is; between two parts the work looks whether to end
        partials = METHODS[asking.method].stream(setup.seen.passed, target_of(setup, asking), asking.layer)
        took = 0.0
        while True:
            # The turn is given back after every part, so that others' predictions go in between.
            with nets.run_of(setup.subject.asked.described):
                begin = time.perf_counter()
                partial = next(partials, None)
                took += 1000 * (time.perf_counter() - begin)
            if partial is None:
                return
            yield Made(map_hw=partial.maps[0].numpy(), done=partial.done, is_over=False, took_ms=took)

    return steps


@st.cache_resource(show_spinner=False, scope="session", max_entries=256)
def _quick(_setup: Setup, _asking: Asking, key: str) -> Made:
    del key
    try:
        with nets.run_of(_setup.subject.asked.described):
            begin = time.perf_counter()
            maps_nhw = METHODS[_asking.method].of(_setup.seen.passed, target_of(_setup, _asking), _asking.layer)
            took_ms = 1000 * (time.perf_counter() - begin)
    except LabError as error:
        return Made(map_hw=None, done=1.0, is_over=True, took_ms=0.0, fault=str(error))
    return Made(map_hw=maps_nhw[0].numpy(), done=1.0, is_over=True, took_ms=took_ms)
