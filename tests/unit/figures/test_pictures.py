import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cnnlab.errors import InputRejected
from cnnlab.figures.pictures import BINS, SCALINGS, tiled, to_picture

RESPONSE = np.array([[-4.0, 0.0], [1.0, 2.0]], dtype=np.float32)
MAPS = npst.arrays(np.float32, npst.array_shapes(min_dims=2, max_dims=2), elements=st.floats(-1e6, 1e6, width=32))


def test_signed_is_symmetric_about_a_neutral_zero() -> None:
    shown = to_picture(RESPONSE, "signed")
    assert (shown.minimum, shown.maximum, shown.zero_inside) == (-4.0, 4.0, True)
    # −4 → 0; 0 → 127.5, neutral on both sides; 1 → 159.4; 2 → 191.25
    assert shown.pixels.tolist() == [[0, 128], [159, 191]]
    assert (shown.rgb()[0, 1] == shown.lut[127]).all()


def test_absolute_drops_the_sign() -> None:
    shown = to_picture(RESPONSE, "absolute")
    assert (shown.minimum, shown.maximum) == (0.0, 4.0)
    assert shown.pixels.tolist() == [[255, 0], [64, 128]]


def test_clamped_cuts_at_black_and_white_and_counts_what_it_cut() -> None:
    shown = to_picture(RESPONSE, "clamped")
    assert shown.pixels.tolist() == [[0, 0], [255, 255]]
    assert (shown.num_below, shown.num_above) == (1, 1)


def test_stretched_runs_from_the_smallest_to_the_largest() -> None:
    shown = to_picture(RESPONSE, "stretched")
    assert (shown.minimum, shown.maximum) == (-4.0, 2.0)
    assert shown.pixels.tolist() == [[0, 170], [212, 255]]


def test_pictures_that_are_compared_can_share_a_scale() -> None:
    shown = to_picture(RESPONSE, "signed", limits=(-8.0, 8.0))
    assert shown.pixels[0].tolist() == [64, 128]


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_map_without_any_difference_is_shown_without_a_fault(scaling: str) -> None:
    shown = to_picture(np.zeros((3, 4), dtype=np.float32), scaling)
    assert np.ptp(shown.pixels) == 0
    assert shown.minimum < shown.maximum


def test_three_channels_become_one_picture_on_one_scale() -> None:
    values = np.stack([RESPONSE, RESPONSE / 2, np.zeros_like(RESPONSE)], axis=-1)
    shown = to_picture(values, "signed")
    assert shown.pixels.shape == (2, 2, 3)
    assert shown.pixels[0, 0].tolist() == [0, 64, 128]


@given(MAPS, st.sampled_from(sorted(SCALINGS)))
def test_the_legend_reads_back_what_was_drawn_within_half_a_shade(values: np.ndarray, scaling: str) -> None:
    shown = to_picture(values, scaling)
    span = shown.maximum - shown.minimum
    read_back = shown.minimum + shown.pixels / 255.0 * span
    drawn = np.clip(np.abs(values) if scaling == "absolute" else values, shown.minimum, shown.maximum)
    assert np.abs(read_back - drawn).max() <= span / 255 * 0.501 + 1e-3 * abs(span)
    assert sum(shown.counts) == values.size
    assert len(shown.counts) == BINS


@pytest.mark.parametrize("shape", [(3,), (0, 4), (2, 2, 2), (1, 2, 2, 3)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputRejected, match="no picture"):
        to_picture(np.zeros(shape, dtype=np.float32))


def test_an_unknown_scaling_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputRejected, match="signed, absolute, clamped, stretched"):
        to_picture(RESPONSE, "jet")


def test_tiles_stand_in_rows_with_a_line_of_zeros_between() -> None:
    maps = np.stack([np.full((2, 2), number, dtype=np.float32) for number in (1, 2, 3)])
    sheet = tiled(maps, columns=2)
    assert sheet.tolist() == [
        [1, 1, 0, 2, 2],
        [1, 1, 0, 2, 2],
        [0, 0, 0, 0, 0],
        [3, 3, 0, 0, 0],
        [3, 3, 0, 0, 0],
    ]


def test_coloured_tiles_stay_coloured() -> None:
    maps = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    assert np.array_equal(tiled(maps), maps[0])
