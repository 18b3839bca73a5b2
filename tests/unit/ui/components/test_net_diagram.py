import itertools

import numpy as np
import pytest
import torch.nn.modules as torch_modules
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from cnnlab.ui.components import unpack
from cnnlab.ui.components.net_diagram import FAMILIES, family_of

MATH = "net_diagram/math.js"
LOOKING = "net_diagram/looking.js"
SIGNS = {"add": "+", "mul": "×"}


def node(index, kind, shape, inputs=None, scope=(), kinds=()):
    """A node as the browser gets it."""
    return {
        "index": index,
        "name": f"n{index}",
        "label": kind,
        "kind": kind,
        "family": family_of(kind),
        "symbol": SIGNS.get(kind, ""),
        "shape": list(shape),
        "inputs": [index - 1] if inputs is None else list(inputs),
        "scope": list(scope),
        "kinds": list(kinds),
        "lines": [],
        "shares": {},
        "error": "",
    }


def lenet():
    steps = [
        ("Conv2d", (6, 28, 28)),
        ("ReLU", (6, 28, 28)),
        ("MaxPool2d", (6, 14, 14)),
        ("Conv2d", (16, 10, 10)),
        ("ReLU", (16, 10, 10)),
        ("MaxPool2d", (16, 5, 5)),
        ("Flatten", (400,)),
        ("Linear", (120,)),
        ("ReLU", (120,)),
        ("Linear", (10,)),
    ]
    return [node(index, kind, shape) for index, (kind, shape) in enumerate(steps)]


def resnet(stages=4, blocks=2):
    """Residual blocks as in ResNet-18: the first of a stage has a convolution on its shortcut."""
    made = [node(0, "Conv2d", (16, 32, 32)), node(1, "ReLU", (16, 32, 32))]

    def put(kind, shape, inputs, scope, kinds):
        made.append(node(len(made), kind, shape, inputs, scope, kinds))
        return len(made) - 1

    at = 1
    for stage, block in itertools.product(range(stages), range(blocks)):
        side = 32 >> stage
        shape = (16 << stage, side, side)
        place = ((f"layer{stage}", str(block)), ("Sequential", "BasicBlock"))
        way = put("Conv2d", shape, [at], *place)
        way = put("BatchNorm2d", shape, [way], *place)
        way = put("ReLU", shape, [way], *place)
        way = put("Conv2d", shape, [way], *place)
        way = put("BatchNorm2d", shape, [way], *place)
        if block == 0 and stage > 0:
            inner = ((*place[0], "downsample"), (*place[1], "Sequential"))
            at = put("Conv2d", shape, [at], *inner)
            at = put("BatchNorm2d", shape, [at], *inner)
        way = put("add", shape, [way, at], *place)
        at = put("ReLU", shape, [way], *place)
    put("AdaptiveAvgPool2d", (128, 1, 1), [at], (), ())
    put("Linear", (10,), [len(made) - 1], (), ())
    return made


def box(unit):
    half = (
        10 if unit["type"] == "sign" and len(unit["parts"]) == 1 else (unit["solid"]["high"] + unit["solid"]["dy"]) / 2
    )
    return unit["x"], unit["x"] + unit["width"], unit["y"] - half, unit["y"] + half


def overlaps(drawn):
    boxes = [box(unit) for unit in drawn["units"]]
    return [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(enumerate(boxes), 2)
        if a[0] < b[1] - 1e-6 and b[0] < a[1] - 1e-6 and a[2] < b[3] - 1e-6 and b[2] < a[3] - 1e-6
    ]


def drawing(javascript, nodes, shape=(3, 32, 32), opened=None):
    """The layout with these groups open; all of them if none are named."""
    if opened is None:
        (groups,) = javascript(MATH, ("groupsOf", nodes))
        opened = [group["id"] for group in groups]
    (drawn,) = javascript(MATH, ("layout", nodes, list(shape), opened))
    return drawn


def members(drawn):
    return sorted(member for unit in drawn["units"] for member in unit["members"])


# ---- what is drawn in one piece


def test_lenet_is_nine_blocks_from_left_to_right(javascript):
    drawn = drawing(javascript, lenet(), (1, 32, 32))
    assert [unit["label"] for unit in drawn["units"]] == [
        *("Input", "Conv2d", "MaxPool2d", "Conv2d", "MaxPool2d", "Flatten", "Linear", "Linear")
    ]
    boxes = [box(unit) for unit in drawn["units"]]
    assert all(one[1] < other[0] for one, other in itertools.pairwise(boxes))
    assert {unit["y"] for unit in drawn["units"]} == {0}
    assert drawn["frames"] == []


