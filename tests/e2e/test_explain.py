"""A person at the Grad-CAM viewer."""

import re
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Locator, Page, expect

from cnnlab.images import SAMPLES, load_sample, to_png
from tests.e2e.lab import Visit, choose, visit

CAT, DOG = 3, 5


def tiles(page: Page) -> Locator:
    return page.locator(".st-key-explain-wall").get_by_test_id("heat-tile")


def stages(page: Page) -> Locator:
    return tiles(page).get_by_test_id("heat-stage")


def painted(stage: Locator) -> list[str]:
    """Which map is painted, and how: id parts, opacity, colours, shared, smooth."""
    return (stage.get_attribute("data-painted") or "").split("|")


def pixels(stage: Locator) -> np.ndarray:
    """What is on the canvas, (H, W, 3)."""
    found = stage.locator("canvas").first.evaluate(
        """canvas => ({ width: canvas.width, height: canvas.height,
          data: Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data) })"""
    )
    return np.array(found["data"], np.uint8).reshape(found["height"], found["width"], 4)[..., :3]


def link_says(page: Page, **params: str) -> None:
    for name, value in params.items():
        expect(page).to_have_url(re.compile(rf"[?&]{name}={re.escape(value)}(&|$)"))


def test_the_first_map_is_there_without_a_click(visitor: Visit) -> None:
    page = visitor.open("/explain?net=tiny_vgg")
    expect(tiles(page)).to_have_count(2)
    expect(tiles(page).first).to_contain_text("What the net gets")
    expect(tiles(page).last).to_contain_text("Grad-CAM")
    expect(stages(page).last).to_have_attribute("data-painted", re.compile(r"^gradcam\|features\.8\|"))
    plain, mapped = pixels(stages(page).first), pixels(stages(page).last)
    assert plain.shape == mapped.shape == (64, 64, 3)
    assert (plain != mapped).any()
    expect(page.get_by_text("A heat map shows association, not cause")).to_be_visible()


def test_how_maps_look_is_changed_in_the_browser_and_comes_back_with_the_link(visitor: Visit) -> None:
    page = visitor.open("/explain?net=resnet_cifar")
    before = pixels(stages(page).last)
    page.get_by_test_id("heat-opacity").press("Home")
    link_says(page, opacity="0")
    np.testing.assert_array_equal(pixels(stages(page).last), pixels(stages(page).first))
    page.get_by_role("button", name="Jet").click()
    page.get_by_role("button", name="Cells", exact=True).click()
    link_says(page, colours="jet", cells="1")
    slider = page.get_by_test_id("heat-opacity")
    slider.focus()
    for _ in range(8):
        slider.press("ArrowRight")
    link_says(page, opacity="40")
    after = pixels(stages(page).last)
    assert (after != before).any()
    page.reload()
    visitor.settled()
    expect(stages(page).last).to_have_attribute("data-painted", re.compile(r"\|0\.4\|jet\|false\|false$"))
    np.testing.assert_array_equal(pixels(stages(page).last), after)


def test_methods_and_classes_are_chosen_and_a_tile_is_looked_at_closely(visitor: Visit) -> None:
    page = visitor.open("/explain?net=resnet_cifar")
    choose(page, "Methods", "Eigen-CAM")
    page.keyboard.press("Escape")  # the list stays open for more
    expect(tiles(page)).to_have_count(3)
    link_says(page, method="gradcam%2Ceigencam")
    page.get_by_role("button", name="Top 3").click()
    expect(tiles(page)).to_have_count(5)
    expect(tiles(page).nth(2)).to_contain_text("Grad-CAM · dog")
    stages(page).nth(2).click()
    link_says(page, **{"class": "3%2C5%2C6"})
    expect(page.get_by_test_id("stMetricValue")).to_have_text("dog")
    expect(stages(page).nth(2)).to_have_attribute("aria-current", "true")
    # The same place is read in all maps, by hand and by key.
    stages(page).nth(1).hover()
    expect(tiles(page).nth(2).get_by_test_id("heat-note")).to_contain_text("in cell")
    stages(page).nth(1).focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("heat-heard").first).to_contain_text("Grad-CAM · cat")
    page.keyboard.press("Escape")
    expect(tiles(page).nth(2).get_by_test_id("heat-note")).to_have_text("8 × 8 cells")


