"""All runs on disk: a folder each, and a list of them that is made from the folders.

    runs/ID/config.yaml       how it is trained; never changed
    runs/ID/run.json          what is known of it: whose it is, its name, how far it came
    runs/ID/events.jsonl      what it told (`cnnlab.runs.journal`)
    runs/ID/weights/…         the net after each epoch (`cnnlab.train.checkpoints`)
    runs/runs.sqlite          the list (`cnnlab.runs.index`)

Changes are made one at a time, whichever thread or process asks for them: first in run.json, then in the list. A
folder comes and goes in one step, by its name, so that a kill leaves no half run.
"""

import dataclasses
import json
import re
import secrets
import shutil
import string
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from cnnlab import settings
from cnnlab.errors import InputRejected, LabError, ResourceExhausted
from cnnlab.runs import index
from cnnlab.runs.plain import from_json, to_json
from cnnlab.runs.processes import Process
from cnnlab.runs.run import ENDED, STATES, Kept, Run, TestResult, checked_name, checked_tags, default_name
from cnnlab.runs.run import MAX_NAME as MAX_NAME  # also said here, for the fields in which people type names
from cnnlab.storing import disk_in_words, write_whole
from cnnlab.train.config import TrainConfig

MAX_RUNS = 200
"""Of one owner."""

CONFIG = "config.yaml"
_RUN = "run.json"
_ID_LETTERS = string.ascii_lowercase + string.digits
_ID = re.compile(r"[0-9a-z]{26}")
_OWNER = re.compile(r"[0-9a-f]{32}")
_STALE_S = 3600.0  # by then, whoever was at making a folder has been killed


def create(owner: str, config: TrainConfig, *, name: str = "") -> Run:
    """Make a run that waits.

    Args:
        owner: Whose it is: 32 hexadecimal digits.
        config: How it is to be trained.
        name: For people; by default those of the net and the data.

    Raises:
        InputRejected: The name cannot be used.
        ResourceExhausted: The owner has 200 runs already, the disk is full, or it cannot be written to.
    """
    return admit(new_run(owner, config, name=name))


def new_run(owner: str, config: TrainConfig, *, name: str = "") -> Run:
    """A run with an id of its own that is kept nowhere yet.

    Raises:
        InputRejected: As `create`.
    """
    return Run(
        id="".join(secrets.choice(_ID_LETTERS) for _ in range(26)),
        owner=_checked_owner(owner),
        name=checked_name(name) if name else default_name(config),
        created=time.time(),
        worker=Process.here(),
        config=config,
    )


def admit(run: Run, fill: Callable[[Path], object] = lambda _: None) -> Run:
    """Keep a new run. It is there with all its files, or not at all.

    Args:
        run: Of `new_run`.
        fill: Puts further files into the run's folder.

    Raises:
        ResourceExhausted: As `create`.
    """
    final = folder(run.id)
    draft = final.with_name(f".new-{run.id}")
    kept = _kept(run)

    def take_in(connection: Connection) -> None:
        check_room(run.owner, connection)
        if draft.exists():  # it does not when the list was damaged and this is called once more
            draft.rename(final)
        index.put(connection, _row(kept, _config_text(run.config)))

    with _disk("saved"):
        try:
            draft.mkdir(parents=True)
            write_whole(draft / CONFIG, run.config.to_yaml(in_full=True).encode())
            write_whole(draft / _RUN, _to_text(kept))
            fill(draft)
            _index().write(take_in)
        except BaseException:
            for path in (draft, final):
                shutil.rmtree(path, ignore_errors=True)
            raise
    return run


def check_room(owner: str, connection: Connection | None = None) -> None:
    """Refuse where an owner has no room for another run.

    Args:
        owner: Whose it would be.
        connection: For use within a change; without, it is looked up by itself.

    Raises:
        ResourceExhausted: There are 200 already.
    """
    if connection:
        (count,) = connection.execute("SELECT count(*) FROM runs WHERE owner = ?", (owner,)).fetchone()
    else:
        count = len(_rows("WHERE owner = ?", (owner,)))
    if count >= MAX_RUNS:
        raise ResourceExhausted(f"You have {MAX_RUNS} runs, which is all there is room for. Delete one first.")


def folder(run_id: str) -> Path:
    """Where a run is kept, whether or not there is one.

    Raises:
        InputRejected: This is no id of a run.
    """
    if not _ID.fullmatch(run_id):
        raise _unknown()
    return _home() / run_id


def get(run_id: str) -> Run:
    """A run by its id.

    Raises:
        InputRejected: There is none, or this version of the lab does not know its net or its settings.
        ResourceExhausted: The disk cannot be read.
    """
    path = folder(run_id)
    rows = _rows("WHERE id = ?", (run_id,))
    if not rows and not path.exists():
        raise _unknown()
    try:
        return _run(rows[0] if rows else _row_of(path))
    except (OSError, ValueError, InputRejected) as error:
        raise InputRejected(
            f"This run was made by another version of the lab, or its files are damaged: {error} Start a new one."
        ) from None


