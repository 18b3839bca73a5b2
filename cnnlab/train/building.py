"""From a configuration to pictures and a net."""

import dataclasses
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from cnnlab.data import Dataset, Progress, load_dataset
from cnnlab.data.dataset import channel_statistics
from cnnlab.downloading import Cancelled
from cnnlab.errors import InputRejected, RunFailed, Unsupported
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.seeding import build_filled
from cnnlab.nets.spec import build
from cnnlab.nets.tracing import trace_shapes
from cnnlab.nets.weights import bundled_weights, load_weights
from cnnlab.settings import data_dir
from cnnlab.train import checkpoints
from cnnlab.train.config import OWN_PICTURES, TrainConfig

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def load_data(config: TrainConfig, progress: Progress | None = None, cancelled: Cancelled | None = None) -> Dataset:
    """The pictures that a configuration asks for, parted and resized.

    Raises:
        InputRejected: They are one's own, which have to be handed over; else as `load_dataset`.
        RunFailed: As `load_dataset`.
        ResourceExhausted: Likewise.
        Unsupported: Likewise.
    """
    if config.data == OWN_PICTURES:
        raise InputRejected("This trains on pictures of your own, which are kept nowhere. Give them again.")
    found = load_dataset(
        config.data,
        validation=config.validation,
        seed=config.seed,
        progress=progress,
        cancelled=cancelled,
        **config.data_choices,
    )
    return resized(found, config.side)


def resized(dataset: Dataset, side: int | None) -> Dataset:
    """The same pictures with another side in px, smoothed where they shrink; masks and boxes are left out."""
    if side is None or dataset.pictures.shape[1:3] == (side, side):
        return dataset
    parts = [
        F.interpolate(
            part.permute(0, 3, 1, 2).float(), size=(side, side), mode="bilinear", antialias=True, align_corners=False
        )
        .round()
        .clamp(0, 255)
        .to(torch.uint8)
        .permute(0, 2, 3, 1)
        for part in dataset.pictures.split(1000)
    ]
    pictures = torch.cat(parts).contiguous()
    mean, std = channel_statistics(pictures, dataset.splits.train)
    return dataclasses.replace(dataset, pictures=pictures, mean=mean, std=std, masks=None, boxes=None)


def build_net(config: TrainConfig, *, num_classes: int, in_channels: int, side: int) -> nn.Module:
    """The net that a configuration asks for, in evaluation mode on the CPU, before `start_from` is looked at.

    Args:
        config: Says net, seed, initialisation and dropout.
        num_classes: Of the data.
        in_channels: Of its pictures.
        side: Likewise, in px.

    Raises:
        InputRejected: The net cannot work on such pictures, or tells another number of classes apart.
    """
    net = config.net
    make = ARCHITECTURES[net].build if isinstance(net, str) else lambda **_: build(net)
    model = build_filled(
        make,
        seed=config.seed,
        num_classes=num_classes,
        in_channels=in_channels,
        initialisation=config.initialisation,
    ).eval()
    if not any(True for _ in model.parameters()):
        raise InputRejected(f"{config.net_name} has no weights, so there is nothing to train. Add a linear layer.")
    _check_fit(config, model, num_classes, (in_channels, side, side))
    if config.dropout is not None:
        for module in model.modules():
            if isinstance(module, _DROPOUTS):
                module.p = config.dropout
    return model


def _check_fit(config: TrainConfig, model: nn.Module, num_classes: int, shape: tuple[int, int, int]) -> None:
    # As in training: of a single picture and a single cell, BatchNorm cannot learn.
    made = trace_shapes(model, shape, batch_size=min(config.batch_size, 2), train=True)[-1].output_shape[1:]
    if tuple(made) != (num_classes,):
        raise InputRejected(
            f"{config.net_name} ends with {' × '.join(map(str, made))} numbers and the data has {num_classes} classes. "
            f"Give its last layer {num_classes} outputs."
        )


def pretrained(source: str) -> nn.Module:
    """A trained net, in evaluation mode on the CPU.

    Args:
        source: "weights:KEY" of the weights that come with the lab, or "run:ID@EPOCH".

    Raises:
        InputRejected: There is no such net, or its file cannot be read.
        RunFailed: The file is damaged.
    """
    kind, name = source.split(":", 1)
    if kind == "weights":
        weights = bundled_weights().get(name)
        if weights is None:
            raise InputRejected(f"No weights {name!r} come with the lab; there are {', '.join(bundled_weights())}.")
        model = ARCHITECTURES[weights.architecture].build(
            num_classes=weights.num_classes, in_channels=weights.in_channels
        )
        load_weights(model, weights)
        return model.eval()
    run_id, epoch = name.split("@")
    return of_run(data_dir() / "runs" / run_id, int(epoch))


