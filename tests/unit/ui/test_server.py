import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

import streamlit as st
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser

from cnnlab.ui import server


def test_the_largest_upload_stays_in_memory_while_it_comes_in() -> None:
    size = st.get_option("server.maxUploadSize") * 2**20

    async def body():
        yield b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\n'
        for _ in range(size // 2**20):
            yield bytes(2**20)
        yield b"\r\n--x--\r\n"

    async def received():
        form = await MultiPartParser(Headers({"content-type": "multipart/form-data; boundary=x"}), body()).parse()
        try:
            return form["f"].size, form["f"]._in_memory
        finally:
            await form.close()

    assert server.SHELL.exists()
    # In a thread: the browser tests leave an event loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, received()).result() == (size, True)


def test_connections_send_without_waiting_for_more() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server.send_at_once()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
