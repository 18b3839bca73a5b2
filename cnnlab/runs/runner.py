"""All runs that wait or go on in this server: started in turn, watched, told to whoever listens, followed to their end.

runner.start(run.id)
with runner.subscribe(run.id) as watching:
    while not watching.is_over:
        draw(watching.next(timeout_s=1))
"""

import atexit
import logging
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from cnnlab import settings
from cnnlab.data import Dataset
from cnnlab.errors import InputRejected, LabError, ResourceExhausted
from cnnlab.runs import endings, launching, store
from cnnlab.runs.channel import Channel, Subscription
from cnnlab.runs.endings import Ending
from cnnlab.runs.held import HeldPictures
from cnnlab.runs.journal import Journal, journal_size, read_history
from cnnlab.runs.launching import Worker
from cnnlab.runs.orphans import await_ends
from cnnlab.runs.queueing import Queue
from cnnlab.runs.store import Run
from cnnlab.runs.worker import FAULT, Failed, Order, Preparing, Told, send_dataset
from cnnlab.train.checkpoints import resumable_epoch
from cnnlab.train.config import OWN_PICTURES
from cnnlab.train.control import Command
from cnnlab.train.events import Changed, Ended, EpochEnded, Started, TrainEvent
from cnnlab.train.history import History

_LOG = logging.getLogger("cnnlab")

_PAST_RUNS = 16
_STOPS_WITHIN_S = 30.0  # or a second "stop" ends the process; a step or a validation may take its time
_SHUTS_DOWN_WITHIN_S = 10.0
_LAST_WORDS_S = 5.0


@dataclass(eq=False, slots=True)
class _Job:
    """A run that waits or goes on."""

    run: Run
    folder: Path
    dataset: Dataset | None
    resume: bool
    channel: Channel
    lock: threading.Lock = field(default_factory=threading.Lock)  # of what follows
    worker: Worker | None = None
    early: list[Command] = field(default_factory=list)  # came before it was listening
    has_started: bool = False
    asked_to_stop_s: float | None = None
    preparing: Preparing | None = None
    ended: Ended | None = None
    failed: Failed | None = None
    was_killed: bool = False
    is_listening: bool = False  # it has its order, and takes commands
    is_cut_short: bool = False  # because the lab ends

    @property
    def is_stuck(self) -> bool:
        return self.asked_to_stop_s is not None and time.monotonic() > self.asked_to_stop_s + _STOPS_WITHIN_S


