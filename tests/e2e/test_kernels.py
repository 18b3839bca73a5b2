"""A person at the kernel playground. What the browser draws is compared with what the core computes."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from cnnlab.figures.pictures import to_picture
from cnnlab.images import decode, fit_within, load_sample, to_grey
from cnnlab.ops import apply_kernel, build_kernel, channel_sum
from cnnlab.ui.components.picture import planes
from tests.e2e.lab import Visit, choose, slide, visit


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(planes(pixels)).hexdigest()[:32]


def grey(key: str, longest: int = 512) -> np.ndarray:
    return to_grey(fit_within(load_sample(key).pixels, longest))


def result(page: Page) -> Locator:
    return page.locator(".st-key-kernels-result").get_by_test_id("picture-stage")


def source(page: Page) -> Locator:
    return page.locator(".st-key-kernels-source").get_by_test_id("picture-stage")


def shows(page: Page, values: np.ndarray, scaling: str = "signed") -> None:
    """The result on the screen is this array, pixel for pixel."""
    expect(result(page)).to_have_attribute("data-digest", digest(to_picture(values, scaling, share=0.99).pixels))


def test_the_first_picture_is_there_without_a_click(visitor: Visit) -> None:
    page = visitor.open("/kernels")
    shows(page, apply_kernel(grey("cat"), build_kernel("sobel_x"), padding=1))


def test_a_photograph_is_uploaded_and_kernels_act_on_it(visitor: Visit, photographs: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(photographs) as archive:
        name = next(entry for entry in archive.namelist() if Path(entry).name == "dog.7.jpg")
        data = archive.read(name)
    (tmp_path / "my dog.jpg").write_bytes(data)
    page = visitor.open("/kernels")
    page.get_by_role("button", name="Change image").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Upload", exact=True).click()
    dialog.locator("input[type=file]").set_input_files(tmp_path / "my dog.jpg")
    expect(dialog).to_be_hidden()
    expect(page.get_by_test_id("stSidebar")).to_contain_text("my dog.jpg")
    dog = to_grey(fit_within(decode(data).pixels, 512))
    shows(page, apply_kernel(dog, build_kernel("sobel_x"), padding=1))
    choose(page, "Kernel", "Sharpen")
    shows(page, apply_kernel(dog, build_kernel("sharpen"), padding=1))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.png", b"this is no picture at all", "PNG, JPEG, WebP, GIF"),
        ("cut.png", None, "cut.png|broken|incomplete|truncated|damaged|ends"),
    ],
)
def test_a_file_that_is_no_picture_is_answered_and_nothing_is_lost(
    visitor: Visit, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    if content is None:
        buffer = io.BytesIO()
        Image.effect_noise((64, 64), 50).save(buffer, "PNG")
        content = buffer.getvalue()[:1500]
    (tmp_path / name).write_bytes(content)
    page = visitor.open("/kernels?image=coins")
    page.get_by_role("button", name="Change image").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Upload", exact=True).click()
    dialog.locator("input[type=file]").set_input_files(tmp_path / name)
    expect(dialog.get_by_test_id("stAlert")).to_contain_text(re.compile(sentence))
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Coins")
    shows(page, apply_kernel(grey("coins"), build_kernel("sobel_x"), padding=1))


def test_a_hostile_file_name_stays_text(visitor: Visit, tmp_path: Path) -> None:
    name = "<img src=x onerror=window.hacked=1> **b** [l](javascript:1).png"
    Image.new("RGB", (32, 32), "red").save(tmp_path / name)
    page = visitor.open("/kernels")
    page.get_by_role("button", name="Change image").click()
    page.get_by_role("dialog").get_by_text("Upload", exact=True).click()
    page.get_by_role("dialog").locator("input[type=file]").set_input_files(tmp_path / name)
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar).to_contain_text("<img src=x onerror=")
    expect(sidebar).to_contain_text("**b*")
    assert sidebar.locator("img[src=x], a[href^=javascript]").count() == 0
    assert page.evaluate("window.hacked") is None


def test_sliders_change_the_result_and_the_address_reproduces_it(visitor: Visit, browser: Browser, lab: str) -> None:
    page = visitor.open("/kernels?image=astronaut")
    slide(page, "Stride", "ArrowRight")
    slide(page, "Padding", "ArrowRight", 2)
    page.get_by_text("More", exact=True).click()
    slide(page, "Dilation", "ArrowRight")
    shows(page, apply_kernel(grey("astronaut"), build_kernel("sobel_x"), stride=2, padding=3, dilation=2))
    choose(page, "Padding mode", "Reflect")
    wanted = apply_kernel(
        grey("astronaut"), build_kernel("sobel_x"), stride=2, padding=3, padding_mode="reflect", dilation=2
    )
    shows(page, wanted)
    expect(page).to_have_url(re.compile(r"image=astronaut.*stride=2.*padding=3.*mode=reflect.*dilation=2"))
    other = visit(browser, lab)
    shows(other.open(page.url.removeprefix(lab)), wanted)
    other.page.context.close()


def test_what_is_set_survives_another_page_and_back(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=coins")
    slide(page, "Stride", "ArrowRight", 2)
    choose(page, "Kernel", "Emboss")
    wanted = apply_kernel(grey("coins"), build_kernel("emboss"), stride=3, padding=1)
    shows(page, wanted)
    menu = page.get_by_test_id("stSidebarNav")
    menu.get_by_role("link", name="Start").click()
    expect(page.get_by_role("heading", name="Start")).to_be_visible()
    menu.get_by_role("link", name="Kernel playground").click()
    shows(page, wanted)
    expect(page).to_have_url(re.compile(r"kernel=emboss.*stride=3"))


def test_an_edited_cell_makes_the_kernel_ones_own(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=coins")
    cell = page.locator(".st-key-kernels-grid").get_by_test_id("matrix-cell-1-1")
    cell.fill("1/2")
    cell.press("Enter")
    kernel = build_kernel("sobel_x").copy()
    kernel[1, 1] = 0.5
    shows(page, apply_kernel(grey("coins"), kernel, padding=1))
    expect(page.get_by_role("combobox", name="Kernel")).to_have_value("Your own")
    expect(page).to_have_url(re.compile(r"kernel=own"))
    page.reload()
    shows(page, apply_kernel(grey("coins"), kernel, padding=1))


def test_a_block_from_a_spreadsheet_becomes_the_kernel(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=coins")
    grid = page.locator(".st-key-kernels-grid")
    grid.get_by_test_id("matrix-cell-0-0").focus()
    grid.get_by_test_id("matrix-cell-0-0").evaluate(
        """cell => {
          const data = new DataTransfer();
          data.setData("text/plain", "1\\t2\\t3\\t4\\n5\\t6\\t7\\t8\\n9\\t10\\t11\\t12\\n13\\t14\\t15\\t16");
          cell.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
        }"""
    )
    kernel = np.arange(1, 17, dtype=np.float32).reshape(4, 4)
    shows(page, apply_kernel(grey("coins"), kernel, padding=1))


def test_each_way_to_show_the_numbers_is_drawn_as_computed(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=coins&kernel=laplacian")
    response = apply_kernel(grey("coins"), build_kernel("laplacian"), padding=1)
    for label, scaling in (("Absolute", "absolute"), ("Clamped", "clamped"), ("Stretched", "stretched")):
        page.get_by_text(label, exact=True).click()
        shows(page, response, scaling)


def test_summed_channels_show_three_maps_and_their_sum(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=astronaut&kernel=box_blur&channels=sum&bias=0.5")
    image = fit_within(load_sample("astronaut").pixels, 512).astype(np.float32) / np.float32(255)
    summed = channel_sum(image, build_kernel("box_blur"), padding=1, bias=0.5)
    maps = [*summed.partials_chw, summed.total_hw]
    limit = to_picture(np.vstack(maps), "signed", share=0.99).maximum
    for index, map_hw in enumerate(maps):
        shown = page.locator(f".st-key-kernels-partial{index}").get_by_test_id("picture-stage")
        expected = to_picture(map_hw, "signed", limits=(-limit, limit)).pixels
        expect(shown).to_have_attribute("data-digest", digest(expected))


def test_the_magnifiers_of_both_pictures_move_together(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=coins")
    box = result(page).bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for side in ("source", "result"):
        loupe = page.locator(f".st-key-kernels-{side}").get_by_test_id("picture-loupe")
        expect(loupe).to_be_visible()
    at = page.locator(".st-key-kernels-result").get_by_test_id("picture-loupe-place")
    assert at.inner_text() == page.locator(".st-key-kernels-source").get_by_test_id("picture-loupe-place").inner_text()


def test_a_click_into_the_image_moves_the_window_of_the_steps(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=coins")
    view = page.locator(".st-key-kernels-steps")
    expect(view.get_by_test_id("conv-steps")).to_be_visible()
    source(page).click(position={"x": 60, "y": 40})
    expect(page).to_have_url(re.compile(r"at=\d+%2C\d+"))
    row, col = map(int, re.findall(r"at=(\d+)%2C(\d+)", page.url)[0])
    expect(view.get_by_test_id("conv-where")).to_have_text(f"Output row {row}, column {col}")
    response = apply_kernel(grey("coins"), build_kernel("sobel_x"), padding=1)
    total = view.get_by_test_id("conv-total").inner_text()
    shown = float(re.findall(r"=\s*([−\d.]+)", total)[-1].replace("−", "-"))
    assert shown == pytest.approx(response[row, col], rel=5e-3, abs=1e-6)


def test_the_seeds_matrix_is_stepped_through_by_keyboard(visitor: Visit) -> None:
    page = visitor.open("/kernels?steps=ramp&padding=0")
    view = page.locator(".st-key-kernels-steps")
    expect(view.get_by_test_id("conv-total")).to_contain_text("8")
    expect(view.get_by_test_id("conv-count")).to_contain_text("4")
    output = view.get_by_test_id("conv-output").first
    output.focus()
    where = view.get_by_test_id("conv-where")
    before = where.inner_text()
    output.press("ArrowLeft")
    expect(where).not_to_have_text(before)


def test_playing_runs_in_the_browser_and_does_not_ask_the_server(visitor: Visit) -> None:
    sent: list[object] = []
    visitor.page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    page = visitor.open("/kernels?steps=pooling&padding=1")
    page.wait_for_timeout(1000)
    assert sent
    before = len(sent)
    view = page.locator(".st-key-kernels-steps")
    seen = {view.get_by_test_id("conv-steps").get_attribute("data-index")}
    view.get_by_role("button", name="Play").click()
    for _ in range(30):
        page.wait_for_timeout(100)
        seen.add(view.get_by_test_id("conv-steps").get_attribute("data-index"))
    assert len(seen) >= 4
    assert len(sent) == before


def test_a_link_cannot_bring_in_a_foreign_image(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=![](http://elsewhere.test/a.png)")
    expect(page.get_by_test_id("stAlert")).to_contain_text("![](http://elsewhere.test/a.png)")
    assert page.get_by_test_id("stAlert").locator("img").count() == 0


LINKS = {
    "gaussian.size=4&kernel=gaussian": "Size is '4'; accepted is 1 to 11 in steps of 2",
    "kernel=own&matrix=abc": "abc",
    "kernel=own&matrix=3e38,3e38": "Use smaller weights",
    "at=99999,99999": "at is '99999'",
    "typed=1e39": "float32",
    "kernel=own&matrix=" + ";".join([",".join("1" * 12)] * 12): "it takes up to 11 × 11",
}


@pytest.mark.parametrize("link", LINKS)
def test_what_a_link_asks_for_in_vain_is_said_and_the_controls_stay(visitor: Visit, link: str) -> None:
    page = visitor.open(f"/kernels?{link}")
    expect(page.get_by_test_id("stAlert").first).to_contain_text(LINKS[link])
    expect(page.get_by_text("Something broke")).to_have_count(0)
    expect(page.get_by_role("group", name="Stride", exact=True)).to_be_visible()


def test_a_size_that_does_not_fit_is_answered_in_its_card_only(visitor: Visit) -> None:
    page = visitor.open("/kernels?sized=other&size.W=1&size.K=5&size.P=0")
    expect(page.get_by_test_id("stAlert")).to_have_count(1)
    expect(page.get_by_role("heading", name="Take it with you")).to_be_visible()


def test_the_size_card_shows_the_floor_of_the_seeds_case(visitor: Visit) -> None:
    page = visitor.open("/kernels")
    choose(page, "Output size of", "640 px, K 3, S 2, P 0")
    expect(page.locator(".katex-mathml annotation").filter(has_text="319")).to_have_count(1)
    choose(page, "Output size of", "5 px, K 3, S 1, P 1")
    expect(page.locator(".katex-mathml annotation").filter(has_text="= 5")).to_have_count(1)


TABS: dict[str, Callable[[Page], None]] = {
    "Does it split?": lambda page: expect(page.get_by_text("Rank 1.")).to_be_visible(),
    "Which frequencies pass?": lambda page: expect(page.locator(".js-plotly-plot .heatmaplayer image")).to_be_visible(),
    "Does it follow a shift?": lambda page: expect(page.get_by_text("Largest error inside")).to_be_visible(),
    "Can it be found?": lambda page: expect(page.get_by_text("Largest difference of a weight")).to_be_visible(),
}


@pytest.mark.parametrize("tab", TABS)
def test_each_tab_beyond_the_obvious_shows_its_answer(visitor: Visit, tab: str) -> None:
    page = visitor.open("/kernels")
    page.get_by_role("tab", name=tab).click()
    TABS[tab](page)
    expect(page.get_by_test_id("stAlert")).to_have_count(0)


def test_a_shift_is_followed_inside_at_stride_1_and_not_at_stride_2(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=coins")
    page.get_by_role("tab", name="Does it follow a shift?").click()
    inside = page.get_by_test_id("stMetric").filter(has_text="Largest error inside").get_by_test_id("stMetricValue")
    expect(inside).to_have_text("0")
    slide(page, "Stride", "ArrowRight")
    expect(inside).not_to_have_text("0")


def test_the_hidden_kernel_is_found_within_a_thousandth(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=astronaut&find=sharpen")
    page.get_by_role("tab", name="Can it be found?").click()
    metric = page.get_by_test_id("stMetric").filter(has_text="Largest difference of a weight")
    expect(metric).to_be_visible()
    assert float(metric.get_by_test_id("stMetricValue").inner_text()) < 1e-3


def test_the_downloads_hold_the_result_and_the_kernel(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=coins&kernel=sharpen&show=clamped")
    response = apply_kernel(grey("coins"), build_kernel("sharpen"), padding=1)
    shows(page, response, "clamped")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Result as PNG").click()
    picture = np.asarray(Image.open(saved.value.path()))
    assert (picture[..., 0] == to_picture(response, "clamped").pixels).all()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Kernel as JSON").click()
    written = json.loads(Path(saved.value.path()).read_text())
    assert written["kernel"] == build_kernel("sharpen").tolist()


def test_two_visitors_do_not_see_each_others_settings(browser: Browser, lab: str) -> None:
    guests = [visit(browser, lab), visit(browser, lab)]
    one, two = (guest.open("/kernels?image=coins") for guest in guests)
    slide(one, "Stride", "ArrowRight", 3)
    shows(one, apply_kernel(grey("coins"), build_kernel("sobel_x"), stride=4, padding=1))
    choose(two, "Kernel", "Identity")
    shows(two, apply_kernel(grey("coins"), build_kernel("identity"), padding=1))
    shows(one, apply_kernel(grey("coins"), build_kernel("sobel_x"), stride=4, padding=1))
    for guest in guests:
        guest.page.context.close()


def test_the_code_of_the_page_is_shown(visitor: Visit) -> None:
    page = visitor.open("/kernels")
    page.get_by_text("Show the code").click()
    expect(page.get_by_test_id("stExpander").filter(has_text="Show the code")).to_contain_text("def playground")
    page.get_by_role("tab", name="cnnlab.ops.convolution.apply_kernel").click()
    expect(page.get_by_text("def apply_kernel", exact=False).first).to_be_visible()


def test_a_chip_sets_the_controls_and_says_what_to_look_for(visitor: Visit) -> None:
    page = visitor.open("/kernels?padding=3")
    page.get_by_role("button", name="A stride that invents patterns").click()
    expect(page.get_by_text("aliasing", exact=False)).to_be_visible()
    shows(page, apply_kernel(grey("zone_plate"), build_kernel("identity"), stride=4, padding=1))


def test_a_link_with_nonsense_is_answered_and_the_rest_followed(visitor: Visit) -> None:
    page = visitor.open("/kernels?image=coins&stride=99&kernel=emboss")
    expect(page.get_by_test_id("stAlert")).to_contain_text("stride is '99'; it is a whole number from 1 to 8")
    shows(page, apply_kernel(grey("coins"), build_kernel("emboss"), padding=1))


def test_a_kernel_larger_than_the_image_is_answered_in_words(visitor: Visit, tmp_path: Path) -> None:
    Image.new("L", (2, 2), 200).save(tmp_path / "tiny.png")
    page = visitor.open("/kernels?padding=0")
    page.get_by_role("button", name="Change image").click()
    page.get_by_role("dialog").get_by_text("Upload", exact=True).click()
    page.get_by_role("dialog").locator("input[type=file]").set_input_files(tmp_path / "tiny.png")
    expect(page.get_by_test_id("stAlert").first).to_contain_text(
        re.compile("window is 3 px high.*padded picture only 2 px")
    )
    slide(page, "Padding", "ArrowRight", 2)
    expect(page.get_by_test_id("stAlert")).to_have_count(0)
