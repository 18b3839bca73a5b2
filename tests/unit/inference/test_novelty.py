import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnnlab.images import IMAGENET, Preprocessing
from cnnlab.inference.novelty import FAMILIARITIES, blank_pictures, judge, separation, spread, spreads_of

LOGITS = np.array([[3.0, 1.0, -2.0], [1000.0, 999.0, 0.0]], dtype=np.float32)


def test_the_numbers_are_those_of_torch():
    logits = torch.from_numpy(LOGITS).double()
    np.testing.assert_allclose(FAMILIARITIES["energy"].of(LOGITS), logits.logsumexp(1))
    np.testing.assert_allclose(FAMILIARITIES["max_softmax"].of(LOGITS), logits.softmax(1).amax(1))
    assert FAMILIARITIES["max_logit"].of(LOGITS).tolist() == [3, 1000]


def test_adding_to_all_logits_moves_energy_and_leaves_the_probability():
    moved = {key: each.of(LOGITS + 5) - each.of(LOGITS) for key, each in FAMILIARITIES.items()}
    np.testing.assert_allclose(moved["energy"], 5)
    np.testing.assert_allclose(moved["max_logit"], 5)
    np.testing.assert_allclose(moved["max_softmax"], 0, atol=1e-9)


@given(hnp.arrays(np.float64, st.integers(200, 400), elements=st.floats(-10, 10)), st.floats(-12, 12))
@settings(max_examples=50)
def test_the_share_is_that_of_the_pictures_to_within_a_step_of_the_quantiles(values, value):
    around = spread(values)
    share = around.share_below(value)
    # Between two quantiles, a percent apart, a line is as good as can be known; and one picture more or less.
    steps = 0.01 + 2 / len(values)
    assert (values < value).mean() - steps <= share <= (values <= value).mean() + steps


def test_the_share_never_falls_as_the_number_grows():
    around = spread(np.random.default_rng(0).normal(size=1000).round(1))
    shares = [around.share_below(value) for value in np.linspace(-5, 5, 400)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)


def test_equal_numbers_count_as_low_as_each_other():
    around = spread(np.array([1.0] * 900 + [0.5] * 100))
    assert around.share_below(1.0) == 1
    assert around.share_below(0.5) == pytest.approx(0.1, abs=0.011)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "None of the 1,001 test pictures has a largest logit of 0 or lower."),
        (9.0, "Only 0.8 % of the 1,001 test pictures have a largest logit of 9 or lower."),
        (501.0, "50 % of the 1,001 test pictures have a largest logit of 501 or lower."),
        (2000.0, "All of the 1,001 test pictures have a largest logit of 2,000 or lower."),
        (1.5, "Fewer than 0.1 % of the 1,001 test pictures have a largest logit of 1.5 or lower."),
    ],
)
def test_a_verdict_says_how_many_pictures_are_as_strange(value, said):
    known = spreads_of(np.stack([np.arange(1.0, 1002.0), np.zeros(1001)], axis=1))
    verdicts = {one.key: one for one in judge(np.array([value, 0.0]), known, "test pictures")}
    assert verdicts.keys() == FAMILIARITIES.keys()
    assert verdicts["max_logit"].value == value
    assert verdicts["max_logit"].said == said


def test_separation_counts_pairs():
    assert separation(np.array([1.0, 2.0]), np.array([0.0, 0.5])) == 1
    assert separation(np.array([0.0]), np.array([1.0])) == 0
    # (1 > 0), (1 = 1 counts half), (3 > 0), (3 > 1)
    assert separation(np.array([1.0, 3.0]), np.array([0.0, 1.0])) == 3.5 / 4


@pytest.mark.parametrize(
    ("preprocessing", "size"),
    [
        (IMAGENET, (256, 256)),
        (Preprocessing(resize=(28, 20), channels="grey", mean=(0.13,), std=(0.3,)), (28, 20)),
        (Preprocessing(crop=(32, 24), mean=(0.5,) * 3, std=(0.2,) * 3), (32, 24)),
        (Preprocessing(mean=(0.5,) * 3, std=(0.2,) * 3), (64, 64)),
    ],
)
def test_blank_pictures_have_the_size_the_net_wants(preprocessing, size):
    pictures = blank_pictures(preprocessing)
    assert {(one.height, one.width) for one in pictures.values()} == {size}
    assert list(pictures) == ["White", "Black", "Grey", "Mean colour", "Noise"]
    for picture in pictures.values():
        assert np.isfinite(preprocessing.apply(picture)).all()


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_the_mean_colour_enters_the_net_as_zero(channels):
    steps = Preprocessing(crop=(4, 4), channels=channels, mean=(0.2, 0.4, 0.8), std=(0.2, 0.2, 0.2))
    # 1/510 of rounding to levels, by the standard deviation
    np.testing.assert_allclose(steps.apply(blank_pictures(steps)["Mean colour"]), 0, atol=1 / 510 / 0.2 + 1e-6)


def test_noise_is_the_same_again():
    np.testing.assert_array_equal(blank_pictures(IMAGENET)["Noise"].pixels, blank_pictures(IMAGENET)["Noise"].pixels)
