"""What tests of runs share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own, which is not there yet."""
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"
