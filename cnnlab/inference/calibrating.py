"""What a net's confidence is worth: of the pictures of which it is 80 % sure, is it right about 80 in 100?

Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017. With M bins of confidence, B_m the
pictures in bin m, acc and conf their accuracy and mean confidence, n pictures in all:

    ECE = Σ_m |B_m| / n · |acc(B_m) − conf(B_m)|        (equation 3)
    MCE = max_m |acc(B_m) − conf(B_m)|                  (equation 5)

The confidence is the largest probability, softmax(z / T). Temperature scaling (section 4.2) fits the one number T by
the negative log likelihood; it changes no prediction, only how sure the net says it is.

Nixon et al., Measuring Calibration in Deep Learning, 2019, for bins of equal mass. Brier, Verification of Forecasts
Expressed in Terms of Probability, 1950. Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
1927, for the intervals.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cnnlab.data import Dataset, Progress
from cnnlab.errors import InputRejected
from cnnlab.images import Preprocessing, RgbImage
from cnnlab.inference.batching import logits_of_pictures
from cnnlab.inference.intervals import wilson

Binning = Literal["width", "mass"]

_COLDEST, _HOTTEST = 0.05, 20.0
_HALVINGS = 40  # of the logarithm of 400, so that the last digits of a double are left


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Pictures of about the same confidence.

    Attributes:
        low: Where the bin begins; what lies on it belongs to the bin before.
        high: Where it ends, inclusive.
        count: Pictures in it, 0 or more.
        confidence: Their mean confidence; the middle of an empty bin.
        accuracy: Share of them that is told right; None for an empty bin.
        accuracy_low: Lower end of Wilson's 95 % interval of the accuracy; 0 for an empty bin.
        accuracy_high: Upper end; 1 for an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float | None
    accuracy_low: float
    accuracy_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How confidence and accuracy go together over some pictures.

    Attributes:
        count: Pictures.
        temperature: By which the logits were divided.
        accuracy: Share that is told right, 0 to 1.
        confidence: Mean confidence; above the accuracy for a net that is too sure of itself.
        nll: Mean negative log likelihood of the true class, in nats.
        brier: Mean squared distance between the probabilities and the truth, summed over the classes: 0 to 2.
        ece: Expected calibration error, 0 to 1; depends on the bins.
        mce: Maximum calibration error, 0 to 1; a bin with few pictures can make it large by chance.
        bins: In ascending order.
    """

    count: int
    temperature: float
    accuracy: float
    confidence: float
    nll: float
    brier: float
    ece: float
    mce: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """Temperature scaling, fitted to one half of some pictures and judged by the other.

    Attributes:
        temperature: Above 1 where the net is too sure of itself.
        num_fitted: Pictures it was fitted to.
        before: Of the other half, as the net says.
        after: Of the other half, with the temperature.
    """

    temperature: float
    num_fitted: int
    before: Calibration
    after: Calibration


