import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.errors import InputRejected
from cnnlab.ui.predicting.controls import TEMPERATURE, TEMPERATURES, nearest


def test_one_is_in_the_middle_of_the_slider_and_its_ends_are_as_far_from_it():
    assert TEMPERATURES[len(TEMPERATURES) // 2] == 1.0
    assert (TEMPERATURES[0], TEMPERATURES[-1]) == (0.1, 10.0)


@given(st.floats(0.1, 10))
def test_any_temperature_is_within_three_percent_of_one_on_the_slider(temperature: float):
    # The steps are a factor of 10^(1/40) = 1.059 apart, so half a step is 1.029, and three digits round by 0.5 % more.
    assert 1 / 1.035 < nearest(temperature) / temperature < 1.035


def test_a_temperature_beyond_the_slider_is_its_end():
    assert nearest(0.05) == 0.1
    assert nearest(20.0) == 10.0


@given(st.sampled_from(TEMPERATURES))
def test_what_a_link_says_is_what_was_set(temperature: float):
    assert TEMPERATURE.parse(TEMPERATURE.format(temperature)) == temperature


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "", "1e9", "warm"])
def test_a_link_with_another_temperature_is_refused(text: str):
    with pytest.raises(InputRejected, match=r"from 0\.1 to 10"):
        TEMPERATURE.parse(text)
