"""A person at the architecture explorer. Numbers are worked out by hand or published."""

import csv
import io
import py_compile
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.lab import Visit, choose, slide, visit


def stage(page: Page) -> Locator:
    return page.get_by_test_id("net-stage")


def metric(page: Page, label: str = "Parameters") -> Locator:
    named = page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True))
    return named.get_by_test_id("stMetricValue")


def layer_card(page: Page) -> Locator:
    return page.locator(".st-key-architecture-layer")


def alert(page: Page) -> Locator:
    return page.get_by_test_id("stAlert")


def open_tab(page: Page, name: str) -> Locator:
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel", name=name)


def cells(table: Locator) -> Locator:
    """A drawn table as it is told to those who cannot see it."""
    return table.get_by_test_id("stDataFrame").locator("td")


def link_says(page: Page, **params: str) -> None:
    for name, value in params.items():
        expect(page).to_have_url(re.compile(rf"[?&]{name}={re.escape(value)}(&|$)"))


def still(page: Page) -> None:
    """Nothing runs any more, also what a key press has just begun."""
    page.wait_for_timeout(200)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()


def hover(page: Page, name: str) -> None:
    """Move over the drawing until a layer answers."""
    stage(page).scroll_into_view_if_needed()
    box = stage(page).bounding_box()
    assert box
    for x in range(8, int(box["width"]), 8):
        page.mouse.move(box["x"] + x, box["y"] + 0.4 * box["height"])
        if stage(page).get_attribute("data-at") == name:
            return
    raise AssertionError(f"no block of the drawing is {name}")


