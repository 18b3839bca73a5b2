"""Real runs in real processes, killed for real."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cnnlab.data import Dataset, load_dataset
from cnnlab.data.dataset import Gathered, part_pictures
from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.runs import store
from cnnlab.runs.channel import Subscription
from cnnlab.runs.journal import Journal, read_events, read_history
from cnnlab.runs.runner import Runner
from cnnlab.runs.store import Run
from cnnlab.train.checkpoints import read_weights, resumable_epoch, weights_file
from cnnlab.train.config import TrainConfig
from cnnlab.train.control import Command
from cnnlab.train.events import Changed, Ended, EpochEnded, Started, Stepped, TrainEvent
from tests.unit.runs.making import STARTED, stepped

ANNA, BEN, CARA = "a" * 32, "b" * 32, "c" * 32
SHORT = TrainConfig(epochs=3, batch_size=128)
LONG = TrainConfig(epochs=1000)


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One data directory for all tests here: it takes seconds until a runner is warm, so they share one."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CNNLAB_DATA_DIR", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="module")
def runner(data: None) -> Iterator[Runner]:
    """Two at a time."""
    runner = Runner(max_running=2)
    runner.warm_up()
    yield runner
    runner.close()


@pytest.fixture(autouse=True)
def all_stopped(runner: Runner) -> Iterator[None]:
    yield
    for owner in (ANNA, BEN, CARA):
        for run in store.of_owner(owner):
            if runner.position(run.id):
                runner.withdraw(run.id)
    for owner in (ANNA, BEN, CARA):
        for run in store.of_owner(owner):
            if runner.is_going_on(run.id):
                runner.command(run.id, Command("stop"))
                wait_for(lambda run=run: not runner.is_going_on(run.id))


def wait_for(claim: Callable[[], bool], at_most_s: float = 60) -> float:
    """Seconds until something is so."""
    began = time.monotonic()
    while not claim():
        assert time.monotonic() < began + at_most_s, "it did not come true"
        time.sleep(0.005)
    return time.monotonic() - began


def watch(runner: Runner, run: Run, until: Callable[[TrainEvent], bool] = lambda _: False) -> list[TrainEvent]:
    """All that a run tells from now on, up to something or to its end."""
    told: list[TrainEvent] = []
    with runner.subscribe(run.id) as watching:
        while not watching.is_over:
            for event in watching.next(1):
                told.append(event)
                if until(event):
                    return told
    return told


def until_step(step: int) -> Callable[[TrainEvent], bool]:
    return lambda event: isinstance(event, Stepped) and event.step >= step


def pid_of(run: Run) -> int:
    worker = store.get(run.id).worker
    assert worker is not None
    return worker.pid


def weights(run: Run, epoch: int) -> dict[str, torch.Tensor]:
    return read_weights(weights_file(store.folder(run.id), epoch))


@pytest.fixture(scope="module")
def undisturbed(runner: Runner) -> Run:
    """A run that nobody touched, from its first to its last epoch."""
    run = store.create(ANNA, SHORT)
    runner.start(run.id)
    watch(runner, run)
    return run


def test_a_run_goes_to_its_end_and_everybody_knows(runner: Runner, undisturbed: Run) -> None:
    found = store.get(undisturbed.id)
    assert (found.state, found.reason, found.epochs_done) == ("finished", "All 3 epochs are done.", 3)
    history = runner.history(undisturbed.id)
    assert found.best_epoch == history.best_epoch
    assert history.best is not None
    assert found.best_accuracy == history.best.validation_accuracy > 0.8
    assert history.to_data() == read_history(store.folder(undisturbed.id)).to_data()
    with runner.subscribe(undisturbed.id) as watching:
        assert watching.is_over
        assert len(watching.history.epochs) == 3


@pytest.mark.skipif(os.name != "posix", reason="Windows knows no signal 9")
@pytest.mark.parametrize(
    "moment_s", [0.0, random.uniform(0.02, 0.3), random.uniform(0.3, 0.6)], ids=["at once", "soon", "later"]
)
def test_a_killed_run_fails_within_two_seconds_and_goes_on_to_the_same_weights(
    runner: Runner, undisturbed: Run, moment_s: float
) -> None:
    run = store.create(ANNA, SHORT)
    runner.start(run.id)
    watch(runner, run, lambda event: isinstance(event, Started))
    pid = pid_of(run)
    time.sleep(moment_s)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: store.get(run.id).state in store.ENDED) < 2
    found = store.get(run.id)
    if found.state != "finished":  # on a fast machine it may have been
        assert found.state == "failed"
        assert "killed (signal 9), perhaps because memory ran out" in found.reason
        kept = resumable_epoch(store.folder(run.id))
        assert found.reason.endswith(f"Resume from epoch {kept}." if kept else "resuming begins anew.")
        wait_for(lambda: not runner.is_going_on(run.id))
        (*_, ended) = read_events(store.folder(run.id))
        assert isinstance(ended, Ended)
        assert (ended.reason, ended.text) == ("failed", found.reason)
        assert runner.history(run.id).ended == ended
        runner.start(run.id, resume=True)
        first = next(event for event in watch(runner, run) if isinstance(event, Started))
        assert first.first_step == (kept or 0) * first.steps_per_epoch
    assert store.get(run.id).state == "finished"
    assert [one.epoch for one in runner.history(run.id).epochs] == [1, 2, 3]
    expected = weights(undisturbed, 3)
    assert all(torch.equal(value, expected[name]) for name, value in weights(run, 3).items())


def test_a_run_that_was_paused_stepped_stopped_and_resumed_comes_to_the_same_weights(
    runner: Runner, undisturbed: Run
) -> None:
    run = store.create(ANNA, SHORT)
    runner.start(run.id)
    with runner.subscribe(run.id) as watching:
        runner.command(run.id, Command("pause"))
        told = hear(watching, lambda event: isinstance(event, Changed))
        assert told[-1] == Changed(step=0, what="paused")
        wait_for(lambda: store.get(run.id).state == "paused")
        assert watching.next(0.3) == []
        for step in (1, 2):
            runner.command(run.id, Command("step"))
            told = hear(watching, lambda event: isinstance(event, Stepped))
            assert [event.step for event in told if isinstance(event, Stepped)] == [step]
            assert [event for event in watching.next(0.2) if isinstance(event, Stepped)] == []
        runner.command(run.id, Command("resume"))
        hear(watching, until_step(3))
        wait_for(lambda: store.get(run.id).state == "running")
        runner.command(run.id, Command("stop"))
        told = hear(watching, lambda event: isinstance(event, Ended))
        assert told[-1].reason == "stopped"  # pyright: ignore[reportAttributeAccessIssue]
        assert watching.is_over
    # Who hears of the end can go on at once.
    assert store.get(run.id).state == "stopped"
    runner.start(run.id, resume=True)
    assert watch(runner, run)[-1].reason == "finished"  # pyright: ignore[reportAttributeAccessIssue]
    expected = weights(undisturbed, 3)
    assert all(torch.equal(value, expected[name]) for name, value in weights(run, 3).items())


def hear(watching: Subscription, until: Callable[[TrainEvent], bool]) -> list[TrainEvent]:
    told: list[TrainEvent] = []
    give_up = time.monotonic() + 60
    while not any(map(until, told)):
        assert time.monotonic() < give_up, told
        told += watching.next(1)
    return told


def test_the_learning_rate_changes_at_once(runner: Runner) -> None:
    run = store.create(ANNA, LONG)
    runner.start(run.id)
    watch(runner, run, until_step(1))
    runner.command(run.id, Command("lr", 0.0125))
    told = watch(runner, run, lambda event: isinstance(event, Stepped) and event.lr == 0.0125)
    assert isinstance(told[-1], Stepped)


def test_a_run_that_is_stopped_while_it_loads_ends_without_a_step(runner: Runner) -> None:
    run = store.create(ANNA, LONG)
    runner.start(run.id)
    runner.command(run.id, Command("stop"))
    wait_for(lambda: not runner.is_going_on(run.id))
    assert store.get(run.id).state == "stopped"
    runner.start(run.id, resume=True)
    watch(runner, run, until_step(1))


def test_two_go_on_and_the_others_wait_in_fair_order(runner: Runner) -> None:
    anna = [store.create(ANNA, LONG) for _ in range(4)]
    ben, cara = store.create(BEN, LONG), store.create(CARA, LONG)
    for run in (*anna, ben, cara):
        runner.start(run.id)
    # Anna's first two found room at once.
    assert [runner.is_going_on(run.id) for run in (*anna, ben, cara)] == [True, True, False, False, False, False]
    assert [runner.position(run.id) for run in (*anna, ben, cara)] == [None, None, 3, 4, 1, 2]
    assert store.get(ben.id).state == "waiting"
    with pytest.raises(InputRejected, match="waiting for its turn"):
        runner.command(ben.id, Command("pause"))
    with pytest.raises(InputRejected, match="going on already"):
        runner.start(ben.id)
    with pytest.raises(InputRejected, match="not waiting"):
        runner.withdraw(anna[0].id)
    runner.withdraw(anna[2].id)
    assert (store.get(anna[2].id).state, runner.position(anna[2].id)) == ("stopped", None)
    assert runner.position(anna[3].id) == 3
    with runner.subscribe(ben.id) as watching:
        assert watching.next(0) == []
        assert not watching.is_over
        runner.command(anna[0].id, Command("stop"))
        hear(watching, lambda event: isinstance(event, Started))
    assert runner.is_going_on(ben.id)
    assert [runner.position(run.id) for run in (cara, anna[3])] == [1, 2]
    for _ in range(4):
        runner.start(store.create(ANNA, LONG).id)
    one_more = store.create(ANNA, LONG)
    with pytest.raises(ResourceExhausted, match="5 runs waiting"):
        runner.start(one_more.id)
    assert runner.position(one_more.id) is None


def digits_of(labels: tuple[int, ...], classes: tuple[str, ...]) -> Dataset:
    whole = load_dataset("digits")
    keep = torch.isin(whole.labels, torch.tensor(labels))
    nothing = torch.empty(0, dtype=torch.int64)
    gathered = Gathered(
        pictures=whole.pictures[keep], labels=(whole.labels[keep] == labels[1]).long(), classes=classes, test=nothing
    )
    return part_pictures("pictures", "Your pictures", gathered)


def test_two_peoples_runs_with_their_own_pictures_never_mix(runner: Runner) -> None:
    config = TrainConfig(data="pictures", epochs=4, batch_size=16)
    anna, ben = store.create(ANNA, config), store.create(BEN, replace(config, lr=0.01))
    runner.start(anna.id, dataset=digits_of((0, 1), ("ant", "bee")))
    runner.start(ben.id, dataset=digits_of((3, 8), ("cow", "dog")))
    for run, classes, lr in ((anna, ("ant", "bee"), 0.05), (ben, ("cow", "dog"), 0.01)):
        wait_for(lambda run=run: not runner.is_going_on(run.id))
        events = list(read_events(store.folder(run.id)))
        assert [event.classes for event in events if isinstance(event, Started)] == [classes]
        assert {event.lr for event in events if isinstance(event, Stepped)} == {lr}
        assert [event.epoch for event in events if isinstance(event, EpochEnded)] == [1, 2, 3, 4]
        assert runner.history(run.id).to_data() == read_history(store.folder(run.id)).to_data()


def test_own_pictures_are_kept_for_as_long_as_the_run_can_go_on(runner: Runner) -> None:
    run = store.create(ANNA, TrainConfig(data="pictures", epochs=1000))
    with pytest.raises(InputRejected, match="Choose the same pictures again"):
        runner.start(run.id)
    runner.start(run.id, dataset=digits_of((0, 1), ("ant", "bee")))
    watch(runner, run, until_step(1))
    runner.command(run.id, Command("stop"))
    wait_for(lambda: not runner.is_going_on(run.id))
    runner.start(run.id, resume=True)
    (*_, started) = watch(runner, run, lambda event: isinstance(event, Started))
    assert isinstance(started, Started)
    assert started.classes == ("ant", "bee")
    assert started.first_step >= 1
    runner.command(run.id, Command("stop"))
    wait_for(lambda: not runner.is_going_on(run.id))
    runner.forget(run.id)
    with pytest.raises(InputRejected, match="Choose the same pictures again"):
        runner.start(run.id, resume=True)


def test_a_run_goes_on_with_the_pictures_that_it_began_with_whatever_is_given(runner: Runner) -> None:
    run = store.create(ANNA, TrainConfig(data="pictures", epochs=1000))
    runner.start(run.id, dataset=digits_of((0, 1), ("ant", "bee")))
    watch(runner, run, until_step(1))
    runner.command(run.id, Command("stop"))
    wait_for(lambda: not runner.is_going_on(run.id))
    runner.start(run.id, dataset=digits_of((3, 8), ("cow", "dog")), resume=True)
    (*_, started) = watch(runner, run, lambda event: isinstance(event, Started))
    assert isinstance(started, Started)
    assert started.classes == ("ant", "bee")
    runner.command(run.id, Command("stop"))
    wait_for(lambda: not runner.is_going_on(run.id))
    # Nobody holds them any more: other ones are refused where they would be learnt from.
    runner.forget(run.id)
    runner.start(run.id, dataset=digits_of((3, 8), ("cow", "dog")), resume=True)
    wait_for(lambda: not runner.is_going_on(run.id))
    assert store.get(run.id).reason.startswith("These are other pictures than the run learnt from")


def test_a_run_that_is_forgotten_waits_no_more_and_one_that_goes_on_is_not_forgotten(runner: Runner) -> None:
    first, second, third = (store.create(ANNA, LONG) for _ in range(3))
    for run in (first, second, third):
        runner.start(run.id)
    assert runner.position(third.id) == 1
    with runner.subscribe(third.id) as watching:
        runner.forget(third.id)
        store.delete(third.id)
        watching.next(1)
        assert watching.is_over
    assert runner.position(third.id) is None
    with pytest.raises(InputRejected, match="Stop it, then delete it"):
        runner.forget(first.id)
    assert runner.is_going_on(first.id)
    runner.command(first.id, Command("stop"))
    wait_for(lambda: not runner.is_going_on(first.id))
    runner.forget(first.id)
    store.delete(first.id)


def test_a_run_whose_state_is_gone_does_not_begin_anew_over_what_it_has_learnt(runner: Runner) -> None:
    run = store.create(ANNA, LONG)
    runner.start(run.id)
    watch(runner, run, lambda event: isinstance(event, EpochEnded))
    runner.command(run.id, Command("stop"))
    wait_for(lambda: not runner.is_going_on(run.id))
    state = store.folder(run.id) / "resume.safetensors"
    content = state.read_bytes()
    learnt = weights_file(store.folder(run.id), 1).read_bytes()
    for damage in (content[:100], None):
        state.unlink() if damage is None else state.write_bytes(damage)
        with pytest.raises(InputRejected, match="Start a new run with the same settings"):
            runner.start(run.id, resume=True)
    assert store.get(run.id).state == "stopped"
    assert runner.position(run.id) is None
    assert weights_file(store.folder(run.id), 1).read_bytes() == learnt


def test_a_run_that_another_process_works_on_is_read_again_when_there_is_news(runner: Runner) -> None:
    run = store.create(ANNA, LONG)
    store.set_state(run.id, "running")
    with Journal.open(store.folder(run.id)) as journal:
        journal.append(STARTED)
        assert len(runner.history(run.id).steps) == 0
        for step in (1, 2):
            journal.append(stepped(step))
            assert list(runner.history(run.id).steps.step) == [*range(1, step + 1)]
    # Where its size is what it was, the journal is not opened.
    path = store.folder(run.id) / "events.jsonl"
    path.write_bytes(b"\n" * path.stat().st_size)
    assert list(runner.history(run.id).steps.step) == [1, 2]
    store.set_state(run.id, "stopped")


def test_pictures_of_runs_long_past_make_room_and_those_of_waiting_runs_do_not(runner: Runner) -> None:
    config = TrainConfig(data="pictures", epochs=1000)
    pictures = digits_of((0, 1), ("ant", "bee"))
    runs = [store.create(BEN, config) for _ in range(5)]
    for run in runs[:4]:
        runner.start(run.id, dataset=replace(pictures))
    with pytest.raises(ResourceExhausted, match="no room in memory"):
        runner.start(runs[4].id, dataset=replace(pictures))
    assert store.get(runs[4].id).state == "waiting"
    assert runner.position(runs[4].id) is None
    runner.withdraw(runs[3].id)
    runner.start(runs[4].id, dataset=replace(pictures))
    with pytest.raises(InputRejected, match="Choose the same pictures again"):
        runner.start(runs[3].id, resume=True)


def test_a_net_that_does_not_fit_its_pictures_fails_in_words_and_the_next_run_begins(runner: Runner) -> None:
    misfit, good = store.create(ANNA, TrainConfig(net="alexnet")), store.create(ANNA, replace(SHORT, epochs=1))
    for run in (misfit, good):
        runner.start(run.id)
    wait_for(lambda: store.get(misfit.id).has_ended and store.get(good.id).has_ended)
    found = store.get(misfit.id)
    assert found.state == "failed"
    assert "cannot work on 192 × 2 × 2" in found.reason
    assert store.get(good.id).state == "finished"


def test_runs_that_cannot_be_started_say_why(runner: Runner, undisturbed: Run) -> None:
    with pytest.raises(InputRejected, match="come to its end"):
        runner.start(undisturbed.id, resume=True)
    with pytest.raises(InputRejected, match="no such run"):
        runner.start("0" * 26)
    with pytest.raises(InputRejected, match="not going on"):
        runner.command(undisturbed.id, Command("pause"))
    with pytest.raises(InputRejected, match="no such run"):
        runner.history("0" * 26)


HOST = """
import time
from cnnlab.runs import store
from cnnlab.runs.runner import Runner
from cnnlab.train.config import TrainConfig

