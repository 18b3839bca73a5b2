"""Which process is which: a number alone is given away again once its process is gone."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this machine, once and for all.

    Attributes:
        pid: Its number.
        started: When it began, in the words of the system; "" where there was none, or the system does not tell.
    """

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """The process that has this number now."""
        return cls(pid, _start_of(pid))

    @classmethod
    def here(cls) -> Self:
        """The one that asks."""
        return cls.of(os.getpid())

    @property
    def is_alive(self) -> bool:
        """Whether it is still there. On Windows, which is not asked, no process is."""
        return self.started != "" and _start_of(self.pid) == self.started


def _start_of(pid: int) -> str:
    """When a process began; "" where there is none, or where it ended and only waits to be buried."""
    try:
        return _from_proc(pid) if Path("/proc/self/stat").exists() else _from_ps(pid)
    except OSError:
        return ""


def _from_proc(pid: int) -> str:
    # The name in the second field may hold spaces and brackets. The state is the third field, the start the 22nd, in
    # clock ticks since the machine was started.
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"


def _from_ps(pid: int) -> str:
    said = subprocess.run(  # noqa: S603  Numbers make no commands.
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout.split(maxsplit=1)
    return "" if not said or said[0].startswith("Z") else said[1].strip()
