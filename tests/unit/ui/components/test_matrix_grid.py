import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

MATH = "matrix_grid/math.js"
LIMITS = {"minSize": 1, "maxSize": 11, "sizeStep": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("−2", -2.0),
        ("-2", -2.0),
        ("+3.", 3.0),
        (".25", 0.25),
        ("1e-3", 0.001),
        ("1/9", 1 / 9),
        ("-1 / 16", -1 / 16),
        ("0.5/-2", -0.25),
        ("0,5", 0.5),
        ("", 0.0),
        ("0.1", 0.1),
        ("12345.678901234567", 12345.678901234567),
    ],
)
def test_a_cell_reads_numbers_and_fractions_exactly(javascript, text, value):
    assert javascript(MATH, ("parseCell", text)) == [{"value": value}]


@pytest.mark.parametrize("text", ["abc", "1/0", "1/2/3", "1..2", "1e999", "--1", "1,2,3", "0x10", "NaN", "/3", "1/"])
def test_what_is_no_number_says_why(javascript, text):
    (result,) = javascript(MATH, ("parseCell", text))
    assert text in result["problem"]


@pytest.mark.parametrize(
    "text",
    [
        "1\t2\n3\t-4",
        "1\t2\r\n3\t-4\r\n",
        "1,2\n3,−4",
        "1, 2\n3, -4\n",
        "1;2\n3;-4",
        "1 2\n3 -4",
        "  1   2 \n  3  -4 ",
        "[[1, 2],\n [3, -4]]",
        "[[ 1  2]\n [ 3 -4]]",
        "[[1, 2], [3, -4]]",
    ],
)
def test_a_block_is_read_however_it_is_written(javascript, text):
    assert javascript(MATH, ("parseBlock", text)) == [{"block": [[1, 2], [3, -4]]}]


def test_with_tabs_or_semicolons_a_comma_is_a_decimal_comma(javascript):
    assert javascript(MATH, ("parseBlock", "0,5\t1,5"), ("parseBlock", "0,5;1/2")) == [
        {"block": [[0.5, 1.5]]},
        {"block": [[0.5, 0.5]]},
    ]


def test_empty_spreadsheet_cells_are_zero(javascript):
    assert javascript(MATH, ("parseBlock", "1\t\t2\n\t3\t")) == [{"block": [[1, 0, 2], [0, 3, 0]]}]


@pytest.mark.parametrize("text", ["7", " 7 ", "1/9", "7\n", ""])
def test_a_single_number_is_ordinary_typing(javascript, text):
    assert javascript(MATH, ("parseBlock", text)) == [None]


@pytest.mark.parametrize(("text", "word"), [("1 2\n3", "Row 2"), ("1\tx", "“x”")])
def test_a_broken_block_says_what_is_wrong(javascript, text, word):
    (result,) = javascript(MATH, ("parseBlock", text))
    assert word in result["problem"]


def test_a_block_fills_from_its_cell(javascript):
    (result,) = javascript(MATH, ("paste", np.zeros((3, 3)), [[1, 2], [3, 4]], 1, 1, LIMITS))
    assert result["matrix"] == [[0, 0, 0], [0, 1, 2], [0, 3, 4]]


def test_a_block_that_hangs_over_makes_the_grid_grow(javascript):
    (result,) = javascript(MATH, ("paste", np.ones((2, 2)), [[5, 6]], 1, 1, LIMITS))
    assert result["matrix"] == [[1, 1, 0], [1, 5, 6]]


def test_a_block_larger_than_the_grid_becomes_the_grid(javascript):
    block = np.arange(12.0).reshape(3, 4)
    (result,) = javascript(MATH, ("paste", np.ones((2, 2)), block, 1, 1, LIMITS))
    assert result["matrix"] == block.tolist()


def test_a_grid_of_odd_sizes_stays_odd_when_pasted_into(javascript):
    limits = {"minSize": 3, "maxSize": 7, "sizeStep": 2}
    (result,) = javascript(MATH, ("paste", np.ones((3, 3)), np.full((4, 4), 2.0), 0, 0, limits))
    assert np.shape(result["matrix"]) == (5, 5)
    assert np.sum(result["matrix"]) == 32


