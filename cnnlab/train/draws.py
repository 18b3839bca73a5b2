"""Random draws that depend on the seed and the place in the run alone.

Every step seeds what it draws from anew. So a run that was interrupted goes on exactly as it would have, without the
state of any generator being kept.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_of(seed: int, what: str, number: int = 0) -> int:
    """A seed for one purpose: 63 bits of the SHA-256 of "seed/what/number"."""
    digest = hashlib.sha256(f"{seed}/{what}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, what: str, number: int = 0) -> torch.Generator:
    """A generator of the CPU for one purpose."""
    return torch.Generator().manual_seed(seed_of(seed, what, number))


@contextmanager
def global_draws(seed: int, device: torch.device) -> Iterator[None]:
    """Let what draws from PyTorch's global generator, as dropout does, draw from `seed`; afterwards it is as before."""
    source = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator
    before = source.get_state()
    source.manual_seed(seed)
    try:
        yield
    finally:
        source.set_state(before)
