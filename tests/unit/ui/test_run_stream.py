import asyncio
import hashlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import streamlit
from starlette.applications import Starlette

from cnnlab.runs import store
from cnnlab.runs.channel import Channel
from cnnlab.train import TrainConfig
from cnnlab.train.events import Ended, Started, Stepped
from cnnlab.train.history import History
from cnnlab.ui import run_stream

NUMBER = "0123456789abcdef" * 2
OWNER = hashlib.sha256(NUMBER.encode()).hexdigest()[:32]
STRANGER = "f" * 32

STARTED = Started(
    time=1000.0,
    net="Small",
    data="Digits",
    classes=("0", "1"),
    num_train=100,
    num_validation=10,
    steps_per_epoch=2,
    epochs=2,
    first_step=0,
    num_params=130,
    num_frozen=0,
    layers=("1",),
    device="CPU",
    threads=1,
    input_shape=(1, 8, 8),
)
ENDED = Ended(time=1, step=4, epoch=2, reason="finished", text="Done.", best_epoch=2, best_accuracy=0.5)


def stepped(step: int, loss: float = 0.5) -> Stepped:
    return Stepped(time=1000.0 + step, step=step, loss=loss, accuracy=0.25, lr=0.1, images_per_s=800, memory_mb=300)


class OneRun:
    """A runner with one run, which goes as the test says."""

    def __init__(self) -> None:
        self.channel = Channel(History())
        self.subscriptions = []

    def subscribe(self, _: str):
        self.subscriptions.append(self.channel.subscribe())
        return self.subscriptions[-1]


@pytest.fixture
def one_run(monkeypatch, tmp_path) -> OneRun:
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path))
    made = OneRun()
    monkeypatch.setattr(run_stream, "runner", lambda: made)
    return made


