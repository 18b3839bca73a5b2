"""Pictures with labels, parted honestly: what a net learns from, what it is steered by, what it is judged by."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from cnnlab.errors import InputRejected

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("downloading", "unpacking" …), how much of it is done, and how much there is."""

_TEST_SHARE = 0.2
_MAX_CLASSES = 1000  # as ImageNet
_PER_CLASS = 3  # one each for training, validation and test
_CHUNK = 1024  # squares of 255 add up to 2^26, which 32 bits hold


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathered:
    """What a source brings, before it is parted.

    Attributes:
        pictures: Shape (N, H, W, C), uint8.
        labels: Shape (N,), int64: for each picture the index of its class.
        classes: Names of the classes.
        test: Indices of the published test pictures; empty where the source has none, and a fifth is held out.
        masks: Shape (N, H, W), bool: where the object is; None where nobody knows.
        boxes: Shape (N, 4), int64: top, left, bottom, right of the object, the last two exclusive; likewise.
    """

    pictures: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]
    test: torch.Tensor
    masks: torch.Tensor | None = None
    boxes: torch.Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """Indices of the three parts, each ascending; no picture is in two of them and none is left out.

    Attributes:
        train: What the weights are fitted to, int64.
        validation: What choices are made by: when to stop, which recipe.
        test: What the finished net is judged by, once.
    """

    train: torch.Tensor
    validation: torch.Tensor
    test: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Pictures, labels and their parts, on the CPU.

    Attributes:
        key: Of `DATASETS`, or "pictures" for one's own.
        label: Name shown to people.
        pictures: Shape (N, H, W, C), uint8, contiguous. May be mapped from a file: not to be written to.
        labels: Shape (N,), int64.
        classes: Names of the classes, in the order of the labels.
        splits: Which pictures belong to which part.
        mean: Of each channel over the training part, for values in [0, 1].
        std: Likewise, above 0.
        masks: Shape (N, H, W), bool: where the object is, for `shapes`.
        boxes: Shape (N, 4), int64: top, left, bottom, right, the last two exclusive, for `shapes`.
    """

    key: str
    label: str
    pictures: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]
    splits: Splits
    mean: tuple[float, ...]
    std: tuple[float, ...]
    masks: torch.Tensor | None = None
    boxes: torch.Tensor | None = None

    def class_counts(self, part: torch.Tensor | None = None) -> tuple[int, ...]:
        """How many pictures each class has, in all or in a part: `dataset.class_counts(dataset.splits.train)`."""
        labels = self.labels if part is None else self.labels[part]
        return tuple(torch.bincount(labels, minlength=len(self.classes)).tolist())

    def resplit(self, *, validation: float, seed: int) -> "Dataset":
        """The same pictures with another validation part; the test part stays what it is.

        Raises:
            InputRejected: As `part_pictures`.
        """
        splits = _hold_out_validation(self.labels, self.classes, self.splits.test, validation, seed)
        mean, std = channel_statistics(self.pictures, splits.train)
        return replace(self, splits=splits, mean=mean, std=std)


def part_pictures(key: str, label: str, gathered: Gathered, *, validation: float = 0.1, seed: int = 0) -> Dataset:
    """Part pictures into training, validation and test, each class in proportion.

    Where no test part was published, a fifth is held out. It does not depend on `seed`, so that nets trained with
    different seeds are judged by the same pictures, which none of them has seen.

    Args:
        key: As in `Dataset`.
        label: Likewise.
        gathered: At least two classes with at least three pictures each.
        validation: Share of what is no test picture, 0.01 to 0.5.
        seed: Which pictures go to validation.

    Raises:
        InputRejected: Too few or too many classes, too few pictures of a class, or a share out of range.
    """
    _check_classes(gathered)
    test = gathered.test
    if not len(test):
        test = _draw(gathered.labels, torch.arange(len(gathered.labels)), _TEST_SHARE, seed=0)
    splits = _hold_out_validation(gathered.labels, gathered.classes, test, validation, seed)
    mean, std = channel_statistics(gathered.pictures, splits.train)
    return Dataset(
        key=key,
        label=label,
        pictures=gathered.pictures,
        labels=gathered.labels,
        classes=gathered.classes,
        splits=splits,
        mean=mean,
        std=std,
        masks=gathered.masks,
        boxes=gathered.boxes,
    )


def channel_statistics(pictures: torch.Tensor, indices: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over some of the pictures, for values in [0, 1].

    The sums are of whole numbers, hence exact.

    Args:
        pictures: Shape (N, H, W, C), uint8.
        indices: Which of them.

    Returns:
        Mean and standard deviation (over n, not n − 1). A channel that is the same everywhere has 1/255 for the
        latter, one level, so that it can be divided by.
    """
    channels = pictures.shape[3]
    total = torch.zeros(channels, dtype=torch.int64)
    squares = torch.zeros(channels, dtype=torch.int64)
    for chunk in indices.split(_CHUNK):
        # Sums down the pictures, which run along the memory, then over each channel: five times as fast as at once.
        levels = pictures[chunk].reshape(len(chunk), -1).to(torch.int32)
        total += levels.sum(0, dtype=torch.int32).view(-1, channels).sum(0)
        squares += levels.square_().sum(0, dtype=torch.int32).view(-1, channels).sum(0)
    count = len(indices) * pictures.shape[1] * pictures.shape[2]
    mean = total.to(torch.float64) / count
    std = (squares.to(torch.float64) / count - mean**2).clamp_min(0).sqrt()
    std[std < 1e-6] = 1
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def _hold_out_validation(
    labels: torch.Tensor, classes: tuple[str, ...], test: torch.Tensor, share: float, seed: int
) -> Splits:
    if not 0.01 <= share <= 0.5:
        raise InputRejected(f"The validation part must be a share of 0.01 to 0.5, got {share:g}. Take 0.1.")
    rest = torch.ones(len(labels), dtype=torch.bool)
    rest[test] = False
    rest = rest.nonzero()[:, 0]
    counts = torch.bincount(labels[rest], minlength=len(classes))
    if counts.min() < 2:
        raise InputRejected(
            f"Outside the test part, class {classes[int(counts.argmin())]!r} has {int(counts.min())} picture(s); it "
            "takes 2 or more, one for training and one for validation. Add pictures of it or leave the class out."
        )
    validation = _draw(labels, rest, share, seed)
    train = torch.ones(len(labels), dtype=torch.bool)
    train[validation] = False
    train[test] = False
    return Splits(train=train.nonzero()[:, 0], validation=validation, test=test.sort().values)


