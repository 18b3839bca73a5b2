import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from cnnlab.ui.components.draw_pad import SIDE, draw_pad

MATH = "draw_pad/math.js"
RADIUS, FADE = 1.3, 1.6
PLACES = st.floats(-5, 33, allow_nan=False)


def point(x, y):
    return {"x": x, "y": y}


def painted(javascript, *strokes, radius=RADIUS):
    """Pixels after strokes, each given as x, y, x, y."""
    pixels = np.zeros(SIDE * SIDE, np.uint8)
    for x0, y0, x1, y1 in strokes:
        (levels,) = javascript(MATH, ("paintStroke", pixels, SIDE, point(x0, y0), point(x1, y1), radius))
        pixels = np.array(levels, np.uint8)
    return pixels.reshape(SIDE, SIDE)


def expected(x0, y0, x1, y1, radius=RADIUS):
    """By the distance of each pixel's centre from the nearest of many points along the stroke."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    along = np.linspace(0, 1, 501)[:, None, None]
    away = np.hypot(columns - (x0 + along * (x1 - x0)), rows - (y0 + along * (y1 - y0))).min(axis=0)
    return 255 * np.clip((radius + FADE / 2 - away) / FADE, 0, 1)


@given(x0=PLACES, y0=PLACES, x1=PLACES, y1=PLACES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_pixel_is_as_bright_as_it_is_near_to_the_stroke(javascript, x0, y0, x1, y1):
    np.testing.assert_allclose(painted(javascript, (x0, y0, x1, y1)), expected(x0, y0, x1, y1), atol=1.5)


def test_a_stroke_across_a_row_has_the_profile_of_the_brush(javascript):
    column = painted(javascript, (4, 10.5, 24, 10.5))[:, 14]
    # Distances 0, 1 and 2 from the row's middle; ink ends at 1.3 + 1.6 / 2 = 2.1.
    near, far = round(255 * 1.1 / 1.6), round(255 * 0.1 / 1.6)
    assert column[7:14].tolist() == [0, far, near, 255, near, far, 0]
    assert column[:7].sum() == column[14:].sum() == 0


def test_pieces_of_a_stroke_make_the_same_as_the_whole(javascript):
    whole = painted(javascript, (3, 4, 23, 14))
    pieces = painted(javascript, (3, 4, 8, 6.5), (8, 6.5, 13, 9), (13, 9, 23, 14))
    np.testing.assert_allclose(pieces.astype(int), whole, atol=1)


def test_strokes_never_darken_what_is_there(javascript):
    one = painted(javascript, (3, 14, 25, 14))
    both = painted(javascript, (3, 14, 25, 14), (14, 3, 14, 25))
    assert (both >= one).all()
    # Between two rows, too, the middle is white: 0.5 px away is still inside.
    assert one.max() == 255


def test_a_stroke_is_about_as_wide_as_those_of_mnist(javascript):
    places = np.arange(14, 15, 0.125)
    ink = [painted(javascript, (x, 4, x, 24))[14].sum() / 255 for x in places]
    assert np.mean(ink) == pytest.approx(2.6, abs=0.02)


def test_only_a_pen_feels_pressure(javascript):
    mouse, finger, light, firm, usual = javascript(
        MATH,
        ("brushRadius", "mouse", 0.0),
        ("brushRadius", "touch", 1.0),
        ("brushRadius", "pen", 0.0),
        ("brushRadius", "pen", 1.0),
        ("brushRadius", "pen", 0.5),
    )
    assert mouse == finger == usual == RADIUS
    assert light < usual < firm


def test_a_place_on_the_page_is_a_place_on_the_pad(javascript):
    box = {"left": 100, "top": 50, "width": 280, "height": 280}
    corner, inside = javascript(MATH, ("onPad", point(100, 50), box, SIDE), ("onPad", point(240, 190), box, SIDE))
    assert corner == point(0, 0)
    assert inside == point(14, 14)


def test_arrows_step_and_stay_on_the_pad(javascript):
    at = {"row": 0, "col": 27}
    assert javascript(
        MATH,
        ("stepTo", at, "ArrowDown", 1, SIDE),
        ("stepTo", at, "ArrowLeft", 3, SIDE),
        ("stepTo", at, "ArrowUp", 1, SIDE),
        ("stepTo", at, "ArrowRight", 1, SIDE),
        ("stepTo", at, "a", 1, SIDE),
    ) == [{"row": 1, "col": 27}, {"row": 0, "col": 24}, at, at, None]


def test_messages_come_eight_times_a_second_at_most_and_less_often_where_python_is_slow(javascript):
    pauses = javascript(MATH, *(("pauseAfter", trip) for trip in (0, 40, 300, 9000)))
    assert pauses == [125, 125, 600, 2000]


def test_pixels_travel_as_text_and_come_back(javascript):
    pixels = np.arange(256, dtype=np.uint8)
    (text,) = javascript(MATH, ("toHex", pixels))
    assert bytes.fromhex(text) == pixels.tobytes()
    assert javascript(MATH, ("fromHex", text, 256), ("fromHex", text, 3)) == [pixels.tolist(), [0, 0, 0]]


PAGE = """
import streamlit as st
from cnnlab.ui.components.draw_pad import draw_pad

