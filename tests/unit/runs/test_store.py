"""Runs on disk: whose they are, what people call them, kills, damage, and several at once."""

import errno
import json
import math
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.nets.spec import NetSpec, layer
from cnnlab.runs import store
from cnnlab.runs.store import STATES, Run, TestResult
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from tests.unit.runs.making import OTHER, OWNER, files_up_to

CONFIG = TrainConfig(net="lenet5", data="digits", lr=0.01)
RESULT = TestResult(epoch=3, accuracy=0.9, loss=math.inf, num_pictures=10, confusion=((4, 1), (0, 5)), time=1e9)
UNKNOWN = "x" * 26


def files(data: Path) -> list[Path]:
    return sorted(path for path in data.rglob("*") if path.is_file())


def reopened() -> None:
    """As another process would find it."""
    store._from_text.cache_clear()
    store._config.cache_clear()


def test_a_new_run_waits_and_comes_back_as_it_was_made() -> None:
    run = store.create(OWNER, CONFIG, name="Mine")
    assert (run.owner, run.name, run.config, run.state) == (OWNER, "Mine", CONFIG, "waiting")
    assert (run.net, run.data) == ("LeNet-5", "Digits")
    assert (run.epochs_done, run.best_epoch, run.best_accuracy, run.test) == (0, 0, None, None)
    reopened()
    assert store.get(run.id) == run
    assert store.of_owner(OWNER) == (run,)


def test_a_run_without_a_name_is_called_after_its_net_and_data() -> None:
    assert store.create(OWNER, CONFIG).name == "LeNet-5 · Digits"
    assert store.create(OWNER, replace(CONFIG, data=OWN_PICTURES)).name == "LeNet-5 · Your pictures"


@pytest.mark.parametrize("name", ["x" * 60, "网" * 60])
def test_a_run_called_after_a_net_with_a_long_name_could_be_called_so_by_hand(name: str) -> None:
    net = NetSpec(name, (1, 8, 8), (layer("flatten"), layer("linear", out_features=10)))
    run = store.create(OWNER, TrainConfig(net=net, data=OWN_PICTURES))
    store.rename(run.id, run.name)
    assert store.get(run.id) == run


def test_a_net_of_ones_own_is_kept_with_the_run() -> None:
    net = NetSpec("网络 一", (1, 8, 8), (layer("flatten"), layer("linear", out_features=10)))
    run = store.create(OWNER, TrainConfig(net=net))
    reopened()
    assert store.get(run.id).config.net == net
    assert store.get(run.id).net == "网络 一"


def test_the_configuration_can_be_read_by_itself() -> None:
    run = store.create(OWNER, CONFIG)
    assert TrainConfig.from_yaml((store.folder(run.id) / "config.yaml").read_text()) == CONFIG


def test_ids_cannot_be_guessed() -> None:
    ids = [store.new_run(OWNER, CONFIG).id for _ in range(200)]
    assert len(set(ids)) == 200
    assert all(re.fullmatch("[a-z0-9]{26}", one) for one in ids)
    # 5,200 letters out of 36: each place sees nearly all of them. Fewer than 30 happens once in 10¹³ times.
    assert all(len({one[place] for one in ids}) >= 30 for place in range(26))


def test_runs_are_listed_newest_first_and_apart_by_owner() -> None:
    first, second = store.create(OWNER, CONFIG), store.create(OWNER, CONFIG)
    other = store.create(OTHER, CONFIG)
    assert store.of_owner(OWNER) == (second, first)
    assert store.of_owner(OTHER) == (other,)


def test_everybody_sees_what_is_published_until_it_is_not() -> None:
    run = store.create(OWNER, CONFIG)
    store.create(OTHER, CONFIG)
    assert store.may_see(run, OWNER)
    assert not store.may_see(run, OTHER)
    assert store.published() == ()
    store.publish(run.id, True)
    assert store.may_see(store.get(run.id), OTHER)
    assert store.published() == (store.get(run.id),)
    store.publish(run.id, False)
    assert not store.may_see(store.get(run.id), OTHER)
    assert store.published() == ()


