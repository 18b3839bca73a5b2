"""A run as it goes, for browsers: `GET /api/runs/{id}/events` is a stream of server-sent events.

    event: history   all there is (`History.to_data` and `eta_s`): first, and again where a listener fell far behind
    event: events    `{"events": […], "eta_s": …}`: what came since, 20 times a second at most
    event: end       nothing more will come: do not connect again

However many look at a run, its events are fetched and written down once; a listener costs what it takes to send them.
No thread is held: a channel asks its subscription without waiting. Measured with 20 listeners on two busy cores:
`benchmarks/streaming.py`.

Format: WHATWG, HTML Living Standard, section 9.2 "Server-sent events".
"""

import asyncio
import json
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

import streamlit as st
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from cnnlab.errors import InputRejected, LabError
from cnnlab.ui import visitors
from cnnlab.ui.running import runner

if TYPE_CHECKING:
    from cnnlab.train.history import History

STREAMS_PER_VISITOR = 12

_SPACING_S = 0.05
_ASK_AGAIN_S = 0.01
_HEARTBEAT_S = 10.0
_LOOKS_S = 1.0  # a run may be unpublished, or deleted, while it is looked at
_MOST_WAITING = 200
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep the messages until it has 4 kB of them
}
_RETRY = b"retry: 2000\n\n"
_HEARTBEAT = b": still here\n\n"
_END = b"event: end\ndata: {}\n\n"

_channels: dict[str, "_Channel"] = {}
_streams: Counter[str] = Counter()


def routes() -> list[BaseRoute]:
    """What the server answers beside its pages, below the path that Streamlit itself is served under."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    path = "/api/runs/{run_id}/events"
    return [Route(f"/{base}{path}" if base else path, _answer, methods=["GET"])]


async def _answer(request: Request) -> Response:
    run_id = request.path_params["run_id"]
    owner = visitors.owner_of(request.headers)
    try:
        if not await to_thread.run_sync(_may_listen, run_id, owner):
            return _refused(404, "There is no such run, or it is not yours to see.")
    except LabError as error:
        return _refused(503, str(error))
    if _streams[owner] >= STREAMS_PER_VISITOR:
        return _refused(429, f"You watch {STREAMS_PER_VISITOR} runs already. Close a page with one of them.")
    if request.method == "HEAD":
        return Response(headers=_HEADERS)
    return _Stream(run_id, owner)


def _may_listen(run_id: str, owner: str) -> bool:
    # Only now, and in a thread: it takes PyTorch, for which the first page does not wait, and the server even less.
    from cnnlab.runs import store

    try:
        return store.may_see(store.get(run_id), owner)
    except InputRejected:
        return False


def _may_still_listen(run_id: str, owner: str) -> bool:
    try:
        return _may_listen(run_id, owner)
    except LabError:  # the disk could not be read just now; nothing has been taken back
        return True


def _refused(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status, headers={"Cache-Control": "no-store"})


def _message(event: str, data: Mapping[str, Any]) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data, allow_nan=False, separators=(',', ':'))}\n\n".encode()


def _all_of(history: "History") -> bytes:
    return _message("history", {**history.to_data(), "eta_s": history.eta_s(time.time())})


class _Listener:
    """What one browser has yet to be sent. It begins far behind: with nothing."""

    def __init__(self) -> None:
        self.is_behind = True
        self.is_gone = False
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()

    def put(self, message: bytes) -> None:
        self._waiting.append(message)
        if len(self._waiting) > _MOST_WAITING:
            self.is_behind = True
            self._waiting.clear()
        self._arrived.set()

    def leave(self) -> None:
        self.is_gone = True
        self._arrived.set()

    async def next(self) -> bytes:
        """All messages that wait, in one piece; a heartbeat where none comes for a while."""
        try:
            async with asyncio.timeout(_HEARTBEAT_S):
                await self._arrived.wait()
        except TimeoutError:
            return _HEARTBEAT
        self._arrived.clear()
        together = b"".join(self._waiting)
        self._waiting.clear()
        return together

    @property
    def is_done(self) -> bool:
        """Whether it goes, and has been sent everything."""
        return self.is_gone and not self.is_behind and not self._waiting

    def catch_up(self) -> None:
        """What waits is part of the history that is sent now."""
        self.is_behind = False
        self._waiting.clear()


class _Channel:
    """One run that somebody looks at: its events from the runner to all who listen, as long as anybody does."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.listeners: set[_Listener] = set()
        self.history: History
        self.is_over = False
        self.opened = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._pass_on())

    async def _pass_on(self) -> None:
        from cnnlab.train.history import for_browser

        try:
            with await to_thread.run_sync(runner().subscribe, self.run_id) as subscription:
                self.history = subscription.history.copy()
                self.opened.set_result(None)
                while self.listeners and not self.is_over:
                    # In this order: what is there once the run is over is the last.
                    is_over = subscription.is_over
                    events = subscription.next(0)
                    if events:
                        for event in events:
                            self.history.add(event)
                        data = {
                            "events": [for_browser(event) for event in events],
                            "eta_s": self.history.eta_s(time.time()),
                        }
                        self._send(_message("events", data))
                    self.is_over = is_over and not events
                    await asyncio.sleep(_SPACING_S if events else _ASK_AGAIN_S)
        except Exception as error:
            if self.opened.done():
                raise
            self.opened.set_exception(error)
        finally:
            del _channels[self.run_id]
            for listener in self.listeners:
                listener.leave()

    def _send(self, message: bytes) -> None:
        for listener in self.listeners:
            listener.put(message)


