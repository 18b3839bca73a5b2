import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from cnnlab.ui.components import unpack
from cnnlab.ui.components.map_wall import map_wall

MATH = "map_wall/math.js"
ALIEN = [1, 2, 3]


def row_of(values, *, shape=None, channels=None, index=0):
    """A row as Python describes it."""
    values = np.asarray(values, np.float32)
    if values.ndim == 1:
        channels, stats = (), ()
    else:
        channels = range(len(values)) if channels is None else channels
        stats = [(each.min(), each.max(), each.mean(), (each == 0).mean()) for each in values]
    return {
        "index": index,
        "name": f"layer {index}",
        "kind": "Conv2d",
        "shape": shape or values.shape,
        "channels": channels,
        "num_channels": (shape or values.shape)[0],
        "num_dead": 0,
        "stats": stats,
    }, values


def page():
    import streamlit as st

    from cnnlab.ui.components.map_wall import map_wall, picked_map

    def note():
        st.session_state["heard"] = picked_map("wall")

    pick = map_wall(
        st.session_state["rows"],
        key="wall",
        alt="Feature maps",
        selected=st.session_state.get("selected"),
        on_pick=note,
    )
    st.text(f"picked {pick}")


def sent(rows, **state):
    """Header and body of the message to the browser."""
    at = AppTest.from_function(page)
    at.session_state["rows"] = rows
    for name, value in state.items():
        at.session_state[name] = value
    at.run()
    assert not at.exception
    return *unpack(at.get("bidi_component")[0].proto.bytes), at


def arrived(javascript, rows):
    """The rows as the browser reads them."""
    header, body, _ = sent(rows)
    return javascript(MATH, ("wallRows", header, np.frombuffer(body, np.uint8)))[0]


def numbers_of(row):
    codes = np.array(row["codes"], np.float64).reshape(row["count"], row["height"], row["width"])
    return codes / 127 * np.array(row["limits"])[:, None, None]


RNG = np.random.default_rng(0)
MAPS = RNG.normal(0, [[[1.0]], [[1e-4]], [[3e5]]], (3, 5, 7)).astype(np.float32)
VECTOR = RNG.normal(size=11).astype(np.float32)


def test_maps_arrive_within_half_a_step_of_their_own_scale(javascript):
    maps, vector = arrived(javascript, [row_of(MAPS), row_of(VECTOR, index=1)])
    limits = np.abs(MAPS).max((1, 2))
    np.testing.assert_array_equal(maps["limits"], limits)
    assert (np.abs(numbers_of(maps) - MAPS) <= limits[:, None, None] / 254 * (1 + 1e-6)).all()
    np.testing.assert_array_equal(vector["values"], VECTOR)


def test_what_is_said_of_a_map_arrives_as_it_was(javascript):
    (maps,) = arrived(javascript, [row_of(MAPS, shape=(64, 10, 14), channels=[0, 3, 9])])
    np.testing.assert_array_equal([stat["minimum"] for stat in maps["stats"]], MAPS.min((1, 2)))
    np.testing.assert_array_equal([stat["maximum"] for stat in maps["stats"]], MAPS.max((1, 2)))
    np.testing.assert_array_equal([stat["mean"] for stat in maps["stats"]], MAPS.mean((1, 2)))
    assert maps["channels"] == [0, 3, 9]
    assert javascript(MATH, ("channelAt", maps, 2), ("positionOf", maps, 3), ("positionOf", maps, 4)) == [9, 1, -1]


@pytest.mark.parametrize("shape", [(112, 112), (113, 40), (5, 300), (56, 56), (57, 3), (225, 224)])
@pytest.mark.parametrize("max_side", [56, 28, 14])
def test_the_browser_knows_how_many_cells_a_square_is_the_mean_of(javascript, shape, max_side):
    factor = math.ceil(max(shape) / max_side)
    height, width = (math.ceil(side / factor) for side in shape)
    row = {"values": None, "shape": [3, *shape], "height": height, "width": width}
    assert javascript(MATH, ("reductionOf", row)) == [factor]


def test_zero_stays_zero_and_an_empty_map_has_no_scale(javascript):
    (row,) = arrived(javascript, [row_of([[[0.0, -5.0]], [[0.0, 0.0]]])])
    assert (row["codes"], row["limits"]) == ([0, -127, 0, 0], [5, 0])
    assert javascript(MATH, ("valueText", row, 0, 0), ("valueText", row, 0, 1), ("valueText", row, 1, 1)) == [
        "≈ 0",
        "≈ −5.00",
        "≈ 0",
    ]


@pytest.mark.parametrize("tiny", [1e-45, 1e-38, 3e38])
def test_numbers_at_the_ends_of_float32_keep_their_share(javascript, tiny):
    (row,) = arrived(javascript, [row_of([[[tiny, -tiny, 0]]])])
    assert row["codes"] == [127, -127, 0]


