"""What a net makes of pictures that it did not learn from: how often it is right, and where it is not.

seen = evaluate(model, dataset, dataset.splits.validation)
seen.accuracy, wilson(seen.num_right, len(seen))
seen.mistakes()[:6]                       # the mistakes of which the net is surest
class_scores(seen.confusion)              # precision, recall and F1 of each class
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cnnlab.data import Augment, Dataset, Feed, Progress
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.nets.skeletons import skeleton

MOST_AT_ONCE = 500
"""Pictures that a net is shown at a time."""

_BYTES_AT_ONCE = 64_000_000


def pictures_at_once(pictures: torch.Tensor) -> int:
    """How many pictures a net is shown at a time where nobody says: as float32 they take up to 64 MB, at most 500.

    Args:
        pictures: Shape (N, H, W, C).
    """
    return min(MOST_AT_ONCE, max(1, _BYTES_AT_ONCE // (4 * pictures[0].numel())))


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: what is worked out from the logits is kept
class Evaluation:
    """What a net says of some pictures of a data set. Row i of every array is the same picture.

    Attributes:
        indices: Which pictures of the data set, shape (N,), int64.
        labels: The truth, shape (N,), int64.
        logits: Shape (N, K), float32. Not finite where the net's numbers are not.
    """

    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits, shape (N, K)."""
        return np.exp(self._log_probabilities)

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        """Class with the largest logit, the first of equals, shape (N,)."""
        return self.logits.argmax(axis=1)

    @cached_property
    def confidences(self) -> NDArray[np.float64]:
        """Probability of the predicted class, shape (N,)."""
        return self.probabilities[np.arange(len(self)), self.predictions]

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Cross-entropy of each picture, −ln of the probability of its true class, shape (N,)."""
        return -self._log_probabilities[np.arange(len(self)), self.labels]

    @property
    def loss(self) -> float:
        """Mean cross-entropy, without weights and smoothing."""
        return float(self.losses.mean())

    @property
    def num_right(self) -> int:
        """Pictures whose predicted class is the true one."""
        return int(np.count_nonzero(self.predictions == self.labels))

    @property
    def accuracy(self) -> float:
        """Share of the pictures that are told right, 0 to 1."""
        return self.num_right / len(self)

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts, shape (K, K). Row: truth, column: prediction."""
        num_classes = self.logits.shape[1]
        pairs = self.labels * num_classes + self.predictions
        return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)

    def mistakes(self, order: Literal["confidence", "loss"] = "confidence") -> NDArray[np.int64]:
        """Rows of the pictures that are told wrong, those first of which the net is surest, or that cost most."""
        wrong = np.flatnonzero(self.predictions != self.labels)
        return _largest_first(wrong, self.confidences if order == "confidence" else self.losses)

    def cell(self, truth: int, prediction: int) -> NDArray[np.int64]:
        """Rows behind a cell of the confusion matrix, those first of which the net is surest."""
        inside = np.flatnonzero((self.labels == truth) & (self.predictions == prediction))
        return _largest_first(inside, self.confidences)

    def sample(self, count: int, seed: int) -> NDArray[np.int64]:
        """Rows drawn at random, none twice; all of them where there are fewer than `count`."""
        return np.random.default_rng(seed).permutation(len(self))[:count]

    @cached_property
    def _log_probabilities(self) -> NDArray[np.float64]:
        exact = self.logits.astype(np.float64)
        with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN, and is shown as such
            shifted = exact - exact.max(axis=1, keepdims=True)
            return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    indices: torch.Tensor,
    *,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Evaluation:
    """Run a net over pictures as they are, without augmentation and dropout, in float32.

    Args:
        model: On `device`. Stays as it is: mode, gradients, running statistics. Many threads may run one model.
        dataset: Its mean and standard deviation are those the net was trained with.
        indices: Which pictures, shape (N,), int64, at least one.
        device: Where the net is.
        batch_size: Pictures at once; None for `pictures_at_once`. The result differs in the last digits only.
        progress: Called after each batch with "evaluating", how many pictures are done, and how many there are.
        cancelled: Asked before each batch; True ends it.

    Raises:
        InputRejected: The net tells another number of classes apart than the data set has.
        RunFailed: It was cancelled.
    """
    if not len(indices):
        raise TypeError("An evaluation takes at least one picture.")
    # Batches are made on the CPU, where the pictures are: a part of a large set need not all fit on a GPU.
    feed = Feed(
        dataset.pictures,
        dataset.labels,
        mean=dataset.mean,
        std=dataset.std,
        num_classes=len(dataset.classes),
        augment=Augment(),
    )
    net = skeleton(model)
    logits = []
    with torch.inference_mode():
        for batch in indices.split(batch_size or pictures_at_once(dataset.pictures)):
            if cancelled and cancelled():
                raise RunFailed("The evaluation was stopped. Start it again to have its result.")
            x, _ = feed.plain_batch(batch)
            logits.append(net(x.to(device)).float().cpu())
            if progress:
                progress("evaluating", sum(map(len, logits)), len(indices))
    found = torch.cat(logits)
    if found.ndim != 2 or found.shape[1] != len(dataset.classes):
        raise InputRejected(
            f"The net answers with {tuple(found.shape[1:])} numbers a picture, and {dataset.label} has "
            f"{len(dataset.classes)} classes. Take the data set that it was trained with."
        )
    return Evaluation(indices=indices.numpy(), labels=dataset.labels[indices].numpy(), logits=found.numpy())


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """How well a class is told from all others.

    Attributes:
        precision: Of the pictures that were said to be of the class, the share that is; None where there are none.
        recall: Of the pictures of the class, the share that was found; None where there are none.
        f1: Harmonic mean of the two, 2·TP / (2·TP + FP + FN); None where the class neither came nor was said.
        support: Pictures of the class.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


def class_scores(confusion: NDArray[np.int64] | Sequence[Sequence[int]]) -> tuple[ClassScore, ...]:
    """Scores of each class.

    Args:
        confusion: Counts, shape (K, K). Row: truth, column: prediction.
    """
    counts = np.asarray(confusion)
    right, support, said = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return tuple(
        ClassScore(
            precision=_share(hit, told), recall=_share(hit, there), f1=_share(2 * hit, there + told), support=there
        )
        for hit, there, told in zip(right.tolist(), support.tolist(), said.tolist(), strict=True)
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _largest_first(rows: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.int64]:
    # Stable, so that equals keep their order; NaN, of a net whose numbers went out of bounds, comes last.
    return rows[np.argsort(-values[rows], kind="stable")]
