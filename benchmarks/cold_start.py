"""How long a fresh server takes until a visitor has the first page, and what it has loaded by then.

python benchmarks/cold_start.py --starts 5
"""

import argparse
import asyncio
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

ROOT = Path(__file__).parents[1]
LIMIT_S = 3.0


async def first_page(port: int, page: str) -> None:
    """Ask for a page as a browser does, again and again until the server is there, and read it to its end."""
    while True:
        try:
            async with websockets.connect(
                f"ws://127.0.0.1:{port}/_stcore/stream", subprotocols=["streamlit"], max_size=None
            ) as connection:  # pyright: ignore
                begin = BackMsg()
                begin.rerun_script.page_name = page
                await connection.send(begin.SerializeToString())
                while ForwardMsg.FromString(await connection.recv()).WhichOneof("type") != "script_finished":
                    pass
                return
        except OSError:
            await asyncio.sleep(0.02)


def main() -> None:
    """Start the lab a few times, print how long the first page took; exit 1 above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--page", default="kernels")
    wanted = parser.parse_args()
    times = []
    for _ in range(wanted.starts):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        start = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            "app.py",
            "--server.headless=true",
            f"--server.port={port}",
        ]
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            asyncio.run(asyncio.wait_for(first_page(port, wanted.page), 60))
            times.append(time.perf_counter() - start)
        finally:
            server.terminate()
            server.wait(20)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(
        f"start of the process to the end of the first run of '{wanted.page}', {wanted.starts} starts: "
        f"median {statistics.median(times):.2f} s, longest {max(times):.2f} s"
    )
    if statistics.median(times) > LIMIT_S:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
