"""Augmentations that mix two pictures and their labels. Labels are shares of the classes, shape (N, K), each sum 1."""

import torch

from cnnlab.data import draws
from cnnlab.data.colours import boxes

Pair = tuple[torch.Tensor, torch.Tensor]


def mixup(batch: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, *, alpha: float) -> Pair:
    """Blend each picture with another one of the batch: λ x + (1 − λ) x', λ from Beta(α, α) (Zhang et al., 2017)."""
    share = draws.beta(batch, generator, alpha)
    partner = draws.permutation(batch, generator)
    return (
        torch.lerp(batch[partner], batch, share[:, None, None, None]),
        torch.lerp(labels[partner], labels, share[:, None]),
    )


def cutmix(
    batch: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, *, alpha: float, probability: float
) -> Pair:
    """Put a rectangle of another picture of the batch into each (Yun et al., 2019).

    The rectangle has the proportions of the picture and the share 1 − λ of its area, λ from Beta(α, α). It may stick
    out and is cut at the border; labels are mixed by what is left of it, counted in pixels.

    Args:
        batch: The pictures.
        labels: Shape (N, K).
        generator: For the places.
        alpha: 1 draws all areas alike.
        probability: Share of pictures that are mixed.
    """
    height, width = batch.shape[2:]
    side = (1 - draws.beta(batch, generator, alpha)).sqrt()
    side = side * (draws.uniform(batch, generator) < probability)
    partner = draws.permutation(batch, generator)
    patch = boxes(batch, generator, (side * height).long(), (side * width).long())
    share = 1 - patch.float().mean((1, 2, 3))
    return torch.where(patch, batch[partner], batch), torch.lerp(labels[partner], labels, share[:, None])
