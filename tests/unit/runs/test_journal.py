"""What a run told, through kills, full disks and damage."""

import errno
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnlab.errors import ResourceExhausted
from cnnlab.runs.journal import EVENTS, MAX_LINE, Journal, from_line, read_events, read_history, to_line
from cnnlab.train.events import Started, Stepped, TrainEvent
from tests.unit.runs.making import ENDED, STARTED, WHOLE_RUN, epoch_ended, events, files_up_to, stepped

WHOLE = b"".join(map(to_line, WHOLE_RUN))
no_fixture_check = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(folder: Path, told: list[TrainEvent] | tuple[TrainEvent, ...]) -> None:
    with Journal.open(folder) as journal:
        for event in told:
            journal.append(event)


def put(folder: Path, content: bytes) -> None:
    (folder / EVENTS).write_bytes(content)


def test_what_was_told_is_read_in_order(tmp_path: Path) -> None:
    write(tmp_path, WHOLE_RUN)
    reader = read_events(tmp_path)
    assert tuple(reader) == WHOLE_RUN
    assert reader.num_damaged == 0


def test_a_second_writer_goes_on_where_the_first_left_off(tmp_path: Path) -> None:
    write(tmp_path, WHOLE_RUN[:5])
    write(tmp_path, WHOLE_RUN[5:])
    assert (tmp_path / EVENTS).read_bytes() == WHOLE


def test_a_run_that_has_told_nothing_has_no_events(tmp_path: Path) -> None:
    assert list(read_events(tmp_path)) == []
    write(tmp_path, [])
    assert list(read_events(tmp_path)) == []


@given(events)
def test_every_event_is_one_line_and_comes_back_as_it_was(event: TrainEvent) -> None:
    line = to_line(event)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert repr(from_line(line)) == repr(event)  # not ==, as NaN is not equal to itself


def test_losses_that_are_no_numbers_stay_what_they_are_in_strict_json() -> None:
    for loss, name in ((math.nan, b"NaN"), (math.inf, b"Infinity"), (-math.inf, b"-Infinity")):
        line = to_line(stepped(1, loss))
        assert b'"loss":"' + name + b'"' in line
        read = from_line(line)
        assert isinstance(read, Stepped)
        assert str(read.loss) == str(loss)


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"",
            b"\n",
            b"{}",
            b"3",
            b"[]",
            b"\xff",
            b'{"kind": "Stepped"}',
            b'{"kind": "object"}',
            b'{"kind": ["Ended"]}',
        ),
        to_line(stepped(1)).replace(b"0.25", b'"0.25"'),
        to_line(stepped(1)).replace(b'"step":1', b'"step":1.5'),
        to_line(stepped(1)).replace(b'"lr"', b'"rate"'),
        to_line(ENDED).replace(b'"finished"', b"null"),
    ],
)
def test_what_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_line(line)


@no_fixture_check
@given(st.integers(0, len(WHOLE)))
def test_a_journal_torn_at_any_byte_costs_the_torn_event_alone_and_can_be_gone_on_with(tmp_path: Path, at: int) -> None:
    put(tmp_path, WHOLE[:at])
    kept = WHOLE_RUN[: WHOLE[:at].count(b"\n")]
    reader = read_events(tmp_path)
    assert tuple(reader) == kept
    assert reader.num_damaged == 0, "torn is not damaged"
    write(tmp_path, [ENDED])
    assert tuple(read_events(tmp_path)) == (*kept, ENDED)


@no_fixture_check
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 300), st.binary(max_size=300))
def test_damage_costs_the_lines_that_it_touches_and_no_other(
    tmp_path: Path, at: int, length: int, other: bytes
) -> None:
    put(tmp_path, WHOLE[:at] + other + WHOLE[at + length :])
    reader = read_events(tmp_path)
    read = list(reader)
    before = WHOLE_RUN[: WHOLE[:at].count(b"\n")]
    after = WHOLE_RUN[WHOLE[: at + length].count(b"\n") + 1 :]
    assert tuple(read[: len(before)]) == before
    assert tuple(read[len(read) - len(after) :]) == after
    between = len(read) - len(before) - len(after)
    assert between + reader.num_damaged <= other.count(b"\n") + WHOLE[at : at + length].count(b"\n") + 1


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    put(tmp_path, to_line(STARTED) + b"\0" * 50 + b"\n{}\n" + to_line(ENDED))
    reader = read_events(tmp_path)
    assert list(reader) == [STARTED, ENDED]
    assert reader.num_damaged == 2