def of_owner(owner: str) -> tuple[Run, ...]:
    """The runs of one owner, newest first.

    Those whose configuration this version of the lab does not know are left out; `get` says why.

    Raises:
        ResourceExhausted: The disk cannot be read.
    """
    return _runs("WHERE owner = ? ORDER BY created DESC", (_checked_owner(owner),))


def published() -> tuple[Run, ...]:
    """The runs that everybody may see, newest first; as `of_owner`."""
    return _runs("WHERE is_published ORDER BY created DESC")


def may_see(run: Run, owner: str) -> bool:
    """Whether a run is one's own, or was published by its owner."""
    return run.owner == owner or run.is_published


def rename(run_id: str, name: str) -> None:
    """Give a run another name.

    Raises:
        InputRejected: The name cannot be used, or there is no such run.
        ResourceExhausted: The disk is full or cannot be written to.
    """
    name = checked_name(name)
    _change(run_id, lambda run: replace(run, name=name))


def tag(run_id: str, tags: tuple[str, ...]) -> None:
    """Give a run other tags in place of those it has.

    Raises:
        InputRejected: More than 10, or one that cannot be used, or there is no such run.
        ResourceExhausted: As `rename`.
    """
    tags = checked_tags(tags)
    _change(run_id, lambda run: replace(run, tags=tags))


def publish(run_id: str, is_published: bool) -> None:
    """Let everybody see a run, or its owner alone.

    Raises:
        InputRejected: There is no such run.
        ResourceExhausted: As `rename`.
    """
    _change(run_id, lambda run: replace(run, is_published=is_published))


def set_state(run_id: str, state: str, reason: str = "") -> None:
    """Say what became of a run.

    A run that waits is held by this process from now on, one that has ended by none.

    Args:
        run_id: Of the run.
        state: Of `STATES`.
        reason: Why, in words.

    Raises:
        InputRejected: As `publish`.
        ResourceExhausted: As `rename`.
    """
    if state not in STATES:
        raise TypeError(f"not a state: {state!r}")

    def change(run: Kept) -> Kept:
        worker = None if state in ENDED else Process.here() if state == "waiting" else run.worker
        return replace(run, state=state, reason=reason, worker=worker)

    _change(run_id, change)


def set_worker(run_id: str, pid: int) -> None:
    """Say which process is at work on a run.

    Raises:
        InputRejected: As `publish`.
        ResourceExhausted: As `rename`.
    """
    worker = Process.of(pid)
    _change(run_id, lambda run: replace(run, worker=worker))


def note_progress(run_id: str, epochs_done: int, best_epoch: int, best_accuracy: float | None) -> None:
    """Say how far a run has come.

    Raises:
        InputRejected: As `publish`.
        ResourceExhausted: As `rename`.
    """
    _change(
        run_id,
        lambda run: replace(run, epochs_done=epochs_done, best_epoch=best_epoch, best_accuracy=best_accuracy),
    )


def set_test(run_id: str, result: TestResult) -> None:
    """Keep what came of the test part, once and for all.

    Raises:
        InputRejected: It has been used for this run, or there is no such run.
        ResourceExhausted: As `rename`.
    """

    def change(run: Kept) -> Kept:
        if run.test not in (None, result):
            raise InputRejected(
                f"The test pictures have been used for this run: {100 * run.test.accuracy:.2f} % after "
                f"epoch {run.test.epoch}. A second look would make them part of the training. Start another run."
            )
        return replace(run, test=result)

    _change(run_id, change)


def delete(run_id: str) -> None:
    """Forget a run with all its files. One that is gone already is no error.

    Raises:
        InputRejected: It is going on, or this is no id.
        ResourceExhausted: As `rename`.
    """
    path = folder(run_id)
    remains = path.with_name(f".gone-{run_id}")

    def take_out(connection: Connection) -> None:
        if path.exists():
            try:
                state = _read_kept(path).state
            except ValueError:
                state = ""  # damaged: so much the better that it goes
            if state in ("running", "paused"):
                raise InputRejected("This run is going on. Stop it, then delete it.")
            path.rename(remains)
        connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    with _disk("deleted"):
        if _home().exists():
            _index().write(take_out)
        shutil.rmtree(remains, ignore_errors=True)


def adopt_orphans() -> tuple[Run, ...]:
    """Look after the runs of a lab that is no more: to be called once when a server starts.

    Runs that were going on or waiting, and whose process is gone, become "interrupted".

    Returns:
        Those whose process is still at work. Who ends that process, or sees it end, calls this again.

    Raises:
        ResourceExhausted: The disk cannot be read or written to.
    """
    repair()
    alive = []
    for run in _runs():
        if run.has_ended:
            continue
        if run.worker and run.worker.is_alive:
            alive.append(run)
        elif run.state == "waiting":
            set_state(run.id, "interrupted", "The lab was restarted while this run was waiting. Start it again.")
        else:
            set_state(
                run.id,
                "interrupted",
                f"The lab was restarted while this run was going on, after {run.epochs_done} whole epochs. Resume it.",
            )
    return tuple(alive)


