import pytest
import torch

from cnnlab.errors import InputRejected
from cnnlab.explain.targets import Contrast, of_picture, score

LOGITS = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])


def test_one_class_for_all_or_for_each_its_own_or_one_against_another():
    assert score(LOGITS, 1).tolist() == [2, 16]
    assert score(LOGITS, [2, 0]).tolist() == [4, 8]
    assert score(LOGITS, Contrast(of=2, against=0)).tolist() == [3, 24]


@pytest.mark.parametrize("target", [3, -1, [0, 3], Contrast(0, 3)])
def test_a_class_that_the_net_does_not_know_is_refused(target: int | list[int] | Contrast):
    with pytest.raises(InputRejected, match="0 to 2"):
        score(LOGITS, target)


def test_more_classes_than_pictures_are_refused():
    with pytest.raises(InputRejected, match="2 pictures and 3 classes"):
        score(LOGITS, [0, 1, 2])


def test_what_is_asked_of_one_picture():
    assert of_picture([2, 0], 1) == 0
    assert of_picture(2, 1) == 2
    assert of_picture(Contrast(1, 2), 0) == Contrast(1, 2)
