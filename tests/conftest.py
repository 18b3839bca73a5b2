"""What tests of all kinds share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CNNLAB_TEST_DATA", ROOT.parent / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-screenshots", action="store_true", help="renew the picture in the README")


@pytest.fixture(scope="session")
def photographs() -> Path:
    """A zip of real photographs of cats and dogs."""
    archive = DATA / "dogs-vs-cats-1400.zip"
    if not archive.exists():
        message = f"no photographs at {archive}; set CNNLAB_TEST_DATA to a folder that holds them"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return archive
