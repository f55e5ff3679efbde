"""“Export video…”: from a file in the file browser to a finished one beside it."""

from __future__ import annotations

import re

from lab_support import RunningLab, open_lab, row, show_sidebar
from playwright.sync_api import BrowserContext, Locator, Page, expect
from server_support import clip

from jupyter_export.spec import Kind


def open_form(page: Page, folder: str, name: str) -> Locator:
    """The form, opened from the context menu of a file."""
    if folder:
        go = "path => jupyterapp.commands.execute('filebrowser:open-path', {path})"
        page.evaluate(go, folder)
    item = page.locator(".jp-DirListing-itemText", has_text=re.compile(f"^{re.escape(name)}$"))
    item.click(button="right")
    page.locator(".lm-Menu-item", has_text="Export Video…").click()
    form = page.locator("dialog.jpx-Dialog")
    expect(form).to_be_visible()
    return form


def test_a_clip_is_exported_with_nothing_but_two_clicks(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.add("subtitles_mov_text.mp4", "footage/talk.mp4")
    page = open_lab(context, lab)
    form = open_form(page, "footage", "talk.mp4")
    expect(form.get_by_label("New file")).to_have_value("footage/talk-clip.mp4")
    expect(form.get_by_label("Project")).to_have_value("footage")
    form.get_by_role("button", name="Export", exact=True).click()
    expect(form).to_have_count(0)
    expect(page.locator(".Toastify__toast", has_text="talk-clip.mp4 is ready")).to_be_visible(
        timeout=60_000
    )
    expect(
        page.locator(".jp-DirListing-itemText", has_text=re.compile(r"^talk-clip\.mp4$"))
    ).to_be_visible()
    # The next one does not write over it.
    form = open_form(page, "footage", "talk.mp4")
    expect(form.get_by_label("New file")).to_have_value("footage/talk-clip-2.mp4")


def test_framing_begins_with_a_square_from_the_middle(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.add("timecode_720p30.mp4", "square/wide.mp4")
    page = open_lab(context, lab)
    form = open_form(page, "square", "wide.mp4")
    form.get_by_label("Kind").select_option("framing")
    expect(form.locator(".jpx-Hint")).to_have_text("1280 × 720 · 42 s")
    expect(form.get_by_label("New file")).to_have_value("square/wide-framing.mp4")
    form.get_by_label("To", exact=True).fill("0:01.5")
    form.get_by_label("Frame at last").select_option("end")
    form.get_by_role("button", name="Export", exact=True).click()
    expect(form).to_have_count(0)
    (job,) = lab.http.get("jobs?project=square").json()["jobs"]
    (crop,) = job["spec"]["sources"][0]["effects"]
    assert crop["size"] == [720, 720]
    assert [(k["time"], k["x"], k["y"]) for k in crop["keyframes"]] == [(0, 280, 0), (1.5, 560, 0)]
    lab.until(job["id"], "completed")


def test_every_kind_begins_with_what_can_be_exported(
    lab: RunningLab, context: BrowserContext
) -> None:
    for name in ("a.mp4", "b.mp4"):
        lab.add("subtitles_mov_text.mp4", f"kinds/{name}")
    page = open_lab(context, lab)
    form = open_form(page, "kinds", "a.mp4")
    options = form.get_by_label("Kind").locator("option")
    expect(options.filter(has_text="Compare")).to_be_attached()
    kinds = options.evaluate_all("options => options.map(option => option.value)")
    assert {*kinds} == {kind.value for kind in Kind}
    page.keyboard.press("Escape")
    # Files that appear would move the list under the mouse.
    lab.post("queue/pause")
    for kind in kinds:
        form = open_form(page, "kinds", "a.mp4")
        form.get_by_label("Kind").select_option(kind)
        expect(form.get_by_label("New file")).to_have_value(f"kinds/a-{kind}.mp4")
        if kind == "concat":
            form.get_by_label("Video 2", exact=True).fill("kinds/b.mp4")
        form.get_by_role("button", name="Export", exact=True).click()
        expect(form).to_have_count(0)
    lab.post("queue/resume")
    jobs = lab.http.get("jobs?project=kinds").json()["jobs"]
    assert {job["kind"] for job in jobs} == {*kinds}
    for job in jobs:
        assert lab.until(job["id"], "completed", "failed")["state"] == "completed", job["error"]


def test_videos_that_are_selected_together_are_joined_in_the_order_of_the_list(
    lab: RunningLab, context: BrowserContext
) -> None:
    for name in ("one.mp4", "two.mp4"):
        lab.add("subtitles_mov_text.mp4", f"joined/{name}")
    page = open_lab(context, lab)
    page.evaluate("path => jupyterapp.commands.execute('filebrowser:open-path', {path})", "joined")
    items = page.locator(".jp-DirListing-itemText")
    items.filter(has_text="one.mp4").click()
    items.filter(has_text="two.mp4").click(modifiers=["ControlOrMeta"])
    items.filter(has_text="two.mp4").click(button="right")
    page.locator(".lm-Menu-item", has_text="Join Videos…").click()
    form = page.locator("dialog.jpx-Dialog")
    expect(form.get_by_label("Video 1", exact=True)).to_have_value("joined/one.mp4")
    form.get_by_label("Later: video 1").click()
    expect(form.get_by_label("Video 1", exact=True)).to_have_value("joined/two.mp4")
    form.get_by_label("Between them").select_option("dissolve")
    form.get_by_role("button", name="Export", exact=True).click()
    expect(form).to_have_count(0)
    (job,) = lab.http.get("jobs?project=joined").json()["jobs"]
    assert [s["path"] for s in job["spec"]["sources"]] == ["joined/two.mp4", "joined/one.mp4"]
    assert job["spec"]["transition"]["type"] == "dissolve"
    lab.until(job["id"], "completed")


def test_a_video_that_cannot_be_read_is_told_before_anything_is_submitted(
    lab: RunningLab, context: BrowserContext
) -> None:
    (lab.root / "broken.mp4").write_text("no video")
    page = open_lab(context, lab)
    form = open_form(page, "", "broken.mp4")
    expect(form.locator(".jpx-Hint")).to_contain_text("broken.mp4")
    form.get_by_label("Kind").select_option("framing")
    form.get_by_role("button", name="Export", exact=True).click()
    expect(form.get_by_role("alert")).to_contain_text("broken.mp4")


def test_a_duplicate_is_told_at_once_with_how_far_it_is_and_a_link(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.add("subtitles_mov_text.mp4", "twice/talk.mp4")
    page = open_lab(context, lab)
    running = lab.submit_long("elsewhere.mp4", project="twice")
    expect(row(show_sidebar(page), running).locator("progress")).to_be_visible()
    form = open_form(page, "twice", "talk.mp4")
    told = form.locator(".jpx-Message")
    expect(told).to_have_text(re.compile(r"elsewhere.mp4 is already in progress, \d+ %\."))
    form.get_by_role("button", name="Export", exact=True).click()
    expect(form.get_by_role("alert")).to_contain_text(re.compile(r"\d+ %"))
    form.get_by_role("button", name="Show it").click()
    expect(form).to_have_count(0)
    expect(row(show_sidebar(page), running)).to_have_attribute("data-selected", "true")
    form = open_form(page, "twice", "talk.mp4")
    form.get_by_role("button", name="Export anyway").click()
    expect(form).to_have_count(0)
    assert len(lab.http.get("jobs?project=twice").json()["jobs"]) == 2


def test_what_the_server_refuses_is_told_in_the_form(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_lab(context, lab)
    form = open_form(page, "", "subtitles_mov_text.mp4")
    form.get_by_label("From", exact=True).fill("soon")
    form.get_by_role("button", name="Export", exact=True).click()
    expect(form.get_by_role("alert")).to_contain_text("soon is not a time")
    form.get_by_label("From", exact=True).fill("0")
    form.get_by_label("New file").fill("no/such/folder/a.mp4")
    form.get_by_role("button", name="Export", exact=True).click()
    expect(form.get_by_role("alert")).to_contain_text("does not exist. Create it first.")
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)


def test_files_that_are_no_videos_offer_no_export(lab: RunningLab, context: BrowserContext) -> None:
    (lab.root / "notes.txt").write_text("no video")
    page = open_lab(context, lab)
    page.locator(".jp-DirListing-itemText", has_text="notes.txt").click(button="right")
    expect(page.locator(".lm-Menu-item", has_text="Rename")).to_be_visible()
    expect(page.locator(".lm-Menu-item", has_text="Export Video…")).to_be_hidden()


def test_the_line_can_be_changed_and_the_queue_paused_from_the_panel(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_lab(context, lab)
    panel = show_sidebar(page)
    panel.get_by_label("Pause the queue").click()
    expect(panel.locator(".jpx-Queue")).to_have_text("Queue paused")
    jobs = [lab.submit(clip("subtitles_mov_text.mp4", f"line-{n}.mp4")) for n in range(3)]
    expect(panel.locator(".jpx-Row")).to_have_count(3)
    row(panel, jobs[2]).get_by_label("To the front").click()
    row(panel, jobs[0]).get_by_label("To the end").click()
    names = panel.locator(".jpx-Name")
    expect(names).to_have_text(["line-2.mp4", "line-1.mp4", "line-0.mp4"])
    for place, job in enumerate(reversed(jobs), 1):
        expect(row(panel, job)).to_contain_text(f"Place {place} in the queue")
    row(panel, jobs[0]).get_by_label("Pause", exact=True).click()
    expect(row(panel, jobs[0])).to_have_attribute("data-state", "paused")
    panel.get_by_label("Let the queue go on").click()
    for job in jobs[1:]:
        expect(row(panel, job)).to_have_attribute("data-state", "completed", timeout=60_000)
    row(panel, jobs[0]).get_by_label("Resume").click()
    expect(row(panel, jobs[0])).to_have_attribute("data-state", "completed", timeout=60_000)
