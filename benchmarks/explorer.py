"""From a moved size slider to the new drawing of the net, in headless Chromium, for every net of the table.

The clock starts at the key press and stops at the frame after the drawing has been painted anew: its input block names
another size. Every size is one that neither browser nor server has seen before. A rerun that changes nothing in the
drawing (the bars are switched off and on) is measured in turn with it. Also the first picture of the warm page: from
the request to the frame after the drawing.

    python -m benchmarks.explorer --moves 10
"""

import argparse
import os
import platform
import shutil
import statistics
import time

from playwright.sync_api import Page, sync_playwright

from benchmarks.server import percentile, serving
from cnnlab.nets import ARCHITECTURES

LIMIT_MS, LIMIT_FIRST_MS = 500, 2000

# Starts the clock at a key press; stops it at the frame after the drawing says that it shows something else.
WATCH = """
() => {
  const drawing = () => {
    for (const host of document.querySelectorAll(".st-key-architecture-diagram *")) {
      const shown = host.shadowRoot?.querySelector("[data-input]");
      if (shown) return shown.dataset.input;
    }
  };
  window.drawing = drawing;
  window.lastMs = null;
  document.addEventListener("keydown", () => {
    const begin = performance.now(), before = drawing();
    const look = () => {
      if (drawing() === before) requestAnimationFrame(look);
      else requestAnimationFrame(() => { window.lastMs = performance.now() - begin; });
    };
    requestAnimationFrame(look);
  }, true);
  return drawing();
}
"""


def moved(page: Page, key: str) -> float:
    """Press an arrow key on the slider and wait for the drawing it brings; milliseconds."""
    page.evaluate("window.lastMs = null")
    page.keyboard.press(key)
    page.wait_for_function("window.lastMs !== null", timeout=20_000)
    ms = page.evaluate("window.lastMs")
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    time.sleep(0.3)  # a hand pauses
    return ms


def main() -> None:
    """Move the slider of each net; print the times; exit 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=10)
    parser.add_argument("--net", choices=ARCHITECTURES, action="append")
    wanted = parser.parse_args()
    chrome = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    if chrome is None:
        raise SystemExit("No Chromium or Chrome on this machine; install Debian's `chromium` or Google Chrome.")
    missed = False
    with serving() as lab, sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=chrome, args=["--no-sandbox", "--disable-gpu"])
        print(f"{platform.machine()}, {os.cpu_count()} cores, Chromium {window.version}, {wanted.moves} moves a net")
        firsts = []
        for key in wanted.net or ARCHITECTURES:
            page = window.new_context(viewport={"width": 1440, "height": 900}).new_page()
            for attempt in range(2):  # the first opening of a net warms the server up
                begin = time.perf_counter()
                page.goto(f"{lab.address}/architecture?net={key}")
                page.get_by_role("slider", name="Input size").wait_for(timeout=60_000)
                page.evaluate(WATCH)
                page.wait_for_function("window.drawing()", timeout=60_000)
                if attempt:
                    firsts.append((time.perf_counter() - begin) * 1000)
                time.sleep(2)
            page.get_by_role("slider", name="Input size").focus()
            times = []
            for move in range(wanted.moves + 2):
                ms = moved(page, "ArrowRight")
                if move >= 2:
                    times.append(ms)
            median = statistics.median(times)
            missed |= median >= LIMIT_MS
            print(f"{key:22s} median {median:5.0f} ms   p95 {percentile(times, 0.95):5.0f} ms")
            page.context.close()
        window.close()
    first = statistics.median(firsts)
    print(f"first picture, warm    median {first:5.0f} ms   p95 {percentile(firsts, 0.95):5.0f} ms")
    if missed or first >= LIMIT_FIRST_MS:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
