"""Files for TensorBoard, read back by other means: protobuf's own reader, and a checksum bit by bit."""

import math
import struct
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.runs import store
from cnnlab.runs.journal import Journal
from cnnlab.runs.store import Run
from cnnlab.runs.tensorboard import crc32c, write_scalars
from cnnlab.train.config import TrainConfig
from cnnlab.train.events import TrainEvent
from tests.unit.runs.making import ENDED, OWNER, STARTED, WHOLE_RUN, epoch_ended, measured, resumed, stepped

Curve = list[tuple[float, int, float]]


def run_of(*told: TrainEvent) -> Run:
    run = store.create(OWNER, TrainConfig())
    with Journal.open(store.folder(run.id)) as journal:
        for event in told:
            journal.append(event)
    return run


def event_kind() -> type:
    """tensorflow.Event as far as it is used here, from its public definition (event.proto, summary.proto)."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="tensorflow", syntax="proto3")
    value = file.message_type.add(name="Value")
    value.field.add(name="tag", number=1, type=kinds.TYPE_STRING, label=1)
    value.field.add(name="simple_value", number=2, type=kinds.TYPE_FLOAT, label=1)
    summary = file.message_type.add(name="Summary")
    summary.field.add(name="value", number=1, type=kinds.TYPE_MESSAGE, type_name=".tensorflow.Value", label=3)
    event = file.message_type.add(name="Event")
    event.field.add(name="wall_time", number=1, type=kinds.TYPE_DOUBLE, label=1)
    event.field.add(name="step", number=2, type=kinds.TYPE_INT64, label=1)
    event.field.add(name="file_version", number=3, type=kinds.TYPE_STRING, label=1)
    event.field.add(name="summary", number=5, type=kinds.TYPE_MESSAGE, type_name=".tensorflow.Summary", label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Event"))


def checksum_bit_by_bit(data: bytes) -> int:
    """CRC-32C as a division of polynomials."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = (rest >> 1) ^ (0x82F63B78 if rest & 1 else 0)
    return rest ^ 0xFFFFFFFF


def records(content: bytes) -> list[bytes]:
    found = []
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        data = content[at + 12 : at + 12 + length]
        for place, checked in ((at + 8, content[at : at + 8]), (at + 12 + length, data)):
            plain = checksum_bit_by_bit(checked)
            masked = (((plain >> 15) | (plain << 17)) + 0xA282EAD8) % 2**32
            assert struct.unpack_from("<I", content, place) == (masked,)
        found.append(data)
        at += 16 + length
    assert at == len(content)
    return found


def curves(path: Path) -> dict[str, Curve]:
    kind = event_kind()
    first, *others = (kind.FromString(record) for record in records(path.read_bytes()))
    assert first.file_version == "brain.Event:2"
    told: dict[str, Curve] = {}
    for event in others:
        for value in event.summary.value:
            told.setdefault(value.tag, []).append((event.wall_time, event.step, value.simple_value))
    return told


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        # RFC 3720, appendix B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_checksums_are_those_of_the_standard(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


@given(st.binary(max_size=200))
def test_checksums_are_the_rest_of_a_division(data: bytes) -> None:
    assert crc32c(data) == checksum_bit_by_bit(data)


def test_files_begin_as_those_of_tensorflow_do(tmp_path: Path) -> None:
    for path in write_scalars(run_of().id, tmp_path):
        assert path.read_bytes().startswith(b'\x18\x00\x00\x00\x00\x00\x00\x00\xa3\x7fK"\t')
        assert path.name.startswith("events.out.tfevents.")


def test_every_curve_is_told_with_time_and_step(tmp_path: Path) -> None:
    train, validation = write_scalars(run_of(*WHOLE_RUN).id, tmp_path)
    assert train.parent == tmp_path / "train"
    assert validation.parent == tmp_path / "validation"
    steps = [(1001.0, 1), (1002.0, 2), (1003.0, 3), (1004.0, 4)]
    assert curves(train) == {
        "loss": [(*step, loss) for step, loss in zip(steps, [0.75, 0.5, 0.5, 0.5], strict=True)],
        "accuracy": [(*step, 0.25) for step in steps],
        "learning_rate": [(*step, 0.125) for step in steps],
        "gradient_norm": [(1001.0, 1, 1.5)],
    }
    assert curves(validation) == {
        "loss": [(1003.0, 2, 0.625), (1005.0, 4, 0.625)],
        "accuracy": [(1003.0, 2, 0.75), (1005.0, 4, 0.875)],
    }


def test_steps_that_were_done_twice_are_told_as_they_went_at_last(tmp_path: Path) -> None:
    run = run_of(STARTED, stepped(1), stepped(2), epoch_ended(1), stepped(3, loss=9.0), measured(4), resumed(2))
    with Journal.open(store.folder(run.id)) as journal:
        journal.append(stepped(3, loss=0.25))
        journal.append(ENDED)
    train, validation = write_scalars(run.id, tmp_path)
    assert [(step, loss) for _, step, loss in curves(train)["loss"]] == [(1, 0.5), (2, 0.5), (3, 0.25)]
    assert "gradient_norm" not in curves(train)
    assert len(curves(validation)["loss"]) == 1


def test_losses_that_are_no_numbers_and_large_steps_come_through(tmp_path: Path) -> None:
    told = [stepped(2**40, loss=math.inf), stepped(2**40 + 1, loss=1e300), stepped(2**40 + 2, loss=math.nan)]
    train, _ = write_scalars(run_of(STARTED, *told).id, tmp_path)
    losses = curves(train)["loss"]
    assert [step for _, step, _ in losses] == [2**40, 2**40 + 1, 2**40 + 2]
    assert [loss for *_, loss in losses[:2]] == [math.inf, math.inf], "32 bits hold nothing above 3.4 · 10³⁸"
    assert math.isnan(losses[2][2])


def test_writing_again_replaces_the_files(tmp_path: Path) -> None:
    run = run_of(STARTED, stepped(1))
    before = write_scalars(run.id, tmp_path)
    with Journal.open(store.folder(run.id)) as journal:
        journal.append(stepped(2))
    assert write_scalars(run.id, tmp_path) == before
    assert len(curves(before[0])["loss"]) == 2
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2 + len(
        list((tmp_path / "data").rglob("*.*"))
    )


def test_what_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputRejected, match="no such run"):
        write_scalars("x" * 26, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceExhausted, match="The curves could not be written"):
        write_scalars(run_of().id, tmp_path / "file")
