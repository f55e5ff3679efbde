"""Servers that die, networks that go away: nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from lab_support import RunningLab, open_lab, row, show_sidebar
from playwright.sync_api import BrowserContext, expect
from proxy import Proxy
from server_support import clip


@pytest.fixture
def proxy(lab: RunningLab) -> Iterator[Proxy]:
    proxy = Proxy(urlsplit(lab.url).port or 80)
    yield proxy
    proxy.close()


def test_a_killed_server_comes_back_and_so_does_the_panel(
    own_lab: RunningLab, context: BrowserContext
) -> None:
    page = open_lab(context, own_lab)
    panel = show_sidebar(page)
    own_lab.add_long(30)
    job = own_lab.submit_long("killed.mp4")
    expect(row(panel, job).locator("progress")).to_be_visible()
    own_lab.stop(signal.SIGKILL)
    expect(panel.locator(".jpx-Link")).to_have_text("Reconnecting")
    own_lab.start()
    expect(panel.locator(".jpx-Link")).to_have_text("Live", timeout=60_000)
    expect(row(panel, job)).to_have_attribute("data-state", "completed", timeout=120_000)
    assert (own_lab.root / "killed.mp4").is_file()


def test_a_cut_network_is_told_and_comes_back_by_itself_without_losing_an_event(
    lab: RunningLab, context: BrowserContext, proxy: Proxy
) -> None:
    page = open_lab(context, lab, url=lab.url.replace(str(urlsplit(lab.url).port), str(proxy.port)))
    panel = show_sidebar(page)
    expect(panel.locator(".jpx-Link")).to_have_text("Live")
    proxy.cut()
    expect(panel.locator(".jpx-Link")).not_to_have_text("Live")
    # All this happens while nobody here can hear of it.
    done = lab.submit(clip("subtitles_mov_text.mp4", "unheard.mp4"))
    lab.until(done["id"], "completed")
    cancelled = lab.submit_long("unheard-too.mp4")
    lab.post(f"jobs/{cancelled['id']}/cancel")
    lab.until(cancelled["id"], "cancelled")
    page.wait_for_timeout(10_000)
    proxy.mend()
    expect(panel.locator(".jpx-Link")).to_have_text("Live", timeout=30_000)
    expect(row(panel, done)).to_have_attribute("data-state", "completed")
    expect(row(panel, cancelled)).to_have_attribute("data-state", "cancelled")
    expect(page.locator(".Toastify__toast", has_text="unheard.mp4 is ready")).to_have_count(1)
