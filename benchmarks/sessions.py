"""How many people one lab bears: browser sessions on the kernel playground, each moving a slider now and then.

Speaks Streamlit's own protocol over websockets, so that a hundred visitors cost little themselves. Every answer is
checked: it must carry the output size that belongs to the stride this visitor set, nobody else's.

    python -m benchmarks.sessions --users 100 --seconds 60 --think 10
"""

import argparse
import asyncio
import os
import platform
import random
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.server import Served, percentile, serving


@dataclass
class Tally:
    """What all visitors saw."""

    first_ms: list[float] = field(default_factory=list)
    rerun_ms: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


async def answer(connection: websockets.ClientConnection) -> list[ForwardMsg]:
    """All messages up to the end of one script run."""
    messages = []
    while True:
        message = ForwardMsg.FromString(await asyncio.wait_for(connection.recv(), 60))
        messages.append(message)
        if message.WhichOneof("type") == "script_finished":
            return messages


def fault_in(messages: list[ForwardMsg]) -> str | None:
    """What a visitor would see go wrong in these messages."""
    for message in messages:
        element = message.delta.new_element
        if element.WhichOneof("type") == "exception":
            return f"exception: {element.exception.type}"
        if element.WhichOneof("type") == "alert" and element.alert.format == element.alert.ERROR:
            return f"error: {element.alert.body[:80]}"
    return None


async def visitor(url: str, number: int, until: float, think: float, tally: Tally) -> None:
    """Open the page, then set the stride again and again, checking the answers."""
    chance = random.Random(number)
    await asyncio.sleep(chance.uniform(0, think))
    async with websockets.connect(url, subprotocols=["streamlit"], max_size=None) as connection:  # pyright: ignore
        begin = BackMsg()
        begin.rerun_script.page_name = "kernels"
        start = time.perf_counter()
        await connection.send(begin.SerializeToString())
        messages = await answer(connection)
        tally.first_ms.append((time.perf_counter() - start) * 1000)
        if fault := fault_in(messages):
            tally.faults.append(fault)
        sliders = [
            message
            for message in messages
            if message.delta.new_element.WhichOneof("type") == "slider"
            and message.delta.new_element.slider.label == "Stride"
        ]
        if not sliders:
            tally.faults.append("no stride slider on the page")
            return
        slider, fragment = sliders[0].delta.new_element.slider.id, sliders[0].delta.fragment_id
        stride = 1
        known: set[str] = set()
        while time.monotonic() < until:
            await asyncio.sleep(chance.expovariate(1 / think))
            stride = chance.choice([value for value in (1, 2, 3, 4) if value != stride])
            change = BackMsg()
            change.rerun_script.page_name = "kernels"
            change.rerun_script.fragment_id = fragment
            # As a browser does: what it holds already need not be sent again.
            known |= {message.hash for message in messages if message.metadata.cacheable}
            change.rerun_script.cached_message_hashes.extend(known)
            state = change.rerun_script.widget_states.widgets.add()
            state.id = slider
            state.double_array_value.data.append(stride)
            start = time.perf_counter()
            await connection.send(change.SerializeToString())
            messages = await answer(connection)
            tally.rerun_ms.append((time.perf_counter() - start) * 1000)
            written = "".join(str(message.delta.new_element.markdown.body) for message in messages)
            if fault := fault_in(messages):
                tally.faults.append(fault)
            elif rf"}}{{{stride}}}\right\rfloor" not in written:
                tally.faults.append(f"visitor {number} set stride {stride} and was not shown it")


def rss_mb(pid: int) -> float:
    """Resident memory of the server, in MB."""
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)])) / 1024


def cpu_s(pid: int) -> float:
    """CPU time that the server has used, in seconds (Linux; elsewhere not a number)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def crowd(served: Served, users: int, seconds: float, think: float) -> Tally:
    """All visitors at once; memory is read each second, while they are connected."""
    tally = Tally()
    until = time.monotonic() + think + seconds

    async def watch() -> None:
        while time.monotonic() < until:
            tally.rss_mb.append(rss_mb(served.process.pid))
            await asyncio.sleep(1)

    jobs = [visitor(served.stream, number, until, think, tally) for number in range(users)]
    jobs.append(watch())
    for outcome in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(outcome, BaseException):
            tally.faults.append(f"connection: {type(outcome).__name__}: {outcome}"[:120])
    return tally


def main() -> None:
    """Start a lab, send the crowd, print what it saw; exit 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=10, help="mean seconds between two changes of one visitor")
    wanted = parser.parse_args()
    with serving() as served:
        pid = served.process.pid
        asyncio.run(crowd(served, 3, 2, 0.5))  # imports and samples are loaded before memory is read
        time.sleep(3)
        memory, cpu = rss_mb(pid), cpu_s(pid)
        tally = asyncio.run(crowd(served, wanted.users, wanted.seconds, wanted.think))
        per_session = (max(tally.rss_mb) - memory) / wanted.users
        cpu_ms = (cpu_s(pid) - cpu) * 1000 / (len(tally.rerun_ms) + len(tally.first_ms))
    p95 = percentile(tally.rerun_ms, 0.95)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{wanted.users} sessions, a change every {wanted.think:g} s each, for {wanted.seconds:g} s")
    print(
        f"first run   p50 {statistics.median(tally.first_ms):6.0f} ms   p95 {percentile(tally.first_ms, 0.95):6.0f} ms"
    )
    print(f"rerun       p50 {statistics.median(tally.rerun_ms):6.0f} ms   p95 {p95:6.0f} ms   of {len(tally.rerun_ms)}")
    print(f"server CPU  {cpu_ms:.0f} ms a run; memory {memory:.0f} MB before, +{per_session:.2f} MB a session")
    print(f"faults      {len(tally.faults)}", *sorted(set(tally.faults))[:5], sep="\n            ")
    if tally.faults or p95 >= 1000 or per_session >= 2:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
