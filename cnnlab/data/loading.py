"""The table of data sets, and the way in."""

from cnnlab.data.cifar10 import CIFAR10
from cnnlab.data.dataset import Dataset, Progress, part_pictures
from cnnlab.data.digits import DIGITS
from cnnlab.data.entry import DatasetEntry
from cnnlab.data.fashion_mnist import FASHION_MNIST
from cnnlab.data.mnist import MNIST
from cnnlab.data.shapes import SHAPES_DATASET
from cnnlab.downloading import Cancelled
from cnnlab.errors import InputRejected

DATASETS: dict[str, DatasetEntry] = {
    "digits": DIGITS,
    "shapes": SHAPES_DATASET,
    "mnist": MNIST,
    "fashion_mnist": FASHION_MNIST,
    "cifar10": CIFAR10,
}


def load_dataset(
    key: str,
    *,
    validation: float = 0.1,
    seed: int = 0,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    **choices: int,
) -> Dataset:
    """A data set, fetched and unpacked where it was not before, and parted.

    Args:
        key: Of `DATASETS`.
        validation: Share of what is no test picture, 0.01 to 0.5.
        seed: Which pictures go to validation.
        progress: Called with what is being done, how much of it is done, and how much there is.
        cancelled: Asked again and again; True ends it.
        choices: As the entry's `choices` allow: `load_dataset("shapes", side=64)`.

    Raises:
        InputRejected: No such data set or choice, or what lies here is damaged.
        RunFailed: It could not be fetched, or was cancelled.
        ResourceExhausted: No room on the disk.
        Unsupported: The package it comes with is not installed.
    """
    if key not in DATASETS:
        raise InputRejected(f"There is no data set {key!r}; choose one of {', '.join(DATASETS)}.")
    entry = DATASETS[key]
    for name, value in choices.items():
        if name not in entry.choices:
            taken = f"takes {', '.join(entry.choices)}" if entry.choices else "takes no choices"
            raise InputRejected(f"The data set {key!r} {taken}, not {name!r}. Leave it out.")
        if value not in entry.choices[name].values:
            values = entry.choices[name].values
            said = f"{values[0]} to {values[-1]}" if isinstance(values, range) else ", ".join(map(str, values))
            raise InputRejected(f"{entry.choices[name].label} of {key!r} must be one of {said}, got {value!r}.")
    gathered = entry.gather(progress, cancelled, **choices)
    return part_pictures(key, entry.label, gathered, validation=validation, seed=seed)