def test_what_becomes_of_a_run_is_kept() -> None:
    run = store.create(OWNER, CONFIG, name="Mine")
    store.rename(run.id, "Yours")
    store.tag(run.id, ("slow", "第一"))
    store.set_state(run.id, "running")
    store.note_progress(run.id, 3, 2, 0.75)
    store.set_state(run.id, "failed", "The worker was killed.")
    store.set_test(run.id, RESULT)
    reopened()
    assert store.get(run.id) == replace(
        run,
        name="Yours",
        tags=("slow", "第一"),
        epochs_done=3,
        best_epoch=2,
        best_accuracy=0.75,
        state="failed",
        reason="The worker was killed.",
        test=RESULT,
        worker=None,
    )


def test_all_states_can_be_set_and_no_other() -> None:
    run = store.create(OWNER, CONFIG)
    for state in STATES:
        store.set_state(run.id, state)
        assert store.get(run.id).state == state
        assert store.get(run.id).has_ended == (state in ("finished", "stopped", "failed", "interrupted"))
    with pytest.raises(TypeError, match="sleeping"):
        store.set_state(run.id, "sleeping")


def test_the_test_part_is_used_once() -> None:
    run = store.create(OWNER, CONFIG)
    store.set_test(run.id, RESULT)
    with pytest.raises(InputRejected, match=r"have been used for this run: 90\.00 % after epoch 3"):
        store.set_test(run.id, replace(RESULT, accuracy=0.95))
    assert store.get(run.id).test == RESULT


def test_a_deleted_run_is_gone_with_its_files_and_deleting_it_again_does_nothing(data: Path) -> None:
    run, other = store.create(OWNER, CONFIG), store.create(OWNER, CONFIG)
    (store.folder(run.id) / "weights").mkdir()
    (store.folder(run.id) / "weights" / "epoch_0000.safetensors").write_bytes(b"x")
    store.delete(run.id)
    store.delete(run.id)
    assert store.of_owner(OWNER) == (other,)
    assert [path.name for path in (data / "runs").iterdir() if path.is_dir()] == [other.id]
    with pytest.raises(InputRejected, match="no such run"):
        store.get(run.id)


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_run_that_goes_on_is_not_deleted(state: str) -> None:
    run = store.create(OWNER, CONFIG)
    store.set_state(run.id, state)
    with pytest.raises(InputRejected, match=r"is going on\. Stop it, then delete it"):
        store.delete(run.id)
    assert store.get(run.id).state == state


def test_looking_leaves_no_trace(data: Path) -> None:
    assert store.of_owner(OWNER) == store.published() == store.adopt_orphans() == store.repair() == ()
    store.delete(UNKNOWN)
    with pytest.raises(InputRejected, match="no such run"):
        store.get(UNKNOWN)
    with pytest.raises(InputRejected, match="no such run"):
        store.rename(UNKNOWN, "Mine")
    assert not data.exists()


ON_RUNS: list[Callable[[str], object]] = [
    store.get,
    store.folder,
    store.delete,
    lambda run_id: store.rename(run_id, "Mine"),
    lambda run_id: store.tag(run_id, ()),
    lambda run_id: store.publish(run_id, True),
    lambda run_id: store.set_state(run_id, "running"),
    lambda run_id: store.set_worker(run_id, os.getpid()),
    lambda run_id: store.note_progress(run_id, 1, 1, 0.5),
    lambda run_id: store.set_test(run_id, RESULT),
]


@pytest.mark.parametrize("call", ON_RUNS)
@pytest.mark.parametrize(
    "run_id",
    [
        "",
        "..",
        "../" + "x" * 23,
        "x" * 25,
        "x" * 27,
        "X" * 26,
        "x" * 26 + "\n",
        "x" * 25 + "é",
        "/" * 26,
        "runs.sqlite",
    ],
)
def test_what_is_no_id_never_becomes_a_path(call: Callable[[str], object], run_id: str, data: Path) -> None:
    with pytest.raises(InputRejected, match="There is no such run"):
        call(run_id)
    assert not data.exists()


