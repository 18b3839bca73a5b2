"""How fast 50,000 small JPEG files in a zip become pixels, against a bare loop of Pillow over the same files.

Both ways are timed in turn within one run, each going first every other time, so that whatever else the machine does
falls on both. Both read the same members from the same open zip and make one array (N, 32, 32, 3) of them; ours also
checks each file's structure and its checksum, tells its progress and could be cancelled. The figure is the median over
pairs of bare divided by ours, in wall time and in processor time; below the limit the script exits 1.

    python -m benchmarks.pictures ../shared/data/cifar10-jpeg.zip --pairs 7 --threads 1
"""

import argparse
import io
import os
import platform
import random
import statistics
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cnnlab.data.archives import members_of_zip
from cnnlab.data.unpacking import unpack_all

SIDE = 32


def bare(archive: zipfile.ZipFile, names: list[str]) -> np.ndarray:
    """What anybody would write."""
    pixels = np.empty((len(names), SIDE, SIDE, 3), dtype=np.uint8)
    for index, name in enumerate(names):
        pixels[index] = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
    return pixels


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor time of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> int:
    """Measure, print, and say by the exit code whether the promise holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("zip", type=Path, help="a zip of small pictures of 32 × 32 px")
    parser.add_argument("--count", type=int, default=10_000, help="how many of them, drawn at random")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=None, help="of ours; by default one a core")
    parser.add_argument("--limit", type=float, default=0.8)
    arguments = parser.parse_args()

    with arguments.zip.open("rb") as file, zipfile.ZipFile(arguments.zip) as archive:
        members, _ = members_of_zip(file)
        members = random.Random(0).sample(members, min(arguments.count, len(members)))
        names = [member.name for member in members]
        told: list[int] = []
        ways: dict[str, Callable[[], object]] = {
            "bare Pillow": lambda: bare(archive, names),
            "cnnlab.data": lambda: unpack_all(
                members,
                SIDE,
                threads=arguments.threads,
                progress=lambda _, done, __: told.append(done),
                cancelled=lambda: False,
            ),
        }
        assert np.array_equal(bare(archive, names[:500]), unpack_all(members[:500], SIDE).pictures)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for pair in range(arguments.pairs):
            for name in list(ways)[:: 1 if pair % 2 else -1]:
                times[name].append(seconds(ways[name]))

    print(
        f"device {platform.machine()} CPU, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"threads {arguments.threads or 'one a core'}; Python {platform.python_version()}, Pillow {PIL.__version__}, "
        f"NumPy {np.__version__}, OpenCV {cv2.__version__}"
    )
    print(f"{len(members):,} files of {arguments.zip.name}, {arguments.pairs} pairs, told {len(told):,} times")
    for name, taken in times.items():
        wall, processor = (statistics.median(one) * 1e6 / len(members) for one in zip(*taken, strict=True))
        print(f"{name:12s} median {wall:6.1f} µs a picture, {processor:6.1f} µs of processor time")
    ratios = [statistics.median(b[kind] / o[kind] for b, o in zip(*times.values(), strict=True)) for kind in range(2)]
    print(f"speed of ours / bare: wall {ratios[0]:.2f}, processor time {ratios[1]:.2f} (limit {arguments.limit:g})")
    return 0 if min(ratios) >= arguments.limit else 1


if __name__ == "__main__":
    sys.exit(main())
