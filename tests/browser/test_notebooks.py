"""Every notebook of the repository, from top to bottom in a real JupyterLab.

    python tests/browser/test_notebooks.py [NAME …]

runs them and writes them back with their outputs.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from browser_support import chromium
from lab_support import RunningLab, new_context, open_lab
from notebook_support import (
    EDITOR,
    JOB,
    NAMES,
    PANEL,
    code,
    committed,
    execute,
    lay_out,
    output,
    outputs,
    shut,
    text,
    write,
)
from playwright.sync_api import Browser, Page, expect
from support import complaints

KINDS = {"clip", "concat", "framing", "overlay", "annotate", "compare"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    running = RunningLab(tmp_path_factory.mktemp("notebooks"))
    lay_out(running)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def page(lab: RunningLab, browser: Browser) -> Iterator[Page]:
    """One page for all: starting JupyterLab is what takes longest."""
    context = new_context(browser)
    yield open_lab(context, lab)
    context.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_top_to_bottom(name: str, lab: RunningLab, page: Page) -> None:
    before = {job["id"] for job in lab.http.get("jobs?limit=500").json()["jobs"]}
    notebook = execute(page, name)
    try:
        wrong = [
            f"{one['ename']}: {one['evalue']}"
            for one in outputs(notebook)
            if one["output_type"] == "error"
        ]
        assert wrong == []
        assert [cell["execution_count"] for cell in code(notebook)] == list(
            range(1, len(code(notebook)) + 1)
        )

        made = [
            job for job in lab.http.get("jobs?limit=500").json()["jobs"] if job["id"] not in before
        ]
        kinds = {job["kind"] for job in made}
        assert kinds >= {name} & KINDS and made
        for job in made:
            assert job["state"] == "completed", job
            path = lab.root / job["output"]
            assert path.parent == lab.root / "notebooks/exports"
            assert complaints(path) == ""

        # Rows and panels are drawn, not only sent.
        for number, cell in enumerate(notebook["cells"]):
            for i, one in enumerate(cell.get("outputs", ())):
                if PANEL in one.get("data", {}) or JOB in one.get("data", {}):
                    row = output(page, number, i).locator(".jpx-Row").first
                    expect(row).to_have_attribute("data-state", "completed")
                if EDITOR in one.get("data", {}):
                    still = output(page, number, i).locator(".jpx-Editor .jpx-Stage > img")
                    expect(still).to_be_visible(timeout=60_000)

        # The film at its end plays.
        films = [
            number
            for number, cell in enumerate(notebook["cells"])
            for one in cell.get("outputs", ())
            if "<video" in text(one.get("data", {}).get("text/html", ""))
        ]
        assert films
        video = output(page, films[-1]).locator("video")
        expect(video).to_be_visible()
        played = video.evaluate(
            """async (video) => {
              video.muted = true;
              video.playbackRate = 8;
              const over = new Promise((resolve, reject) => {
                video.onended = resolve;
                video.querySelector('source').onerror = () => reject(new Error('no such film'));
              });
              await video.play();
              await over;
              return [video.currentTime, video.videoWidth];
            }"""
        )
        assert played[0] > 1 and played[1] > 0
    finally:
        shut(page)


def main(names: list[str]) -> None:
    """Run the notebooks and write them back."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        lab = RunningLab(Path(folder) / "lab")
        try:
            lay_out(lab)
            page = open_lab(new_context(browser), lab)
            for name in names or NAMES:
                write(name, committed(page, execute(page, name)))
                shut(page)
        finally:
            lab.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
