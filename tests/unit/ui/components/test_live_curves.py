import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from cnnlab.train.events import Changed, Ended, EpochEnded, Finding, LayersMeasured, Started, Stepped, TrainEvent
from cnnlab.train.history import History, for_browser
from cnnlab.train.recipes import Published
from cnnlab.ui.components import unpack
from cnnlab.ui.components.live_curves import Overlay, live_curves

MATH = "live_curves/math.js"

STARTED = Started(
    time=1000.0,
    net="LeNet-5",
    data="Digits",
    classes=("0", "1"),
    num_train=640,
    num_validation=64,
    steps_per_epoch=10,
    epochs=5,
    first_step=0,
    num_params=100,
    num_frozen=0,
    layers=("conv", "fc"),
    device="CPU",
    threads=1,
    input_shape=(1, 8, 8),
)


def stepped(step, loss=1.0, time=None):
    when = 1000.0 + step if time is None else time
    return Stepped(time=when, step=step, loss=loss, accuracy=0.5, lr=0.1, images_per_s=64.0, memory_mb=200.0)


def measured(step, norm=1.0):
    return LayersMeasured(
        step=step, gradient_norm=norm, gradients=(norm, 2.0), updates=(1e-3, 2e-3), dead={"relu": 0.1}
    )


def epoch_ended(epoch, accuracy=0.5):
    return EpochEnded(
        time=1000.0 + 10 * epoch,
        epoch=epoch,
        step=10 * epoch,
        train_loss=0.9,
        train_accuracy=0.6,
        validation_loss=1.1,
        validation_accuracy=accuracy,
        confusion=((3, 1), (0, 4)),
        lr=0.1,
        seconds=10.0,
        validation_seconds=1.0,
    )


def ended(reason="finished", step=50):
    return Ended(time=1050.0, step=step, epoch=5, reason=reason, text="It is over.", best_epoch=2, best_accuracy=0.9)


def told(*events):
    history = History()
    for event in events:
        history.add(event)
    return history


def course_after(javascript, start, events):
    """What the browser holds that was given a history, and then events."""
    course = javascript(MATH, ("courseOf", start.to_data()))[0]
    # In the test every call gives a copy, so the events go through in one call.
    (after,) = javascript("live_curves/after.js", ("after", course, [for_browser(event) for event in events]))
    return after


@pytest.fixture(autouse=True, scope="module")
def _after(scripts):
    (scripts / "live_curves" / "after.js").write_text(
        'import { advance } from "./math.js";\n'
        "export function after(course, events) {\n"
        "  for (const event of events) advance(course, event);\n"
        "  return course;\n"
        "}\n"
    )


def assert_same(course, history):
    """That the browser holds what the core does, to the digits that are sent."""
    data = json.loads(json.dumps(history.to_data()))
    for name in ("started", "epochs", "findings", "changes", "ended"):
        assert course[name] == data[name]
    assert course["isPaused"] == data["is_paused"]
    for curve in ("steps", "layers"):
        ours, theirs = course[curve], data[curve]
        assert (ours["perPoint"], ours["inOpen"]) == (theirs["per_point"], theirs["in_open"])
        assert ours["step"] == theirs["step"]
        for name in ours["kind"]["lasts"] + ours["kind"]["means"]:
            _assert_near(ours[name], theirs[name])


def _assert_near(ours, theirs):
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            _assert_near(one, other)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        _assert_near(list(ours.values()), [theirs[key] for key in ours])
    elif theirs is None:
        assert ours is None
    else:
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("num_before", "num_later"), [(0, 300), (1990, 60), (2500, 1600)])
def test_the_browser_merges_as_the_core_does(javascript, num_before, num_later):
    rng = random.Random(num_before)
    step = 0
    events: list[TrainEvent] = [STARTED]
    for _ in range(num_before + num_later):
        step += rng.randint(1, 9)
        events.append(stepped(step, rng.random()))
        if rng.random() < 0.2:
            events.append(measured(step, rng.random()))
    before, later = events[: num_before + 1], events[num_before + 1 :]
    history = told(*before)
    course = course_after(javascript, history, later)
    for event in later:
        history.add(event)
    assert_same(course, history)


