import errno
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn, optim

from cnnlab.errors import InputRejected, ResourceExhausted, RunFailed
from cnnlab.nets import build_seeded
from cnnlab.train import checkpoints
from cnnlab.train.checkpoints import (
    NetFacts,
    Position,
    epochs_in,
    facts_of,
    read_resume,
    read_weights,
    resumable_epoch,
    thin_out,
    weights_file,
    write_resume,
    write_weights,
)
from tests.unit.train.making import are_equal

FACTS = NetFacts(classes=("cat", "dög"), in_channels=3, side=32, mean=(0.1, 1 / 3, 0.5), std=(0.25, 0.2, 1e-3))
CPU = torch.device("cpu")


def stepped(model, optimizer, steps=2):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 32, 32)).square().mean().backward()
        optimizer.step()


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=8), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))


def kept(folder, model=None, optimizer=None, steps_per_epoch=4, **position):
    model = model or small()
    optimizer = optimizer or optim.Adam(model.parameters(), fused=True)
    at = Position(**{"validation_losses": [0.5, 1 / 3], "gradient_scaler": {}, "found": ["few"], "step": 9} | position)
    sums = torch.tensor([1 / 3, 5.0], dtype=torch.float64)
    write_resume(
        folder,
        models={"model": model},
        optimizer=optimizer,
        sums=sums,
        position=at,
        steps_per_epoch=steps_per_epoch,
    )
    return at, sums


def taken_up(folder, model=None, steps_per_epoch=4):
    model = model or small()
    optimizer = optim.Adam(model.parameters(), fused=True)
    return read_resume(
        folder, models={"model": model}, optimizer=optimizer, steps_per_epoch=steps_per_epoch, device=CPU
    )


