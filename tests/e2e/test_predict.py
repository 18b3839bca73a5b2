"""The page that asks a net, in a browser: strokes, sliders, files."""

import csv
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.lab import Visit, slide, visit


def bars(page: Page, which: int = 0) -> Locator:
    """The list of classes: each row's name, probability and logit."""
    return page.get_by_test_id("answer-bars").nth(which)


def top(page: Page, which: int = 0) -> Locator:
    return bars(page, which).get_by_role("row").nth(1)


def said(page: Page) -> Locator:
    named = page.get_by_test_id("stMetric").filter(has=page.get_by_text("The net says", exact=True))
    return named.get_by_test_id("stMetricValue")


def still(page: Page) -> None:
    page.wait_for_timeout(200)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()


def give(page: Page, *files: Path) -> Locator:
    panel = page.get_by_role("tabpanel", name="Many pictures")
    panel.locator("input[type=file]").set_input_files(list(files))
    return panel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures and a file that is none."""
    for name, level in (("white.png", 255), ("black.png", 0)):
        Image.fromarray(np.full((40, 30, 3), level, np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.png").write_bytes(b"no picture at all")
    return tmp_path


def test_the_first_answer_comes_without_a_click(visitor: Visit) -> None:
    page = visitor.open("/predict?net=tiny_vgg")
    expect(top(page)).to_contain_text("frog")
    expect(said(page)).to_have_text("frog")
    expect(page.locator(".st-key-predict-input [data-digest]")).to_be_visible()
    expect(page.get_by_text("What the net gets, 64 × 64 px")).to_be_visible()
    assert bars(page).get_by_role("row").count() == 1 + 5 + 1


def test_the_temperature_moves_the_bars_and_not_the_logits(visitor: Visit) -> None:
    page = visitor.open("/predict?net=tiny_vgg")
    before = top(page).inner_text().split("\n")
    slide(page, "Temperature", "ArrowRight", 3)
    expect(page).to_have_url(re.compile(r"temperature=1\.19"))
    expect(top(page)).not_to_contain_text(before[1])
    after = top(page).inner_text().split("\n")
    assert (after[0], after[2]) == (before[0], before[2])
    page.reload()
    visitor.settled()
    expect(top(page)).to_contain_text(after[1])


def test_a_digit_is_drawn_and_the_net_reads_it(visitor: Visit) -> None:
    page = visitor.open("/predict?net=tiny_vgg")
    page.get_by_role("button", name="Draw a digit").click()
    expect(page.get_by_text("Nothing is drawn yet")).to_be_visible()
    pad = page.get_by_test_id("draw-pad").locator("canvas").last
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box

    def line(points: list[tuple[float, float]]) -> None:
        x, y = points[0]
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.down()
        for x, y in points[1:]:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        page.mouse.up()

    line([(0.28, 0.25), (0.72, 0.25), (0.45, 0.8)])
    expect(said(page)).to_have_text("7")
    expect(page.get_by_text("Nothing is drawn yet")).to_have_count(0)
    page.get_by_role("button", name="Make it the current image").click()
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Your drawing")
    # The drawing is there again after a look at another page.
    menu = page.get_by_test_id("stSidebarNav")
    menu.get_by_role("link", name="Kernel playground").click()
    expect(page.get_by_role("heading", name="Kernel playground")).to_be_visible()
    menu.get_by_role("link", name="Predict").click()
    expect(said(page)).to_have_text("7")


def test_a_disturbed_picture_gets_another_answer_and_a_curve(visitor: Visit) -> None:
    page = visitor.open("/predict?net=resnet_cifar&tab=Robustness")
    panel = page.get_by_role("tabpanel", name="Robustness")
    expect(panel).to_contain_text("Still cat: 84.0 % → 84.0 %")
    curve = panel.locator(".js-plotly-plot .scatterlayer .trace")
    expect(curve.first).to_be_visible()
    slide(page, "Rotation", "ArrowRight", 5)
    expect(page).to_have_url(re.compile(r"rotate=5(&|$)"))
    expect(panel).not_to_contain_text("84.0 % → 84.0 %")
    expect(top(page)).to_contain_text("84.0 %")
    panel.get_by_role("button", name="Undisturbed").click()
    expect(panel).to_contain_text("84.0 % → 84.0 %")


def test_the_fitted_temperature_is_set_at_a_click(visitor: Visit) -> None:
    page = visitor.open("/predict?net=tiny_vgg&tab=What+is+its+word+worth%3F")
    expect(page.get_by_text("What it says of nothing")).to_be_visible()
    page.get_by_role("button", name=re.compile("Set the temperature to")).click()
    expect(page).to_have_url(re.compile(r"temperature=0\.8"))


def test_two_nets_stand_side_by_side(visitor: Visit) -> None:
    page = visitor.open("/predict?net=tiny_vgg&tab=Two+nets&with=resnet_cifar")
    expect(page.get_by_text("They disagree:")).to_be_visible()
    expect(top(page, 1)).to_contain_text("frog")
    expect(top(page, 2)).to_contain_text("cat")


def test_files_become_a_table_with_a_row_also_for_what_is_no_picture(visitor: Visit, folder: Path) -> None:
    page = visitor.open("/predict?net=tiny_vgg&tab=Many+pictures")
    panel = give(page, folder / "white.png", folder / "black.png", folder / "notes.png")
    expect(panel).to_contain_text("3 files, Tiny VGG:")
    expect(panel).to_contain_text("1 could not be read")
    with page.expect_download() as download:
        panel.get_by_role("button", name="Table as CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    assert [row["file"] for row in rows] == ["white.png", "black.png", "notes.png"]
    assert [row["class"] for row in rows] == ["airplane", "ship", ""]
    assert rows[2]["note"]
    panel.get_by_test_id("stDataFrame").scroll_into_view_if_needed()
    panel.get_by_test_id("stDataFrame").click(position={"x": 12, "y": 36 + 90})
    panel.get_by_role("button", name="Make it the current image").click()
    expect(page.get_by_test_id("stSidebar")).to_contain_text("black.png")
    expect(said(page)).to_have_text("ship")


def test_a_zip_becomes_the_same_table(visitor: Visit, folder: Path) -> None:
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for name in ("white.png", "notes.png"):
            archive.write(folder / name, f"in/{name}")
    page = visitor.open("/predict?net=tiny_vgg&tab=Many+pictures")
    panel = give(page, folder / "all.zip")
    expect(panel).to_contain_text("2 files, Tiny VGG: 1 × airplane; 1 could not be read")


def test_a_broken_upload_is_answered_in_words_and_the_answer_stays(visitor: Visit, folder: Path) -> None:
    page = visitor.open("/predict?net=tiny_vgg&tab=Many+pictures")
    (folder / "broken.zip").write_bytes(b"PK\x03\x04 and nothing else")
    panel = give(page, folder / "broken.zip")
    expect(panel.get_by_test_id("stAlert")).to_contain_text("no zip archive, or it is damaged")
    expect(top(page)).to_contain_text("frog")


def test_the_json_is_downloaded_as_it_is_shown(visitor: Visit) -> None:
    page = visitor.open("/predict?net=tiny_vgg&tab=As+JSON+and+code")
    panel = page.get_by_role("tabpanel", name="As JSON and code")
    with page.expect_download() as download:
        panel.get_by_role("button", name="Download").click()
    result = json.loads(download.value.path().read_text())
    assert result["class"] == "frog"
    assert result["confidence"] == pytest.approx(0.861, abs=0.001)


def test_the_answer_is_followed_to_its_explanation(visitor: Visit) -> None:
    page = visitor.open("/predict?net=tiny_vgg")
    page.get_by_role("link", name="Why frog? Open the Grad-CAM viewer").click()
    expect(page.get_by_role("heading", name="Grad-CAM viewer")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/explain\?.*class=6"))


def test_one_visitors_picture_is_not_in_anothers_page(browser: Browser, lab: str, folder: Path) -> None:
    one, two = visit(browser, lab), visit(browser, lab)
    page = one.open("/predict?net=tiny_vgg")
    page.get_by_role("button", name="Change image").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Upload", exact=True).click()
    dialog.locator("input[type=file]").set_input_files(folder / "white.png")
    expect(said(page)).to_have_text("airplane")
    expect(page).to_have_url(re.compile("image=upload"))
    other = two.open("/predict?net=tiny_vgg&image=upload")
    expect(other.get_by_text("a link does not carry")).to_be_visible()
    expect(said(other)).to_have_text("frog")
    for guest in (one, two):
        guest.page.context.close()
        assert guest.errors == []
