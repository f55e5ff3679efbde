"""The notebooks of the repository: run in a real JupyterLab, and written with what that showed."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from typing import Any

from lab_support import RunningLab, run_all
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from server_support import MEDIA, REPOSITORY

FOLDER = REPOSITORY / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))

WIDGET = "application/vnd.jupyter.widget-view+json"
PANEL = "application/vnd.jupyter-export.panel+json"
JOB = "application/vnd.jupyter-export.job+json"
EDITOR = "application/vnd.jupyter-export.editor+json"

#: Width of a committed picture, in pixels.
WIDTH = 640
_EMBEDDED = re.compile(r"data:image/(?:jpeg|gif|webp);base64,([A-Za-z0-9+/=]+)")


def lay_out(lab: RunningLab) -> None:
    """Put the notebooks, without their outputs, and the footage where the repository has them."""
    shutil.copytree(MEDIA, lab.root / "tests/media_files")
    (lab.root / "notebooks").mkdir()
    for path in (*FOLDER.glob("*.ipynb"), *FOLDER.glob("*.py")):
        shutil.copy(path, lab.root / "notebooks")
    for name in NAMES:
        path = lab.root / f"notebooks/{name}.ipynb"
        notebook = json.loads(path.read_text())
        for cell in code(notebook):
            cell |= {"outputs": [], "execution_count": None}
        path.write_text(json.dumps(notebook))


def execute(page: Page, name: str) -> dict[str, Any]:
    """Open a notebook, run all of its cells, and give it as it is then."""
    page.evaluate(
        """async (path) => {
          const { commands, shell } = window.jupyterapp;
          const widget = await commands.execute('docmanager:open', { path });
          await widget.context.ready;
          await widget.sessionContext.ready;
          shell.activateById(widget.id);
        }""",
        f"notebooks/{name}.ipynb",
    )
    page.wait_for_function(
        "(end) => window.jupyterapp.shell.currentWidget?.context?.path.endsWith(end)",
        arg=f"/{name}.ipynb",
    )
    run_all(page)
    return snapshot(page)


def snapshot(page: Page) -> dict[str, Any]:
    """The notebook that is open, as it would be saved."""
    found: dict[str, Any] = page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.context.model.toJSON()"
    )
    return found


def output(page: Page, cell: int, number: int = 0) -> Locator:
    """One output of a cell of the notebook that is open, in view."""
    page.evaluate(
        """async (cell) => {
          const notebook = window.jupyterapp.shell.currentWidget.content;
          await notebook.scrollToCell(notebook.widgets[cell], 'start');
        }""",
        cell,
    )
    shown = page.locator(f".jp-NotebookPanel:visible .jp-Cell[data-windowed-list-index='{cell}']")
    return shown.locator(".jp-OutputArea-child").nth(number)


def shut(page: Page) -> None:
    """End the kernel of the notebook that is open, and close it unsaved."""
    page.evaluate(
        """async () => {
          const widget = window.jupyterapp.shell.currentWidget;
          await widget.sessionContext.shutdown();
          await widget.context.revert();
          widget.close();
        }"""
    )


def code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """All outputs, in order."""
    return [output for cell in code(notebook) for output in cell["outputs"]]


def text(value: Any) -> str:
    """A text of a notebook, which may be saved as lines."""
    return value if isinstance(value, str) else "".join(value)


def committed(page: Page, notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook that is open as the repository keeps it: with pictures of what only a running
    Jupyter shows, and nothing that only this run can use."""
    notebook = json.loads(json.dumps(notebook))
    notebook["metadata"] = {
        "kernelspec": notebook["metadata"]["kernelspec"],
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook["cells"]):
        cell["metadata"] = {}
        cell.pop("attachments", None)
        cell["source"] = text(cell["source"]).splitlines(keepends=True)
        if cell["cell_type"] == "code":
            kept = [_kept(page, number, i, each) for i, each in enumerate(cell["outputs"])]
            cell["outputs"] = [each for each in kept if each is not None]
    return notebook


def write(name: str, notebook: dict[str, Any]) -> None:
    """Save it in the repository."""
    saved = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
    (FOLDER / f"{name}.ipynb").write_text(f"{saved}\n")


def _kept(page: Page, cell: int, number: int, one: dict[str, Any]) -> dict[str, Any] | None:
    data = one.get("data")
    if data is None:
        return one
    one["metadata"] = {}
    if PANEL in data or JOB in data:
        shown = output(page, cell, number).locator(".jpx-Panel")
        picture = shown.screenshot(scale="css", style=".Toastify { display: none }")
        plain = text(data["text/plain"])
        # The panel is live wherever it is opened; another server knows nothing of this run's job.
        live = {PANEL: data[PANEL]} if PANEL in data else {}
        one["data"] = {**live, "image/jpeg": _jpeg(picture), "text/plain": plain}
    elif EDITOR in data:
        # Not live: before the first run there is no film for it to show.
        shown = output(page, cell, number).locator(".jpx-Editor")
        expect(shown.locator(".jpx-Stage > img")).to_be_visible(timeout=60_000)
        expect(shown.locator(".jpx-Result img")).to_be_visible(timeout=60_000)
        picture = shown.screenshot(scale="css", style=".Toastify { display: none }")
        one["data"] = {"image/jpeg": _jpeg(picture), "text/plain": text(data["text/plain"])}
    elif WIDGET in data:
        return None  # a bar of progress
    elif embedded := _EMBEDDED.search(text(data.get("text/html", ""))):
        picture = _jpeg(base64.b64decode(embedded[1]))
        one["data"] = {"image/jpeg": picture, "text/plain": text(data["text/plain"])}
    elif "image/jpeg" in data:
        picture = _jpeg(base64.b64decode(text(data["image/jpeg"])))
        one["data"] = {"image/jpeg": picture, "text/plain": text(data["text/plain"])}
    return one


def _jpeg(data: bytes) -> str:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=75, optimize=True)
    return base64.b64encode(out.getvalue()).decode()
