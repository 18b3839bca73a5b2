"""Many picture files to one array of a common size, on several threads.

With 50,000 small JPEG files each microsecond counts, so ordinary ones take a road of their own: `containers` reads
the structure, as for all pictures, and OpenCV unpacks the tidied file. It uses the same library for JPEG as
Pillow and gives the same pixels, and it works without the interpreter's lock. Everything else goes through `decode`.
"""

import hashlib
import itertools
import os
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cnnlab.data.archives import Member
from cnnlab.data.dataset import Progress
from cnnlab.downloading import Cancelled
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.images import centre_crop, containers, decode, resize

_CHUNK = 64
# So small that nothing needs to look at the clock, 40 ms at most, or at the memory.
_PLAIN_PIXELS = 4_000_000
_MAX_THREADS = 8
# A larger picture may take 350 MB while it is unpacked, so no more than two are at a time, for all visitors together.
_LARGE_ONES = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What became of many files.

    Attributes:
        pictures: Shape (M, side, side, 3), uint8, of the files that are pictures, in their order.
        indices: Which files these are, shape (M,).
        digests: A checksum of the bytes of each of the M files.
        faults: Why another file is no picture, by index.
    """

    pictures: NDArray[np.uint8]
    indices: list[int]
    digests: list[bytes]
    faults: dict[int, str]


def unpack_all(
    members: Sequence[Member],
    side: int,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    threads: int | None = None,
) -> Unpacked:
    """Unpack files and fit each to a square: the shorter side resized to `side`, the middle cut out.

    Args:
        members: The files.
        side: In pixels.
        progress: Called with "unpacking", the files done and the files in all.
        cancelled: Asked after every few pictures; True ends it.
        threads: How many work at a time; by default one a core, and 8 at most.

    Raises:
        RunFailed: It was cancelled.
    """
    pictures = np.empty((len(members), side, side, 3), dtype=np.uint8)
    digests: list[bytes] = [b""] * len(members)
    faults: dict[int, str] = {}

    def work(begin: int) -> None:
        for index in range(begin, min(begin + _CHUNK, len(members))):
            try:
                data = members[index].read()
                pictures[index] = square(unpack(data), side)
                digests[index] = digest(data)
            except InputRejected as error:
                faults[index] = str(error)

    begins = iter(range(0, len(members), _CHUNK))
    threads = threads or min(os.cpu_count() or 1, _MAX_THREADS)
    done = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="unpack") as pool:
        # No more are handed out than are worked on soon, so that leaving takes a moment only.
        running: set[Future[None]] = {pool.submit(work, begin) for begin in itertools.islice(begins, 2 * threads)}
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
                done = min(done + _CHUNK, len(members))
                if (begin := next(begins, None)) is not None:
                    running.add(pool.submit(work, begin))
            if progress:
                progress("unpacking", done, len(members))
            if cancelled and cancelled():
                pool.shutdown(cancel_futures=True)
                raise RunFailed("Unpacking the pictures was cancelled. Start it again when you need them.")
    indices = [index for index in range(len(members)) if index not in faults]
    return Unpacked(
        pictures=pictures[indices] if faults else pictures,
        indices=indices,
        digests=[digests[index] for index in indices],
        faults=faults,
    )


def unpack(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a picture file, shape (H, W, 3), exactly as `decode` gives them.

    Raises:
        InputRejected: As `decode`.
    """
    packed = containers.read(data)
    is_plain = (
        packed.kind == "JPEG"
        and packed.coding == ""
        and packed.passes == 1
        and packed.channels in (1, 3)
        and packed.orientation == 1
        and packed.profile is None
        and 0 < packed.height * packed.width <= _PLAIN_PIXELS
        # OpenCV makes up what a file that was cut off does not hold; Pillow refuses it.
        and packed.stream.endswith(b"\xff\xd9")
    )
    if is_plain:
        stream = np.frombuffer(packed.stream, dtype=np.uint8)
        pixels = cv2.imdecode(stream, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is not None and pixels.shape[:2] == (packed.height, packed.width):
            return pixels.astype(np.uint8, copy=False)
    if packed.height * packed.width <= _PLAIN_PIXELS:
        return decode(data).pixels
    with _LARGE_ONES:
        return decode(data).pixels


def square(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize so that the shorter side is `side`, and cut the middle out: shape (side, side, 3).

    Raises:
        InputRejected: The picture is so long and thin that resizing would blow it up.
    """
    height, width = pixels.shape[:2]
    if height != side or width != side:
        scale = side / min(height, width)
        pixels = resize(pixels, max(side, round(height * scale)), max(side, round(width * scale)))
    return centre_crop(pixels, side, side)


def digest(data: bytes) -> bytes:
    """A checksum by which two files are known to be the same."""
    return hashlib.blake2b(data, digest_size=16).digest()
