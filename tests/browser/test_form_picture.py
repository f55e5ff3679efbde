"""“Export video…” with the picture: seen before it is exported, and moved on it by hand."""

from __future__ import annotations

import av
import numpy as np
from lab_support import AXE, RunningLab, complaints, open_lab
from playwright.sync_api import BrowserContext, Locator, expect

CLIP = "bunny_720p25.mp4"


class Hand:
    """A mouse that counts its clicks; what is dragged is one, too."""

    def __init__(self, page) -> None:
        self.page = page
        self.clicks = 0

    def click(self, what: Locator, part: float = 0.5, **options: str) -> None:
        what.scroll_into_view_if_needed()
        box = what.bounding_box()
        assert box is not None
        self.page.mouse.click(
            box["x"] + part * box["width"], box["y"] + box["height"] / 2, **options
        )
        self.clicks += 1

    def drag(self, what: Locator, dx: float, dy: float) -> None:
        what.scroll_into_view_if_needed()
        box = what.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=5)
        self.page.mouse.up()
        self.clicks += 1


def test_ten_clicks_lead_from_lab_to_a_cropped_and_highlighted_film(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.add(CLIP, f"own/{CLIP}")
    page = open_lab(context, lab)
    page.evaluate("path => jupyterapp.commands.execute('filebrowser:open-path', {path})", "own")
    hand = Hand(page)
    hand.click(page.locator(".jp-DirListing-itemText", has_text=CLIP), button="right")
    hand.click(page.locator(".lm-Menu-item", has_text="Export Video…"))
    form = page.locator("dialog.jpx-Dialog")
    # Opening the list is one click, choosing from it another.
    form.get_by_label("Kind").select_option("framing")
    hand.clicks += 2
    still = form.locator(".jpx-Stage > img")
    crop = form.locator(".jpx-Region[data-type=crop]")
    expect(still).to_be_visible(timeout=60_000)
    hand.drag(crop, -400, 0)
    hand.click(form.get_by_label("Time", exact=True), 0.95)
    expect(still).to_be_visible(timeout=30_000)
    expect(still).not_to_have_attribute("data-time", "0", timeout=30_000)
    hand.drag(crop, 400, 0)
    hand.click(form.get_by_role("button", name="Add a highlight"))
    hand.drag(form.locator(".jpx-Region[data-type=highlight]"), 60, 20)
    hand.click(form.get_by_role("button", name="Export", exact=True))
    assert hand.clicks == 10
    expect(form).to_have_count(0, timeout=30_000)

    (job,) = lab.http.get("jobs?project=own").json()["jobs"]
    assert lab.until(job["id"], "completed", "failed")["state"] == "completed", job["error"]
    ring, frame = job["spec"]["sources"][0]["effects"]
    first, last = frame["keyframes"]
    assert (first["time"], first["x"]) == (0, 0)
    assert last["x"] == 1280 - 720
    (place,) = ring["keyframes"]
    assert place["x"] > 640 and place["y"] > 360
    with av.open(str(lab.root / job["output"])) as container:
        (shown,) = [f for f in container.decode(video=0) if abs(f.time - place["time"]) < 1e-3]
    picture = np.asarray(shown.to_image(), dtype=float)
    # The ring's leftmost point, in pixels of the crop that shows then.
    x, y = place["x"] - place["radius_x"] - last["x"], place["y"]
    if last["time"] == place["time"] and x >= 2:
        red, green, blue = picture[round(y), round(x)]
        assert red > 150 and green > 120 and blue < 110


def test_the_form_shows_the_result_and_what_is_wrong_at_its_field(
    lab: RunningLab, context: BrowserContext
) -> None:
    lab.add(CLIP, f"shown/{CLIP}")
    page = open_lab(context, lab)
    page.add_script_tag(path=str(AXE))
    page.evaluate(
        "path => jupyterapp.commands.execute('jupyter-export:new', {path})", f"shown/{CLIP}"
    )
    form = page.locator("dialog.jpx-Dialog")
    result = form.locator(".jpx-Result img")
    expect(result).to_have_attribute("data-time", "0", timeout=60_000)
    # The server's own words, at the field that is wrong, before anything is submitted.
    form.get_by_label("From", exact=True).fill("98")
    wrong = form.get_by_role("alert")
    expect(wrong).to_contain_text(
        "No frame of 'bunny_720p25.mp4' lies between 98 s and the end.", timeout=30_000
    )
    expect(form.get_by_label("From", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(form.locator(".jpx-Result")).to_have_attribute("data-stale", "true")
    form.get_by_label("From", exact=True).fill("1")
    expect(wrong).to_have_count(0, timeout=30_000)
    form.get_by_label("Kind").select_option("annotate")
    form.get_by_role("button", name="Before and after").click()
    expect(form.locator(".jpx-Pair img")).to_have_count(2, timeout=30_000)
    differs = """async () => {
      const [after, before] = document.querySelectorAll('.jpx-Pair img');
      const size = async it => (await (await fetch(it.src)).blob()).size;
      return (await size(after)) !== (await size(before));
    }"""
    assert page.evaluate(differs)
    form.get_by_label("Before and after").last.press("ArrowLeft")
    form.get_by_label("Kind").select_option("overlay")
    expect(form.locator(".jpx-Region")).to_have_count(1, timeout=30_000)
    form.get_by_role("button", name="Export", exact=True).focus()
    found = complaints(page, "dialog.jpx-Dialog")
    assert found == [], "\n".join(found)
