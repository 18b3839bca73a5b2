import pytest

from cnnlab.runs.endings import Ending
from cnnlab.runs.worker import Failed
from cnnlab.train.events import Ended


def ending(**known: object) -> tuple[str, str]:
    nothing = {
        "ended": None, "failed": None, "code": 0, "has_started": True, "was_killed": False, "is_cut_short": False,
        "kept": 3,
    }  # fmt: skip
    return Ending(**{**nothing, **known}).state_and_reason()  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("reason", "state"),
    [("finished", "finished"), ("early", "finished"), ("stopped", "stopped"), ("diverged", "failed")],
)
def test_what_the_run_itself_says_comes_first(reason: str, state: str) -> None:
    ended = Ended(time=0, step=1, epoch=1, reason=reason, text="So it ended.", best_epoch=0, best_accuracy=0)
    assert ending(ended=ended, code=-9, is_cut_short=True) == (state, "So it ended.")


def test_a_kill_is_named_with_what_may_be_behind_it_and_what_can_be_done() -> None:
    assert ending(code=-9) == (
        "failed",
        "The training process was killed (signal 9), perhaps because memory ran out. Resume from epoch 3.",
    )


def test_other_signals_are_named() -> None:
    state, reason = ending(code=-11, kept=None)
    assert state == "failed"
    assert reason == (
        "The training process was ended by signal 11 (SIGSEGV). Nothing was kept yet: resuming begins anew."
    )


def test_errors_that_can_be_put_right_stand_as_they_are_and_faults_get_advice() -> None:
    assert ending(failed=Failed("Choose another net.")) == ("failed", "Choose another net.")
    assert ending(failed=Failed("A fault.", "Traceback …")) == ("failed", "A fault. Resume from epoch 3.")


def test_a_process_that_leaves_without_a_word_was_interrupted() -> None:
    assert ending(code=0)[0] == "interrupted"
    assert ending(code=-9, is_cut_short=True) == ("interrupted", "The lab was shut down. Resume from epoch 3.")


def test_who_stopped_a_run_is_not_told_that_it_failed() -> None:
    assert ending(code=-9, was_killed=True, has_started=False, kept=None) == (
        "stopped",
        "Stopped before its first step. Nothing was kept yet: resuming begins anew.",
    )
    assert ending(code=-9, was_killed=True, kept=0)[1].endswith("Resume from within epoch 1.")


def test_an_end_that_nobody_saw_is_a_failure_too() -> None:
    assert ending(code=None)[0] == "failed"