def test_what_is_not_finite_is_seen_as_such(javascript):
    (row,) = arrived(javascript, [row_of([[[math.nan, math.inf, 2.0, -1.0]]])])
    assert row["codes"][:2] == [-128, -128]
    assert row["limits"] == [2]
    assert javascript(MATH, ("valueText", row, 0, 1), ("valueText", row, 0, 2)) == ["NaN or ∞", "≈ 2.00"]
    (table,) = javascript(MATH, ("pixelTable", 2, 2, np.zeros((256, 3), np.uint8), ALIEN))
    assert list(np.array([table[128]], np.uint32).view(np.uint8)) == [*ALIEN, 255]


def test_each_scale_has_its_bound(javascript):
    rows = arrived(javascript, [row_of([[[1.0]], [[-4.0]]]), row_of([0.5, -9.0, math.inf], index=1)])
    bounds = javascript(MATH, ("boundOfRow", rows[0]), ("boundOfRow", rows[1]))
    assert bounds == [4, 9]
    scales = [("boundFor", rows[0], 0, scale, 4, 9) for scale in ("map", "layer", "net")]
    assert javascript(MATH, *scales) == [1, 4, 9]
    # A vector has no maps: its own scale is that of the layer.
    scales = [("boundFor", rows[1], 0, scale, 9, 20) for scale in ("map", "layer", "net")]
    assert javascript(MATH, *scales) == [9, 9, 20]


def coloured(table):
    return np.array(table, np.uint32).view(np.uint8).reshape(256, 4)[:, :3]


def test_the_same_number_has_the_same_colour_on_a_shared_scale(javascript, diverging):
    small, large = (coloured(javascript(MATH, ("pixelTable", limit, 4, diverging, ALIEN))[0]) for limit in (1, 4))
    # 127/127 of 1 and 32/127 of 4 are 1 and 1.008.
    assert np.abs(small[127].astype(int) - large[32]).max() <= 2
    np.testing.assert_array_equal(small[0], diverging[128])
    np.testing.assert_array_equal(large[127], diverging[255])
    np.testing.assert_array_equal(large[-127], diverging[0])


def test_an_empty_map_is_neutral(javascript, diverging):
    (table,) = javascript(MATH, ("pixelTable", 0, 0, diverging, ALIEN))
    assert (coloured(table)[:128] == diverging[128]).all()


def test_each_map_lies_where_its_tile_is(javascript, diverging):
    (row,) = arrived(javascript, [row_of(MAPS)])
    bounds = [float(limit) for limit in row["limits"]]
    (sheet,) = javascript(MATH, ("sheetOf", row, 0, 3, 2, bounds, diverging, ALIEN))
    assert (sheet["width"], sheet["height"]) == (14, 10)
    pixels = np.array(sheet["rgba"], np.uint8).reshape(10, 14, 4)
    codes = np.array(row["codes"]).reshape(3, 5, 7)
    for at, (top, left) in enumerate([(0, 0), (0, 7), (5, 0)]):
        tints = np.rint(127.5 + 127.5 * codes[at] / 127 + 1e-9).astype(int)
        np.testing.assert_array_equal(pixels[top : top + 5, left : left + 7, :3], diverging[tints])
    assert (pixels[5:, 7:] == 0).all()
    (alone,) = javascript(MATH, ("sheetOf", row, 2, 1, 1, bounds[2:], diverging, ALIEN))
    np.testing.assert_array_equal(np.array(alone["rgba"], np.uint8).reshape(5, 7, 4), pixels[5:, :7])


@pytest.mark.parametrize(
    ("most", "sides", "side"),
    [
        (64, [56, 28, 28, 14, 7], 56),
        (47, [56, 28, 14, 14, 7], 42),
        (64, [32, 16, 8], 64),
        (60, [28, 14, 10, 5], 60),  # 10 and 5 fit, as 28 and 14 fit into 56; the larger one is taken
        (50, [13], 39),
        (9, [], 9),
    ],
)
def test_squares_are_enlarged_alike_where_they_can(javascript, most, sides, side):
    assert javascript(MATH, ("tileSide", most, sides)) == [side]


def grid_rows(counts):
    return [
        {"count": count, "values": [0] if side == 0 else None, "height": side, "width": side} for count, side in counts
    ]


