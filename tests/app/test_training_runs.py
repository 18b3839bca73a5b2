"""Runs in the training dashboard without a browser: what is left of them, who sees them, what their fields hold."""

import asyncio
import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from cnnlab.data import load_dataset
from cnnlab.errors import InputRejected
from cnnlab.nets.spec import LayerSpec, NetSpec
from cnnlab.nets.weights import Weights
from cnnlab.runs import store
from cnnlab.runs.channel import Channel
from cnnlab.train.checkpoints import weights_file
from cnnlab.train.config import TrainConfig
from cnnlab.train.history import History
from cnnlab.ui import nets, run_stream, running
from cnnlab.ui.training import runs_list, watching

Opened = Callable[..., AppTest]
STRANGER = "f" * 32
NOBODY = "a" * 26


def words(elements: Iterable[Any]) -> str:
    """What people read, with the backslashes before punctuation taken out."""
    return "\n".join(re.sub(r"\\(.)", r"\1", element.value) for element in elements)


def keyed(elements: Iterable[Any], key: str) -> Any:
    return next(element for element in elements if element.key == key)


def run_again(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    assert "Something broke" not in words(app.error)
    return app


def owner_of(app: AppTest) -> str:
    import hashlib

    return hashlib.sha256(app.session_state["visitors.number"].encode()).hexdigest()[:32]


def first_run_chosen(app: AppTest) -> AppTest:
    app.session_state["training.tab"] = "Your runs"
    app.session_state["training.runs"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    return run_again(app)


@pytest.fixture(autouse=True)
def over() -> Iterator[None]:
    """Each test has a runner of its own."""
    yield
    if running._runner is not None:
        running._runner.close()
        running._runner = None


def test_a_run_that_cannot_be_queued_leaves_nothing_behind(opened: Opened) -> None:
    app = opened("training")
    running.runner().close()
    keyed(app.button, "training.start").click()
    run_again(app)
    assert "is being shut down" in words(app.error)
    assert store.of_owner(owner_of(app)) == ()


def test_with_a_run_go_the_pictures_it_held(opened: Opened) -> None:
    app = opened("training")
    run = store.create(owner_of(app), TrainConfig())
    store.set_state(run.id, "stopped")
    held = running.runner()._pictures
    held.hold(run.id, load_dataset("digits"), needed=())
    first_run_chosen(app)
    keyed(app.button, "training.run-delete").click()
    run_again(app)
    assert held.of(run.id) is not None
    keyed(app.button, "training.run-confirmed").click()
    run_again(app)
    assert held.of(run.id) is None
    with pytest.raises(InputRejected):
        store.get(run.id)


def test_name_and_tags_are_still_there_after_another_tab(opened: Opened) -> None:
    app = opened("training")
    run = store.create(owner_of(app), TrainConfig(), name="Kept")
    store.tag(run.id, ("one", "two"))
    store.set_state(run.id, "stopped")
    first_run_chosen(app)
    app.session_state["training.tab"] = "The code"
    run_again(app)
    first_run_chosen(app)
    assert keyed(app.text_input, "training.run-name").value == "Kept"
    assert keyed(app.text_input, "training.run-tags").value == "one, two"


def test_the_learning_rate_is_still_there_after_the_run_was_closed(opened: Opened) -> None:
    app = opened("training")
    run = store.create(owner_of(app), TrainConfig(lr=0.125))
    store.set_state(run.id, "running")
    for run_id in (run.id, None, run.id):
        app.session_state["training.run"] = run_id
        run_again(app)
    assert keyed(app.number_input, "training.run-lr").value == 0.125


def tick(run_id: str) -> None:
    from cnnlab.ui.training import watching

    watching._tick(run_id)


def test_a_run_that_was_deleted_or_unpublished_meanwhile_is_said_to_be_gone() -> None:
    run = store.create(STRANGER, TrainConfig())
    for run_id in (NOBODY, run.id):
        app = AppTest.from_function(tick, args=(run_id,)).run()
        assert not app.exception
        assert "This run is gone" in words(app.error)
    store.publish(run.id, True)
    app = AppTest.from_function(tick, args=(run.id,)).run()
    assert not app.error


def test_what_stands_beside_a_waiting_run_changes_with_its_place() -> None:
    before, run = (store.create(owner, TrainConfig()) for owner in (STRANGER, "e" * 32))
    queue = running.runner()._queue
    queue.add(before.owner, before.id)
    queue.add(run.owner, run.id)
    second = watching._told(run)
    queue.remove(before.id)
    assert watching._told(run) != second
    queue.remove(run.id)


def test_a_stream_ends_when_a_run_is_no_longer_published(monkeypatch) -> None:
    channel = Channel(History())

    class OneRun:
        def subscribe(self, _: str):
            return channel.subscribe()

    monkeypatch.setattr(run_stream, "runner", OneRun)
    monkeypatch.setattr(run_stream, "_LOOKS_S", 0.0)
    monkeypatch.setattr(run_stream, "_HEARTBEAT_S", 0.02)
    run = store.create(STRANGER, TrainConfig())
    store.publish(run.id, True)
    sent = b""

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        nonlocal sent
        sent += message.get("body", b"")
        if sent.count(b": still here") == 2:
            store.publish(run.id, False)

    async def listen() -> None:
        stream = run_stream._Stream(run.id, "e" * 32)
        await asyncio.wait_for(stream({"type": "http"}, receive, send), 10)  # pyright: ignore[reportArgumentType]

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, listen()).result(20)
    assert sent.count(b": still here") == 2
    assert sent.endswith(b"event: end\ndata: {}\n\n")


def test_weights_that_were_written_anew_are_told_from_those_before(tmp_path) -> None:
    path = tmp_path / "epoch_0001.safetensors"
    path.write_bytes(b"")
    net = nets.CurrentNet(key=f"run:{NOBODY}", label="", input_shape=(1, 8, 8), num_classes=10)
    values = {field.name: None for field in dataclasses.fields(Weights)}
    weights = Weights(**{**values, "file": str(path)})  # pyright: ignore[reportArgumentType]
    os.utime(path, ns=(0, 1_000_000_000))
    first = nets._source(net, weights)
    os.utime(path, ns=(0, 2_000_000_000))
    assert nets._source(net, weights) != first


def test_a_file_of_settings_does_not_take_the_place_of_a_draft(opened: Opened) -> None:
    app = opened("training", tab="The code")
    layers = (LayerSpec("flatten"), LayerSpec("linear", (("out_features", 10), ("bias", True))))
    draft = nets.Draft(name="Mine", input_shape=(1, 8, 8), layers=(layers[0], *layers))
    app.session_state["workbench.draft"] = draft
    config = TrainConfig(net=NetSpec("Theirs", (1, 8, 8), layers))
    keyed(app.file_uploader, "training.yaml").upload("training.yaml", config.to_yaml().encode())
    run_again(app)
    assert "would take the place of your draft, Mine" in words(app.error)
    assert app.session_state["workbench.draft"] == draft


def test_weights_too_large_for_a_zip_are_told_before_they_are_asked_for(opened: Opened, monkeypatch) -> None:
    app = opened("training")
    run = store.create(owner_of(app), TrainConfig())
    store.set_state(run.id, "stopped")
    for epoch in (0, 1):
        path = weights_file(store.folder(run.id), epoch)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(1000))
    monkeypatch.setattr(runs_list, "_MOST_WEIGHTS", 1500)
    first_run_chosen(app)
    assert "room for" not in words(app.caption)
    keyed(app.radio, "training.run-weights").set_value("all")
    first_run_chosen(app)
    assert "Take those of one epoch" in words(app.caption)