def test_cheap_layers_are_slabs_on_the_block_before(javascript):
    convolution = drawing(javascript, lenet(), (1, 32, 32))["units"][1]
    block, slab = convolution["parts"]
    assert (block["family"], slab["family"]) == ("convolution", "activation")
    assert block["x"] + block["thick"] < slab["x"]
    assert slab["thick"] < block["thick"]
    assert convolution["width"] >= slab["x"] + slab["thick"] - block["x"] + convolution["solid"]["dx"] - 1e-9


def test_a_layer_whose_input_is_read_twice_is_no_slab(javascript):
    # Pre-activation: the sum needs what is there before the normalisation.
    nodes = [
        node(0, "Conv2d", (8, 8, 8)),
        node(1, "BatchNorm2d", (8, 8, 8)),
        node(2, "Conv2d", (8, 8, 8)),
        node(3, "add", (8, 8, 8), [2, 0]),
    ]
    drawn = drawing(javascript, nodes)
    assert [unit["members"] for unit in drawn["units"]] == [[], [0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((), (1, 1, 1, 0)),
        ((10,), (1, 1, 10, 1)),
        ((197, 768), (1, 197, 768, 2)),
        ((6, 28, 20), (6, 28, 20, 3)),
        ((4, 5, 28, 20), (20, 28, 20, 4)),
        ((float("nan"), -3, 0), (1, 1, 1, 3)),
    ],
)
def test_axes_of_a_shape(javascript, shape, axes):
    (found,) = javascript(MATH, ("axesOf", list(shape)))
    assert (found["channels"], found["rows"], found["cols"], found["rank"]) == axes


def test_solids_grow_with_their_tensor(javascript):
    def solids(*shapes):
        return javascript(MATH, *(("solidOf", list(shape), 224) for shape in shapes))

    large, low, slim, thick = solids((64, 224, 224), (64, 112, 224), (64, 224, 112), (512, 224, 224))
    assert low["high"] < large["high"]
    assert slim["dx"] < large["dx"]
    assert thick["thick"] > large["thick"]
    vectors = solids((10,), (84,), (4096,))
    assert [one["high"] for one in vectors] == sorted(one["high"] for one in vectors)
    assert [one["cells"] for one in vectors] == [10, 0, 0]
    # One pixel of 2048 channels is a vector of 2048 numbers, and looks like one.
    assert solids((2048, 1, 1)) == solids((2048,))


def test_the_largest_and_the_smallest_map_are_both_readable(javascript):
    large, small, vector = javascript(
        MATH, *(("solidOf", shape, 224) for shape in ([64, 224, 224], [2048, 7, 7], [512]))
    )
    assert 100 < large["high"] < 200
    assert small["high"] > 20
    assert 60 < vector["high"] < 150


# ---- branches


def test_the_shortcut_is_drawn_over_the_blocks_it_passes(javascript):
    drawn = drawing(javascript, resnet())
    skips = [edge for edge in drawn["edges"] if edge["type"] == "skip"]
    assert len(skips) == 5  # 8 blocks, 3 of them with a convolution on their shortcut
    for edge in skips:
        passed = drawn["units"][edge["from"] + 1 : edge["to"]]
        roof = min(y for _, y in edge["points"])
        assert passed
        assert all(roof < box(unit)[2] for unit in passed if not unit["above"])


def test_a_convolution_on_a_shortcut_stands_over_the_main_line(javascript):
    drawn = drawing(javascript, resnet())
    above = [unit for unit in drawn["units"] if unit["above"]]
    assert [len(unit["members"]) for unit in above] == [2, 2, 2]  # convolution and normalisation
    assert all(box(unit)[3] < 0 for unit in above)
    for unit in above:
        kinds = [edge["type"] for edge in drawn["edges"] if unit["id"] in (edge["from"], edge["to"])]
        assert kinds == ["branch", "branch"]


def test_the_longer_way_is_the_main_line(javascript):
    shape = (8, 8, 8)
    nodes = [
        node(0, "Conv2d", shape, [-1]),
        node(1, "Conv2d", shape, [0]),
        node(2, "Conv2d", shape, [0]),
        node(3, "Conv2d", shape, [2]),
        node(4, "cat", (16, 8, 8), [1, 3]),
    ]
    drawn = drawing(javascript, nodes)
    assert [unit["above"] for unit in drawn["units"]] == [False, False, True, False, False, False]


