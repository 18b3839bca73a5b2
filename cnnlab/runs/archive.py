"""A run as one zip file, to keep elsewhere or to hand on; and the way back, by which strangers may send anything.

    config.yaml, run.json, events.jsonl, weights/epoch_0004.safetensors …, tensorboard/…

Whose the run is, its id and its process stay here. What comes in is looked at file by file, and nothing of it is
unpickled, run, or written anywhere but into a new run's folder under a name that is known.
"""

import dataclasses
import io
import json
import math
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.spec import build
from cnnlab.runs import store
from cnnlab.runs.journal import EVENTS, MAX_LINE, from_line, read_events, to_line
from cnnlab.runs.plain import from_json, to_json
from cnnlab.runs.run import ENDED, STATES, Run, TestResult, checked_name, checked_tags
from cnnlab.runs.tensorboard import event_files
from cnnlab.storing import disk_in_words, write_whole
from cnnlab.train.checkpoints import NetFacts, epochs_in, weights_file
from cnnlab.train.config import TrainConfig
from cnnlab.train.events import Checkpointed, EpochEnded, LayersMeasured, Started, TrainEvent
from cnnlab.train.history import History

WEIGHTS = {"best": "Of the best epoch", "last": "Of the last epoch", "all": "Of all epochs"}

MAX_BYTES = 1_000_000_000
"""Of a zip, packed as well as unpacked."""

_MAX_ENTRIES = 1100  # 1,000 epochs, a few snapshots, and the rest
_MAX_RATIO = 200  # events are packed 5 to 15 times smaller
_SMALL = 1_000_000
_MAX_EVENTS = 2_000_000  # a day at 20 a second
_MAX_HEADER = 10_000_000
_ENCRYPTED = 0x1
_CENTRAL = b"PK\x01\x02"

_RUN = "run.json"
_WEIGHTS_NAME = re.compile(r"weights/(epoch_[0-9]{4}|step_[0-9]{8})\.safetensors")
_TENSORBOARD_NAME = r"tensorboard/(train|validation)/events\.out\.tfevents\.[0-9a-z.]{1,60}"
_KNOWN_NAME = re.compile(rf"config\.yaml|run\.json|events\.jsonl|{_WEIGHTS_NAME.pattern}|{_TENSORBOARD_NAME}")
_FOLDERS = ("weights/", "tensorboard/", "tensorboard/train/", "tensorboard/validation/")
_DTYPES = {torch.float32: "F32", torch.int64: "I64"}  # of which the lab's nets are made

