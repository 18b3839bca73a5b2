"""`python -m cnnlab train`: a run of the lab, watched from a terminal."""

import argparse
import dataclasses
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch

from cnnlab.cli.display import Display
from cnnlab.cli.owner import OWNER
from cnnlab.data import Dataset, PictureSet
from cnnlab.errors import InputRejected, LabError
from cnnlab.images import Preprocessing
from cnnlab.inference.intervals import wilson
from cnnlab.nets.weights import save_bundled
from cnnlab.runs import store
from cnnlab.runs.runner import Runner
from cnnlab.runs.store import Run, TestResult
from cnnlab.train import building
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.control import Command
from cnnlab.train.evaluating import evaluate
from cnnlab.train.recipes import RECIPES

_LOOK_UP_EVERY_S = 0.2
_OWN_SIDE = 64
_STOPPED = 130


def train(told: argparse.Namespace) -> int:
    """Train as the arguments of the command line say.

    Returns:
        For the shell.

    Raises:
        LabError: It cannot be done, or the run failed.
    """
    run = _found(told.resume) if told.resume else None
    config = run.config if run else _config(told)
    if run and (told.epochs or told.seed is not None or told.name):
        raise InputRejected("A run goes on as it began. Leave out --epochs, --seed and --name, or start a new one.")
    if run and run.test and (told.test or told.save_weights):
        raise InputRejected(
            f"The test pictures have been used for this run, after epoch {run.test.epoch}. Leave out --test and "
            "--save-weights, or start a new run."
        )
    if told.save_weights:
        _check_savable(config, told.save_weights)
    dataset = _own_pictures(config, told.pictures)
    if run is None:
        run = store.create(OWNER, config, name=told.name)
        store.publish(run.id, True)
    runner = Runner()
    try:
        try:
            runner.start(run.id, dataset=dataset, resume=bool(told.resume))
        except LabError:
            if not told.resume:  # or it would wait for ever
                store.delete(run.id)
            raise
        _watch(runner, run)
    finally:
        runner.close()
    run = store.get(run.id)
    if run.state == "failed":
        return 1
    if run.state != "finished":
        sys.stdout.write(f"Go on with: python -m cnnlab train --resume {run.id}\n")
        return _STOPPED
    if told.test or told.save_weights:
        _test(run, dataset, told)
    return 0


