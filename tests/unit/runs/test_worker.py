"""Real processes: each test talks to one that was launched as the lab launches it."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnlab import settings
from cnnlab.data import Dataset, load_dataset
from cnnlab.data.dataset import Gathered, part_pictures
from cnnlab.nets.weights import bundled_weights
from cnnlab.runs.launching import Launcher, Spares, Worker, launcher
from cnnlab.runs.worker import Failed, Order, Preparing, Told, send_dataset
from cnnlab.train.config import TrainConfig
from cnnlab.train.control import Command
from cnnlab.train.events import Changed, Ended, Started, Stepped

LONG = TrainConfig(epochs=1000)


posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such thing")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def launched() -> Iterator[Launcher]:
    launched = launcher()
    launched.warm_up()
    yield launched
    launched.close()


@pytest.fixture
def worker(launched: Launcher) -> Iterator[Worker]:
    worker = launched.launch()
    yield worker
    worker.kill()
    worker.exit_code(30)
    worker.close()


def order(folder: Path, config: TrainConfig = LONG, **more: Any) -> Order:
    values = {"resume": False, "has_dataset": False} | more
    return Order(config=config, folder=folder, data_dir=settings.data_dir(), **values)


def heard(worker: Worker, until: Callable[[Told], bool] = lambda _: False) -> list[Told]:
    """What a worker tells, up to something, or to its end."""
    told: list[Told] = []
    try:
        while not (told and until(told[-1])):
            told.append(worker.connection.recv())
    except (EOFError, OSError):
        pass
    return told


def is_a(kind: type) -> Callable[[Told], bool]:
    return lambda told: isinstance(told, kind)


class Probe:
    """Taken for pictures, it has the worker write down something about itself."""

    def __init__(self, expression: str, path: Path) -> None:
        self.expression, self.path = expression, path

    def __reduce__(self) -> Any:
        code = (
            f"import json, os, sys, pathlib; pathlib.Path({str(self.path)!r}).write_text(json.dumps({self.expression}))"
        )
        return exec, (code, {})


def asked(worker: Worker, folder: Path, expression: str) -> Any:
    answer = folder / "answer"
    worker.connection.send(order(folder, has_dataset=True))
    send_dataset(worker.connection, Probe(expression, answer))  # pyright: ignore[reportArgumentType]
    heard(worker, is_a(Started))
    return json.loads(answer.read_text())


def test_a_worker_carries_neither_the_launcher_nor_streamlit_nor_whoever_started_the_lab(
    worker: Worker, tmp_path: Path
) -> None:
    modules, file_of_main = asked(
        worker, tmp_path, "[[*sys.modules], getattr(sys.modules['__main__'], '__file__', '')]"
    )
    assert "torch" in modules
    assert {"streamlit", "app", "pytest", "_pytest", "plotly"}.isdisjoint(modules)
    assert file_of_main == ""


@linux
def test_a_worker_gives_way_to_the_server(worker: Worker, tmp_path: Path) -> None:
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MALLOC_MMAP_MAX_")}
    said = asked(
        worker,
        tmp_path,
        "[os.nice(0), int(open('/proc/self/oom_score_adj').read()), len(os.listdir('/proc/self/task')),"
        " os.environ['OMP_WAIT_POLICY'], os.environ['MALLOC_MMAP_MAX_']]",
    )
    assert said == [os.nice(0) + 10, 500, 1, "passive", "0"]
    assert {name: os.environ.get(name) for name in before} == before


def test_pictures_arrive_as_they_were_sent_and_leave_no_file(worker: Worker, tmp_path: Path) -> None:
    whole = load_dataset("digits")
    keep = whole.labels < 3
    own = _with_classes(whole, keep, ("ape", "bear", "cat"))
    worker.connection.send(order(tmp_path, TrainConfig(epochs=1, data="pictures"), has_dataset=True))
    send_dataset(worker.connection, own)
    started, *rest = [told for told in heard(worker) if not isinstance(told, Preparing)]
    assert isinstance(started, Started)
    assert started.classes == ("ape", "bear", "cat")
    assert started.num_train == len(own.splits.train)
    assert isinstance(rest[-1], Ended)
    assert rest[-1].best_accuracy > 0.9
    assert {path.name for path in tmp_path.iterdir()} == {"events.jsonl", "resume.safetensors", "weights"}


def _with_classes(whole: Dataset, keep: torch.Tensor, classes: tuple[str, ...]) -> Dataset:
    nothing = torch.empty(0, dtype=torch.int64)
    gathered = Gathered(pictures=whole.pictures[keep], labels=whole.labels[keep], classes=classes, test=nothing)
    return part_pictures("pictures", "Your pictures", gathered)


def test_commands_are_obeyed_before_the_next_step(worker: Worker, tmp_path: Path) -> None:
    worker.connection.send(order(tmp_path))
    for command in ("pause", "step", "step", "step", "stop"):
        worker.connection.send(Command(command))
    told = heard(worker)
    assert [one.what for one in told if isinstance(one, Changed)] == ["paused"]
    assert [one.step for one in told if isinstance(one, Stepped)] == [1, 2, 3]
    assert isinstance(told[-1], Ended)
    assert (told[-1].step, told[-1].reason) == (3, "stopped")
    assert worker.exit_code(30) == 0


def test_a_worker_whose_lab_is_gone_keeps_its_state_and_ends(worker: Worker, tmp_path: Path) -> None:
    worker.connection.send(order(tmp_path))
    heard(worker, is_a(Stepped))
    worker.connection.close()
    assert worker.exit_code(30) == 0
    assert (tmp_path / "resume.safetensors").exists()
    # It was interrupted; it did not come to an end.
    assert '"Ended"' not in (tmp_path / "events.jsonl").read_text()


def test_a_worker_that_waits_paused_sees_its_lab_go(worker: Worker, tmp_path: Path) -> None:
    worker.connection.send(order(tmp_path))
    worker.connection.send(Command("pause"))
    heard(worker, is_a(Changed))
    worker.connection.close()
    assert worker.exit_code(30) == 0
    assert (tmp_path / "resume.safetensors").exists()


@posix
def test_a_worker_that_the_system_asks_to_end_keeps_its_state(worker: Worker, tmp_path: Path) -> None:
    worker.connection.send(order(tmp_path))
    heard(worker, is_a(Stepped))
    os.kill(worker.pid, signal.SIGTERM)
    assert not any(isinstance(told, Ended) for told in heard(worker))
    assert worker.exit_code(30) == 0
    assert (tmp_path / "resume.safetensors").exists()


def test_a_worker_without_an_order_ends_with_its_lab(worker: Worker) -> None:
    worker.connection.close()
    assert worker.exit_code(30) == 0


def test_what_can_be_put_right_is_told_in_its_own_words(worker: Worker, tmp_path: Path) -> None:
    worker.connection.send(order(tmp_path, TrainConfig(start_from="weights:nope")))
    assert heard(worker)[-1] == Failed(
        f"No weights 'nope' come with the lab; there are {', '.join(bundled_weights())}."
    )


def test_a_fault_of_ours_is_told_with_its_trace(worker: Worker, tmp_path: Path) -> None:
    worker.connection.send(order(tmp_path / "missing"))
    (failed,) = heard(worker)
    assert isinstance(failed, Failed)
    assert failed.text == "An unexpected fault ended the training; it is in the lab's log."
    assert "FileNotFoundError" in failed.trace


@posix
def test_two_workers_never_write_into_the_same_folder(launched: Launcher, worker: Worker, tmp_path: Path) -> None:
    worker.connection.send(order(tmp_path))
    worker.connection.send(Command("pause"))
    heard(worker, is_a(Changed))
    second = launched.launch()
    second.connection.send(order(tmp_path, resume=True))
    assert not second.connection.poll(0.5)
    worker.connection.close()
    started = second.connection.recv()
    assert isinstance(started, Started)
    second.kill()
    second.exit_code(30)
    second.close()


@posix
def test_how_a_worker_ended_is_known(worker: Worker) -> None:
    assert worker.exit_code(0) is None
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.exit_code(30) == -signal.SIGKILL
    worker.kill()  # of one that is gone: no error, and no other process


@linux
def test_a_fork_server_that_was_killed_is_replaced(launched: Launcher) -> None:
    server = _parent_of(first := launched.launch())
    os.kill(server, signal.SIGKILL)
    assert first.exit_code(30) is None  # nobody is left to tell
    second = launched.launch()
    assert _parent_of(second) != server
    for worker in (first, second):
        worker.connection.close()
    assert second.exit_code(30) == 0


def _parent_of(worker: Worker) -> int:
    return int(Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_spares_do_what_forks_do(tmp_path: Path) -> None:
    spares = Spares()
    spares.warm_up()
    worker = spares.launch()
    spares.close()
    worker.connection.send(order(tmp_path))
    worker.connection.send(Command("pause"))
    worker.connection.send(Command("step"))
    heard(worker, is_a(Stepped))
    assert worker.exit_code(0) is None
    worker.connection.send(Command("stop"))
    assert isinstance(heard(worker)[-1], Ended)
    assert worker.exit_code(30) == 0
    worker.close()
