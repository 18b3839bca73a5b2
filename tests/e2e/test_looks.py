"""Every page, narrow and wide, light and dark; the pictures of it, one of which stands in the README."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from cnnlab.ui.navigation import PAGES
from tests.e2e.lab import Visit, visit

SHOTS = Path(__file__).parent / "shots"
PICTURES = Path(__file__).parent / "screenshots"
# Name of a picture in the README → the page it shows, and what is there once it is drawn.
SHOWN = {
    "kernels": ("/kernels?image=astronaut", ".st-key-kernels-result [data-digest]"),
    "architecture": ("/architecture?net=resnet_cifar&image=astronaut", ".st-key-architecture-diagram [data-input]"),
}


def fits_sideways(page: Page) -> None:
    page.wait_for_function(
        """() => {
          const box = document.querySelector('[data-testid="stMain"]');
          return box.scrollWidth <= box.clientWidth;
        }"""
    )


def brightness(page: Page) -> float:
    colour = page.get_by_test_id("stApp").evaluate("app => getComputedStyle(app).backgroundColor")
    return sum(int(part) for part in colour[4:-1].split(",")[:3]) / 3


@pytest.mark.parametrize("key", PAGES)
@pytest.mark.parametrize("width", [800, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_its_window_in_both_themes(browser: Browser, lab: str, key: str, width: int, scheme: str) -> None:
    guest = visit(browser, lab, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = guest.open("/" if key == next(iter(PAGES)) else f"/{key}")
    fits_sideways(page)
    assert (brightness(page) > 128) == (scheme == "light")
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{key}-{width}-{scheme}.png")
    page.context.close()
    assert guest.errors == []


def test_in_a_narrow_window_come_picture_then_numbers_then_controls(browser: Browser, lab: str) -> None:
    guest = visit(browser, lab, viewport={"width": 800, "height": 900})
    page = guest.open("/kernels")
    tops = [
        page.locator(selector).bounding_box()["y"]  # pyright: ignore[reportOptionalSubscript]
        for selector in (".st-key-kernels-result", '[data-testid="stMetric"] >> nth=0', ".st-key-kernels-grid")
    ]
    assert tops == sorted(tops)
    page.context.close()


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_in_the_readme_shows_the_page(visitor: Visit, request: pytest.FixtureRequest, name: str) -> None:
    path, drawn = SHOWN[name]
    kept = PICTURES / f"{name}.png"
    page = visitor.open(path)
    page.locator(drawn).wait_for()
    if request.config.getoption("--keep-screenshots"):
        PICTURES.mkdir(exist_ok=True)
        page.screenshot(path=kept)
    assert kept.exists(), "run the browser tests once with --keep-screenshots"
    fresh, before = (
        np.asarray(Image.open(io.BytesIO(data)).convert("L"), float) for data in (page.screenshot(), kept.read_bytes())
    )
    assert np.abs(fresh - before).mean() < 10, "the page has changed: renew its picture with --keep-screenshots"
