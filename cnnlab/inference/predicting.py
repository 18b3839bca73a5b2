"""What a net says of pictures: logits, probabilities, the most likely classes, and where the time went.

prediction = predict(model, [image], weights.preprocessing, weights.classes)
prediction.top(3)
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cnnlab.errors import InputRejected, ResourceExhausted, RunFailed
from cnnlab.images import Preprocessing, RgbImage
from cnnlab.inference.batching import check_size, logits_of_inputs
from cnnlab.inference.capturing import ready
from cnnlab.inference.memory import memory_in_words

_MOST_VALUES = 150_000_000  # of all inputs: 600 MB, 996 pictures of 224 × 224 px
_TOO_MUCH = "Give fewer or smaller pictures at a time."


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """How long each stage took for all pictures together, in ms by the clock on the wall.

    Attributes:
        preprocess_ms: From pixels to the net's input.
        forward_ms: The way there and back included where the net is on another device, which is waited for.
        softmax_ms: From logits to probabilities.
    """

    preprocess_ms: float
    forward_ms: float
    softmax_ms: float

    @property
    def total_ms(self) -> float:
        """All stages."""
        return self.preprocess_ms + self.forward_ms + self.softmax_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A class in the order of likelihood.

    Attributes:
        class_index: 0 to classes − 1.
        label: Name of the class.
        logit: What the net says.
        probability: After the softmax, at the temperature that was asked for.
    """

    class_index: int
    label: str
    logit: float
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """What a net says of N pictures.

    Attributes:
        classes: Names, in the order of the logits.
        preprocessing: What was done to the pictures.
        x: What the net was fed, (N, C, H, W), float32, on the CPU; the net may have rounded it to its own precision.
        logits: (N, classes), float32, read-only; with `flips` the mean of those of picture and mirror image.
        times: Where the time went.
        device: On which the net ran: "CPU", or the name of the card.
        threads: How many PyTorch used on the CPU.
        flips: Whether each picture was shown to the net twice, the second time mirrored left to right.
    """

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    x: Tensor
    logits: NDArray[np.float32]
    times: StageTimes
    device: str
    threads: int
    flips: bool = False

    def __len__(self) -> int:
        return len(self.logits)

    def probabilities(self, temperature: float = 1.0) -> NDArray[np.float64]:
        """The softmax of logits / temperature, (N, classes), read-only; each row adds up to 1.

        Args:
            temperature: Above 1 evens the probabilities out, below 1 sharpens them; the order stays.

        Raises:
            InputRejected: The temperature is not a number above 0.
        """
        return _softmax(self.logits, temperature)

    def top(self, n: int, image: int = 0, temperature: float = 1.0) -> tuple[Ranked, ...]:
        """The n most likely classes of a picture, the first of equals first; all where there are fewer.

        Args:
            n: How many.
            image: Which picture, from 0.
            temperature: As in `probabilities`.

        Raises:
            InputRejected: The temperature is not a number above 0.
        """
        logits = self.logits[image]
        probabilities = _softmax(logits, temperature)
        return tuple(
            Ranked(
                class_index=int(index),
                label=self.classes[index],
                logit=float(logits[index]),
                probability=float(probabilities[index]),
            )
            for index in np.argsort(-logits, kind="stable")[:n]
        )

    def as_json(self, image: int = 0) -> dict[str, Any]:
        """A picture's result in the tutorials' form, ready for JSON: `class`, `confidence`, `probabilities`.

        Two classes of one name, as ImageNet has, are told apart by their numbers.
        """
        times = Counter(self.classes)
        labels = [label if times[label] == 1 else f"{label} ({index})" for index, label in enumerate(self.classes)]
        best = int(np.argmax(self.logits[image]))
        probabilities = self.probabilities()[image].tolist()
        return {
            "class": labels[best],
            "confidence": probabilities[best],
            "probabilities": dict(zip(labels, probabilities, strict=True)),
        }


def predict(
    model: nn.Module,
    images: Sequence[RgbImage],
    preprocessing: Preprocessing,
    classes: Sequence[str],
    *,
    flips: bool = False,
) -> Prediction:
    """Ask a net what it sees in pictures, in batches of bounded memory.

    The same pictures in the same order give the same bits, in however many threads at a time. Batches of another size
    may change the last digits: PyTorch then adds up in another order.

    Args:
        model: Of `share`, or any other, which is copied at each call and stays as it is.
        images: At least one.
        preprocessing: Of the net's weights; must make all pictures the same size.
        classes: Names, one for each logit.
        flips: Show each picture mirrored, too, and take the mean of the logits. For nets to which left and right mean
            the same: not for digits.

    Raises:
        InputRejected: No picture; pictures of several sizes after preprocessing; a picture that cannot be preprocessed;
            a net that makes no row of logits.
        ResourceExhausted: More pictures than memory.
        RunFailed: The net answers with NaN or ∞.
    """
    model = ready(model)
    started = time.perf_counter()
    x = _inputs(images, preprocessing)
    prepared = time.perf_counter()
    parameter = next(model.parameters(), x)
    with memory_in_words("The net cannot look at these pictures", _TOO_MUCH):
        logits = logits_of_inputs(model, x)
        if flips:
            logits = (logits + logits_of_inputs(model, x.flip(3))) / np.float32(2)
    answered = time.perf_counter()
    if not np.isfinite(logits).all():
        raise RunFailed("The net answers with NaN or ∞: its weights or its input are broken. Choose other weights.")
    if len(classes) != logits.shape[1]:
        raise TypeError(f"the net makes {logits.shape[1]} logits, and there are {len(classes)} names")
    checked = time.perf_counter()
    _softmax(logits, 1.0)  # for its time alone: each temperature needs its own
    ended = time.perf_counter()
    logits.flags.writeable = False
    return Prediction(
        classes=tuple(classes),
        preprocessing=preprocessing,
        x=x,
        logits=logits,
        times=StageTimes(
            preprocess_ms=1000 * (prepared - started),
            forward_ms=1000 * (answered - prepared),
            softmax_ms=1000 * (ended - checked),
        ),
        device=_name(parameter.device),
        threads=torch.get_num_threads(),
        flips=flips,
    )


def _inputs(images: Sequence[RgbImage], preprocessing: Preprocessing) -> Tensor:
    if not images:
        raise InputRejected("There is no picture to look at. Give at least one.")
    first = preprocessing.apply(images[0])
    if len(images) * first.size > _MOST_VALUES:
        raise ResourceExhausted(
            f"{len(images):,} pictures are {len(images) * first.nbytes / 1e6:,.0f} MB of input; the lab takes up to "
            f"{4 * _MOST_VALUES / 1e6:,.0f} MB at a time. Give at most {_MOST_VALUES // first.size:,} at a time."
        )
    with memory_in_words("The pictures cannot be prepared", _TOO_MUCH):
        x = np.empty((len(images), *first.shape), dtype=np.float32)
    x[0] = first
    for number, image in enumerate(images[1:], start=1):
        made = preprocessing.apply(image)
        check_size(made, first, number + 1)
        x[number] = made
    return torch.from_numpy(x)


def _softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    if not 0 < temperature < np.inf:
        raise InputRejected(
            f"The temperature must be a number above 0, got {temperature:g}. 1 leaves things as they are."
        )
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    # A tiny temperature may go beyond what a float holds: −∞, whose exponential is the right 0.
    with np.errstate(over="ignore"):
        exponentials = np.exp(shifted / temperature)
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    probabilities.flags.writeable = False
    return probabilities


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
