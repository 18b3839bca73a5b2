import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cnnlab.ui.components import unpack
from cnnlab.ui.components.picture import planes

MATH = "picture/math.js"


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (40, 31)])
def test_the_browser_draws_the_very_codes(javascript, shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    (rgba,) = javascript(MATH, ("toRgba", np.frombuffer(planes(pixels), np.uint8), pixels.size, greys))
    drawn = np.array(rgba, np.uint8).reshape(*shape, 4)
    np.testing.assert_array_equal(drawn[..., :3], np.repeat(pixels[..., None], 3, axis=2))


def test_the_browser_draws_the_very_colours(javascript):
    pixels = np.random.default_rng(1).integers(0, 256, (9, 6, 3), dtype=np.uint8)
    (rgba,) = javascript(MATH, ("toRgba", np.frombuffer(planes(pixels), np.uint8), 54, None))
    np.testing.assert_array_equal(np.array(rgba, np.uint8).reshape(9, 6, 4)[..., :3], pixels)


def test_pixels_become_opaque_colours(javascript):
    lut = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 7)], -1).astype(np.uint8)
    coded, coloured = javascript(
        MATH,
        ("toRgba", np.array([0, 255], np.uint8), 2, lut),
        ("toRgba", np.array([1, 2, 3, 4, 5, 6], np.uint8), 2, None),
    )
    assert coded == [0, 255, 7, 255, 255, 0, 7, 255]
    assert coloured == [1, 3, 5, 255, 2, 4, 6, 255]


def test_a_code_stands_for_its_share_of_the_range(javascript):
    legend = {"minimum": -4.0, "maximum": 4.0}
    low, middle, high, bare, flat = javascript(
        MATH,
        ("valueOfCode", 0, legend),
        ("valueOfCode", 128, legend),
        ("valueOfCode", 255, legend),
        ("valueOfCode", 128, None),
        ("valueOfCode", 9, {"minimum": 0.5, "maximum": 0.5}),
    )
    # No code is exactly zero on a symmetric scale; the nearest says so.
    assert (low["text"], middle["text"], high["text"]) == ("≈ −4.00", "≈ 0", "≈ 4.00")
    assert middle["value"] == 0
    assert (bare["text"], flat["text"]) == ("128", "0.5")


def test_an_end_that_stands_for_more_says_so(javascript):
    legend = {"minimum": -4.0, "maximum": 4.0, "cutBelow": True, "cutAbove": True}
    low, inside, high = javascript(MATH, *(("valueOfCode", code, legend) for code in (0, 1, 255)))
    assert (low["text"], inside["text"], high["text"]) == ("≤ −4.00", "≈ −3.97", "≥ 4.00")


def test_cells_of_a_picture_show_the_same_decimals(javascript):
    legend = {"minimum": -1.0, "maximum": 1.0}
    (texts,) = javascript(MATH, ("cellTexts", [0, 128, 255], legend, 5))
    assert [texts[0], texts[128], texts[255]] == ["−1.000"[:2], "0", "1.000"]


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding"), [(3, 1, 1, 0), (3, 2, 1, 1), (2, 2, 1, 0), (3, 1, 2, 2), (4, 3, 1, 1)]
)
def test_a_framed_window_is_what_the_output_was_computed_from(javascript, kernel, stride, dilation, padding):
    reach = (kernel - 1) * dilation + 1
    mapping = {
        "scale_row": stride,
        "scale_col": stride,
        "offset_row": (reach - 1) / 2 - padding,
        "offset_col": (reach - 1) / 2 - padding,
        "window_rows": reach,
        "window_cols": reach,
    }
    output, source = javascript(MATH, ("mappingOf", mapping), ("mappingOf", {}))
    for own in ({"row": 0, "col": 0}, {"row": 5, "col": 3}):
        (window,) = javascript(MATH, ("windowOf", output, own))
        (frame,) = javascript(MATH, ("frameIn", source, window))
        assert frame == {
            "top": own["row"] * stride - padding,
            "left": own["col"] * stride - padding,
            "rows": reach,
            "cols": reach,
        }


