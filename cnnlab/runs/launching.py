"""How a process for a run is come by: forked from one that has PyTorch loaded, or begun beforehand.

The standard library has a fork server too. Ours differs in what matters here: it is a plain command, so that neither
it nor its forks ever run the program that started the lab (`app.py`, `streamlit`, `pytest`) a second time as
`__mp_main__`; it has its own environment, while the standard library's has the lab's, which would have to be changed
for a moment under the eyes of all threads; and it belongs to the lab alone.
"""

import errno
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from cnnlab.errors import ResourceExhausted, RunFailed

REPORT = struct.Struct("q")
"""How the process that forks tells numbers: first the id of the new process, or −errno; later its exit code."""

_ROOT = Path(__file__).parents[2]

ENVIRONMENT = {
    # Read when PyTorch is loaded. A thread that waits must not burn the core that others need: two threads on a busy
    # machine of two cores made 6 images a second where one made 240; waiting passively, 176.
    "OMP_WAIT_POLICY": "passive",
    "OMP_NUM_THREADS": "1",  # until the run says how many
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",  # its threads would be started on import, and not survive a fork
    # Read by glibc when the process begins. Memory that a step gives back is kept for the next one: 1.3 times as fast.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "268435456",
    # Asks the driver's library how many GPUs there are, not the driver, which could not be used after a fork.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}


class Worker(Protocol):
    """A process that waits for its order.

    Attributes:
        pid: Its number.
        connection: What it tells, and where it is told.
    """

    pid: int
    connection: Connection

    @abstractmethod
    def exit_code(self, timeout_s: float) -> int | None:
        """How it ended, −n for signal n; None where it has not, or nobody knows."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, if it has not ended."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; where it still lives, it takes this as the end of the lab."""


class Launcher(Protocol):
    """Where processes come from. For any thread."""

    @abstractmethod
    def warm_up(self) -> None:
        """Have PyTorch loaded in the background."""

    @abstractmethod
    def launch(self) -> Worker:
        """A process that waits for its order.

        Raises:
            ResourceExhausted: The machine has no room for another process.
            RunFailed: It could not be started.
        """

    @abstractmethod
    def close(self) -> None:
        """Launch no more. Processes that work are left alone."""


def launcher() -> Launcher:
    """The fastest that this system has."""
    return Forks() if hasattr(os, "fork") else Spares()


class Forks:
    """Processes forked from one that has PyTorch loaded: there in some 20 ms, and it costs that memory once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._is_closed = False

    def warm_up(self) -> None:
        """As in `Launcher`."""
        with self._lock:
            self._serve()

    def launch(self) -> Worker:
        """As in `Launcher`."""
        # The server may have been killed since; the second one is new.
        worker = self._ask() or self._ask()
        if worker is None:
            raise RunFailed("The process that training runs are forked from does not start; why is in the lab's log.")
        return worker

    def close(self) -> None:
        """As in `Launcher`."""
        with self._lock:
            self._is_closed = True
            self._end()

    def _ask(self) -> Worker | None:
        with self._lock:
            server = self._serve()
            ours, theirs = Pipe()
            told, report = os.pipe()
            with suppress(OSError):  # it is gone, which shows in a moment
                socket.send_fds(server.orders, [b"!"], [theirs.fileno(), report])
            theirs.close()
            os.close(report)
        pid = _number(told)
        if pid is not None and pid > 0:
            return _Fork(pid, ours, told)
        ours.close()
        os.close(told)
        if pid is None:
            with self._lock:
                if self._server is server:
                    self._end()
            return None
        raise _no_room(-pid)

    def _serve(self) -> "_Server":
        if self._is_closed:
            raise RunFailed("The lab is being shut down. Start the run when it is back.")
        if self._server is None:
            ours, theirs = socket.socketpair()
            with theirs:
                self._server = _Server(_begin("serve_forks", theirs.fileno()), ours)
        return self._server

    def _end(self) -> None:
        if self._server is not None:
            self._server.end()
            self._server = None


@dataclass(frozen=True, slots=True)
class _Server:
    process: "subprocess.Popen[Any]"
    orders: socket.socket

    def end(self) -> None:
        self.orders.close()
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:  # it is still loading
            self.process.kill()
            self.process.wait()


class _Fork:
    """A `Worker` whose end is told by the server that forked it."""

    def __init__(self, pid: int, connection: Connection, told: int) -> None:
        self.pid = pid
        self.connection = connection
        self._told = told
        self._code: int | None = None
        self._lock = threading.Lock()

    def exit_code(self, timeout_s: float) -> int | None:
        with self._lock:
            if self._code is None and select.select([self._told], [], [], timeout_s)[0]:
                self._code = _number(self._told)
            return self._code

    def kill(self) -> None:
        if self.exit_code(0) is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        self.connection.close()
        os.close(self._told)


class Spares:
    """Processes begun beforehand, one ahead: for Windows, which cannot fork. The one that waits holds some 400 MB."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spare: _Spare | None = None

    def warm_up(self) -> None:
        """As in `Launcher`."""
        with self._lock:
            if self._spare is None:
                self._spare = _Spare()

    def launch(self) -> Worker:
        """As in `Launcher`."""
        with self._lock:
            taken = self._spare
            if taken is not None and taken.exit_code(0) is not None:
                taken.close()
                taken = None
            taken = taken or _Spare()
            self._spare = _Spare()
            return taken

    def close(self) -> None:
        """As in `Launcher`."""
        with self._lock:
            if self._spare is not None:
                self._spare.kill()
                self._spare.close()
                self._spare = None


class _Spare:
    """A `Worker` that is a child of this process."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            self._process = _begin("serve_one", theirs.fileno())
        self.pid = self._process.pid

    def exit_code(self, timeout_s: float) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self.connection.close()
        # It is this process's child, and has to be waited for; at most for the step that it is in.
        threading.Thread(target=self._process.wait, daemon=True).start()


def _begin(serve: str, handle: int) -> "subprocess.Popen[Any]":
    """Run a function of `cnnlab.runs.worker` in a process of its own, with a pipe or socket."""
    more: dict[str, Any] = {}
    if sys.platform == "win32":
        os.set_handle_inheritable(handle, True)
        more = {
            "startupinfo": subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]}),
            "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS,
        }
    else:
        # A session of its own: Ctrl+C in the lab's terminal ends the lab, and runs hear of it from the lab.
        more = {"pass_fds": [handle], "start_new_session": True}
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    try:
        return subprocess.Popen(  # noqa: S603  It is this very Python.
            [sys.executable, "-P", "-c", f"from cnnlab.runs import worker; worker.{serve}({handle})"],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": path},
            **more,
        )
    except OSError as error:
        raise _no_room(error.errno or 0) from error


def _number(told: int) -> int | None:
    """What the server of the forks says next; None where it is gone."""
    said = os.read(told, REPORT.size)
    return REPORT.unpack(said)[0] if said else None


def _no_room(number: int) -> ResourceExhausted:
    why = os.strerror(number) if number in errno.errorcode else "no reason given"
    return ResourceExhausted(f"The machine starts no further process: {why}. Wait until another run has ended.")
