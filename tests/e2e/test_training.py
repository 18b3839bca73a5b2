"""A person who trains a net: from the first look to a finished run, with reloads on the way."""

import re
import time

from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.lab import Visit, choose, visit

START_S = 60_000  # a fresh server loads PyTorch for the first run
RUN_S = 120_000


def button(page: Page, name: str) -> Locator:
    return page.get_by_test_id("stMain").get_by_role("button", name=name, exact=False)


def curves(page: Page) -> Locator:
    return page.get_by_test_id("live-curves")


def badge(page: Page, state: str) -> Locator:
    return page.locator(".st-key-training-title").get_by_text(state, exact=True)


def steer(page: Page, name: str, state: str) -> None:
    """Press a button until the run is in a state: a page that is just being drawn anew may miss a click."""
    for _ in range(3):
        button(page, name).click()
        try:
            expect(badge(page, state)).to_be_visible(timeout=START_S / 3)
        except AssertionError:
            continue
        return
    expect(badge(page, state)).to_be_visible()


def start(page: Page) -> str:
    """Start what is set; the id of the run."""
    button(page, "Start training").click()
    expect(curves(page)).to_be_visible(timeout=START_S)
    expect(page).to_have_url(re.compile("run=[0-9a-z]{26}"))
    return page.url.partition("run=")[2][:26]


def test_the_first_look_then_a_run_to_its_end(visitor: Visit) -> None:
    page = visitor.open("/training?epochs=2&batch_size=128")
    expect(page.get_by_text("The learning rate over the run")).to_be_visible()
    expect(page.get_by_test_id("stMetricValue")).to_have_text(re.compile(r"[0-9.]+ s"), timeout=START_S)
    start(page)
    expect(badge(page, "Finished")).to_be_visible(timeout=RUN_S)
    expect(page.locator(".st-key-training-panel")).to_contain_text("best: epoch")
    expect(button(page, "Pause")).to_have_count(0)


def test_a_run_is_paused_found_again_after_a_reload_and_stopped(visitor: Visit) -> None:
    page = visitor.open("/training?epochs=500")
    run = start(page)
    expect(badge(page, "Training")).to_be_visible(timeout=START_S)
    steer(page, "Pause", "Paused")
    button(page, "One step").click()
    page.reload()
    expect(badge(page, "Paused")).to_be_visible(timeout=START_S)
    steer(page, "Resume", "Training")
    # Who comes without a link is shown what goes on.
    page.goto(visitor.address + "/training")
    expect(page).to_have_url(re.compile(f"run={run}"))
    steer(page, "Stop", "Stopped")
    expect(button(page, "Go on where it stopped")).to_be_visible()


def test_the_curves_stay_in_place_while_the_numbers_beside_them_are_drawn_anew(visitor: Visit) -> None:
    page = visitor.open("/training?epochs=500")
    start(page)
    expect(badge(page, "Training")).to_be_visible(timeout=START_S)
    curves(page).evaluate("view => { view.dataset.mark = 'kept' }")
    time.sleep(3)  # three rounds of the numbers
    steer(page, "Pause", "Paused")
    expect(curves(page)).to_have_attribute("data-mark", "kept")
    steer(page, "Stop", "Stopped")


def test_two_visitors_see_each_others_runs_only_once_they_are_published(visitor: Visit, browser: Browser) -> None:
    page = visitor.open("/training?epochs=1")
    run = start(page)
    expect(badge(page, "Finished")).to_be_visible(timeout=RUN_S)
    other = visit(browser, visitor.address)
    theirs = other.open(f"/training?run={run}")
    expect(theirs.get_by_text("its owner has not published it")).to_be_visible()
    expect(curves(theirs)).to_have_count(0)
    theirs.context.close()


def test_changed_settings_mark_the_recipe_and_go_back(visitor: Visit) -> None:
    page = visitor.open("/training")
    choose(page, "Optimiser", "SGD")
    expect(page.get_by_text("changed", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile("optimizer=sgd"))
    button(page, "Back to the recipe").click()
    expect(page.get_by_text("changed", exact=True)).to_have_count(0)
    expect(page).not_to_have_url(re.compile("optimizer"))
