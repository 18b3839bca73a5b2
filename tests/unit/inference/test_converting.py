import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.inference.converting import convert, escaped
from cnnlab.inference.weights_files import fit, read_weights_file
from cnnlab.nets import build_seeded


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "net.pt", tmp_path / "net.safetensors"


def test_weights_come_out_bit_by_bit_and_can_be_uploaded(files):
    source, target = files
    model = build_seeded("lenet5", seed=4)
    torch.save(model.state_dict(), source)
    made = convert(source, target)
    assert (made.num_tensors, made.num_values, made.taken_from, made.left_out) == (10, 61_706, "", ())
    assert made.num_bytes == target.stat().st_size
    other = build_seeded("lenet5", seed=5)
    fit(other, read_weights_file(target.read_bytes()))
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("part", ["state_dict", "model_state_dict", "model"])
def test_the_weights_of_a_checkpoint_are_found_and_what_is_left_out_is_told(files, part):
    state = {"module.fc.weight": torch.ones(2, 3), "module.fc.bias": torch.zeros(2)}
    torch.save({part: state, "epoch": 3, "optimizer": {"lr": 0.1}}, files[0])
    made = convert(*files)
    assert (made.taken_from, made.left_out) == (part, ("epoch", "optimizer"))
    assert safetensors.torch.load_file(files[1]).keys() == {"fc.weight", "fc.bias"}


def test_values_that_are_no_tensors_are_left_out(files):
    torch.save({"weight": torch.ones(2), "epoch": 3}, files[0])
    assert convert(*files).left_out == ("epoch",)


def test_tensors_that_share_memory_are_written_out_each(files):
    base = torch.arange(6.0)
    torch.save({"all": base, "odd": base[1::2], "turned": base.view(2, 3).T}, files[0])
    convert(*files)
    written = safetensors.torch.load_file(files[1])
    assert written["odd"].tolist() == [1, 3, 5]
    assert written["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_files_from_before_pytorch_1_6_are_read(files):
    torch.save({"weight": torch.ones(2)}, files[0], _use_new_zipfile_serialization=False)
    assert convert(*files).num_values == 2


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def harmful(path: Path, *, as_zip: bool) -> bytes:
    harm = OrderedDict(weight=torch.ones(2), extra=Harm(path))
    if not as_zip:
        return pickle.dumps(Harm(path), protocol=2)
    buffer = io.BytesIO()
    torch.save(harm, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_pickle_that_needs_code_is_refused_unread_and_the_reason_told(files, tmp_path, as_zip):
    files[0].write_bytes(harmful(tmp_path / "harm", as_zip=as_zip))
    with pytest.raises(InputRejected, match=r"Python would run \w+\.mkdir\. That can do anything"):
        convert(*files)
    assert not (tmp_path / "harm").exists()
    assert not files[1].exists()


def test_a_whole_model_is_refused_with_what_to_do(files):
    torch.save(nn.Linear(2, 2), files[0])
    with pytest.raises(InputRejected, match=r"run torch\.nn\.modules\.linear\.Linear.*model\.state_dict\(\)"):
        convert(*files)


def saved(tensors: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"weights",
        b"PK\x03\x04",
        saved({"weight": torch.ones(100)})[:-50],
        saved({"weight": torch.ones(100)})[:300],
        b"\x80\x02]q\x00.",
        safetensors.torch.save({"weight": torch.ones(2)}),
    ],
)
def test_what_torch_save_did_not_make_is_refused_in_words(files, content):
    files[0].write_bytes(content)
    with pytest.raises(InputRejected, match=r"no file that torch\.save made"):
        convert(*files)
    assert not files[1].exists()


@pytest.mark.parametrize("held", [{}, {"epoch": 3}, [torch.ones(2)], {0: torch.ones(2)}, {"state_dict": {}}])
def test_a_file_without_weights_by_name_is_refused(files, held):
    files[0].write_bytes(saved(held))
    with pytest.raises(InputRejected, match="no weights by name"):
        convert(*files)


def test_numbers_that_no_net_of_the_lab_has_are_refused_by_name(files):
    torch.save({"good": torch.ones(2), "spectrum": torch.ones(2, dtype=torch.complex64)}, files[0])
    with pytest.raises(InputRejected, match=r"spectrum holds numbers as torch\.complex64"):
        convert(*files)


def test_a_file_that_is_not_there_is_said_to_be_missing(files):
    with pytest.raises(InputRejected, match="No such file"):
        convert(*files)


def test_the_source_is_never_written_over(files):
    torch.save({"weight": torch.ones(2)}, files[0])
    with pytest.raises(InputRejected, match=r"must end in \.safetensors"):
        convert(files[0], files[0])


def test_a_place_that_cannot_be_written_to_is_said_and_the_old_file_stays(files, tmp_path):
    torch.save({"weight": torch.ones(2)}, files[0])
    with pytest.raises(ResourceExhausted, match="cannot be written"):
        convert(files[0], tmp_path / "nowhere" / "net.safetensors")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\ud800", "__metadata__"])
def test_names_that_the_lab_does_not_take_are_refused_and_shown_harmless(files, name):
    torch.save({name: torch.ones(2), "good": torch.ones(2)}, files[0])
    with pytest.raises(InputRejected, match="a name that the lab does not take") as told:
        convert(*files)
    assert str(told.value).isprintable()
    assert not files[1].exists()


@pytest.mark.parametrize(
    ("name", "tensor", "reason"),
    [
        ("w", torch.ones(0, 3), "shape of w makes no sense"),
        ("w", torch.tensor([1.0, float("nan")]), "w holds NaN"),
        ("w" * 201, torch.ones(1), "too long"),
    ],
)
def test_what_the_lab_would_refuse_is_not_written(files, name, tensor, reason):
    torch.save({name: tensor}, files[0])
    with pytest.raises(InputRejected, match=f"nothing is written.*{reason}"):
        convert(*files)
    assert not files[1].exists()


def test_names_of_what_is_left_out_do_nothing_to_a_terminal(files):
    torch.save({"w": torch.ones(1), "\x1b[2J\ud800": 1, "x" * 100: 2}, files[0])
    assert convert(*files).left_out == (r"\x1b[2J\ud800", "x" * 80 + "…")


def test_escaping_leaves_what_is_printable_as_it_is():
    assert escaped("Gewicht µ × 2") == "Gewicht µ × 2"
    assert escaped("a\tb\u202e") == r"a\tb\u202e"
