"""How much memory models take, how much they may take, and running out of it in words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from cnnlab.errors import ResourceExhausted
from cnnlab.settings import model_memory_bytes

_SHARE_OF_MACHINE = 0.25  # the rest is for runs, pictures, maps and whatever else the machine does
_SHARE_OF_CUDA = 0.5
_ASSUMED = 8 * 2**30  # where the system does not tell, as on Windows
_CGROUPS = Path("/sys/fs/cgroup")


def bytes_of(model: nn.Module) -> int:
    """What parameters and buffers take; those that two layers share are counted once."""
    return sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))


def default_budget(device: torch.device) -> int:
    """Bytes that shared models may take on a device.

    `CNNLAB_MODEL_MEMORY_MB`, or a quarter of the memory of the machine or of the container in which the lab runs, or
    half of the memory of a CUDA device.
    """
    if (chosen := model_memory_bytes()) is not None:
        return chosen
    if device.type == "cuda":
        return int(_SHARE_OF_CUDA * torch.cuda.get_device_properties(device).total_memory)
    return int(_SHARE_OF_MACHINE * machine_memory())


def machine_memory(cgroups: Path = _CGROUPS) -> int:
    """Bytes of memory that this process may use: those of the machine, or the limit of its container."""
    names = getattr(os, "sysconf_names", {})
    known = {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= names.keys()
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if known else _ASSUMED
    # Version 2, then version 1, which writes a number near 2⁶³ where there is no limit, as version 2 writes "max".
    limits = [_limit(cgroups / "memory.max"), _limit(cgroups / "memory" / "memory.limit_in_bytes")]
    return min([machine, *(limit for limit in limits if limit)])


def _limit(file: Path) -> int | None:
    try:
        told = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(told) if told.isdecimal() else None


@contextmanager
def memory_in_words(failed: str, todo: str) -> Iterator[None]:
    """Say in words that the block ran out of memory.

    Args:
        failed: What does not work then: "The net cannot be loaded".
        todo: What to do about it, a sentence.

    Raises:
        ResourceExhausted: In place of the errors of Python and of PyTorch, on any device.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceExhausted(f"{failed}: there is not enough memory. {todo}") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether that is what the error says."""
    # On the CPU PyTorch raises a plain RuntimeError, with these words.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