def _draw(labels: torch.Tensor, indices: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """A share of the indices, ascending, in proportion by class, and at least one of each class."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = indices[torch.randperm(len(indices), generator=generator)]
    drawn = []
    for label in labels[indices].unique():
        members = shuffled[labels[shuffled] == label]
        drawn.append(members[: max(1, round(share * len(members)))])
    return torch.cat(drawn).sort().values


def _check_classes(gathered: Gathered) -> None:
    if len(gathered.classes) < 2:
        raise InputRejected(
            f"There are pictures of {len(gathered.classes)} class(es); telling apart takes two or more. Add pictures "
            "of another class."
        )
    if len(gathered.classes) > _MAX_CLASSES:
        raise InputRejected(
            f"These are pictures of {len(gathered.classes):,} classes; the lab takes up to {_MAX_CLASSES:,}. Are "
            "labels told in the right way, by folder or by name?"
        )
    counts = torch.bincount(gathered.labels, minlength=len(gathered.classes)).tolist()
    few = [f"{name!r} ({count})" for name, count in zip(gathered.classes, counts, strict=True) if count < _PER_CLASS]
    if few:
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        raise InputRejected(
            f"Each class takes {_PER_CLASS} pictures or more, one each for training, validation and test; too few have "
            f"{', '.join(few[:5])}{more}. Add pictures of them or leave them out."
        )