runner = Runner()
runs = [store.create("a" * 32, TrainConfig(epochs=1000)) for _ in range(2)]
for run in runs:
    runner.start(run.id)
while len(runner.history(runs[0].id).epochs) < 1:
    time.sleep(0.01)
print(*(run.id for run in runs), flush=True)
time.sleep(60)
"""


def test_a_run_outlives_its_killed_lab_by_a_step_and_goes_on_in_the_next(runner: Runner) -> None:
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", HOST],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root},
    ) as host:  # fmt: skip
        assert host.stdout
        going_on, waiting = map(store.get, host.stdout.readline().split())
        host.kill()
    next_lab = Runner()
    wait_for(lambda: store.get(going_on.id).has_ended and store.get(waiting.id).has_ended)
    next_lab.close()
    check_that_both_go_on(runner, going_on, waiting)


def test_a_lab_that_is_shut_down_ends_its_runs_so_that_they_can_go_on(runner: Runner) -> None:
    lab = Runner()
    going_on, waiting = store.create(ANNA, LONG), store.create(ANNA, LONG)
    for run in (going_on, waiting):
        lab.start(run.id)
    watch(lab, going_on, lambda event: isinstance(event, EpochEnded))
    lab.close()
    assert store.get(going_on.id).reason.startswith("The lab was shut down. Resume from epoch")
    with pytest.raises(ResourceExhausted, match="being shut down"):
        lab.start(waiting.id, resume=True)
    check_that_both_go_on(runner, going_on, waiting)


def test_a_lab_that_is_shut_down_at_once_waits_for_nothing() -> None:
    lab = Runner()
    run = store.create(ANNA, LONG)
    lab.start(run.id)
    began = time.monotonic()
    lab.close()
    assert time.monotonic() < began + 5
    assert store.get(run.id).state == "interrupted"
    assert not lab.is_going_on(run.id)


def check_that_both_go_on(runner: Runner, going_on: Run, waiting: Run) -> None:
    assert store.get(going_on.id).state == store.get(waiting.id).state == "interrupted"
    assert (resumable_epoch(store.folder(going_on.id)) or 0) >= 1
    steps = read_history(store.folder(going_on.id)).steps.step[-1]
    for run in (going_on, waiting):
        runner.start(run.id, resume=True)
        (*_, started) = watch(runner, run, lambda event: isinstance(event, Started))
        assert isinstance(started, Started)
        # No step is lost: it stopped after the one that it was in.
        assert started.first_step >= steps if run is going_on else started.first_step == 0
