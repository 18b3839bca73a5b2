"""The part of a script that brings the pictures and makes batches of them."""

import inspect
from collections.abc import Sequence
from textwrap import dedent

from cnnlab.data import AUGMENTATIONS, DATASETS
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.script_slicing import Slices

_MOVING = ("flip", "padded_crop")
"""Augmentations that are done on the bytes, as long as no other comes before them: as in `cnnlab.data.Feed`."""

_TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10"}

_SPLIT = '''
def hold_out(indices, share, seed):
    """A share of the pictures, each class in proportion, and at least one of each."""
    shuffled = indices[torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))]
    drawn = []
    for label in labels[indices].unique():
        members = shuffled[labels[shuffled] == label]
        drawn.append(members[: max(1, round(share * len(members)))])
    return torch.cat(drawn).sort().values


everything = torch.arange(len(labels))
test = TEST
rest = everything[~torch.isin(everything, test)]
validation = hold_out(rest, VALIDATION, SEED)
train = rest[~torch.isin(rest, validation)]
pictures, labels = pictures.to(DEVICE), labels.to(DEVICE)
'''

_STATISTICS = '''
# Mean and spread of each channel over the training part, from how often each of the 256 levels comes.
levels = torch.arange(256, dtype=torch.float64)
counts = torch.stack([torch.bincount(one.flatten(), minlength=256) for one in pictures[train].unbind(3)]).double().cpu()
mean = counts @ levels / counts.sum(1)
std = (counts @ levels**2 / counts.sum(1) - mean**2).clamp_min(0).sqrt()
std[std < 1e-6] = 1  # a channel that is the same everywhere
mean, std = mean.view(1, -1, 1, 1) / 255, std.view(1, -1, 1, 1) / 255
# (x / 255 − mean) / std in one product and one sum
factor, offset = (1 / (255 * std)).float().to(DEVICE), (-mean / std).float().to(DEVICE)


def plain_batch(indices):
    """Pictures as they are, normalised, (B, C, H, W); and their labels."""
    return pictures[indices].permute(0, 3, 1, 2) * factor + offset, labels[indices]
'''


def pictures(config: TrainConfig, classes: Sequence[str], side: int, imports: set[str], slices: Slices) -> str:
    """Loads `pictures` (N, H, W, C), `labels` (N,) and `CLASSES`, and parts them into `train`, `validation`, `test`.

    Args:
        config: Says which.
        classes: Of one's own pictures; where there are none, the folders are the classes.
        side: Of one's own pictures, in px.
        imports: Gets what is needed.
        slices: Likewise.
    """
    imports |= {"import torch"}
    test = "hold_out(everything, 0.2, seed=0)"
    if config.data == OWN_PICTURES:
        text = _own(config.side or side, classes, imports)
    elif config.data == "digits":
        text = _digits(config, imports)
    elif config.data == "shapes":
        text = _shapes(config, slices)
    else:
        text, test = _of_torchvision(config.data, imports), "everything[len(parts[0]) :]"
    if config.side is not None and config.data != OWN_PICTURES:
        text += _resized(config.side, imports)
    return text + _SPLIT.replace("TEST", test).replace("VALIDATION", repr(config.validation)) + _STATISTICS


def batches(config: TrainConfig, imports: set[str], slices: Slices) -> str:
    """Defines `train_batch`; "" where nothing is done to pictures for training."""
    steps = config.augment.steps
    if not steps:
        return ""
    count = next((index for index, step in enumerate(steps) if step.key not in _MOVING), len(steps))
    rest = steps[count:]
    lines = [
        "def train_batch(indices, generator):",
        '    """Pictures that are changed at random, normalised, (B, C, H, W); and their labels."""',
        "    batch, truths = pictures[indices].permute(0, 3, 1, 2), labels[indices]",
    ]
    for index, step in enumerate(steps):
        if index == count:
            lines.append("    batch = batch / 255")
            if config.augment.mixes:
                imports.add("from torch.nn import functional as F")
                lines.append("    truths = F.one_hot(truths, len(CLASSES)).float()")
        apply = AUGMENTATIONS[step.key].apply
        name = slices.take(apply.__module__, apply.__name__)
        given = "".join(f", {key}={value!r}" for key, value in step.params.items())
        lines += _call(f"    batch, truths = {name}(batch, truths, generator{given})")
    if rest:
        lines.insert(0, "mean, std = mean.float().to(DEVICE), std.float().to(DEVICE)\n\n")
        lines.append("    batch = (batch - mean) / std")
        lines.append("    return batch.contiguous(memory_format=torch.channels_last), truths")
    else:
        lines.append("    return batch * factor + offset, truths")
    return "\n".join(lines) + "\n"


