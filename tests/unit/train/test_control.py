import threading
import time

import pytest

from cnnlab.errors import InputRejected
from cnnlab.train.control import COMMANDS, Command, Control


def test_commands_come_in_the_order_in_which_they_were_sent():
    control = Control()
    for name, value in (("pause", 0.0), ("lr", 0.5), ("resume", 0.0)):
        control.send(name, value)
    assert [control.next(wait=True), control.next(wait=False), control.next(wait=True)] == [
        Command("pause"),
        Command("lr", 0.5),
        Command("resume"),
    ]
    assert control.next(wait=False) is None


def test_who_waits_is_woken():
    control, got = Control(), []
    waiting = threading.Thread(target=lambda: got.append(control.next(wait=True)))
    waiting.start()
    time.sleep(0.02)
    assert not got
    control.send("stop")
    waiting.join(5)
    assert got == [Command("stop")]


def test_many_senders_lose_nothing():
    control = Control()
    senders = [threading.Thread(target=lambda: [control.send("step") for _ in range(200)]) for _ in range(5)]
    for sender in senders:
        sender.start()
    assert [control.next(wait=True) for _ in range(1000)] == [Command("step")] * 1000
    assert control.next(wait=False) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("explode", 0), ("", 0), ("lr", 0), ("lr", -0.1), ("lr", 10.1), ("lr", float("nan")), ("lr", float("inf"))],
)
def test_what_cannot_be_done_is_refused_by_the_sender(name, value):
    control = Control()
    with pytest.raises(InputRejected):
        control.send(name, value)
    assert control.next(wait=False) is None


def test_all_commands_can_be_sent():
    for name in COMMANDS:
        assert Command(name, 0.1).name == name