def test_a_block_over_the_limit_is_refused_with_both_sizes(javascript):
    (result,) = javascript(MATH, ("paste", np.ones((3, 3)), np.ones((12, 2)), 0, 0, LIMITS))
    assert "12 × 2" in result["problem"]
    assert "11 × 11" in result["problem"]


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (4, 1)])
def test_turning_and_flipping_agree_with_numpy(javascript, shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    names = ("transpose", "rotate", "flipLeftRight", "flipUpDown")
    results = javascript(MATH, *((name, matrix) for name in names))
    expected = (matrix.T, np.rot90(matrix, -1), np.fliplr(matrix), np.flipud(matrix))
    for result, reference in zip(results, expected, strict=True):
        assert result == reference.tolist()


def test_growing_by_two_adds_a_frame_of_zeros(javascript):
    matrix = np.arange(1.0, 10).reshape(3, 3)
    assert javascript(MATH, ("resize", matrix, 5, 5)) == [np.pad(matrix, 1).tolist()]


@pytest.mark.parametrize("rows", range(1, 8))
@pytest.mark.parametrize("cols", [1, 4, 7])
def test_shrinking_undoes_growing_step_by_step(javascript, rows, cols):
    matrix = np.random.default_rng(0).normal(size=(rows, cols)).tolist()
    grown = matrix
    for _ in range(3):
        (grown,) = javascript(MATH, ("resize", grown, len(grown) + 1, len(grown[0]) + 1))
    for _ in range(3):
        (grown,) = javascript(MATH, ("resize", grown, len(grown) - 1, len(grown[0]) - 1))
    assert grown == matrix


def test_normalising_divides_by_the_sum_or_by_magnitudes(javascript):
    blur, sobel, nothing = javascript(
        MATH, ("normalise", np.ones((3, 3))), ("normalise", [[-1, 0, 1], [-2, 0, 2]]), ("normalise", [[0, 0]])
    )
    assert (blur["by"], blur["divisor"]) == ("sum", 9)
    assert np.sum(blur["matrix"]) == pytest.approx(1)
    assert (sobel["by"], sobel["divisor"]) == ("magnitudes", 6)
    assert np.abs(sobel["matrix"]).sum() == pytest.approx(1)
    assert (nothing["by"], nothing["matrix"]) == ("nothing", [[0, 0]])


def test_a_sum_of_rounding_dust_counts_as_zero(javascript):
    (result,) = javascript(MATH, ("normalise", [[0.1, 0.2, -0.3]]))
    assert result["by"] == "magnitudes"


def test_steps_leave_no_dust(javascript):
    assert javascript(MATH, ("stepped", 0.1, 0.2), ("stepped", 0.1, -0.1), ("stepped", -1, 0.5)) == [0.3, 0, -0.5]


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 3), (5, 5), (11, 11), (3, 11)])
def test_a_grid_fits_its_place(javascript, rows, cols):
    (cell,) = javascript(MATH, ("cellSize", 260 - (cols - 1), 220 - (rows - 1), rows, cols))
    assert cell["width"] * cols + cols - 1 <= 260
    assert cell["height"] * rows + rows - 1 <= 220
    assert cell["font"] >= 9


PAGE = """
import json
import numpy as np
import streamlit as st
from cnnlab.ui.components.matrix_grid import matrix_grid

given = st.session_state.get("preset", [[1.0, 2.0], [3.0, 4.0]])
if st.session_state.get("echo"):
    given = st.session_state.get("kept", given)
edited = matrix_grid(
    given, key="grid", label="Kernel", tint=np.zeros((256, 3), np.uint8), max_size=3,
    version=st.session_state.get("version", ""),
)
if edited is not None:
    st.session_state["kept"] = edited
st.text(json.dumps(edited))
"""


@pytest.fixture
def at():
    return AppTest.from_string(PAGE).run()


def returned(at):
    assert not at.exception
    return json.loads(at.text[0].value)


def sent(at):
    return json.loads(at.get("bidi_component")[0].proto.json)


def edit(at, matrix):
    at.session_state["grid"] = {"edit": {"matrix": matrix, "base": sent(at)["version"]}}
    return at.run()


def test_a_grid_never_edited_returns_none_and_shows_what_was_given(at):
    assert returned(at) is None
    assert sent(at)["matrix"] == [[1, 2], [3, 4]]


def test_an_edit_is_returned_exactly_and_stays(at):
    edit(at, [[1 / 9, 0.1, -0.25]])
    assert returned(at) == [[1 / 9, 0.1, -0.25]]
    assert returned(at.run()) == [[1 / 9, 0.1, -0.25]]
    assert sent(at)["matrix"] == [[1 / 9, 0.1, -0.25]]


def test_a_new_matrix_forgets_the_edit_also_when_it_comes_back(at):
    first = sent(at)["version"]
    edit(at, [[9.0]])
    at.session_state["preset"] = [[5.0]]
    assert returned(at.run()) is None
    assert sent(at)["matrix"] == [[5]]
    at.session_state["preset"] = [[1.0, 2.0], [3.0, 4.0]]
    assert returned(at.run()) is None
    assert sent(at)["matrix"] == [[1, 2], [3, 4]]
    assert sent(at)["version"] > first


def test_giving_back_what_was_edited_is_no_new_matrix(at):
    at.session_state["echo"] = True
    base = sent(at)["version"]
    edit(at, [[7.0]])
    assert returned(at.run()) == [[7]]
    assert sent(at)["version"] == base


def test_a_page_one_edit_behind_does_not_undo_the_newer_one(at):
    at.session_state["echo"] = True
    base = sent(at)["version"]
    edit(at, [[7.0]])
    # The page now gives back 7 while 8 has already been typed, then 8 while 9 has.
    edit(at, [[8.0]])
    edit(at, [[9.0]])
    assert returned(at) == [[9]]
    assert sent(at)["version"] == base


def test_another_version_shows_the_same_matrix_again(at):
    edit(at, [[9.0]])
    at.session_state["version"] = "reset"
    assert returned(at.run()) is None
    assert sent(at)["matrix"] == [[1, 2], [3, 4]]


def test_an_edit_of_an_older_matrix_is_ignored(at):
    old = sent(at)["version"]
    at.session_state["preset"] = [[5.0]]
    at.run()
    at.session_state["grid"] = {"edit": {"matrix": [[9.0]], "base": old}}
    assert returned(at.run()) is None


@pytest.mark.parametrize(
    "matrix", [None, [], [[]], "x", [[1], [1, 2]], [["1"]], [[None]], [[1, 2, 3, 4]], [[float("inf")]]]
)
def test_an_edit_in_disorder_is_ignored(at, matrix):
    assert returned(edit(at, matrix)) is None


@pytest.mark.parametrize("matrix", [[], [[1.0], [1.0, 2.0]], [[float("nan")]]])
def test_what_is_no_matrix_is_refused(matrix):
    from cnnlab.ui.components.matrix_grid import matrix_grid

    with pytest.raises(TypeError):
        matrix_grid(matrix, key="x", label="", tint=np.zeros((256, 3), np.uint8))
