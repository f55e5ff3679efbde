"""The editor: crop and highlights moved on the frame, by mouse, by keys and by code."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
from lab_support import AXE, RunningLab, complaints, new_context, open_lab, run_all
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from server_support import eventually

CLIP = "bunny_720p25.mp4"
OPEN = f"""
import json
import jupyter_export as jx
editor = jx.editor({CLIP!r}, 0, 2, size=(360, 360), output='edited.mp4')
editor
"""
EDITOR = ".jp-OutputArea .jpx-Editor"


def open_editor(lab: RunningLab, context: BrowserContext, name: str, *, before: str = "") -> Page:
    """A notebook in a folder beside the clip, with the editor in its cell."""
    lab.add(CLIP, f"{name}/{CLIP}")
    lab.notebook(f"{name}/{name}.ipynb", before + OPEN)
    page = open_lab(context, lab, f"{name}/{name}.ipynb")
    run_all(page)
    expect(frame(page)).to_be_visible(timeout=60_000)
    return page


def frame(where: Page | Locator, editor: str = ".jpx-Surface") -> Locator:
    """The exact frame on the stage."""
    return where.locator(f"{editor} .jpx-Stage > img")


def tell(page: Page, code: str) -> Any:
    """Run code in the notebook's kernel; gives what it prints, which is JSON."""
    text = page.evaluate(
        """async code => {
          const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
          const future = kernel.requestExecute({ code, store_history: false });
          let text = '';
          future.onIOPub = ({ header, content }) => {
            if (header.msg_type === 'stream') text += content.text;
            if (header.msg_type === 'error') text += JSON.stringify(content.traceback);
          };
          await future.done;
          return text;
        }""",
        code,
    )
    return json.loads(text) if text else None


def spec_of(page: Page) -> dict[str, Any]:
    """As code sees it."""
    spec: dict[str, Any] = tell(page, "print(json.dumps(editor.spec.model_dump(mode='json')))")
    return spec


def keys_of(spec: dict[str, Any], type: str = "crop") -> list[dict[str, float]]:
    effects = spec["sources"][0]["effects"]
    keys: list[dict[str, float]] = next(e for e in effects if e["type"] == type)["keyframes"]
    return keys


def until(page: Page, check: Callable[[list[dict[str, float]]], bool]) -> list[dict[str, float]]:
    """The keyframes of the crop, once code sees what the mouse has done."""
    eventually(lambda: check(keys_of(spec_of(page))), why=lambda: str(spec_of(page)))
    return keys_of(spec_of(page))


def drag(page: Page, what: Locator, dx: float, dy: float) -> None:
    """Take it in its middle and let it go elsewhere."""
    what.scroll_into_view_if_needed()
    box = what.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y + dy / 2, steps=3)
    page.mouse.move(x + dx, y + dy, steps=3)
    page.mouse.up()


def scrub(page: Page, where: Locator, part: float) -> float:
    """Click on the line of time; gives the time of the frame that then shows."""
    slider = where.get_by_label("Time", exact=True)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    old = frame(where, "").get_attribute("data-time")
    page.mouse.click(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
    still = frame(where, "")
    expect(still).to_be_visible(timeout=30_000)
    expect(still).not_to_have_attribute("data-time", old or "", timeout=30_000)
    return float(still.get_attribute("data-time") or 0)


def pixels_at(data: bytes, time: float) -> Image.Image:
    """The frame of a video that shows in the middle of the one that begins at `time`."""
    with av.open(io.BytesIO(data)) as container:
        for shown in container.decode(video=0):
            if shown.time >= time - 1e-3:
                image: Image.Image = shown.to_image()
                return image
    raise AssertionError(f"no frame at {time} s")


def cut(image: Image.Image, key: dict[str, float], size: tuple[int, int]) -> np.ndarray:
    box = (key["x"], key["y"], key["x"] + key["width"], key["y"] + key["height"])
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=box), dtype=float)


