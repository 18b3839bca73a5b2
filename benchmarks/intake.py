"""How long a photograph takes from bytes to pixels, against the least Pillow needs for it.

Both ways are timed in turn within one run, so that whatever else the machine does falls on both. The figure is the
median over pairs of ours divided by bare; above the limit the script exits 1.

    python -m benchmarks.intake --pairs 40
"""

import argparse
import io
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cnnlab.images import decode


def photograph(megapixels: float) -> bytes:
    """A JPEG with the proportions and about the bytes per pixel of a camera's: soft shapes under fine grain."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = height * 4 // 3
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 24, width // 24, 3), dtype=np.uint8)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    grain = rng.integers(-6, 7, (height, width, 1), dtype=np.int16)
    stream = io.BytesIO()
    Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> int:
    """Measure, print, and say by the exit code whether the promise holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--limit", type=float, default=1.3)
    arguments = parser.parse_args()

    data = photograph(arguments.megapixels)
    ways: dict[str, Callable[[], object]] = {
        "bare Pillow": lambda: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
        "cnnlab.images.decode": lambda: decode(data),
    }
    for work in ways.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for pair in range(arguments.pairs):
        # Each goes first every other time: what one leaves in the caches helps the other as often.
        for name in list(ways)[:: 1 if pair % 2 else -1]:
            times[name].append(seconds(ways[name]))

    print(
        f"device {platform.machine()} CPU, {os.cpu_count()} cores, OpenCV threads {cv2.getNumThreads()}; "
        f"Python {platform.python_version()}, Pillow {PIL.__version__}, NumPy {np.__version__}, "
        f"OpenCV {cv2.__version__}"
    )
    print(f"JPEG of {arguments.megapixels:g} megapixels, {len(data) / 1e6:.1f} MB, {arguments.pairs} pairs")
    for name, taken in times.items():
        p95 = np.percentile(taken, 95)
        print(f"{name:22s} median {statistics.median(taken) * 1e3:6.1f} ms   p95 {p95 * 1e3:6.1f} ms")
    bare, ours = times.values()
    ratio = statistics.median(b / a for a, b in zip(bare, ours, strict=True))
    print(f"ratio {ratio:.3f} (limit {arguments.limit:g})")
    return 0 if ratio <= arguments.limit else 1


if __name__ == "__main__":
    sys.exit(main())
