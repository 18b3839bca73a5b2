"""The training dashboard without a browser: what it is set to, what it refuses, whose runs it shows."""

import dataclasses
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from cnnlab.data import Augment, Step, load_dataset
from cnnlab.errors import InputRejected
from cnnlab.runs import store
from cnnlab.train import Training
from cnnlab.train.building import build_net
from cnnlab.train.checkpoints import NetFacts, weights_file, write_weights
from cnnlab.train.config import TrainConfig
from cnnlab.train.recipes import RECIPES
from cnnlab.ui import running
from cnnlab.ui.training import augmenting, changes, expecting, setup, watching

Opened = Callable[..., AppTest]
STRANGER = "f" * 32


def words(elements: Iterable[Any]) -> str:
    """What people read, with the backslashes before punctuation taken out."""
    return "\n".join(re.sub(r"\\(.)", r"\1", element.value) for element in elements)


def keyed(elements: Iterable[Any], key: str) -> Any:
    return next(element for element in elements if element.key == key)


def is_sound(app: AppTest) -> AppTest:
    assert not app.exception
    assert "Something broke" not in words(app.error)
    return app


def press(app: AppTest, key: str) -> AppTest:
    keyed(app.button, key).click()
    return is_sound(app.run())


def table(app: AppTest) -> dict[str, str]:
    """The numbers on the right."""
    lines = (line.strip("| ").split(" | ") for text in app.markdown for line in text.value.splitlines())
    return {line[0]: line[1] for line in lines if len(line) == 2}


@pytest.fixture(autouse=True, scope="module")
def over() -> Iterator[None]:
    """No run outlives the tests."""
    yield
    running.runner().close()
    running._runner = None