def test_the_page_opens_with_a_small_net_drawn_and_counted(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=tiny_vgg")
    # The input; four convolutions, each drawn with its activation; two poolings, flattening, a linear layer.
    expect(stage(page)).to_have_attribute("data-units", "9")
    expect(stage(page)).to_have_attribute("data-input", "3 × 64 × 64")
    expect(metric(page)).to_have_text("19,920")
    expect(metric(page, "Depth")).to_have_text("5 layers")
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Tiny VGG")
    hover(page, "features.0")
    expect(page.get_by_test_id("net-panel")).to_contain_text("3·3·3·10 + 10 = 280")
    expect(page.get_by_test_id("net-panel")).to_contain_text("10 × 62 × 62")


def test_the_input_size_goes_through_the_net_and_along_to_other_pages(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=tiny_vgg&layer=0")
    expect(layer_card(page)).to_contain_text("10 × 62 × 62")
    slide(page, "Input size, px", "ArrowRight", 2)
    expect(stage(page)).to_have_attribute("data-input", "3 × 66 × 66")
    expect(layer_card(page)).to_contain_text("10 × 64 × 64")
    link_says(page, size="66")
    page.reload()
    visitor.settled()
    expect(stage(page)).to_have_attribute("data-input", "3 × 66 × 66")
    menu = page.get_by_test_id("stSidebarNav")
    menu.get_by_role("link", name="Kernel playground").click()
    expect(page.get_by_role("heading", name="Kernel playground")).to_be_visible()
    menu.get_by_role("link", name="Architecture explorer").click()
    expect(stage(page)).to_have_attribute("data-input", "3 × 66 × 66")
    expect(layer_card(page)).to_contain_text("10 × 64 × 64")
    link_says(page, size="66", layer="0")
    page.get_by_text("1, grey", exact=True).click()
    expect(stage(page)).to_have_attribute("data-input", "1 × 66 × 66")
    # 3·3·1·10 + 10 = 100 in place of 280.
    expect(metric(page)).to_have_text("19,740")


def test_a_net_that_cannot_take_the_picture_says_where_and_why_and_what_it_takes(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=alexnet&size=32")
    expect(alert(page)).to_contain_text("features.12 (MaxPool2d) cannot work on 256 × 1 × 1")
    expect(alert(page)).to_contain_text("window needs at least 3 × 3 px")
    expect(page.get_by_text("It takes 63 px and more.")).to_be_visible()
    page.get_by_role("button", name="Set 63 px").click()
    expect(alert(page)).to_have_count(0)
    expect(stage(page)).to_have_attribute("data-input", "3 × 63 × 63")
    link_says(page, size="63")
    slide(page, "Input size, px", "ArrowLeft")
    expect(alert(page)).to_contain_text("features.12")


def test_a_layer_is_picked_by_hand_and_by_key_and_stays_marked_below(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=tiny_vgg")
    stage(page).focus()
    for key in ("Home", "ArrowRight", "Enter"):
        stage(page).press(key)
    expect(layer_card(page)).to_contain_text("3·3·3·10 + 10 = 280")
    link_says(page, layer="0")
    hover(page, "features.2")
    page.mouse.down()
    page.mouse.up()
    expect(layer_card(page)).to_contain_text("3·3·10·10 + 10 = 910")
    expect(layer_card(page)).to_contain_text("60·60·3·3·10·10 = 3,240,000")
    link_says(page, layer="2")
    wall = open_tab(page, "Feature maps").locator(".st-key-architecture-wall")
    rows = wall.get_by_test_id("map-wall-row")
    expect(rows).to_have_count(12)
    expect(rows.nth(2)).to_have_class(re.compile("cl-row-picked"))
    rows.nth(4).locator(".cl-row-maps").click(position={"x": 10, "y": 10})
    link_says(page, layer="4")
    expect(layer_card(page)).to_contain_text("⌊(60 + 2·0 − 2) / 2⌋ + 1 = 30")
    expect(rows.nth(4)).to_have_class(re.compile("cl-row-picked"))
    expect(rows.nth(2)).not_to_have_class(re.compile("cl-row-picked"))
    expect(stage(page)).to_have_attribute("data-pick", "4")
    expect(page.locator(".st-key-architecture-all").get_by_test_id("map-wall-row")).to_contain_text("features.4")


def test_a_row_of_the_table_and_a_bar_point_to_a_layer(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=tiny_vgg")
    table = page.get_by_role("tabpanel", name="Layer by layer").get_by_test_id("stDataFrame")
    expect(cells(page.get_by_role("tabpanel", name="Layer by layer"))).to_contain_text(["features.0", "10 × 62 × 62"])
    table.scroll_into_view_if_needed()
    table.click(position={"x": 12, "y": 3 * 35 + 17})  # the third row's box, below the head; rows are 35 px high
    link_says(page, layer="2")
    bars = page.locator(".js-plotly-plot .barlayer .point path")
    expect(bars).to_have_count(4 * 12)
    bars.nth(11).click(force=True)  # as high as 16,910 of 19,920 parameters
    link_says(page, layer="11")
    expect(layer_card(page)).to_contain_text("1,690·10 + 10 = 16,910")


def test_the_probabilities_add_up_and_follow_the_picture(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=tiny_vgg&tab=Feature+maps")
    panel = page.get_by_role("tabpanel", name="Feature maps")
    expect(panel).to_contain_text("Weights trained on CIFAR-10")
    expect(cells(panel)).to_have_count(4 * 10)
    before = cells(panel).all_inner_texts()
    assert sum(map(float, before[3::4])) == pytest.approx(100, abs=1e-3)
    page.get_by_role("button", name="Change image").click()
    page.get_by_role("dialog").get_by_role("button", name="Rocket").click()
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Rocket")
    expect(cells(panel).nth(1)).not_to_have_text(before[1])
    after = cells(panel).all_inner_texts()
    assert sum(map(float, after[3::4])) == pytest.approx(100, abs=1e-3)
    assert sorted(before[::4]) == sorted(after[::4])


def test_a_click_on_the_map_moves_the_window(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=tiny_vgg&tab=What+a+unit+sees&layer=4&unit=3,0")
    panel = page.get_by_role("tabpanel", name="What a unit sees")
    # Two 3 × 3 and a 2 × 2 pooling see 6 px and step by 2.
    expect(panel.get_by_text("Rows 6–11, columns 0–5")).to_be_visible()
    field = panel.locator(".st-key-architecture-field-map").get_by_test_id("picture-stage")
    field.scroll_into_view_if_needed()
    box = field.bounding_box()
    assert box
    field.click(position={"x": box["width"] - 3, "y": 3})
    expect(panel.get_by_text("Rows 0–5, columns 58–63")).to_be_visible()
    link_says(page, unit="0%2C29")


def nets_offered(page: Page) -> list[str]:
    still(page)
    box = page.get_by_role("combobox", name="Net")
    page.get_by_role("heading", name="Architecture explorer").scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # a list closes when the page scrolls, as it does for a person
    box.click()
    expect(page.get_by_role("option", name="LeNet-5", exact=True)).to_be_visible()
    return page.get_by_role("option").all_inner_texts()


def own_name(page: Page) -> Locator:
    return page.get_by_role("tabpanel", name="Build your own").get_by_role("textbox", name="Name")


def layers_of(page: Page) -> Locator:
    return page.get_by_role("radiogroup", name="Layers").locator("label").filter(has_text="·")


def test_a_net_of_ones_own_is_changed_broken_mended_saved_and_deleted(
    visitor: Visit, browser: Browser, lab: str
) -> None:
    page = visitor.open("/architecture?net=tiny_vgg&tab=Build+your+own")
    page.get_by_role("button", name="Change a copy of Tiny VGG").click()
    channels = page.locator(".st-key-architecture-edit-0-conv-out_channels input")
    channels.fill("16")
    channels.press("Enter")
    # 3·3·3·16 + 16 = 448 in place of 280, and behind it 3·3·16·10 + 10 = 1,450 in place of 910.
    expect(metric(page)).to_have_text("20,628")

    layers_of(page).filter(has_text="10 · MaxPool").click()
    expect(page.get_by_text("Layer 10: MaxPool 2 × 2")).to_be_visible()
    for count in range(13, 17):
        page.get_by_role("button", name="Copy", exact=True).click()
        expect(layers_of(page)).to_have_count(count)
    # 13 → 6 → 3 → 1, and the fifth pooling finds nothing to pool.
    expect(alert(page)).to_contain_text("Layer 14 (MaxPool 2 × 2) gets 10 × 1 × 1")
    expect(layers_of(page).nth(15)).to_contain_text("Linear, 10")
    expect(layers_of(page).nth(0)).to_contain_text("Conv 3 × 3, 16")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(alert(page)).to_have_count(0)
    # 10·10 + 10 in place of 16,910.
    expect(metric(page)).to_have_text("3,828")

    own_name(page).fill("<img src=x onerror=window.hacked=1>")
    own_name(page).press("Enter")
    expect(page.get_by_test_id("stSidebar")).to_contain_text("<img src=x onerror=")
    page.get_by_role("button", name="Save").click()
    expect(alert(page)).to_contain_text("Choose another name")
    own_name(page).fill("Pools galore")
    own_name(page).press("Enter")
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Pools galore")
    page.get_by_role("button", name="Save").click()
    link_says(page, net="own%3APools+galore")
    assert page.evaluate("window.hacked") is None

    page.reload()
    visitor.settled()
    expect(page.get_by_role("combobox", name="Net")).to_have_value("Pools galore")
    expect(metric(page)).to_have_text("3,828")
    choose(page, "Net", "LeNet-5")
    expect(metric(page)).to_have_text("61,706")
    choose(page, "Net", "Pools galore")
    expect(metric(page)).to_have_text("3,828")

    stranger = visit(browser, lab)
    other = stranger.open(page.url.removeprefix(lab))
    expect(alert(other).first).to_contain_text("somebody's own net, which a link does not carry")
    expect(metric(other)).to_have_text("340,546")
    assert "Pools galore" not in nets_offered(other)
    other.context.close()

    page.get_by_role("tabpanel", name="Build your own").get_by_role("button", name="Delete").click()
    expect(metric(page)).to_have_text("340,546")
    expect(page.get_by_text("Your nets")).to_have_count(0)


def paste(page: Page, text: str) -> None:
    box = page.get_by_role("textbox", name="nn.Sequential(…), YAML or JSON")
    box.fill(text)
    box.press("Control+Enter")
    read = page.get_by_role("button", name="Read it")
    expect(read).to_be_enabled()
    still(page)
    read.click()


def test_pasted_code_is_read_and_never_run(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=tiny_vgg&tab=Build+your+own")
    page.get_by_text("Paste code, or open a file").click()
    for text, answer in (
        ('nn.Sequential(__import__("os").system("id"))', "Line 1, column 15"),
        ("nn.Sequential(" * 200 + ")" * 200, "nested"),
        ("name: a\nlayers:\n  - conv: : :", "Line 3, column 11"),
    ):
        paste(page, text)
        expect(alert(page)).to_contain_text(answer)
        expect(page.get_by_text("Traceback")).to_have_count(0)
        expect(metric(page)).to_have_text("19,920")
    paste(page, "nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 62 * 62, 10))")
    # 3·3·3·8 + 8 = 224, and 8·62·62·10 + 10 = 307,530.
    expect(metric(page)).to_have_text("307,754")
    expect(stage(page)).to_have_attribute("data-units", "4")
    expect(layers_of(page)).to_have_count(4)
    link_says(page, net="draft")


def test_a_file_is_opened_as_a_net(visitor: Visit, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(
        "name: Two\ninput_shape: [1, 8, 8]\nlayers:\n- flatten\n- {kind: linear, out_features: 2}\n"
    )
    page = visitor.open("/architecture?net=tiny_vgg&tab=Build+your+own")
    page.get_by_text("Paste code, or open a file").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "two.yaml")
    expect(page.get_by_text("two.yaml")).to_be_visible()
    expect(page.get_by_role("button", name="Read it")).to_be_enabled()
    still(page)
    page.get_by_role("button", name="Read it").click()
    # 64·2 + 2
    expect(metric(page)).to_have_text("130")
    expect(own_name(page)).to_have_value("Two")


def test_two_visitors_do_not_see_each_others_drafts(browser: Browser, lab: str) -> None:
    guests = [visit(browser, lab), visit(browser, lab)]
    one, two = (guest.open("/architecture?net=tiny_vgg&tab=Build+your+own") for guest in guests)
    one.get_by_role("button", name="Start with a small net").click()
    # 3·3·3·8 + 8 = 224, and 8·16·16·10 + 10 = 20,490.
    expect(metric(one)).to_have_text("20,714")
    two.get_by_role("button", name="Change a copy of Tiny VGG").click()
    expect(metric(two)).to_have_text("19,920")
    expect(two.get_by_role("combobox", name="Net")).to_have_value("My Tiny VGG (draft)")
    assert [name for name in nets_offered(two) if "draft" in name] == ["My Tiny VGG (draft)"]
    slide(one, "Input size, px", "ArrowRight")
    expect(stage(one)).to_have_attribute("data-input", "3 × 33 × 33")
    expect(metric(one)).to_have_text("20,714")
    for guest in guests:
        guest.page.context.close()
        assert guest.errors == []


def test_tabs_compare_count_and_look_back(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=image_classification")
    expect(metric(page)).to_have_text("81,302")
    panel = open_tab(page, "Compare")
    expect(panel.get_by_role("row", name="parameters")).to_contain_text("1.32 ×")  # 81,302 / 61,706
    choose(page, "Compare with", "Tiny VGG")
    expect(panel.get_by_role("row", name="parameters")).to_contain_text("4.08 ×")  # 81,302 / 19,920
    link_says(page, **{"with": "tiny_vgg"})
    panel = open_tab(page, "Why convolutions")
    for told in ("109,184 weights", "16,522 parameters", "a factor of 6.6", "3.9 times more parameters"):
        expect(panel).to_contain_text(told)
    slide(page, "Kernel, px", "ArrowLeft")
    expect(panel).to_contain_text("3·3·1·32 + 32 = 320")
    link_says(page, **{"count.kernel": "3"})
    panel = open_tab(page, "Through the years")
    expect(panel.locator(".js-plotly-plot").first).to_contain_text("ResNet-152")
    panel.get_by_text("Year", exact=True).click()
    expect(panel.locator(".xtitle").filter(has_text="year of publication")).to_be_visible()
    panel.get_by_test_id("stDataFrame").hover()
    page.mouse.wheel(0, 150)
    expect(cells(panel).filter(has_text="ResNet-152")).to_have_count(2)
    scores = [float(text) for text in cells(panel).all_inner_texts() if re.fullmatch(r"\d\d\.\d+", text)]
    assert {78.31, 82.28} <= {round(score, 2) for score in scores}


def downloaded(page: Page, button: Locator) -> Path:
    with page.expect_download() as saved:
        button.click()
    return saved.value.path()


def test_the_net_is_taken_away_as_text(visitor: Visit, tmp_path: Path) -> None:
    page = visitor.open("/architecture?net=tiny_vgg&tab=As+text")
    panel = page.get_by_role("tabpanel", name="As text")
    expect(panel).to_contain_text("Total params: 19,920")
    table = downloaded(page, panel.get_by_role("button", name="Table, CSV")).read_text()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == 12
    assert sum(int(row["num_params"]) for row in rows) == 19_920
    assert rows[0]["output_shape"] == "10x62x62"
    panel.get_by_role("tab", name="PyTorch").click()
    source = downloaded(page, panel.get_by_role("button", name="Download", exact=True))
    py_compile.compile(str(source), cfile=str(tmp_path / "net.pyc"), doraise=True)
    assert "nn.Conv2d(3, 10, 3)" in source.read_text()


def test_chips_set_the_page_up_and_blocks_are_opened(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=tiny_vgg&size=70")
    expect(alert(page)).to_contain_text("classifier.1")
    page.get_by_role("button", name="Where the parameters sit").click()
    expect(stage(page)).to_have_attribute("data-input", "1 × 28 × 28")
    expect(metric(page)).to_have_text("61,706")
    expect(page.get_by_text("the first linear layer holds most")).to_be_visible()
    page.get_by_role("button", name="The way around").click()
    expect(metric(page)).to_have_text("11,689,512")
    closed = int(stage(page).get_attribute("data-units") or 0)
    page.get_by_test_id("net-expand").click()
    expect(stage(page)).not_to_have_attribute("data-units", str(closed))
    assert int(stage(page).get_attribute("data-units") or 0) > closed
    page.get_by_test_id("net-collapse").click()
    page.get_by_test_id("net-fit").click()
    stage(page).focus()
    stage(page).press("End")
    stage(page).press("Enter")
    expect(layer_card(page)).to_contain_text("512·1,000 + 1,000 = 513,000")


def test_a_hostile_link_is_answered_in_words(visitor: Visit) -> None:
    page = visitor.open(
        "/architecture?net=%3Cscript%3Ewindow.hacked=1%3C/script%3E&size=-1&layer=999999&tab=xyz&unit=1e9,0&seed=abc"
    )
    notes = alert(page).filter(has_text="could not be followed")
    for sentence in ("there is no net called '<script>", "size is '-1'", "layer is '999999'", "tab is 'xyz'"):
        expect(notes.filter(has_text=sentence).first).to_be_visible()
    for sentence in ("unit is '1e9'", "seed is 'abc'"):
        expect(notes.filter(has_text=sentence).first).to_be_visible()
    assert page.evaluate("window.hacked") is None
    expect(metric(page)).to_have_text("340,546")
    expect(page.get_by_text("Something broke")).to_have_count(0)
    visitor.open("/architecture?net=tiny_vgg&weights=../../x&layer=9998&unit=4096,4096&tab=What+a+unit+sees")
    expect(page.get_by_role("tabpanel", name="What a unit sees").get_by_text("Rows ")).to_be_visible()
    expect(page.get_by_text("Something broke")).to_have_count(0)


def test_net_and_weights_are_chosen_in_the_sidebar(visitor: Visit) -> None:
    page = visitor.open("/architecture?net=tiny_vgg")
    sidebar, dialog = page.get_by_test_id("stSidebar"), page.get_by_role("dialog")

    def change_to(net: str) -> None:
        sidebar.get_by_role("button", name="Change net").click()
        still(page)
        dialog.get_by_role("combobox", name="Net").click()
        page.get_by_role("option", name=net, exact=True).click()
        still(page)

    change_to("LeNet-5")
    dialog.get_by_role("button", name="Use this net").click()
    expect(dialog).to_be_hidden()
    expect(metric(page)).to_have_text("61,706")
    expect(sidebar).to_contain_text("trained on MNIST")

    sidebar.get_by_role("button", name="Change net").click()
    dialog.get_by_text("Random, drawn from a seed").click()
    seed = dialog.get_by_role("spinbutton", name="Seed")
    seed.fill("5")
    seed.press("Enter")
    still(page)
    dialog.get_by_role("button", name="Use this net").click()
    expect(dialog).to_be_hidden()
    expect(sidebar).to_contain_text("random weights, seed 5")
    link_says(page, net="lenet5", weights="random", seed="5")

    change_to("ResNet-18")
    dialog.get_by_text("to download").click()
    dialog.get_by_role("button", name="Download").click()
    expect(dialog.get_by_test_id("stAlert")).to_contain_text(
        re.compile(r"resnet18-f37072fd\.pth could not be fetched: .*Check the network.*put the file .*into", re.DOTALL)
    )
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(metric(page)).to_have_text("61,706")
    choose(page, "Net", "ResNet-18")
    expect(metric(page)).to_have_text("11,689,512")
    expect(sidebar).to_contain_text("random weights, seed 5")
