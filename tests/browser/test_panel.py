"""The panel in JupyterLab and in notebooks: live, the same everywhere, and hard to lose."""

from __future__ import annotations

from collections.abc import Callable

from lab_support import (
    RunningLab,
    new_context,
    open_lab,
    percent,
    ready,
    row,
    run_all,
    show_sidebar,
)
from playwright.sync_api import Browser, BrowserContext, Page, expect
from server_support import clip, eventually

PANEL = ".jp-OutputArea .jpx-Panel"
HOSTILE = "<img src=x onerror=alert(1)>.mp4"


def feeds(page: Page) -> Callable[[], int]:
    """Counts the connections to the feed that the page opens from now on."""
    opened: list[str] = []
    page.on("websocket", lambda it: opened.append(it.url) if "jupyter-export" in it.url else None)
    return lambda: len(opened)


def test_sidebar_and_three_panels_on_a_page_use_one_websocket(
    lab: RunningLab, context: BrowserContext
) -> None:
    code = "import jupyter_export as jx\njx.panel()"
    lab.notebook("three.ipynb", code, "jx.panel()", "jx.panel()")
    page = open_lab(context, lab)
    count = feeds(page)
    page.reload()
    ready(page)
    page.evaluate("jupyterapp.commands.execute('docmanager:open', {path: 'three.ipynb'})")
    sidebar = show_sidebar(page)
    run_all(page)
    expect(page.locator(PANEL)).to_have_count(3, timeout=60_000)
    job = lab.submit_long("one-socket.mp4")
    for number in range(3):
        expect(row(page.locator(PANEL).nth(number), job)).to_be_attached()
    expect(row(sidebar, job).locator("progress")).to_be_visible()
    assert count() == 1


def test_after_a_reload_the_bar_is_where_the_export_is(
    lab: RunningLab, context: BrowserContext
) -> None:
    job = lab.submit_long("reload.mp4", project="reloaded")
    page = open_lab(context, lab)
    bar = row(show_sidebar(page), job)
    eventually(lambda: bar.locator(".jpx-Percent").count() == 1 and percent(bar) >= 3)
    page.reload()
    ready(page)
    bar = row(show_sidebar(page), job)
    expect(bar.locator(".jpx-Percent")).to_be_visible()
    shown = percent(bar)
    assert 3 <= shown <= lab.job(job["id"])["progress"]["percent"]


def test_two_browsers_side_by_side_show_the_same(lab: RunningLab, browser: Browser) -> None:
    contexts = [new_context(browser) for _ in range(2)]
    try:
        panels = [show_sidebar(open_lab(context, lab)) for context in contexts]
        job = lab.submit_long("shared.mp4")
        for panel in panels:
            expect(row(panel, job).locator("progress")).to_be_visible()
        # What one does, the other sees.
        row(panels[0], job).get_by_label("Cancel").click()
        for panel in panels:
            expect(row(panel, job)).to_have_attribute("data-state", "cancelled")
        row(panels[1], job).get_by_label("Retry").click()
        for panel in panels:
            expect(row(panel, job)).to_have_attribute("data-state", "running")
    finally:
        for context in contexts:
            context.close()