_FORMAT = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What run.json in a zip says; the rest of what is known of a run follows from its events."""

    format: int
    name: str
    tags: tuple[str, ...]
    state: str
    reason: str
    test: TestResult | None


def export_zip(run_id: str, *, weights: str = "best", with_tensorboard: bool = False) -> bytes:
    """A run as a zip file.

    Args:
        run_id: Of the run; it may be going on.
        weights: Key of `WEIGHTS`. Where the best are gone, the last are taken.
        with_tensorboard: Whether TensorBoard's files go with it.

    Raises:
        InputRejected: There is no such run.
        ResourceExhausted: It is larger than a zip may be, or the disk cannot be read.
    """
    run = store.get(run_id)
    folder = store.folder(run_id)
    with disk_in_words("The run could not be packed", to_delete="runs"):
        files = _chosen_weights(folder, run, weights)
        total = sum(path.stat().st_size for path in files)
        if total > MAX_BYTES - 100_000_000:  # for the rest
            raise ResourceExhausted(
                f"The weights take {total / 1e6:,.0f} MB, and a zip up to {MAX_BYTES / 1e6:,.0f} MB. Take those of the "
                "best epoch alone."
            )
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            told = _Told(
                format=_FORMAT, name=run.name, tags=run.tags, state=run.state, reason=run.reason, test=run.test
            )
            archive.writestr(_entry(store.CONFIG), run.config.to_yaml(in_full=True))
            archive.writestr(_entry(_RUN), to_json(dataclasses.asdict(told)))
            with archive.open(_entry(EVENTS), "w", force_zip64=True) as file:
                for event in read_events(folder):
                    file.write(to_line(event))
            for path in files:
                # Weights are noise to the packer: 7 % smaller, at 17 MB/s.
                archive.writestr(_entry(f"weights/{path.name}", zipfile.ZIP_STORED), path.read_bytes())
            if with_tensorboard:
                for name, content in event_files(run).items():
                    archive.writestr(_entry(f"tensorboard/{name}"), content)
    return packed.getvalue()


def import_zip(data: bytes, owner: str) -> Run:
    """Take in a run from a file of `export_zip`, as a new one of this owner.

    A run that had not ended when it was packed is "interrupted" now. It cannot be resumed: the optimiser is not in
    the zip.

    Args:
        data: From anybody.
        owner: Whose it becomes: 32 hexadecimal digits.

    Raises:
        InputRejected: It is no such file, or damaged, or holds what does not belong there; nothing is kept of it.
        ResourceExhausted: The owner has 200 runs already, the disk is full or cannot be written to.
    """
    store.check_room(owner)
    archive = _opened(data)
    files = _checked_entries(archive)
    config = TrainConfig.from_yaml(_text(archive, files, store.CONFIG))
    told = _told(_text(archive, files, _RUN))
    events = _read(archive, files[EVENTS])
    history = _history(events)
    weights = {name: entry for name, entry in files.items() if _WEIGHTS_NAME.fullmatch(name)}
    run = _as_new(owner, config, told, history)

    def fill(folder: Path) -> None:
        write_whole(folder / EVENTS, events)
        _take_weights(archive, weights, folder, config, history.started)

    return store.admit(run, fill)


def _chosen_weights(folder: Path, run: Run, weights: str) -> list[Path]:
    epochs = epochs_in(folder)
    if weights == "best" and run.best_epoch and run.best_epoch in epochs:
        epochs = (run.best_epoch,)
    elif weights != "all":
        epochs = epochs[-1:]
    return [weights_file(folder, epoch) for epoch in epochs]


def _entry(name: str, how: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = how
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _opened(data: bytes) -> zipfile.ZipFile:
    if len(data) > MAX_BYTES:
        raise InputRejected(
            f"This zip has {len(data) / 1e6:,.0f} MB; a run has up to {MAX_BYTES / 1e6:,.0f} MB. Pack it with the "
            "weights of the best epoch alone."
        )
    # The library makes an object of half a kilobyte for each entry before one can look at their number. What counts is
    # not the number that the zip declares but how often the mark of an entry is there; weights hold it by chance.
    if data.count(_CENTRAL) > 2 * _MAX_ENTRIES:
        raise _refused("it holds too many files")
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:  # noqa: BLE001  Bytes from strangers make the library raise anything at all.
        raise _refused(f"it is no zip, or damaged ({error})") from None


def _checked_entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """What is in a zip, by name; folders are left out."""
    entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise _refused(f"unpacked, it is more than {_MAX_ENTRIES:,} files or {MAX_BYTES / 1e6:,.0f} MB")
    files: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = entry.filename
        if name in _FOLDERS:
            continue
        shown = ascii(name)[:80]
        if not _KNOWN_NAME.fullmatch(name):
            raise _refused(f"it holds a file {shown}, which does not belong to a run")
        if name in files:
            raise _refused(f"it holds {shown} twice")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise _refused(f"{shown} is a link or a device, no file")
        if entry.flag_bits & _ENCRYPTED:
            raise _refused(f"{shown} is protected by a password")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _refused(f"{shown} is packed in an uncommon way")
        if entry.file_size > max(_SMALL, _MAX_RATIO * entry.compress_size):
            raise _refused(f"{shown} is packed {entry.file_size // max(entry.compress_size, 1):,} times smaller")
        files[name] = entry
    for name in (store.CONFIG, _RUN, EVENTS):
        if name not in files:
            raise _refused(f"it holds no {name}")
    return files


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        # Asked for the size that was declared and checked, it unpacks no more than that and compares the checksum.
        with archive.open(entry) as file:
            return file.read(entry.file_size)
    except Exception:  # noqa: BLE001  As above.
        raise _refused(f"{entry.filename} is damaged") from None


def _text(archive: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo], name: str) -> str:
    if files[name].file_size > _SMALL:
        raise _refused(f"{name} is larger than {_SMALL:,} bytes")
    try:
        return _read(archive, files[name]).decode()
    except UnicodeDecodeError:
        raise _refused(f"{name} is no text") from None


def _told(text: str) -> _Told:
    try:
        told = from_json(_Told, text)
        if told.format != _FORMAT or told.state not in STATES or len(told.reason) > 10_000:
            raise ValueError("it is of another version of the lab")
        if told.test:
            _check_numbers(dataclasses.asdict(told.test))
            _check_square(told.test.confusion, len(told.test.confusion))
            _check_test(told.test)
    except ValueError as error:
        raise _refused(f"{_RUN} cannot be read: {error}") from None
    return dataclasses.replace(told, name=checked_name(told.name), tags=checked_tags(told.tags))


def _history(content: bytes) -> History:
    """What a journal adds up to; each line is checked by itself and against what came before."""
    if content.count(b"\n") > _MAX_EVENTS or (content and not content.endswith(b"\n")):
        raise _refused(f"{EVENTS} is cut off, or has more than {_MAX_EVENTS:,} lines")
    history = History()
    for number, line in enumerate(io.BytesIO(content), start=1):
        try:
            if len(line) > MAX_LINE:
                raise ValueError("it is too long")
            event = from_line(line)
            _check_event(event, history)
        except ValueError as error:
            raise _refused(f"line {number:,} of {EVENTS} is no event of a run: {error}") from None
        history.add(event)
    return history


def _check_event(event: TrainEvent, history: History) -> None:
    """Refuse what could not come from one and the same net."""
    _check_numbers(dataclasses.asdict(event))
    before = history.started
    if isinstance(event, Started):
        if not 2 <= len(event.classes) <= 1000 or min(event.epochs, event.steps_per_epoch, event.num_train) < 1:
            raise ValueError("there is nothing to train")
        if before and (before.classes, before.layers) != (event.classes, event.layers):
            raise ValueError("it goes on with another net")
        return
    if before is None:
        raise ValueError("it comes before the start")
    match event:
        case Checkpointed() if not _WEIGHTS_NAME.fullmatch(event.file):
            raise ValueError("it names a file that is none of a run")
        case EpochEnded():
            _check_square(event.confusion, len(before.classes))
        case LayersMeasured():
            if not len(event.gradients) == len(event.updates) == len(before.layers):
                raise ValueError("it has another number of layers than the net")
            if len(history.layers) and event.dead.keys() != history.layers.dead[-1].keys():
                raise ValueError("it has other layers than the net")


def _check_numbers(data: Any) -> None:
    """Refuse what those who draw it could stumble over: times beyond all calendars, texts without end."""
    if isinstance(data, Mapping):
        if not 0 <= data.get("time", 0) < 1e10:
            raise ValueError("its time is out of range")
        data = [*data, *data.values()]
    if isinstance(data, list | tuple):
        for value in data:
            _check_numbers(value)
    if isinstance(data, int) and not 0 <= data < 2**53:
        raise ValueError("a number is out of range")
    if isinstance(data, str) and len(data) > 10_000:
        raise ValueError("a text is too long")


def _check_square(confusion: tuple[tuple[int, ...], ...], side: int) -> None:
    if len(confusion) != side or any(len(row) != side for row in confusion):
        raise ValueError("its confusion matrix does not fit the classes")


def _check_test(test: TestResult) -> None:
    """Refuse a result that no test gives; pages take its numbers for shares and counts."""
    if test.num_pictures < 1 or not 0 <= test.accuracy <= 1 or sum(map(sum, test.confusion)) != test.num_pictures:
        raise ValueError("its test result does not add up")


@dataclasses.dataclass(frozen=True, slots=True)
class _Expected:
    """What a file of weights has to hold.

    Attributes:
        classes: Names, in the order of the logits.
        in_channels: Of the pictures.
        side: Likewise, in px.
        tensors: Kind of number and shape, by name.
    """

    classes: tuple[str, ...]
    in_channels: int
    side: int
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]


def _expected(config: TrainConfig, started: Started | None) -> _Expected:
    if started is None:
        raise _refused("it holds weights, but no event says of what")
    channels, height, width = started.input_shape
    if not (1 <= channels <= 16 and 1 <= height == width <= 4096):
        raise _refused("its pictures have a shape that the lab does not train on")
    with torch.device("meta"):  # names and shapes take no memory, nor time
        if isinstance(config.net, str):
            model = ARCHITECTURES[config.net].build(num_classes=len(started.classes), in_channels=channels)
        else:
            model = build(config.net)
    tensors = {name: (_DTYPES[one.dtype], tuple(one.shape)) for name, one in model.state_dict().items()}
    return _Expected(started.classes, channels, height, tensors)


def _check_weights(name: str, content: bytes, expected: _Expected) -> None:
    """Compare the header of a safetensors file with the net, and with the bytes that follow it.

    https://huggingface.co/docs/safetensors: 8 bytes with the length of the header, the header in JSON, the numbers.
    """
    try:
        _check_header(content, expected)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refused(f"{name} does not hold the weights of this run: {error}") from None


def _check_header(content: bytes, expected: _Expected) -> None:
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(_MAX_HEADER, len(content) - 8):
        raise ValueError("its header is cut off")
    header = json.loads(content[8 : 8 + length])
    said = header.pop("__metadata__")
    facts = from_json(NetFacts, said["facts"])
    if (facts.classes, facts.in_channels, facts.side) != (expected.classes, expected.in_channels, expected.side):
        raise ValueError("it is of a net for other pictures or classes")
    is_fed_well = all(map(math.isfinite, facts.mean)) and all(0 < one < math.inf for one in facts.std)
    if not is_fed_well or not len(facts.mean) == len(facts.std) == facts.in_channels:
        raise ValueError("it does not say what the net is fed")
    if header.keys() != expected.tensors.keys():
        raise ValueError("it is of another net")
    end = 0
    for tensor, values in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape = expected.tensors[tensor]
        begin, after = values["data_offsets"]
        size = math.prod(shape) * int(dtype[1:]) // 8
        if values != {"dtype": dtype, "shape": [*shape], "data_offsets": [begin, after]}:
            raise ValueError(f"its {tensor} has another shape than in the net")
        if (begin, after) != (end, end + size):
            raise ValueError(f"its {tensor} lies elsewhere than it says")
        end = after
    if 8 + length + end != len(content):
        raise ValueError("it is cut off, or longer than it says")


def _take_weights(
    archive: zipfile.ZipFile,
    weights: Mapping[str, zipfile.ZipInfo],
    folder: Path,
    config: TrainConfig,
    started: Started | None,
) -> None:
    (folder / "weights").mkdir()
    if not weights:
        return
    expected = _expected(config, started)
    for name, entry in weights.items():
        content = _read(archive, entry)
        _check_weights(name, content, expected)
        write_whole(folder / name, content)


def _as_new(owner: str, config: TrainConfig, told: _Told, history: History) -> Run:
    has_ended = told.state in ENDED
    best = history.best
    return dataclasses.replace(
        store.new_run(owner, config, name=told.name),
        tags=told.tags,
        state=told.state if has_ended else "interrupted",
        reason=told.reason if has_ended else "It was going on elsewhere when it was packed.",
        epochs_done=history.epochs[-1].epoch if history.epochs else 0,
        best_epoch=best.epoch if best else 0,
        best_accuracy=best.validation_accuracy if best else None,
        test=told.test,
        worker=None,
    )


def _refused(why: str) -> InputRejected:
    return InputRejected(f"This is no run that the lab packed: {why}. Give the zip as it was exported.")