def test_the_browser_forgets_what_is_done_again(javascript):
    before = told(STARTED, *(stepped(step) for step in range(1, 16)), measured(12), epoch_ended(1))
    later = [
        Finding(step=14, key="x", text="y"),
        Changed(step=14, what="paused"),
        ended("failed", 15),
        replace(STARTED, time=5000.0, first_step=10),
        stepped(11, time=5001.0),
    ]
    course = course_after(javascript, before, later)
    for event in later:
        before.add(event)
    assert_same(course, before)
    assert course["steps"]["step"] == list(range(1, 12))
    assert course["steps"]["seconds"][-1] == pytest.approx(11)


def test_a_loss_that_is_not_finite_leaves_a_hole(javascript):
    course = course_after(javascript, told(STARTED), [stepped(1), stepped(2, math.nan), stepped(3)])
    assert course["steps"]["loss"] == [1, None, 1]
    assert javascript(MATH, ("smoothed", [1, None, 3], 0)) == [[1, None, 3]]


def test_smoothing_is_tensorboards(javascript):
    # m: 0.5, 1.25, 2.625; divided by 1 − 0.5ⁿ = 0.5, 0.75, 0.875.
    (values,) = javascript(MATH, ("smoothed", [1, 2, 4], 0.5))
    assert values == pytest.approx([1, 5 / 3, 3])


def test_smoothing_leaves_what_does_not_change(javascript):
    (values,) = javascript(MATH, ("smoothed", [7.5] * 50, 0.97))
    assert values == pytest.approx([7.5] * 50)


def test_a_thinned_line_keeps_peaks(javascript):
    ys = [0.0] * 1000
    ys[333], ys[777] = 5, -5
    (kept,) = javascript(MATH, ("thinned", list(range(1000)), ys, 0, 999, 20))
    assert {0, 333, 777, 999} <= set(kept)
    assert len(kept) <= 4 * 21
    assert kept == sorted(set(kept))


def test_a_zoomed_line_runs_out_of_the_picture(javascript):
    xs = list(range(0, 100, 10))
    assert javascript(MATH, ("thinned", xs, [1.0] * 10, 25, 55, 300)) == [[2, 3, 4, 5, 6]]


@settings(max_examples=40)
@given(ys=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=400), columns=st.integers(1, 60))
def test_thinning_never_loses_the_extremes(javascript, ys, columns):
    (kept,) = javascript(MATH, ("thinned", list(range(len(ys))), ys, 0, len(ys) - 1, columns))
    assert min(ys[at] for at in kept) == min(ys)
    assert max(ys[at] for at in kept) == max(ys)


def test_outliers_of_noise_do_not_press_the_rest_flat(javascript):
    ys = [1.0 + at / 1000 for at in range(100)]
    ys[50] = 90
    line = {"xs": list(range(100)), "ys": ys, "spread": 0.02}
    assert javascript(MATH, ("spanOf", [line], 0, 99, False))[0] == pytest.approx([1.002, 1.098], abs=1e-3)
    assert javascript(MATH, ("spanOf", [{**line, "spread": 0}], 0, 99, False))[0] == [1, 90]
    assert javascript(MATH, ("spanOf", [line], 200, 300, False)) == [None]