@pytest.mark.parametrize("call", ON_RUNS[3:])
def test_a_run_that_is_not_there_cannot_be_changed(call: Callable[[str], object]) -> None:
    run = store.create(OWNER, CONFIG)
    with pytest.raises(InputRejected, match="There is no such run"):
        call(UNKNOWN)
    assert store.of_owner(OWNER) == (run,)


@pytest.mark.parametrize("owner", ["", "a" * 31, "a" * 33, "A" * 32, "g" * 32, "a" * 32 + "\n", "../" + "a" * 29])
def test_owners_are_ids(owner: str, data: Path) -> None:
    for call in (lambda: store.create(owner, CONFIG), lambda: store.of_owner(owner)):
        with pytest.raises(InputRejected, match="not the id of an owner"):
            call()
    assert not data.exists()


# --- names and tags ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["LeNet", "..", "a/b", "<b>", "网络 一", "Сеть", "می‌خواهم", "👩‍🔬", "' OR 1=1 --", "x" * 80, "网" * 80]
)
def test_people_call_runs_what_they_like(name: str) -> None:
    run = store.create(OWNER, CONFIG, name=name)
    store.tag(run.id, (name[:30],))
    reopened()
    assert store.get(run.id).name == name
    assert store.get(run.id).tags == (name[:30],)


@pytest.mark.parametrize(
    "name", ["", "  ", "x" * 81, "a\nb", "a\x00b", "a\x1b[31mb", "a\x7fb", "a\u202eb", "a\u2028b", "\ud800"]
)
def test_names_that_cannot_be_read_are_refused(name: str) -> None:
    run = store.create(OWNER, CONFIG, name="Mine")
    with pytest.raises(InputRejected, match=r"The name of a run (has 1 to 80|holds) characters"):
        store.rename(run.id, name)
    with pytest.raises(InputRejected, match=r"A tag (has 1 to 30|holds) characters"):
        store.tag(run.id, ("fine", name))
    assert store.get(run.id) == run


def test_letters_with_accents_are_written_one_way_and_space_around_is_dropped() -> None:
    run = store.create(OWNER, CONFIG, name=" cafe\u0301 ")
    store.tag(run.id, ("e\u0301", "\u00e9", " a "))
    assert store.get(run.id).name == "caf\u00e9"
    assert store.get(run.id).tags == ("\u00e9", "a")


def test_a_run_has_up_to_ten_tags() -> None:
    run = store.create(OWNER, CONFIG)
    store.tag(run.id, tuple("0123456789"))
    with pytest.raises(InputRejected, match="These are 11 tags; a run has up to 10"):
        store.tag(run.id, tuple("0123456789a"))
    assert store.get(run.id).tags == tuple("0123456789")
    store.tag(run.id, ())
    assert store.get(run.id).tags == ()


# --- servers that were ended ---------------------------------------------------------------------------------------


