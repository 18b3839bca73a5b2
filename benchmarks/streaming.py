"""What it costs a run to be watched, and how soon a watcher sees what happens.

The same run, over and over in turn: in a worker of a process that serves nothing ("alone"), and in a worker of a lab
that nobody, one and twenty browsers listen to. A browser here is a connection that reads its stream as fast as it
comes; all of them are one process, which takes its share of the machine as well. Speed is training pictures by the
seconds of the epochs after the third, validation left out; the ratio is that of runs that followed one another.

The lag goes from the moment at which the worker made an event to the moment at which a listener has read it. The cost
of a message is what the server's CPU time grew by with listeners over what it was without, by the messages sent.

    python -m benchmarks.streaming --rounds 3
"""

import argparse
import asyncio
import hashlib
import json
import os
import platform
import statistics
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.server import ROOT, STREAMLIT, Served, percentile, serving

LIMIT_RATIO = 0.97
OWNER = hashlib.sha256(b"benchmark").hexdigest()[:32]
COUNTS = (0, 1, 20)
PER_VISITOR = 10  # fewer than a visitor may have

APP = """
import asyncio

import streamlit as st
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from cnnlab.ui import run_stream, running, server


def begun(text):
    from cnnlab.runs import store
    from cnnlab.train import TrainConfig

    run = store.create({owner!r}, TrainConfig.from_yaml(text))
    store.publish(run.id, True)
    running.runner().start(run.id)
    return run.id


async def start(request):
    return PlainTextResponse(await asyncio.to_thread(begun, (await request.body()).decode()))


routes = [*run_stream.routes(), Route("/start", start, methods=["POST"])]
app = st.App(server.SHELL, lifespan=server.lifespan, routes=routes)
"""


@dataclass
class Heard:
    """What a listener has noticed."""

    num_messages: int = 0
    num_bytes: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    lags_ms: list[float] = field(default_factory=list)

    def hear(self, data: bytes) -> None:
        """Take in the data of a message of events."""
        now = time.time()
        self.num_messages += 1
        self.num_bytes += len(data)
        self.first_s = self.first_s or now
        self.last_s = now
        for event in json.loads(data)["events"]:
            if event["kind"] == "Stepped":
                self.lags_ms.append(1000 * (now - event["time"]))


async def listen(port: int, run_id: str, visitor: int, heard: Heard) -> None:
    """Read the stream of a run to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    request = (
        f"GET /api/runs/{run_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: cnnlab_visitor={visitor:032x}\r\n\r\n"
    )
    writer.write(request.encode())
    name = b""
    while line := await reader.readline():
        if line.startswith(b"HTTP/1.1") and b" 200 " not in line:
            raise RuntimeError(line.decode())
        if line.startswith(b"event: "):
            name = line[7:].strip()
        if line.startswith(b"data: ") and name == b"events":
            heard.hear(line[6:])
        if name == b"end":
            break
    writer.close()


def cpu_s(pid: int) -> float:
    """CPU time of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def speed_of(folder: Path) -> float:
    """Training pictures per second of the epochs after the third."""
    from cnnlab.runs.journal import read_events
    from cnnlab.train.events import EpochEnded, Started

    events = list(read_events(folder))
    (started,) = [event for event in events if isinstance(event, Started)]
    seconds = [event.seconds for event in events if isinstance(event, EpochEnded)][3:]
    return started.num_train * len(seconds) / sum(seconds)


def alone(runner, config) -> float:
    """Speed of the run in a worker that nobody listens to, beside no server."""
    from cnnlab.runs import store

    run = store.create(OWNER, config)
    runner.start(run.id)
    while runner.is_going_on(run.id):
        time.sleep(0.2)
    return speed_of(store.folder(run.id))


