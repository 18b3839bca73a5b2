"""What the person who runs the lab decides, read from the environment."""

import os
from pathlib import Path


def data_dir() -> Path:
    """Where the lab keeps what must survive a restart: saved nets, downloaded weights. Not made yet where it is new.

    `CNNLAB_DATA_DIR`, or `cnnlab` in the user's data directory.
    """
    if chosen := os.environ.get("CNNLAB_DATA_DIR"):
        return Path(chosen).expanduser()
    home = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "cnnlab"


def model_memory_bytes() -> int | None:
    """Memory, on each device, for the models that all visitors share: `CNNLAB_MODEL_MEMORY_MB`; None where not set.

    Raises:
        ValueError: It is set to something other than a whole number above 0.
    """
    chosen = os.environ.get("CNNLAB_MODEL_MEMORY_MB", "")
    if not chosen:
        return None
    if not chosen.isdecimal() or not int(chosen):
        raise ValueError(f"CNNLAB_MODEL_MEMORY_MB must be a whole number above 0, got {chosen!r}")
    return int(chosen) * 2**20
