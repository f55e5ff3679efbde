"""What ends is announced: to whoever looks, wherever it was started, and once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from lab_support import RunningLab, new_context, open_lab, ready, row, show_sidebar
from playwright.sync_api import Browser, BrowserContext, Page, expect
from server_support import clip


def toasts(page: Page, text: str) -> int:
    return page.locator(".Toastify__toast", has_text=text).count()


def submit_in_view(lab: RunningLab, page: Page, spec: dict[str, Any]) -> dict[str, Any]:
    """Submit what starts when the page knows of it: what ended before that is no news to it."""
    lab.post("queue/pause")
    job = lab.submit(spec)
    expect(page.locator(".jpx-StatusButton")).to_be_visible(timeout=30_000)
    lab.post("queue/resume")
    return job


def test_two_exports_at_once_have_two_bars_two_notifications_and_complete_two_projects(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_lab(context, lab)
    panel = show_sidebar(page)
    lab.add_long()
    jobs = [lab.submit_long(f"{name}.mp4", end=25, project=name) for name in ("first", "second")]
    for job in jobs:
        expect(row(panel, job).locator("progress")).to_be_visible()
    expect(page.locator(".jpx-StatusButton")).to_have_text("2 exports running")
    page.locator(".jpx-StatusButton").click()
    expect(page.locator(".jpx-Popover progress")).to_have_count(2)
    page.locator(f".jpx-Popover [data-job='{jobs[1]['id']}']").click()
    expect(row(panel, jobs[1])).to_have_attribute("data-selected", "true")
    for job in jobs:
        expect(row(panel, job)).to_have_attribute("data-state", "completed", timeout=120_000)
        expect(row(panel, job).locator(".jpx-Project")).to_contain_text("complete")
        expect(
            page.locator(".Toastify__toast", has_text=f"{job['output']} is ready")
        ).to_be_visible()
    expect(page.locator(".jpx-StatusItem")).to_be_hidden()


def test_what_ended_while_the_browser_was_closed_is_announced_once_on_return(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_lab(context, lab)
    expect(show_sidebar(page).locator(".jpx-Link")).to_have_text("Live")
    page.close()
    job = lab.submit(clip("subtitles_mov_text.mp4", "missed.mp4"))
    lab.until(job["id"], "completed")
    page = open_lab(context, lab)
    expect(page.locator(".Toastify__toast", has_text="missed.mp4 is ready")).to_have_count(1)
    page.reload()
    ready(page)
    expect(row(show_sidebar(page), job)).to_be_visible()
    assert toasts(page, "missed.mp4") == 0


def test_a_browser_that_was_never_here_is_not_told_of_the_past(
    lab: RunningLab, browser: Browser
) -> None:
    job = lab.submit(clip("subtitles_mov_text.mp4", "past.mp4"))
    lab.until(job["id"], "completed")
    context = new_context(browser)
    page = open_lab(context, lab)
    expect(row(show_sidebar(page), job)).to_be_visible()
    assert toasts(page, "past.mp4") == 0
    context.close()


def test_a_failure_is_announced_with_its_reason_and_can_be_retried(
    lab: RunningLab, context: BrowserContext
) -> None:
    settings = f"{lab.url}lab/api/settings/jupyter-export:plugin"
    lab.http.put(settings, json={"raw": '{"seconds": 1}'}).raise_for_status()
    page = open_lab(context, lab)
    panel = show_sidebar(page)
    expect(panel.locator(".jpx-Link")).to_have_text("Live")
    job = lab.submit_doomed("doomed-output.mp4")
    toast = page.locator(".Toastify__toast", has_text="doomed-output.mp4 failed")
    expect(toast).to_contain_text("doomed.mp4", timeout=60_000)
    expect(row(panel, job).locator(".jpx-Error")).to_contain_text("doomed.mp4")
    # Whatever the setting says, there is time to read it.
    page.wait_for_timeout(9_000)
    expect(toast).to_be_visible(timeout=100)
    lab.http.put(settings, json={"raw": "{}"}).raise_for_status()
    lab.add("subtitles_mov_text.mp4", "doomed.mp4")
    toast.get_by_text("Retry").click()
    lab.until(job["id"], "completed")
    expect(row(panel, job)).to_have_attribute("data-state", "completed")
    lab.root.joinpath("doomed.mp4").unlink()


def test_open_shows_the_file_and_the_file_browser_has_it_without_a_refresh(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_lab(context, lab)
    item = page.locator(".jp-DirListing-itemText", has_text=re.compile("^fresh.mp4$"))
    expect(page.locator(".jp-DirListing-item").first).to_be_visible()
    assert item.count() == 0
    job = submit_in_view(lab, page, clip("subtitles_mov_text.mp4", "fresh.mp4"))
    toast = page.locator(".Toastify__toast", has_text="fresh.mp4 is ready")
    expect(toast).to_be_visible(timeout=60_000)
    # JupyterLab itself looks every ten seconds; the toast is on screen earlier.
    expect(item).to_be_visible(timeout=3_000)
    toast.get_by_text("Open").click()
    # In JupyterLab itself, and it is this film that plays there.
    expect(page.locator(".lm-TabBar-tab.jp-mod-current", has_text="fresh.mp4")).to_be_visible()
    video = page.locator("#jp-main-dock-panel .jp-Document video")
    expect(video).to_be_visible()
    told = video.evaluate(
        """async video => {
          if (video.readyState < 1) {
            await new Promise(done => video.addEventListener('loadedmetadata', done));
          }
          return [video.videoWidth, video.duration, video.error];
        }"""
    )
    result = lab.until(job["id"], "completed")["result"]
    assert told == [300, pytest.approx(result["duration"], abs=0.1), None]


def test_reveal_shows_the_finished_file_in_its_folder(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_lab(context, lab)
    lab.add("subtitles_mov_text.mp4", "deep/down/source.mp4")
    submit_in_view(lab, page, clip("deep/down/source.mp4", "deep/down/shown.mp4"))
    toast = page.locator(".Toastify__toast", has_text="shown.mp4 is ready")
    expect(toast).to_be_visible(timeout=60_000)
    toast.get_by_text("Reveal").click()
    shown = page.locator(".jp-DirListing-item.jp-mod-selected", has_text="shown.mp4")
    expect(shown).to_be_visible()