def test_dragging_a_keyframe_in_the_browser_changes_the_exported_pixels(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_editor(lab, context, "dragged")
    editor = page.locator(EDITOR)
    (before,) = keys_of(spec_of(page))
    crop = editor.locator(".jpx-Region[data-type=crop]")
    time = scrub(page, editor, 0.5)
    assert 0.8 < time < 1.2
    drag(page, crop, -90, 0)
    drag(page, editor.locator("[data-corner=se]"), -60, -60)
    first, key = until(page, lambda keys: len(keys) == 2 and keys[1]["width"] < 650)
    assert first == before
    assert key["time"] == pytest.approx(time, abs=1e-6)
    assert before["x"] - key["x"] > 100
    assert key["width"] == key["height"]

    editor.get_by_role("button", name="Export", exact=True).click()
    line = editor.locator(".jpx-Line")
    expect(line).to_have_attribute("data-state", "completed", timeout=60_000)
    job = lab.job(tell(page, "print(json.dumps(editor.job))"))
    assert job["output"] == "dragged/edited.mp4"
    assert keys_of(job["spec"]) == [first, key]
    exported = pixels_at((lab.root / job["output"]).read_bytes(), time)
    source = pixels_at((lab.root / "dragged" / CLIP).read_bytes(), time)
    made = np.asarray(exported, dtype=float)
    assert np.abs(made - cut(source, key, (360, 360))).mean() < 4
    # Where it was before it was dragged shows something else.
    assert np.abs(made - cut(source, before, (360, 360))).mean() > 15
    # And what the page showed as the result was that.
    shown = editor.locator(".jpx-Small img")
    preview = Image.open(io.BytesIO(bytes(shown.evaluate(BYTES)))).resize((360, 360))
    assert np.abs(np.asarray(preview, dtype=float) - made).mean() < 4


BYTES = "async image => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]"


def test_code_and_mouse_edit_the_same_spec_and_take_back_each_others_steps(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_editor(lab, context, "both")
    editor = page.locator(EDITOR)
    crop = editor.locator(".jpx-Region[data-type=crop]")
    tell(page, "seen = []\neditor.observe(lambda change: seen.append(change['new']), 'spec')")
    drag(page, crop, 80, 0)
    eventually(lambda: tell(page, "print(len(seen))") == 1)
    (key,) = until(page, lambda keys: keys[0]["x"] > 300)
    # The path in the spec is as it was written, not as the server knows it.
    assert spec_of(page)["sources"][0]["path"] == CLIP
    tell(page, "editor.undo()")
    expect(crop).to_have_attribute("aria-label", "Crop: left 280, top 0, 720 × 720")
    editor.get_by_role("button", name="Redo").click()
    until(page, lambda keys: keys == [key])
    tell(
        page,
        "changed = editor.spec.model_dump(mode='json')\n"
        "changed['sources'][0]['effects'][0]['keyframes'] = [\n"
        "    {'time': t, 'x': x, 'y': 0, 'width': 720, 'height': 720}\n"
        "    for t, x in [(0, 0), (1, 560), (2, 0)]]\n"
        "editor.spec = changed\n"
        "editor.time = 1.0",
    )
    expect(crop).to_have_attribute("aria-label", "Crop: left 560, top 0, 720 × 720")
    expect(editor.locator(".jpx-Key")).to_have_count(3)
    expect(editor.locator("polyline").first).to_have_attribute("points", WIDE_SWING)
    # A keyframe dragged along the line moves in time.
    drag(page, editor.locator(".jpx-Key").nth(1), 60, 0)
    until(page, lambda keys: keys[0]["time"] == 0 and 1.05 < keys[1]["time"] < 1.5)
    editor.get_by_role("button", name="Undo").click()
    editor.get_by_role("button", name="Undo").click()
    until(page, lambda keys: keys == [key])
    # The film plays, with the crop on its way.
    tell(page, "editor.redo()\neditor.time = 0.0")
    editor.get_by_role("button", name="Play").click()
    eventually(lambda: 200 < left_of(crop) < 555)
    editor.get_by_role("button", name="Stop").click()
    expect(frame(editor, "")).to_be_visible(timeout=30_000)
    exact = float(frame(editor, "").get_attribute("data-time") or 0)
    eventually(lambda: tell(page, "print(editor.time)") == pytest.approx(exact, abs=1e-6))


WIDE_SWING = re.compile(r"^360\.0,360\.0 .* 920\.0,360\.0 .* 360\.0,360\.0$")


def left_of(region: Locator) -> int:
    label = region.get_attribute("aria-label") or ""
    return int(label.split("left ")[1].split(",")[0])


def test_all_of_the_editor_can_be_done_with_keys_and_is_told_to_screen_readers(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_editor(lab, context, "keys")
    page.add_script_tag(path=str(AXE))
    editor = page.locator(EDITOR)
    crop = editor.locator(".jpx-Region[data-type=crop]")
    keyboard = page.keyboard
    editor.get_by_label("Time", exact=True).focus()
    for _ in range(3):
        keyboard.press("ArrowRight")
        page.wait_for_timeout(50)
    keyboard.press("Shift+ArrowRight")
    expect(frame(editor, "")).to_have_attribute("data-time", "1.12", timeout=30_000)
    crop.focus()
    keyboard.press("Shift+ArrowLeft")
    keyboard.press("ArrowLeft")
    keyboard.press("-")
    expect(crop).to_have_attribute("aria-label", "Crop: left 276, top 7, 706 × 706")
    expect(editor.locator(".jpx-Announcer")).to_have_text("Keyframe at 1.12 s, 2 in all")
    until(page, lambda keys: [round(key["time"], 3) for key in keys] == [0, 1.12])
    # Their markers: in time, and away.
    marker = editor.get_by_role("button", name="Keyframe at 1.12 s")
    marker.focus()
    keyboard.press("ArrowRight")
    marker = editor.get_by_role("button", name="Keyframe at 1.16 s")
    expect(marker).to_be_focused()
    keyboard.press("Delete")
    expect(editor.locator(".jpx-Key")).to_have_count(1)
    keyboard.press("Control+z")
    expect(editor.locator(".jpx-Key")).to_have_count(2)
    # A highlight, in numbers.
    editor.get_by_role("button", name="Add a highlight").press("Enter")
    ring = editor.locator(".jpx-Region[data-type=highlight]")
    editor.get_by_label("Left", exact=True).fill("100")
    keyboard.press("Enter")
    expect(ring).to_have_attribute("aria-label", "Highlight 1: left 100, top 180, 360 × 360")
    eventually(lambda: [key["x"] for key in keys_of(spec_of(page), "highlight")] == [280])
    # None of these keys was a shortcut of the notebook.
    expect(page.locator(".jp-Cell")).to_have_count(1)

    found = []
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
        )
        page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        found += complaints(page, EDITOR)
    editor.get_by_role("button", name="Before and after").click()
    expect(editor.locator(".jpx-Pair img")).to_have_count(2, timeout=30_000)
    found += complaints(page, EDITOR)
    assert found == [], "\n".join(found)


def test_an_editor_whose_page_cannot_reach_the_server_works_through_the_kernel(
    lab: RunningLab, browser: Browser
) -> None:
    context = new_context(browser)
    context.route("**/jupyter-export/**", lambda route: route.abort())
    context.route_web_socket("**/jupyter-export/**", lambda ws: ws.close())
    try:
        page = open_editor(lab, context, "relayed")
        editor = page.locator(EDITOR)
        crop = editor.locator(".jpx-Region[data-type=crop]")
        drag(page, crop, 60, 0)
        time = scrub(page, editor, 0.6)
        assert 1 < time < 1.4
        editor.get_by_role("button", name="Export", exact=True).click()
        expect(editor.locator(".jpx-Line")).to_have_attribute(
            "data-state", "completed", timeout=60_000
        )
        (job,) = lab.http.get("jobs?project=relayed/relayed.ipynb").json()["jobs"]
        assert keys_of(job["spec"])[0]["x"] > 300
    finally:
        context.close()


def test_an_editor_keeps_its_spec_over_a_kernel_restart_and_begins_anew_after_a_reload(
    lab: RunningLab, context: BrowserContext
) -> None:
    page = open_editor(lab, context, "kept")
    editor = page.locator(EDITOR)
    crop = editor.locator(".jpx-Region[data-type=crop]")
    drag(page, crop, 60, 0)
    moved = left_of(crop)
    assert moved > 300
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(crop).to_have_attribute("aria-label", f"Crop: left {moved}, top 0, 720 × 720")
    drag(page, crop, 0, 0)
    crop.press("ArrowRight")
    editor.get_by_role("button", name="Export", exact=True).click()
    expect(editor.locator(".jpx-Line")).to_have_attribute("data-state", "completed", timeout=60_000)
    (job,) = lab.http.get("jobs?project=kept/kept.ipynb").json()["jobs"]
    assert round(keys_of(job["spec"])[0]["x"]) == moved + 1
    # What the notebook keeps is the spec that its cell made.
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    expect(frame(page)).to_be_visible(timeout=60_000)
    expect(crop).to_have_attribute("aria-label", "Crop: left 280, top 0, 720 × 720")