class Runner:
    """One per process. For any thread.

    Args:
        max_running: Runs at a time; the others wait.
    """

    def __init__(self, *, max_running: int = 1) -> None:
        self._max_running = max_running
        self._launcher = launching.launcher()
        self._lock = threading.Lock()
        self._queue = Queue()
        self._jobs: dict[str, _Job] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._past: OrderedDict[str, tuple[int, History]] = OrderedDict()  # with the size of the journal it is from
        self._pictures = HeldPictures()
        self._closed = threading.Event()
        if orphans := store.adopt_orphans():
            threading.Thread(target=await_ends, args=(orphans, self._closed), daemon=True).start()
        atexit.register(self.close)

    def warm_up(self) -> None:
        """Have PyTorch loaded for the first run, in the background; afterwards a run starts within a second."""
        self._launcher.warm_up()

    def start(self, run_id: str, *, dataset: Dataset | None = None, resume: bool = False) -> None:
        """Let a run begin, or go on, when it is its turn.

        Args:
            run_id: Of the run.
            dataset: Its pictures, where they are one's own. They stay in memory, so that they need not be given again
                to resume; where they are still there, the run goes on with them, whatever is given.
            resume: Go on from what was kept last; from the beginning where no epoch was done.

        Raises:
            InputRejected: There is no such run, it is going on, it is over, or its pictures or its state are missing.
            ResourceExhausted: The owner has too many runs waiting, or there is no room for the pictures.
        """
        run = store.get(run_id)
        folder = store.folder(run_id)
        history = read_history(folder) if resume else History()
        with self._lock:
            self._check_startable(run, resume=resume)
            # The journal knows of epochs that a lab which was killed had no time to note.
            if history.epochs and resumable_epoch(folder) is None:
                raise InputRejected(
                    "This run's state for going on is not here: a run that was taken in from a zip has none, and files "
                    "may be damaged. Start a new run with the same settings."
                )
            held = self._pictures.of(run_id)
            if held is not None and (resume or dataset is None):
                dataset = held
            if dataset is None and run.config.data == OWN_PICTURES:
                raise InputRejected("The pictures of this run are no longer in memory. Choose the same pictures again.")
            self._queue.add(run.owner, run_id)
            try:
                if dataset is not None:
                    self._pictures.hold(run_id, dataset, needed=self._jobs)
                store.set_state(run_id, "waiting")
            except LabError:
                self._queue.remove(run_id)
                raise
            self._past.pop(run_id, None)
            self._jobs[run_id] = _Job(run, folder, dataset, resume, Channel(history))
            self._fill()

    def command(self, run_id: str, command: Command) -> None:
        """Ask something of a run that goes on; it obeys before its next step.

        "stop" before the first step, or once more after half a minute in vain, ends the process.

        Raises:
            InputRejected: It does not go on.
        """
        with self._lock:
            job = self._jobs.get(run_id)
            if job is None or run_id not in self._threads:
                raise InputRejected(
                    "This run is not going on. Resume it first."
                    if job is None
                    else "This run is waiting for its turn. Withdraw it, or wait until it has begun."
                )
        with job.lock:
            if command.name == "stop" and (not job.has_started or job.is_stuck):
                job.was_killed = True
                if job.worker is not None:
                    job.worker.kill()
            elif job.worker is None or not job.is_listening:
                job.early.append(command)
            else:
                _send(job.worker.connection, command)
            if command.name == "stop" and job.asked_to_stop_s is None:
                job.asked_to_stop_s = time.monotonic()

    def withdraw(self, run_id: str) -> None:
        """Take a run out of the queue.

        Raises:
            InputRejected: It does not wait.
        """
        with self._lock:
            job = self._taken_out(run_id)
        if job is None:
            raise InputRejected("This run is not waiting; it may have begun. Stop it instead.")
        _tell_withdrawn(job)

    def forget(self, run_id: str) -> None:
        """Let go of a run that is about to be deleted: of its place in the queue, and of its pictures.

        Raises:
            InputRejected: It is going on.
        """
        with self._lock:
            if run_id in self._threads:
                raise InputRejected("This run is going on. Stop it, then delete it.")
            job = self._taken_out(run_id)
            self._pictures.forget(run_id)
        if job is not None:
            _tell_withdrawn(job)

    def position(self, run_id: str) -> int | None:
        """Where a run is in the queue: 1 is next; None when it does not wait."""
        with self._lock:
            order = self._queue.order()
        return order.index(run_id) + 1 if run_id in order else None

    def is_going_on(self, run_id: str) -> bool:
        """Whether a process is at work on a run here, or is being started."""
        with self._lock:
            return run_id in self._threads

    def preparing(self, run_id: str) -> Preparing | None:
        """How far loading is; None where a run is not loading, or has nothing to say about it."""
        with self._lock:
            job = self._jobs.get(run_id)
        return job.preparing if job and not job.has_started else None

    def history(self, run_id: str) -> History:
        """What a run has told so far; it stays as it is.

        Raises:
            InputRejected: There is no such run.
            ResourceExhausted: The disk cannot be read.
        """
        with self._lock:
            job = self._jobs.get(run_id)
        return job.channel.history() if job else self._told_before(run_id).copy()

    def subscribe(self, run_id: str) -> Subscription:
        """Watch a run that waits, goes on or is over.

        Raises:
            InputRejected: There is no such run.
            ResourceExhausted: The disk cannot be read.
        """
        with self._lock:
            job = self._jobs.get(run_id)
        channel = job.channel if job else Channel(self._told_before(run_id), is_open=False)
        return channel.subscribe()

    def close(self) -> None:
        """End all runs, each after its step and so that it can be resumed. Waits for them, ten seconds at most."""
        atexit.unregister(self.close)
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            threads = list(self._threads.values())
            going_on = [self._jobs[run_id] for run_id in self._threads]
            waiting = [self._jobs.pop(run_id) for run_id in self._queue.order()]
        for job in going_on:
            with job.lock:
                job.is_cut_short = True
                if job.worker is not None and job.is_listening:
                    _send(job.worker.connection, None)
                elif job.worker is not None:
                    job.worker.kill()
        for job in waiting:
            self._note(store.set_state, job.run.id, "interrupted", endings.SHUT_DOWN_WAITING)
            job.channel.end()
        self._launcher.close()
        give_up = time.monotonic() + _SHUTS_DOWN_WITHIN_S
        for thread in threads:
            thread.join(max(0, give_up - time.monotonic()))

    def _check_startable(self, run: Run, *, resume: bool) -> None:
        if self._closed.is_set():
            raise ResourceExhausted("The lab is being shut down. Start the run when it is back.")
        if run.id in self._jobs or run.state in ("running", "paused"):
            raise InputRejected("This run is waiting or going on already. Watch it, or start another one.")
        if run.state == "finished":
            raise InputRejected("This run has come to its end. Start a new one with more epochs.")
        if run.state != "waiting" and not resume:
            raise InputRejected("This run has begun before. Resume it, or start a new one with the same settings.")

    def _taken_out(self, run_id: str) -> _Job | None:
        """A run that waits no more; None where it did not wait."""
        return self._jobs.pop(run_id) if self._queue.remove(run_id) else None

    def _fill(self) -> None:
        """Let runs begin as long as there is room."""
        while len(self._threads) < self._max_running and not self._closed.is_set():
            run_id = self._queue.take()
            if run_id is None:
                return
            thread = threading.Thread(
                target=self._attend, args=(self._jobs[run_id],), name=f"run {run_id}", daemon=True
            )
            self._threads[run_id] = thread
            thread.start()

    def _attend(self, job: _Job) -> None:
        """From the first moment of a run to the last."""
        code = None
        try:
            self._note(store.set_state, job.run.id, "running")
            code = self._follow(job)
        except LabError as error:
            job.failed = Failed(str(error))
        except Exception:  # noqa: BLE001  Whatever it is, the run has an end, and the next one a beginning.
            job.failed = Failed(FAULT, traceback.format_exc())
        ended = None
        try:
            ended = self._settle(job, code)
        finally:
            self._leave(job, ended)

    def _follow(self, job: _Job) -> int | None:
        """Give a process its order and hear it out; how it ended."""
        worker = self._launcher.launch()
        try:
            with job.lock:
                job.worker = worker
                if job.was_killed or job.is_cut_short:
                    worker.kill()
            self._note(store.set_worker, job.run.id, worker.pid)
            self._order(job, worker.connection)
            while True:
                try:
                    told: Told = worker.connection.recv()
                except (EOFError, OSError):
                    return worker.exit_code(_LAST_WORDS_S)
                self._take(job, told)
        finally:
            with job.lock:
                job.worker, job.is_listening = None, False
            worker.close()

    def _order(self, job: _Job, connection: Connection) -> None:
        order = Order(
            config=job.run.config,
            folder=job.folder.absolute(),
            data_dir=settings.data_dir().absolute(),
            resume=job.resume and resumable_epoch(job.folder) is not None,
            has_dataset=job.dataset is not None,
        )
        with suppress(OSError):  # a process that is gone already: its end tells why
            connection.send(order)
            if job.dataset is not None:
                send_dataset(connection, job.dataset)
        with job.lock:
            job.is_listening = True
            for command in job.early:
                _send(connection, command)

    def _take(self, job: _Job, told: Told) -> None:
        match told:
            case Preparing():
                job.preparing = told
            case Failed():
                job.failed = told
            case Ended():
                # Told on when the process is gone: who hears of it may resume the run at once.
                job.ended = told
            case _:
                job.has_started = True
                job.channel.add(told)
                self._keep(job, told)

    def _keep(self, job: _Job, event: TrainEvent) -> None:
        """Note in the store what its lists show."""
        if isinstance(event, Started | EpochEnded):
            history = job.channel.history()
            accuracy = history.best.validation_accuracy if history.best else None
            self._note(store.note_progress, job.run.id, len(history.epochs), history.best_epoch, accuracy)
        elif isinstance(event, Changed) and event.what in ("paused", "resumed"):
            self._note(store.set_state, job.run.id, "paused" if event.what == "paused" else "running")

    def _settle(self, job: _Job, code: int | None) -> Ended | None:
        """Note what became of a run; its last event, if it came to an end."""
        if job.failed and job.failed.trace:
            _LOG.error("Run %s failed\n%s", job.run.id, job.failed.trace)
        state, reason = Ending(
            ended=job.ended,
            failed=job.failed,
            code=code,
            has_started=job.has_started,
            was_killed=job.was_killed,
            is_cut_short=job.is_cut_short,
            kept=resumable_epoch(job.folder),
        ).state_and_reason()
        ended = job.ended
        if ended is None and state != "interrupted":
            ended = _last_event(job.channel.history(), state, reason)
            self._note(_write_down, job.folder, ended)
        self._note(store.set_state, job.run.id, state, reason)
        return ended

    def _leave(self, job: _Job, ended: Ended | None) -> None:
        """Let the next run begin, and say good-bye."""
        run_id = job.run.id
        with self._lock:
            if ended is not None and ended.reason in ("finished", "early"):
                self._pictures.forget(run_id)
            del self._jobs[run_id], self._threads[run_id]
            self._fill()
        if ended is not None:
            job.channel.add(ended)
        job.channel.end()
        with self._lock:
            if run_id not in self._jobs:
                self._keep_past(run_id, journal_size(job.folder), job.channel.history())

    def _told_before(self, run_id: str) -> History:
        """What a run that does not go on here has told; not to be changed."""
        store.get(run_id)
        folder = store.folder(run_id)
        # Looked up first: what another process, which the run may be going on in, appends meanwhile is read next time.
        num_bytes = journal_size(folder)
        with self._lock:
            known_bytes, history = self._past.get(run_id, (-1, None))
            if history is not None and known_bytes == num_bytes:
                self._past.move_to_end(run_id)
                return history
        history = read_history(folder)
        with self._lock:
            if run_id not in self._jobs:
                self._keep_past(run_id, num_bytes, history)
        return history

    def _keep_past(self, run_id: str, num_bytes: int, history: History) -> None:
        self._past[run_id] = num_bytes, history
        self._past.move_to_end(run_id)
        while len(self._past) > _PAST_RUNS:
            self._past.popitem(last=False)

    @staticmethod
    def _note(note: Callable[..., object], *values: object) -> None:
        """Write something down; a disk that is full must not end the run."""
        try:
            note(*values)
        except LabError as error:
            _LOG.warning("Of a run nothing could be noted: %s", error)


def _tell_withdrawn(job: _Job) -> None:
    store.set_state(job.run.id, "stopped", "Withdrawn from the queue.")
    job.channel.end()


def _send(connection: Connection, told: Command | None) -> None:
    with suppress(OSError):  # it has just ended, and no longer needs to be told
        connection.send(told)


def _last_event(history: History, state: str, reason: str) -> Ended:
    """The end of a run that could not tell it."""
    best = history.best
    return Ended(
        time=time.time(),
        step=history.last.step if history.last else history.started.first_step if history.started else 0,
        epoch=len(history.epochs),
        reason=state,
        text=reason,
        best_epoch=history.best_epoch,
        best_accuracy=best.validation_accuracy if best else 0.0,
    )


def _write_down(folder: Path, event: TrainEvent) -> None:
    with Journal.open(folder) as journal:
        journal.append(event)
