"""The training loops of the tutorials, retyped: what `benchmarks.training` and people compare ours with.

They have in common what a beginner's loop has: a data set that makes each picture a PIL image and transforms it by
itself, a `DataLoader` with its defaults, PyTorch's default optimiser, channels first in memory, and mostly the loss
read back after each step. Where they differ, the table says how. The nets are those of `ARCHITECTURES`, the same for
both sides.

The fifth tutorial's loop is left out: it blows CIFAR-10 up to 224 px, which its own net does not take. CIFAR-10 comes
from whatever copy `cnnlab.data` finds; its pictures are held as torchvision's `CIFAR10` holds them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms

from cnnlab.data import load_dataset
from cnnlab.nets import ARCHITECTURES
from cnnlab.settings import data_dir

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tutorial:
    """What one loop does in its own way.

    Attributes:
        net: Key of `ARCHITECTURES`.
        data: "mnist" or "cifar10".
        transform: Of each training picture, on its way from PIL image to tensor.
        plain: Of each test picture.
        batch_size: Pictures a step.
        optimizer: Of the parameters.
        epochs: As many as it trains.
        num_workers: Processes of the `DataLoader`.
        reads_loss: Whether `.item()` is called on the loss in each step.
        counts_right: Whether right answers are counted and read in each step, too.
        drop_every: Epochs after which the learning rate falls to a tenth; 0 never.
    """

    net: str
    data: str
    transform: Callable[[Image.Image], torch.Tensor]
    plain: Callable[[Image.Image], torch.Tensor]
    batch_size: int
    optimizer: Callable[[Iterator[nn.Parameter]], optim.Optimizer]
    epochs: int
    num_workers: int = 0
    reads_loss: bool = True
    counts_right: bool = False
    drop_every: int = 0


def _to_tensor(mean: tuple[float, ...], std: tuple[float, ...], *before: Any) -> transforms.Compose:
    return transforms.Compose([*before, transforms.ToTensor(), transforms.Normalize(mean, std)])


TUTORIALS = {
    "mnist_simple_cnn": Tutorial(
        net="simple_cnn",
        data="mnist",
        transform=_to_tensor((0.5,), (0.5,)),
        plain=_to_tensor((0.5,), (0.5,)),
        batch_size=64,
        optimizer=lambda parameters: optim.SGD(parameters, lr=0.01, momentum=0.9),
        epochs=5,
    ),
    "mnist_wide_cnn": Tutorial(
        net="cnn_mnist",
        data="mnist",
        transform=_to_tensor((0.1307,), (0.3081,)),
        plain=_to_tensor((0.1307,), (0.3081,)),
        batch_size=128,
        optimizer=lambda parameters: optim.Adam(parameters, lr=1e-3),
        epochs=10,
        reads_loss=False,
    ),
    "cifar10_lenet": Tutorial(
        net="image_classification",
        data="cifar10",
        transform=transforms.ToTensor(),
        plain=transforms.ToTensor(),
        batch_size=8,
        optimizer=lambda parameters: optim.Adam(parameters, lr=1e-3),
        epochs=100,
    ),
    "cifar10_cnn": Tutorial(
        net="cifar10_cnn_shared_bn",
        data="cifar10",
        transform=_to_tensor(*_IMAGENET, transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, padding=4)),
        plain=_to_tensor(*_IMAGENET),
        batch_size=128,
        optimizer=lambda parameters: optim.Adam(parameters, lr=1e-3, weight_decay=1e-4),
        epochs=10,
        num_workers=2,
        counts_right=True,
        drop_every=7,
    ),
}
"""By the key of the recipe in `cnnlab.train.recipes` that reproduces it."""


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Pictures in memory, given one by one as torchvision's `CIFAR10` gives its own.

    Args:
        pictures: Shape (N, H, W, 3), uint8.
        labels: Shape (N,).
        transform: Of each picture.
    """

    def __init__(
        self, pictures: torch.Tensor, labels: torch.Tensor, transform: Callable[[Image.Image], torch.Tensor]
    ) -> None:
        self._pictures = pictures.numpy()
        self._labels: list[int] = labels.tolist()
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._pictures[index])), self._labels[index]


class Loop:
    """One of the loops. It trains on all training pictures, as the tutorials do.

    Args:
        tutorial: Which.
        num_workers: In place of the tutorial's.

    Attributes:
        model: The net that learns.
    """

    def __init__(self, tutorial: Tutorial, *, num_workers: int | None = None) -> None:
        self._tutorial = tutorial
        self._num_workers = tutorial.num_workers if num_workers is None else num_workers
        self._train = _pictures(tutorial, is_train=True)
        architecture = ARCHITECTURES[tutorial.net]
        self.model = architecture.build(num_classes=10, in_channels=architecture.input_shape[0])
        self._criterion = nn.CrossEntropyLoss()
        self._optimizer = tutorial.optimizer(self.model.parameters())
        self._schedule = optim.lr_scheduler.StepLR(self._optimizer, tutorial.drop_every or tutorial.epochs, gamma=0.1)

    def epoch(self) -> Iterator[int]:
        """Train for one epoch; gives the number of pictures after each step."""
        tutorial = self._tutorial
        loader = DataLoader(self._train, tutorial.batch_size, shuffle=True, num_workers=self._num_workers)
        total_loss, right = 0.0, 0
        self.model.train()
        for x, labels in loader:
            logits = self.model(x)
            loss = self._criterion(logits, labels)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            if tutorial.reads_loss:
                total_loss += loss.item() * len(labels)
            if tutorial.counts_right:
                right += (logits.argmax(1) == labels).sum().item()
            yield len(labels)
        self._schedule.step()

    def test_accuracy(self) -> float:
        """Share of the test pictures that are told right."""
        pictures = _pictures(self._tutorial, is_train=False)
        self.model.eval()
        with torch.no_grad():
            right = sum(
                (self.model(x).argmax(1) == labels).sum().item() for x, labels in DataLoader(pictures, batch_size=250)
            )
        return right / len(pictures)


def _pictures(tutorial: Tutorial, *, is_train: bool) -> Any:
    transform = tutorial.transform if is_train else tutorial.plain
    if tutorial.data == "mnist":
        # As the lab does: a copy is in the data directory or in its `datasets`.
        root = next(root for root in (data_dir() / "datasets", data_dir()) if (root / "MNIST" / "raw").is_dir())
        return datasets.MNIST(str(root), train=is_train, transform=transform)
    found = load_dataset(tutorial.data)
    indices = torch.cat((found.splits.train, found.splits.validation)) if is_train else found.splits.test
    return Pictures(found.pictures[indices], found.labels[indices], transform)