def watched(lab: Served, data_dir: Path, config, num_listeners: int) -> tuple[float, float, list[Heard]]:
    """Speed of the run in a lab, CPU seconds of its server, and what listeners noticed."""
    before = cpu_s(lab.process.pid)
    request = urllib.request.Request(f"{lab.address}/start", data=config.to_yaml().encode())
    run_id = urllib.request.urlopen(request).read().decode()
    heard = [Heard() for _ in range(num_listeners)]

    async def all_listen() -> None:
        await asyncio.gather(*(listen(lab.port, run_id, at // PER_VISITOR, one) for at, one in enumerate(heard)))

    asyncio.run(all_listen())
    folder = data_dir / "runs" / run_id
    while json.loads((folder / "run.json").read_text())["state"] in ("waiting", "running", "paused"):
        time.sleep(0.2)
    return speed_of(folder), cpu_s(lab.process.pid) - before, heard


@contextmanager
def lab_of_its_own(folder: Path) -> Iterator[tuple[Served, Path]]:
    """The lab, with a way to start a run by a request."""
    data_dir = folder / "data"
    (folder / "app.py").write_text(APP.format(owner=OWNER))
    (folder / ".streamlit").symlink_to(ROOT / ".streamlit")
    with serving(STREAMLIT, folder, env={"PYTHONPATH": str(ROOT), "CNNLAB_DATA_DIR": str(data_dir)}) as lab:
        yield lab, data_dir


def main() -> None:
    """Run in turn, print the table; exit 1 where being watched costs more than 3 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--net", default="lenet5")
    parser.add_argument("--data", default="digits")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as own, tempfile.TemporaryDirectory() as other:
        os.environ["CNNLAB_DATA_DIR"] = own
        from cnnlab.runs.runner import Runner
        from cnnlab.train.config import TrainConfig

        config = TrainConfig(net=wanted.net, data=wanted.data, epochs=wanted.epochs)
        runner = Runner()
        speeds = defaultdict(list)
        cpu = defaultdict(list)
        heard = defaultdict(list)
        with lab_of_its_own(Path(other)) as (lab, data_dir):
            alone(runner, config)
            watched(lab, data_dir, config, 1)
            for _ in range(wanted.rounds):
                speeds["alone"].append(alone(runner, config))
                for count in COUNTS:
                    speed, seconds, listeners = watched(lab, data_dir, config, count)
                    speeds[count].append(speed)
                    cpu[count].append(seconds)
                    heard[count] += listeners
        runner.close()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {wanted.rounds} rounds of")
    print(f"{config.net_name} on {config.data}, {config.epochs} epochs, batch {config.batch_size}")
    print(f"alone            {statistics.median(speeds['alone']):8,.0f} images/s")
    for count in COUNTS:
        ratio = statistics.median(a / b for a, b in zip(speeds[count], speeds["alone"], strict=True))
        print(f"{count:3d} listener(s)  {statistics.median(speeds[count]):8,.0f} images/s   ratio {ratio:.3f}")
    for count in COUNTS[1:]:
        listeners = heard[count]
        rate = statistics.median(one.num_messages / (one.last_s - one.first_s) for one in listeners)
        lags = [lag for one in listeners for lag in one.lags_ms]
        size = sum(one.num_bytes for one in listeners) / sum(one.num_messages for one in listeners)
        more = statistics.median(cpu[count]) - statistics.median(cpu[0])
        each = more / statistics.median(
            sum(one.num_messages for one in listeners[at : at + count]) for at in range(0, len(listeners), count)
        )
        print(
            f"{count:3d} listener(s)  {rate:5.1f} messages/s of {size:,.0f} bytes   "
            f"lag p50 {percentile(lags, 0.5):.0f} ms, p95 {percentile(lags, 0.95):.0f} ms   "
            f"{1000 * each:.2f} ms server CPU per message"
        )
    worst = min(statistics.median(a / b for a, b in zip(speeds[n], speeds[0], strict=True)) for n in COUNTS[1:])
    print(f"watched / unwatched in the same lab: {worst:.3f} at worst (at least {LIMIT_RATIO})")
    if worst < LIMIT_RATIO:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
