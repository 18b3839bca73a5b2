import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnlab.runs import processes
from cnnlab.runs.processes import Process

HAS_PROC, HAS_PS = Path("/proc/self/stat").exists(), Path("/bin/ps").exists()
WAYS = [
    pytest.param(processes._from_proc, marks=pytest.mark.skipif(not HAS_PROC, reason="no /proc")),
    pytest.param(processes._from_ps, marks=pytest.mark.skipif(not HAS_PS, reason="no ps")),
]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows is not asked")


def test_this_process_is_alive_and_one_that_has_ended_is_not() -> None:
    assert Process.here().is_alive
    assert Process.here() == Process.of(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = Process.of(child.pid)
        assert process.is_alive
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not process.is_alive, "it has ended, though nobody has asked how"
    assert not process.is_alive
    assert Process.of(child.pid).started == ""


def test_another_process_with_the_same_number_is_another() -> None:
    here = Process.here()
    assert not Process(here.pid, here.started + "1").is_alive
    assert not Process(here.pid, "").is_alive


@pytest.mark.parametrize("start_of", WAYS)
def test_both_ways_to_ask_tell_the_living_from_the_dead(start_of) -> None:
    assert start_of(os.getpid()) != ""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert start_of(child.pid) != ""
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert start_of(child.pid) == ""