given = st.session_state.get("kept") if st.session_state.get("echo") else st.session_state.get("preset")
if not st.session_state.get("away"):
    drawn = draw_pad(key="pad", label="Digit", pixels=given)
    st.session_state["kept"] = drawn
    st.text("nothing" if drawn is None else drawn.tobytes().hex())
"""


@pytest.fixture
def at():
    return AppTest.from_string(PAGE, default_timeout=30).run()


def returned(at):
    assert not at.exception
    return at.text[0].value


def sent(at):
    return json.loads(at.get("bidi_component")[0].proto.json)


def drawing(level):
    return bytes([level] * SIDE * SIDE).hex()


def draw(at, pixels):
    at.session_state["pad"] = {"drawing": {"pixels": pixels, "version": sent(at)["version"]}}
    return at.run()


def test_an_empty_pad_returns_nothing_and_is_black(at):
    assert returned(at) == "nothing"
    assert sent(at)["pixels"] == drawing(0)


def test_a_drawing_is_returned_and_stays_until_it_is_cleared(at):
    assert returned(draw(at, drawing(7))) == drawing(7)
    assert returned(at.run()) == drawing(7)
    assert sent(at)["pixels"] == drawing(7)
    assert returned(draw(at, drawing(0))) == "nothing"


def test_the_browser_is_told_which_message_was_heard(at):
    assert sent(at)["heard"] is None
    at.session_state["pad"] = {"drawing": {"pixels": drawing(7), "version": sent(at)["version"], "count": 12}}
    assert sent(at.run())["heard"] == 12


def test_giving_back_what_was_drawn_leaves_the_pad_to_the_browser(at):
    at.session_state["echo"] = True
    version = sent(at)["version"]
    for level in (1, 2, 3, 0, 4):
        draw(at, drawing(level))
        at.run()
    assert returned(at) == drawing(4)
    assert sent(at)["version"] == version


def test_other_pixels_replace_what_is_drawn(at):
    version = sent(at)["version"]
    draw(at, drawing(7))
    at.session_state["preset"] = np.full((SIDE, SIDE), 9, np.uint8)
    assert returned(at.run()) == drawing(9)
    assert sent(at)["version"] > version
    assert sent(at)["pixels"] == drawing(9)


def test_a_drawing_that_was_kept_is_there_when_the_visitor_comes_back(at):
    at.session_state["echo"] = True
    draw(at, drawing(5))
    at.session_state["away"] = True
    at.run()
    assert "pad" not in at.session_state
    at.session_state["away"] = False
    assert returned(at.run()) == drawing(5)
    assert sent(at)["pixels"] == drawing(5)


def test_a_drawing_in_disorder_is_ignored(at):
    for pixels in (None, 5, "", "zz" * 784, "0" * 1567, drawing(255).upper(), [1], {"a": 1}):
        assert returned(draw(at, pixels)) == "nothing"


def test_a_drawing_on_an_older_pad_is_ignored(at):
    old = sent(at)["version"]
    at.session_state["preset"] = np.full((SIDE, SIDE), 9, np.uint8)
    at.run()
    at.session_state["pad"] = {"drawing": {"pixels": drawing(7), "version": old}}
    assert returned(at.run()) == drawing(9)


@pytest.mark.parametrize("pixels", [np.zeros((28, 28)), np.zeros((27, 28), np.uint8)])
def test_what_is_no_drawing_is_refused(pixels):
    with pytest.raises(TypeError):
        draw_pad(key="x", pixels=pixels)
