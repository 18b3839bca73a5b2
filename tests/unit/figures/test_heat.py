import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cnnlab.errors import InputRejected
from cnnlab.figures import palette
from cnnlab.figures.heat import COLOURS, Look, Scale, enlarged, jet, overlay, overlay_png, own_scale, shared_scale

GREY = np.full((2, 2, 3), 100, np.uint8)
RAMP = np.array([[0.0, 1.0], [2.0, 4.0]], np.float32)
CELLS = Look(opacity=1.0, smooth=False)


def test_an_own_scale_goes_from_the_least_to_the_most_positive_number():
    assert own_scale(RAMP + 3, is_signed=False) == Scale(minimum=3, maximum=7, is_signed=False)
    assert own_scale(RAMP - 1, is_signed=False) == Scale(minimum=0, maximum=3, is_signed=False)


def test_a_signed_scale_has_zero_in_its_middle():
    assert own_scale(RAMP - 3, is_signed=True) == Scale(minimum=-3, maximum=3, is_signed=True)


def test_a_shared_scale_begins_at_nothing_and_ends_at_the_most_of_all():
    assert shared_scale([RAMP + 3, RAMP - 9], is_signed=False) == Scale(minimum=0, maximum=7, is_signed=False)
    assert shared_scale([RAMP + 3, RAMP - 9], is_signed=True) == Scale(minimum=-9, maximum=9, is_signed=True)


def test_the_most_has_the_last_colour_and_nothing_leaves_the_picture():
    shown = overlay(GREY, RAMP, own_scale(RAMP, is_signed=False), CELLS)
    np.testing.assert_array_equal(shown[1, 1], palette.sequential()[255])
    np.testing.assert_array_equal(shown[0, 0], [100, 100, 100])
    # A quarter of the way: code round(63.75) = 64, √¼ opaque.
    np.testing.assert_array_equal(shown[0, 1], np.rint(0.5 * 100 + 0.5 * palette.sequential()[64].astype(float)))


def test_jet_lies_over_all_of_the_picture_and_is_red_where_the_map_says_most():
    look = Look(opacity=0.4, colours="jet", smooth=False)
    shown = overlay(GREY, RAMP, own_scale(RAMP, is_signed=False), look).astype(int)
    # Ends of jet: (0, 0, 128) and (128, 0, 0); 0.6 · 100 + 0.4 · 128 = 111.2.
    assert shown[0, 0].tolist() == [60, 60, 111]
    assert shown[1, 1].tolist() == [111, 60, 60]


def test_jet_is_the_one_of_opencv_with_red_and_blue_in_their_places():
    steps = np.arange(256, dtype=np.uint8)[:, None]
    np.testing.assert_array_equal(jet()[:, None], cv2.cvtColor(cv2.applyColorMap(steps, 2), cv2.COLOR_BGR2RGB))


def test_evidence_against_is_blue_for_is_orange_and_none_leaves_the_picture():
    signed = np.array([[-2.0, 0.0], [0.0, 2.0]], np.float32)
    shown = overlay(GREY, signed, own_scale(signed, is_signed=True), CELLS)
    np.testing.assert_array_equal(shown[0, 0], palette.diverging()[0])
    np.testing.assert_array_equal(shown[1, 1], palette.diverging()[255])
    np.testing.assert_array_equal(shown[0, 1], GREY[0, 1])
    assert shown[0, 0][2] > shown[0, 0][0]
    assert shown[1, 1][0] > shown[1, 1][2]


@pytest.mark.parametrize("colours", COLOURS)
@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_a_map_with_nothing_to_show_leaves_the_picture_as_it_is(colours, value):
    flat = np.full((2, 2), value, np.float32)
    shown = overlay(GREY, flat, own_scale(flat, is_signed=False), Look(colours=colours))
    np.testing.assert_array_equal(shown, GREY)


def test_without_opacity_only_the_picture_is_left():
    np.testing.assert_array_equal(overlay(GREY, RAMP, own_scale(RAMP, is_signed=False), Look(opacity=0)), GREY)


def test_cells_become_blocks_and_smooth_ones_meet_between_their_centres():
    pair = np.array([[0.0, 1.0]], np.float32)
    np.testing.assert_array_equal(enlarged(pair, (1, 4), smooth=False), [[0, 0, 1, 1]])
    # Centres of the pixels lie at −0.25, 0.25, 0.75, 1.25 cells.
    np.testing.assert_array_equal(enlarged(pair, (1, 4), smooth=True), [[0, 0.25, 0.75, 1]])


def test_blocks_are_as_opencv_makes_them():
    cells = np.arange(15, dtype=np.float32).reshape(3, 5)
    reference = cv2.resize(cells, (13, 8), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(enlarged(cells, (8, 13), smooth=False), reference)
    smooth = cv2.resize(cells, (13, 8), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(enlarged(cells, (8, 13), smooth=True), smooth, atol=1e-5)


@given(
    arrays(np.float32, (3, 4), elements=st.integers(-1000, 1000)),
    st.sampled_from([2.0**-20, 0.5, 64.0]),
    st.sampled_from(sorted(COLOURS)),
)
def test_the_unit_of_a_method_changes_no_colour(map_hw, factor, colours):
    def shown(values):
        return overlay(picture, values, own_scale(values, is_signed=False), Look(colours=colours))

    picture = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    np.testing.assert_array_equal(shown(map_hw), shown(map_hw * np.float32(factor)))


def test_a_file_holds_the_overlay_with_pixels_as_squares():
    png = overlay_png(GREY, RAMP, own_scale(RAMP, is_signed=False), CELLS, least_side=7)
    back = cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert back.shape == (8, 8, 3)
    expected = overlay(GREY, RAMP, own_scale(RAMP, is_signed=False), CELLS)
    np.testing.assert_array_equal(back[::4, ::4], expected)
    np.testing.assert_array_equal(back[3::4, 3::4], expected)


@pytest.mark.parametrize("wrong", [{"opacity": 1.5}, {"opacity": float("nan")}, {"colours": "rainbow"}])
def test_a_look_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InputRejected):
        Look(**wrong)