def probabilities_of(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """softmax(z / T), same shape as the logits; classes last."""
    return np.exp(_log_softmax(logits, temperature))


def calibrate(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    bins: int = 15,
    by: Binning = "width",
    temperature: float = 1.0,
) -> Calibration:
    """Hold a net's confidence against how often it is right.

    Args:
        logits: (N, classes), at least one picture.
        labels: (N,)
        bins: How many, at least 1. With "mass" there are fewer where many pictures have the same confidence.
        by: Bins of the same width between 0 and 1, or with the same number of pictures in each.
        temperature: By which the logits are divided, above 0.

    Raises:
        InputRejected: A logit is NaN or ∞.
    """
    _check(logits, labels)
    log_probs = _log_softmax(logits, temperature)
    rows = np.arange(len(labels))
    probs = np.exp(log_probs)
    confidences = probs.max(axis=1)
    right = probs.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1) if by == "width" else _edges_of_mass(confidences, bins)
    # A bin holds (low, high], as in the paper; rounding may lift a probability above 1.
    places = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, len(edges) - 2)
    found = tuple(
        _bin(low, high, confidences[places == place], right[places == place])
        for place, (low, high) in enumerate(itertools.pairwise(edges.tolist()))
    )
    gaps = [(abs(one.accuracy - one.confidence), one.count) for one in found if one.accuracy is not None]
    truth_probs = probs[rows, labels]
    return Calibration(
        count=len(labels),
        temperature=temperature,
        accuracy=float(right.mean()),
        confidence=float(confidences.mean()),
        nll=float(-log_probs[rows, labels].mean()),
        brier=float(((probs**2).sum(axis=1) - truth_probs**2 + (1 - truth_probs) ** 2).mean()),
        ece=sum(gap * count for gap, count in gaps) / len(labels),
        mce=max(gap for gap, _ in gaps),
        bins=found,
    )


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature with the smallest negative log likelihood, 0.05 to 20.

    The likelihood is convex in 1/T, so its slope, mean over the pictures of Σ_k p_k z_k − z_label, has one zero, which
    is found by halving. Where every picture is told right no temperature is cold enough, and the answer is 0.05.

    Args:
        logits: (N, classes), at least one picture.
        labels: (N,)

    Raises:
        InputRejected: A logit is NaN or ∞.
    """
    _check(logits, labels)
    exact = logits.astype(np.float64)
    of_truth = exact[np.arange(len(labels)), labels].mean()
    cold, hot = _COLDEST, _HOTTEST
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(cold * hot))
        slope = (probabilities_of(exact, middle) * exact).sum(axis=1).mean() - of_truth
        cold, hot = (cold, middle) if slope < 0 else (middle, hot)
    return float(np.sqrt(cold * hot))


def scale(
    logits: NDArray[np.floating], labels: NDArray[np.int64], *, bins: int = 15, by: Binning = "width", seed: int = 0
) -> Scaled:
    """Fit a temperature to half of the pictures and judge it by the other half, which it has not seen.

    Args:
        logits: (N, classes), at least two pictures.
        labels: (N,)
        bins: As in `calibrate`.
        by: Likewise.
        seed: Which pictures go to which half.

    Raises:
        InputRejected: Fewer than two pictures, or a logit is NaN or ∞.
    """
    if len(labels) < 2:
        raise InputRejected(f"Fitting a temperature and judging it takes 2 pictures or more, got {len(labels)}.")
    order = np.random.default_rng(seed).permutation(len(labels))
    fitted, judged = order[: len(order) // 2], order[len(order) // 2 :]
    temperature = fit_temperature(logits[fitted], labels[fitted])
    before, after = (
        calibrate(logits[judged], labels[judged], bins=bins, by=by, temperature=each) for each in (1.0, temperature)
    )
    return Scaled(temperature=temperature, num_fitted=len(fitted), before=before, after=after)


def logits_of(
    model: nn.Module,
    dataset: Dataset,
    indexes: torch.Tensor,
    preprocessing: Preprocessing,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What a net says of pictures of a data set, as it would say it of an upload.

    Args:
        model: Of `cnnlab.inference.share`, or any other, which stays as it is.
        dataset: With the classes that the net tells apart, in the same order.
        indexes: Which pictures, at least one: `dataset.splits.validation`.
        preprocessing: What the net was fed in training, as its weights say.
        progress: Called after each batch with "looking", the pictures done and the pictures in all.
        cancelled: Asked before each batch; True ends it.

    Returns:
        Logits, (N, classes), and labels, (N,).

    Raises:
        InputRejected: The net tells another number of classes apart than the data set has.
        RunFailed: It was cancelled.
    """
    pictures = (as_image(dataset.pictures[index]) for index in indexes.tolist())
    logits = logits_of_pictures(
        model,
        pictures,
        preprocessing,
        progress=(lambda done: progress("looking", done, len(indexes))) if progress else None,
        cancelled=cancelled,
    )
    if logits.shape[1] != len(dataset.classes):
        raise InputRejected(
            f"The net answers with {logits.shape[1]} numbers a picture, and {dataset.label} has "
            f"{len(dataset.classes)} classes. Take the data set that it was trained with."
        )
    return logits, dataset.labels[indexes].numpy()


def as_image(pixels_hwc: torch.Tensor) -> RgbImage:
    """A picture of a data set, (H, W, 1) or (H, W, 3), as an upload would be."""
    return RgbImage(np.broadcast_to(pixels_hwc.numpy(), (*pixels_hwc.shape[:2], 3)))


def _log_softmax(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    scaled = logits.astype(np.float64) / temperature
    shifted = scaled - scaled.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _edges_of_mass(confidences: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Quantiles, each once. They are confidences of the pictures, so that equal ones share a bin."""
    inner = np.quantile(confidences, np.arange(1, bins) / bins, method="inverted_cdf") if bins > 1 else np.array([])
    return np.unique(np.concatenate([[0.0], inner, [1.0]]))


def _bin(low: float, high: float, confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> Bin:
    count, num_right = len(right), int(right.sum())
    if not count:
        return Bin(
            low=low,
            high=high,
            count=0,
            confidence=(low + high) / 2,
            accuracy=None,
            accuracy_low=0.0,
            accuracy_high=1.0,
        )
    accuracy_low, accuracy_high = wilson(num_right, count)
    return Bin(
        low=low,
        high=high,
        count=count,
        confidence=float(confidences.mean()),
        accuracy=num_right / count,
        accuracy_low=accuracy_low,
        accuracy_high=accuracy_high,
    )


def _check(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> None:
    if logits.ndim != 2 or labels.shape != (len(logits),) or not len(labels):
        raise TypeError(f"Logits are (N, classes) with a label each, at least one, got {logits.shape}, {labels.shape}.")
    if not np.isfinite(logits).all():
        raise InputRejected("The net answers with NaN or ∞: its weights are broken. Choose other weights.")