def damages(content):
    yield "empty", b""
    yield "short", content[:5]
    yield "half", content[: len(content) // 2]
    yield "one byte missing", content[:-1]
    yield "one byte more", content + b"x"
    yield "garbage", random.Random(0).randbytes(len(content))
    yield "endless header", b"\xff" * 8 + content[8:]
    yield "a pickle", pickle.dumps({"weight": [1, 2, 3]})
    yield "text", b"net: lenet5\n" * 100


# --- weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "channels last"])
@pytest.mark.parametrize("key", ["cifar10_cnn_shared_bn", "resnet_cifar"])
def test_weights_come_back_bit_for_bit(tmp_path, key, layout):
    model = build_seeded(key, seed=1).to(memory_format=layout).train()
    model(torch.randn(2, 3, 32, 32))
    path = weights_file(tmp_path, 3)
    write_weights(path, model, FACTS)
    read = read_weights(path)
    assert are_equal(read, dict(model.state_dict()))
    other = build_seeded(key, seed=2)
    other.load_state_dict(read)
    assert are_equal(dict(other.state_dict()), dict(model.state_dict()))
    assert facts_of(path) == FACTS


def test_what_was_read_is_ones_own_and_changes_no_file(tmp_path):
    path = weights_file(tmp_path, 0)
    write_weights(path, small(), FACTS)
    content = path.read_bytes()
    read_weights(path)["0.weight"].fill_(7)
    assert path.read_bytes() == content


def test_files_are_safetensors_which_hold_no_code(tmp_path):
    write_weights(weights_file(tmp_path, 0), small(), FACTS)
    kept(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["epoch_0000.safetensors", "resume.safetensors"]
    for path in files:
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert {one["dtype"] for name, one in header.items() if name != "__metadata__"} <= {"F32", "F64", "I64"}


@pytest.mark.parametrize("number", range(9))
def test_damaged_files_are_called_damaged(tmp_path, number):
    path = weights_file(tmp_path, 1)
    write_weights(path, small(), FACTS)
    kept(tmp_path)
    for file in (path, tmp_path / "resume.safetensors"):
        name, content = list(damages(file.read_bytes()))[number]
        file.write_bytes(content)
    for attempt in (lambda: read_weights(path), lambda: facts_of(path), lambda: taken_up(tmp_path)):
        with pytest.raises(RunFailed, match="damaged") as caught:
            attempt()
        assert str(tmp_path) not in str(caught.value)  # where it lies on this machine concerns no visitor
    assert resumable_epoch(tmp_path) is None, name


def test_what_is_not_there_is_said_to_be_missing(tmp_path):
    for attempt in (lambda: read_weights(weights_file(tmp_path, 5)), lambda: facts_of(weights_file(tmp_path, 5))):
        with pytest.raises(InputRejected, match="no epoch_0005"):
            attempt()
    with pytest.raises(InputRejected, match="no resume"):
        taken_up(tmp_path)
    assert resumable_epoch(tmp_path) is None
    assert epochs_in(tmp_path) == ()


def test_a_folder_in_place_of_a_file_is_damage(tmp_path):
    weights_file(tmp_path, 0).mkdir(parents=True)
    with pytest.raises(RunFailed) as caught:
        read_weights(weights_file(tmp_path, 0))
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("said", [None, "no json", "[]", "3", '{"classes": []}', '{"more": 1}'])
def test_weights_that_do_not_say_what_they_are_for_are_refused(tmp_path, said):
    path = tmp_path / "epoch_0001.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"facts": said} if said else {"other": "x"})
    with pytest.raises(RunFailed, match="does not say"):
        facts_of(path)


def test_epochs_are_found_by_their_names_in_order(tmp_path):
    for epoch in (10, 2, 0, 12345):
        write_weights(weights_file(tmp_path, epoch), nn.Linear(1, 1), FACTS)
    write_weights(checkpoints.snapshot_file(tmp_path, 77), nn.Linear(1, 1), FACTS)
    (tmp_path / "weights" / ".epoch_0003.safetensors.part").touch()
    (tmp_path / "weights" / "epoch_x.safetensors").touch()
    assert epochs_in(tmp_path) == (0, 2, 10, 12345)


# --- whole or not at all ------------------------------------------------------------------------------------------

WRITER = """
import os, sys, torch
from pathlib import Path
from torch import nn
from cnnlab.train.checkpoints import NetFacts, weights_file, write_weights
facts = NetFacts(classes=("cat", "dög"), in_channels=3, side=32, mean=(0.1, 1 / 3, 0.5), std=(0.25, 0.2, 1e-3))
model = nn.Linear(700, 700)
for value in range(15):
    child = os.fork()
    while not child:
        value += 0.01
        for parameter in model.parameters():
            parameter.data.fill_(value)
        for epoch in range(3):
            write_weights(weights_file(Path(sys.argv[1]), epoch), model, facts)
    print(child, flush=True)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process cannot be split here")
def test_a_writer_that_is_killed_leaves_whole_files_and_at_most_one_part_of_each(tmp_path):
    delays = random.Random(0)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        for line in parent.stdout:
            time.sleep(0.01 + delays.random() / 15)
            os.kill(int(line), signal.SIGKILL)
            for epoch in epochs_in(tmp_path):
                state = read_weights(weights_file(tmp_path, epoch))
                assert len({float(tensor.flatten()[place]) for tensor in state.values() for place in (0, -1)}) == 1
                assert facts_of(weights_file(tmp_path, epoch)) == FACTS
    assert epochs_in(tmp_path)
    assert len([*(tmp_path / "weights").iterdir()]) <= 6


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_full_or_locked_disk_is_told_in_words_and_the_old_file_stays(tmp_path, monkeypatch, number):
    path = weights_file(tmp_path, 0)
    write_weights(path, nn.Linear(1, 1), FACTS)
    content = path.read_bytes()

    def fails(_descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(ResourceExhausted, match=r"epoch_0000.* bytes\) cannot be written") as caught:
        write_weights(path, nn.Linear(9, 9), FACTS)
    assert os.strerror(number) in str(caught.value)
    assert path.read_bytes() == content
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_disk_that_is_really_full_is_told_in_words(tmp_path):
    path = weights_file(tmp_path, 0)
    path.parent.mkdir()
    (path.parent / f".{path.name}.part").symlink_to("/dev/full")
    with pytest.raises(ResourceExhausted, match="No space left"):
        write_weights(path, nn.Linear(9, 9), FACTS)


def test_where_no_folder_can_be_made_nothing_is_written(tmp_path):
    (tmp_path / "weights").write_text("in the way")
    with pytest.raises(ResourceExhausted, match="cannot be written"):
        write_weights(weights_file(tmp_path, 0), nn.Linear(1, 1), FACTS)


# --- thinning -----------------------------------------------------------------------------------------------------


def test_few_weights_are_all_kept(tmp_path):
    for epoch in range(6):
        write_weights(weights_file(tmp_path, epoch), nn.Linear(1, 1), FACTS)
    thin_out(tmp_path, keep=0)
    assert epochs_in(tmp_path) == tuple(range(6))


@pytest.mark.parametrize("best", range(1, 12))
def test_too_many_weights_are_thinned_and_first_last_and_best_stay(tmp_path, monkeypatch, best):
    write_weights(weights_file(tmp_path, 0), nn.Linear(1, 1), FACTS)
    size = weights_file(tmp_path, 0).stat().st_size
    monkeypatch.setattr(checkpoints, "WEIGHTS_LIMIT", 5 * size)
    for epoch in range(1, 12):
        write_weights(weights_file(tmp_path, epoch), nn.Linear(1, 1), FACTS)
        thin_out(tmp_path, keep=min(best, epoch))
        left = epochs_in(tmp_path)
        assert {0, epoch, min(best, epoch)} <= {*left}
        assert len(left) <= 5


# --- going on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "channels last"])
@pytest.mark.parametrize(
    "optimize",
    [
        lambda p: optim.SGD(p, 0.1, momentum=0.9, fused=True),
        lambda p: optim.SGD(p, 0.1, fused=True),
        lambda p: optim.AdamW(p, 0.1, fused=True),
        lambda p: optim.RMSprop(p, 0.01, momentum=0.9),
    ],
    ids=["momentum", "sgd", "adamw", "rmsprop"],
)
def test_net_optimiser_and_place_come_back(tmp_path, optimize, layout):
    model = small().to(memory_format=layout)
    optimizer = optimize(model.parameters())
    stepped(model, optimizer)
    at, sums = kept(tmp_path, model, optimizer, seen=17, lr_scale=1 / 3, gradient_scaler={"scale": 4.0})
    other = small().to(memory_format=layout)
    others = optimize(other.parameters())
    read, read_sums = read_resume(tmp_path, models={"model": other}, optimizer=others, steps_per_epoch=4, device=CPU)
    assert read == at
    assert torch.equal(read_sums, sums)
    read_sums.add_(1)  # writable
    assert are_equal(dict(other.state_dict()), dict(model.state_dict()))
    for before, after in zip(optimizer.state.values(), others.state.values(), strict=True):
        assert before.keys() == after.keys()
        for key, value in before.items():
            same = torch.equal(value, after[key]) if isinstance(value, torch.Tensor) else value == after[key]
            assert same, key
            assert not isinstance(value, torch.Tensor) or value.stride() == after[key].stride()
    assert resumable_epoch(tmp_path) == 2


def test_a_loss_that_is_no_number_is_kept_too(tmp_path):
    kept(tmp_path, validation_losses=[float("inf"), float("nan")])
    losses = taken_up(tmp_path)[0].validation_losses
    assert losses[0] == float("inf")
    assert losses[1] != losses[1]


def test_a_resume_of_another_net_is_refused_in_words(tmp_path):
    kept(tmp_path)
    with pytest.raises(RunFailed, match=r"^resume.safetensors is not of this run's net"):
        taken_up(tmp_path, nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)))


def test_weights_are_no_resume(tmp_path):
    write_weights(tmp_path / "resume.safetensors", small(), FACTS)
    with pytest.raises(RunFailed, match="not of this run's net"):
        taken_up(tmp_path)
    assert resumable_epoch(tmp_path) is None


def test_with_more_or_fewer_pictures_it_does_not_go_on(tmp_path):
    kept(tmp_path)
    model = small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputRejected, match="4 steps an epoch; with these pictures it takes 5"):
        taken_up(tmp_path, model, steps_per_epoch=5)
    assert are_equal(dict(model.state_dict()), before)


@pytest.mark.parametrize("position", ["[]", "3", "null", "{}", '{"step": "x"}', "{"])
def test_a_header_of_nonsense_is_nothing_to_go_on_from(tmp_path, position):
    safetensors.torch.save_file(
        {"sums": torch.zeros(2)}, tmp_path / "resume.safetensors", {"position": position, "steps_per_epoch": "4"}
    )
    assert resumable_epoch(tmp_path) is None


def test_no_steps_an_epoch_are_nothing_to_go_on_from(tmp_path):
    kept(tmp_path, steps_per_epoch=0)
    assert resumable_epoch(tmp_path) is None
