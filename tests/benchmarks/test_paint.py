"""From a worker's progress to painted pixels, and hundreds of rows, in a real JupyterLab.

python3 tests/run.py tests/benchmarks/test_paint.py --benchmarks -s
"""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_support import chromium
from lab_support import RunningLab, new_context, open_lab, row, show_sidebar
from playwright.sync_api import Browser, expect
from server_support import clip

pytestmark = pytest.mark.benchmark

SECONDS = 15
ROWS = 500

#: Notes the wall clock whenever a new text of the row has been painted.
WATCH = """(row) => {
  window.painted = [];
  let last = '';
  const look = () => {
    const text = row.querySelector('.jpx-Speed')?.textContent ?? '';
    if (text !== last) {
      last = text;
      requestAnimationFrame(() => setTimeout(() => window.painted.push([Date.now(), text])));
    }
  };
  new MutationObserver(look).observe(row, {subtree: true, childList: true, characterData: true});
}"""

#: Scrolls through all rows and gives the distances of the frames in ms.
SCROLL = """async (list) => {
  const gaps = [];
  let last = performance.now();
  for (let y = 0; y < list.scrollHeight; y += 60) {
    list.scrollTop = y;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    gaps.push(now - last);
    last = now;
  }
  return gaps;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunningLab]:
    running = RunningLab(tmp_path / "lab")
    yield running
    running.quiet()
    running.stop()


def test_progress_is_painted_soon(lab: RunningLab, browser: Browser) -> None:
    page = open_lab(new_context(browser), lab)
    sidebar = show_sidebar(page)
    job = lab.submit_long("o.mp4")
    expect(row(sidebar, job).locator("progress")).to_be_visible()
    told: list[tuple[float, int]] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            frames = lab.job(job["id"])["progress"]["frames"]
            if not told or frames > told[-1][1]:
                told.append((time.time(), frames))
            time.sleep(0.003)

    thread = threading.Thread(target=poll)
    thread.start()
    row(sidebar, job).evaluate(WATCH)
    page.wait_for_timeout(SECONDS * 1000)
    painted = page.evaluate("window.painted")
    done.set()
    thread.join()
    delays = []
    for at, text in painted:
        found = re.search(r"([\d,]+) / [\d,]+ frames", text)
        if found:
            frames = int(found[1].replace(",", ""))
            known = next((t for t, n in told if n >= frames), None)
            if known is not None:
                delays.append(max(0.0, at / 1000 - known))
    delays.sort()
    p95 = delays[int(len(delays) * 0.95)]
    print(
        f"server's knowledge → painted: median {statistics.median(delays) * 1e3:.0f} ms, "
        f"p95 {p95 * 1e3:.0f} ms of {len(delays)}"
    )
    assert p95 < 0.5


def test_hundreds_of_rows_stay_fluid(lab: RunningLab, browser: Browser) -> None:
    source = lab.add("subtitles_mov_text.mp4")
    lab.post("queue/pause").raise_for_status()
    for n in range(ROWS):
        lab.submit(clip(source, f"{n}.mp4"))
    page = open_lab(new_context(browser), lab)
    sidebar = show_sidebar(page)
    expect(sidebar.locator(".jpx-Row")).to_have_count(ROWS, timeout=30_000)
    scroller = sidebar.locator(".jpx-List").first
    gaps = sorted(scroller.evaluate(SCROLL))
    print(
        f"{ROWS} rows, scrolling: median frame {statistics.median(gaps):.0f} ms, "
        f"p95 {gaps[int(len(gaps) * 0.95)]:.0f} ms, worst {gaps[-1]:.0f} ms of {len(gaps)}"
    )
