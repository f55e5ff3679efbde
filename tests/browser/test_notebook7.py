"""Notebook 7: no status bar, one document a page, the same panel."""

from __future__ import annotations

import re

from lab_support import RunningLab, row
from playwright.sync_api import BrowserContext, expect
from server_support import TOKEN, clip


def test_panel_and_indicator_are_there_and_live(lab: RunningLab, context: BrowserContext) -> None:
    lab.notebook("seven.ipynb", "import jupyter_export as jx\njx.panel()")
    page = context.new_page()
    page.goto(f"{lab.url}notebooks/seven.ipynb?token={TOKEN}")
    expect(page.locator(".jp-Notebook")).to_be_visible(timeout=60_000)
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate(
        """async () => {
          await jupyterapp.restored;
          await jupyterapp.shell.currentWidget.sessionContext.ready;
          await jupyterapp.commands.execute('notebook:run-all-cells');
        }"""
    )
    panel = page.locator(".jp-OutputArea .jpx-Panel")
    expect(panel.locator(".jpx-Link")).to_have_text("Live", timeout=60_000)
    job = lab.submit_long("seven.mp4")
    expect(row(panel, job).locator("progress")).to_be_visible()
    indicator = page.locator(".jpx-StatusButton")
    expect(indicator).to_have_text("1 export running")
    indicator.click()
    line = page.locator(f".jpx-Popover [data-job='{job['id']}']")
    expect(line).to_be_in_viewport()
    line.click()
    sidebar = page.locator("#jupyter-export-panel")
    expect(row(sidebar, job)).to_have_attribute("data-selected", "true")
    expect(row(sidebar, job)).to_be_visible()
    row(panel, job).get_by_label("Cancel").click()
    expect(indicator).to_be_hidden()


def test_the_page_of_files_has_the_indicator_and_the_panel_too(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = context.new_page()
    page.goto(f"{lab.url}tree?token={TOKEN}")
    expect(page.locator(".jp-DirListing")).to_be_visible(timeout=60_000)
    job = lab.submit_long("tree.mp4")
    indicator = page.locator(".jpx-StatusButton")
    expect(indicator).to_have_text("1 export running")
    indicator.click()
    page.locator(f".jpx-Popover [data-job='{job['id']}']").click()
    sidebar = page.locator("#jupyter-export-panel")
    expect(row(sidebar, job).locator("progress")).to_be_visible()
    row(sidebar, job).get_by_label("Cancel").click()
    expect(indicator).to_be_hidden()
    done = lab.submit(clip("subtitles_mov_text.mp4", "in-the-tree.mp4"))
    lab.until(done["id"], "completed")
    # The finished file appears in the list by itself, and is announced here as well.
    expect(
        page.locator(".jp-DirListing-itemText", has_text=re.compile(r"^in-the-tree\.mp4$"))
    ).to_be_visible()
    expect(page.locator(".Toastify__toast", has_text="in-the-tree.mp4 is ready")).to_be_visible()


def test_the_editor_is_there_too_and_moves_the_crop(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.add("bunny_720p25.mp4")
    code = "jx.editor('bunny_720p25.mp4', 0, 1, size=(360, 360), output='seven-edited.mp4')"
    lab.notebook("editor7.ipynb", f"import jupyter_export as jx\n{code}")
    page = context.new_page()
    page.goto(f"{lab.url}notebooks/editor7.ipynb?token={TOKEN}")
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
    page.evaluate(
        """async () => {
          await jupyterapp.restored;
          await jupyterapp.shell.currentWidget.sessionContext.ready;
          await jupyterapp.commands.execute('notebook:run-all-cells');
        }"""
    )
    editor = page.locator(".jp-OutputArea .jpx-Editor")
    expect(editor.locator(".jpx-Stage > img")).to_be_visible(timeout=60_000)
    crop = editor.locator(".jpx-Region[data-type=crop]")
    crop.focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(crop).to_have_attribute("aria-label", "Crop: left 290, top 0, 720 × 720")
    editor.get_by_role("button", name="Export", exact=True).click()
    expect(editor.locator(".jpx-Line")).to_have_attribute("data-state", "completed", timeout=60_000)
    (job,) = [j for j in lab.http.get("jobs").json()["jobs"] if "seven-edited" in j["output"]]
    assert job["spec"]["sources"][0]["effects"][0]["keyframes"][0]["x"] == 290
