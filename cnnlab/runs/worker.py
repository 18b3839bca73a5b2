"""The process that a run lives in: what it is told, what it tells, and how it ends.

A run is never a thread of the server: beside a busy server the interpreter's lock would slow it down 8 to 115 times,
and a thread can neither be killed nor run out of memory alone. The process tells its events down one pipe and hears
commands from it. When the pipe breaks because the lab is gone, it stops after its step, keeps all that it takes to go
on, and ends.
"""

import errno
import gc
import io
import os
import pickle
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch

from cnnlab.data import Dataset
from cnnlab.errors import LabError, ResourceExhausted
from cnnlab.runs.journal import Journal
from cnnlab.runs.launching import REPORT
from cnnlab.train.building import build_net
from cnnlab.train.config import TrainConfig
from cnnlab.train.control import Command
from cnnlab.train.events import Ended, TrainEvent
from cnnlab.train.loop import Training

if sys.platform != "win32":
    import fcntl

_NICENESS = 10
_OOM_SCORE = 500  # of 1,000: should the kernel have to end a process for memory, then this one and not the lab
_PROGRESS_EVERY_S = 0.2
_PIECE = 2**20
_OTHERS_END_WITHIN_S = 30.0
_LOOK_UP_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to train.

    Attributes:
        config: How.
        folder: Of the run, absolute.
        data_dir: Of the lab, absolute.
        resume: Whether to go on from what the folder holds.
        has_dataset: Whether the pictures follow on the pipe.
    """

    config: TrainConfig
    folder: Path
    data_dir: Path
    resume: bool
    has_dataset: bool


@dataclass(frozen=True, slots=True)
class Preparing:
    """What is being done before the first step.

    Attributes:
        what: In a word: "downloading".
        done: How much of it.
        total: How much there is.
    """

    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a run ended before its time.

    Attributes:
        text: In words.
        trace: Of a fault that belongs in the log; "" where the words say it all.
    """

    text: str
    trace: str = ""


FAULT = "An unexpected fault ended the training; it is in the lab's log."

Told = TrainEvent | Preparing | Failed
"""What comes up the pipe. Down it go an `Order`, its pictures, then each `Command`; None says that the lab ends."""


class _Pickler(pickle.Pickler):
    """Leaves the bytes of tensors where they are; PyTorch's own way copies them three times."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, torch.Tensor):
            return torch.from_numpy, (obj.contiguous().numpy(),)
        return NotImplemented


def send_dataset(connection: Connection, dataset: Dataset) -> None:
    """Send pictures straight from memory to memory; nothing touches the disk.

    Raises:
        OSError: Nobody listens any more.
    """
    buffers: list[pickle.PickleBuffer] = []
    frame = io.BytesIO()
    _Pickler(frame, protocol=5, buffer_callback=buffers.append).dump(dataset)
    connection.send([buffer.raw().nbytes for buffer in buffers])
    connection.send_bytes(frame.getbuffer())
    for buffer in buffers:
        for piece in _pieces(buffer.raw()):
            connection.send_bytes(piece)


def receive_dataset(connection: Connection) -> Dataset:
    """The other end of `send_dataset`.

    Raises:
        EOFError: Nobody sends any more.
    """
    buffers = [bytearray(size) for size in connection.recv()]
    frame = connection.recv_bytes()
    for buffer in buffers:
        for piece in _pieces(memoryview(buffer)):
            connection.recv_bytes_into(piece)
    return pickle.loads(frame, buffers=buffers)  # noqa: S301  From the process that started this one.


def _pieces(whole: memoryview) -> Iterator[memoryview]:
    # Of a longer message the pipe keeps a second copy, and takes twice the time.
    return (whole[start : start + _PIECE] for start in range(0, whole.nbytes, _PIECE))


class _Lab:
    """The lab as seen by the run: where commands come from and events go.

    Attributes:
        is_gone: Whether it has ended or wants this process to; then the only command is to stop.
    """

    def __init__(self, connection: Connection) -> None:
        self.is_gone = False
        self._connection = connection
        self._progress = ("", 0.0)

    def leave(self, _signal: int, _frame: FrameType | None) -> None:
        """The system asks the process to end."""
        self.is_gone = True

    def next(self, *, wait: bool) -> Command | None:
        """As in `cnnlab.train.control.Commands`."""
        while not self.is_gone:
            try:
                # Where nothing is there, this takes 4 µs.
                if self._connection.poll(_LOOK_UP_EVERY_S if wait else 0):
                    command: Command | None = self._connection.recv()
                    if command is not None:
                        return command
                    self.is_gone = True
                elif not wait:
                    return None
            except (EOFError, OSError):
                self.is_gone = True
        return Command("stop")

    def tell(self, told: Told) -> None:
        """Send something; where nobody listens, take notice of it."""
        try:
            self._connection.send(told)
        except OSError:
            self.is_gone = True

    def prepare(self, what: str, done: int, total: int) -> None:
        """Tell how far loading is, a few times a second."""
        before, told_s = self._progress
        if what == before and time.monotonic() < told_s + _PROGRESS_EVERY_S:
            return
        self._progress = what, time.monotonic()
        self.tell(Preparing(what, done, total))
        if self.is_gone:
            raise SystemExit


def work(connection: Connection) -> None:
    """Carry out one order, to whichever end."""
    _step_back()
    try:
        order: Order = connection.recv()
        dataset = receive_dataset(connection) if order.has_dataset else None
    except (EOFError, OSError):  # the lab ended first
        return
    lab = _Lab(connection)
    signal.signal(signal.SIGTERM, lab.leave)
    os.environ["CNNLAB_DATA_DIR"] = str(order.data_dir)
    torch.set_num_threads(order.config.threads)
    try:
        with _alone_in(order.folder), Journal.open(order.folder) as journal:
            training = Training(
                order.config,
                dataset=dataset,
                control=lab,
                folder=order.folder,
                resume=order.resume,
                progress=lab.prepare,
            )
            for event in training:
                # Nobody asked this run to stop: it did not end, it was interrupted.
                if isinstance(event, Ended) and event.reason == "stopped" and lab.is_gone:
                    return
                journal.append(event)
                lab.tell(event)
    except Exception as error:  # noqa: BLE001  Whatever it is, the lab has to hear of it.
        lab.tell(_in_words(error))


def _in_words(error: Exception) -> Failed:
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, LabError):
        return Failed(str(error))
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
        return Failed("Memory ran out. Choose a smaller batch, smaller pictures or a smaller net.", trace)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failed("The disk is full. Make room on it, or delete runs.", trace)
    return Failed(FAULT, trace)


def _step_back() -> None:
    """Let the server go first, where there is one core for both, and memory for one."""
    if sys.platform != "win32":
        os.nice(_NICENESS)
    with suppress(OSError):  # only Linux has it
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let no second process write into the folder, such as one that outlives a killed lab by a step.

    The system unlocks it when the process ends, however that is. Windows has no such lock for folders.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        give_up = time.monotonic() + _OTHERS_END_WITHIN_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise ResourceExhausted("This run is still going on in another lab. Stop it there first.") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _rehearse() -> None:
    """Have PyTorch load what it loads only when it first follows shapes through a net, which takes two seconds."""
    torch.set_num_threads(1)
    build_net(TrainConfig(), num_classes=10, in_channels=1, side=28)


def serve_one(handle: int) -> NoReturn:
    """Carry out the one order that comes down a pipe that was inherited."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _rehearse()
    _work_and_end(_connection(handle))


