"""Whose is what: a visitor is known by a random number in a cookie, and by nothing else.

No name and no login: what a visitor saves is found again by the same browser, and by no other. The number never leaves
this module; what is stored is named by its hash.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_COOKIE = "cnnlab_visitor"
_NUMBER = re.compile("[0-9a-f]{32}")
_YEAR_S = 365 * 24 * 3600
_SESSION_ONLY = "visitors.number"


class GiveNumber:
    """ASGI middleware: a browser gets a number with its first page, and keeps it for a year after its last."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the lab does, with the cookie added to pages."""
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        # A browser that opens a page says that it takes HTML; scripts, fonts and pictures are asked for otherwise.
        if "text/html" not in headers.get("accept", ""):
            await self.app(scope, receive, send)
            return

        number = _number_in(headers.get("cookie", "")) or secrets.token_hex(16)

        async def send_with_number(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{_COOKIE}={number}; Max-Age={_YEAR_S}; Path=/; HttpOnly; SameSite=Lax"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self.app(scope, receive, send_with_number)


def _number_in(header: str) -> str | None:
    try:
        morsel = SimpleCookie(header).get(_COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel and _NUMBER.fullmatch(morsel.value) else None


def owner() -> str:
    """The name under which what this visitor saves is kept: 32 hexadecimal digits.

    Where the browser takes no cookies it lasts as long as the session does.
    """
    return _named(_number() or st.session_state.setdefault(_SESSION_ONLY, secrets.token_hex(16)))


def owner_of(headers: Mapping[str, str]) -> str:
    """The same name from the headers of a request that no page makes; "" for a browser without a cookie of ours."""
    number = _number_in(headers.get("cookie", ""))
    return _named(number) if number else ""


def _named(number: str) -> str:
    return hashlib.sha256(number.encode()).hexdigest()[:32]


def is_remembered() -> bool:
    """Whether what is saved now can be found again after a reload."""
    return bool(_number())


def _number() -> str:
    number = str(st.context.cookies.get(_COOKIE))
    return number if _NUMBER.fullmatch(number) else ""
