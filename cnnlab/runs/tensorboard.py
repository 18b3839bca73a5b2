"""A run's curves in files that TensorBoard reads, written without it.

Such a file is a row of records: length (8 bytes), its checksum, data, its checksum (4 bytes each, little-endian). A
checksum is the CRC-32C of RFC 3720, appendix B.4, turned by 15 bits and shifted by a constant, so that checksums of
data that hold checksums stay useful. The data are protocol buffers: an `Event` with time (field 1), step (2), version
(3) or `Summary` (5), which holds `Value`s (1) with a name (1) and a float (2).

TensorBoard draws what has the same name in two folders into one chart; so there is one folder for training and one for
validation.
"""

import math
import struct
from collections.abc import Mapping
from pathlib import Path

from cnnlab.runs import store
from cnnlab.runs.journal import read_events
from cnnlab.storing import disk_in_words, write_whole
from cnnlab.train.events import EpochEnded, LayersMeasured, Started, Stepped

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_VERSION = b"brain.Event:2"
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_MASK = 0xA282EAD8

_Point = tuple[float, int, Mapping[str, float]]  # time, step, values by name


def write_scalars(run_id: str, folder: Path) -> tuple[Path, ...]:
    """Write loss, accuracy, learning rate and gradient norm of a run: `tensorboard --logdir FOLDER` shows them.

    Args:
        run_id: Of the run; it may be going on.
        folder: Made where needed; gets the folders `train` and `validation`. Files of this run that are there already
            are replaced.

    Returns:
        The files.

    Raises:
        InputRejected: There is no such run.
        ResourceExhausted: The disk is full or cannot be written to.
    """
    run = store.get(run_id)
    with disk_in_words("The curves could not be written", to_delete="runs"):
        paths = []
        for name, content in event_files(run).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
            paths.append(path)
    return tuple(paths)


def event_files(run: store.Run) -> dict[str, bytes]:
    """The same in memory, by name with its folder.

    Steps that were done twice, because the run was resumed from an earlier one, are told as they went at last.

    Raises:
        OSError: The disk cannot be read.
    """
    curves: dict[str, list[_Point]] = {"train": [], "validation": []}
    train, validation = curves.values()
    time = run.created
    for event in read_events(store.folder(run.id)):
        time = getattr(event, "time", time)
        match event:
            case Started(first_step=first):
                for curve in curves.values():
                    curve[:] = [point for point in curve if point[1] <= first]
            case Stepped():
                values = {"loss": event.loss, "accuracy": event.accuracy, "learning_rate": event.lr}
                train.append((time, event.step, values))
            case LayersMeasured():
                train.append((time, event.step, {"gradient_norm": event.gradient_norm}))
            case EpochEnded():
                values = {"loss": event.validation_loss, "accuracy": event.validation_accuracy}
                validation.append((time, event.step, values))
    name = f"events.out.tfevents.{int(run.created):010}.{run.id}"
    return {f"{part}/{name}": _file(curve, run.created) for part, curve in curves.items()}


def _file(curve: list[_Point], created: float) -> bytes:
    events = [_fixed64(1, created) + _bytes(3, _VERSION)]
    for time, step, values in curve:
        summary = b"".join(_bytes(1, _bytes(1, name.encode()) + _fixed32(2, value)) for name, value in values.items())
        events.append(_fixed64(1, time) + _varint(2, step) + _bytes(5, summary))
    return b"".join(map(_framed, events))


def _framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def _masked(data: bytes) -> int:
    checksum = crc32c(data)
    return ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The CRC-32C of some bytes."""
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum = _TABLE[(checksum ^ byte) & 0xFF] ^ checksum >> 8
    return checksum ^ 0xFFFFFFFF


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ _POLYNOMIAL * (byte & 1)
    return byte


_TABLE = tuple(map(_entry, range(256)))


def _number(value: int) -> bytes:
    """A whole number in sevens of bits, the lowest first; the eighth bit says that there are more."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _varint(field: int, value: int) -> bytes:
    return _number(field << 3 | _VARINT) + _number(value & 0xFFFFFFFFFFFFFFFF)


def _fixed64(field: int, value: float) -> bytes:
    return _number(field << 3 | _FIXED64) + struct.pack("<d", value)


def _fixed32(field: int, value: float) -> bytes:
    try:
        data = struct.pack("<f", value)
    except OverflowError:  # above 3.4 · 10³⁸
        data = struct.pack("<f", math.copysign(math.inf, value))
    return _number(field << 3 | _FIXED32) + data


def _bytes(field: int, data: bytes) -> bytes:
    return _number(field << 3 | _BYTES) + _number(len(data)) + data
