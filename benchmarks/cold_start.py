"""How long a fresh server takes until a visitor has the first page.

python -m benchmarks.cold_start --starts 5
"""

import argparse
import asyncio
import os
import platform
import statistics
import time

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.server import serving

LIMIT_S = 3.0


async def first_page(url: str, page: str) -> None:
    """Ask for a page as a browser does, again and again until the server is there, and read it to its end."""
    while True:
        try:
            async with websockets.connect(url, subprotocols=["streamlit"], max_size=None) as connection:  # pyright: ignore
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
        start = time.perf_counter()
        with serving(wait=False) as served:
            asyncio.run(asyncio.wait_for(first_page(served.stream, wanted.page), 60))
            times.append(time.perf_counter() - start)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(
        f"start of the process to the end of the first run of '{wanted.page}', {wanted.starts} starts: "
        f"median {statistics.median(times):.2f} s, longest {max(times):.2f} s"
    )
    if statistics.median(times) > LIMIT_S:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
