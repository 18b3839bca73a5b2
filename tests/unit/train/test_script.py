import ast
import contextlib
import io
import runpy
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnnlab.data import Augment
from cnnlab.data.dataset import Gathered, part_pictures
from cnnlab.errors import InputRejected
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.spec import NetSpec, layer
from cnnlab.nets.weights import BUNDLED
from cnnlab.train.checkpoints import read_weights, weights_file
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.events import EpochEnded
from cnnlab.train.loop import Training
from cnnlab.train.recipes import RECIPES
from cnnlab.train.script import to_pytorch_script

BASE = TrainConfig(net="lenet5", data="digits", epochs=2, batch_size=128, device="cpu")

# A net with everything that is no plain sequence: ways around, a layer used twice, blocks left out at random.
TWICE = NetSpec(
    "Used twice",
    (1, 28, 28),
    (
        layer("conv", out_channels=8, kernel_size=5, stride=4),
        layer("residual", body=(layer("conv", out_channels=8, kernel_size=3, padding=1), layer("batch_norm"))),
        layer("residual", body=(layer("relu"), layer("stochastic_depth", p=0.5))),
        layer("conv", out_channels=8, kernel_size=3, padding=1, name="shared"),
        layer("relu"),
        layer("reuse", of="shared"),
        layer("flatten"),
        layer("linear", out_features=10),
    ),
)

SHAPES = replace(BASE, data="shapes", data_choices={"count": 90}, batch_size=16, epochs=1)


def _augment(*steps):
    return Augment.from_data(steps)


CONFIGS = {
    "plain": replace(BASE, initialisation="default"),
    "own net": replace(BASE, net=TWICE, optimizer="adam", lr=1e-3, batch_size=31),
    "one cycle, shifted": replace(
        BASE, optimizer="adamw", lr=4e-3, schedule="one_cycle", warmup=0.4, augment=_augment("padded_crop")
    ),
    "dropout": replace(BASE, net="simple_conv_net", dropout=0.2, batch_size=512, epochs=1),
    "focal, clipped, cosine": replace(
        BASE, loss="focal", label_smoothing=0.1, clip_norm=1.0, schedule="cosine", warmup=0.5
    ),
    "weighted, averaged": replace(BASE, loss="weighted", ema=0.9, schedule="cosine", label_smoothing=0.05),
    "balanced, steps": replace(
        BASE, sampling="balanced", schedule="step", step_every=1, warmup=0.3, nesterov=True, channels_last=False
    ),
    "plateau, early end": replace(
        BASE, schedule="plateau", plateau_patience=1, epochs=6, early_stopping=1, lr=0.3, optimizer="rmsprop"
    ),
    "moved, turned, mixed": replace(
        BASE, epochs=1, augment=_augment("flip", "padded_crop", "rotation", "cutout", "mixup"), initialisation="xavier"
    ),
    "all else that is done to pictures": replace(
        BASE,
        epochs=1,
        augment=_augment("affine", "translate", "random_resized_crop", "colour_jitter", "erasing", "cutmix"),
    ),
    "from weights, frozen, with a teacher": replace(
        BASE, teacher="weights:lenet5", start_from="weights:lenet5", freeze_to="features.0", lr=0.01
    ),
    "resized": replace(BASE, side=31, validation=0.3, seed=7),
    "drawn, residual": replace(SHAPES, net="resnet_cifar", augment=_augment("flip", "colour_jitter")),
    "two drawn, shared BatchNorm": replace(
        SHAPES, data_choices={"count": 60, "objects": 2, "drawing": 3}, net="cifar10_cnn_shared_bn"
    ),
}


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch, tmp_path):
    """Scripts set PyTorch's threads, generator and rounding, and write where they are run."""
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    yield
    torch.set_rng_state(state)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def _run_script(text, folder):
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        found = runpy.run_path(str(path))
    return found, said.getvalue()


def _run_lab(config, folder, dataset=None):
    torch.set_num_threads(config.threads)
    training = Training(config, dataset=dataset, folder=folder)
    ends = [event for event in training if isinstance(event, EpochEnded)]
    return [(one.train_loss, one.train_accuracy, one.validation_loss, one.validation_accuracy) for one in ends]


def _check_equal(config, folder, dataset=None):
    found, said = _run_script(to_pytorch_script(config), folder)
    assert found["history"] == _run_lab(config, folder, dataset)
    ours = read_weights(weights_file(folder, found["best_epoch"]))
    assert found["best"].keys() == ours.keys()
    assert all(torch.equal(found["best"][name], ours[name]) for name in ours)
    assert said.count("\n") == len(found["history"]) + 1


@pytest.mark.parametrize("name", CONFIGS)
def test_a_script_comes_to_the_labs_own_numbers_bit_for_bit(name, tmp_path):
    for file in BUNDLED.glob("lenet5*"):
        shutil.copy(file, tmp_path)
    _check_equal(CONFIGS[name], tmp_path)


def _write_mnist(folder, rng):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in (("train", 400), ("t10k", 100)):
        pictures = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, values in (("images-idx3", pictures), ("labels-idx1", labels)):
            head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
            (raw / f"{name}-{kind}-ubyte").write_bytes(head + values.tobytes())