@pytest.fixture
def worker():
    """A process of its own."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def held_by_another(run: Run, worker: subprocess.Popen) -> None:
    """As if another server, which is gone, had made it."""
    store.set_worker(run.id, worker.pid)


def test_runs_whose_process_is_gone_are_interrupted_when_a_server_starts(worker: subprocess.Popen) -> None:
    going, paused, waiting, finished = (store.create(OWNER, CONFIG) for _ in range(4))
    for run, state in ((going, "running"), (paused, "paused")):
        store.set_state(run.id, state)
        store.note_progress(run.id, 2, 1, 0.5)
    for run in (going, paused, waiting):
        held_by_another(run, worker)
    store.set_state(finished.id, "finished", "All epochs are done.")
    assert {run.id for run in store.adopt_orphans()} == {going.id, paused.id, waiting.id}, "it is alive"
    worker.kill()
    worker.wait()
    assert store.adopt_orphans() == ()
    for run in (going, paused):
        assert store.get(run.id).state == "interrupted"
        assert "restarted while this run was going on, after 2 whole epochs" in store.get(run.id).reason
    assert store.get(waiting.id).state == "interrupted"
    assert "restarted while this run was waiting" in store.get(waiting.id).reason
    assert store.get(finished.id).state == "finished"
    assert store.get(finished.id).reason == "All epochs are done."


def test_what_waits_in_this_process_is_left_alone_by_a_second_server() -> None:
    run = store.create(OWNER, CONFIG)
    assert store.adopt_orphans() == (run,)
    store.set_state(run.id, "interrupted")
    store.set_state(run.id, "waiting")
    assert [one.id for one in store.adopt_orphans()] == [run.id]


def test_another_process_that_got_the_same_number_is_not_mistaken_for_the_worker() -> None:
    run = store.create(OWNER, CONFIG)
    store.set_state(run.id, "running")
    store.set_worker(run.id, os.getpid())
    path = store.folder(run.id) / "run.json"
    said = json.loads(path.read_text())
    assert said["worker"]["pid"] == os.getpid()
    said["worker"]["started"] += "0"
    path.write_text(json.dumps(said))
    assert store.adopt_orphans() == ()
    assert store.get(run.id).state == "interrupted"


# --- damage --------------------------------------------------------------------------------------------------------


def some_runs() -> tuple[Run, ...]:
    for number in range(5):
        run = store.create(OWNER, replace(CONFIG, seed=number), name=f"Run {number}")
        store.note_progress(run.id, number, 1, 0.5)
    store.publish(run.id, True)
    return store.of_owner(OWNER)


def test_a_list_that_is_lost_is_made_anew_from_the_folders(data: Path) -> None:
    runs = some_runs()
    for path in (data / "runs").glob("runs.sqlite*"):
        path.unlink()
    assert store.of_owner(OWNER) == runs
    assert store.published() == runs[:1]


def test_a_list_that_is_damaged_is_made_anew_from_the_folders(data: Path) -> None:
    runs = some_runs()
    path = data / "runs" / "runs.sqlite"
    whole = path.read_bytes()
    chance = random.Random(0)
    damages = [b"", b"no list at all", whole[:5000], whole[:100] + b"\xff" * 8000, b"\xff" * len(whole)]
    for _ in range(6):  # a page in the middle of it
        page = chance.randrange(len(whole) // 4096)
        damages.append(whole[: page * 4096] + chance.randbytes(4096) + whole[page * 4096 + 4096 :])
    for damage in damages:
        path.write_bytes(damage)
        assert store.of_owner(OWNER) == runs
        assert store.get(runs[2].id) == runs[2]
    for number, damage in enumerate(damages):
        path.write_bytes(damage)
        store.rename(runs[0].id, f"Name {number}")
        assert store.get(runs[0].id).name == f"Name {number}"
        assert store.published()[0].name == f"Name {number}"


def test_a_list_of_another_version_is_made_anew(data: Path) -> None:
    runs = some_runs()
    with sqlite3.connect(data / "runs" / "runs.sqlite") as connection:
        connection.executescript("DROP TABLE runs; CREATE TABLE runs (name TEXT); PRAGMA user_version = 99")
    connection.close()
    assert store.of_owner(OWNER) == runs


def test_what_a_kill_left_is_cleared_away_and_the_list_says_what_the_folders_say(data: Path) -> None:
    runs = some_runs()
    home = data / "runs"
    (home / f".gone-{UNKNOWN}" / "weights").mkdir(parents=True)
    new, stale = home / f".new-{'y' * 26}", home / f".new-{'z' * 26}"
    new.mkdir()
    stale.mkdir()
    os.utime(stale, (1, 1))
    # Killed between run.json and the list, and between the folder and the list.
    path = home / runs[0].id / "run.json"
    path.write_text(path.read_text().replace("Run 4", "Newer"))
    (home / runs[1].id).rename(home / f".gone-{runs[1].id}")
    assert store.repair() == ()
    assert not list(home.glob(".gone-*"))
    assert [path.name for path in home.glob(".new-*")] == [new.name], "somebody may be at it"
    assert store.of_owner(OWNER) == (replace(runs[0], name="Newer"), *runs[2:])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 1000, b'{"id": 3}'])
def test_a_damaged_folder_is_named_and_hinders_no_other(content: bytes, data: Path) -> None:
    first, second, sound = store.create(OWNER, CONFIG), store.create(OWNER, CONFIG), store.create(OWNER, CONFIG)
    (store.folder(first.id) / "run.json").write_bytes(content)
    (store.folder(second.id) / "config.yaml").write_bytes(content or b"epochs: -1")
    assert store.repair() == tuple(sorted([first.id, second.id]))
    assert store.of_owner(OWNER) == (sound,)
    with pytest.raises(InputRejected, match=r"files of this run are damaged: .*\. Delete it"):
        store.rename(first.id, "Mine")
    for run in (first, second):
        store.delete(run.id)
    assert store.repair() == ()


def test_a_folder_that_was_copied_is_not_taken_for_the_run(data: Path) -> None:
    run = store.create(OWNER, CONFIG)
    shutil.copytree(store.folder(run.id), store.folder(UNKNOWN))
    assert store.repair() == (UNKNOWN,)
    assert store.of_owner(OWNER) == (run,)
    with pytest.raises(InputRejected, match=f"its files are damaged: they were copied from {run.id}"):
        store.get(UNKNOWN)


def test_a_run_of_another_version_of_the_lab_is_left_out_and_told_why(data: Path) -> None:
    old, run = store.create(OWNER, CONFIG), store.create(OWNER, CONFIG)
    path = store.folder(old.id) / "config.yaml"
    path.write_text(path.read_text().replace("lenet5", "lenet6"))
    assert store.repair() == (old.id,)
    assert store.of_owner(OWNER) == (run,)
    with pytest.raises(InputRejected, match=r"made by another version of the lab.*no net 'lenet6'"):
        store.get(old.id)


def test_a_run_that_the_list_has_missed_is_found_by_its_folder(data: Path) -> None:
    run = store.create(OWNER, CONFIG)
    with sqlite3.connect(data / "runs" / "runs.sqlite") as connection:
        connection.execute("DELETE FROM runs")
    connection.close()
    assert store.get(run.id) == run
    store.publish(run.id, True)
    assert store.published() == (replace(run, is_published=True),)


# --- disks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full. Make room on it, or delete runs"),
        (errno.EROFS, "the lab may not use its data folder"),
        (errno.EIO, "the disk answers: "),
    ],
)
def test_a_disk_that_fails_leaves_all_as_it_was_and_says_why(
    number: int, says: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.create(OWNER, CONFIG)

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ResourceExhausted, match=f"The run could not be saved: {says}"):
        store.create(OWNER, CONFIG)
    for change in (lambda: store.rename(run.id, "New"), lambda: store.set_test(run.id, RESULT)):
        with pytest.raises(ResourceExhausted, match=f"The run could not be changed: {says}"):
            change()
    assert store.of_owner(OWNER) == (run,)
    assert {path.name for path in files(data)} == {"config.yaml", "run.json", "runs.sqlite"}, "nothing half-written"


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_disk_too_full_for_the_list_keeps_no_run_that_nobody_was_told_of(data: Path) -> None:
    run = store.create(OWNER, CONFIG)
    with files_up_to(3000), pytest.raises(ResourceExhausted, match="The run could not be saved: the disk"):
        store.create(OWNER, CONFIG)
    assert store.of_owner(OWNER) == (run,)
    assert store.repair() == ()
    assert store.of_owner(OWNER) == (run,)


def test_a_data_folder_that_is_a_file_is_said_in_words(data: Path) -> None:
    data.write_text("")
    with pytest.raises(ResourceExhausted, match=r"could not be saved: .*Set CNNLAB_DATA_DIR"):
        store.create(OWNER, CONFIG)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_said_in_words(data: Path) -> None:
    run = store.create(OWNER, CONFIG)
    (data / "runs").chmod(0o500)
    with pytest.raises(ResourceExhausted, match="may not use its data folder"):
        store.create(OWNER, CONFIG)
    with pytest.raises(ResourceExhausted, match="may not use its data folder"):
        store.delete(run.id)
    (data / "runs").chmod(0o700)


def test_a_list_that_others_hold_is_waited_for_and_then_said_in_words(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnlab.runs.index._PATIENCE_S", 0.1)
    run = store.create(OWNER, CONFIG)
    connection = sqlite3.connect(data / "runs" / "runs.sqlite", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(ResourceExhausted, match=r"in use by others for 0\.1 s\. Try again"):
        store.rename(run.id, "New")
    assert store.of_owner(OWNER) == (run,), "readers need not wait"
    connection.close()
    store.rename(run.id, "New")
    assert store.get(run.id).name == "New"


# --- several at once -----------------------------------------------------------------------------------------------


def test_the_limit_holds_when_tabs_create_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.MAX_RUNS == 200
    monkeypatch.setattr(store, "MAX_RUNS", 10)

    def create(_: int) -> bool:
        try:
            store.create(OWNER, CONFIG)
        except ResourceExhausted:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 10
    with pytest.raises(ResourceExhausted, match=r"You have 10 runs.*Delete one first"):
        store.create(OWNER, CONFIG)
    assert len(store.of_owner(OWNER)) == 10
    store.create(OTHER, CONFIG)
    store.delete(store.of_owner(OWNER)[0].id)
    store.create(OWNER, CONFIG)


def test_two_threads_change_one_run_and_neither_undoes_what_the_other_did() -> None:
    run = store.create(OWNER, CONFIG)
    together = threading.Barrier(2)

    def rename() -> None:
        together.wait()
        for number in range(20):
            store.rename(run.id, f"Name {number}")
            assert store.get(run.id).name == f"Name {number}"

    def note() -> None:
        together.wait()
        for number in range(20):
            store.note_progress(run.id, number, 1, 0.5)
            assert store.get(run.id).epochs_done == number

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(rename), pool.submit(note)]:
            one.result()


def test_threads_create_rename_and_delete_beside_readers() -> None:
    stop = threading.Event()

    def live(number: int) -> str:
        for _ in range(5):
            run = store.create(OWNER, CONFIG, name=f"Thread {number}")
            store.rename(run.id, f"Still {number}")
            store.delete(run.id)
        return store.create(OWNER, CONFIG).id

    def read() -> None:
        while not stop.is_set():
            for run in store.of_owner(OWNER):
                assert run.name.startswith(("Thread", "Still", "LeNet"))

    with ThreadPoolExecutor(4) as pool:
        reader = pool.submit(read)
        try:
            left = set(pool.map(live, range(3)))
        finally:
            stop.set()
        reader.result()
    assert {run.id for run in store.of_owner(OWNER)} == left
    before = store.of_owner(OWNER)
    assert store.repair() == ()
    assert store.of_owner(OWNER) == before, "the list says what the folders say"


FORKS = """
import os, random, signal, sys, time
from cnnlab.runs import store
from cnnlab.train.config import TrainConfig

