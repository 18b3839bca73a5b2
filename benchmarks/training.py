"""Training against the loops of the tutorials: the same nets, batch sizes and optimisers, the same cores.

    python -m benchmarks.training                    # one thread
    python -m benchmarks.training --threads 2
    python -m benchmarks.training --to-accuracy      # how much work the tutorials' own accuracy takes

Each side lives in a process of its own with its own environment, ours with that of the lab's workers, and trains in
turn with the other for some seconds, so that a machine that slows down for a while slows both. What is timed is
training, from pictures in memory to changed weights, with all that the loops tell meanwhile; validation is not.

The columns: pictures a second by the clock; pictures per second that a core worked, the loader's processes included
(the only one to trust while the machine has other things to do; a thread that waits actively works, too); the ratios
ours / tutorial of both, medians over the rounds; the share of the machine's peak that each side reaches per
core-second, from the net's multiply-adds, three times per picture (forward, gradients of maps, gradients of weights),
against the product of two 1,024² matrices that runs in turn with both; the share of its cores that ours got. Where
that is all of them, the clock's ratio is held against the limit, else the other. The exit status is 1 when a limit is
missed.

With one thread, the tutorial's pictures are loaded in the process itself; with more, by as many processes as it asks
for. Data as `CNNLAB_TEST_DATA` holds it: MNIST as torchvision keeps it, CIFAR-10 in any form that the lab reads. On
Linux only.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.tutorial_loops import TUTORIALS, Loop
from cnnlab.data import Augment, Step
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.spec import LayerSpec, NetSpec, layer
from cnnlab.nets.summary import summarize, totals
from cnnlab.runs.launching import ENVIRONMENT
from cnnlab.train import TrainConfig, Training
from cnnlab.train.config import PRECISIONS
from cnnlab.train.evaluating import evaluate
from cnnlab.train.events import EpochEnded, Stepped
from cnnlab.train.recipes import RECIPES

ROOT = Path(__file__).parents[1]
_QUIET = 0.9
"""Share of its cores that a side gets on a machine that has nothing else to do."""

DATA = Path(os.environ.get("CNNLAB_TEST_DATA", ROOT.parent / "shared" / "data"))


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the table.

    Attributes:
        key: Of `RECIPES` and of `TUTORIALS`.
        ratio: Smallest ratio that we promise, on a quiet machine.
        peak: Smallest share of the machine's peak that we promise; 0 for none.
        batch_size: Ours; 0 for the tutorial's.
    """

    key: str
    ratio: float
    peak: float = 0.0
    batch_size: int = 0


CASES = {
    "simple": Case("mnist_simple_cnn", 2.2, 0.6),
    "wide": Case("mnist_wide_cnn", 2.4, 0.6),
    "lenet": Case("cifar10_lenet", 1.8),
    "lenet256": Case("cifar10_lenet", 7.0, batch_size=256),
    "cnn": Case("cifar10_cnn", 1.7, 0.75),
}


def _block(channels: int, kernel_size: int, stride: int = 1) -> tuple[LayerSpec, ...]:
    padding = kernel_size // 2
    return (
        layer("conv", out_channels=channels, kernel_size=kernel_size, stride=stride, padding=padding, bias=False),
        layer("batch_norm"),
        layer("relu"),
    )


def _quick(*, in_channels: int, side: int, augment: Augment) -> TrainConfig:
    """One pass over the pictures: steps of two in the first layer, BatchNorm, one cycle of the learning rate."""
    layers = (
        *_block(16, 5, stride=2),
        *_block(32, 3),
        layer("max_pool", kernel_size=2),
        *_block(48, 3),
        layer("flatten"),
        layer("linear", out_features=10),
    )
    return TrainConfig(
        net=NetSpec("Three convolutions", (in_channels, side, side), layers),
        data="mnist" if in_channels == 1 else "cifar10",
        validation=0.02,
        epochs=1,
        batch_size=64,
        optimizer="adamw",
        lr=6e-3,
        weight_decay=0.01,
        schedule="one_cycle",
        warmup=0.2,
        augment=augment,
    )


@dataclass(frozen=True, slots=True)
class Race:
    """Who reaches an accuracy with less work.

    Attributes:
        tutorial: Key of `TUTORIALS`.
        config: Ours.
        accuracy: On the test pictures, as the tutorial prints it.
        share: Largest share of the tutorial's work that we promise.
    """

    tutorial: str
    config: TrainConfig
    accuracy: float
    share: float


RACES = {
    "mnist": Race("mnist_simple_cnn", _quick(in_channels=1, side=28, augment=Augment()), 0.9896, 1 / 6),
    "cifar10": Race("cifar10_lenet", _quick(in_channels=3, side=32, augment=Augment((Step("flip"),))), 0.57, 1 / 5),
}


