"""What a run writes: the weights of each epoch, and all that it takes to go on.

Every file is whole or not there: it is written under another name, brought to the disk, and renamed. Everything is
numbers and text in safetensors; nothing is ever unpickled.
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn, optim

from cnnlab.errors import InputRejected, ResourceExhausted, RunFailed

WEIGHTS_LIMIT = 1_000_000_000
"""Bytes of weights that a run keeps; beyond it, every second epoch is dropped."""

_RESUME = "resume.safetensors"
_EPOCH = re.compile(r"epoch_(\d{4,})\.safetensors")


def weights_file(folder: Path, epoch: int) -> Path:
    """Where the weights after an epoch are; 0 for those before training."""
    return folder / "weights" / f"epoch_{epoch:04}.safetensors"


def snapshot_file(folder: Path, step: int) -> Path:
    """Where the weights after a step are, for which somebody asked."""
    return folder / "weights" / f"step_{step:08}.safetensors"


def epochs_in(folder: Path) -> tuple[int, ...]:
    """The epochs whose weights are there, ascending."""
    found = (_EPOCH.fullmatch(path.name) for path in (folder / "weights").glob("epoch_*.safetensors"))
    return tuple(sorted(int(match[1]) for match in found if match))


@dataclass(frozen=True, slots=True, kw_only=True)
class NetFacts:
    """What one must know, besides the configuration, to use weights.

    Attributes:
        classes: Names, in the order of the logits.
        in_channels: 1 for grey pictures, 3 for RGB.
        side: Of the pictures, in px.
        mean: Of each channel, for values in [0, 1]: what is taken off.
        std: What it is then divided by.
    """

    classes: tuple[str, ...]
    in_channels: int
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def write_weights(path: Path, model: nn.Module, facts: NetFacts) -> None:
    """Keep a net's weights.

    Args:
        path: Of `weights_file` or `snapshot_file`.
        model: On any device, in any layout.
        facts: Kept beside them.

    Raises:
        ResourceExhausted: The disk is full or cannot be written to.
    """
    _write(path, _plain(model.state_dict()), {"facts": json.dumps(asdict(facts))})


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a file of `write_weights`.

    Raises:
        InputRejected: There is no such file.
        RunFailed: It is damaged.
    """
    return _read(path)[0]


