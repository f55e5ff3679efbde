"""For everybody: what axe-core finds in any face, in light and dark, and all of it by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from lab_support import AXE, RunningLab, complaints, open_lab, row, run_all, show_sidebar
from playwright.sync_api import BrowserContext, expect
from server_support import clip


def wide_awake(lab: RunningLab) -> dict[str, dict[str, Any]]:
    """A job in every state that a row can show for a while."""
    lab.add("subtitles_mov_text.mp4")
    jobs = {"completed": lab.submit(clip("subtitles_mov_text.mp4", "done.mp4", project="axe"))}
    lab.until(jobs["completed"]["id"], "completed")
    jobs["failed"] = lab.submit_doomed("failed.mp4")
    lab.until(jobs["failed"]["id"], "failed")
    jobs["running"] = lab.submit_long("running.mp4", project="runs")
    lab.until(jobs["running"]["id"], "running")
    lab.post("queue/pause")
    for name in ("waiting", "also-waiting"):
        jobs[name] = lab.submit(clip("subtitles_mov_text.mp4", f"{name}.mp4"))
    lab.post(f"jobs/{jobs['also-waiting']['id']}/pause")
    return jobs


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_no_face_has_anything_that_axe_complains_about(
    theme: str, lab: RunningLab, context: BrowserContext
) -> None:
    assert AXE.is_file(), "run `npm --prefix js install` first"
    lab.notebook("axe.ipynb", "import jupyter_export as jx\njx.panel()")
    page = open_lab(context, lab, "axe.ipynb")
    page.add_script_tag(path=str(AXE))
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    run_all(page)
    jobs = wide_awake(lab)
    sidebar = show_sidebar(page)
    cell = page.locator(".jp-OutputArea .jpx-Panel")
    for where in (sidebar, cell):
        for state in ("completed", "failed"):
            row(where, jobs[state]).get_by_label("Details").click()
        expect(row(where, jobs["running"]).locator("progress")).to_be_visible()
    row(sidebar, jobs["failed"]).get_by_text("Show log").click()
    found = complaints(page, "#jupyter-export-panel")
    found += complaints(page, ".jp-OutputArea .jpx-Cell")
    page.locator(".jpx-StatusButton").click()
    found += complaints(page, ".jpx-StatusItem")
    page.keyboard.press("Escape")
    for kind in ("clip", "concat", "framing", "compare"):
        page.evaluate(
            "path => jupyterapp.commands.execute('jupyter-export:new', {path})",
            "subtitles_mov_text.mp4",
        )
        form = page.locator("dialog.jpx-Dialog")
        expect(form.locator("option", has_text="Compare")).to_be_attached()
        form.get_by_label("Kind").select_option(kind)
        form.get_by_role("button", name="Export", exact=True).focus()
        found += [f"{kind}: {text}" for text in complaints(page, "dialog.jpx-Dialog")]
        page.keyboard.press("Escape")
        expect(form).to_have_count(0)
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    assert found == [], "\n".join(found)


def test_everything_can_be_done_with_the_keyboard_alone(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_lab(context, lab)
    # JupyterLab gives the focus to its launcher once, some time after its layout is restored.
    expect(page.locator(".jp-Launcher")).to_be_focused(timeout=30_000)
    panel = show_sidebar(page)
    lab.post("queue/pause")
    lab.add("subtitles_mov_text.mp4")
    names = ["first.mp4", "second.mp4"]
    first, second = (lab.submit(clip("subtitles_mov_text.mp4", name)) for name in names)
    expect(row(panel, second)).to_be_visible()
    keys = page.keyboard

    # From the last filter into the list, down one row, and open it.
    panel.get_by_role("button", name="Recent").focus()
    for _ in range(4):
        keys.press("Tab")
        if page.evaluate("() => document.activeElement.matches('.jpx-Row')"):
            break
    expect(row(panel, first)).to_be_focused()
    keys.press("ArrowDown")
    expect(row(panel, second)).to_be_focused()
    keys.press("Enter")
    expect(row(panel, second).locator("dl")).to_be_visible()
    expect(row(panel, second)).to_be_focused()

    # Its first buttons; one that goes away with its state leaves the focus in the row.
    keys.press("Tab")
    expect(row(panel, second).get_by_label("Pause", exact=True)).to_be_focused()
    keys.press("Enter")
    expect(row(panel, second)).to_have_attribute("data-state", "paused")
    expect(row(panel, second)).to_be_focused()
    keys.press("Tab")
    keys.press("Tab")
    expect(row(panel, second).get_by_label("Cancel")).to_be_focused()
    keys.press("Space")
    expect(row(panel, second)).to_have_attribute("data-state", "cancelled")
    keys.press("Tab")
    expect(row(panel, second).get_by_label("Retry")).to_be_focused()

    # The short list closes with Escape and gives the focus back.
    indicator = page.locator(".jpx-StatusButton")
    indicator.focus()
    keys.press("Enter")
    expect(page.locator(".jpx-Popover button").first).to_be_focused()
    keys.press("Escape")
    expect(page.locator(".jpx-Popover")).to_have_count(0)
    expect(indicator).to_be_focused()

    # The form, from the panel's own button and back.
    button = panel.get_by_label("Export video…")
    button.focus()
    keys.press("Enter")
    form = page.locator("dialog.jpx-Dialog")
    expect(form.get_by_label("Kind")).to_be_focused()
    keys.press("Escape")
    expect(form).to_have_count(0)
    expect(button).to_be_focused()
