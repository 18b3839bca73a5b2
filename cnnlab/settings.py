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