def facts_of(path: Path) -> NetFacts:
    """What a file of `write_weights` says of itself; its tensors are not read.

    Raises:
        InputRejected: There is no such file.
        RunFailed: It is damaged.
    """
    try:
        said: dict[str, Any] = json.loads(_read_header(path)["facts"])
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in said.items()
        }
        return NetFacts(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunFailed(f"{path.name} does not say what it is for. Choose another epoch.") from error


def thin_out(folder: Path, keep: int) -> None:
    """Drop the weights of every second epoch where a run has too many; first, last and `keep` stay."""
    epochs = epochs_in(folder)
    total = sum(weights_file(folder, epoch).stat().st_size for epoch in epochs)
    if total <= WEIGHTS_LIMIT:
        return
    for epoch in epochs[1:-1:2]:
        if epoch != keep:
            weights_file(folder, epoch).unlink(missing_ok=True)


@dataclass(slots=True, kw_only=True)
class Position:
    """How far a run is, besides its tensors.

    Attributes:
        step: Steps done.
        lr_scale: By which the schedule is multiplied since somebody set the learning rate.
        validation_losses: Of the epochs done.
        best_epoch: With the best validation accuracy; 0 before the first.
        best_accuracy: Of that epoch.
        seen: Pictures seen in the unfinished epoch.
        seconds: That its steps took.
        gradient_scaler: Its state in 16-bit training, else nothing.
        found: Names of the findings told so far.
    """

    step: int = 0
    lr_scale: float = 1.0
    validation_losses: list[float]
    best_epoch: int = 0
    best_accuracy: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    gradient_scaler: dict[str, float]
    found: list[str]


def write_resume(
    folder: Path,
    *,
    models: Mapping[str, nn.Module],
    optimizer: optim.Optimizer,
    sums: torch.Tensor,
    position: Position,
    steps_per_epoch: int,
) -> None:
    """Keep all that it takes to go on.

    Args:
        folder: Of the run.
        models: By a name each: the net, its running average.
        optimizer: Whose state is kept.
        sums: What the unfinished epoch has added up.
        position: How far the run is.
        steps_per_epoch: How many.

    Raises:
        ResourceExhausted: The disk is full or cannot be written to.
    """
    tensors = {"sums": sums.detach().cpu().clone()}
    for name, model in models.items():
        tensors |= {f"{name}/{key}": tensor for key, tensor in _plain(model.state_dict()).items()}
    numbers: dict[str, Any] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer/{index}/{key}"] = value.detach().cpu().contiguous().clone()
            elif value is not None:
                numbers[f"{index}/{key}"] = value
    header = {
        "position": json.dumps(asdict(position)),
        "optimizer": json.dumps(numbers),
        "steps_per_epoch": str(steps_per_epoch),
    }
    _write(folder / _RESUME, tensors, header)


def read_resume(
    folder: Path,
    *,
    models: Mapping[str, nn.Module],
    optimizer: optim.Optimizer,
    steps_per_epoch: int,
    device: torch.device,
) -> tuple[Position, torch.Tensor]:
    """Bring nets and optimiser to where a run was.

    Args:
        folder: Of the run.
        models: As in `write_resume`; changed.
        optimizer: Of the same parameters; changed.
        steps_per_epoch: With the pictures at hand.
        device: Where the nets are.

    Returns:
        How far the run is, and what its unfinished epoch has added up.

    Raises:
        InputRejected: There is nothing to go on from, or it was with another number of pictures.
        RunFailed: The file is damaged, or of another net.
    """
    path = folder / _RESUME
    tensors, header = _read(path)
    state: dict[int, dict[str, Any]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    try:
        if (before := int(header["steps_per_epoch"])) != steps_per_epoch:
            raise InputRejected(
                f"The run took {before:,} steps an epoch; with these pictures it takes {steps_per_epoch:,}. Give the "
                "pictures that it began with."
            )
        for name, model in models.items():
            prefix = f"{name}/"
            model.load_state_dict(
                {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            )
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, index, key = name.split("/")
                state.setdefault(int(index), {})[key] = _laid_out_as(parameters[int(index)], value)
        for name, value in json.loads(header["optimizer"]).items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return Position(**json.loads(header["position"])), tensors["sums"].to(device, copy=True)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise RunFailed(f"{path.name} is not of this run's net: {error}. Start the run anew.") from error


def resumable_epoch(folder: Path) -> int | None:
    """Whole epochs after which a run can go on; None where nothing was kept."""
    try:
        header = _read_header(folder / _RESUME)
        return json.loads(header["position"])["step"] // int(header["steps_per_epoch"])
    except (InputRejected, RunFailed, KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _laid_out_as(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """In the parameter's memory layout: fused optimisers walk through both as they lie, whatever their strides say."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value


def _plain(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # Copies, because safetensors refuses tensors that share memory, as a module used twice does.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def _write(path: Path, tensors: Mapping[str, torch.Tensor], header: dict[str, str]) -> None:
    content = safetensors.torch.save(dict(tensors), header)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Always the same name, for one process writes a run: what a killed one left is overwritten by the next.
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
    except OSError as error:
        raise ResourceExhausted(
            f"{path.name} ({len(content):,} bytes) cannot be written: {error.strerror}. Make room on the disk, or "
            "choose another data directory, then resume."
        ) from error


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_header(path: Path) -> dict[str, str]:
    with _opened(path) as file:
        return file.metadata() or {}


def _opened(path: Path) -> Any:
    try:
        return safetensors.safe_open(path, framework="pt")
    except FileNotFoundError:
        raise InputRejected(f"There is no {path.name} in this run. Choose another epoch.") from None
    except (safetensors.SafetensorError, OSError) as error:
        why = error.strerror or "it cannot be read" if isinstance(error, OSError) else error
        raise RunFailed(f"{path.name} is damaged: {why}. Choose another epoch.") from error