# What follows runs in the process of one side.


def cpu_seconds() -> float:
    """Work of this process and its children, those that have ended and those that have not."""
    ended = os.times()
    # The clock of another process, as clock_getcpuclockid(3) makes it on Linux.
    living = sum(time.clock_gettime(~child.pid << 3 | 2) for child in multiprocessing.active_children() if child.pid)
    return time.process_time() + ended.children_user + ended.children_system + living


def ours(case: Case, threads: int, precision: str) -> Iterator[int]:
    """Train as the lab does, forever; gives the pictures done since the last time, 0 after validation."""
    config = RECIPES[case.key].config
    batch_size = case.batch_size or config.batch_size
    config = replace(config, threads=threads, epochs=1000, batch_size=batch_size, precision=precision)
    before = 0
    for event in Training(config):
        if isinstance(event, Stepped):
            yield (event.step - before) * batch_size
            before = event.step
        elif isinstance(event, EpochEnded):
            yield 0


def theirs(case: Case, threads: int, _precision: str) -> Iterator[int]:
    """Train as the tutorial does, forever; gives the pictures of each step."""
    loop = Loop(TUTORIALS[case.key], num_workers=0 if threads == 1 else None)
    while True:
        yield from loop.epoch()


def peak(_case: Case, _threads: int, _precision: str) -> Iterator[int]:
    """Multiply 1,024² matrices, forever; gives the multiply-adds of each product."""
    a, b = torch.rand(2, 1024, 1024)
    while True:
        torch.mm(a, b)
        yield 1024**3


SIDES = {"ours": ours, "theirs": theirs, "peak": peak}


def serve(side: str, case: Case, threads: int, precision: str) -> None:
    """Work for as many seconds as each line of the input says; answer with what was done, and with what effort."""
    work = SIDES[side](case, threads, precision)
    cpu = cpu_seconds()
    for line in sys.stdin:
        done, seconds, core_seconds = 0, 0.0, 0.0
        while seconds < float(line):
            began = time.perf_counter()
            step = next(work)
            # From the end of the last step: what a loader has prepared in a pause is work, too.
            before, cpu = cpu, cpu_seconds()
            if step:
                done += step
                seconds += time.perf_counter() - began
                core_seconds += cpu - before
        print(json.dumps([done, seconds, core_seconds]), flush=True)


def race_ours(race: Race) -> Iterator[tuple[int, float, float]]:
    """Train to the end of the schedule; gives epochs, core-seconds with validation, and test accuracy."""
    training = Training(race.config)
    began = cpu_seconds()
    for _ in training:
        pass
    spent = cpu_seconds() - began
    seen = evaluate(training.average, training.dataset, training.dataset.splits.test)
    yield training.config.epochs, spent, seen.accuracy


def race_theirs(race: Race) -> Iterator[tuple[int, float, float]]:
    """Train epoch by epoch; gives epochs, core-seconds without the looks at the test pictures, and test accuracy."""
    loop = Loop(TUTORIALS[race.tutorial], num_workers=0)
    spent = 0.0
    for epoch in range(1, TUTORIALS[race.tutorial].epochs + 1):
        began = cpu_seconds()
        for _ in loop.epoch():
            pass
        spent += cpu_seconds() - began
        yield epoch, spent, loop.test_accuracy()


# What follows runs in the process that measures.


@contextmanager
def lab_data() -> Iterator[None]:
    """A data directory for all sides in which the lab finds the data; it goes away afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "datasets").symlink_to(DATA.resolve(), target_is_directory=True)
        os.environ["CNNLAB_DATA_DIR"] = folder
        yield


@contextmanager
def side(name: str, what: str, threads: int, precision: str = "fp32") -> Iterator["subprocess.Popen[str]"]:
    """A process for one side of a case or race, with the environment that this side would have."""
    environment = {**os.environ, **(ENVIRONMENT if name == "ours" else {}), "OMP_NUM_THREADS": str(threads)}
    told = ["--threads", str(threads), "--precision", precision, "--child", name, what]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.training", *told],
        cwd=ROOT,
        env=environment | {"MKL_NUM_THREADS": str(threads)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def worked(process: "subprocess.Popen[str]", seconds: float) -> tuple[float, float, float]:
    """Let a side work for a while; what it did per second, per core-second, and what share of a core it got."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    done, spent, core_spent = json.loads(process.stdout.readline())
    return done / spent, done / core_spent, core_spent / spent


