"""What explanations cost: against a plain forward pass, against the libraries, in memory, from many threads at once.

Run it from the root of the project on a quiet machine:

    python -m benchmarks.explaining
    python -m benchmarks.explaining --quick --only first another

Times are CPU times of one torch thread. Ratios are medians over rounds in which each runs once, in an order that is
drawn anew: a machine that slows down for a while slows all of them, and none always finds the caches as the same one
left them. The libraries work on copies of the net, with an extractor that is made once. Weights are random: how much is
computed does not depend on them.

first    one map of a new picture, from the picture on. Limits, for ResNet-18 at 224 px: 1.05 × a forward pass without
         gradients, and pytorch-grad-cam takes 2.8 × as long; its Eigen-CAM needs no gradients either and has to
         take as long.
another  another class on a pass that was kept. Limit, for ResNet-18: 0.02 × a forward pass.
slow     those that run the net many times. Limits: Ablation-CAM 50 × as fast as pytorch-grad-cam on ResNet-18;
         Score-CAM no slower than torchcam's, integrated gradients and occlusion no slower than Captum's with as many
         steps and places (1.05 ×, what two runs of one thing differ by).
memory   most memory above the model for a batch of 8 at 224 px, each in a process of its own. Limit: 1.3 × a forward
         pass without gradients.
threads  8 threads, 500 calls each, all methods and plain predictions on one model. Limits: every answer is the same to
         the last bit as from one thread; no exception; the model is unchanged.
growth   memory over 1,000 calls of all methods, after 200 to warm up. Limit: 4 MB.

The exit status is 1 when a limit is missed.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # pytorch-grad-cam's Eigen-CAM decomposes with NumPy

import argparse
import contextlib
import copy
import ctypes
import gc
import io
import itertools
import random
import re
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnnlab.explain import METHODS, look
from cnnlab.explain.integrated_gradients import STEPS
from cnnlab.explain.occlusion import patch_and_stride
from cnnlab.inference import share
from cnnlab.nets import ARCHITECTURES, build_seeded

FAST = {
    "gradcam": "GradCAM",
    "gradcam_plus_plus": "GradCAMPlusPlus",
    "layercam": "LayerCAM",
    "hirescam": "HiResCAM",
    "eigencam": "EigenCAM",
}
"""Method → its name in pytorch-grad-cam."""

LAYERS = {"resnet18": "layer4", "resnet_cifar": "features"}
FORWARD_LIMIT, GRAD_CAM_LIMIT, ANOTHER_LIMIT, ABLATION_LIMIT, SAME = 1.05, 2.8, 0.02, 50.0, 1.05
MEMORY_LIMIT, GROWTH_LIMIT_MB = 1.3, 4.0
NUM_THREADS = 8

Call = Callable[[], object]


@dataclass
class Sheet:
    """Prints figures and counts those that miss their limit."""

    missed: int = 0

    def line(self, what: str, figures: str, verdict: bool | None = None) -> None:
        """Print one line; `verdict` says whether the limit is kept, None that there is none."""
        self.missed += verdict is False
        print(f"{what:36}{figures}{'' if verdict is None else '  ok' if verdict else '  MISSED'}", flush=True)


@dataclass
class Case:
    """A net, what it looks at, and copies for the others."""

    net: str
    batch_size: int = 1

    def __post_init__(self) -> None:
        """Build it."""
        self.layer = LAYERS[self.net]
        self.plain = build_seeded(self.net, seed=0)
        self.shared = share(copy.deepcopy(self.plain))
        self.x = torch.randn(self.batch_size, *ARCHITECTURES[self.net].input_shape)

    def forward(self) -> Tensor:
        """The prediction alone, of a net without capture points."""
        with torch.no_grad():
            return self.plain(self.x)

    def ours(self, key: str) -> Call:
        """A whole map of ours, from the picture on."""
        return lambda: METHODS[key].run(self.shared, self.x, 1, self.layer)

    def another_class(self, key: str) -> Call:
        """A map of another class each time, on a pass that was kept."""
        seen = look(self.shared, self.x, [self.layer])
        classes = itertools.cycle(range(10))
        return lambda: METHODS[key].of(seen, next(classes), self.layer)

    def grad_cam(self, kind: str) -> Call:
        """A whole map of pytorch-grad-cam."""
        import pytorch_grad_cam
        from pytorch_grad_cam.ablation_layer import AblationLayer
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        model = copy.deepcopy(self.plain)
        extras: dict[str, Any] = {"ablation_layer": AblationLayer()} if kind == "AblationCAM" else {}
        cam = getattr(pytorch_grad_cam, kind)(model, [model.get_submodule(self.layer)], **extras)
        return quiet(lambda: cam(self.x, [ClassifierOutputTarget(1)]))

    def torchcam_score(self) -> Call:
        """A whole Score-CAM of torchcam."""
        from torchcam.methods import ScoreCAM

        model = copy.deepcopy(self.plain)
        extractor = ScoreCAM(model, self.layer, input_shape=tuple(self.x.shape[1:]))

        def call() -> object:
            with torch.no_grad():
                model(self.x)
            return extractor(1)

        return quiet(call)

    def captum_integrated(self) -> Call:
        """Captum's integrated gradients, with as many steps."""
        from captum.attr import IntegratedGradients

        method = IntegratedGradients(copy.deepcopy(self.plain))
        return quiet(lambda: method.attribute(self.x, target=1, n_steps=STEPS))

    def captum_occlusion(self) -> Call:
        """Captum's occlusion, with the same squares."""
        from captum.attr import Occlusion

        method = Occlusion(copy.deepcopy(self.plain))
        channels, height, width = self.x.shape[1:]
        patch, stride = patch_and_stride(height, width)
        window, strides = (channels, patch, patch), (channels, stride, stride)
        return quiet(
            lambda: method.attribute(
                self.x, sliding_window_shapes=window, strides=strides, target=1, perturbations_per_eval=16
            )
        )