def teacher(source: str, facts: checkpoints.NetFacts) -> nn.Module:
    """A net to learn from, as `pretrained`.

    Args:
        source: As there.
        facts: Of the pupil.

    Raises:
        InputRejected: It takes other pictures or tells other classes apart; else as `pretrained`.
        RunFailed: As `pretrained`.
    """
    model = pretrained(source)
    try:
        made = trace_shapes(model, (facts.in_channels, facts.side, facts.side))[-1].output_shape[1:]
    except InputRejected as error:
        raise InputRejected(f"The teacher cannot look at these pictures: {error}") from None
    if tuple(made) != (len(facts.classes),):
        raise InputRejected(
            f"The teacher tells {made[-1]} classes apart and the data has {len(facts.classes)}. Choose a teacher that "
            "was trained on this data."
        )
    return model


def of_run(folder: Path, epoch: int) -> nn.Module:
    """The net of a run as it was after an epoch, in evaluation mode on the CPU.

    Args:
        folder: Of the run, with its `config.yaml`.
        epoch: 0 for the net before training.

    Raises:
        InputRejected: There is no such run or epoch.
        RunFailed: The file is damaged.
    """
    path = checkpoints.weights_file(folder, epoch)
    state = checkpoints.read_weights(path)
    facts = checkpoints.facts_of(path)
    try:
        config = TrainConfig.from_yaml((folder / "config.yaml").read_text(encoding="utf-8"))
        model = build_net(config, num_classes=len(facts.classes), in_channels=facts.in_channels, side=facts.side)
        model.load_state_dict(state)
    except (OSError, ValueError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else error  # without the path on this machine
        raise RunFailed(f"The configuration and the weights of this run do not go together: {why}.") from error
    return model


def take_over(model: nn.Module, source: nn.Module) -> tuple[str, ...]:
    """Give a net the weights of a trained one. A last layer that does not fit keeps its random weights.

    Args:
        model: Changed.
        source: Trained; the same net, for other classes perhaps.

    Returns:
        Names of the weights that stayed random.

    Raises:
        InputRejected: More than the last layer differs; `model` is as it was.
    """
    mine, theirs = model.state_dict(), source.state_dict()
    *_, head = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    is_head = {name: name.rpartition(".")[0] == head for name in mine}
    wrong = [
        f"{name}: {_shape(mine.get(name))} here, {_shape(theirs.get(name))} there"
        for name in mine | theirs
        if not is_head.get(name) and _shape(mine.get(name)) != _shape(theirs.get(name))
    ]
    if wrong:
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise InputRejected(
            f"The weights to start from belong to another net ({'; '.join(wrong[:4])}{more}). Start from weights of "
            "the same net on pictures with as many channels, or from random ones."
        )
    fresh = tuple(name for name in mine if is_head[name] and _shape(mine[name]) != _shape(theirs.get(name)))
    model.load_state_dict({name: mine[name] if name in fresh else theirs[name] for name in mine})
    return fresh


def _shape(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else " × ".join(map(str, tensor.shape)) or "a number"


def freeze(model: nn.Module, last: str) -> tuple[nn.Module, ...]:
    """Take a layer and all before it out of training: their weights get no gradients.

    Args:
        model: Changed.
        last: Name of a layer or of a group of layers.

    Returns:
        The frozen layers. They belong in evaluation mode during training, or BatchNorm's statistics would move on.

    Raises:
        InputRejected: There is no layer of that name, or nothing is left to train.
    """
    names = [name for name, module in model.named_modules() if name and not [*module.children()]]
    inside = [name for name in names if name == last or name.startswith(f"{last}.")]
    if not inside:
        raise InputRejected(f"The net has no layer {last!r} to freeze up to; it has {', '.join(names)}.")
    frozen = tuple(model.get_submodule(name) for name in names[: names.index(inside[-1]) + 1])
    for module in frozen:
        module.requires_grad_(requires_grad=False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputRejected(f"Frozen up to {last!r}, nothing is left to train. Choose a layer before the last.")
    return frozen


def device_of(config: TrainConfig) -> torch.device:
    """Where to train.

    Raises:
        Unsupported: There is no such device here, or it is slow at what is asked of it.
    """
    has_gpu = torch.cuda.is_available()
    if config.device == "cuda" and not has_gpu:
        raise Unsupported("There is no GPU here that PyTorch can use. Choose the CPU.")
    device = torch.device("cuda" if config.device != "cpu" and has_gpu else "cpu")
    if device.type == "cpu" and config.compile:
        raise Unsupported(
            "On a CPU, torch.compile makes training slower (0.55 to 0.75 × the speed was measured). Turn it off."
        )
    if device.type == "cpu" and config.precision != "fp32":
        # Emulated otherwise: 7 in place of 70 GFLOP/s for a convolution of 64 channels on AVX2. With AMX, SimpleCNN
        # trains 1.7 times as fast as in fp32, the wide CNN 1.8 times, CIFAR10CNN 2.4 times (1 thread).
        native = config.precision == "bf16" and torch.cpu._is_avx512_bf16_supported()
        if not native:
            raise Unsupported(
                f"This processor has no instructions for {config.precision}; it would train 10 to 40 times slower. "
                "Choose fp32."
            )
    return device
