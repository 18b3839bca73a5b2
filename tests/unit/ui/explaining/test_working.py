import threading
import time

import pytest

from cnnlab.errors import RunFailed
from cnnlab.ui.explaining import working
from cnnlab.ui.explaining.working import Work, in_turn

PATIENCE_S = 10


def until(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def over(work):
    work.look(PATIENCE_S)
    assert work.is_over
    return work


def test_what_there_is_so_far_is_there_and_in_the_end_all_of_it():
    go_on = threading.Event()

    def steps(progress, cancelled):
        progress("counting", 1, 2)
        yield "half"
        go_on.wait(PATIENCE_S)
        yield "whole"

    work = Work(steps)
    until(lambda: work.latest == "half")
    assert not work.is_over
    assert work.told == ("counting", 1, 2)
    go_on.set()
    over(work)
    assert (work.latest, work.is_whole, work.error) == ("whole", True, None)


def endless(progress, cancelled):
    while True:
        time.sleep(0.002)
        yield "some"


def test_a_stop_by_hand_keeps_what_there_is_and_is_no_error():
    work = Work(endless)
    until(lambda: work.latest is not None)
    work.stop(by_hand=True)
    over(work)
    assert (work.latest, work.is_whole, work.is_stopped, work.error) == ("some", False, True, None)


def test_what_a_stopped_work_answers_is_not_shown_as_a_fault():
    def steps(progress, cancelled):
        yield "some"
        while not cancelled():
            time.sleep(0.002)
        raise RunFailed("It was stopped.")

    work = Work(steps)
    until(lambda: work.latest is not None)
    work.stop(by_hand=True)
    assert over(work).error is None


def test_work_that_nobody_looks_at_ends(monkeypatch):
    monkeypatch.setattr(working, "_LEASE_S", 0.05)
    work = Work(endless)
    until(lambda: work.is_over)
    assert not work.is_whole
    assert not work.is_stopped


def test_a_fault_is_carried_to_whoever_looks():
    def steps(progress, cancelled):
        yield "some"
        raise RunFailed("The net answers with NaN.")

    work = over(Work(steps))
    assert str(work.error) == "The net answers with NaN."
    assert work.latest == "some"


def test_one_visitors_check_waits_for_anothers_and_can_be_stopped_meanwhile():
    go_on = threading.Event()
    at_work = []

    def steps(progress, cancelled):
        at_work.append(threading.get_ident())
        yield "begun"
        go_on.wait(PATIENCE_S)

    first = Work(in_turn(steps))
    until(lambda: first.latest == "begun")
    second, third = Work(in_turn(steps)), Work(in_turn(steps))
    until(lambda: "waiting" in second.told[0])
    assert len(at_work) == 1
    second.stop(by_hand=True)
    over(second)
    assert second.latest is None
    go_on.set()
    over(third)
    assert (third.latest, len(at_work)) == ("begun", 2)


@pytest.mark.parametrize("end", ["stopped", "failed"])
def test_the_turn_is_given_back_however_it_ends(end):
    def steps(progress, cancelled):
        yield "begun"
        if end == "failed":
            raise RunFailed("No.")
        while True:
            time.sleep(0.002)
            yield "more"

    work = Work(in_turn(steps))
    until(lambda: work.latest is not None)
    work.stop(by_hand=True)
    over(work)
    assert over(Work(in_turn(lambda *_: iter(["mine"])))).latest == "mine"