def quiet(call: Call) -> Call:
    """Without the warnings and progress bars of the libraries."""

    def silent() -> object:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            return call()

    return silent


def cpu_seconds(call: Call) -> float:
    """CPU time of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def interleaved(calls: dict[str, Call], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """CPU times of each, in rounds."""
    for _ in range(warm_up):
        for call in calls.values():
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    draw = random.Random(0)
    for _ in range(rounds):
        for name in draw.sample(list(calls), len(calls)):
            times[name].append(cpu_seconds(calls[name]))
    return times


def ratio(times: dict[str, list[float]], one: str, other: str) -> float:
    """Median over the rounds."""
    return statistics.median(a / b for a, b in zip(times[one], times[other], strict=True))


def first(sheet: Sheet, quick: bool) -> None:
    """A first map against a forward pass and against pytorch-grad-cam."""
    for net in LAYERS:
        case = Case(net)
        has_limit = net == "resnet18"
        ours = {key: case.ours(key) for key in FAST}
        times = interleaved({"forward": case.forward, **ours}, 9 if quick else 31, warm_up=2)
        sheet.line(f"{net}, a forward pass", f"{statistics.median(times['forward']) * 1e3:8.2f} ms")
        for key, kind in FAST.items():
            pair = interleaved({"ours": ours[key], "theirs": case.grad_cam(kind)}, 3 if quick else 9)
            cost, gain = ratio(times, key, "forward"), ratio(pair, "theirs", "ours")
            figures = f"{cost:8.3f} × forward, pytorch-grad-cam {gain:6.2f} × as long"
            is_kept = cost <= FORWARD_LIMIT and gain >= (GRAD_CAM_LIMIT if METHODS[key].is_class_specific else 1)
            sheet.line(f"{net}, {METHODS[key].label}", figures, is_kept if has_limit else None)


def another(sheet: Sheet, quick: bool) -> None:
    """Another class on a pass that was kept."""
    for net in LAYERS:
        case = Case(net)
        calls = {key: case.another_class(key) for key in FAST if METHODS[key].is_class_specific}
        times = interleaved({"forward": case.forward, **calls}, 11 if quick else 41, warm_up=3)
        for key in calls:
            cost = ratio(times, key, "forward")
            figures = f"{cost:8.4f} × forward, {statistics.median(times[key]) * 1e3:.2f} ms"
            sheet.line(f"{net}, {METHODS[key].label}", figures, cost <= ANOTHER_LIMIT if net == "resnet18" else None)


def slow(sheet: Sheet, quick: bool) -> None:
    """Methods that run the net many times, against the same of the libraries."""
    for net in LAYERS:
        case = Case(net)
        is_small = net == "resnet_cifar"
        rounds = (5 if quick else 9) if is_small else 1 if quick else 3
        pairs = {
            "ablationcam": ("pytorch-grad-cam", case.grad_cam("AblationCAM")),
            "scorecam": ("torchcam", case.torchcam_score()),
            "integrated_gradients": ("Captum", case.captum_integrated()),
            "occlusion": ("Captum", case.captum_occlusion()),
        }
        for key, (library, theirs) in pairs.items():
            times = interleaved({"ours": case.ours(key), "theirs": theirs}, rounds, warm_up=int(is_small))
            cost, gain = ratio(times, "ours", "theirs"), ratio(times, "theirs", "ours")
            figures = f"{statistics.median(times['ours']):8.3f} s, {cost:.3f} × {library} ({gain:.2f} × as fast)"
            is_kept = gain >= ABLATION_LIMIT if key == "ablationcam" else cost <= SAME
            has_limit = key != "ablationcam" or net == "resnet18"
            sheet.line(f"{net}, {METHODS[key].label}", figures, is_kept if has_limit else None)


def memory(sheet: Sheet, quick: bool) -> None:
    """Most memory above the model, each in a process of its own."""
    rounds = 1 if quick else 3
    peaks = {
        what: statistics.median(in_a_process("peak", what) for _ in range(rounds))
        for what in ("forward", *FAST, "grad-cam")
    }
    for what, peak in peaks.items():
        cost = peak / peaks["forward"]
        is_kept = cost <= MEMORY_LIMIT if what in FAST else None
        sheet.line(f"resnet18, batch of 8, {what}", f"{peak:8.1f} MB, {cost:.2f} × forward", is_kept)


def threads(sheet: Sheet, quick: bool) -> None:
    """Many threads on one model."""
    calls = 50 if quick else 500
    net = "simple_conv_net"
    layer = "features.4"
    model = share(build_seeded(net, seed=0))
    before = fingerprint(model)
    pictures = torch.randn(NUM_THREADS, *ARCHITECTURES[net].input_shape)
    jobs = ["predict", *METHODS]

    def answer(thread: int, job: str) -> Tensor:
        x = pictures[thread : thread + 1]
        if job == "predict":
            with torch.no_grad():
                return model(x)
        return METHODS[job].run(model, x, thread, layer)

    expected = {(thread, job): answer(thread, job) for thread in range(NUM_THREADS) for job in jobs}

    def work(thread: int) -> tuple[int, int]:
        draw = random.Random(thread)
        wrong = failed = 0
        for _ in range(calls):
            # As often a prediction as a map.
            job = draw.choice(jobs) if draw.random() < 0.5 else "predict"
            try:
                wrong += not torch.equal(answer(thread, job), expected[thread, job])
            except Exception as error:  # noqa: BLE001 - counted
                failed += 1
                print(f"{job}: {error!r}")
        return wrong, failed

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        results = list(pool.map(work, range(NUM_THREADS)))
    wrong, failed = (sum(each) for each in zip(*results, strict=True))
    is_same = fingerprint(model) == before
    sheet.line(
        f"{NUM_THREADS} threads × {calls} calls",
        f"{wrong} wrong, {failed} exceptions, model {'unchanged' if is_same else 'CHANGED'}",
        wrong == failed == 0 and is_same,
    )


def growth(sheet: Sheet, quick: bool) -> None:
    """Memory over many calls."""
    grown = in_a_process("growth", "200" if quick else "1000")
    sheet.line(f"{200 if quick else 1000:,} calls", f"{grown:8.2f} MB more", grown <= GROWTH_LIMIT_MB)


def fingerprint(model: nn.Module) -> list[object]:
    """All of a model that explaining it could change."""
    state: list[object] = []
    for name, module in model.named_modules():
        hooks = [(key, id(hook)) for key, hook in module._forward_hooks.items()]
        state.append((name, id(module), module.training, hooks, list(module._forward_pre_hooks)))
    state += [(name, each.requires_grad, each.grad) for name, each in model.named_parameters()]
    state += [(name, each.flatten().tolist()) for name, each in model.state_dict().items()]
    return state


def in_a_process(measure: str, what: str) -> float:
    """MB that a measurement in a fresh process finds."""
    command = [sys.executable, "-m", "benchmarks.explaining", "--measure", measure, what]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def resident(field: str) -> float:
    """MB of this process: VmRSS now, VmHWM at most since it was reset."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def settle() -> None:
    """Hand free memory back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def measure_peak(what: str) -> float:
    """Most memory above the model for a batch of 8, MB."""
    case = Case("resnet18", batch_size=8)
    if what == "grad-cam":
        del case.shared
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        cam = pytorch_grad_cam.GradCAM(case.plain, [case.plain.get_submodule(case.layer)])

        def call(x: Tensor) -> object:
            return cam(x, [ClassifierOutputTarget(1)] * len(x))

    elif what == "forward":
        del case.shared

        def call(x: Tensor) -> object:
            with torch.no_grad():
                return case.plain(x)

    else:
        del case.plain

        def call(x: Tensor) -> object:
            return METHODS[what].run(case.shared, x, 1, case.layer)

    call(torch.zeros(1, 3, 64, 64))  # what is loaded once is no part of it
    settle()
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is in use
    call(case.x)
    return resident("VmHWM") - before


def measure_growth(calls: int) -> float:
    """Memory that stays after so many calls of all methods, MB."""
    model = share(build_seeded("simple_conv_net", seed=0))
    jobs = itertools.cycle(METHODS)

    def work(times: int) -> None:
        for _ in range(times):
            METHODS[next(jobs)].run(model, torch.randn(2, 1, 28, 28), [1, 2], "features.4")

    work(200)
    settle()
    before = resident("VmRSS")
    work(calls)
    settle()
    return resident("VmRSS") - before


PARTS: dict[str, Callable[[Sheet, bool], None]] = {
    "first": first,
    "another": another,
    "slow": slow,
    "memory": memory,
    "threads": threads,
    "growth": growth,
}


def main() -> int:
    """Print the table; return 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and calls")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.measure:
        measure, what = arguments.measure
        print(measure_peak(what) if measure == "peak" else measure_growth(int(what)))
        return 0
    sheet = Sheet()
    print(f"PyTorch {torch.__version__}, one thread, CPU time")
    for part in arguments.only:
        print(f"\n{part}")
        PARTS[part](sheet, arguments.quick)
    print("\nAll limits kept." if not sheet.missed else f"\n{sheet.missed} limits missed.")
    return 1 if sheet.missed else 0


if __name__ == "__main__":
    sys.exit(main())