def macs_of(case: Case) -> int:
    """Multiply-adds of a picture's way through the net and back."""
    architecture = ARCHITECTURES[str(RECIPES[case.key].config.net)]
    return 3 * totals(summarize(architecture.build(), architecture.input_shape)).macs


def compare(name: str, threads: int, precision: str, rounds: int, seconds: float) -> bool:
    """Print one line of the table; whether it keeps its limits."""
    case = CASES[name]
    with (
        side("ours", name, threads, precision) as own,
        side("theirs", name, threads) as other,
        side("peak", name, threads) as top,
    ):
        for process in (own, other, top):
            worked(process, seconds)  # the first steps are slower
        turns = [(worked(own, seconds), worked(other, seconds), worked(top, seconds / 4)) for _ in range(rounds)]
    by_clock = statistics.median(mine[0] / their[0] for mine, their, _ in turns)
    by_core = statistics.median(mine[1] / their[1] for mine, their, _ in turns)
    shares = [statistics.median(turn[index][1] * macs_of(case) / turn[2][1] for turn in turns) for index in (0, 1)]
    speeds = [statistics.median(turn[index][kind] for turn in turns) for kind in (0, 1) for index in (0, 1)]
    gflops = 2e-9 * statistics.median(turn[2][1] for turn in turns)
    got = statistics.median(mine[2] for mine, _, _ in turns) / threads
    print(
        f"{name:9}{speeds[0]:9,.0f}{speeds[1]:9,.0f}{by_clock:7.2f}  {speeds[2]:9,.0f}{speeds[3]:9,.0f}{by_core:7.2f}"
        f"{case.ratio:7.1f}  {shares[0]:6.0%}{shares[1]:6.0%}{case.peak:6.0%}{gflops:8.0f}{got:7.0%}",
        flush=True,
    )
    return (by_clock if got > _QUIET else by_core) >= case.ratio and shares[0] >= case.peak


def race(name: str) -> bool:
    """Print how much work both sides need; whether ours needs as little as promised."""
    wanted = RACES[name]
    needed = {}
    for who in ("ours", "theirs"):
        with side(who, name, 1) as process:
            assert process.stdout
            for line in process.stdout:
                epochs, spent, accuracy = json.loads(line)
                print(f"{name:9}{who:8}{epochs:3} epochs {spent:8.1f} core-s  test accuracy {accuracy:.2%}", flush=True)
                if accuracy >= wanted.accuracy:
                    needed[who] = spent
                    break
    if len(needed) < 2:
        print(f"{name:9}{wanted.accuracy:.2%} was not reached by {'ours' if 'ours' not in needed else 'the tutorial'}.")
        return "ours" in needed
    share = needed["ours"] / needed["theirs"]
    print(
        f"{name:9}{wanted.accuracy:.2%} with 1/{1 / share:.1f} of the work; at most 1/{1 / wanted.share:.0f} promised"
    )
    return share <= wanted.share


def main() -> int:
    """Print the table; return 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, choices=(1, 2), help="of each side")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS, help="of ours; the tutorials' is fp32")
    parser.add_argument("--rounds", type=int, default=7, help="turns per ratio")
    parser.add_argument("--quick", action="store_true", help="three turns of a second: to see that it works")
    parser.add_argument("--to-accuracy", action="store_true", help="work to the tutorials' own accuracy, one thread")
    parser.add_argument("--only", choices=(*CASES, *RACES), action="append", help="of the cases; again for more")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.child:
        torch.set_num_threads(wanted.threads)
        who, what = wanted.child
        if what in CASES:
            serve(who, CASES[what], wanted.threads, wanted.precision)
        else:
            for line in {"ours": race_ours, "theirs": race_theirs}[who](RACES[what]):
                print(json.dumps(line), flush=True)
        return 0
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, "
        f"{wanted.threads} thread(s), ours in {wanted.precision}"
    )
    with lab_data():
        if wanted.to_accuracy:
            kept = [race(name) for name in RACES if name in (wanted.only or RACES)]
            return 0 if all(kept) else 1
        rounds, seconds = (3, 1.0) if wanted.quick else (wanted.rounds, 4.0)
        print(f"{rounds} turns of {seconds:g} s; ratios are medians of turns")
        print(
            "             images/s              images/core-s           limit   share of peak  limit GFLOP/s   cores\n"
            "             ours tutorial  ratio      ours tutorial  ratio          ours tutor          matmul   got"
        )
        kept = [
            compare(name, wanted.threads, wanted.precision, rounds, seconds)
            for name in CASES
            if name in (wanted.only or CASES)
        ]
    print("All limits kept." if all(kept) else f"{kept.count(False)} lines miss a limit.")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
