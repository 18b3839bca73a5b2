import numpy as np
import pytest

from cnnlab.ui.components import lut_hex

NUMBERS = "shared/numbers.js"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1, "1"),
        (-7, "−7"),
        (81302, "81,302"),
        (-1234567, "−1,234,567"),
        (1 / 9, "0.111"),
        (float(np.float32(0.1)), "0.1"),
        (-0.5, "−0.5"),
        (8.5, "8.5"),
        (2.0000001, "2"),
        (1234.5, "1,230"),
        (0.000482, "0.000482"),
        (0.0000482, "4.82e−5"),
        (-1.5e-12, "−1.5e−12"),
        (12345678.5, "1.23e7"),
        (999.9, "1,000"),
        (float("nan"), "NaN"),
        (float("-inf"), "−∞"),
    ],
)
def test_numbers_have_three_digits_and_integers_all(javascript, value, text):
    assert javascript(NUMBERS, ("formatNumber", value)) == [text]


def test_no_number_is_written_with_a_hyphen_or_as_minus_zero(javascript):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=300) * 10.0 ** rng.integers(-9, 9, 300)).tolist()
    texts = javascript(NUMBERS, *(("formatNumber", value) for value in values))
    assert not any("-" in text or text in ("−0", "−0.0") for text in texts)
    back = [float(text.replace("−", "-").replace(",", "")) for text in texts]
    np.testing.assert_allclose(back, values, rtol=0.0051)


def test_a_full_number_comes_back_exactly(javascript):
    values = [1 / 9, -0.1, 1e-20, 12345.678901234567, -0.0, 3.0]
    texts = javascript(NUMBERS, *(("formatFull", value) for value in values))
    assert [float(text.replace("−", "-")) for text in texts] == values
    assert texts[4] == "0"


@pytest.mark.parametrize(
    ("value", "room", "text"),
    [(0.111, 5, "0.111"), (0.111, 4, ".111"), (-0.0185, 4, "−.02"), (-12.55, 3, "−13"), (12345, 4, ""), (0, 1, "0")],
)
def test_a_number_gets_shorter_to_fit(javascript, value, room, text):
    assert javascript(NUMBERS, ("formatTight", value, room)) == [text]


def test_neighbours_lose_the_zero_together(javascript):
    assert javascript(NUMBERS, ("formatAlike", [0.5, -0.125, 2], 5)) == [[".5", "−.125", "2"]]
    assert javascript(NUMBERS, ("formatAlike", [0.5, -0.125, 2], 6)) == [["0.5", "−0.125", "2"]]


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0.48235, 1 / 255, "0.482"),
        (-0.0001, 1 / 255, "0.000"),
        (4.016, 8 / 255, "4.02"),
        (482.35, 1000 / 255, "482"),
        (48235.3, 1e6 / 255, "48,000"),
        (-1234.5, 100 / 255, "−1,234.5"),
        (4.82353e-7, 1e-6 / 255, "4.82e−7"),
        (0.7, 0, "0.7"),
    ],
)
def test_a_level_has_the_decimals_its_spacing_allows(javascript, value, step, text):
    assert javascript(NUMBERS, ("formatLevel", value, step)) == [text]


def test_text_on_any_tint_reaches_contrast_aa(javascript, diverging):
    colours = np.vstack([diverging, np.random.default_rng(0).integers(0, 256, (500, 3))]).tolist()
    inks = javascript("shared/colour.js", *(("inkOn", *colour) for colour in colours))
    lights = javascript("shared/colour.js", *(("luminance", *colour) for colour in colours))
    for ink, light in zip(inks, lights, strict=True):
        contrast = (light + 0.05) / 0.05 if ink == "#000" else 1.05 / (light + 0.05)
        assert contrast >= 4.5


def test_tints_are_symmetric_about_zero(javascript):
    codes = javascript("shared/colour.js", *(("tintCode", value, 2.0) for value in (-3, -2, 0, 2, 3)))
    assert codes == [0, 0, 128, 255, 255]
    assert javascript("shared/colour.js", ("tintCode", 1, 0)) == [128]


def test_a_colour_table_survives_the_way(javascript, diverging):
    (palette,) = javascript("shared/colour.js", ("paletteOf", lut_hex(diverging)))
    assert palette["rgb"] == diverging.ravel().tolist()
    assert palette["css"][0] == "rgb(0 114 178)"


@pytest.mark.parametrize("position", [0, 3, 50, 97, 100])
def test_the_word_for_zero_never_covers_an_end(javascript, position):
    (left,) = javascript("shared/legend.js", ("placeZero", 100, position, 30, 8, 20))
    assert left >= 30
    assert left + 8 <= 80
