import io
import os
import signal
import threading
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from cnnlab.cli import main
from cnnlab.cli.display import Display
from cnnlab.cli.owner import OWNER
from cnnlab.nets import build_seeded
from cnnlab.nets.weights import load_weights, read_bundled
from cnnlab.runs import held, store
from cnnlab.runs.journal import read_events, read_history
from cnnlab.runs.store import TestResult
from cnnlab.runs.worker import Preparing
from cnnlab.train.checkpoints import epochs_in
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.events import Ended, EpochEnded, Finding, Started, Stepped
from cnnlab.train.history import History
from cnnlab.train.recipes import RECIPES

QUICK = TrainConfig(net="lenet5", data="digits", epochs=2, batch_size=128, device="cpu")


@pytest.fixture(autouse=True)
def _data(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(QUICK.to_yaml(), encoding="utf-8")
    return path


def test_a_run_is_trained_kept_tested_and_its_net_written(config, tmp_path, capsys):
    weights = tmp_path / "net.safetensors"
    assert main(["train", str(config), "--name", "First", "--seed", "3", "--save-weights", str(weights)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith(
        "LeNet-5 on Digits: 61,706 weights, 1,295 pictures to learn from, 143 for validation; CPU"
    )
    assert [line[:9] for line in said if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]

    [run] = store.of_owner(OWNER)
    assert (run.name, run.state, run.epochs_done, run.config.seed) == ("First", "finished", 2, 3)
    assert run.is_published
    assert epochs_in(store.folder(run.id)) == (0, 1, 2)
    history = read_history(store.folder(run.id))
    assert [end.epoch for end in history.epochs] == [1, 2]

    # The full test part, once, and the same figure in all places.
    assert run.test.num_pictures == sum(map(sum, run.test.confusion)) == 359
    assert run.test.accuracy == pytest.approx(sum(row[i] for i, row in enumerate(run.test.confusion)) / 359)
    kept = read_bundled(weights)
    told = f"{100 * run.test.accuracy:.2f} % of the 359 test pictures of Digits (95 % interval "
    assert kept.accuracy.startswith(told)
    assert f"Test, epoch {run.test.epoch}: {kept.accuracy}" in said
    assert kept.source.endswith("python -m cnnlab train config.yaml --seed 3 --save-weights net.safetensors")
    assert kept.preprocessing.channels == "grey"
    load_weights(build_seeded("lenet5", seed=0), kept)

    assert main(["runs"]) == 0
    assert f"{run.id}  " in capsys.readouterr().out


def _interrupt_after_an_epoch(epochs):
    """Press Ctrl-C once a run has come so far."""

    def press():
        give_up = time.monotonic() + 300
        while time.monotonic() < give_up:
            runs = store.of_owner(OWNER)
            if runs and runs[0].epochs_done >= epochs:
                return os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)
        return None

    thread = threading.Thread(target=press)
    thread.start()
    return thread


@pytest.fixture
def heeds_ctrl_c():
    """Tests that run side by side ignore it otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_stops_after_the_step_and_the_run_goes_on_from_there(config, capsys):
    thread = _interrupt_after_an_epoch(1)
    assert main(["train", str(config), "--epochs", "500"]) == 130
    thread.join()
    [run] = store.of_owner(OWNER)
    assert run.state == "stopped"
    said = capsys.readouterr().out
    assert "Stopping after this step." in said
    assert said.endswith(f"Go on with: python -m cnnlab train --resume {run.id}\n")
    stopped = read_history(store.folder(run.id)).ended.step

    thread = _interrupt_after_an_epoch(run.epochs_done + 1)
    assert main(["train", "--resume", run.id[:8]]) == 130
    thread.join()
    starts = [event.first_step for event in read_events(store.folder(run.id)) if isinstance(event, Started)]
    assert starts == [0, stopped]
    assert store.get(run.id).epochs_done > run.epochs_done


def test_own_pictures_come_from_a_zip(tmp_path, capsys):
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        for label, level in (("dark", 0), ("light", 128)):
            for number in range(12):
                file = io.BytesIO()
                Image.fromarray(rng.integers(level, level + 128, (30, 30, 3), dtype=np.uint8)).save(file, "PNG")
                archive.writestr(f"{label}/{number}.png", file.getvalue())
        archive.writestr("dark/notes.png", b"no picture")
    path = tmp_path / "own.yaml"
    config = TrainConfig(net="image_classification", data=OWN_PICTURES, side=32, epochs=1, batch_size=4, device="cpu")
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert main(["train", str(path), "--pictures", str(tmp_path / "own.zip"), "--test"]) == 0
    said = capsys.readouterr().out
    assert "dark/notes.png" in said
    [run] = store.of_owner(OWNER)
    assert run.test.num_pictures == 4  # a fifth of 12, of each class


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--recipe", "nothing"], "There is no recipe 'nothing'; there are digits_fast,"),
        (["train", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["train", "--recipe", "digits_fast", "--epochs", "0"], "epochs must be from 1 to 1000, got 0."),
        (["train", "--recipe", "cats_dogs"], "pictures of your own. Give them: --pictures"),
        (["train", "--recipe", "cats_dogs", "--pictures", "nowhere.zip"], "nowhere.zip cannot be read"),
        (["train", "--recipe", "digits_fast", "--pictures", "own.zip"], "--pictures has no place here"),
        (["train", "--recipe", "digits_fast", "--save-weights", "net.safetensors"], "lab's own nets only"),
        (["train", "--recipe", "shapes", "--save-weights", "net.pt"], "must end in .safetensors"),
        (["train", "--recipe", "shapes", "--save-weights", "nowhere/net.safetensors"], "a folder that exists"),
        (["train", "--resume", "abc"], "No run of the command line begins with 'abc'"),
    ],
)
def test_what_cannot_be_done_is_said_in_words_and_nothing_is_begun(arguments, words, capsys):
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert store.of_owner(OWNER) == ()


def test_a_configuration_that_is_none_is_refused(tmp_path, capsys):
    path = tmp_path / "config.yaml"
    path.write_text("net: lenet5\nspeed: 9", encoding="utf-8")
    assert main(["train", str(path)]) == 1
    assert "Not known in a training configuration: speed" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["train"], ["train", "a.yaml", "--recipe", "shapes"]])
def test_arguments_that_make_no_sense_end_with_2(arguments, capsys):
    assert main(arguments) == 2
    assert "usage: python -m cnnlab" in capsys.readouterr().err


def test_a_run_keeps_its_settings_when_it_goes_on(capsys):
    run = store.create(OWNER, QUICK)
    store.set_state(run.id, "stopped")
    assert main(["train", "--resume", run.id, "--epochs", "9"]) == 1
    assert "A run goes on as it began." in capsys.readouterr().err
    assert store.get(run.id).config == QUICK


@pytest.mark.parametrize("more", [["--test"], ["--save-weights", "net.safetensors"]])
def test_the_test_pictures_are_not_promised_a_second_time(more, capsys):
    run = store.create(OWNER, QUICK)
    store.set_test(run.id, TestResult(epoch=1, accuracy=1.0, loss=0.0, num_pictures=1, confusion=((1,),), time=0.0))
    store.set_state(run.id, "stopped")
    assert main(["train", "--resume", run.id, *more]) == 1
    assert "have been used for this run, after epoch 1" in capsys.readouterr().err
    assert store.get(run.id).state == "stopped"


def test_runs_that_others_published_are_theirs_to_go_on_with(capsys):
    run = store.create("1" * 32, QUICK)
    store.publish(run.id, True)
    store.set_state(run.id, "stopped")
    assert main(["train", "--resume", run.id]) == 1
    assert "No run of the command line begins with" in capsys.readouterr().err
    assert store.get(run.id).state == "stopped"


def test_a_run_that_cannot_be_started_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(held, "MAX_BYTES", 1000)
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        for label in ("dark", "light"):
            for number in range(12):
                file = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)).save(file, "PNG")
                archive.writestr(f"{label}/{number}.png", file.getvalue())
    path = tmp_path / "own.yaml"
    path.write_text(TrainConfig(data=OWN_PICTURES, side=32, device="cpu").to_yaml(), encoding="utf-8")
    assert main(["train", str(path), "--pictures", str(tmp_path / "own.zip")]) == 1
    assert "no room in memory" in capsys.readouterr().err
    assert store.of_owner(OWNER) == ()


def test_another_data_directory_can_be_named(tmp_path, capsys):
    store.create(OWNER, QUICK, name="In the usual place")
    assert main(["runs", "--data-dir", str(tmp_path / "other")]) == 0
    assert "No runs yet." in capsys.readouterr().out


def test_recipes_are_listed_with_what_came_out(capsys):
    assert main(["recipes"]) == 0
    said = capsys.readouterr().out
    for key, recipe in RECIPES.items():
        assert f"{key}: {recipe.label} ({recipe.source})" in said


def test_runs_of_others_are_listed_where_they_are_published(capsys):
    own, shown, hidden = (
        store.create(owner, QUICK, name=name) for owner, name in ((OWNER, "a"), ("1" * 32, "b"), ("1" * 32, "c"))
    )
    store.publish(shown.id, True)
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[1:]} == {own.id, shown.id}
    assert hidden.id not in "".join(lines)


STARTED = Started(
    time=0.0, net="LeNet-5", data="Digits", classes=("0", "1"), num_train=100, num_validation=10, steps_per_epoch=10,
    epochs=12, first_step=0, num_params=61_706, num_frozen=0, layers=(), device="CPU", threads=2,
    input_shape=(1, 28, 28),
)  # fmt: skip


def _stepped(step, time=1.0):
    return Stepped(time=time, step=step, loss=0.5, accuracy=0.25, lr=0.1, images_per_s=1234.0, memory_mb=1.0)


def _epoch(epoch, accuracy):
    return EpochEnded(
        time=1.0, epoch=epoch, step=10 * epoch, train_loss=0.5, train_accuracy=0.75, validation_loss=0.25,
        validation_accuracy=accuracy, confusion=((5, 0), (1, 4)), lr=0.1, seconds=2.0, validation_seconds=0.5,
    )  # fmt: skip


EVENTS = [
    STARTED,
    _stepped(5),
    _epoch(1, 0.9),
    Finding(step=10, key="few", text="Few pictures."),
    _epoch(2, 0.8),
    Ended(time=2.0, step=20, epoch=2, reason="stopped", text="Stopped.", best_epoch=1, best_accuracy=0.9),
]


def test_in_a_file_there_is_a_line_an_epoch():
    file = io.StringIO()
    display = Display(file, is_terminal=False, history=History())
    display.prepare(Preparing("downloading", 1, 2))
    for event in EVENTS:
        display.show(event)
    assert file.getvalue().splitlines() == [
        "LeNet-5 on Digits: 61,706 weights, 100 pictures to learn from, 10 for validation; CPU, 2 threads",
        "epoch  1/12  training loss 0.5000  75.00%  validation loss 0.2500  90.00%  2.5 s  best so far",
        "Few pictures.",
        "epoch  2/12  training loss 0.5000  75.00%  validation loss 0.2500  80.00%  2.5 s",
        "Stopped.",
    ]


def test_in_a_terminal_the_bar_is_drawn_over():
    terminal = io.StringIO()
    display = Display(terminal, is_terminal=True, history=History())
    for event in EVENTS[:3]:
        display.show(event)
    _, bar, epoch = terminal.getvalue().split("\r\x1b[K")
    assert bar.startswith("epoch  1/12  ████████████░░░░░░░░░░░░   50%  loss 0.5000   25.0%  1,234 pictures/s")
    assert epoch.startswith("epoch  1/12  training loss")
    assert epoch.endswith("best so far\n")


def test_in_a_terminal_loading_is_shown_too():
    terminal = io.StringIO()
    Display(terminal, is_terminal=True, history=History()).prepare(Preparing("downloading", 1, 4))
    assert terminal.getvalue() == "\r\x1b[Kdownloading  ██████░░░░░░░░░░░░░░░░░░   25%"