def _connection(handle: int) -> Connection:
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection

        return PipeConnection(handle)
    return Connection(handle)


def serve_forks(handle: int) -> NoReturn:
    """Fork a process for each pair of descriptors that comes down a socket, until the socket is closed.

    The pair is the pipe to the new process, and where to tell `REPORT`s of it. PyTorch is loaded here once; a fork has
    it at once and shares its memory. Nothing here may go backwards through a net, use several threads, or touch a GPU:
    threads and contexts do not survive a fork.
    """
    _rehearse()
    for one in (signal.SIGINT, signal.SIGTERM):  # it ends with the lab, and not before
        signal.signal(one, signal.SIG_IGN)
    woken, waker = socket.socketpair()
    woken.setblocking(False)
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno())
    # What is there now stays. Were it looked through by a fork's collector, it would no longer be shared.
    gc.collect()
    gc.freeze()
    reports: dict[int, int] = {}
    with socket.socket(fileno=handle) as orders:
        while True:
            ready, _, _ = select.select([orders, woken], [], [])
            if woken in ready:
                with suppress(BlockingIOError):
                    woken.recv(4096)
                _report_ends(reports)
            if orders in ready:
                said, descriptors, _, _ = socket.recv_fds(orders, 1, 2)
                if not said:
                    os._exit(0)
                pipe, report = descriptors
                if child := _fork(report):
                    os.close(pipe)
                    if child > 0:
                        reports[child] = report
                    continue
                signal.set_wakeup_fd(-1)
                for one in (signal.SIGCHLD, signal.SIGTERM):
                    signal.signal(one, signal.SIG_DFL)
                for descriptor in (orders.detach(), woken.detach(), waker.detach(), report, *reports.values()):
                    os.close(descriptor)
                _work_and_end(Connection(pipe))


def _fork(report: int) -> int:
    """Fork, and tell the lab; 0 in the new process, −1 where there is none."""
    try:
        child = os.fork()
    except OSError as error:
        os.write(report, REPORT.pack(-(error.errno or errno.EAGAIN)))
        os.close(report)
        return -1
    if child:
        with suppress(OSError):  # the lab may have ended meanwhile
            os.write(report, REPORT.pack(child))
    return child


def _report_ends(reports: dict[int, int]) -> None:
    while reports:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        report = reports.pop(child)
        with suppress(OSError):
            os.write(report, REPORT.pack(os.waitstatus_to_exitcode(status)))
        os.close(report)


def _work_and_end(connection: Connection) -> NoReturn:
    code = 1
    try:
        work(connection)
        code = 0
    except SystemExit:
        code = 0
    except BaseException:  # noqa: BLE001  The process ends here, with whatever is left to say.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # At once, and not through the frames of the server, which a fork is a copy of.
        os._exit(code)
