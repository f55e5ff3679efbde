"""Pages that cannot reach the server: everything goes through the kernel, on one connection."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from lab_support import RunningLab, new_context, open_lab, row, run_all
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from server_support import clip, eventually

PANEL = ".jp-OutputArea .jpx-Panel"
SHOW = "import jupyter_export as jx\njx.panel()"
BUSY = "import time\nfor _ in range(600): time.sleep(0.1)"


def cut_off(context: BrowserContext, pattern: str) -> BrowserContext:
    """Let nothing arrive whose address fits the pattern."""
    context.route(pattern, lambda route: route.abort())
    context.route_web_socket(pattern, lambda ws: ws.close())
    return context


@pytest.fixture
def blocked(browser: Browser) -> Iterator[BrowserContext]:
    """A browser whose requests to the server's part of the extension never arrive."""
    context = cut_off(new_context(browser), "**/base/jupyter-export/**")
    yield context
    context.close()


@pytest.fixture
def bare(browser: Browser) -> Iterator[BrowserContext]:
    """One that does not even have the extension for JupyterLab, only the widget."""
    context = cut_off(new_context(browser), "**/jupyter-export/**")
    yield context
    context.close()


def expect_relayed(panel: Locator) -> None:
    link = panel.locator(".jpx-Link")
    expect(link).to_contain_text("through the kernel", timeout=60_000)
    expect(link).to_contain_text("Live", timeout=30_000)


def feeds(lab: RunningLab) -> int:
    """The connections to the feed, as the server counts them."""
    headers = {"Authorization": f"token {lab.token}"}
    text = httpx.get(f"{lab.url}metrics", headers=headers, trust_env=False).text
    (count,) = re.findall(r"^jupyter_export_feed_clients (\S+)", text, re.MULTILINE)
    return int(float(count))


def end_kernels(lab: RunningLab) -> None:
    """The kernels of earlier tests go, and with them their connections."""
    headers = {"Authorization": f"token {lab.token}"}
    with httpx.Client(base_url=f"{lab.url}api/", headers=headers, trust_env=False) as api:
        for kernel in api.get("kernels").json():
            api.delete(f"kernels/{kernel['id']}").raise_for_status()
    eventually(lambda: feeds(lab) == 0)


def interrupt(page: Page) -> None:
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")


def test_a_page_that_cannot_reach_the_server_goes_through_the_kernel_even_while_it_is_busy(
    lab: RunningLab, bare: BrowserContext
) -> None:
    lab.notebook("relay.ipynb", SHOW, BUSY)
    page = open_lab(bare, lab, "relay.ipynb")
    # Both cells: from the panel's first moment on, the kernel is busy.
    run_all(page, wait=False)
    panel = page.locator(PANEL)
    expect_relayed(panel)
    job = lab.submit_long("relayed.mp4")
    expect(row(panel, job).locator("progress")).to_be_visible()
    row(panel, job).get_by_label("Cancel").click()
    expect(row(panel, job)).to_have_attribute("data-state", "cancelled")
    row(panel, job).get_by_label("Details").click()
    row(panel, job).get_by_text("Show log").click()
    expect(row(panel, job).locator(".jpx-Log")).to_contain_text("started state=running")
    # The kernel's status will not do: it is also that of the subshell, which was busy with us.
    expect(page.locator(".jp-InputPrompt").nth(1)).to_have_text("[*]:")
    interrupt(page)


def test_a_finished_file_plays_through_the_kernel(lab: RunningLab, blocked: BrowserContext) -> None:
    lab.notebook("film.ipynb", SHOW, BUSY)
    page = open_lab(blocked, lab, "film.ipynb")
    run_all(page, wait=False)
    panel = page.locator(PANEL)
    expect_relayed(panel)
    source = lab.add("bunny_720p25.mp4")
    job = lab.submit(
        clip(
            source,
            "film.mp4",
            encoding={"quality": "quality", "smart": False},
            sources=[{"path": source}],
        )
    )
    job = lab.until(job["id"], "completed")
    assert job["result"]["bytes"] > 2**20, "more than one piece"
    row(panel, job).get_by_label("Play").click()
    row(panel, job).get_by_role("button", name=re.compile("Fetch .* through the kernel")).click()
    video = row(panel, job).locator("video")
    expect(video).to_be_visible(timeout=60_000)
    told = video.evaluate(
        """async video => {
          const event = name => new Promise(done => video.addEventListener(name, done));
          if (video.readyState < 1) await event('loadedmetadata');
          video.currentTime = video.duration - 0.5;
          await event('ended');
          return [video.duration, video.currentTime, new URL(video.src).protocol];
        }"""
    )
    length = pytest.approx(job["result"]["duration"], abs=0.1)
    assert told == [length, length, "blob:"]
    interrupt(page)


def test_panels_of_one_kernel_share_one_connection_also_when_the_first_one_goes(
    lab: RunningLab, blocked: BrowserContext
) -> None:
    lab.notebook(
        "shared.ipynb",
        "import jupyter_export as jx\nfirst = jx.panel()\nfirst",
        "jx.panel()",
        "jx.panel()",
    )
    end_kernels(lab)
    page = open_lab(blocked, lab, "shared.ipynb")
    run_all(page)
    panels = page.locator(PANEL)
    expect(panels).to_have_count(3, timeout=60_000)
    for number in range(3):
        expect_relayed(panels.nth(number))
    eventually(lambda: feeds(lab) == 1)
    page.evaluate(
        """async code => {
          const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
          await kernel.requestExecute({ code }).done;
        }""",
        "first.close()",
    )
    job = lab.submit_long("carried-on.mp4")
    for number in (1, 2):
        expect(row(panels.nth(number), job).locator("progress")).to_be_visible(timeout=30_000)
    eventually(lambda: feeds(lab) == 1)
