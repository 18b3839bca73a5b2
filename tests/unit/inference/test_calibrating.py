import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn
from torch.nn import functional as F

from cnnlab.data import load_dataset
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.images import Preprocessing, RgbImage, to_tensor
from cnnlab.inference.calibrating import calibrate, fit_temperature, logits_of, probabilities_of, scale
from cnnlab.inference.capturing import share

GREY8 = Preprocessing(resize=(8, 8), channels="grey", mean=(0.3,), std=(0.4,))


def logits_for(*probabilities):
    """Two classes, the first with these probabilities."""
    share_ = np.array(probabilities)
    return np.log(np.stack([share_, 1 - share_], axis=1))


def drawn(temperature, count=20_000):
    """Logits of a net that is right as often as it says when they are divided by the temperature."""
    rng = np.random.default_rng(1)
    honest = 2 * rng.standard_normal((count, 5))
    draws = rng.random((count, 1)) > np.cumsum(probabilities_of(honest), axis=1)
    return honest * temperature, np.minimum(draws.sum(axis=1), 4)


def test_errors_worked_out_by_hand():
    # Of 0.9, 0.9, 0.6 and 0.7, right are the first, the third and the fourth.
    seen = calibrate(logits_for(0.9, 0.9, 0.6, 0.7), np.array([0, 1, 0, 0]), bins=5)
    assert [one.count for one in seen.bins] == [0, 0, 1, 1, 2]
    # (0.4, 0.6] holds 0.6 as 0.6 does not lie above it; gaps 0.4, 0.3, |0.5 − 0.9| twice.
    assert seen.ece == pytest.approx((0.4 + 0.3 + 2 * 0.4) / 4)
    assert seen.mce == pytest.approx(0.4)
    assert seen.accuracy == 0.75
    assert seen.confidence == pytest.approx(0.775)
    assert seen.nll == pytest.approx(-np.log([0.9, 0.1, 0.6, 0.7]).mean())
    assert seen.brier == pytest.approx(np.mean([2 * 0.01, 2 * 0.81, 2 * 0.16, 2 * 0.09]))


def test_nll_is_the_cross_entropy_of_torch_at_every_temperature():
    logits, labels = drawn(1.0, 200)
    for temperature in (0.3, 1.0, 4.0):
        expected = F.cross_entropy(torch.from_numpy(logits) / temperature, torch.from_numpy(labels))
        assert calibrate(logits, labels, temperature=temperature).nll == pytest.approx(float(expected))


def test_the_interval_is_wilsons():
    seen = calibrate(logits_for(*[0.75] * 10), np.array([0] * 8 + [1] * 2), bins=2)
    # Wilson's 95 % interval of 8 of 10, as tables give it.
    assert (seen.bins[1].accuracy_low, seen.bins[1].accuracy_high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert (seen.bins[0].accuracy, seen.bins[0].accuracy_low, seen.bins[0].accuracy_high) == (None, 0, 1)


def test_bins_of_equal_mass_hold_equally_many():
    logits, labels = drawn(1.0, 3000)
    seen = calibrate(logits, labels, bins=15, by="mass")
    assert {one.count for one in seen.bins} == {200}
    assert (seen.bins[0].low, seen.bins[-1].high) == (0, 1)


def test_pictures_of_the_same_confidence_share_a_bin_of_equal_mass():
    seen = calibrate(logits_for(*[0.8] * 6, 0.9), np.zeros(7, dtype=np.int64), bins=5, by="mass")
    assert [one.count for one in seen.bins] == [6, 1]


def test_certainty_has_a_bin():
    for by in ("width", "mass"):
        seen = calibrate(np.array([[1000.0, 0.0]]), np.array([0]), by=by)
        assert seen.bins[-1].count == 1
        assert (seen.ece, seen.nll, seen.brier) == (0, 0, 0)


@given(
    logits=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 40), st.integers(2, 6)), elements=st.floats(-50, 50, width=32)
    ),
    data=st.data(),
    by=st.sampled_from(["width", "mass"]),
)
@settings(max_examples=60)
def test_no_picture_is_lost_and_errors_stay_in_their_bounds(logits, data, by):
    labels = data.draw(hnp.arrays(np.int64, len(logits), elements=st.integers(0, logits.shape[1] - 1)))
    seen = calibrate(logits, labels, by=by)
    assert sum(one.count for one in seen.bins) == len(labels)
    assert 0 <= seen.ece <= seen.mce + 1e-12 <= 1 + 1e-9
    # The triangle inequality: bins cannot hide more than the whole gap.
    assert seen.ece >= abs(seen.confidence - seen.accuracy) - 1e-9
    assert 0 <= seen.brier <= 2
    for one in seen.bins:
        if one.accuracy is not None:
            assert one.low - 1e-12 <= one.confidence <= one.high + 1e-12
            assert 0 <= one.accuracy_low <= one.accuracy <= one.accuracy_high <= 1


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(truth):
    assert fit_temperature(*drawn(truth)) == pytest.approx(truth, rel=0.03)


def test_no_other_temperature_is_better():
    logits, labels = drawn(3.0, 500)
    best = fit_temperature(logits, labels)
    least = calibrate(logits, labels, temperature=best).nll
    for other in (0.98 * best, 1.02 * best, 1.0, 10.0):
        assert calibrate(logits, labels, temperature=other).nll > least


def test_where_all_is_right_the_coldest_temperature_is_taken():
    assert fit_temperature(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) == pytest.approx(0.05)


def test_scaling_helps_pictures_it_was_not_fitted_to_and_changes_no_prediction():
    logits, labels = drawn(3.0)
    scaled = scale(logits, labels)
    assert scaled.num_fitted + scaled.after.count == len(labels)
    assert scaled.before.ece > 0.1
    assert scaled.after.ece < 0.02
    assert scaled.after.nll < scaled.before.nll
    assert scaled.after.accuracy == scaled.before.accuracy
    assert scaled.after.temperature == scaled.temperature


def test_broken_logits_and_a_single_picture_are_refused():
    with pytest.raises(InputRejected, match="NaN"):
        calibrate(np.array([[np.nan, 1.0]]), np.array([0]))
    with pytest.raises(InputRejected, match="2 pictures"):
        scale(np.array([[0.0, 1.0]]), np.array([0]))
    with pytest.raises(TypeError):
        calibrate(np.zeros((3, 2)), np.zeros(2, dtype=np.int64))


def test_logits_of_a_data_set_are_those_of_its_pictures_one_by_one():
    torch.manual_seed(0)
    model = share(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    digits = load_dataset("digits")
    indexes = digits.splits.validation
    told = []
    logits, labels = logits_of(model, digits, indexes, GREY8, progress=lambda *said: told.append(said))
    np.testing.assert_array_equal(labels, digits.labels[indexes])
    assert told[-1] == ("looking", len(indexes), len(indexes))
    for row in (0, 77, len(indexes) - 1):
        pixels = digits.pictures[indexes[row]].numpy().repeat(3, axis=2)
        torch.testing.assert_close(torch.from_numpy(logits[row])[None], model(to_tensor(RgbImage(pixels), GREY8)))


def test_looking_can_be_stopped_and_refuses_another_number_of_classes():
    digits = load_dataset("digits")
    model = share(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    with pytest.raises(RunFailed, match="stopped"):
        logits_of(model, digits, digits.splits.test, GREY8, cancelled=lambda: True)
    with pytest.raises(InputRejected, match="3 numbers"):
        logits_of(model, digits, digits.splits.test[:2], GREY8)
