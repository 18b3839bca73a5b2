import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from cnnlab.figures import palette
from cnnlab.figures.heat import COLOURS, Look, enlarged, overlay, own_scale, shared_scale
from cnnlab.ui.components import unpack
from cnnlab.ui.components.heat_wall import Tile

MATH = "heat_wall/math.js"
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8)
MAP = RNG.normal(size=(3, 4)).astype(np.float32)


def tile(map_hw, *, name="a", is_signed=False, **told):
    if map_hw is None:
        nothing = own_scale(np.zeros((1, 1), np.float32), is_signed=is_signed)
        return Tile(id=name, title=name, map_hw=None, own=nothing, shared=nothing, **told)
    own, shared = own_scale(map_hw, is_signed=is_signed), shared_scale([map_hw], is_signed=is_signed)
    return Tile(id=name, title=name, map_hw=map_hw, own=own, shared=shared, **told)


def page():
    import streamlit as st

    from cnnlab.figures.heat import Look
    from cnnlab.ui.components.heat_wall import changed_look, heat_wall, picked_tile

    def note_look():
        st.session_state["look"] = changed_look("wall")

    def note_pick():
        st.session_state["pick"] = picked_tile("wall")

    heat_wall(
        st.session_state["picture"],
        st.session_state["tiles"],
        key="wall",
        alt="Heat maps",
        look=Look(),
        columns=3,
        picture_title="Seen",
        on_look=note_look,
        on_pick=note_pick,
    )
    st.text(f"look {changed_look('wall')}")
    st.text(f"pick {picked_tile('wall')}")


def opened(tiles, picture=PICTURE):
    at = AppTest.from_function(page)
    at.session_state["picture"], at.session_state["tiles"] = picture, tiles
    return at.run()


def arrived(javascript, tiles, picture=PICTURE):
    """Picture and tiles as the browser reads them."""
    header, body = unpack(opened(tiles, picture).get("bidi_component")[0].proto.bytes)
    return header, javascript(MATH, ("heatTiles", header, np.frombuffer(body, np.uint8)))[0]


def test_picture_and_maps_arrive_as_they_were(javascript):
    # An odd number of bytes before the maps, and a tile without one between two that have one.
    picture = PICTURE[:3, :5]
    header, found = arrived(javascript, [tile(MAP), tile(None, name="b"), tile(-MAP[:2], name="c")], picture)
    assert (header["height"], header["width"]) == (3, 5)
    np.testing.assert_array_equal(found["picture"], picture.ravel())
    assert [(one["height"], one["width"]) for one in found["tiles"]] == [(3, 4), (0, 0), (2, 4)]
    np.testing.assert_array_equal(found["tiles"][0]["map"], MAP.ravel())
    np.testing.assert_array_equal(found["tiles"][2]["map"], -MAP[:2].ravel())
    assert found["tiles"][0]["own"] == {"minimum": 0, "maximum": float(MAP.max()), "isSigned": False}


def shown_in_browser(javascript, picture, map_hw, scale, look):
    height, width = picture.shape[:2]
    lut = palette.diverging() if scale.is_signed else COLOURS[look.colours].lut()
    fades = scale.is_signed or COLOURS[look.colours].fades
    (values,) = javascript(MATH, ("enlarge", map_hw, list(map_hw.shape), [height, width], look.smooth))
    plain = {"minimum": scale.minimum, "maximum": scale.maximum, "isSigned": scale.is_signed}
    (rgba,) = javascript(MATH, ("lay", picture, np.array(values, np.float32), plain, lut, fades, look.opacity))
    return np.array(values).reshape(height, width), np.array(rgba).reshape(height, width, 4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.booleans(),
    st.booleans(),
    st.sampled_from(sorted(COLOURS)),
    st.sampled_from([0.0, 0.35, 1.0]),
)
def test_the_browser_lays_maps_over_the_picture_as_the_core_does(
    javascript, cells, size, smooth, is_signed, colours, opacity
):
    rng = np.random.default_rng([*cells, *size])
    map_hw = rng.normal(size=cells).astype(np.float32)
    picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    look = Look(opacity=opacity, colours=colours, smooth=smooth)
    scale = own_scale(map_hw, is_signed=is_signed)
    values, rgba = shown_in_browser(javascript, picture, map_hw, scale, look)
    np.testing.assert_allclose(values, enlarged(map_hw, size, smooth=smooth), atol=1e-5)
    assert (rgba[..., 3] == 255).all()
    expected = overlay(picture, map_hw, scale, look).astype(int)
    # A share may fall on the other side of two neighbouring colours of the table, which are at most this far apart.
    lut = palette.diverging() if is_signed else COLOURS[colours].lut()
    step = np.abs(np.diff(lut.astype(int), axis=0)).max() + 1
    assert np.abs(rgba[..., :3] - expected).max() <= step


