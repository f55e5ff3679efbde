"""What an export would take, in the form; and its own row in the cell that asked for it."""

from __future__ import annotations

import re

from lab_support import RunningLab, open_lab, ready, run_all
from playwright.sync_api import BrowserContext, expect


def test_the_form_tells_what_the_export_would_take_before_it_is_queued(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.add("subtitles_mov_text.mp4", "asked/talk.mp4")
    page = open_lab(context, lab)
    page.evaluate("path => jupyterapp.commands.execute('filebrowser:open-path', {path})", "asked")
    item = page.locator(".jp-DirListing-itemText", has_text="talk.mp4")
    item.click(button="right")
    page.locator(".lm-Menu-item", has_text="Export Video…").click()
    form = page.locator("dialog.jpx-Dialog")
    told = form.locator(".jpx-Estimate")
    expect(told).to_have_text(re.compile(r"^About \d+ s · .* [kM]B"), timeout=30_000)
    expect(told).to_contain_text("segments are copied")
    whole = told.inner_text()
    form.get_by_label("To", exact=True).fill("0:01")
    expect(told).not_to_have_text(whole, timeout=30_000)
    # What cannot be estimated says nothing, and stands in nobody's way.
    form.get_by_label("To", exact=True).fill("soon")
    expect(told).to_have_text("", timeout=30_000)
    form.get_by_label("To", exact=True).fill("0:01")
    form.get_by_role("button", name="Export", exact=True).click()
    expect(form).to_have_count(0)
    (job,) = lab.http.get("jobs?project=asked").json()["jobs"]
    lab.until(job["id"], "completed")


def test_a_cell_whose_value_is_an_export_shows_it_live_and_after_a_reload(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.post("queue/pause").raise_for_status()
    code = "import jupyter_export as jx\njx.export(jx.clip('subtitles_mov_text.mp4', 0, 1))"
    lab.notebook("row.ipynb", code)
    page = open_lab(context, lab, "row.ipynb")
    run_all(page)
    cell = page.locator(".jp-OutputArea .jpx-Row")
    expect(cell).to_have_count(1, timeout=60_000)
    expect(cell).to_have_attribute("data-state", "queued")
    expect(page.locator(".jp-OutputArea .jpx-Choices")).to_have_count(0)  # not the whole panel
    lab.post("queue/resume").raise_for_status()
    expect(cell).to_have_attribute("data-state", "completed", timeout=60_000)
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    ready(page)
    expect(cell).to_have_attribute("data-state", "completed", timeout=60_000)
    # Of an export that the server does not know any more, what was saved of it is left.
    id = cell.get_attribute("data-job")
    lab.http.delete(f"jobs/{id}").raise_for_status()
    page.reload()
    ready(page)
    expect(page.locator(".jp-OutputArea")).to_contain_text(f"<export {id}", timeout=60_000)
