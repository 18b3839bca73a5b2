"""Trains three of the nets whose weights come with the lab, and measures them on the test images, once, at the end.

The others are trained by `python -m cnnlab train --recipe … --save-weights`; each file says how. The recipe is fixed:
nothing is chosen by the test images. Data as `CNNLAB_TEST_DATA` holds it (CIFAR-10 as a zip of JPEG files).

    python -m benchmarks.bundled_weights --net resnet_cifar
"""

import argparse
import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from cnnlab.images import Preprocessing
from cnnlab.nets import ARCHITECTURES, build_seeded
from cnnlab.nets.weights import BUNDLED, save_bundled

CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)}
# Net → (side in px, epochs, highest learning rate)
RECIPES = {
    "image_classification": (32, 30, 0.05),
    "tiny_vgg": (64, 16, 0.05),
    "resnet_cifar": (32, 12, 0.2),
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCH = 128


def cifar10(root: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (N, 3, 32, 32) uint8 and labels (N,)."""
    with zipfile.ZipFile(root / "cifar10-jpeg.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.startswith(f"{part}/") and name.endswith(".jpg"))
        classes = sorted({name.split("/")[1] for name in names})
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names])
    labels = np.array([classes.index(name.split("/")[1]) for name in names])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


def prepared(pixels: torch.Tensor, steps: Preprocessing, side: int) -> torch.Tensor:
    """A batch as the net gets it; enlarged as Pillow does it, with antialiasing."""
    x = pixels.float() / 255
    if side != x.shape[-1]:
        x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (steps.mean, steps.std))
    return (x - mean) / std


def shaken(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Half of the pictures mirrored, each shifted by up to 4 px."""
    mirrored = torch.rand(len(pixels), generator=generator) < 0.5
    pixels = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(3), pixels)
    side = pixels.shape[-1]
    padded = F.pad(pixels, (4, 4, 4, 4))
    top, left = torch.randint(0, 9, (2, len(pixels)), generator=generator)
    rows = (top.view(-1, 1) + torch.arange(side)).view(-1, 1, side, 1)
    cols = (left.view(-1, 1) + torch.arange(side)).view(-1, 1, 1, side)
    index = torch.arange(len(pixels)).view(-1, 1, 1, 1)
    return padded[index, torch.arange(pixels.shape[1]).view(1, -1, 1, 1), rows, cols]


def accuracy(model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, steps: Preprocessing, side: int) -> float:
    """Share of the pictures whose largest logit is the right one."""
    model.eval()
    with torch.inference_mode():
        right = sum(
            int((model(prepared(batch, steps, side)).argmax(1) == truth).sum())
            for batch, truth in zip(pixels.split(500), labels.split(500), strict=True)
        )
    return right / len(labels)


def train(name: str, root: Path, epochs: int | None) -> None:
    """Train one net by its recipe and write its weights."""
    side, usual_epochs, highest = RECIPES[name]
    epochs = epochs or usual_epochs
    pixels, labels = cifar10(root, "train")
    steps = Preprocessing(resize=side, crop=(side, side), **CIFAR)
    model = build_seeded(name, seed=0).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), highest, momentum=0.9, weight_decay=5e-4, nesterov=True)
    num_steps = epochs * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=num_steps, pct_start=0.25)
    began = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        total = 0.0
        order = torch.randperm(len(labels), generator=generator)[: num_steps // epochs * BATCH]
        for chosen in order.split(BATCH):
            x = prepared(shaken(pixels[chosen], generator), steps, side).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(x), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        print(f"{name} epoch {epoch + 1}/{epochs} loss {total / len(order):.4f} {time.perf_counter() - began:.0f} s")
    seen = accuracy(model, *cifar10(root, "test"), steps, side)
    print(f"{name} test accuracy {seen:.4f}")
    BUNDLED.mkdir(exist_ok=True)
    save_bundled(
        model.to(memory_format=torch.contiguous_format),  # pyright: ignore[reportCallIssue]
        BUNDLED / f"{name}.safetensors",
        label="trained on CIFAR-10",
        architecture=name,
        classes=CLASSES,
        preprocessing=steps,
        accuracy=f"{100 * seen:.2f} % of the 10,000 test pictures of CIFAR-10",
        source=f"trained here: {epochs} epochs, SGD, one-cycle schedule, seed 0",
    )


def main() -> None:
    """Train the nets asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=RECIPES, action="append")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CNNLAB_TEST_DATA", "../shared/data")))
    wanted = parser.parse_args()
    for name in wanted.net or RECIPES:
        assert name in ARCHITECTURES
        train(name, wanted.data, wanted.epochs)


if __name__ == "__main__":
    main()
