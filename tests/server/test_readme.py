"""The README's lines of Python, typed into a notebook beside a film of one's own."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from PIL import Image
from server_support import REPOSITORY, RunningServer, notebook_kernel
from support import ffmpeg

README = (REPOSITORY / "README.md").read_text()
(SPEC,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHOWN = README.split("```python\n")[1].split("```text\n")[1].split("```")[0]


@pytest.fixture
def kernel(server: RunningServer) -> Iterator[BlockingKernelClient]:
    film = server.root / "mine/match.mp4"
    film.parent.mkdir()
    picture = "testsrc2=size=640x360:rate=30:duration=5"
    ffmpeg("-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p", "-g", 30, film)
    with notebook_kernel(server, "mine/new.ipynb") as client:
        yield client


def shown(kernel: BlockingKernelClient, code: str) -> dict[str, Any]:
    """What a cell shows of its value, by type."""
    bundle: dict[str, Any] = {}
    wrong: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "execute_result":
            bundle.update(message["content"]["data"])
        elif message["msg_type"] == "error":
            wrong.append(json.dumps(message["content"]))

    kernel.execute_interactive(code, output_hook=hear, timeout=120)
    assert wrong == []
    return bundle


def test_five_lines_lead_to_a_cropped_and_highlighted_film(
    server: RunningServer, kernel: BlockingKernelClient
) -> None:
    statements = [line for line in SPEC.splitlines() if line.strip()]
    said = dict(re.findall(r"^(.*?\S)\s{2,}(.*)$", SHOWN, re.MULTILINE))
    preview, estimate, export, finish = said
    wait, result = finish.split("; ")
    assert (preview, estimate, result) == ("goal.preview(2)", "goal.estimate()", "job.result")
    assert len([*statements, export, wait]) == 5

    shown(kernel, SPEC)
    frame = shown(kernel, "goal.preview(2)")
    assert "image/jpeg" in frame
    assert "1 rendered" in shown(kernel, "goal.estimate()")["text/html"]
    row = shown(kernel, f"{export}\njob")
    assert "application/vnd.jupyter-export.job+json" in row
    shown(kernel, wait)
    assert "<video" in shown(kernel, result)["text/html"]

    def pixels(path: Path, number: int) -> np.ndarray:
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
        return np.asarray(frames[number].to_image(), dtype=float)

    made = server.root / "mine/goal.mp4"
    with av.open(str(made)) as container:
        assert len(list(container.decode(video=0))) == 90
    # Two seconds into the export is three into the film.
    exported = pixels(made, 60)
    source = pixels(server.root / "mine/match.mp4", 90)[:360, 140:500]
    assert exported.shape == (360, 360, 3)
    differs = np.abs(exported - source).max(axis=2) > 60
    # The ring on the ground is there, and all else is as it was.
    ring = differs[280:320, 120:240]
    assert ring.mean() > 0.02
    assert differs.sum() - ring.sum() < 0.02 * differs.size
    # The preview was this frame.
    data = shown(kernel, "import base64; base64.b64encode(goal.preview(2).jpeg).decode()")

    preview_pixels = Image.open(io.BytesIO(base64.b64decode(data["text/plain"].strip("'"))))
    assert np.abs(np.asarray(preview_pixels, dtype=float) - exported).mean() < 5