def _call(line: str) -> list[str]:
    if len(line) <= 120:
        return [line]
    head, arguments = line[:-1].split("(", 1)
    return [f"{head}(", f"        {arguments}", "    )"]


def _digits(config: TrainConfig, imports: set[str]) -> str:
    side = config.data_choices.get("side", DATASETS["digits"].choices["side"].default)
    imports |= {"from sklearn.datasets import load_digits", "from torch.nn import functional as F"}
    return dedent(f"""\
        CLASSES = tuple("0123456789")
        digits = load_digits()
        small = torch.from_numpy(digits.images)[:, None] * (255 / 16)  # (1797, 1, 8, 8)
        large = F.interpolate(small, size=({side}, {side}), mode="bicubic", align_corners=False)
        pictures = large.clamp(0, 255).round().to(torch.uint8).reshape(-1, {side}, {side}, 1)
        labels = torch.from_numpy(digits.target).long()
        """)


def _shapes(config: TrainConfig, slices: Slices) -> str:
    choices = {name: choice.default for name, choice in DATASETS["shapes"].choices.items()} | dict(config.data_choices)
    module = inspect.getmodule(DATASETS["shapes"].gather)
    assert module is not None
    draw = slices.take(module.__name__, "_draw")
    slices.take(module.__name__, "CLASSES")
    return dedent(f"""\
        draws = torch.Generator().manual_seed({choices["drawing"]})
        labels = (torch.arange({choices["count"]}) % len(CLASSES))[torch.randperm({choices["count"]}, generator=draws)]
        drawn = [{draw}(part, {choices["side"]}, {choices["objects"]}, draws)[0] for part in labels.split(250)]
        pictures = torch.cat(drawn)  # (N, H, W, 3)
        """)


def _of_torchvision(key: str, imports: set[str]) -> str:
    name = _TORCHVISION[key]
    imports |= {"from pathlib import Path", f"from torchvision.datasets import {name}"}
    head = _classes(DATASETS[key].classes) + dedent(f"""\
        ROOT = Path("data")  # where the files are, or are put
        parts = [{name}(ROOT, train=is_train, download=True) for is_train in (True, False)]
        """)
    if key == "cifar10":
        imports.add("import numpy as np")
        return head + dedent("""\
            pictures = torch.from_numpy(np.concatenate([part.data for part in parts]))  # (60000, 32, 32, 3)
            labels = torch.tensor([label for part in parts for label in part.targets])
            """)
    return head + dedent("""\
        pictures = torch.cat([part.data for part in parts])[..., None]  # (70000, 28, 28, 1)
        labels = torch.cat([part.targets for part in parts])
        """)


def _own(side: int, classes: Sequence[str], imports: set[str]) -> str:
    imports |= {
        "import numpy as np",
        "from torchvision.datasets import ImageFolder",
        "from torchvision.transforms import CenterCrop, Compose, Resize",
    }
    given = _classes(classes) if classes else ""
    check = "assert tuple(folder.classes) == CLASSES" if classes else "CLASSES = tuple(folder.classes)"
    return given + dedent(f"""\
        folder = ImageFolder("pictures", Compose([Resize({side}), CenterCrop({side})]))  # one folder a class
        {check}
        pictures = torch.from_numpy(np.stack([np.asarray(picture) for picture, _ in folder]))  # (N, {side}, {side}, 3)
        labels = torch.tensor(folder.targets)
        """)


def _resized(side: int, imports: set[str]) -> str:
    imports.add("from torch.nn import functional as F")
    return dedent(f"""\


        def resized(part):
            \"\"\"Pictures of {side} × {side} px, smoothed where they shrink.\"\"\"
            part = part.permute(0, 3, 1, 2).float()
            part = F.interpolate(part, size=({side}, {side}), mode="bilinear", antialias=True, align_corners=False)
            return part.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


        pictures = torch.cat([resized(part) for part in pictures.split(1000)]).contiguous()
        """)


def _classes(names: Sequence[str]) -> str:
    quoted = [repr(name).replace("'", '"') if "'" not in name and '"' not in name else repr(name) for name in names]
    line = f"CLASSES = ({', '.join(quoted)})\n"
    if len(line) <= 120:
        return line
    return "CLASSES = (\n" + "".join(f"    {one},\n" for one in quoted) + ")\n"
