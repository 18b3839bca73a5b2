"""What tests of all kinds share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast a test is tells more of what else the machine does than of the code.
settings.register_profile("lab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lab")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Side by side, each with as many threads as there are cores, tests wait for one another's threads. PyTorch and BLAS
    # read this when they are loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CNNLAB_TEST_DATA", ROOT.parent / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-screenshots", action="store_true", help="renew the picture in the README")


@pytest.fixture(scope="session", autouse=True)
def own_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests, and the servers they start, save out of the home of whoever runs them."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CNNLAB_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


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