WALLS = [
    [(16, 56), (16, 28), (16, 7), (1000, 0)],
    [(6, 28), (16, 10), (400, 0), (10, 0)],
    [(3, 32)],
    [(512, 7)],
    [(4096, 0)],
]


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("dense", [1, 1.25, 2])
@pytest.mark.parametrize("width", [150, 300, 566, 901, 1700])
def test_the_maps_fit_the_width_and_are_large_enough_to_see(javascript, width, dense, wraps):
    for wall in WALLS:
        rows = grid_rows(wall)
        (grids,) = javascript(MATH, ("wallGrids", rows, width, dense, wraps))
        sizes = javascript(MATH, *(("sizeOf", grid) for grid in grids))
        for row, grid, size in zip(rows, grids, sizes, strict=True):
            assert size["width"] <= width * dense
            assert grid["lines"] * grid["columns"] >= row["count"] > (grid["lines"] - 1) * grid["columns"]
            assert not row["height"] or grid["side"] >= 0.75 * 32 * dense - 1


def test_a_channel_stays_in_its_column(javascript):
    (grids,) = javascript(MATH, ("wallGrids", grid_rows(WALLS[0]), 900, 1, False))
    assert len({(grid["columns"], grid["pitch"]) for grid in grids[:3]}) == 1


def test_a_place_is_found_again(javascript):
    for count, columns, side, gap in [(16, 16, 42, 4), (7, 3, 10, 1), (400, 41, 11, 1)]:
        (grid,) = javascript(MATH, ("gridOf", count, columns, side, gap))
        corners = javascript(MATH, *(("cornerOf", grid, at) for at in range(count)))
        for shift in (0, side - 1):
            calls = [("tileAt", grid, corner["x"] + shift, corner["y"] + shift) for corner in corners]
            assert javascript(MATH, *calls) == list(range(count))
    outside = [("tileAt", grid, -1, 5), ("tileAt", grid, 41 * 12, 5), ("tileAt", grid, 5, 12 * 12)]
    assert javascript(MATH, *outside) == [-1, -1, -1]


def test_the_cell_under_the_pointer(javascript):
    row = {"height": 3, "width": 5, "values": None}
    (grid,) = javascript(MATH, ("gridOf", 4, 2, 50, 4))
    # Map 3 begins at (54, 54); its cells are 10 px, and it fills 30 of the 50 px down.
    calls = [
        ("cellUnder", row, grid, 3, 54 + 10 * col + 5, 54 + 10 * row_ + 5) for row_ in range(3) for col in range(5)
    ]
    cells = javascript(MATH, *calls)
    assert cells == [{"row": row_, "col": col} for row_ in range(3) for col in range(5)]
    # Beside the map it is the nearest one.
    beside = [("cellUnder", row, grid, 3, 60, 54 + 45), ("cellUnder", row, grid, 3, 106, 66)]
    assert javascript(MATH, *beside) == [{"row": 2, "col": 0}, {"row": 1, "col": 4}]


@pytest.mark.parametrize(
    ("start", "key", "far", "end"),
    [
        ((0, 0), "ArrowRight", False, (0, 1)),
        ((0, 0), "ArrowLeft", False, (0, 0)),
        ((0, 15), "ArrowRight", False, (0, 15)),
        ((0, 5), "End", False, (0, 15)),
        ((0, 5), "Home", False, (0, 0)),
        ((0, 0), "ArrowUp", False, (0, 0)),
        ((0, 7), "ArrowDown", False, (1, 5)),  # the layer below has six maps only
        ((1, 5), "ArrowDown", False, (2, 20)),  # a cell of the vector below the middle of that map
        ((2, 20), "ArrowDown", False, (2, 60)),  # the next line of the vector
        ((2, 20), "ArrowDown", True, (2, 20)),  # nothing follows the vector
        ((2, 60), "ArrowUp", True, (1, 5)),
        ((2, 60), "ArrowUp", False, (2, 20)),
        ((1, 2), "ArrowUp", False, (0, 2)),
    ],
)
def test_arrows_lead_to_what_is_there(javascript, start, key, far, end):
    grids = javascript(MATH, ("gridOf", 16, 16, 42, 4), ("gridOf", 6, 16, 42, 4), ("gridOf", 100, 40, 11, 1))
    ((row, at),) = [(spot["row"], spot["at"]) for spot in javascript(MATH, _move(grids, start, key, far))]
    assert (row, at) == end


def _move(grids, start, key, far):
    return "moved", grids, {"row": start[0], "at": start[1]}, key, far


def test_whatever_key_is_pressed_one_stays_on_the_wall(javascript):
    grids = javascript(MATH, ("gridOf", 5, 3, 42, 4), ("gridOf", 3, 3, 42, 4), ("gridOf", 50, 17, 11, 1))
    spots = [(row, at) for row, grid in enumerate(grids) for at in range(grid["count"])]
    for key in ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End"):
        for spot in javascript(MATH, *(_move(grids, spot, key, False) for spot in spots)):
            assert (spot["row"], spot["at"]) in spots


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Conv2d", "convolution"),
        ("conv_transpose2d", "convolution"),
        ("ReLU", "activation"),
        ("Hardswish", "activation"),
        ("GELU", "activation"),
        ("SiLU", "activation"),
        ("Tanh", "activation"),
        ("AdaptiveAvgPool2d", "pooling"),
        ("max_pool2d", "pooling"),
        ("BatchNorm2d", ""),
        ("add", ""),
        ("Linear", ""),
    ],
)
def test_layers_are_filtered_by_what_they_do(javascript, kind, name):
    assert javascript(MATH, ("filterOf", kind)) == [name]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.385, "38.5 %"), (1e-5, "< 0.1 %"), (0.99999, "> 99.9 %"), (math.nan, "NaN")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(javascript, share, text):
    assert javascript(MATH, ("shareText", share)) == [text]


