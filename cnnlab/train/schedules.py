"""How the learning rate changes: a factor for each step, known before the run except on a plateau."""

import math
from collections.abc import Callable, Sequence

from cnnlab.train.config import TrainConfig

_START = 1 / 25  # of "one_cycle", as in Smith and Topin, Super-convergence, 2018, and in PyTorch
_RISE = 0.3


def factor(config: TrainConfig, step: int, steps_per_epoch: int, validation_losses: Sequence[float] = ()) -> float:
    """What `config.lr` is multiplied by.

    Args:
        config: Says the schedule.
        step: Steps done before, from 0.
        steps_per_epoch: How many.
        validation_losses: Of the epochs done, for "plateau".
    """
    if config.schedule == "one_cycle":
        return _one_cycle(config, step, config.epochs * steps_per_epoch)
    warmup = config.warmup * steps_per_epoch
    rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return rising * _SHAPES[config.schedule](config, step, steps_per_epoch, validation_losses)


def lr_curve(config: TrainConfig, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step of a run in which no plateau is met."""
    return [config.lr * factor(config, step, steps_per_epoch) for step in range(config.epochs * steps_per_epoch)]


def plateau_drops(losses: Sequence[float], patience: int) -> int:
    """How often "plateau" has lowered the rate: after `patience` epochs more without a loss 0.01 % below the best.

    As PyTorch's ReduceLROnPlateau with its defaults.
    """
    best, waited, drops = math.inf, 0, 0
    for loss in losses:
        if loss < best * (1 - 1e-4):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            drops, waited = drops + 1, 0
    return drops


def _constant(_config: TrainConfig, _step: int, _steps_per_epoch: int, _losses: Sequence[float]) -> float:
    return 1.0


def _steps(config: TrainConfig, step: int, steps_per_epoch: int, _losses: Sequence[float]) -> float:
    return config.step_factor ** (step // steps_per_epoch // config.step_every)


def _cosine(config: TrainConfig, step: int, steps_per_epoch: int, _losses: Sequence[float]) -> float:
    # Loshchilov and Hutter, SGDR, 2017, equation 5, without restarts; it begins where the warm-up ends.
    warmup = config.warmup * steps_per_epoch
    total = config.epochs * steps_per_epoch
    if step < warmup or total <= warmup:
        return 1.0
    return (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def _plateau(config: TrainConfig, _step: int, _steps_per_epoch: int, losses: Sequence[float]) -> float:
    return config.step_factor ** plateau_drops(losses, config.plateau_patience)


_SHAPES: dict[str, Callable[[TrainConfig, int, int, Sequence[float]], float]] = {
    "constant": _constant,
    "step": _steps,
    "cosine": _cosine,
    "plateau": _plateau,
}


def _one_cycle(config: TrainConfig, step: int, total: int) -> float:
    """Straight up from 1/25, straight down to nearly nothing, as OneCycleLR with `anneal_strategy="linear"`."""
    share = min(0.99, config.warmup / config.epochs) if config.warmup else _RISE
    top = max(share * total - 1, 0)
    if step <= top:
        return _START + (1 - _START) * (step / top if top else 1.0)
    end = _START * 1e-4
    return 1 + (end - 1) * (step - top) / (total - 1 - top)