def test_a_gate_is_a_branch_however_long(javascript):
    nodes = [
        node(0, "Conv2d", (8, 16, 16), [-1]),
        node(1, "AdaptiveAvgPool2d", (8, 1, 1)),
        node(2, "Conv2d", (2, 1, 1)),
        node(3, "Conv2d", (8, 1, 1)),
        node(4, "Sigmoid", (8, 1, 1)),
        node(5, "mul", (8, 16, 16), [4, 0]),
    ]
    drawn = drawing(javascript, nodes)
    assert [unit["above"] for unit in drawn["units"]] == [False, False, True, True, True, False]
    assert drawn["units"][-1]["type"] == "sign"


def test_parallel_branches_lie_over_one_another(javascript):
    nodes = [node(0, "Conv2d", (8, 8, 8), [-1])]
    nodes += [node(index, "Conv2d", (8, 8, 8), [0]) for index in range(1, 5)]
    nodes += [node(5, "cat", (32, 8, 8), [1, 2, 3, 4])]
    drawn = drawing(javascript, nodes)
    assert len({unit["y"] for unit in drawn["units"][2:6]}) == 4
    assert overlaps(drawn) == []


@pytest.mark.parametrize("opened", [None, []])
def test_every_edge_leads_from_one_block_to_another(javascript, opened):
    nodes = resnet()
    drawn = drawing(javascript, nodes, opened=opened)
    place = {member: unit["id"] for unit in drawn["units"] for member in unit["members"]}
    wanted = {
        (place.get(source, 0), place[one["index"]])
        for one in nodes
        for source in one["inputs"]
        if place.get(source, 0) != place[one["index"]]
    }
    assert wanted == {
        (edge["from"], edge["to"]) for edge in drawn["edges"] if edge["to"] >= 0 and edge["from"] != edge["to"]
    }


# ---- groups


def test_repeated_blocks_are_groups_and_plain_containers_are_not(javascript):
    (groups,) = javascript(MATH, ("groupsOf", resnet()))
    assert {group["kind"] for group in groups} == {"BasicBlock"}
    assert [group["id"] for group in groups][:2] == ["layer0.0", "layer0.1"]