def repair() -> tuple[str, ...]:
    """Make the list anew from the folders, and clear away what a kill has left.

    Returns:
        The ids of folders whose run.json or config.yaml cannot be read.

    Raises:
        ResourceExhausted: The disk cannot be read or written to.
    """
    home = _home()
    if not home.exists():
        return ()
    with _disk("listed"):
        for path in home.glob(".gone-*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in home.glob(".new-*"):
            if time.time() - path.stat().st_mtime > _STALE_S:
                shutil.rmtree(path, ignore_errors=True)
        _index().fill()
        listed = {row[0] for row in _index().rows()}
        return tuple(sorted(path.name for path in _folders() if path.name not in listed))


def _checked_owner(owner: str) -> str:
    if not _OWNER.fullmatch(owner):
        raise InputRejected("This is not the id of an owner: 32 hexadecimal digits. Reload the page.")
    return owner


def _unknown() -> InputRejected:
    return InputRejected("There is no such run: it was deleted, or the link is wrong. Choose a run from the list.")


def _home() -> Path:
    return settings.data_dir() / "runs"


def _index() -> index.Index:
    return index.Index(_home() / "runs.sqlite", _rows_of_folders)


def _folders() -> Iterator[Path]:
    return (path for path in _home().iterdir() if _ID.fullmatch(path.name) and path.is_dir())


def _rows_of_folders() -> Iterator[index.Row]:
    for path in _folders():
        try:
            yield _row_of(path)
        except (OSError, ValueError, LabError):
            continue  # `repair` names it


def _rows(clauses: str, values: tuple[Any, ...]) -> list[index.Row]:
    with _disk("listed"):
        return _index().rows(clauses, values) if _home().exists() else []


def _runs(clauses: str = "", values: tuple[Any, ...] = ()) -> tuple[Run, ...]:
    runs = []
    for row in _rows(clauses, values):
        try:
            runs.append(_run(row))
        except (ValueError, InputRejected):
            continue
    return tuple(runs)


def _row(kept: Kept, config: str) -> index.Row:
    return (kept.id, kept.owner, kept.created, kept.is_published, _to_text(kept).decode(), config)


def _config_text(config: TrainConfig) -> str:
    """As it is listed: JSON is read six times as fast as YAML."""
    return json.dumps(config.to_data())


def _read_config(path: Path) -> str:
    return _config_text(TrainConfig.from_yaml((path / CONFIG).read_text(encoding="utf-8")))


def _row_of(path: Path) -> index.Row:
    return _row(_read_kept(path), _read_config(path))


def _run(row: index.Row) -> Run:
    *_, said, config = row
    kept = _from_text(said)
    return Run(**{one.name: getattr(kept, one.name) for one in dataclasses.fields(kept)}, config=_config(config))


# Of a net with 300 layers it takes milliseconds, and pages ask for the list on every run.
@lru_cache(maxsize=1024)
def _config(text: str) -> TrainConfig:
    return TrainConfig.from_data(json.loads(text))


def _change(run_id: str, change: Callable[[Kept], Kept]) -> None:
    """Change what is known of a run, while nobody else does.

    Args:
        run_id: Of the run.
        change: Gives the same when it is called again on what it gave.
    """
    path = folder(run_id)

    def in_turn(connection: Connection) -> None:
        if not path.exists():
            raise _unknown()
        try:
            kept = change(_read_kept(path))
        except ValueError as error:
            raise InputRejected(f"The files of this run are damaged: {error}. Delete it.") from None
        write_whole(path / _RUN, _to_text(kept))
        listed = index.rows_in(connection, "WHERE id = ?", (run_id,))
        index.put(connection, _row(kept, listed[0][-1] if listed else _read_config(path)))

    with _disk("changed"):
        if not _home().exists():
            raise _unknown()
        _index().write(in_turn)


def _kept(run: Run) -> Kept:
    return Kept(**{one.name: getattr(run, one.name) for one in dataclasses.fields(Kept)})


def _read_kept(path: Path) -> Kept:
    """What run.json says.

    Raises:
        ValueError: It is damaged.
    """
    kept = _from_text((path / _RUN).read_bytes())
    if kept.id != path.name:
        raise ValueError(f"they were copied from {kept.id}")
    return kept


def _to_text(kept: Kept) -> bytes:
    return to_json(dataclasses.asdict(kept)).encode()


# Pages ask for the list on every run, and hardly anything in it has changed by then.
@lru_cache(maxsize=4096)
def _from_text(text: str | bytes) -> Kept:
    kept = from_json(Kept, text)
    if kept.state not in STATES:
        raise ValueError(f"there is no state {kept.state!r}")
    return kept


def _disk(done: str) -> AbstractContextManager[None]:
    return disk_in_words(f"The run could not be {done}", to_delete="runs")
