"""Labels and pixels out of the pickled batches that torchvision keeps, without unpickling them.

A pickle is a program, and loading it runs it. Here its instructions are only read, in order, as `pickletools` lists
them: the numbers behind the name "labels", and the long string behind the name "data".
"""

import pickletools
from collections.abc import Iterator
from typing import Any

from cnnlab.errors import InputRejected

_STRINGS = ("SHORT_BINSTRING", "BINSTRING")


def read_batch(content: bytes, name: str) -> tuple[list[int], bytes]:
    """The labels and the pixels of a batch, as stored.

    Args:
        content: Of a batch of CIFAR-10 for Python, protocol 2, as written by Python 2.
        name: What to call it where it is refused.

    Raises:
        InputRejected: It is no such batch.
    """
    labels: list[int] = []
    pixels = ""
    key = ""
    for kind, value in _instructions(content, name):
        if kind in _STRINGS and value in ("labels", "data", "filenames", "batch_label"):
            key = value
        elif kind == "BININT1" and key == "labels":
            labels.append(value)
        elif kind == "BINSTRING" and key == "data":
            pixels = value
    if not labels or len(pixels) != 3072 * len(labels):
        raise _refused(name)
    return labels, pixels.encode("latin-1")


def _instructions(content: bytes, name: str) -> Iterator[tuple[str, Any]]:
    try:
        for instruction, argument, _ in pickletools.genops(content):
            yield instruction.name, argument
    except Exception:  # noqa: BLE001  Whatever is wrong with it, it is no batch.
        raise _refused(name) from None


def _refused(name: str) -> InputRejected:
    return InputRejected(
        f"{name} is no batch of CIFAR-10, or damaged. Delete its folder, and the lab fetches CIFAR-10."
    )
