import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from torch import nn

from cnnlab.data import Dataset, Splits
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.train.evaluating import Evaluation, class_scores, evaluate, pictures_at_once


def evaluation(*rows, labels):
    logits = np.array(rows, dtype=np.float32)
    return Evaluation(indices=np.arange(len(logits)) + 100, labels=np.array(labels), logits=logits)


# Probabilities 3/4 1/4 · 1/4 3/4 · 1/10 9/10 · 1/2 1/2; the second and third of class 0 are told wrong.
BY_HAND = evaluation((math.log(3), 0), (0, math.log(3)), (0, math.log(9)), (0, 0), labels=[0, 0, 0, 0])


def dataset(levels=(0, 255, 51, 102), labels=(0, 1, 0, 1)):
    """Pictures of one pixel, normalised to (x − 0.2) / 0.1."""
    pictures = torch.tensor(levels, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    every = torch.arange(len(levels))
    return Dataset(
        key="digits",
        label="Digits",
        pictures=pictures,
        labels=torch.tensor(labels),
        classes=("dark", "light"),
        splits=Splits(train=every, validation=every, test=every),
        mean=(0.2,),
        std=(0.1,),
    )


def net(*, dropout=0.0):
    """Logits 0 and x of a picture x."""
    linear = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.0], [1.0]]))
    return nn.Sequential(nn.Flatten(), nn.Dropout(dropout), linear)


def test_probabilities_and_losses_are_those_worked_out_by_hand():
    np.testing.assert_allclose(BY_HAND.probabilities[:, 0], [0.75, 0.25, 0.1, 0.5], rtol=1e-6)
    np.testing.assert_allclose(BY_HAND.confidences, [0.75, 0.75, 0.9, 0.5], rtol=1e-6)
    np.testing.assert_allclose(BY_HAND.losses, -np.log([0.75, 0.25, 0.1, 0.5]), rtol=1e-6)
    assert BY_HAND.loss == pytest.approx(-math.log(0.75 * 0.25 * 0.1 * 0.5) / 4, rel=1e-6)
    assert BY_HAND.accuracy == 0.5
    np.testing.assert_array_equal(BY_HAND.confusion, [[2, 2], [0, 0]])


def test_mistakes_come_surest_or_dearest_first():
    seen = evaluation((0, 1, 9), (0, 2, 0), (0, 0, 1), (5, 0, 0), labels=[0, 2, 1, 0])
    assert seen.mistakes().tolist() == [0, 1, 2]
    # The truth of the second lies 2 below the winner, that of the third 1.
    assert seen.mistakes("loss").tolist() == [0, 1, 2]
    # A sure mistake that costs less than an unsure one: its truth is a close second.
    two = evaluation((4, 3.9, -9, -9), (0.2, 0.1, 0.1, -3), labels=[1, 3])
    assert two.mistakes().tolist() == [0, 1]
    assert two.mistakes("loss").tolist() == [1, 0]


def test_a_cell_holds_its_pictures_the_surest_first():
    seen = evaluation((1, 0), (3, 0), (0, 1), (2, 0), labels=[1, 1, 1, 0])
    assert seen.cell(1, 0).tolist() == [1, 0]
    assert seen.cell(1, 1).tolist() == [2]
    assert seen.cell(0, 1).tolist() == []


def test_a_sample_is_the_same_for_the_same_seed_and_holds_none_twice():
    seen = evaluation(*[(0, 1)] * 40, labels=[1] * 40)
    assert seen.sample(6, 1).tolist() == seen.sample(6, 1).tolist() != seen.sample(6, 2).tolist()
    assert len(set(seen.sample(6, 1).tolist())) == 6
    assert sorted(seen.sample(100, 1).tolist()) == list(range(40))


def test_numbers_out_of_bounds_are_shown_and_come_last():
    seen = evaluation((np.nan, 0), (0, 2), labels=[1, 0])
    assert math.isnan(seen.loss)
    assert seen.mistakes().tolist() == [1, 0]
    assert seen.confusion.sum() == 2


def test_huge_logits_do_not_overflow():
    seen = evaluation((1000, 0), (0, 1000), labels=[0, 0])
    np.testing.assert_array_equal(seen.losses, [0, 1000])


def test_pictures_are_normalised_and_told_apart():
    seen = evaluate(net(dropout=0.9), dataset(), torch.tensor([3, 0, 1]), batch_size=2)
    assert seen.indices.tolist() == [3, 0, 1]
    assert seen.labels.tolist() == [1, 0, 1]
    np.testing.assert_allclose(seen.logits, [[0, 2], [0, -2], [0, 8]], atol=1e-5)
    assert seen.accuracy == 1


@given(st.integers(1, 9))
def test_the_size_of_the_batches_changes_nothing(batch_size):
    whole = evaluate(net(), dataset(), torch.arange(4))
    parts = evaluate(net(), dataset(), torch.arange(4), batch_size=batch_size)
    np.testing.assert_allclose(parts.logits, whole.logits, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ((28, 28, 1), 500),
        ((224, 224, 3), 106),  # 64,000,000 / (4 · 224 · 224 · 3) = 106.3
        ((4096, 4096, 3), 1),
    ],
)
def test_large_pictures_are_shown_a_few_at_a_time(shape, count):
    assert pictures_at_once(torch.empty((2, *shape), dtype=torch.uint8, device="meta")) == count


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_given_back_as_it_was(fails):
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(1, 2)).train()
    model[3].weight.grad = torch.ones(2, 1)
    calls = []
    hook = model.register_forward_hook(lambda *_: calls.append(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    if fails:
        with pytest.raises(RunFailed, match="stopped"):
            evaluate(model, dataset(), torch.arange(4), batch_size=1, cancelled=iter([False, True]).__next__)
    else:
        evaluate(model, dataset(), torch.arange(4))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model[3].weight.grad, torch.ones(2, 1))
    assert torch.equal(torch.get_rng_state(), generator)
    assert hook.id in model._forward_hooks
    assert not calls


def test_progress_counts_pictures_up_to_all():
    told = []
    evaluate(net(), dataset(), torch.arange(4), batch_size=3, progress=lambda *said: told.append(said))
    assert told == [("evaluating", 3, 4), ("evaluating", 4, 4)]


def test_a_net_for_other_classes_is_refused_in_words():
    with pytest.raises(InputRejected, match=r"3.*2 classes"):
        evaluate(nn.Sequential(nn.Flatten(), nn.Linear(1, 3)), dataset(), torch.arange(4))


def test_scores_of_classes_by_hand():
    first, second, third = class_scores(((2, 1, 0), (2, 3, 0), (0, 0, 0)))
    assert (first.precision, first.recall, first.f1, first.support) == (0.5, 2 / 3, 4 / 7, 3)
    assert (second.precision, second.recall, second.f1, second.support) == (0.75, 0.6, 6 / 9, 5)
    assert (third.precision, third.recall, third.f1, third.support) == (None, None, None, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_scores_and_confusion_agree_with_scikit_learn(pairs):
    truths, told = [list(side) for side in zip(*pairs, strict=True)]
    seen = evaluation(*np.eye(4)[told], labels=truths)
    every = [0, 1, 2, 3]
    np.testing.assert_array_equal(seen.confusion, metrics.confusion_matrix(truths, told, labels=every))
    expected = metrics.precision_recall_fscore_support(truths, told, labels=every, zero_division=0.0)
    scores = class_scores(seen.confusion)
    ours = [[score.precision or 0, score.recall or 0, score.f1 or 0, score.support] for score in scores]
    np.testing.assert_allclose(np.transpose(ours), expected, atol=1e-12)
