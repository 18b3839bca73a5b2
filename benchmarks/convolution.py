"""Time `apply_kernel` against OpenCV and PyTorch on one grey picture.

Run it from the root of the project on a quiet machine:

    python -m benchmarks.convolution --threads 1

Ratios are medians over interleaved pairs (ours, theirs, ours, theirs, …), so that a machine that slows down for a
while slows both sides. Limits: at stride 1 and dilation 1 at most 1.3 × `cv2.filter2D`; nowhere slower than
`torch.nn.functional.conv2d`. The exit status is 1 when a limit is missed.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from cnnlab.ops import apply_kernel

CV2_LIMIT = 1.3
TORCH_LIMIT = 1.0
CASES = [
    *[(side, 1, 1) for side in (3, 5, 7, 9, 11)],
    *[(side, stride, 1) for side in (3, 7, 11) for stride in (2, 3, 4)],
    *[(side, 1, dilation) for side in (3, 7, 11) for dilation in (2, 4)],
    (5, 2, 2),
]


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def pairs(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Time both in turns, after two calls of each to warm up."""
    for call in (ours, theirs, ours, theirs):
        call()
    timed = [(seconds(ours), seconds(theirs)) for _ in range(repeats)]
    return [own for own, _ in timed], [other for _, other in timed]


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median over the pairs."""
    return statistics.median(own / other for own, other in zip(ours, theirs, strict=True))


def milliseconds(times: list[float], percentile: int = 50) -> float:
    """Percentile of the times."""
    return float(np.percentile(times, percentile)) * 1e3


def main() -> int:
    """Print the table; return 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of OpenCV and of PyTorch")
    parser.add_argument("--size", type=int, default=1024, help="side of the picture in pixels")
    parser.add_argument("--repeats", type=int, default=31, help="pairs per ratio")
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    torch.set_num_threads(arguments.threads)

    print(
        f"{platform.processor() or platform.machine()}, {arguments.threads} threads, Python {platform.python_version()}"
    )
    print(f"NumPy {np.__version__}, OpenCV {cv2.__version__}, PyTorch {torch.__version__}")
    print(f"{arguments.size} × {arguments.size} float32, {arguments.repeats} pairs, times in ms")
    print("  k  S  D    ours     p95     cv2   torch  ours/cv2  ours/torch")

    rng = np.random.default_rng(0)
    image_hw = rng.uniform(0, 1, (arguments.size, arguments.size)).astype(np.float32)
    x_nchw = torch.from_numpy(image_hw)[None, None]
    missed = 0
    for side, stride, dilation in CASES:
        kernel_hw = rng.uniform(-1, 1, (side, side)).astype(np.float32)
        weight = torch.from_numpy(kernel_hw)[None, None]
        settings = {"stride": stride, "dilation": dilation, "padding": dilation * (side // 2)}
        ours = partial(apply_kernel, image_hw, kernel_hw, **settings)
        with torch.inference_mode():
            own, torch_times = pairs(ours, partial(F.conv2d, x_nchw, weight, **settings), arguments.repeats)
        to_torch = ratio(own, torch_times)
        missed += to_torch > TORCH_LIMIT
        cv2_cell, to_cv2_cell = "–", "–"
        if stride == dilation == 1:
            by_cv2 = partial(cv2.filter2D, image_hw, cv2.CV_32F, kernel_hw, borderType=cv2.BORDER_CONSTANT)
            own, cv2_times = pairs(ours, by_cv2, arguments.repeats)
            to_cv2 = ratio(own, cv2_times)
            missed += to_cv2 > CV2_LIMIT
            cv2_cell, to_cv2_cell = f"{milliseconds(cv2_times):.2f}", f"{to_cv2:.2f}"
        print(
            f"{side:3} {stride:2} {dilation:2}{milliseconds(own):8.2f}{milliseconds(own, 95):8.2f}{cv2_cell:>8}"
            f"{milliseconds(torch_times):8.2f}{to_cv2_cell:>10}{to_torch:12.2f}"
        )
    print("All limits kept." if not missed else f"{missed} limits missed.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
