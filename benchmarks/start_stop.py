"""How long one waits for a run: from the click to the first step that is told, and from a command until it is obeyed.

Cold means that the process which runs are forked from is not there yet; PyTorch is loaded in the server already, as it
is a moment after the lab has started. Commands are sent at a random moment within a step, to a net whose steps are
so slow that each is told: a command is obeyed at once if it waits for the end of one step only.

    python -m benchmarks.start_stop --starts 20 --commands 20
"""

import argparse
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable

from benchmarks.server import percentile
from cnnlab.runs import store
from cnnlab.runs.channel import Subscription
from cnnlab.runs.runner import Runner
from cnnlab.runs.store import Run
from cnnlab.train.config import TrainConfig
from cnnlab.train.control import Command
from cnnlab.train.events import Changed, Ended, Stepped, TrainEvent

_OWNER = "0" * 32
_QUICK = TrainConfig(epochs=1000)
_SLOW = TrainConfig(net="resnet_cifar", data="shapes", epochs=1000, batch_size=16)


def first_of(watching: Subscription, kind: type, also: Callable[[TrainEvent], bool] = lambda _: True) -> TrainEvent:
    """The next event of a kind; those before it are heard and forgotten."""
    while True:
        for event in watching.next(60):
            if isinstance(event, kind) and also(event):
                return event


def started_in(runner: Runner) -> float:
    """Seconds from the click to the first step that a listener hears of."""
    run = store.create(_OWNER, _QUICK)
    began = time.perf_counter()
    runner.start(run.id)
    with runner.subscribe(run.id) as watching:
        first_of(watching, Stepped)
        took = time.perf_counter() - began
        runner.command(run.id, Command("stop"))
        first_of(watching, Ended)
    return took


def obeyed_in(
    runner: Runner, run: Run, watching: Subscription, command: str, kind: type, step_s: float
) -> tuple[float, int]:
    """Seconds until a command is obeyed, and the steps that were begun after it was sent."""
    last = first_of(watching, Stepped).step if command != "resume" else -1  # pyright: ignore
    time.sleep(random.uniform(0, step_s))
    last = max([last, *(event.step for event in watching.next(0) if isinstance(event, Stepped))])
    began = time.perf_counter()
    runner.command(run.id, Command(command))
    event = first_of(watching, kind)
    took = time.perf_counter() - began
    # Of the steps since the last one that was told, the first was going on when the command was sent.
    return took, event.step - last - 1 if command != "resume" else 0  # pyright: ignore[reportAttributeAccessIssue]


def told(name: str, took_s: list[float], more: str = "") -> None:
    """A line of the table."""
    print(
        f"{name:<22} median {statistics.median(took_s) * 1000:6.0f} ms   p95 {percentile(took_s, 0.95) * 1000:6.0f} ms"
        f"   of {len(took_s)}{more}"
    )


def main() -> None:
    """Start, pause, resume and stop, many times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cold", type=int, default=3)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--commands", type=int, default=20)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNNLAB_DATA_DIR"] = folder
        cold_s = []
        for _ in range(wanted.cold):
            runner = Runner()
            cold_s.append(started_in(runner))
            runner.close()
        runner = Runner()
        runner.warm_up()
        started_in(runner)
        warm_s = [started_in(runner) for _ in range(wanted.starts)]
        took_s: dict[str, list[float]] = {"pause": [], "resume": [], "stop": []}
        steps: list[int] = []
        step_s = 0.0
        while len(took_s["stop"]) < wanted.commands:
            run = store.create(_OWNER, _SLOW)
            runner.start(run.id)
            with runner.subscribe(run.id) as watching:
                first = first_of(watching, Stepped)
                second = first_of(watching, Stepped)
                step_s = (second.time - first.time) / (second.step - first.step)  # pyright: ignore
                for command, kind in (("pause", Changed), ("resume", Changed), ("stop", Ended)):
                    took, more = obeyed_in(runner, run, watching, command, kind, step_s)
                    took_s[command].append(took)
                    steps.append(more)
        runner.close()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    told("start, cold", cold_s)
    told("start, warm", warm_s)
    for command, values in took_s.items():
        told(command, values)
    print(f"one step took {step_s * 1000:.0f} ms; steps begun after a command was sent: {max(steps)} at most")
    if max(steps) > 0:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