OWNER, CONFIG = "a" * 32, TrainConfig()


def forked(work):
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return child


def create_together():
    time.sleep(max(0, begin - time.time()))
    for _ in range(3):
        store.create(OWNER, CONFIG)


# Several processes meet where there is no list yet.
begin = time.time() + 0.05
children = [forked(create_together) for _ in range(6)]
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
assert len(store.of_owner(OWNER)) == 18
for run in store.of_owner(OWNER)[1:]:
    store.delete(run.id)
(kept,) = store.of_owner(OWNER)


def work_until_killed():
    number = 0
    while True:
        number += 1
        store.rename(kept.id, f"Name {number}")
        store.note_progress(kept.id, number, number, 0.5)
        run = store.create(OWNER, CONFIG)
        store.rename(run.id, "Short-lived")
        store.delete(run.id)


for round in range(25):
    child = forked(work_until_killed)
    time.sleep(random.uniform(0.01, 0.12))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    # As the next server finds it, before and after it has looked after it.
    for run in store.of_owner(OWNER):
        store.get(run.id)
    assert store.repair() == (), "a folder is damaged"
    runs = store.of_owner(OWNER)
    assert kept.id in [run.id for run in runs]
    assert len(runs) <= 2, [run.name for run in runs]
    for run in runs:
        if run.id != kept.id:
            store.delete(run.id)
print("survived")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_processes_share_the_runs_and_kills_at_any_moment_leave_none_unreadable(data: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], check=False, text=True, capture_output=True)
    assert (done.stdout, done.stderr) == ("survived\n", "")
    left = [path.name for path in (data / "runs").iterdir() if path.is_dir() and not path.name.startswith(".new-")]
    assert len(left) == 1
    shutil.rmtree(data)