def test_a_map_with_nothing_to_show_leaves_the_picture(javascript):
    flat = np.zeros((2, 2), np.float32)
    for colours in COLOURS:
        scale = own_scale(flat, is_signed=False)
        _, rgba = shown_in_browser(javascript, PICTURE, flat, scale, Look(colours=colours))
        np.testing.assert_array_equal(rgba[..., :3], PICTURE)


def test_a_place_in_the_picture_is_read_off_the_cell_that_covers_it(javascript):
    _, found = arrived(javascript, [tile(np.arange(12, dtype=np.float32).reshape(3, 4))])
    (one,) = found["tiles"]
    # 9 × 12 px over 3 × 4 cells: 3 px a cell.
    cells = javascript(
        MATH, *(("cellUnderPixel", one, [9, 12], {"row": row, "col": col}) for row, col in [(0, 0), (2, 3), (8, 11)])
    )
    assert cells == [
        {"row": 0, "col": 0, "value": 0},
        {"row": 0, "col": 1, "value": 1},
        {"row": 2, "col": 3, "value": 11},
    ]
    assert javascript(MATH, ("cellText", one, [9, 12], {"row": 8, "col": 11})) == ["11.00 in cell 2, 3"]


def test_legends_name_the_ends_of_the_scale_in_use(javascript):
    signed = np.array([[-2.0, 1.0]], np.float32)
    _, found = arrived(javascript, [tile(MAP + 5), tile(signed, name="b", is_signed=True)])
    words = javascript(MATH, *(("legendWords", one, shared) for one in found["tiles"] for shared in (False, True)))
    assert [one["zero"] for one in words] == [False, False, True, True]
    assert words[1]["low"] == "0"
    assert words[0]["low"] != "0"
    assert (words[2]["low"], words[2]["high"]) == ("−2", "2")


@pytest.mark.parametrize(
    ("room", "wanted", "group", "columns"),
    [(1000, 4, 0, 4), (430, 4, 0, 2), (90, 4, 0, 1), (610, 4, 2, 4), (590, 4, 2, 2), (430, 4, 3, 2), (9999, 3, 3, 3)],
)
def test_there_are_as_many_columns_as_fit_in_whole_groups(javascript, room, wanted, group, columns):
    assert javascript(MATH, ("columnsIn", room, wanted, 150, group)) == [columns]


def answered(told):
    at = opened([tile(MAP)])
    at.session_state["wall"] = told
    at.run()
    assert not at.exception
    return [text.value for text in at.text]


def test_what_was_set_and_picked_in_the_browser_is_heard():
    told = {"opacity": 0.4, "colours": "jet", "shared": True, "smooth": False, "count": 3}
    look, pick = answered({"look": told, "pick": {"id": "a", "count": 1}})
    assert look == f"look {Look(opacity=0.4, colours='jet', shared=True, smooth=False)}"
    assert pick == "pick a"


@pytest.mark.parametrize(
    "told",
    [
        {"look": {"opacity": 7, "colours": "jet", "shared": True, "smooth": False}},
        {"look": {"opacity": "<b>", "colours": "jet", "shared": True, "smooth": False}},
        {"look": {"opacity": 0.5, "colours": "rainbow", "shared": True, "smooth": False}},
        {"look": {"opacity": 0.5, "colours": ["jet"], "shared": 1, "smooth": None}},
        {"look": [], "pick": {"id": 5}},
        {"look": "x", "pick": "x"},
        {},
    ],
)
def test_what_no_visitor_could_set_is_not_heard(told):
    assert answered(told) == ["look None", "pick None"]


def test_a_change_is_not_answered_with_the_look_before_it():
    at = opened([tile(MAP)])
    assert unpack(at.get("bidi_component")[0].proto.bytes)[0]["heard"] == 0
    at.session_state["wall"] = {"look": {"opacity": 0.4, "count": 3}}
    at.run()
    assert unpack(at.get("bidi_component")[0].proto.bytes)[0]["heard"] == 3


def test_words_from_outside_are_sent_as_they_are():
    hostile = "<img src=x onerror=alert(1)> × “ü”"
    at = opened([tile(MAP, name=hostile, note=hostile, warning=hostile)])
    header, _ = unpack(at.get("bidi_component")[0].proto.bytes)
    assert header["tiles"][0]["title"] == header["tiles"][0]["warning"] == hostile
