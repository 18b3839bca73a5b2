"""A lab of its own on a free port, and visitors who look at it in a browser."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[2]
# Streamlit first looks for its server below the page's own path, then finds it at the root.
PROBES = ("_stcore/health", "_stcore/host-config")

expect.set_options(timeout=20_000)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_lab(
    command: tuple[str, ...] = ("streamlit", "run", "app.py", "--server.headless=true", "--server.port"),
    root: Path = ROOT,
) -> Iterator[str]:
    """Start the lab as the README says; yields its address."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", *command, str(port)], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health").close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, server.stdout and server.stdout.read().decode()
                time.sleep(0.1)
        else:
            pytest.fail("the lab did not answer within 30 s")
        yield address
    finally:
        server.terminate()
        server.communicate(timeout=20)


@dataclass
class Visit:
    """One visitor: a browser window of its own, and what went wrong in it."""

    page: Page
    address: str
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.address + path)
        self.settled()
        return self.page

    def settled(self) -> Page:
        """Wait until the page has been drawn and nothing runs any more."""
        self.page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=30_000)
        expect(self.page.locator('[data-testid="stMain"] h1')).to_be_visible()
        return self.page


def visit(browser: Browser, address: str, **options: object) -> Visit:
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})  # pyright: ignore
    visitor = Visit(context.new_page(), address)

    def note_request(url: str) -> None:
        if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1":
            visitor.foreign.append(url)

    visitor.page.on("request", lambda request: note_request(request.url))
    visitor.page.on("websocket", lambda socket_: note_request(socket_.url))
    visitor.page.on("pageerror", lambda error: visitor.errors.append(str(error)))

    def note_console(message: object) -> None:
        url = message.location.get("url", "")  # pyright: ignore
        if message.type == "error" and not url.endswith(PROBES):  # pyright: ignore
            visitor.errors.append(f"{message.text} {url}")  # pyright: ignore

    visitor.page.on("console", note_console)
    return visitor