def _config(told: argparse.Namespace) -> TrainConfig:
    if told.recipe:
        if told.recipe not in RECIPES:
            raise InputRejected(f"There is no recipe {told.recipe!r}; there are {', '.join(RECIPES)}.")
        config = RECIPES[told.recipe].config
    else:
        try:
            config = TrainConfig.from_yaml(told.config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputRejected(f"{told.config} cannot be read: {error}. Give a configuration in YAML.") from None
    changes = {name: getattr(told, name) for name in ("epochs", "seed") if getattr(told, name) is not None}
    return dataclasses.replace(config, **changes)


def _found(begin: str) -> Run:
    """The one run of the command line whose id begins so; those that others published are theirs to go on with."""
    runs = [run for run in store.of_owner(OWNER) if run.id.startswith(begin)]
    if len(runs) != 1:
        what = "More than one run" if runs else "No run"
        raise InputRejected(
            f"{what} of the command line begins with {begin!r}. List them: python -m cnnlab runs. Runs that were "
            "started in the browser go on there."
        )
    return runs[0]


def _own_pictures(config: TrainConfig, path: Path | None) -> Dataset | None:
    if (config.data == OWN_PICTURES) != (path is not None):
        raise InputRejected(
            "This trains on pictures of your own. Give them: --pictures FILE.zip"
            if path is None
            else f"This trains on {config.data}, so --pictures has no place here. Leave it out."
        )
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            found = PictureSet.from_zip(file).decode(
                config.side or _OWN_SIDE, validation=config.validation, seed=config.seed
            )
    except OSError as error:
        raise InputRejected(f"{path} cannot be read: {error.strerror}. Give a zip of pictures.") from None
    if found.skipped:
        sys.stdout.write(f"{len(found.skipped)} files are left out, as {found.skipped[0].name}: ")
        sys.stdout.write(f"{found.skipped[0].reason}.\n")
    return found.dataset


def _check_savable(config: TrainConfig, path: Path) -> None:
    """Before hours are spent."""
    if not isinstance(config.net, str):
        raise InputRejected("Weights can be saved of the lab's own nets only. Name one of them as net.")
    if path.suffix != ".safetensors" or not path.absolute().parent.is_dir():
        raise InputRejected(f"{path} must end in .safetensors and lie in a folder that exists.")


def _watch(runner: Runner, run: Run) -> None:
    """Show what comes until the run is over. Ctrl-C stops the run, not this."""
    with runner.subscribe(run.id) as watching:
        display = Display(sys.stdout, is_terminal=sys.stdout.isatty(), history=watching.history)
        display.say(f"Run {run.id}: {run.name}")
        while not watching.is_over:
            try:
                events = watching.next(_LOOK_UP_EVERY_S)
                for event in events:
                    display.show(event)
                if not events and (preparing := runner.preparing(run.id)):
                    display.prepare(preparing)
            except KeyboardInterrupt:
                display.say("Stopping after this step.")
                with suppress(InputRejected):  # it has just ended
                    runner.command(run.id, Command("stop"))


def _test(run: Run, dataset: Dataset | None, told: argparse.Namespace) -> None:
    """Try the best net on the test pictures, and keep it where that is asked for."""
    config = run.config
    torch.set_num_threads(config.threads)
    data = building.resized(dataset, config.side) if dataset else building.load_data(config)
    model = building.of_run(store.folder(run.id), run.best_epoch)
    device = building.device_of(config)
    model = model.to(device)
    if told.half:
        before = evaluate(model, data, data.splits.validation, device=device).accuracy
        model = model.half().float()
        after = evaluate(model, data, data.splits.validation, device=device).accuracy
        sys.stdout.write(f"Rounded to 16 bits: validation {100 * before:.2f} % before, {100 * after:.2f} % after\n")
    seen = evaluate(model, data, data.splits.test, device=device)
    result = TestResult(
        epoch=run.best_epoch,
        accuracy=seen.accuracy,
        loss=seen.loss,
        num_pictures=len(seen),
        confusion=tuple(tuple(row) for row in seen.confusion.tolist()),
        time=time.time(),
    )
    store.set_test(run.id, result)
    low, high = wilson(seen.num_right, len(seen))
    accuracy = (
        f"{100 * seen.accuracy:.2f} % of the {len(seen):,} test pictures of {data.label} "
        f"(95 % interval {100 * low:.2f} % to {100 * high:.2f} %)"
    )
    sys.stdout.write(f"Test, epoch {run.best_epoch}: {accuracy}\n")
    if told.save_weights:
        assert isinstance(config.net, str)
        save_bundled(
            model,
            told.save_weights,
            label=f"trained on {data.label}",
            architecture=config.net,
            classes=data.classes,
            preprocessing=_preprocessing(data),
            accuracy=accuracy,
            source=_source(run, data, told),
            dtype=torch.float16 if told.half else torch.float32,
        )
        sys.stdout.write(f"Wrote {told.save_weights} ({told.save_weights.stat().st_size / 1e6:.2f} MB)\n")


def _preprocessing(data: Dataset) -> Preprocessing:
    """What the net was fed: digits squeezed to the square, photographs cropped to it."""
    side, channels = data.pictures.shape[2:]
    size = (side, side)
    if channels == 1:
        return Preprocessing(resize=size, channels="grey", mean=data.mean, std=data.std)
    return Preprocessing(resize=side, crop=size, channels="rgb", mean=data.mean, std=data.std)


def _source(run: Run, data: Dataset, told: argparse.Namespace) -> str:
    """Data, recipe, date, and the command that does it again."""
    config = run.config
    how = f"recipe {told.recipe}" if told.recipe else f"configuration {told.config.name if told.config else 'of a run'}"
    again = ["--recipe", told.recipe] if told.recipe else [told.config.name if told.config else "config.yaml"]
    if told.epochs:
        again += ["--epochs", str(told.epochs)]
    if told.seed is not None:
        again += ["--seed", str(told.seed)]
    again += ["--save-weights", told.save_weights.name, *(["--half"] if told.half else [])]
    command = shlex.join(["python", "-m", "cnnlab", "train", *again])
    return (
        f"CNN Lab, {how}: best of {config.epochs} epochs on {len(data.splits.train):,} pictures of {data.label}, "
        f"chosen by {len(data.splits.validation):,} others; seed {config.seed}; {time.strftime('%Y-%m-%d')}; {command}"
    )
