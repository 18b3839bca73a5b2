import numpy as np
import pytest
from skimage.color import rgb2lab

from cnnlab.figures import palette

# Linear RGB as people without red, green or blue cones see it (Viénot, Brettel and Mollon 1999; the last: Brettel
# 1997, reduced to one matrix).
DICHROMATS = {
    "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    "tritan": [[1, 0.14461, -0.14461], [0, 0.85924, 0.14076], [0, 0.85924, 0.14076]],
}


def seen_by(matrix: list[list[float]], rgb: np.ndarray) -> np.ndarray:
    linear = (rgb / 255.0) ** 2.2
    return np.clip(linear @ np.array(matrix).T, 0, 1) ** (1 / 2.2)


def test_zero_is_the_same_neutral_grey_from_both_sides() -> None:
    lut = palette.diverging()
    assert (lut[127] == lut[128]).all()
    assert np.ptp(lut[127].astype(int)) <= 1


def test_equal_distances_from_zero_are_equally_light_on_both_sides() -> None:
    lightness = rgb2lab(palette.diverging()[None] / 255.0)[0, :, 0]
    assert np.abs(lightness - lightness[::-1]).max() < 4  # of 100


@pytest.mark.parametrize("lut", [palette.sequential, palette.greys])
def test_magnitudes_grow_lighter_without_a_step_back(lut) -> None:
    lightness = rgb2lab(lut()[None] / 255.0)[0, :, 0]
    assert (np.diff(lightness) > -0.2).all()
    assert lightness[-1] - lightness[0] > 70


def test_signed_values_darken_evenly_with_their_size() -> None:
    steps = -np.diff(rgb2lab(palette.diverging()[None] / 255.0)[0, 128:, 0])
    assert (steps > -0.5).all()
    assert steps.reshape(-1)[:120].reshape(10, 12).sum(axis=1).std() < 1.2


@pytest.mark.parametrize("who", DICHROMATS)
def test_the_two_signs_stay_apart_for_the_colour_blind(who: str) -> None:
    lut = palette.diverging()
    lab = rgb2lab(seen_by(DICHROMATS[who], lut[[32, 223]])[None])[0]
    assert np.linalg.norm(lab[0] - lab[1]) > 25


def test_shared_tables_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        palette.diverging()[0] = 0


def test_the_scale_of_a_chart_ends_as_its_table_does() -> None:
    scale = palette.as_plotly(palette.sequential())
    assert scale[0] == [0.0, "rgb(68,1,84)"]  # viridis's first colour, as published
    assert scale[-1][0] == 1.0
