"""What is left of a run whose process is killed at any moment: kill -9, fifty times, while it loads, trains and writes.

The net is small and its epochs short, so that it writes its files most of the time.

    python -m benchmarks.kills --times 50
"""

import argparse
import os
import platform
import random
import signal
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.server import percentile
from cnnlab.errors import LabError
from cnnlab.runs import store
from cnnlab.runs.journal import read_events
from cnnlab.runs.runner import Runner
from cnnlab.runs.store import Run
from cnnlab.train.checkpoints import epochs_in, read_weights, resumable_epoch, weights_file
from cnnlab.train.config import TrainConfig
from cnnlab.train.control import Command
from cnnlab.train.events import EpochEnded, Started, Stepped

_OWNER = "0" * 32
_CONFIG = TrainConfig(epochs=1000, batch_size=512)


def killed_at(runner: Runner, run: Run, moment_s: float) -> float:
    """Start a run, kill its process some time after it was launched; seconds until the run is marked as failed."""
    runner.start(run.id)
    while (worker := store.get(run.id).worker) is None or worker.pid == os.getpid():
        time.sleep(0.001)
    time.sleep(moment_s)
    os.kill(worker.pid, signal.SIGKILL)
    began = time.perf_counter()
    while not store.get(run.id).has_ended:
        time.sleep(0.001)
    took = time.perf_counter() - began
    while runner.is_going_on(run.id):
        time.sleep(0.001)
    return took


def unreadable(folder: Path) -> list[str]:
    """What is there under its final name and cannot be read."""
    found = []
    for epoch in epochs_in(folder):
        try:
            read_weights(weights_file(folder, epoch))
        except LabError as error:
            found.append(str(error))
    if (folder / "resume.safetensors").exists() and resumable_epoch(folder) is None:
        found.append("resume.safetensors")
    events = read_events(folder)
    epochs = {event.epoch for event in events if isinstance(event, EpochEnded)}
    if events.num_damaged:
        found.append(f"{events.num_damaged} lines of events.jsonl")
    if missing := [epoch for epoch in epochs if not weights_file(folder, epoch).exists()]:
        found.append(f"weights of epochs {missing}, which were told of")
    return found


def goes_on(runner: Runner, run: Run) -> bool:
    """Whether the run can be resumed, from no earlier than what it had kept, and learns on."""
    kept = resumable_epoch(store.folder(run.id)) or 0
    runner.start(run.id, resume=True)
    first_step, has_stepped = -1, False
    with runner.subscribe(run.id) as watching:
        while not watching.is_over and not has_stepped:
            for event in watching.next(1):
                if isinstance(event, Started):
                    first_step = event.first_step - kept * event.steps_per_epoch
                has_stepped = has_stepped or isinstance(event, Stepped)
        if has_stepped:
            runner.command(run.id, Command("stop"))
        while not watching.is_over:
            watching.next(1)
    return has_stepped and first_step >= 0


def main() -> None:
    """Kill, look, resume; exit 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--within", type=float, default=1.5, help="seconds after the launch in which the kill falls")
    wanted = parser.parse_args()
    chance = random.Random(0)
    took_s, words, num_resumed, damage = [], [], 0, []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNNLAB_DATA_DIR"] = folder
        runner = Runner()
        for _ in range(wanted.times):
            run = store.create(_OWNER, _CONFIG)
            took_s.append(killed_at(runner, run, chance.uniform(0, wanted.within)))
            found = store.get(run.id)
            words.append(found.state == "failed" and "killed (signal 9)" in found.reason)
            damage += unreadable(store.folder(run.id))
            num_resumed += goes_on(runner, run)
            store.delete(run.id)
        runner.close()
    in_time = sum(ok and took < 2 for ok, took in zip(words, took_s, strict=True))
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"killed                {wanted.times} times, 0 to {wanted.within:g} s after the launch")
    print(
        f"failed within 2 s     {in_time}   median {statistics.median(took_s) * 1000:.0f} ms, "
        f"p95 {percentile(took_s, 0.95) * 1000:.0f} ms, longest {max(took_s) * 1000:.0f} ms"
    )
    print(f"resumed               {num_resumed}")
    print(f"files unreadable      {len(damage)}", *damage[:5], sep="\n                      ")
    if in_time < wanted.times or num_resumed < wanted.times or damage:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