@settings(max_examples=60)
@given(st.floats(0, 1300), st.floats(0, 800), st.integers(8, 64))
def test_the_card_leaves_row_and_column_free(javascript, left, top, side):
    port, panel = {"width": 1440, "height": 900}, {"width": 186, "height": 290}
    thing = {"left": left, "top": top, "width": side, "height": side}
    (spot,) = javascript(MATH, ("placeCard", port, thing, panel))
    assert spot["left"] >= left + side or spot["left"] + panel["width"] <= left
    assert spot["top"] >= top + side or spot["top"] + panel["height"] <= top
    assert 0 <= spot["left"] <= port["width"] - panel["width"]
    assert 0 <= spot["top"] <= port["height"] - panel["height"]


def test_the_card_stays_inside_a_narrow_window(javascript):
    thing = {"left": 100, "top": 200, "width": 48, "height": 48}
    (spot,) = javascript(MATH, ("placeCard", {"width": 300, "height": 700}, thing, {"width": 186, "height": 290}))
    assert 0 <= spot["left"] <= 300 - 186
    assert spot["top"] >= 248


def test_a_pick_is_returned_and_not_sent_back():
    rows = [row_of(MAPS, channels=[0, 3, 9], shape=(64, 5, 7)), row_of(VECTOR, index=4)]
    plain, _, _ = sent(rows)
    header, _, at = sent(rows, wall={"pick": {"layer": 0, "channel": 9}}, selected=(0, 9))
    assert at.text[0].value == "picked (0, 9)"
    # The same message as before the pick: the browser has it already.
    assert header == plain


def test_a_selection_of_the_page_is_sent():
    header, _, at = sent([row_of(MAPS)], wall={"pick": {"layer": 0, "channel": 2}}, selected=(0, 1))
    assert header["selected"] == [0, 1]
    assert at.text[0].value == "picked (0, 2)"


@pytest.mark.parametrize(
    "pick",
    [
        None,
        "x",
        {},
        {"layer": 0, "channel": 4},
        {"layer": 1, "channel": 0},
        {"layer": 4, "channel": 11},
        {"layer": -1, "channel": 0},
        {"layer": 0.5, "channel": 0},
        {"layer": True, "channel": 0},
    ],
)
def test_a_pick_of_what_is_not_shown_is_none(pick):
    rows = [row_of(MAPS, channels=[0, 3, 9], shape=(64, 5, 7)), row_of(VECTOR, index=4)]
    assert sent(rows, wall={"pick": pick})[2].text[0].value == "picked None"


def test_a_number_of_a_vector_can_be_picked():
    rows = [row_of(VECTOR, index=4)]
    assert sent(rows, wall={"pick": {"layer": 4, "channel": 10}})[2].text[0].value == "picked (4, 10)"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row_of(np.zeros((2, 3, 3)), channels=[0])],
        [(row_of(np.zeros((2, 3, 3)))[0], np.zeros((3, 3), np.float32))],
        [(row_of(np.zeros(2))[0], np.zeros(0, np.float32))],
    ],
)
def test_what_is_no_wall_is_refused(rows):
    with pytest.raises(TypeError):
        map_wall(rows, key="x", alt="")


def test_a_flow_becomes_a_wall_and_a_layer_with_all_its_maps():
    import torch
    from torch import nn

    from cnnlab.nets.flow import maps_of, run_through
    from cnnlab.ui.components.map_wall import map_rows, whole_row

    net = nn.Sequential(nn.Conv2d(1, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20 * 36, 3))
    x = torch.rand(1, 8, 8)
    flow = run_through(net, x)
    header, _, _ = sent(map_rows(flow))
    assert [(row["kind"], row["count"], row["numChannels"]) for row in header["rows"]] == [
        ("Conv2d", 16, 20),
        ("ReLU", 16, 20),
        ("Flatten", 720, 720),
        ("Linear", 3, 3),
    ]
    assert header["rows"][1]["numDead"] == flow.layers[1].num_dead
    header, _, _ = sent(whole_row(flow.layers[1], maps_of(net, x, 1)))
    assert header["rows"][0]["channels"] == list(range(20))
