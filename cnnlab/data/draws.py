"""Random numbers for a batch, one per picture, from a generator that may live on another device."""

import numpy as np
import torch


def uniform(batch: torch.Tensor, generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    """One number per picture in [low, high): shape (N,), float32, where the batch is."""
    drawn = torch.rand(len(batch), generator=generator, device=generator.device)
    return (low + (high - low) * drawn).to(batch.device, non_blocking=True)


def whole(batch: torch.Tensor, generator: torch.Generator, low: int, high: int) -> torch.Tensor:
    """One whole number per picture from low to high, both included: shape (N,), int64, where the batch is."""
    drawn = torch.randint(low, high + 1, (len(batch),), generator=generator, device=generator.device)
    return drawn.to(batch.device, non_blocking=True)


def beta(batch: torch.Tensor, generator: torch.Generator, alpha: float) -> torch.Tensor:
    """One number per picture from Beta(α, α), or 1 where α is 0: shape (N,), float32, where the batch is.

    PyTorch draws none from a given generator, so it seeds one of NumPy's.
    """
    if alpha == 0:
        return torch.ones(len(batch), device=batch.device)
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    drawn = np.random.default_rng(seed).beta(alpha, alpha, len(batch)).astype(np.float32)
    return torch.from_numpy(drawn).to(batch.device, non_blocking=True)


def permutation(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The pictures' indices in another order: shape (N,), int64, where the batch is."""
    drawn = torch.randperm(len(batch), generator=generator, device=generator.device)
    return drawn.to(batch.device, non_blocking=True)