def test_a_line_without_end_is_left_out_without_being_read_at_once(tmp_path: Path) -> None:
    put(tmp_path, to_line(STARTED) + to_line(stepped(1))[:-1] + b" " * (2 * MAX_LINE) + b"\n" + to_line(ENDED))
    reader = read_events(tmp_path)
    assert list(reader) == [STARTED, ENDED]
    assert reader.num_damaged == 1


def test_a_reader_beside_the_writer_sees_whole_events(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        for number, event in enumerate(WHOLE_RUN, start=1):
            journal.append(event)
            assert tuple(read_events(tmp_path)) == WHOLE_RUN[:number]


def test_the_ends_of_epochs_and_of_the_run_are_brought_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = []
    monkeypatch.setattr(os, "fsync", lambda handle: brought.append(os.fstat(handle).st_size))
    write(tmp_path, [STARTED, stepped(1), epoch_ended(1), stepped(2), ENDED])
    assert len(brought) == 2
    assert brought[1] == (tmp_path / EVENTS).stat().st_size


def test_the_history_is_what_the_events_add_up_to(tmp_path: Path) -> None:
    write(tmp_path, WHOLE_RUN)
    history = read_history(tmp_path)
    assert history.steps.step == [1, 2, 3, 4]
    assert history.best_epoch == 2
    assert history.ended == ENDED


def test_after_a_resume_the_events_go_on_behind_those_that_are_done_again(tmp_path: Path) -> None:
    again = replace(STARTED, first_step=2)
    write(tmp_path, [*WHOLE_RUN[:10], again, stepped(3, loss=0.25)])
    assert [event for event in read_events(tmp_path) if isinstance(event, Started)] == [STARTED, again]
    assert read_history(tmp_path).steps.step == [1, 2, 3]


# --- disks ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_disk_that_fills_up_leaves_whole_lines_and_says_why(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append(STARTED)
        whole = (tmp_path / EVENTS).stat().st_size
        with files_up_to(whole + 20), pytest.raises(ResourceExhausted, match="The run could not be written down: "):
            journal.append(stepped(1))
        assert (tmp_path / EVENTS).stat().st_size == whole
        journal.append(stepped(2))  # somebody has made room
    assert list(read_events(tmp_path)) == [STARTED, stepped(2)]


def test_a_disk_that_does_not_keep_what_was_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with Journal.open(tmp_path) as journal:
        journal.append(stepped(1))
        with pytest.raises(ResourceExhausted, match=r"the disk is full\. Make room on it, or delete runs"):
            journal.append(epoch_ended(1))


def test_a_folder_that_is_gone_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ResourceExhausted, match=r"The run could not be written down: the disk answers"):
        Journal.open(tmp_path / "none")


# --- kills ---------------------------------------------------------------------------------------------------------

WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from cnnlab.runs.journal import Journal
from tests.unit.runs.making import STARTED, epoch_ended, stepped

for _ in range(int(sys.argv[2])):
    import os, signal, time, random
    child = os.fork()
    if not child:
        with Journal.open(Path(sys.argv[1])) as journal:
            journal.append(STARTED)
            number = 0
            while True:
                number += 1
                journal.append(stepped(number))
                if number % 50 == 0:
                    journal.append(epoch_ended(number // 50))
    time.sleep(random.uniform(0.005, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_writer_that_is_killed_twenty_times_leaves_every_line_whole(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITE_UNTIL_KILLED, str(tmp_path), "20"], check=True)
    reader = read_events(tmp_path)
    read = list(reader)
    assert reader.num_damaged == 0
    starts = [number for number, event in enumerate(read) if isinstance(event, Started)]
    assert 1 <= len(starts) <= 20
    for start, end in zip(starts, [*starts[1:], len(read)], strict=True):
        steps = [event.step for event in read[start:end] if isinstance(event, Stepped)]
        assert steps == list(range(1, len(steps) + 1)), "none is missing"
