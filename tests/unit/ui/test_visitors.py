import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.responses import PlainTextResponse

from cnnlab.ui.visitors import GiveNumber

NUMBER = "0123456789abcdef" * 2
PAGE = "text/html,application/xml;q=0.9"


def asked(*, accept: str = PAGE, cookie: str = "") -> str:
    """The Set-Cookie header that a request brings, or "" for none."""
    sent = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def answered() -> None:
        headers = [(b"accept", accept.encode()), (b"cookie", cookie.encode())]
        await GiveNumber(PlainTextResponse("page"))({"type": "http", "headers": headers}, None, send)

    # In a thread: the browser tests leave an event loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, answered()).result()
    assert b"page" in sent[-1]["body"]
    return dict(sent[0]["headers"]).get(b"set-cookie", b"").decode()


def test_a_browser_gets_a_number_that_scripts_and_other_sites_cannot_use() -> None:
    number, *attributes = asked().split("; ")
    assert re.fullmatch("cnnlab_visitor=[0-9a-f]{32}", number)
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)


def test_every_browser_gets_another_number() -> None:
    assert len({asked().split(";")[0] for _ in range(8)}) == 8


def test_a_browser_that_has_a_number_keeps_it() -> None:
    assert asked(cookie=f"theme=dark; cnnlab_visitor={NUMBER}").startswith(f"cnnlab_visitor={NUMBER};")


@pytest.mark.parametrize("cookie", ["cnnlab_visitor=", "cnnlab_visitor=../../etc", "cnnlab_visitor=ABC", "=;=,;x"])
def test_what_is_no_number_of_ours_is_replaced(cookie: str) -> None:
    assert asked(cookie=cookie).startswith("cnnlab_visitor=")


def test_what_is_not_a_page_brings_no_number() -> None:
    assert asked(accept="*/*") == ""
