import sys
from threading import Barrier, Thread

from cnnlab.runs.channel import Channel
from cnnlab.train.events import Ended, EpochEnded, Stepped, TrainEvent
from cnnlab.train.history import History


def stepped(step: int) -> Stepped:
    return Stepped(time=1e9 + step, step=step, loss=1.0, accuracy=0.5, lr=0.1, images_per_s=1.0, memory_mb=1.0)


def epoch_ended(epoch: int) -> EpochEnded:
    return EpochEnded(
        time=1e9, epoch=epoch, step=epoch, train_loss=1.0, train_accuracy=0.5, validation_loss=1.0,
        validation_accuracy=0.5, confusion=((1,),), lr=0.1, seconds=1.0, validation_seconds=1.0,
    )  # fmt: skip


ENDED = Ended(time=1e9, step=9, epoch=1, reason="finished", text="", best_epoch=1, best_accuracy=0.5)


def test_twenty_listeners_hear_the_same_in_the_same_order() -> None:
    channel, heard = Channel(History()), [[] for _ in range(20)]
    ready = Barrier(21)

    def listen(into: list[TrainEvent]) -> None:
        with channel.subscribe() as subscription:
            ready.wait()
            while not subscription.is_over:
                into.extend(subscription.next(5))

    threads = [Thread(target=listen, args=(into,)) for into in heard]
    for thread in threads:
        thread.start()
    ready.wait()
    told = [stepped(step) for step in range(1, 200)] + [epoch_ended(1), ENDED]
    for event in told:
        channel.add(event)
    channel.end()
    for thread in threads:
        thread.join()
    assert heard == [told] * 20


def test_who_comes_in_the_middle_misses_nothing_and_hears_nothing_twice() -> None:
    channel = Channel(History())
    for step in range(1, 6):
        channel.add(stepped(step))
    subscription = channel.subscribe()
    for step in range(6, 9):
        channel.add(stepped(step))
    assert subscription.history.steps.step == [1, 2, 3, 4, 5]
    assert [event.step for event in subscription.next(0)] == [6, 7, 8]
    assert channel.history().steps.step == list(range(1, 9))


def test_for_somebody_slow_measurements_are_thinned_out_and_all_else_is_kept() -> None:
    channel = Channel(History())
    slow = channel.subscribe()
    for number in range(1, 20_001):
        channel.add(stepped(number))
        if number % 1000 == 0:
            channel.add(epoch_ended(number // 1000))
    events = slow.next(0)
    steps = [event.step for event in events if isinstance(event, Stepped)]
    assert [event.epoch for event in events if isinstance(event, EpochEnded)] == list(range(1, 21))
    assert steps == sorted(steps)
    assert steps[-1] == 20_000
    assert len(steps) < 600


def test_waiting_ends_with_the_time_or_with_the_run() -> None:
    channel = Channel(History())
    subscription = channel.subscribe()
    assert subscription.next(0.01) == []
    assert not subscription.is_over
    Thread(target=lambda: (channel.add(ENDED), channel.end())).start()
    assert subscription.next(30) == [ENDED]
    assert subscription.next(30) == []
    assert subscription.is_over


def test_who_has_left_is_told_nothing_and_not_remembered() -> None:
    channel = Channel(History())
    with channel.subscribe() as subscription:
        held = sys.getrefcount(subscription)
    channel.add(stepped(1))
    assert subscription.next(0) == []
    assert subscription.is_over
    assert sys.getrefcount(subscription) < held


def test_of_a_run_that_is_over_there_is_only_the_history() -> None:
    history = History()
    history.add(stepped(3))
    subscription = Channel(history, is_open=False).subscribe()
    assert subscription.is_over
    assert subscription.history.steps.step == [3]
