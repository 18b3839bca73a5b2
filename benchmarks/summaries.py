"""Time `summarize` against torchinfo.

Run it from the root of the project on a quiet machine:

    python -m benchmarks.summaries --threads 1

Ratios are medians over interleaved pairs (ours, theirs, ours, theirs, …), so that a machine that slows down for a
while slows both sides. "first" is the first call in this process, before any shape is remembered. Limits: at most
2 × torchinfo on every net, and less than a second for ResNet-50. torchinfo runs the net on real numbers and lists
layers alone; we run it without values and also find the functions, the receptive fields and the formulas. The exit
status is 1 when a limit is missed.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
import torchinfo

from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.summary import summarize

RATIO_LIMIT = 2.0
SECONDS_LIMIT = 1.0
NETS = ("lenet5", "cat_dog_cnn", "vgg16", "resnet18", "resnet50", "mobilenet_v3_small", "efficientnet_b0")


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> int:
    """Print the table; return 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    parser.add_argument("--repeats", type=int, default=15, help="pairs per ratio")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    print(
        f"{platform.processor() or platform.machine()}, {arguments.threads} threads, Python {platform.python_version()}"
    )
    print(f"PyTorch {torch.__version__}, torchinfo {torchinfo.__version__}, {arguments.repeats} pairs, times in ms")
    print(f"{'net':20}{'first':>9}{'ours':>9}{'torchinfo':>11}{'ours/torchinfo':>16}")
    missed = 0
    for name in NETS:
        architecture = ARCHITECTURES[name]
        shape = architecture.input_shape
        net = architecture.build(num_classes=architecture.num_classes, in_channels=shape[0])
        ours = partial(summarize, net, shape)
        theirs = partial(torchinfo.summary, net, (1, *shape), verbose=0)
        first = seconds(ours)
        seconds(theirs)
        timed = [(seconds(ours), seconds(theirs)) for _ in range(arguments.repeats)]
        ratio = statistics.median(own / other for own, other in timed)
        own, other = (statistics.median(times) for times in zip(*timed, strict=True))
        missed += ratio > RATIO_LIMIT
        missed += name == "resnet50" and own >= SECONDS_LIMIT
        print(f"{name:20}{first * 1e3:9.1f}{own * 1e3:9.1f}{other * 1e3:11.1f}{ratio:16.2f}")
    print("All limits kept." if not missed else f"{missed} limits missed.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