@dataclass
class Browser:
    """One that asks for the events of a run, and takes what comes."""

    run_id: str
    number: str = NUMBER
    method: str = "GET"
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    takes: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    is_done: bool = False

    async def ask(self) -> None:
        self.takes.set()
        cookie = f"cnnlab_visitor={self.number}".encode()
        scope = {
            "type": "http",
            "method": self.method,
            "path": f"/api/runs/{self.run_id}/events",
            "query_string": b"",
            "headers": [(b"cookie", cookie), (b"accept", b"text/event-stream")],
        }
        has_asked = False

        async def receive():
            nonlocal has_asked
            if not has_asked:
                has_asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            await self.takes.wait()
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self.body += message["body"]
                self.is_done = not message.get("more_body", False)

        await Starlette(routes=run_stream.routes())(scope, receive, send)

    @property
    def messages(self) -> list[tuple[str, dict]]:
        """Name and data of the events that came."""
        parts = [part.split("\n") for part in self.body.decode().split("\n\n")]
        return [
            (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: ")))
            for lines in parts
            if lines[0].startswith("event: ")
        ]

    @property
    def steps(self) -> list[int]:
        """Steps that it was told of, those of a history first."""
        told = []
        for name, data in self.messages:
            if name == "history":
                told = data["steps"]["step"]
            if name == "events":
                told = told + [event["step"] for event in data["events"] if event["kind"] == "Stepped"]
        return told


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run in a loop of its own, in a thread: the browser tests leave one running in this."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, test()).result(30)  # pyright: ignore[reportArgumentType]


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


def own_run(owner: str = OWNER) -> str:
    return store.create(owner, TrainConfig()).id


def test_a_run_is_told_from_its_history_to_its_end(one_run) -> None:
    run_id = own_run()
    for event in (STARTED, stepped(1), stepped(2, math.nan)):
        one_run.channel.add(event)

    async def test() -> None:
        browser = Browser(run_id)
        asking = asyncio.create_task(browser.ask())
        await until(lambda: browser.messages)
        one_run.channel.add(stepped(3))
        await until(lambda: len(browser.messages) > 1)
        one_run.channel.add(stepped(4))
        one_run.channel.add(ENDED)
        one_run.channel.end()
        await asking

        assert browser.status == 200
        assert browser.is_done
        assert browser.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert browser.headers["cache-control"] == "no-store"
        assert browser.headers["x-accel-buffering"] == "no"
        assert browser.body.startswith(b"retry: 2000\n\n")
        names = [name for name, _ in browser.messages]
        assert (names[0], names[-1]) == ("history", "end")
        assert set(names[1:-1]) == {"events"}
        assert browser.messages[0][1]["steps"]["loss"] == [0.5, None]
        assert browser.steps == [1, 2, 3, 4]
        assert browser.messages[-2][1]["events"][-1]["reason"] == "finished"

    run(test)


def test_a_run_that_is_over_is_told_at_once(one_run) -> None:
    run_id = own_run()
    for event in (STARTED, stepped(1), ENDED):
        one_run.channel.add(event)
    one_run.channel.end()

    async def test() -> None:
        browser = Browser(run_id)
        await browser.ask()
        assert [name for name, _ in browser.messages] == ["history", "end"]

    run(test)


def test_strangers_and_those_who_guess_hear_the_same(one_run) -> None:
    run_id = own_run()

    async def test() -> None:
        answers = [Browser(run_id, number="1" * 32), Browser(run_id, number=""), Browser("a" * 26), Browser("..")]
        for browser in answers:
            await browser.ask()
            assert browser.status == 404
            assert browser.headers["cache-control"] == "no-store"
        assert len({browser.body for browser in answers}) == 1
        assert "error" in json.loads(answers[0].body)
        assert not one_run.subscriptions

    run(test)


def test_a_published_run_is_told_to_everybody(one_run) -> None:
    run_id = own_run(STRANGER)
    one_run.channel.end()

    async def test() -> None:
        for is_published, status in ((False, 404), (True, 200)):
            store.publish(run_id, is_published)
            browser = Browser(run_id)
            await browser.ask()
            assert browser.status == status

    run(test)


def test_who_comes_later_misses_nothing_and_hears_nothing_twice(one_run) -> None:
    run_id = own_run()
    one_run.channel.add(STARTED)

    async def test() -> None:
        first, later = Browser(run_id), Browser(run_id)
        asking = [asyncio.create_task(first.ask())]
        for step in range(1, 400):
            one_run.channel.add(stepped(step))
            await asyncio.sleep(0.001)
            if step == 200:
                asking.append(asyncio.create_task(later.ask()))
        one_run.channel.end()
        await asyncio.gather(*asking)
        assert first.steps == later.steps == list(range(1, 400))
        # However many look, the runner tells it once.
        assert len(one_run.subscriptions) == 1

    run(test)


def test_messages_come_twenty_times_a_second_at_most(one_run) -> None:
    run_id = own_run()

    async def test() -> None:
        browser = Browser(run_id)
        asking = asyncio.create_task(browser.ask())
        await until(lambda: browser.messages)
        began = time.monotonic()
        for step in range(1, 301):
            one_run.channel.add(stepped(step))
            await asyncio.sleep(0.002)
        one_run.channel.end()
        await asking
        num = sum(name == "events" for name, _ in browser.messages)
        assert num <= 20 * (time.monotonic() - began) + 1
        assert browser.steps == list(range(1, 301))

    run(test)


def test_a_browser_that_goes_is_noticed(one_run) -> None:
    run_id = own_run()

    async def test() -> None:
        browser = Browser(run_id)
        asking = asyncio.create_task(browser.ask())
        await until(lambda: browser.messages)
        (subscription,) = one_run.subscriptions
        assert not subscription.is_over
        browser.gone.set()
        await asking
        await until(lambda: subscription.is_over)
        one_run.channel.add(stepped(1))
        assert subscription.next(0) == []

    run(test)


def test_who_comes_back_at_once_is_told_on(one_run) -> None:
    run_id = own_run()

    async def test() -> None:
        for _ in range(5):
            browser = Browser(run_id)
            asking = asyncio.create_task(browser.ask())
            await until(lambda browser=browser: browser.messages)
            browser.gone.set()
            await asking
        last = Browser(run_id)
        asking = asyncio.create_task(last.ask())
        await until(lambda: last.messages)
        one_run.channel.add(stepped(1))
        one_run.channel.end()
        await asking
        assert last.steps == [1]
        assert last.messages[-1][0] == "end"

    run(test)


def test_a_slow_browser_gets_the_history_anew(one_run, monkeypatch) -> None:
    monkeypatch.setattr(run_stream, "_MOST_WAITING", 3)
    monkeypatch.setattr(run_stream, "_SPACING_S", 0.005)
    run_id = own_run()
    one_run.channel.add(STARTED)

    async def test() -> None:
        browser = Browser(run_id)
        asking = asyncio.create_task(browser.ask())
        await until(lambda: browser.messages)
        browser.takes.clear()
        for step in range(1, 31):
            one_run.channel.add(stepped(step))
            await asyncio.sleep(0.02)
        browser.takes.set()
        one_run.channel.end()
        await asking
        names = [name for name, _ in browser.messages]
        assert names.count("history") >= 2
        assert names.count("events") <= 6
        assert browser.steps == list(range(1, 31))

    run(test)


def test_a_silent_run_is_heard_to_be_there(one_run, monkeypatch) -> None:
    monkeypatch.setattr(run_stream, "_HEARTBEAT_S", 0.02)
    run_id = own_run()

    async def test() -> None:
        browser = Browser(run_id)
        asking = asyncio.create_task(browser.ask())
        await until(lambda: browser.body.count(b"\n: ") >= 3)
        one_run.channel.end()
        await asking
        assert [name for name, _ in browser.messages] == ["history", "end"]

    run(test)


def test_a_visitor_has_a_dozen_streams(one_run) -> None:
    run_id = own_run()

    async def test() -> None:
        browsers = [Browser(run_id) for _ in range(run_stream.STREAMS_PER_VISITOR)]
        asking = [asyncio.create_task(browser.ask()) for browser in browsers]
        await until(lambda: all(browser.messages for browser in browsers))
        one_more = Browser(run_id)
        await one_more.ask()
        assert one_more.status == 429
        assert "12" in json.loads(one_more.body)["error"]

        browsers[0].gone.set()
        await asking[0]
        again = Browser(run_id)
        asking.append(asyncio.create_task(again.ask()))
        await until(lambda: again.messages)
        one_run.channel.end()
        await asyncio.gather(*asking)

    run(test)


def test_who_asks_for_the_head_alone_gets_no_stream(one_run) -> None:
    run_id = own_run()

    async def test() -> None:
        browser = Browser(run_id, method="HEAD")
        await browser.ask()
        assert (browser.status, browser.is_done, browser.body) == (200, True, b"")

    run(test)


@pytest.mark.parametrize(
    ("base", "path"), [("", "/api/runs/{run_id}/events"), ("/lab/", "/lab/api/runs/{run_id}/events")]
)
def test_the_route_is_below_the_path_of_the_lab(monkeypatch, base, path) -> None:
    monkeypatch.setattr(streamlit, "get_option", {"server.baseUrlPath": base}.get)
    assert [route.path for route in run_stream.routes()] == [path]  # pyright: ignore[reportAttributeAccessIssue]


SERVER = """
import sys
import uvicorn
from starlette.applications import Starlette
from cnnlab.runs.channel import Channel
from cnnlab.train.history import History
from cnnlab.ui import run_stream

class Forever:
    channel = Channel(History())
    def subscribe(self, _):
        return self.channel.subscribe()

run_stream.runner = Forever
uvicorn.run(Starlette(routes=run_stream.routes()), port=int(sys.argv[1]), log_level="error")
"""


def test_the_server_goes_down_while_somebody_listens(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path))
    run_id = own_run()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen([sys.executable, "-c", SERVER, str(port)], env=dict(os.environ)) as server:
        address = f"http://127.0.0.1:{port}/api/runs/{run_id}/events"
        request = urllib.request.Request(address, headers={"Cookie": f"cnnlab_visitor={NUMBER}"})
        give_up = time.monotonic() + 60
        while True:
            try:
                answer = urllib.request.urlopen(request, timeout=30)
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.1)
        with answer:
            assert answer.readline() == b"retry: 2000\n"
            server.send_signal(signal.SIGTERM)
            # Without a word the browser would wait for the next message; so it ends, and is not told not to come back.
            assert b"event: end" not in answer.read()
        server.wait(10)
