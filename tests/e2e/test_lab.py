"""The frame around the pages, as a visitor meets it."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from benchmarks.server import ROOT, STREAMLIT, serving
from cnnlab.ui.navigation import PAGES
from tests.e2e.lab import Visit, visit

UVICORN = ("uvicorn", "app:app", "--log-level=warning", "--port")


@pytest.mark.parametrize("command", [STREAMLIT, UVICORN], ids=["streamlit", "uvicorn"])
def test_a_link_to_a_page_is_the_first_request_of_a_cold_server(browser: Browser, command: tuple[str, ...]) -> None:
    with serving(command) as served:
        guest = visit(browser, served.address)
        page = guest.open("/kernels")
        expect(page.get_by_role("heading", name="Kernel playground")).to_be_visible()
        menu = page.get_by_test_id("stSidebarNav").get_by_role("link")
        expect(menu).to_contain_text([entry.title for entry in PAGES.values()])
        assert menu.count() == len(PAGES)
        assert page.title() == "Kernel playground · CNN Lab"
        assert guest.foreign == []
        assert guest.errors == []
        page.context.close()


def test_a_missing_page_file_does_not_take_the_others_down(browser: Browser, tmp_path: Path) -> None:
    for name in ("app.py", "cnnlab", "pages", ".streamlit"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "pages" / "start.py").unlink()
    with serving(folder=tmp_path) as served:
        guest = visit(browser, served.address)
        page = guest.open("/kernels")
        expect(page.get_by_role("heading", name="Kernel playground")).to_be_visible()
        page.context.close()


def test_a_page_that_breaks_says_so_with_a_number_and_without_a_traceback(browser: Browser, tmp_path: Path) -> None:
    for name in ("app.py", "cnnlab", "pages", ".streamlit"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    broken = tmp_path / "pages" / "start.py"
    broken.write_text(broken.read_text() + "\nraise RuntimeError('inner workings')\n")
    with serving(folder=tmp_path) as served:
        guest = visit(browser, served.address)
        page = guest.open("/")
        expect(page.get_by_text("Something broke on our side")).to_be_visible()
        assert "inner workings" not in page.content()
        page.get_by_role("link", name="Kernel playground").first.click()
        expect(page.get_by_role("heading", name="Kernel playground")).to_be_visible()
        page.context.close()


def test_the_image_goes_along_from_page_to_page(visitor: Visit) -> None:
    page = visitor.open("/?image=coins")
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Coins")
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Kernel playground").click()
    expect(page.get_by_role("heading", name="Kernel playground")).to_be_visible()
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Coins")
    expect(page).to_have_url(f"{visitor.address}/kernels?image=coins")


def test_the_start_page_leads_to_a_kernel(visitor: Visit) -> None:
    page = visitor.open("/")
    page.get_by_role("button", name="Laplacian").click()
    expect(page.get_by_role("heading", name="Kernel playground")).to_be_visible()
    expect(page).to_have_url(f"{visitor.address}/kernels?kernel=laplacian")


def test_a_sample_is_chosen_from_the_contact_sheet(visitor: Visit) -> None:
    page = visitor.open("/kernels")
    page.get_by_role("button", name="Change image").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Rocket").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Rocket")


def test_a_shot_of_the_camera_becomes_the_current_image(visitor: Visit) -> None:
    page = visitor.open("/kernels")
    page.get_by_role("button", name="Change image").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Camera", exact=True).click()
    dialog.locator("video").wait_for()
    page.wait_for_function("document.querySelector('[role=dialog] video').readyState >= 3")
    dialog.get_by_role("button", name="Take Photo").click()
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(f"{visitor.address}/kernels?image=upload")