def test_places_of_a_group_come_back(javascript):
    (mapping,) = javascript(MATH, ("mappingOf", {"scale_row": 2, "scale_col": 3, "offset_row": 0.5, "offset_col": -1}))
    for row, col in [(0, 0), (7, 11)]:
        (common,) = javascript(MATH, ("toCommon", mapping, {"row": row, "col": col}))
        (own,) = javascript(MATH, ("fromCommon", mapping, common))
        assert javascript(MATH, ("pixelAt", own, 8, 12)) == [{"row": row, "col": col}]
    outside = ({"row": -0.6, "col": 0}, {"row": 7.5, "col": 0}, {"row": 0, "col": 12})
    assert javascript(MATH, *(("pixelAt", place, 8, 12) for place in outside)) == [None, None, None]


def test_the_magnifier_never_covers_what_is_looked_at(javascript):
    rng = np.random.default_rng(2)
    cases = []
    for _ in range(400):
        box = {"width": float(rng.uniform(40, 900)), "height": float(rng.uniform(40, 900))}
        point = {"x": float(rng.uniform(0, box["width"])), "y": float(rng.uniform(0, box["height"]))}
        cases.append((box, {"width": 130.0, "height": 160.0}, point))
    spots = javascript(MATH, *(("placeLoupe", box, panel, point, 14) for box, panel, point in cases))
    for (_, panel, point), spot in zip(cases, spots, strict=True):
        across = spot["left"] - 13 < point["x"] < spot["left"] + panel["width"] + 13
        down = spot["top"] - 13 < point["y"] < spot["top"] + panel["height"] + 13
        assert not (across and down)


def page():
    import numpy as np
    import streamlit as st

    from cnnlab.ui.components.picture import picture

    shape = st.session_state.get("shape", (4, 6))
    lut = np.zeros((256, 3), np.uint8) if st.session_state.get("coloured") else None
    picked = picture(
        np.zeros(shape, np.uint8),
        key="map",
        alt="A map",
        lut=lut,
        legend={"minimum": -1.0, "maximum": 1.0, "counts": [1, 2]},
        mapping={"scale_row": 2},
        link="group",
    )
    st.text(f"picked {picked}")


def test_a_picture_is_sent_with_all_it_needs():
    at = AppTest.from_function(page).run()
    assert not at.exception
    header, body = unpack(at.get("bidi_component")[0].proto.bytes)
    assert (header["height"], header["width"], header["planes"], header["link"]) == (4, 6, 1, "group")
    assert header["legend"] == {
        "minimum": -1.0,
        "maximum": 1.0,
        "zeroInside": True,
        "cutBelow": False,
        "cutAbove": False,
        "counts": [1, 2],
        "caption": "",
    }
    assert header["mapping"] == {"scale_row": 2.0}
    assert header["pick"] is None
    assert body == bytes(24)


def test_the_digest_changes_with_the_pixels_and_not_with_the_colours():
    at = AppTest.from_function(page).run()
    first = unpack(at.get("bidi_component")[0].proto.bytes)[0]
    at.session_state["coloured"] = True
    second = unpack(at.run().get("bidi_component")[0].proto.bytes)[0]
    at.session_state["shape"] = (5, 6)
    third = unpack(at.run().get("bidi_component")[0].proto.bytes)[0]
    assert first["digest"] == second["digest"] != third["digest"]
    assert first["lut"] != second["lut"]


def test_a_pick_is_returned_and_survives_a_rerun():
    at = AppTest.from_function(page)
    at.session_state["map"] = {"pick": {"row": 3, "col": 5}}
    assert at.run().text[0].value == "picked (3, 5)"
    assert at.run().text[0].value == "picked (3, 5)"
    assert unpack(at.get("bidi_component")[0].proto.bytes)[0]["pick"] == [3, 5]


@pytest.mark.parametrize("pick", [None, "x", {"row": 4, "col": 0}, {"row": -1, "col": 0}, {"row": 1.5, "col": 0}, {}])
def test_a_pick_outside_or_in_disorder_is_none(pick):
    at = AppTest.from_function(page)
    at.session_state["map"] = {"pick": pick}
    at.run()
    assert not at.exception
    assert at.text[0].value == "picked None"


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8)])
def test_what_is_no_picture_is_refused(bad):
    from cnnlab.ui.components.picture import picture

    with pytest.raises(TypeError):
        picture(bad, key="x", alt="")