def test_mnist_as_torchvision_keeps_it_gives_the_same_run(tmp_path, monkeypatch):
    _write_mnist(tmp_path / "data", np.random.default_rng(0))
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path / "data"))
    _check_equal(replace(BASE, data="mnist", net="mlp"), tmp_path)


def test_cifar_as_torchvision_keeps_it_gives_the_same_run(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)

    class Copy:
        """Stands for the download: torchvision knows the checksum of the real one."""

        def __init__(self, root, *, train, download):
            assert str(root) == "data"
            assert download
            count = 200 if train else 50
            self.data = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
            self.targets = [number % 10 for number in range(count)]
            copies.append(self)

        def __len__(self):
            return len(self.data)

    copies = []
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Copy)
    config = replace(RECIPES["cifar10_lenet"].config, epochs=1, batch_size=32, device="cpu")
    found, _ = _run_script(to_pytorch_script(config), tmp_path)
    gathered = Gathered(
        pictures=torch.from_numpy(np.concatenate([copy.data for copy in copies])),
        labels=torch.tensor([label for copy in copies for label in copy.targets]),
        classes=found["CLASSES"],
        test=torch.arange(200, 250),
    )
    dataset = part_pictures("cifar10", "CIFAR-10", gathered, validation=config.validation, seed=config.seed)
    assert found["history"] == _run_lab(config, tmp_path, dataset)


def test_own_pictures_are_read_from_a_folder_a_class(tmp_path):
    rng = np.random.default_rng(0)
    for label, level in (("dark", 0), ("light", 128)):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(level, level + 128, (40, 52, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{number}.png")
    config = replace(BASE, data=OWN_PICTURES, side=32, net="image_classification", batch_size=8, epochs=6, lr=0.02)
    found, said = _run_script(to_pytorch_script(config, classes=("dark", "light")), tmp_path)
    assert found["pictures"].shape == (40, 32, 32, 3)
    assert "100.00% of 8 pictures" in said
    assert Path("net.pt").exists()
    assert 'ImageFolder("pictures"' in to_pytorch_script(config)


def test_a_script_runs_where_there_is_no_lab(tmp_path):
    (tmp_path / "script.py").write_text(to_pytorch_script(replace(BASE, epochs=1)), encoding="utf-8")
    without = "import sys, runpy; sys.modules['cnnlab'] = None; runpy.run_path('script.py')"
    done = subprocess.run(
        [sys.executable, "-c", without], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("epoch 1: training loss ")
    assert " of 359 pictures" in done.stdout


ALL = {
    **{f"recipe {key}": recipe.config for key, recipe in RECIPES.items()},
    **CONFIGS,
    **{f"net {key}": replace(BASE, net=key) for key in ARCHITECTURES},
    "on a GPU": replace(BASE, device="cuda", precision="fp16", compile=True, clip_norm=1.0, freeze_to="features.0"),
    "bfloat16": replace(BASE, precision="bf16", warmup=1.0),
    "plateau after a warm-up": replace(BASE, schedule="plateau", warmup=1.0),
    "single pictures": replace(BASE, batch_size=1),
    "fashion": replace(BASE, data="fashion_mnist"),
}


def test_scripts_are_written_as_ruff_writes_code(tmp_path):
    for index, config in enumerate(ALL.values()):
        (tmp_path / f"script_{index}.py").write_text(to_pytorch_script(config), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length=120", "--no-cache"]
    for task in (["format", "--diff"], ["check", "--select=F,E,W,I"]):
        done = subprocess.run([*ruff, *task, *options, "."], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("hostile", ['""" + print("!") + """', '\\"""\\', 'ends with "', "back\\"])
def test_names_cannot_become_code(hostile):
    net = replace(TWICE, name=hostile)
    config = replace(BASE, net=net, freeze_to=hostile, data=OWN_PICTURES)
    tree = ast.parse(to_pytorch_script(config, classes=(hostile, "'\"")))
    printed = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node).startswith("print('!'")
    ]
    assert not printed
    assert hostile in ast.get_docstring(tree)
    assert hostile in {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def test_only_what_is_used_stands_in_a_script():
    plain = to_pytorch_script(BASE)
    for word in (
        "mixup",
        "flip",
        "scaler",
        "averaged",
        "balanced",
        "teacher",
        "frozen",
        "autocast",
        "compile",
        "focal",
    ):
        assert word not in plain
    names = {node.name for node in ast.walk(ast.parse(plain)) if isinstance(node, ast.FunctionDef)}
    assert names == {"seed_of", "generator", "hold_out", "plain_batch", "evaluate", "__init__"}


@pytest.mark.parametrize("config", ALL.values(), ids=ALL)
def test_no_script_needs_the_lab(config):
    text = to_pytorch_script(config)
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {one.name.split(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported - sys.stdlib_module_names <= {"torch", "torchvision", "numpy", "sklearn"}
    assert ("sklearn" in imported) == (config.data == "digits")


def test_weights_that_are_not_there_are_refused_in_words():
    with pytest.raises(InputRejected, match="no longer there"):
        to_pytorch_script(replace(BASE, start_from="run:abcdefghij@3"))
    with pytest.raises(InputRejected, match="come with the lab"):
        to_pytorch_script(replace(BASE, teacher="weights:nothing"))