def test_a_container_called_twice_is_two_groups(javascript):
    shared = [((f"block{call}",), ("Block",)) for call in (0, 1, 0)]
    nodes = [node(index, "Conv2d", (4, 4, 4), None, *shared[index // 2]) for index in range(6)]
    (groups,) = javascript(MATH, ("groupsOf", nodes))
    assert [group["id"] for group in groups] == ["block0", "block1", "block0#1"]
    assert members(drawing(javascript, nodes, opened=[])) == list(range(6))


def test_plain_containers_count_where_their_layers_repeat(javascript):
    nodes = [node(index, "Conv2d", (4, 4, 4), None, (str(index // 2),), ("Sequential",)) for index in range(6)]
    (groups,) = javascript(MATH, ("groupsOf", nodes))
    assert [(group["first"], group["last"]) for group in groups] == [(0, 1), (2, 3), (4, 5)]


def test_small_nets_are_open_and_large_ones_closed(javascript):
    small, large = resnet(2, 2), resnet()
    assert len(small) <= 40 < len(large)
    for nodes, count in ((small, 4), (large, 0)):
        (groups,) = javascript(MATH, ("groupsOf", nodes))
        (opened,) = javascript(MATH, ("openAtFirst", nodes, groups))
        assert len(opened) == count


def test_closing_and_opening_loses_no_node(javascript):
    nodes = resnet()
    (groups,) = javascript(MATH, ("groupsOf", nodes))
    everything = list(range(len(nodes)))
    names = [group["id"] for group in groups]
    for opened in ([], names[:1], names[2:5], names):
        drawn = drawing(javascript, nodes, opened=opened)
        assert members(drawn) == everything
        assert overlaps(drawn) == []
        assert {frame["id"] for frame in drawn["frames"]} == set(opened)


def test_a_frame_holds_its_group_and_nothing_else(javascript):
    nodes = resnet()
    drawn = drawing(javascript, nodes)
    for frame in drawn["frames"]:
        for unit in drawn["units"]:
            left, right, top, bottom = box(unit)
            inside = frame["left"] < left and right < frame["right"] and frame["top"] < top and bottom < frame["bottom"]
            outside = right < frame["left"] or frame["right"] < left
            assert inside if frame["id"] in unit["within"] else outside


def test_equal_closed_groups_are_stacked(javascript):
    drawn = drawing(javascript, resnet(stages=2, blocks=4), opened=[])
    groups = [unit for unit in drawn["units"] if unit["type"] == "group"]
    # The first block of the second stage has another input and a convolution on its shortcut.
    assert [unit["times"] for unit in groups] == [4, 1, 3]
    assert all(unit["skips"] for unit in groups)


def test_opening_a_stack_opens_its_first(javascript):
    nodes = resnet(stages=2, blocks=4)
    drawn = drawing(javascript, nodes, opened=["layer0.0"])
    assert [frame["id"] for frame in drawn["frames"]] == ["layer0.0"]
    assert [unit["times"] for unit in drawn["units"] if unit["type"] == "group"] == [3, 1, 3]


# ---- anything at all


def test_a_net_of_nothing_is_its_input(javascript):
    drawn = drawing(javascript, [], ())
    assert [unit["label"] for unit in drawn["units"]] == ["Input"]


def test_a_net_of_one_layer(javascript):
    drawn = drawing(javascript, [node(0, "Conv2d", (4, 4, 4))])
    assert [(edge["from"], edge["to"]) for edge in drawn["edges"]] == [(0, 1), (1, -1)]


def test_the_failing_layer_is_a_block_as_large_as_what_arrives(javascript):
    failing = {**node(1, "ReLU", ()), "error": "It does not fit."}
    drawn = drawing(javascript, [node(0, "Conv2d", (4, 9, 9)), failing])
    last = drawn["units"][-1]
    assert [part["error"] for part in last["parts"]] == [True]
    assert last["solid"]["high"] == drawn["units"][1]["solid"]["high"]
    assert all(edge["to"] != -1 for edge in drawn["edges"])
    assert drawn["extent"]["right"] > last["x"] + last["width"] + 100


shapes = st.lists(st.one_of(st.integers(-2, 300), st.just(10**12)), max_size=5)


@st.composite
def nets(draw):
    """Any order, any inputs (also none and unknown ones), any nesting."""
    made = []
    for index in range(draw(st.integers(0, 24))):
        kind = draw(st.sampled_from(["Conv2d", "ReLU", "add", "mul", "cat", "Flatten", "Mystery", ""]))
        inputs = draw(st.lists(st.integers(-2, index + 2), max_size=3))
        depth = draw(st.integers(0, 3))
        scope = [draw(st.sampled_from("ab")) for _ in range(depth)]
        kinds = [draw(st.sampled_from(["Block", "Sequential"])) for _ in range(depth)]
        made.append(node(index, kind, draw(shapes), inputs, scope, kinds))
    return made


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nodes=nets(), shape=shapes, choice=st.integers(0, 2**16))
def test_any_net_is_drawn_whole_and_in_order(javascript, nodes, shape, choice):
    (groups,) = javascript(MATH, ("groupsOf", nodes))
    opened = [group["id"] for place, group in enumerate(groups) if choice >> place & 1]
    drawn = drawing(javascript, nodes, shape, opened)
    assert members(drawn) == list(range(len(nodes)))
    units = drawn["units"]
    for unit in units:
        assert np.isfinite([unit["x"], unit["y"], unit["width"], *box(unit)]).all()
        assert all(units[source]["x"] + units[source]["width"] < unit["x"] for source in unit["from"])
    for edge in drawn["edges"]:
        assert np.isfinite(edge["points"]).all()
    assert overlaps(drawn) == []


def test_two_hundred_layers_find_their_places(javascript):
    nodes = resnet(stages=7, blocks=4)
    assert len(nodes) > 190
    drawn = drawing(javascript, nodes)
    assert overlaps(drawn) == []
    assert members(drawn) == list(range(len(nodes)))


# ---- looking


def test_what_is_under_the_pointer_is_what_is_drawn_there(javascript):
    drawn = drawing(javascript, lenet(), (1, 32, 32))
    units = drawn["units"]
    convolution = units[1]
    solid = convolution["solid"]
    block, slab = convolution["parts"]
    front, sheet, face, gap = (
        (block["x"] + 1, solid["dy"] / 2),
        (slab["x"] + 1, solid["dy"] / 2),
        (slab["x"] + slab["thick"] + solid["dx"] / 2, 0),
        (convolution["x"] + convolution["width"] + 4, 0),
    )
    # The upper left corner of its rectangle on the page is not part of a cuboid that recedes to the right.
    corner = (block["x"] + 1, box(convolution)[2] + 1)
    found = javascript(LOOKING, *(("partAt", units, *place) for place in (front, sheet, face, gap, corner)))
    assert found == [{"unit": 1, "part": 0}, {"unit": 1, "part": 1}, {"unit": 1, "part": 1}, None, None]


def test_a_net_that_fits_is_shown_whole(javascript):
    extent = {"left": -5, "right": 800, "top": -90, "bottom": 90}
    margin = {"top": 10, "bottom": 40, "side": 14}
    (eye,) = javascript(LOOKING, ("fit", {"width": 1000, "height": 320}, extent, margin, 0.45, 1.6))
    assert eye["scale"] * extent["left"] + eye["x"] >= 14 - 1e-9
    assert eye["scale"] * extent["right"] + eye["x"] <= 986 + 1e-9
    assert eye["scale"] * extent["top"] + eye["y"] >= 10 - 1e-9
    assert eye["scale"] * extent["bottom"] + eye["y"] <= 280 + 1e-9
    assert eye["scale"] == pytest.approx(972 / 805)


def test_a_net_too_wide_is_shown_from_its_left_end(javascript):
    extent = {"left": 0, "right": 9000, "top": -90, "bottom": 90}
    margin = {"top": 10, "bottom": 40, "side": 14}
    (eye,) = javascript(LOOKING, ("fit", {"width": 1000, "height": 230}, extent, margin, 0.45, 1.6))
    assert eye["scale"] == 1
    assert eye["x"] == 14


word_boxes = st.builds(
    lambda left, top, width, rank, fixed: {
        "left": left,
        "right": left + width,
        "top": top,
        "bottom": top + 12,
        "rank": rank,
        "fixed": fixed,
    },
    st.integers(0, 300),
    st.integers(0, 60),
    st.integers(1, 80),
    st.integers(0, 3),
    st.booleans(),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(word_boxes, max_size=20), blocks=st.lists(word_boxes, max_size=5))
def test_words_never_cover_words_or_blocks(javascript, wanted, blocks):
    (down,) = javascript(LOOKING, ("placeWords", wanted, blocks, 20, 120))
    placed = [
        (one["left"], one["right"], one["top"] + shift, one["bottom"] + shift)
        for one, shift in zip(wanted, down, strict=True)
        if shift >= 0
    ]
    solid = [(one["left"], one["right"], one["top"], one["bottom"]) for one in blocks]
    for a, b in [*itertools.combinations(placed, 2), *itertools.product(placed, solid)]:
        assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2]
    assert all(shift <= 0 for one, shift in zip(wanted, down, strict=True) if one["fixed"])


def test_the_important_word_stays(javascript):
    words = [{"left": 0, "right": 50, "top": 0, "bottom": 12, "rank": rank, "fixed": True} for rank in (0, 5, 2)]
    assert javascript(LOOKING, ("placeWords", words, [], 20, 120)) == [[-1, 0, -1]]


def test_the_panel_stands_beside_its_block_and_inside_the_view(javascript):
    rng = np.random.default_rng(3)
    for _ in range(100):
        view = {"width": float(rng.uniform(320, 1200)), "height": float(rng.uniform(200, 420))}
        panel = {"width": float(rng.uniform(120, 320)), "height": float(rng.uniform(40, 200))}
        left = float(rng.uniform(0, view["width"] - 60))
        top = float(rng.uniform(0, view["height"] - 60))
        target = {"left": left, "right": left + 50, "top": top, "bottom": top + 50}
        (spot,) = javascript(LOOKING, ("placePanel", view, panel, target))
        assert spot["left"] >= 0
        assert spot["left"] + panel["width"] <= view["width"] + 1e-9
        across = spot["left"] < target["right"] and target["left"] < spot["left"] + panel["width"]
        down = spot["top"] < target["bottom"] and target["top"] < spot["top"] + panel["height"]
        assert not (across and down)


# ---- families


@pytest.mark.parametrize(
    ("module", "family"),
    [("conv", "convolution"), ("pooling", "pooling"), ("batchnorm", "normalisation"), ("dropout", "dropout")],
)
def test_the_layers_of_torch_have_their_family(module, family):
    names = getattr(torch_modules, module).__all__
    assert {name: family_of(name) for name in names} == dict.fromkeys(names, family)


def test_activations_of_torch_are_known():
    names = [name for name in torch_modules.activation.__all__ if name != "MultiheadAttention"]
    assert {family_of(name) for name in names} == {"activation"}
    assert family_of("MultiheadAttention") == "attention"


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("max_pool2d", "pooling"),
        ("adaptive_avg_pool2d", "pooling"),
        ("relu_", "activation"),
        ("__add__", "merge"),
        ("iadd", "merge"),
        ("cat", "merge"),
        ("mul", "attention"),
        ("flatten", "reshape"),
        ("LazyLinear", "linear"),
        ("LayerNorm2d", "normalisation"),
        ("StochasticDepth", "dropout"),
        ("MyOwnLayer", "other"),
        ("", "other"),
    ],
)
def test_layers_and_functions_have_a_family(kind, family):
    assert family_of(kind) == family
    assert family in FAMILIES


# ---- the wrapper


def page():
    import streamlit as st

    from cnnlab.ui.components.net_diagram import net_diagram, picked_node

    def told():
        st.session_state["told"] = picked_node("net")

    nodes = [
        {
            "index": index,
            "name": f"features.{index}",
            "label": kind,
            "kind": kind,
            "family": "of no kind" if kind == "Odd" else "merge",
            "shape": (4, 5, 6),
            "inputs": (index - 1,),
            "scope": ("features", "features.block"),
            "scope_kinds": ("Sequential", "Block"),
            "lines": [("MACs", "3 × 4")],
            "shares": {"params": float("nan") if index else 2.0, "macs": 0.25},
        }
        for index, kind in enumerate(["__add__", "Odd"])
    ]
    got = net_diagram(
        nodes,
        key="net",
        input_shape=(3, 8, 8),
        alt="A net",
        net_id=st.session_state.get("which", "small"),
        measure="params",
        selected=st.session_state.get("given"),
        on_pick=told,
    )
    st.text(f"got {got}")


def sent(at):
    return unpack(at.get("bidi_component")[0].proto.bytes)[0]


def test_a_net_is_sent_with_all_that_is_drawn():
    at = AppTest.from_function(page).run()
    assert not at.exception
    header = sent(at)
    assert (header["net"], header["measure"], header["measured"], header["inputShape"]) == (
        *("small", "params", "parameters"),
        [3, 8, 8],
    )
    first, second = header["nodes"]
    assert first["scope"] == ["features", "block"]
    assert first["shape"] == [4, 5, 6]
    assert (first["symbol"], second["symbol"], second["family"]) == ("+", "", "other")
    # Shares that are no shares of a whole are cut or left out.
    assert first["shares"] == {"params": 1.0, "macs": 0.25}
    assert second["shares"] == {"macs": 0.25}
    assert {family["id"] for family in header["families"]} == set(FAMILIES)
    assert len({family["colour"] for family in header["families"]}) == len(FAMILIES)


def test_a_pick_is_returned_and_survives_a_rerun():
    at = AppTest.from_function(page)
    at.session_state["net"] = {"pick": {"index": 1, "net": "small", "count": 1}}
    assert at.run().text[0].value == "got 1"
    assert at.run().text[0].value == "got 1"
    assert sent(at)["pick"] == 1


def test_what_python_selects_goes_before_an_older_pick_only():
    at = AppTest.from_function(page)
    at.session_state["given"] = 0
    assert at.run().text[0].value == "got 0"
    at.session_state["net"] = {"pick": {"index": 1, "net": "small", "count": 1}}
    assert at.run().text[0].value == "got 1"
    assert (sent(at)["pick"], sent(at)["heard"]) == (1, 1)
    assert at.run().text[0].value == "got 0"
    at.session_state["net"] = {"pick": {"index": 1, "net": "small", "count": 2}}
    assert at.run().text[0].value == "got 1"


@pytest.mark.parametrize(
    "pick",
    [
        None,
        "x",
        {},
        {"index": 7, "net": "small", "count": 1},
        {"index": 1, "net": "another", "count": 1},
        {"index": True, "net": "small", "count": 1},
        {"index": 1.5, "net": "small", "count": "many"},
    ],
)
def test_a_pick_of_another_net_or_in_disorder_is_none(pick):
    at = AppTest.from_function(page)
    at.session_state["net"] = {"pick": pick}
    at.run()
    assert not at.exception
    assert at.text[0].value == "got None"
