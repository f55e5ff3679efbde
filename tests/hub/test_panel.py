"""The panel in a browser that logs in at the hub, through its proxy, below a base URL."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_support import PASSWORD, RunningHub, User
from lab_support import new_context, notebook, ready, row, run_all, show_sidebar
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from server_support import clip, eventually

pytestmark = pytest.mark.timeout(600)
PANEL = ".jp-OutputArea .jpx-Panel"
EXPORT = """\
import jupyter_export as jx
spec = jx.clip("long.mp4", output="{output}", quality="quality", smart=False)
job = jx.connect().submit(spec)
jx.panel()
"""


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = new_context(browser)
    yield context
    context.close()


def log_in(context: BrowserContext, user: User) -> Page:
    """JupyterLab, after the hub's own login page."""
    page = context.new_page()
    page.goto(f"{user.url}lab")
    page.get_by_label("Username").fill(user.name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    ready(page)
    return page


def expect_progress(mine: Locator) -> None:
    """Wait until the row shows more than it does now."""
    bar = mine.locator("progress")
    expect(bar).not_to_have_attribute("value", bar.get_attribute("value") or "", timeout=60_000)


def test_an_export_from_a_notebook_is_seen_live_while_proxy_hub_and_server_come_back(
    hub: RunningHub, alice: User, bob: User, film: Path, context: BrowserContext
) -> None:
    shutil.copy(film, alice.root / "long.mp4")
    name = notebook(alice.root, "export.ipynb", EXPORT.format(output="seen-live.mp4"))
    os.chown(alice.root / name, alice.account.uid, alice.account.gid)
    page = log_in(context, alice)
    page.evaluate(
        "async () => { await jupyterapp.commands.execute('docmanager:open', "
        "{path: 'export.ipynb'}); }"
    )
    run_all(page)
    panel = page.locator(PANEL)
    expect(panel).to_be_visible(timeout=60_000)
    (job,) = alice.http.get("jobs/active").json()["jobs"]
    mine = row(panel, job)
    expect(mine).to_have_attribute("data-state", "running", timeout=60_000)
    side = row(show_sidebar(page), job)
    expect(side.locator("progress")).to_be_visible()
    mine.get_by_label("Pause").click()
    expect(mine).to_have_attribute("data-state", "paused")
    mine.get_by_label("Resume").click()
    expect(mine).to_have_attribute("data-state", "running")
    page.evaluate("async () => { await jupyterapp.shell.currentWidget.context.save(); }")

    os.kill(hub.proxy_pid(), signal.SIGKILL)
    expect(panel.locator(".jpx-Link")).not_to_have_attribute("data-link", "live")
    expect(panel.locator(".jpx-Link")).to_have_attribute("data-link", "live", timeout=60_000)
    hub.end(signal.SIGKILL)
    expect_progress(mine)
    hub.start()
    expect_progress(mine)
    expect(panel.locator(".jpx-Link")).to_have_attribute("data-link", "live", timeout=60_000)
    eventually(lambda: alice.job(job["id"])["segments"]["rendered"] > 0, seconds=120)

    alice.kill()
    eventually(lambda: not alice.seen, seconds=30)
    # By its class: JupyterLab's own dialog hides all else from the accessibility tree.
    trouble = panel.locator(".jpx-Trouble")
    expect(trouble).to_contain_text("Start it again", timeout=60_000)
    alice.start()
    expect(trouble).to_contain_text("not logged in any more. Reload it", timeout=60_000)
    page.reload()
    ready(page)
    expect(mine).to_have_attribute("data-state", "running", timeout=60_000)
    eventually(lambda: alice.job(job["id"])["segments"]["reused"] > 0, seconds=60)
    expect_progress(mine)
    alice.add("subtitles_mov_text.mp4")
    short = alice.submit(clip("subtitles_mov_text.mp4", "after-it-all.mp4"))
    expect(row(panel, short)).to_have_attribute("data-state", "completed", timeout=120_000)
    mine.get_by_label("Cancel").click()
    expect(mine).to_have_attribute("data-state", "cancelled", timeout=60_000)
    assert job["id"] not in bob.http.get("jobs").text


def test_the_page_of_another_user_is_refused_in_the_browser(
    hub: RunningHub, alice: User, bob: User, context: BrowserContext
) -> None:
    alice.add("subtitles_mov_text.mp4")
    job = alice.submit(clip("subtitles_mov_text.mp4", "not-for-bob.mp4"))
    alice.until(job["id"], "completed")
    page = log_in(context, bob)
    # From a page that is open: its cookies, and its server's XSRF token.
    ask = """async ([base, path]) => {
      const xsrf = document.cookie.match(/_xsrf=([^;]*)/)?.[1] ?? "";
      const headers = {"X-XSRFToken": decodeURIComponent(xsrf)};
      const answer = await fetch(base + path, {headers, redirect: "manual"});
      const feed = await new Promise(resolve => {
        const socket = new WebSocket(
          base.replace("http", "ws") + "jupyter-export/feed", "v1.feed.jupyter-export");
        socket.onopen = () => socket.send('{"type": "hello", "epoch": null, "since": null}');
        socket.onmessage = () => resolve("open");
        socket.onclose = () => resolve("refused");
      });
      return [answer.status || "redirected", feed];
    }"""
    paths = ("jupyter-export/jobs", f"jupyter-export/jobs/{job['id']}", "files/not-for-bob.mp4")
    assert page.evaluate(ask, [bob.url, paths[0]]) == [200, "open"]
    for path in paths:
        status, feed = page.evaluate(ask, [alice.url, path])
        assert status in {403, "redirected"} and feed == "refused", (path, status, feed)
    answer = page.goto(f"{alice.url}lab")
    assert answer is not None and answer.status == 403
    assert "not-for-bob" not in page.content()
