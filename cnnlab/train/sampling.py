"""In which order pictures are shown in an epoch."""

import torch

from cnnlab.train import draws
from cnnlab.train.config import TrainConfig


def order_of(config: TrainConfig, labels: torch.Tensor, epoch: int) -> torch.Tensor:
    """Places in the training part, as many as it has.

    Args:
        config: Says seed and sampling.
        labels: Of the training part, shape (n,).
        epoch: From 0.

    Returns:
        Shape (n,), int64. With "balanced" each class comes equally often, give or take one: of large classes not all
        pictures come, of small ones some come again.
    """
    generator = draws.generator(config.seed, "order", epoch)
    if config.sampling == "as_is":
        return torch.randperm(len(labels), generator=generator)
    classes = labels.unique()
    quota = -(-len(labels) // len(classes))
    drawn = []
    for label in classes:
        members = (labels == label).nonzero()[:, 0]
        rounds = [members[torch.randperm(len(members), generator=generator)] for _ in range(-(-quota // len(members)))]
        drawn.append(torch.cat(rounds)[:quota])
    # One of each class in turn, so that what is cut off at the end is spread over the classes.
    mixed = torch.stack(drawn, dim=1).reshape(-1)[: len(labels)]
    return mixed[torch.randperm(len(mixed), generator=generator)]


def num_steps(num_pictures: int, batch_size: int) -> int:
    """Batches in an epoch. The last may be smaller, but a single picture is left out: BatchNorm cannot learn of one."""
    full, left = divmod(num_pictures, batch_size)
    return full + (left > 1)
