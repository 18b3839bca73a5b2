"""Small data and small nets, on which a training takes a fraction of a second."""

from dataclasses import replace
from functools import cache

import torch

from cnnlab.data import Dataset, load_dataset
from cnnlab.data.dataset import Splits
from cnnlab.nets.spec import NetSpec, layer
from cnnlab.train.config import TrainConfig
from cnnlab.train.loop import Training

SMALL = NetSpec(
    "Small",
    (1, 28, 28),
    (
        layer("conv", out_channels=4, kernel_size=3, stride=2),
        layer("batch_norm"),
        layer("relu"),
        layer("dropout2d", p=0.0),
        layer("conv", out_channels=6, kernel_size=3, stride=2),
        layer("relu"),
        layer("flatten"),
        layer("dropout", p=0.0),
        layer("linear", out_features=10),
    ),
)
PLAIN = NetSpec("Plain", (1, 28, 28), tuple(one for one in SMALL.layers if one.kind != "batch_norm"))
LINEAR = NetSpec("Linear", (1, 28, 28), (layer("flatten"), layer("linear", out_features=10)))


@cache
def digits(train: int = 100, validation: int = 40) -> Dataset:
    """The first digits of each part."""
    whole = load_dataset("digits")
    parts = whole.splits
    return replace(
        whole, splits=Splits(train=parts.train[:train], validation=parts.validation[:validation], test=parts.test[:10])
    )


def config(**chosen) -> TrainConfig:
    """One short run of a small net on the CPU."""
    return TrainConfig(**{"net": SMALL, "epochs": 2, "batch_size": 16, "device": "cpu", "lr": 0.05} | chosen)


def ran(chosen: TrainConfig, **how) -> tuple[Training, list]:
    """A run that went to its end, and its events."""
    training = Training(chosen, **{"dataset": digits(), "events_per_s": torch.inf} | how)
    return training, list(training)


def of_kind(kind, events):
    return [event for event in events if isinstance(event, kind)]


def weights_of(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in training.model.state_dict().items()}


def are_equal(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)