def test_the_first_look_shows_data_schedule_and_a_measured_time_without_a_click(opened: Opened) -> None:
    app = is_sound(opened("training"))
    assert not app.error
    # scikit-learn has 1,797 digits; a fifth, class by class, is for the test, a tenth of the rest for validation.
    found = table(app)
    assert sum(int(found[f"{part} pictures"].replace(",", "")) for part in ("training", "validation", "test")) == 1797
    per_epoch = -(-int(found["training pictures"].replace(",", "")) // 32)
    assert f"{per_epoch} steps an epoch, {6 * per_epoch} in all" in words(app.caption)
    assert [metric.label for metric in app.metric] == ["Expected time"]


@pytest.mark.parametrize("key", RECIPES)
def test_every_recipe_opens_and_fills_the_controls(opened: Opened, key: str) -> None:
    app = is_sound(opened("training", recipe=key))
    config = RECIPES[key].config
    for name in ("epochs", "batch_size", "lr"):
        assert keyed(app.number_input, f"training.set.{name}").value == getattr(config, name)
    assert keyed(app.selectbox, "training.set.optimizer").value == config.optimizer
    assert keyed(app.selectbox, "training.set.data").value == config.data
    assert RECIPES[key].about[:40] in words(app.markdown)
    assert "training.reset" not in {button.key for button in app.button}


def test_a_change_makes_the_recipe_a_changed_one_and_goes_into_the_link_and_back(opened: Opened) -> None:
    app = opened("training")
    keyed(app.number_input, "training.set.epochs").set_value(9)
    keyed(app.selectbox, "training.set.optimizer").set_value("rmsprop")
    is_sound(app.run())
    assert dict(app.query_params) == {"epochs": "9", "optimizer": "rmsprop"}
    keyed(app.number_input, "training.set.epochs").set_value(6).run()
    assert "epochs" not in app.query_params
    press(app, "training.reset")
    assert not app.query_params
    assert keyed(app.selectbox, "training.set.optimizer").value == "adamw"


def test_another_recipe_takes_the_changes_back(opened: Opened) -> None:
    app = opened("training", epochs="9", lr="0.1")
    keyed(app.selectbox, "training.set.recipe").set_value("shapes").run()
    assert keyed(app.number_input, "training.set.epochs").value == RECIPES["shapes"].config.epochs
    assert "lr" not in app.query_params


FIELDS: dict[str, Any] = {
    "lr": 0.025,
    "epochs": 12,
    "nesterov": False,
    "channels_last": False,
    "schedule": "step",
    "dropout": 0.25,
    "clip_norm": changes.NOTHING,
    "augment": Augment((Step("flip", {"probability": 0.25}), Step("cutmix"))),
    "data_choices": {"side": 32},
    "start_from": "weights:resnet_cifar",
    "seed": 123_456_789,
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_link_carries_each_kind_of_field(name: str) -> None:
    setting = next(one for one in changes.SETTINGS if one.key == changes.key_of(name))
    assert setting.parse(setting.format(FIELDS[name])) == FIELDS[name]


def test_no_two_settings_share_a_name_in_the_link() -> None:
    params = [setting.param for setting in changes.SETTINGS]
    assert len(params) == len(set(params)) == len(dataclasses.fields(TrainConfig)) - 1
    assert not {"net", "seed", "image", "weights", "size", "run", "tab"} & set(params)


REFUSED = {
    "lr": "-1",
    "epochs": "0",
    "batch_size": "1e3",
    "optimizer": "<b>",
    "augment": "flip:7",
    "data": "../../etc/passwd",
    "recipe": "x",
    "run": "../x",
    "start_from": "run:../../x@1",
    "data_choices": "side:abc",
    "trains": "y",
    "tab": "z",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_link_asks_for_in_vain_is_said_and_the_page_is_as_ever(opened: Opened, name: str) -> None:
    app = is_sound(opened("training", **{name: REFUSED[name]}))
    assert "could not be followed" in words(app.info)
    assert keyed(app.number_input, "training.set.epochs").value == 6


def test_changes_that_only_fit_together_are_taken_together() -> None:
    nesterov = TrainConfig(optimizer="sgd", nesterov=True)
    config, faults = changes.applied(nesterov, {"optimizer": "adam", "nesterov": False})
    assert (config.optimizer, config.nesterov, faults) == ("adam", False, {})


def test_a_change_that_cannot_be_made_is_told_and_the_others_are_made() -> None:
    config, faults = changes.applied(TrainConfig(), {"lr": 100.0, "epochs": 3})
    assert config == TrainConfig(epochs=3)
    assert list(faults) == ["lr"]
    assert "from 1e-08 to 10" in faults["lr"]


def test_an_impossible_value_stands_by_its_control_and_nothing_can_be_started(opened: Opened) -> None:
    app = opened("training")
    keyed(app.number_input, "training.set.epochs").set_value(0)
    is_sound(app.run())
    assert "epochs must be from 1 to 1000, got 0" in words(app.error)
    assert keyed(app.button, "training.start").disabled
    keyed(app.number_input, "training.set.epochs").set_value(2)
    app.run()
    assert not app.error
    assert not keyed(app.button, "training.start").disabled


def test_a_net_that_does_not_fit_the_pictures_says_why(opened: Opened) -> None:
    # Tiny VGG is made for 64 px: 28 px leave 4 × 4 cells of 10 maps for a layer that wants 1,690 numbers.
    app = is_sound(opened("training", trains="current", net="tiny_vgg"))
    assert "expects 1,690 numbers a picture, 160 arrive" in words(app.error)
    assert keyed(app.button, "training.start").disabled


def test_the_workbenchs_net_is_trained_by_whoever_comes_with_one_of_their_own_choice(opened: Opened) -> None:
    app = is_sound(opened("training", net="lenet5"))
    assert not app.error
    [net] = [box for box in app.selectbox if box.label == "Net"]
    assert net.value == "current"
    app = opened("training", net="lenet5", trains="recipe")
    [net] = [box for box in app.selectbox if box.label == "Net"]
    assert net.value == "recipe"


@pytest.mark.parametrize(
    "group",
    [
        "pictures",
        "augmentation",
        "optimisation",
        "schedule",
        "against-overfitting",
        "loss-and-sampling",
        "start-and-teacher",
        "precision-and-device",
    ],
)
def test_every_group_of_settings_opens(opened: Opened, group: str) -> None:
    app = opened("training", augment="flip:0.5,cutout:0.25:1", loss="focal", schedule="step", dropout="0.5")
    before = len(app.main)
    app.session_state[f"training-more-{group}"] = True
    is_sound(app.run())
    assert not app.error
    assert len(app.main) >= before


@pytest.mark.parametrize("tab", ["Evolving", "Mistakes", "Compare", "Your runs", "The code"])
def test_every_tab_opens_before_there_is_a_run(opened: Opened, tab: str) -> None:
    assert not is_sound(opened("training", tab=tab)).error


def test_a_set_that_is_not_here_is_offered_and_cannot_be_started(opened: Opened, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path))
    app = is_sound(opened("training", recipe="mnist_fast"))
    assert "is not on this machine yet" in words(app.markdown)
    assert keyed(app.button, "training.fetch").label == "Download"
    assert keyed(app.button, "training.start").disabled


def owner_of(app: AppTest) -> str:
    import hashlib

    return hashlib.sha256(app.session_state["visitors.number"].encode()).hexdigest()[:32]


def test_a_run_of_a_stranger_is_not_shown_until_it_is_published_and_then_not_steered(opened: Opened) -> None:
    run = store.create(STRANGER, TrainConfig(), name="Not yours")
    store.set_state(run.id, "stopped")
    app = is_sound(opened("training", run=run.id))
    assert "there is no such run, or its owner has not published it" in words(app.info)
    assert "Not yours" not in words(app.markdown)
    store.publish(run.id, True)
    app = is_sound(opened("training", run=run.id))
    assert "Not yours" in words(app.markdown)
    assert not {"training.resume", "training.command.pause"} & {button.key for button in app.button}


def test_a_run_is_started_watched_and_found_again(opened: Opened) -> None:
    app = opened("training", epochs="2", batch_size="64")
    press(app, "training.start")
    run_id = app.query_params["run"]
    run = store.get(run_id)
    assert run.owner == owner_of(app)
    assert (run.config.epochs, run.config.batch_size) == (2, 64)
    with running.runner().subscribe(run_id) as subscription:
        while not subscription.is_over:
            subscription.next(1)
    while not store.get(run_id).has_ended:
        subscription.next(0.1)
    is_sound(app.run())
    assert store.get(run_id).state == "finished"
    best = store.get(run_id).best_accuracy
    assert best is not None
    assert f"{100 * best:.2f} %" in table(app).values()
    told = app.session_state[watching.SNAPSHOT]
    assert (told["run"], told["epoch"], told["state"]) == (run_id, 2, "finished")
    press(app, "training.close")
    assert "run" not in app.query_params


def test_where_the_net_looks_is_followed_through_the_epochs(opened: Opened) -> None:
    run = store.create(STRANGER, TrainConfig(epochs=1, net="simple_conv_net"), name="Shown")
    for _ in Training(run.config, folder=store.folder(run.id)):
        pass
    store.set_state(run.id, "finished")
    store.publish(run.id, True)
    app = is_sound(opened("training", run=run.id, tab="Evolving"))
    assert "cells of features.4" in words(app.caption)
    assert not app.error


def test_a_failed_run_says_why_and_offers_to_begin_again(opened: Opened) -> None:
    app = opened("training")
    run = store.create(owner_of(app), TrainConfig())
    store.set_state(run.id, "failed", "The process was killed: there was no memory left.")
    app.session_state["training.run"] = run.id
    is_sound(app.run())
    assert "The process was killed: there was no memory left." in words(app.error)
    assert keyed(app.button, "training.resume").label == "Start it again"


def pictures_zip(counts: dict[str, int]) -> bytes:
    packed, generator = io.BytesIO(), np.random.default_rng(0)
    with zipfile.ZipFile(packed, "w") as file:
        for name, count in counts.items():
            for index in range(count):
                picture = io.BytesIO()
                Image.fromarray(generator.integers(0, 256, (20, 24, 3), np.uint8)).save(picture, "PNG")
                file.writestr(f"{name}/{index}.png", picture.getvalue())
        file.writestr("cat/broken.png", b"this is no picture")
    return packed.getvalue()


def test_ones_own_pictures_are_looked_at_then_taken_then_shown_as_the_net_gets_them(opened: Opened) -> None:
    app = is_sound(opened("training", data="pictures"))
    assert keyed(app.button, "training.start").disabled
    keyed(app.file_uploader, "training.own-files").upload("pets.zip", pictures_zip({"cat": 12, "dog": 4}))
    is_sound(app.run())
    assert "pets.zip: 16 pictures of 2 classes" in words(app.markdown)
    assert "cat has 3.0 times as many pictures as dog" in words(app.caption)
    counts = app.dataframe[0].value
    assert dict(zip(counts["class"], counts["pictures"], strict=True)) == {"cat": 12, "dog": 4}
    assert any("Left out: 1 file" in expander.label for expander in app.expander)
    press(app, "training.own-take")
    is_sound(app.run())
    assert table(app)["size"] == "64 × 64 px"
    assert "16 pictures of 2 classes, 1 left out" in words(app.caption)


def test_what_is_no_zip_is_refused_in_words_and_can_be_replaced(opened: Opened) -> None:
    app = opened("training", data="pictures")
    keyed(app.file_uploader, "training.own-files").upload("pets.zip", b"no zip at all")
    is_sound(app.run())
    assert "zip" in words(app.error)
    assert any(uploader.key == "training.own-files" for uploader in app.file_uploader)


def test_settings_from_a_file_set_the_page(opened: Opened) -> None:
    app = opened("training", tab="The code")
    config = dataclasses.replace(RECIPES["shapes"].config, epochs=3, lr=0.01)
    keyed(app.file_uploader, "training.yaml").upload("training.yaml", config.to_yaml().encode())
    is_sound(app.run())
    assert dict(app.query_params) == {
        "recipe": "shapes",
        "epochs": "3",
        "lr": "0.01",
        "tab": "The code",
    }
    keyed(app.file_uploader, "training.yaml").upload("training.yaml", b"epochs: 0")
    is_sound(app.run())
    assert "epochs must be from 1 to 1000" in words(app.error)


def test_deleting_asks_first(opened: Opened) -> None:
    app = opened("training", tab="Your runs")
    run = store.create(owner_of(app), TrainConfig(), name="To go")
    store.set_state(run.id, "stopped")
    app.session_state["training.runs"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    is_sound(app.run())
    press(app, "training.run-delete")
    assert store.get(run.id).name == "To go"
    press(app, "training.run-confirmed")
    with pytest.raises(InputRejected):
        store.get(run.id)


def test_a_tutorials_figures_are_drawn_beside_its_recipe_alone() -> None:
    config = RECIPES["mnist_simple_cnn"].config
    assert watching.published_of(config) == RECIPES["mnist_simple_cnn"].published
    assert watching.published_of(dataclasses.replace(config, threads=2, seed=7)) is not None
    assert watching.published_of(dataclasses.replace(config, lr=0.02)) is None


def run_with_weights(owner: str, name: str = "", *, num_classes: int = 10) -> store.Run:
    """A run of LeNet-5 that has kept the weights of its first epoch."""
    config = TrainConfig(net="lenet5", side=28)
    run = store.create(owner, config, name=name)
    model = build_net(config, num_classes=num_classes, in_channels=1, side=28)
    about = NetFacts(classes=tuple(map(str, range(num_classes))), in_channels=1, side=28, mean=(0.5,), std=(0.5,))
    write_weights(weights_file(store.folder(run.id), 1), model, about)
    store.set_state(run.id, "stopped")
    store.note_progress(run.id, 1, 1, 0.5)
    return store.get(run.id)


@pytest.mark.parametrize("field", ["start_from", "teacher"])
def test_weights_of_a_strangers_run_are_taken_only_once_it_is_published(opened: Opened, field: str) -> None:
    run = run_with_weights(STRANGER)
    link = {"net": "lenet5", "side": "28", field: f"run:{run.id}@1"}
    store.publish(run.id, True)
    app = is_sound(opened("training", **link))
    assert not app.error
    assert not keyed(app.button, "training.start").disabled
    store.publish(run.id, False)
    # The same question has just been answered for the visitor above.
    app = is_sound(opened("training", **link))
    assert "There is no such run, or it is not yours to see." in words(app.error)
    assert keyed(app.button, "training.start").disabled


def test_a_run_that_does_not_exist_is_told_as_a_strangers_is() -> None:
    hidden = run_with_weights(STRANGER)
    told = []
    for run_id in (hidden.id, "0" * 26):
        with pytest.raises(InputRejected, match="no such run, or it is not yours to see") as refused:
            setup.check_sources(TrainConfig(teacher=f"run:{run_id}@1"))
        told.append(str(refused.value))
    assert told[0] == told[1]
    setup.check_sources(TrainConfig(start_from="weights:any"))


def test_a_teacher_for_other_classes_is_told_before_the_start(opened: Opened) -> None:
    run = run_with_weights(STRANGER, num_classes=3)
    store.publish(run.id, True)
    app = is_sound(opened("training", net="lenet5", side="28", teacher=f"run:{run.id}@1"))
    assert "The teacher tells 3 classes apart and the data has 10." in words(app.error)
    assert keyed(app.button, "training.start").disabled


def test_runs_of_the_same_name_are_told_apart(opened: Opened) -> None:
    app = opened("training")
    runs = [run_with_weights(owner_of(app), "Twin") for _ in range(2)]
    app.session_state["training-more-start-and-teacher"] = True
    is_sound(app.run())
    for label in ("Start from", "Teacher"):
        [box] = [box for box in app.selectbox if box.label == label]
        twins = [option for option in box.options if option.startswith("Twin")]
        assert sorted(twins) == sorted(f"Twin, epoch 1 · {run.id[:4]}" for run in runs)
    press(app, "workbench.change-net")
    [box] = [box for box in app.selectbox if any("(run)" in option for option in box.options)]
    assert len(set(box.options)) == len(box.options)
    assert {f"Twin (run) · {run.id[:4]}" for run in runs} <= set(box.options)


def test_a_batch_that_takes_gigabytes_is_not_measured(opened: Opened) -> None:
    app = is_sound(opened("training", net="vgg16", side="64", batch_size="4096"))
    assert not app.metric
    # The maps of each convolution and its ReLU, those of the poolings, then the classifier: all training pictures are
    # in one batch.
    maps = 2 * (2 * 64 * 64**2 + 2 * 128 * 32**2 + 3 * 256 * 16**2 + 3 * 512 * 8**2 + 3 * 512 * 4**2)
    pooled = 64 * 32**2 + 128 * 16**2 + 256 * 8**2 + 512 * 4**2 + 512 * 2**2
    least = 4 * (maps + pooled) * int(table(app)["training pictures"].replace(",", "")) * 3 / 1e9
    [told] = re.findall(r"the net takes about ([\d.]+) GB", words(app.caption))
    assert least < float(told) < 1.05 * least
    assert "the time is not measured here" in words(app.caption)


def test_of_a_large_batch_only_what_is_shown_is_made(opened: Opened) -> None:
    dataset = load_dataset("digits", validation=0.1, seed=0)
    config = TrainConfig(batch_size=64, augment=Augment((Step("flip"),)))
    made: list[int] = []
    seen = augmenting.seen

    def counted(dataset: Any, augment: Any, indices: Any, generator: Any) -> Any:
        made.append(len(indices))
        return seen(dataset, augment, indices, generator)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmenting, "seen", counted)
        augmenting.first_batch(dataset, config, 16, 8)
    assert made == [16]


@pytest.mark.parametrize("choice", ["side:63", "colour:3", "count:0"])
def test_a_link_with_an_impossible_choice_of_a_data_set_is_refused_in_words(opened: Opened, choice: str) -> None:
    app = is_sound(opened("training", data="shapes", data_choices=choice))
    assert "data_choices" in words([*app.warning, *app.info, *app.error])
    assert app.session_state["training.data_choices"] is None


def test_a_choice_that_belongs_to_another_set_stands_as_a_fault(opened: Opened) -> None:
    app = is_sound(opened("training", data_choices="side:64"))
    assert "side of 'digits' must be" in words(app.error)
    assert keyed(app.button, "training.start").disabled


def test_only_one_measurement_waits_for_a_session(opened: Opened) -> None:
    with expecting._one_at_a_time:
        app = opened("training", weight_decay="0.011")
        first = app.session_state[expecting._MINE]
        keyed(app.number_input, "training.set.batch_size").set_value(48)
        is_sound(app.run())
        second = app.session_state[expecting._MINE]
        assert second is not first
        assert not first.is_over
    assert first.wait(20)
    assert (first.result, first.error) == (None, None)
    assert second.wait(20)
    assert second.result is not None
    keyed(app.number_input, "training.set.batch_size").set_value(32)
    is_sound(app.run())
    again = app.session_state[expecting._MINE]
    assert again.wait(20)
    assert again.result is not None


def test_a_job_that_somebody_else_began_cannot_be_stopped() -> None:
    def page(can_stop: bool) -> None:
        import threading

        from cnnlab.ui import jobs

        end = threading.Event()
        job = jobs.Job(lambda _progress, _cancelled: end.wait(20))
        jobs.show(job, "Waiting", key="stop", can_stop=can_stop)
        end.set()

    for can_stop in (True, False):
        app = AppTest.from_function(page, kwargs={"can_stop": can_stop}).run()
        assert not app.exception
        assert [button.key for button in app.button] == (["stop"] if can_stop else [])