def test_a_panel_goes_on_after_a_kernel_restart_and_is_back_after_a_reload(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.notebook("restart.ipynb", "import jupyter_export as jx\njx.panel()")
    page = open_lab(context, lab, "restart.ipynb")
    run_all(page)
    panel = page.locator(PANEL)
    expect(panel).to_be_visible(timeout=60_000)
    page.evaluate(
        """async () => {
          const panel = jupyterapp.shell.currentWidget;
          await panel.context.save();
          await panel.sessionContext.session.kernel.restart();
        }"""
    )
    first = lab.submit(clip("subtitles_mov_text.mp4", "restarted.mp4"))
    expect(row(panel, first)).to_have_attribute("data-state", "completed", timeout=60_000)
    page.reload()
    ready(page)
    expect(panel).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    second = lab.submit(clip("subtitles_mov_text.mp4", "reloaded.mp4"))
    expect(row(panel, first)).to_be_attached()
    expect(row(panel, second)).to_have_attribute("data-state", "completed", timeout=60_000)


def test_a_panel_in_a_box_is_back_after_a_kernel_restart_and_a_reload(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.notebook(
        "boxed.ipynb",
        "import ipywidgets, jupyter_export as jx\n"
        "ipywidgets.VBox([ipywidgets.HBox([jx.panel()]), ipywidgets.Label('beside it')])",
    )
    page = open_lab(context, lab, "boxed.ipynb")
    run_all(page)
    panel, beside = page.locator(PANEL), page.locator(".jp-OutputArea .widget-label")
    expect(beside).to_have_text("beside it", timeout=60_000)
    expect(panel).to_have_count(1)
    page.evaluate("() => jupyterapp.shell.currentWidget.context.save()")

    # As long as the kernel lives, a reload brings back the whole box.
    page.reload()
    ready(page)
    expect(beside).to_be_visible(timeout=60_000)
    expect(panel).to_have_count(1)
    expect(page.get_by_text("Run the cell again")).to_have_count(0)

    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    first = lab.submit(clip("subtitles_mov_text.mp4", "boxed.mp4"))
    expect(row(panel, first)).to_have_attribute("data-state", "completed", timeout=60_000)
    page.reload()
    ready(page)
    expect(panel).to_be_visible(timeout=60_000)
    second = lab.submit(clip("subtitles_mov_text.mp4", "boxed-again.mp4"))
    expect(row(panel, second)).to_have_attribute("data-state", "completed", timeout=60_000)
    expect(panel).to_have_count(1)
    expect(page.get_by_text("Run the cell again")).to_be_visible()
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)


def test_notebook_code_observes_jobs_and_selects_one(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.notebook(
        "traits.ipynb",
        "import ipywidgets, jupyter_export as jx\n"
        "panel = jx.panel()\n"
        "names, chosen = ipywidgets.Label('no jobs'), ipywidgets.Label('nothing')\n"
        "panel.observe(lambda change: setattr(names, 'value',\n"
        "    ' '.join(f'{j[\"output\"]}:{j[\"state\"]}' for j in change.new)), 'jobs')\n"
        "ipywidgets.jslink((panel, 'selected'), (chosen, 'value'))\n"
        "ipywidgets.VBox([names, chosen, panel])",
    )
    page = open_lab(context, lab, "traits.ipynb")
    run_all(page)
    panel = page.locator(PANEL)
    expect(panel).to_be_visible(timeout=60_000)
    job = lab.submit(clip("subtitles_mov_text.mp4", "observed.mp4"))
    labels = page.locator(".jp-OutputArea .widget-label")
    expect(labels.nth(0)).to_contain_text("observed.mp4:completed", timeout=60_000)
    row(panel, job).locator(".jpx-Name").click()
    expect(labels.nth(1)).to_have_text(job["id"])
    page.evaluate(
        """async (code) => {
          const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
          await kernel.requestExecute({ code }).done;
        }""",
        "panel.selected = ''",
    )
    expect(row(panel, job)).not_to_have_attribute("data-selected", "true")


def test_a_panel_that_is_shown_by_itself_is_observed_too(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.notebook(
        "alone.ipynb",
        "import ipywidgets, jupyter_export as jx\n"
        "panel, names = jx.panel(), ipywidgets.Label('no jobs')\n"
        "panel.observe(lambda change: setattr(names, 'value',\n"
        "    ' '.join(j['output'] for j in change.new)), 'jobs')\n"
        "panel",
        "names",
    )
    page = open_lab(context, lab, "alone.ipynb")
    run_all(page)
    lab.submit(clip("subtitles_mov_text.mp4", "alone.mp4"))
    expect(page.locator(".jp-OutputArea .widget-label")).to_contain_text(
        "alone.mp4", timeout=60_000
    )


def test_a_name_that_is_markup_shows_as_that_text_everywhere(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.notebook("hostile.ipynb", "import jupyter_export as jx\njx.panel()")
    page = open_lab(context, lab, "hostile.ipynb")
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    run_all(page)
    sidebar = show_sidebar(page)
    expect(page.locator(PANEL)).to_be_visible(timeout=60_000)
    job = lab.submit_long(HOSTILE, project=HOSTILE)
    for where in (sidebar, page.locator(PANEL)):
        expect(row(where, job).locator(".jpx-Name")).to_have_text(HOSTILE)
        row(where, job).get_by_label("Details").click()
        expect(row(where, job).locator("dd").first).to_have_text(HOSTILE)
    page.locator(".jpx-StatusButton").click()
    expect(page.locator(".jpx-Popover .jpx-Name")).to_have_text(HOSTILE)
    page.keyboard.press("Escape")
    lab.quiet()
    lab.submit(clip("subtitles_mov_text.mp4", HOSTILE))
    toast = page.locator(".Toastify__toast", has_text=HOSTILE)
    expect(toast).to_be_visible(timeout=60_000)
    expect(page.locator("img[src='x']")).to_have_count(0)
    assert alerts == []


def test_the_panel_tells_what_the_machine_can_encode_with_and_why_not(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_lab(context, lab)
    sidebar = show_sidebar(page)
    sidebar.locator(".jpx-Hardware summary").click()
    lines = sidebar.locator(".jpx-Hardware li")
    expect(lines.filter(has_text="libx264, libx265, libsvtav1, ffv1")).to_have_attribute(
        "data-usable", "true", timeout=30_000
    )
    told = {entry["name"]: entry for entry in lab.http.get("hardware").json()["encoders"]}
    qsv = told["h264_qsv"]
    if not qsv["usable"]:
        expect(lines.filter(has_text="h264_qsv")).to_contain_text(qsv["reason"])
