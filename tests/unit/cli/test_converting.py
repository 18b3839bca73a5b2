import pytest
import torch

from cnnlab.cli import main
from cnnlab.inference.weights_files import read_weights_file


def test_a_file_is_converted_beside_itself_and_what_was_written_is_told(tmp_path, capsys):
    source = tmp_path / "net.pth"
    torch.save({"state_dict": {"fc.weight": torch.ones(10, 200)}, "epoch": 3}, source)
    assert main(["convert", str(source)]) == 0
    target = tmp_path / "net.safetensors"
    assert capsys.readouterr().out.splitlines() == [
        f"Wrote {target} (0.01 MB): 1 tensor, 2,000 numbers",
        "Taken from its 'state_dict'",
        "Left out: epoch",
    ]
    assert read_weights_file(target.read_bytes()).tensors["fc.weight"].sum() == 2000


def test_another_place_can_be_named(tmp_path, capsys):
    torch.save({"weight": torch.ones(2)}, tmp_path / "net.pt")
    target = tmp_path / "other.safetensors"
    assert main(["convert", str(tmp_path / "net.pt"), "--out", str(target)]) == 0
    assert target.exists()


def test_what_cannot_be_converted_is_said_on_the_error_stream(tmp_path, capsys):
    assert main(["convert", str(tmp_path / "net.pt")]) == 1
    told = capsys.readouterr()
    assert "No such file" in told.err
    assert told.out == ""


@pytest.mark.parametrize("file", ["", ".", "/", ".."])
def test_a_folder_is_no_file_of_weights(file, capsys):
    assert main(["convert", file]) == 1
    told = capsys.readouterr()
    assert "Give a file of torch.save" in told.err
    assert told.out == ""


def test_names_of_strangers_do_nothing_to_the_terminal(tmp_path, capsys):
    torch.save({"weight": torch.ones(2), "\x1b[2J": 3}, tmp_path / "net.pt")
    target = tmp_path / "a\x1b[2J.safetensors"
    assert main(["convert", str(tmp_path / "net.pt"), "--out", str(target)]) == 0
    out = capsys.readouterr().out
    assert r"Left out: \x1b[2J" in out
    assert "\x1b" not in out
    assert target.exists()
