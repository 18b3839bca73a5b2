"""Visitors who look at the lab in a browser."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect

# Streamlit first looks for its server below the page's own path, then finds it at the root.
PROBES = ("_stcore/health", "_stcore/host-config")

expect.set_options(timeout=20_000)


@dataclass
class Visit:
    """One visitor: a browser window of its own, and what went wrong in it."""

    page: Page
    address: str
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.address + path)
        self.settled()
        return self.page

    def settled(self) -> Page:
        """Wait until the page has been drawn and nothing runs any more."""
        self.page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=30_000)
        expect(self.page.locator('[data-testid="stMain"] h1')).to_be_visible()
        return self.page


def visit(browser: Browser, address: str, **options: object) -> Visit:
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})  # pyright: ignore
    visitor = Visit(context.new_page(), address)

    def note_request(url: str) -> None:
        if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1":
            visitor.foreign.append(url)

    visitor.page.on("request", lambda request: note_request(request.url))
    visitor.page.on("websocket", lambda socket_: note_request(socket_.url))
    visitor.page.on("pageerror", lambda error: visitor.errors.append(str(error)))

    def note_console(message: object) -> None:
        url = message.location.get("url", "")  # pyright: ignore
        if message.type == "error" and not url.endswith(PROBES):  # pyright: ignore
            visitor.errors.append(f"{message.text} {url}")  # pyright: ignore

    visitor.page.on("console", note_console)
    return visitor


def slide(page: Page, name: str, key: str, times: int = 1) -> None:
    """Press an arrow key on a slider."""
    slider = page.get_by_role("group", name=name, exact=True).get_by_role("slider")
    slider.focus()
    for _ in range(times):
        slider.press(key)


def choose(page: Page, label: str, option: str) -> None:
    """Take an option of a list."""
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    box = page.get_by_role("combobox", name=label)
    box.scroll_into_view_if_needed()
    page.wait_for_timeout(300)  # a list closes when the page scrolls, as it does for a person
    box.click()
    page.get_by_role("option", name=option, exact=True).click()
