"""A real JupyterLab and Notebook in a server process, and pages on it."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import imageio_ffmpeg
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from server_support import REPOSITORY, TOKEN, RunningServer, clip

LONG = "long.mp4"
AXE = REPOSITORY / "js/node_modules/axe-core/axe.min.js"

NOTHING = "no text was looked at"
CHECK = """async selector => {
  // JupyterLab's body has no height and clips; axe would take all text for invisible.
  document.body.style.height = '100vh';
  const { violations, passes } = await axe.run(selector);
  const contrast = [...violations, ...passes].find(rule => rule.id === 'color-contrast');
  if (!(contrast?.nodes.length > 1)) return ['%s'];
  return violations.flatMap(v => v.nodes.map(n => `${v.id}: ${n.target} ${n.failureSummary}`));
}""".replace("%s", NOTHING)


class RunningLab(RunningServer):
    """A server with JupyterLab, Notebook and our extension."""

    sizes = 0

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(
            folder,
            **{
                "ServerApp.jpserver_extensions": {
                    "jupyterlab": True,
                    "notebook": True,
                    "jupyter_export": True,
                },
                "LabApp.expose_app_in_browser": True,
                "JupyterNotebookApp.expose_app_in_browser": True,
                # It starts the type checker of the tests for every notebook that is opened.
                "LanguageServerManager.autodetect": False,
                **settings,
            },
        )

    def start(self) -> None:
        """As a server."""
        news = self.folder / "config/lab/user-settings/@jupyterlab/apputils-extension"
        news.mkdir(parents=True, exist_ok=True)
        # Otherwise JupyterLab asks, over the notifications that the tests look at.
        (news / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
        super().start()

    def add_long(self, seconds: int = 120) -> str:
        """A video that takes a while to export: the clip with the time code, many times over."""
        target = self.root / LONG
        if not target.exists():
            source = self.root / self.add("timecode_720p30.mp4")
            command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "-1"]
            command += ["-i", str(source), "-t", str(seconds), "-c", "copy", str(target)]
            subprocess.run(command, check=True)
        return LONG

    def submit_long(self, output: str, end: float | None = None, **more: Any) -> dict[str, Any]:
        """Queue an export that takes a while: all of the long video, or up to `end` seconds."""
        # Of a size of its own: segments that an earlier export rendered would be found again.
        self.sizes += 1
        encoding = {"quality": "quality", "size": [1280 - 2 * self.sizes, 720]}
        spec = clip(self.add_long(), output, encoding=encoding, **more)
        spec["sources"] = [{"path": LONG, "start": 0.5, "end": end}]
        return self.submit(spec)

    def submit_doomed(self, output: str) -> dict[str, Any]:
        """Queue an export whose source is gone when its turn comes."""
        source = self.root / self.add("subtitles_mov_text.mp4", "doomed.mp4")
        self.post("queue/pause").raise_for_status()
        job = self.submit(clip(source.name, output))
        source.unlink()
        self.post("queue/resume").raise_for_status()
        return job

    def quiet(self) -> None:
        """Cancel whatever is under way."""
        for job in self.http.get("jobs/active").json()["jobs"]:
            self.post(f"jobs/{job['id']}/cancel")
            self.until(job["id"], "cancelled", "completed", "failed")

    def notebook(self, name: str, *cells: str) -> str:
        """Write a notebook; returns its path."""
        return notebook(self.root, name, *cells)


def notebook(root: Path, name: str, *cells: str) -> str:
    """Write a notebook into a server's root; returns its path there."""
    content = {
        "cells": [
            {
                "cell_type": "code",
                "id": uuid.uuid4().hex[:8],
                "source": cell,
                "metadata": {},
                "outputs": [],
                "execution_count": None,
            }
            for cell in cells
        ],
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (root / name).write_text(json.dumps(content))
    return name


def open_lab(context: BrowserContext, lab: RunningLab, path: str = "", *, url: str = "") -> Page:
    """JupyterLab in a workspace of its own, ready to be used."""
    page = context.new_page()
    where = f"workspaces/w{uuid.uuid4().hex[:8]}" + (f"/tree/{path}" if path else "")
    page.goto(f"{url or lab.url}lab/{where}?token={TOKEN}")
    ready(page)
    return page


def ready(page: Page) -> None:
    """Wait until JupyterLab has restored its layout."""
    expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=60_000)
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate("async () => { await window.jupyterapp.restored; }")


def show_sidebar(page: Page) -> Locator:
    """The panel in the sidebar, opened."""
    panel = page.locator("#jupyter-export-panel .jpx-Panel")
    if not panel.is_visible():
        page.locator(".lm-TabBar-tab[data-id='jupyter-export-panel']").click()
    expect(panel).to_be_visible()
    return panel


def run_all(page: Page, *, wait: bool = True) -> None:
    """Run the notebook that is open, once its kernel is ready, and `wait` for its end."""
    page.wait_for_function(
        """() => {
          const kernel = document.querySelector('.jp-NotebookPanel .jp-Toolbar-kernelName');
          return kernel && !/No Kernel/.test(kernel.textContent);
        }"""
    )
    page.evaluate(
        """async (wait) => {
          const app = window.jupyterapp;
          const panel = app.shell.currentWidget;
          await panel.sessionContext.ready;
          const run = app.commands.execute('notebook:run-all-cells');
          if (wait) await run;
        }""",
        wait,
    )


def percent(row: Locator) -> int:
    """What a row's bar says."""
    return int(row.locator(".jpx-Percent").inner_text().split()[0])


def row(where: Locator | Page, job: dict[str, Any]) -> Locator:
    """A job's row."""
    return where.locator(f".jpx-Row[data-job='{job['id']}']")


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """A browser of its own: cookies and storage are shared with no other."""
    return browser.new_context(viewport={"width": 1280, "height": 800}, **options)


def complaints(page: Page, selector: str) -> list[str]:
    """What axe-core says against everything inside `selector`."""
    page.wait_for_selector(selector)
    for _ in range(20):
        found: list[str] = page.evaluate(CHECK, selector)
        if found != [NOTHING]:
            break
        page.wait_for_timeout(500)  # such as after a change of the theme
    return found
