"""A notebook whose server knows nothing of exports, in a page that reaches no other one.

That is VS Code's and Colab's situation: the kernel starts a server of its own, and the page goes
through the kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_support import RunningLab, new_context, open_lab, run_all
from playwright.sync_api import Browser, BrowserContext, expect
from server_support import eventually

CLIP = "bunny_720p25.mp4"
CELLS = (
    "import jupyter_export as jx\njx.serve()",
    "jx.panel()",
    f"editor = jx.editor({CLIP!r}, 0, 1, size=(360, 360), output='square.mp4')\neditor",
    "job = jx.export(jx.clip('bunny_720p25.mp4', 0, 1, output='own.mp4', quality='fast'))",
    "job.wait().result",
)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[RunningLab]:
    """A JupyterLab without the server extension."""
    extensions = {"jupyterlab": True, "jupyter_export": False}
    lab = RunningLab(tmp_path / "plain", **{"ServerApp.jpserver_extensions": extensions})
    yield lab
    folder = Path(lab.environment["JUPYTER_RUNTIME_DIR"])
    for file in folder.glob("jpserver-*.json"):
        pid = json.loads(file.read_text())["pid"]
        if pid != lab.process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    lab.stop()


@pytest.fixture
def bare(browser: Browser) -> Iterator[BrowserContext]:
    """A page without the extension for JupyterLab, to which only its kernel answers."""
    context = new_context(browser)
    context.route("**/jupyter-export/**", lambda route: route.abort())
    context.route_web_socket("**/jupyter-export/**", lambda ws: ws.close())
    yield context
    context.close()


def test_a_notebook_without_a_server_of_exports_gets_its_own_and_all_of_it_works(
    plain: RunningLab, bare: BrowserContext
) -> None:
    plain.add(CLIP)
    plain.notebook("alone.ipynb", *CELLS)
    page = open_lab(bare, plain, "alone.ipynb")
    run_all(page)
    panel = page.locator(".jp-OutputArea .jpx-Panel")
    link = panel.locator(".jpx-Link")
    expect(link).to_contain_text("through the kernel", timeout=120_000)
    expect(link).to_contain_text("Live", timeout=60_000)
    made = panel.locator(".jpx-Row", has_text="own.mp4")
    expect(made).to_have_attribute("data-state", "completed", timeout=120_000)
    # The film plays in the cell, though the page cannot fetch it from anywhere.
    video = page.locator(".jp-OutputArea video").last
    video.scroll_into_view_if_needed()
    expect(video).to_be_visible(timeout=60_000)
    eventually(lambda: video.evaluate("it => it.readyState") >= 1)
    assert video.evaluate("it => [it.videoWidth, it.videoHeight]") == [1280, 720]
    # The editor shows the exact frame, and exports.
    editor = page.locator(".jp-OutputArea .jpx-Editor")
    editor.scroll_into_view_if_needed()
    expect(editor.locator(".jpx-Stage > img")).to_be_visible(timeout=60_000)
    editor.get_by_role("button", name="Export", exact=True).click()
    expect(editor.locator(".jpx-Line")).to_have_attribute(
        "data-state", "completed", timeout=120_000
    )
    assert (plain.root / "square.mp4").is_file()
