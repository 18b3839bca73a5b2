from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.errors import ResourceExhausted
from cnnlab.runs.queueing import PLACES, Queue


def drained(queue: Queue) -> list[str]:
    return list(iter(queue.take, None))


def test_one_persons_runs_go_in_the_order_in_which_they_were_asked_for() -> None:
    queue = Queue()
    for run in ("a1", "a2", "a3"):
        queue.add("a", run)
    assert drained(queue) == ["a1", "a2", "a3"]


def test_people_take_turns_however_many_runs_one_has() -> None:
    queue = Queue()
    for run in ("a1", "a2", "a3"):
        queue.add("a", run)
    queue.add("b", "b1")
    queue.add("c", "c1")
    queue.add("b", "b2")
    assert drained(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_comes_later_goes_before_those_who_had_their_turn() -> None:
    queue = Queue()
    queue.add("a", "a1")
    queue.add("a", "a2")
    assert queue.take() == "a1"
    queue.add("b", "b1")
    assert drained(queue) == ["b1", "a2"]


def test_a_turn_is_remembered_by_who_has_nothing_waiting_for_a_while() -> None:
    queue = Queue()
    queue.add("a", "a1")
    assert queue.take() == "a1"
    queue.add("a", "a2")
    queue.add("b", "b1")
    assert queue.order() == ["b1", "a2"]


def test_a_run_that_is_withdrawn_is_not_taken() -> None:
    queue = Queue()
    for run in ("a1", "a2"):
        queue.add("a", run)
    assert queue.remove("a1")
    assert not queue.remove("a1")
    assert drained(queue) == ["a2"]


def test_nobody_fills_the_queue_alone() -> None:
    queue = Queue()
    for number in range(PLACES):
        queue.add("a", f"a{number}")
    with pytest.raises(ResourceExhausted, match="5 runs waiting"):
        queue.add("a", "one more")
    queue.add("b", "b1")
    assert len(queue) == PLACES + 1


@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=60))
def test_the_order_that_is_shown_is_the_order_that_comes_true(moves: list[str | None]) -> None:
    queue, number, owners = Queue(), count(), {}
    for owner in moves:
        if owner is None:
            expected = queue.order()
            assert queue.take() == (expected[0] if expected else None)
            assert queue.order() == expected[1:]
        elif sum(owners[run] == owner for run in queue.order()) < PLACES:
            run = f"{owner}{next(number)}"
            owners[run] = owner
            queue.add(owner, run)
    order = queue.order()
    assert len(order) == len(queue)
    assert drained(queue) == order


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_before_anybodys_first_run_comes_at_most_one_of_each_other_person(asked: list[str]) -> None:
    queue = Queue()
    for number, owner in enumerate(asked):
        if sum(run[0] == owner for run in queue.order()) < PLACES:
            queue.add(owner, f"{owner}{number}")
    order = queue.order()
    for owner in set(asked):
        before = [run[0] for run in order[: next(i for i, run in enumerate(order) if run[0] == owner)]]
        assert len(before) == len(set(before))