def test_a_picture_of_ones_own_is_explained(visitor: Visit, tmp_path: Path) -> None:
    page = visitor.open("/explain?net=resnet_cifar")
    before = pixels(stages(page).first)
    given = tmp_path / "mine.png"
    given.write_bytes(to_png(load_sample("rocket").pixels))
    page.get_by_test_id("stSidebar").get_by_role("button", name="Change image").click()
    page.get_by_role("dialog").get_by_text("Upload", exact=True).click()
    page.get_by_role("dialog").locator('input[type="file"]').set_input_files(given)
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_test_id("stMetricValue")).to_have_text("ship")
    assert (pixels(stages(page).first) != before).any()


def test_layers_are_clicked_in_the_drawing_and_chips_set_the_page_up(visitor: Visit) -> None:
    page = visitor.open("/explain?net=tiny_vgg&tab=Layers")
    stage = page.get_by_test_id("net-stage")
    stage.scroll_into_view_if_needed()
    stage.focus()
    for key in ("Home", "ArrowRight", "Enter"):
        stage.press(key)
    link_says(page, layers="features.0")
    expect(tiles(page).last).to_contain_text("62 × 62 cells")
    page.get_by_role("button", name="The wrong layer").click()
    expect(tiles(page)).to_have_count(6)
    expect(page.get_by_text("early ones mark edges")).to_be_visible()
    page.get_by_role("button", name="Cat or dog?").click()
    expect(tiles(page)).to_have_count(3)
    link_says(page, **{"class": f"{CAT}%2C{DOG}"})
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Kernel playground").click()
    expect(page.get_by_role("heading", name="Kernel playground")).to_be_visible()
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Grad-CAM viewer").click()
    expect(tiles(page)).to_have_count(3)


def test_slow_maps_grow_are_stopped_and_finished(visitor: Visit) -> None:
    page = visitor.open("/explain?net=vgg16_cifar&method=scorecam&weights=random")
    expect(tiles(page).last.get_by_test_id("heat-note")).to_contain_text("% done")
    page.get_by_role("button", name="Stop").click()
    again = page.get_by_role("button", name="Finish the stopped maps")
    expect(again).to_be_visible()
    # Meanwhile the rest of the page is at hand.
    page.get_by_role("button", name="Jet").click()
    link_says(page, colours="jet")
    choose(page, "Methods", "Saliency")
    page.keyboard.press("Escape")
    expect(tiles(page)).to_have_count(3)


def test_checks_come_on_request_and_channels_are_switched_off(visitor: Visit) -> None:
    page = visitor.open("/explain?net=image_classification&tab=Faithfulness")
    page.get_by_role("button", name="Check the map").click()
    expect(page.get_by_text("Areas under the curves")).to_be_visible()
    expect(page.locator(".st-key-explain-faithfulness .js-plotly-plot")).to_contain_text("Deletion")
    page.get_by_role("tab", name="Channels").click()
    panel = page.get_by_role("tabpanel", name="Channels")
    panel.get_by_role("button", name="Most for it").click()
    expect(page).to_have_url(re.compile(r"off=\d+%2C\d+%2C\d+"))
    panel.get_by_role("button", name="All on").click()
    expect(page).not_to_have_url(re.compile("off="))


def test_the_map_is_taken_away_as_numbers_and_as_a_picture(visitor: Visit) -> None:
    page = visitor.open("/explain?net=resnet_cifar&tab=Take+it+with+you")
    panel = page.get_by_role("tabpanel", name="Take it with you")
    with page.expect_download() as saved:
        panel.get_by_role("button", name="Map as NumPy file").click()
    map_hw = np.load(saved.value.path(), allow_pickle=False)
    assert map_hw.shape == (8, 8)
    assert map_hw.dtype == np.float32
    with page.expect_download() as saved:
        panel.get_by_role("button", name="Overlay as PNG").click()
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")


def test_two_visitors_see_their_own_pictures(browser: Browser, lab: str) -> None:
    shown = {}
    guests = {sample: visit(browser, lab) for sample in ("cat", "rocket")}
    assert set(guests) <= set(SAMPLES)
    for sample, guest in guests.items():
        shown[sample] = guest.open(f"/explain?net=resnet_cifar&image={sample}")
    assert [shown[sample].get_by_test_id("stMetricValue").inner_text() for sample in shown] == ["cat", "ship"]
    for guest in guests.values():
        assert guest.errors == []
        guest.page.context.close()
