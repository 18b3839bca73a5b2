"""A lab for all tests of the session, and the machine's own browser to look at it with."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from benchmarks.server import serving
from tests.e2e.lab import Visit, visit

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "chrome",
    "msedge",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def lab() -> Iterator[str]:
    # Nobody listens there: what the lab would fetch from elsewhere fails at once, wherever the tests run.
    with serving(env={"HTTPS_PROXY": "http://127.0.0.1:9"}) as served:
        yield served.address


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        message = "no Chromium or Chrome on this machine; install Debian's `chromium` or Google Chrome"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    flags = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    if sys.platform == "linux":
        flags.append("--no-sandbox")  # containers give the browser no namespaces of its own
    flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    window = playwright.chromium.launch(executable_path=found, args=flags)
    yield window
    window.close()


@pytest.fixture
def visitor(browser: Browser, lab: str) -> Iterator[Visit]:
    """A visitor at 1440 × 900 whose page must neither call out nor fail."""
    guest = visit(browser, lab)
    yield guest
    guest.page.context.close()
    assert guest.foreign == []
    assert guest.errors == []
