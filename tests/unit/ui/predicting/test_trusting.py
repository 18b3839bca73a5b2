import numpy as np
import pytest

from cnnlab.inference.references import measure
from cnnlab.ui.predicting.trusting import bin_of, familiar

LOGITS = np.stack([np.linspace(0.1, 6, 300), np.zeros(300)], axis=1)
REFERENCE = measure(LOGITS, (np.arange(300) % 3 == 0).astype(np.int64), "test pictures")


@pytest.mark.parametrize("confidence", [0.53, 0.7, 0.9, 0.995])
def test_an_answer_is_held_against_the_pictures_answered_as_surely(confidence: float):
    among = bin_of(REFERENCE, confidence)
    assert among.low < confidence <= among.high
    # Of 300 pictures in 15 bins of the same number, 20 each; every third is told wrong.
    assert among.count == 20
    assert among.accuracy == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize("confidence", [0.0, 0.5, 1.0])
def test_an_answer_surer_or_less_sure_than_any_is_held_against_the_nearest(confidence: float):
    among = bin_of(REFERENCE, confidence)
    filled = [one for one in REFERENCE.by_mass.bins if one.count]
    assert among == (filled[-1] if confidence == 1.0 else filled[0])


def test_what_is_stranger_than_all_but_few_is_said_to_be_and_so_is_what_is_surer_than_all():
    said = [familiar(share) for share in (0.0, 0.009, 0.02, 0.5, 0.999, 1.0)]
    assert said == ["like nothing it knows"] * 2 + ["unusual", "familiar", "familiar", "too familiar"]
