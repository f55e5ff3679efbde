"""What becomes of frames that nobody waits for any more, and of those that no server renders."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import jupyter_export as jx
from jupyter_export.errors import SourceMissing
from jupyter_export.notebook import preview
from jupyter_export.notebook.history import History
from jupyter_export.queue import previews
from jupyter_export.settings import Settings

SPEC = jx.clip("a.mp4", output="b.mp4")
ANSWER = {"jpeg": "", "time": 0, "next": 0.04, "duration": 1, "width": 2, "height": 2}


class Worker:
    """An executor whose tasks take the seconds that are their `time`; says how each ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[float, str]] = []

    async def run(self, task: Any, on_progress: Any) -> dict[str, Any]:
        seconds = task.params["time"]
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.ended.append((seconds, "stopped"))
            raise
        self.ended.append((seconds, "done"))
        return ANSWER


async def test_a_frame_that_is_nearly_done_is_finished_and_a_slow_one_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(previews, "PATIENCE_SECONDS", 0.2)
    worker: Any = Worker()
    shown = previews.Previews(tmp_path, Settings(), worker)
    wishes = [asyncio.create_task(shown.frame(SPEC, seconds, 64)) for seconds in (0.1, 0.05)]
    await asyncio.sleep(0.02)
    for wish in wishes:
        wish.cancel()
    slow = asyncio.create_task(shown.frame(SPEC, 30.0, 64))
    while len(worker.ended) < 1:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.02)
    slow.cancel()
    assert (await shown.frame(SPEC, 0.0, 64)).next == 0.04
    # The second one, which waited for its turn, was never begun.
    assert worker.ended == [(0.1, "done"), (30.0, "stopped"), (0.0, "done")]


def test_without_a_server_a_worker_of_this_process_shows_the_frame(
    media: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in preview._OF_A_SERVER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(preview, "_worker", None)
    monkeypatch.chdir(media)
    name = "bunny_720p25.mp4"
    spec = jx.clip(name, 1.0, 2.0, output="never.mp4")
    frame = spec.preview(0.5)
    with av.open(name) as container:
        (source,) = [f.to_image() for f in container.decode(video=0) if round(f.time * 25) == 37]
    shown = np.asarray(Image.open(io.BytesIO(frame.jpeg)), dtype=float)
    assert (frame.time, frame.size) == (0.48, (1280, 720))
    assert np.abs(shown - np.asarray(source)).mean() < 4
    # From another folder, by an absolute path.
    monkeypatch.chdir(tmp_path)
    again = jx.clip(str(media / name), 1.0, 2.0, output="never.mp4").preview(0.5)
    assert again.jpeg == frame.jpeg
    with pytest.raises(SourceMissing, match=r"no file 'gone.mp4'"):
        jx.clip("gone.mp4", output="never.mp4").preview()
    assert preview._worker is not None
    preview._worker.close()


def test_two_histories_that_hear_of_each_others_changes_agree() -> None:
    here: History[int] = History()
    there: History[int] = History()
    value = 0
    for step in (1, 2, 3):
        for side in (here, there):
            side.changed(value, step)
        value = step
    for undone in (2, 1):
        asked = here if undone == 2 else there
        assert asked.before == undone
        for side in (here, there):
            side.changed(value, undone)
        value = undone
    assert (here.before, here.after, there.before, there.after) == (0, 2, 0, 2)
    for side in (here, there):
        side.changed(1, 7)
    assert (here.after, there.after, here.before) == (None, None, 1)


def test_an_editor_is_told_what_is_wrong_and_takes_no_wrong_spec_from_a_page(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in preview._OF_A_SERVER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(preview, "_worker", None)
    monkeypatch.chdir(media)
    editor = jx.editor("bunny_720p25.mp4", 1, 2, size=(360, 640))
    (key,) = editor.spec.sources[0].effects[0].keyframes
    assert (key.time, key.x, key.y, key.width, key.height) == (1, 437.5, 0, 405, 720)
    assert editor.spec.output == "bunny_720p25-edited.mp4"
    before = editor.spec
    with pytest.raises(jx.ExportError, match="There is no such field"):
        editor.spec = {**before.model_dump(mode="json"), "colour": "red"}
    told = editor.get_state("spec")["spec"]
    editor.set_state({"spec": {**told, "sources": []}})
    assert editor.spec == before
    editor.set_state({"spec": {**told, "output": "other.mp4"}})
    assert editor.spec.output == "other.mp4"
    editor.undo()
    assert editor.spec == before
    editor.redo()
    assert editor.spec.output == "other.mp4"
    editor.close()
    assert preview._worker is not None
    preview._worker.close()
