import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.figures import palette
from cnnlab.figures.prediction import among, answer_bars, percent, signed, with_box
from cnnlab.inference import Ranked
from cnnlab.inference.novelty import spread

CAT = Ranked(class_index=3, label="cat", logit=2.0, probability=0.75)
DOG = Ranked(class_index=5, label="dog", logit=-1.25, probability=0.2)


def texts(page: str) -> list[str]:
    return [text for text in re.sub(r"<[^>]*>", "\n", page).split("\n") if text]


def test_a_bar_is_as_long_as_its_probability_and_stands_with_both_numbers():
    drawn = answer_bars([CAT, DOG], "class", others=(8, 0.05))
    assert texts(drawn) == [
        *("class", "probability", "logit"),
        *("cat", "75.0 %", "+2.00"),
        *("dog", "20.0 %", "−1.25"),
        *("8 others", "5.0 %"),
    ]
    assert re.findall(r"width:([\d.]+)%", drawn) == ["75.000", "20.000", "5.000"]


def test_a_class_has_the_colour_that_it_has_on_every_page():
    drawn = answer_bars([CAT, DOG], "class")
    assert [drawn.index(palette.OKABE_ITO[index]) for index in (3, 5)] == sorted(
        drawn.index(palette.OKABE_ITO[index]) for index in (3, 5)
    )
    ninth = Ranked(class_index=9, label="truck", logit=0.0, probability=1.0)
    assert palette.OKABE_ITO[1] in answer_bars([ninth], "class")


def test_one_other_class_is_one_and_none_is_not_named():
    assert "1 other" in texts(answer_bars([CAT], "class", others=(1, 0.25)))
    assert "other" not in answer_bars([CAT], "class")


def test_a_name_from_a_stranger_stays_text():
    hostile = Ranked(class_index=0, label='<img src=x onerror="alert(1)">', logit=0.0, probability=1.0)
    drawn = answer_bars([hostile], '"><script>')
    assert "<img" not in drawn
    assert "<script>" not in drawn
    assert 'onerror="' not in drawn


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.861, "86.1 %"),
        (0.007, "0.70 %"),
        (0.00012, "0.01 %"),
        (0.00009, "< 0.01 %"),
        (0.9987, "99.87 %"),
        (0.99996, "> 99.99 %"),
    ],
)
def test_a_share_has_as_many_digits_as_mean_something(share: float, said: str):
    assert percent(share) == said


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_what_is_neither_none_nor_all_is_never_rounded_to_it(share: float):
    assert percent(share) not in ("0 %", "0.00 %", "0.0 %", "100 %", "100.00 %", "100.0 %")


def test_a_logit_is_written_with_its_sign_and_zero_without():
    assert [signed(number) for number in (4.426, -0.004, -12.0)] == ["+4.43", "0.00", "−12.00"]


def test_outside_of_the_box_the_picture_is_paler_and_inside_it_is_itself():
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, :, 0] = 255
    shown = with_box(pixels, (1, 2, 2, 3))
    np.testing.assert_array_equal(shown[1:3, 2:5], pixels[1:3, 2:5])
    # 255 · 0.4 + 76 = 178, 0 · 0.4 + 76 = 76.
    outside = np.ones((4, 6), bool)
    outside[1:3, 2:5] = False
    assert {tuple(pixel) for pixel in shown[outside].tolist()} == {(178, 76, 76)}
    assert pixels.max() == 255
    assert pixels.min() == 0


def test_a_box_around_everything_changes_nothing():
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    np.testing.assert_array_equal(with_box(pixels, (0, 0, 4, 5)), pixels)


def test_the_place_among_others_is_drawn_from_shares_that_add_up_to_all():
    known = spread(np.arange(1001) / 100)  # 0 to 10, evenly
    figure = among(known, 12.5, "evidence")
    bars = figure.data[0]
    assert sum(bars.y) == pytest.approx(100)
    # 40 bins from 0 to 12.5: the last eight lie beyond all that is known, the others hold as much as each other.
    assert bars.x[0] == pytest.approx(12.5 / 80)
    assert bars.y[-8:] == pytest.approx(0)
    assert bars.y[:-8] == pytest.approx(100 / 32, rel=0.02)
    assert figure.layout.shapes[0].x0 == 12.5


def test_a_number_that_is_the_same_for_all_can_be_drawn():
    figure = among(spread(np.full(10, 3.0)), 3.0, "evidence")
    assert sum(figure.data[0].y) == pytest.approx(100)
