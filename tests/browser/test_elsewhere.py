"""An export that a notebook started, seen from anywhere else."""

from __future__ import annotations

from lab_support import RunningLab, open_lab, row, run_all, show_sidebar
from playwright.sync_api import BrowserContext, expect
from server_support import eventually

SUBMIT = """import jupyter_export as jx
how = {"quality": "quality", "smart": False}
spec = jx.clip("long.mp4", 0.5, 14, output="elsewhere.mp4", project="away", **how)
job = jx.connect().submit(spec)"""


def test_an_export_goes_on_when_its_notebook_is_closed_and_is_announced_elsewhere(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.add_long()
    lab.notebook("start.ipynb", SUBMIT)
    lab.notebook("other.ipynb", "1 + 1")
    page = open_lab(context, lab, "start.ipynb")
    run_all(page)
    eventually(lambda: len(lab.http.get("jobs/active").json()["jobs"]) == 1)
    job = lab.http.get("jobs/active").json()["jobs"][0]

    # The notebook and its kernel go; the user goes elsewhere.
    page.evaluate(
        """async () => {
          const {shell, serviceManager, commands} = window.jupyterapp;
          await serviceManager.sessions.shutdownAll();
          shell.currentWidget.dispose();
          await commands.execute('docmanager:open', {path: 'other.ipynb'});
        }"""
    )
    panel = show_sidebar(page)
    expect(row(panel, job).locator("progress")).to_be_visible()
    expect(page.locator("#jp-main-statusbar")).to_contain_text("1 export running")

    toast = page.locator(".Toastify__toast", has_text="elsewhere.mp4 is ready")
    expect(toast).to_have_count(1, timeout=120_000)
    expect(row(panel, job)).to_have_attribute("data-state", "completed")
    expect(row(panel, job)).to_contain_text("complete")
    project = next(p for p in lab.http.get("projects").json()["projects"] if p["name"] == "away")
    assert project["complete"] is True
    assert (lab.root / "elsewhere.mp4").stat().st_size > 100_000
