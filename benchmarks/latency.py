"""From a moved slider to the new picture on the screen, in headless Chromium, against a rerun that changes nothing.

The orientation of a Gabor kernel is turned with the arrow keys, on a 512 × 512 image; every picture is one that the
browser has not seen before. The clock starts at the key press and stops at the frame after the result's canvas has
been painted anew. A rerun without work is measured in
turn with it: a slider in an empty Streamlit app whose change draws one line of text.

    python -m benchmarks.latency --moves 30
"""

import argparse
import os
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.server import ROOT, percentile, serving

LIMIT_MEDIAN_MS, LIMIT_P95_MS = 150, 300

EMPTY = """
import streamlit as st

st.title("Empty")
st.markdown(f"value {st.slider('Orientation', 0, 180)}")
"""

# Starts the clock at a key press; stops it at the frame after `mark()` has given something new.
WATCH = """
(kind) => {
  const hosts = () => [...document.querySelectorAll(".st-key-kernels-result *")];
  const digest = (host) => host.shadowRoot?.querySelector("[data-digest]")?.dataset.digest;
  const texts = () => [...document.querySelectorAll("[data-testid='stMarkdown']")].map((each) => each.innerText);
  const mark = () => kind === "picture"
    ? hosts().map(digest).find(Boolean)
    : texts().find((text) => text.startsWith("value"));
  window.lastMs = null;
  document.addEventListener("keydown", () => {
    const begin = performance.now(), before = mark();
    const look = () => {
      if (mark() === before) requestAnimationFrame(look);
      else requestAnimationFrame(() => { window.lastMs = performance.now() - begin; });
    };
    requestAnimationFrame(look);
  }, true);
  return mark();
}
"""


def moved(page: Page, key: str) -> float:
    """Press an arrow key on the slider and wait for what it brings; milliseconds."""
    page.evaluate("window.lastMs = null")
    page.keyboard.press(key)
    page.wait_for_function("window.lastMs !== null", timeout=10_000)
    time.sleep(0.25)  # a hand pauses, and what the last move started has ended
    return page.evaluate("window.lastMs")


def main() -> None:
    """Start both apps, move both sliders in turn, print the times; exit 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=30)
    wanted = parser.parse_args()
    chrome = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    if chrome is None:
        raise SystemExit("No Chromium or Chrome on this machine; install Debian's `chromium` or Google Chrome.")
    with tempfile.TemporaryDirectory() as folder:
        # The same server with the same settings, and nothing on its page.
        shutil.copytree(ROOT / ".streamlit", Path(folder, ".streamlit"))
        Path(folder, "empty.py").write_text(EMPTY)
        Path(folder, "app.py").write_text('import streamlit as st\n\napp = st.App("empty.py")\n')
        with serving() as lab, serving(folder=Path(folder)) as empty, sync_playwright() as driver:
            window = driver.chromium.launch(executable_path=chrome, args=["--no-sandbox", "--disable-gpu"])
            pages = {}
            for kind, address in (
                ("picture", f"{lab.address}/kernels?image=astronaut&kernel=gabor"),
                ("text", empty.address),
            ):
                page = window.new_context(viewport={"width": 1440, "height": 900}).new_page()
                page.goto(address)
                page.get_by_role("slider", name="Orientation").wait_for(timeout=60_000)
                time.sleep(3)
                page.evaluate(WATCH, kind)
                page.get_by_role("slider", name="Orientation").focus()
                pages[kind] = page
            times: dict[str, list[float]] = {"picture": [], "text": []}
            for move in range(wanted.moves + 4):
                for kind, page in pages.items():
                    page.bring_to_front()
                    page.get_by_role("slider", name="Orientation").focus()
                    ms = moved(page, "ArrowRight")
                    if move >= 4:  # the first ones warm up
                        times[kind].append(ms)
            version = window.version
            window.close()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Chromium {version}, {wanted.moves} moves each, in turn")
    for kind, label in (("picture", "slider to new picture"), ("text", "empty rerun")):
        print(
            f"{label:22s} median {statistics.median(times[kind]):5.0f} ms   p95 {percentile(times[kind], 0.95):5.0f} ms"
        )
    ratio = statistics.median(a / b for a, b in zip(times["picture"], times["text"], strict=True))
    print(f"picture / empty rerun  {ratio:.2f} (median of pairs)")
    if statistics.median(times["picture"]) >= LIMIT_MEDIAN_MS or percentile(times["picture"], 0.95) >= LIMIT_P95_MS:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