class _Stream(Response):
    """The answer to one browser; it ends with the run, when the browser goes, or when the server does."""

    def __init__(self, run_id: str, owner: str) -> None:
        super().__init__(headers=_HEADERS)
        self.run_id = run_id
        self.owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until there is nothing more to send, or nobody to send it to."""
        _leave_with_the_server()
        listener = _Listener()
        channel = _channels.get(self.run_id) or _channels.setdefault(self.run_id, _Channel(self.run_id))
        channel.listeners.add(listener)
        _streams[self.owner] += 1
        watching = asyncio.create_task(_until_gone(receive, listener))
        try:
            try:
                await asyncio.shield(channel.opened)
            except LabError as error:
                await _refused(503, str(error))(scope, receive, send)
                return
            headers = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": _RETRY, "more_body": True})
            is_allowed, looked_s = True, time.monotonic()
            while True:
                if listener.is_behind:
                    history = channel.history.copy()
                    listener.catch_up()
                    message = await to_thread.run_sync(_all_of, history)
                else:
                    message = await listener.next()
                if time.monotonic() - looked_s > _LOOKS_S:
                    is_allowed = await to_thread.run_sync(_may_still_listen, self.run_id, self.owner)
                    if not is_allowed:
                        break
                    looked_s = time.monotonic()
                if message:
                    await send({"type": "http.response.body", "body": message, "more_body": True})
                if listener.is_done:
                    break
            end = _END if channel.is_over or not is_allowed else b""
            await send({"type": "http.response.body", "body": end, "more_body": False})
        finally:
            watching.cancel()
            channel.listeners.discard(listener)
            _streams[self.owner] -= 1
            if not _streams[self.owner]:
                del _streams[self.owner]


async def _until_gone(receive: Receive, listener: _Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.leave()


_handles_signals = False


def _leave_with_the_server() -> None:
    """Let all streams end on Ctrl+C: uvicorn waits for every open answer before it goes down, and these have no end."""
    global _handles_signals
    if _handles_signals or threading.current_thread() is not threading.main_thread():
        return
    _handles_signals = True
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        handler_before = signal.getsignal(number)
        if not callable(handler_before):
            continue

        def handle(number: int, frame: FrameType | None, handler_before: Any = handler_before) -> None:
            loop.call_soon_threadsafe(_end_all)
            handler_before(number, frame)

        signal.signal(number, handle)


def _end_all() -> None:
    for channel in list(_channels.values()):
        for listener in channel.listeners:
            listener.leave()
