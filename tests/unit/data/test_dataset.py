import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.data.dataset import Gathered, channel_statistics, part_pictures
from cnnlab.errors import InputRejected

NONE = torch.empty(0, dtype=torch.int64)


def gathered(counts, test=NONE):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    pictures = torch.arange(len(labels)).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 2, 2, 3).contiguous()
    return Gathered(pictures=pictures, labels=labels, classes=tuple("abcdefghij"[: len(counts)]), test=test)


def part(counts, test=NONE, **how):
    return part_pictures("own", "Own", gathered(counts, test), **how)


counts = st.lists(st.integers(3, 60), min_size=2, max_size=6)


@given(counts, st.floats(0.01, 0.5), st.integers(0, 2**31))
def test_every_picture_is_in_exactly_one_part_and_each_part_has_every_class(counts, validation, seed):
    dataset = part(counts, validation=validation, seed=seed)
    splits = dataset.splits
    together = torch.cat([splits.train, splits.validation, splits.test])
    assert together.sort().values.tolist() == list(range(sum(counts)))
    for one in (splits.train, splits.validation, splits.test):
        assert one.tolist() == sorted(one.tolist())
        assert min(dataset.class_counts(one)) >= 1


@given(st.lists(st.integers(50, 90), min_size=2, max_size=4), st.integers(0, 1000))
def test_each_class_is_parted_in_proportion(counts, seed):
    dataset = part(counts, validation=0.25, seed=seed)
    assert dataset.class_counts() == tuple(counts)
    for count, in_test, in_validation in zip(
        counts,
        dataset.class_counts(dataset.splits.test),
        dataset.class_counts(dataset.splits.validation),
        strict=True,
    ):
        assert abs(in_test - count / 5) <= 0.5
        assert abs(in_validation - (count - in_test) / 4) <= 0.5


def test_a_published_test_part_is_kept_as_it_is():
    test = torch.tensor([19, 0, 10])
    dataset = part([10, 10], test)
    assert dataset.splits.test.tolist() == [0, 10, 19]


def test_the_seed_decides_the_validation_part_and_never_the_test_part():
    one, same, other = part([40, 40], seed=1), part([40, 40], seed=1), part([40, 40], seed=2)
    assert torch.equal(one.splits.validation, same.splits.validation)
    assert not torch.equal(one.splits.validation, other.splits.validation)
    assert torch.equal(one.splits.test, other.splits.test)
    again = one.resplit(validation=0.1, seed=2)
    assert torch.equal(again.splits.validation, other.splits.validation)
    assert (again.mean, again.std) == (other.mean, other.std)


def test_statistics_by_hand():
    # Channel 0 holds 0 and 255, half each; channel 1 is 51 everywhere.
    pictures = torch.tensor([[0, 51], [255, 51]], dtype=torch.uint8).view(2, 1, 1, 2)
    mean, std = channel_statistics(pictures, torch.tensor([0, 1]))
    assert mean == pytest.approx((0.5, 0.2))
    assert std == pytest.approx((0.5, 1 / 255))


def test_statistics_are_those_of_torch_over_many_chunks():
    pictures = torch.randint(0, 256, (2500, 5, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    indices = torch.arange(0, 2500, 2)
    mean, std = channel_statistics(pictures, indices)
    values = pictures[indices].double().view(-1, 3) / 255
    assert mean == pytest.approx(values.mean(0).tolist(), rel=1e-12)
    assert std == pytest.approx(values.std(0, correction=0).tolist(), rel=1e-9)


def test_statistics_see_the_training_part_only():
    source = gathered([30, 30])
    dataset = part_pictures("own", "Own", source)
    source.pictures[dataset.splits.test] = 255
    source.pictures[dataset.splits.validation] = 255
    assert part_pictures("own", "Own", source).mean == dataset.mean


@pytest.mark.parametrize(
    ("counts", "says"),
    [([9], r"1 class\(es\)"), ([9, 2], r"'b' \(2\)"), ([9, 0, 3], r"'b' \(0\)"), ([1] * 8, "and 3 more")],
)
def test_too_little_is_refused_by_name(counts, says):
    with pytest.raises(InputRejected, match=says):
        part(counts)


def test_too_many_classes_are_refused():
    labels = torch.arange(1001).repeat(3)
    pictures = torch.zeros(len(labels), 1, 1, 3, dtype=torch.uint8)
    names = tuple(map(str, range(1001)))
    with pytest.raises(InputRejected, match="1,001 classes; the lab takes up to 1,000"):
        part_pictures("own", "Own", Gathered(pictures=pictures, labels=labels, classes=names, test=NONE))


def test_a_test_part_that_leaves_nothing_of_a_class_is_refused():
    with pytest.raises(InputRejected, match="class 'a' has 1 picture"):
        part([4, 9], torch.arange(3))


@pytest.mark.parametrize("share", [0, 0.6, -1, float("nan")])
def test_senseless_shares_are_refused(share):
    with pytest.raises(InputRejected, match=r"share of 0\.01 to 0\.5"):
        part([9, 9], validation=share)