@pytest.mark.parametrize(
    ("span", "choices", "low", "high", "ticks"),
    [
        ([0.3, 2.3], {"floor": 0}, 0, 2.5, [0, 0.5, 1, 1.5, 2, 2.5]),
        ([0.91, 0.98], {"floor": 0, "ceiling": 1}, 0.9, 0.98, [0.9, 0.92, 0.94, 0.96, 0.98]),
        ([0.5, 1.0], {"floor": 0, "ceiling": 1}, 0.5, 1, [0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        ([-0.12, 0.31], {}, -0.2, 0.4, [-0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4]),
        ([0, 0.05], {"floor": 0}, 0, 0.05, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        ([3, 3], {"floor": 0}, 2.8, 3.2, [2.8, 2.9, 3, 3.1, 3.2]),
        ([0.02, 90], {"isLog": True}, 0.01, 100, [0.01, 0.1, 1, 10, 100]),
        ([0.2, 0.9], {"isLog": True}, 0.2, 1, [0.2, 0.5, 1]),
        ([1e-9, 1], {"isLog": True}, 1e-9, 1, [1e-9, 1e-7, 1e-5, 1e-3, 1e-1]),
    ],
)
def test_axes_end_at_round_numbers(javascript, span, choices, low, high, ticks):
    (axis,) = javascript(MATH, ("axisOf", span, 5, choices))
    assert (axis["low"], axis["high"]) == pytest.approx((low, high))
    assert axis["ticks"] == pytest.approx(ticks)


@settings(max_examples=60)
@given(
    low=st.floats(1e-6, 1e5), factor=st.floats(1.0, 1e6), is_log=st.booleans(), most=st.sampled_from([3.5, 5.0, 8.0])
)
def test_an_axis_holds_its_span_with_few_ticks(javascript, low, factor, is_log, most):
    high = low * factor
    (axis,) = javascript(MATH, ("axisOf", [low, high], most, {"isLog": is_log}))
    assert axis["low"] <= low * (1 + 1e-6)
    assert axis["high"] >= high * (1 - 1e-6)
    assert 1 <= len(axis["ticks"]) <= most + 3


def test_values_find_their_place(javascript):
    linear = {"low": 1, "high": 3, "isLog": False}
    log = {"low": 0.01, "high": 1, "isLog": True}
    assert javascript(MATH, ("shareOn", linear, 2.5), ("shareOn", log, 0.1), ("shareOn", log, 0)) == pytest.approx(
        [0.75, 0.5, -math.inf]
    )


@pytest.mark.parametrize(
    ("arguments", "ticks"),
    [
        ((0, 10, 5, "epoch"), [0, 2, 4, 6, 8, 10]),
        ((0, 3, 8, "step"), [0, 1, 2, 3]),
        ((0, 300, 5, "time"), [0, 60, 120, 180, 240, 300]),
        ((100, 8000, 4, "time"), [3600, 7200]),
        ((0, 0, 5, "epoch"), []),
    ],
)
def test_places_along_the_run_are_round(javascript, arguments, ticks):
    assert javascript(MATH, ("placesOf", *arguments)) == [ticks]


def test_steps_epochs_and_seconds_are_places_of_one_another(javascript):
    history = told(STARTED, stepped(5, time=1010.0), stepped(10, time=1030.0))
    (course,) = javascript(MATH, ("courseOf", history.to_data()))
    assert javascript(
        MATH,
        ("placeOf", course, "step", 5),
        ("placeOf", course, "epoch", 5),
        ("placeOf", course, "time", 7.5),
        ("stepAt", course, "time", 20),
        ("stepAt", course, "epoch", 0.75),
        ("placeOf", course, "time", 2.5),
    ) == [5, 0.5, 20, 7.5, 7.5, 5]


def test_a_line_is_told_where_it_is_and_an_epoch_near_its_end(javascript):
    assert javascript(
        MATH,
        ("toldAt", [10, 20, 40], 32, 1),
        ("toldAt", [10, 20, 40], 40.5, 1),
        ("toldAt", [10, 20, 40], 43, 1),
        ("toldAt", [10, 20, 40], 8, 1),
        ("toldAt", [10, 20, 40], 28, 1, 5),
        ("toldAt", [10, 20, 40], 24, 1, 5),
        ("toldAt", [], 24, 1),
    ) == [2, 2, -1, -1, -1, 1, -1]


def test_the_nearest_epoch_is_the_one_that_is_picked(javascript):
    (course,) = javascript(MATH, ("courseOf", told(STARTED, epoch_ended(1), epoch_ended(2)).to_data()))
    calls = [("epochNear", course, step) for step in (0, 4, 6, 14, 16, 99)]
    assert javascript(MATH, *calls) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("done", "total", "reach"),
    [
        (0, 800, 50),
        (30, 800, 50),
        (51, 800, 100),
        (399, 800, 400),
        (401, 800, 800),
        (900, 800, 900),
        (7, 0, 8),
        (61, 0, 80),
    ],
)
def test_an_axis_grows_at_once_and_then_stays(javascript, done, total, reach):
    assert javascript(MATH, ("reachOf", done, total)) == [reach]


def test_zoom_keeps_the_place_under_the_pointer_and_stays_inside(javascript):
    assert javascript(
        MATH,
        ("zoomed", [0, 100], [0, 100], 25, 0.5, 1),
        ("zoomed", [0, 100], [0, 100], 0, 0.5, 1),
        ("zoomed", [40, 60], [0, 100], 50, 100, 1),
        ("zoomed", [40, 60], [0, 100], 50, 0.0001, 4),
    ) == [[12.5, 62.5], [0, 50], None, [48, 52]]


def test_what_happened_is_marked(javascript):
    history = told(
        STARTED,
        Changed(step=3, what="lr", value=0.02),
        Changed(step=5, what="paused"),
        Changed(step=5, what="resumed"),
        epoch_ended(1, 0.7),
        epoch_ended(2, 0.9),
        epoch_ended(3, 0.9),
        Finding(step=25, key="x", text="Loss is stuck."),
        ended("early", 30),
    )
    (course,) = javascript(MATH, ("courseOf", history.to_data()))
    (marks,) = javascript(MATH, ("marksOf", course))
    assert [(mark["kind"], mark["step"]) for mark in marks] == [
        ("lr", 3),
        ("pause", 5),
        ("finding", 25),
        ("best", 20),
        ("early", 30),
    ]
    assert marks[3]["text"] == "Best epoch: 2, validation accuracy 90.00 %"


def test_curves_of_layers_come_layer_by_layer(javascript):
    history = told(STARTED, stepped(10), measured(1, 1.0), measured(6, 3.0), epoch_ended(1, 0.55))
    (course,) = javascript(MATH, ("courseOf", history.to_data()))
    layers, curves = javascript(MATH, ("layerCurvesOf", course, "epoch"), ("curvesOf", course, "epoch", 0))
    assert layers["measured"] == [0.1, 0.6]
    assert layers["gradients"] == [[1, 3], [2, 2]]
    assert layers["dead"] == [{"name": "relu", "ys": [0.1, 0.1]}]
    assert curves["gap"] == pytest.approx([0.05])
    assert curves["ends"] == [1]


def status(javascript, history, eta):
    (course,) = javascript(MATH, ("courseOf", history.to_data()))
    (cells,) = javascript(MATH, ("statusOf", course, eta))
    return {cell["name"]: f"{cell['label']}: {cell['value']} {cell['unit']}".strip() for cell in cells}


def test_the_status_says_where_the_run_stands(javascript):
    cells = status(javascript, told(STARTED, stepped(10), epoch_ended(1, 0.4567), stepped(11, 0.25)), 75.4)
    assert cells == {
        "epoch": "epoch: 2 / 5",
        "step": "step: 11 / 50",
        "left": "time left: 1 min 15 s",
        "speed": "speed: 64 images/s",
        "loss": "loss: 0.2500",
        "train": "train accuracy: 50.0 %",
        "validation": "validation acc.: 45.67 %",
        "lr": "learning rate: 0.1",
        "memory": "memory: 200 MB",
    }


def test_the_status_before_the_start_and_after_the_end(javascript):
    assert status(javascript, History(), None)["step"] == "step: –"
    cells = status(javascript, told(STARTED, stepped(50), ended()), None)
    assert (cells["epoch"], cells["left"]) == ("epoch: 5 / 5", "took: 50 s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.41, "0.4 s"), (9.97, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7805, "2 h 10 min")],
)
def test_durations_read_at_a_glance(javascript, seconds, text):
    assert javascript(MATH, ("durationText", seconds)) == [text]


def test_words_for_numbers(javascript):
    assert javascript(
        MATH,
        ("steadyText", 2.3),
        ("steadyText", 0.02734),
        ("steadyText", 12345.6),
        ("steadyText", 0.00012),
        ("steadyText", None),
        ("shareText", 0.91234),
        ("shareText", -0.00001),
        ("shareText", -0.05, 1),
        ("powerText", 1e-3),
        ("powerText", 0.05),
        ("powerText", 2e-5),
        ("powerText", 1e6),
        ("clockText", 90),
        ("clockText", 9000),
    ) == [
        "2.300",
        "0.02734",
        "12,346",
        "1.20e−4",
        "not finite",
        "91.23 %",
        "0.00 %",
        "−5.0 %",
        "10⁻³",
        "0.05",
        "2·10⁻⁵",
        "10⁶",
        "1:30",
        "2:30 h",
    ]


@pytest.mark.parametrize(
    ("addresses", "address"),
    [
        (["http://h:1/static/js/index.js"], "http://h:1/api/runs/x/events"),
        (["http://cdn/static/a.js", "http://h:1/lab/two/static/js/index.js"], "http://h:1/lab/two/api/runs/x/events"),
        (["http://h:10/evil/static/js/index.js"], "http://h:1/api/runs/x/events"),
        ([], "http://h:1/api/runs/x/events"),
    ],
)
def test_the_stream_is_where_the_lab_is(javascript, addresses, address):
    assert javascript(MATH, ("streamAddress", "/api/runs/x/events", addresses, "http://h:1")) == [address]


def sent(wall=None, **arguments):
    def page():
        import streamlit as st

        from cnnlab.ui.components.live_curves import live_curves

        picked = live_curves(key="curves", url="/api/runs/x/events", **st.session_state["arguments"])
        st.text(f"picked {picked}")

    at = AppTest.from_function(page)
    at.session_state["arguments"] = {"history": {}, "is_live": True, **arguments}
    if wall is not None:
        at.session_state["curves"] = wall
    at.run()
    assert not at.exception
    return unpack(at.get("bidi_component")[0].proto.bytes)[0], at.text[0].value


def test_a_history_is_sent_whole_and_overlays_without_their_layers():
    history = told(STARTED, stepped(1), measured(1)).to_data()
    overlay = Overlay(label="Other", colour="#009E73", history=history)
    published = Published(losses=(1.6, 0.9), test_accuracy=0.57, note="…")
    header, picked = sent(history=history, overlays=[overlay], published=published)
    assert header["history"] == json.loads(json.dumps(history))
    assert header["overlays"][0]["history"]["layers"] is None
    assert header["overlays"][0]["history"]["steps"] == header["history"]["steps"]
    assert header["published"] == {"losses": [1.6, 0.9], "trainAccuracies": [], "testAccuracy": 0.57}
    assert picked == "picked None"


@pytest.mark.parametrize(
    ("state", "picked"),
    [({"picked_epoch": 3}, 3), ({"picked_epoch": 0}, 0)]
    + [({"picked_epoch": one}, None) for one in (-1, True, 1.5, "3", None)],
)
def test_only_an_epoch_is_taken_for_a_pick(state, picked):
    assert sent(wall=state)[1] == f"picked {picked}"


def test_what_json_cannot_hold_is_a_fault_of_ours():
    with pytest.raises(ValueError, match="JSON"):
        live_curves(key="x", url="/x", history={"loss": math.nan}, is_live=False)
