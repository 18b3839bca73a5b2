import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from cnnlab.train.config import TrainConfig
from cnnlab.train.losses import class_weights, distillation, focal, loss_of

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(20, 4, generator=GENERATOR)
LABELS = torch.randint(4, (20,), generator=GENERATOR)
SHARES = torch.rand(20, 4, generator=GENERATOR).softmax(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("labels", [LABELS, SHARES], ids=["labels", "shares"])
def test_cross_entropy_is_pytorchs(labels, smoothing):
    ours = loss_of(TrainConfig(label_smoothing=smoothing), [5, 5, 5, 5])(LOGITS, labels)
    assert torch.equal(ours, F.cross_entropy(LOGITS, labels, label_smoothing=smoothing))


def test_half_precision_is_summed_in_full():
    loss = loss_of(TrainConfig(), [1, 1, 1, 1])(LOGITS.bfloat16(), LABELS)
    assert loss.dtype == torch.float32


def test_undecided_costs_the_logarithm_of_the_classes():
    assert loss_of(TrainConfig(), [1] * 10)(torch.zeros(3, 10), torch.tensor([0, 4, 9])) == pytest.approx(math.log(10))


def test_weighted_by_hand():
    # 6 pictures: 1, 2, 3 of each class; weights 6 / (3 · n).
    assert class_weights([1, 2, 3]) == pytest.approx([2, 1, 2 / 3])
    logits = torch.tensor([[1.0, 0, 0], [0, 0, 0]])
    labels = torch.tensor([0, 2])
    first, second = math.log(1 + 2 / math.e), math.log(3)
    expected = (2 * first + 2 / 3 * second) / (2 + 2 / 3)
    assert loss_of(TrainConfig(loss="weighted"), [1, 2, 3])(logits, labels) == pytest.approx(expected)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any))
def test_with_weights_every_class_that_is_there_counts_alike(counts):
    total = [weight * count for weight, count in zip(class_weights(counts), counts, strict=True)]
    present = [each for each, count in zip(total, counts, strict=True) if count]
    assert present == pytest.approx([sum(counts) / len(present)] * len(present))
    assert sum(total) == pytest.approx(sum(counts))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("labels", [LABELS, SHARES], ids=["labels", "shares"])
def test_focal_with_gamma_0_is_cross_entropy(labels, smoothing):
    expected = F.cross_entropy(LOGITS, labels, label_smoothing=smoothing)
    assert torch.allclose(focal(LOGITS, labels, gamma=0, smoothing=smoothing), expected, atol=1e-6)


def test_focal_by_hand():
    # p = 0.9 and 0.25: (0.1)² · −ln 0.9 and (0.75)² · −ln 0.25.
    logits = torch.tensor([[0.9, 0.1], [0.25, 0.75]]).log()
    expected = (0.01 * -math.log(0.9) + 0.5625 * -math.log(0.25)) / 2
    assert focal(logits, torch.tensor([0, 0]), gamma=2) == pytest.approx(expected, rel=1e-5)
    chosen = loss_of(TrainConfig(loss="focal", focal_gamma=2), [1, 1])
    assert chosen(logits, torch.tensor([0, 0])) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2, 10])
@pytest.mark.parametrize("gap", [0, 10, 17, 30, 200])
@pytest.mark.parametrize("label", [0, 1])
def test_focal_has_a_slope_also_where_the_net_is_quite_sure(gamma, gap, label):
    logits = torch.tensor([[float(gap), 0.0, 0.0]], requires_grad=True)
    focal(logits, torch.tensor([label]), gamma=gamma).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_focal_counts_what_is_known_less():
    sure, unsure = torch.tensor([[4.0, 0]]), torch.tensor([[0.1, 0]])
    label = torch.tensor([0])

    def share(logits):
        return float(focal(logits, label, gamma=2) / F.cross_entropy(logits, label))

    assert share(sure) < 0.001 < 0.2 < share(unsure)


@given(st.floats(0.5, 20))
@settings(max_examples=25)
def test_distillation_is_the_divergence_by_hand(temperature):
    teacher = LOGITS.flip(0)
    p = (teacher.double() / temperature).softmax(1)
    q = (LOGITS.double() / temperature).softmax(1)
    expected = temperature**2 * (p * (p / q).log()).sum(1).mean()
    assert float(distillation(LOGITS, teacher, temperature)) == pytest.approx(float(expected), rel=1e-4)


def test_nothing_is_left_to_learn_from_an_equal():
    student = LOGITS.clone().requires_grad_()
    loss = distillation(student, LOGITS, 4.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-6
