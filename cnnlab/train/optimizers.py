"""From the gradient to the step."""

from collections.abc import Callable, Iterable

import torch
from torch import nn, optim

from cnnlab.train.config import TrainConfig


def optimizer_of(config: TrainConfig, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
    """The optimiser that a configuration asks for, in its fused form: one pass over the weights in place of several.

    Args:
        config: Says which.
        parameters: That are trained; on their device.
    """
    return _BUILD[config.optimizer](config, list(parameters))


_BUILD: dict[str, Callable[[TrainConfig, list[nn.Parameter]], optim.Optimizer]] = {
    "sgd": lambda config, parameters: optim.SGD(
        parameters,
        config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        fused=True,
    ),
    "adam": lambda config, parameters: optim.Adam(parameters, config.lr, weight_decay=config.weight_decay, fused=True),
    "adamw": lambda config, parameters: optim.AdamW(
        parameters, config.lr, weight_decay=config.weight_decay, fused=True
    ),
    "rmsprop": lambda config, parameters: optim.RMSprop(
        parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    ),
}


def averaged(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move a running average of a net's weights one step on; counts and statistics are taken over as they are.

    With the warm-up of Abadi et al.'s ExponentialMovingAverage, min(decay, (1 + t) / (10 + t)), so that the random
    start is forgotten soon.

    Args:
        average: The same net as `model`; changed.
        model: The net that learns.
        decay: Share that is kept.
        step: t, from 0.
    """
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
        for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
