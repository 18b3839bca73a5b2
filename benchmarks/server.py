"""A lab on a free port, and how a column of times is summed up: shared by the benchmarks and the browser tests."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
STREAMLIT = ("streamlit", "run", "app.py", "--server.headless=true", "--server.port")


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs."""

    port: int
    process: subprocess.Popen

    @property
    def address(self) -> str:
        """Where pages are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream(self) -> str:
        """Where Streamlit's own protocol is spoken."""
        return f"ws://127.0.0.1:{self.port}/_stcore/stream"


@contextmanager
def serving(
    command: Sequence[str] = STREAMLIT, folder: Path = ROOT, *, env: Mapping[str, str] | None = None, wait: bool = True
) -> Iterator[Served]:
    """Run a server with this Python; `command` ends where the port follows. Waits until it answers, 30 s at most."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # To a file that nobody reads: a pipe that is full would stop the server.
    process = subprocess.Popen(
        [sys.executable, "-m", *command, str(port)],
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
    )
    served = Served(port, process)
    try:
        give_up = time.monotonic() + 30
        while wait:
            try:
                urllib.request.urlopen(f"{served.address}/_stcore/health").close()
                break
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None or time.monotonic() > give_up:
                    raise RuntimeError(f"{' '.join(command)} did not answer; its log is above") from None
                time.sleep(0.05)
        yield served
    finally:
        process.terminate()
        process.wait(20)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
