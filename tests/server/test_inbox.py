"""A watched folder: what comes into it is exported once, whole, and never again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server_support import MEDIA, TOKEN, RunningServer, eventually

import jupyter_export as jx
from jupyter_export.errors import SpecError
from jupyter_export.notebook.inbox import Inbox

FILM = MEDIA / "subtitles_mov_text.mp4"


@pytest.fixture
def place(
    server: RunningServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of this test alone, with one to watch and one for exports in it."""
    place = server.root / request.node.name
    (place / "in").mkdir(parents=True)
    (place / "out").mkdir()
    monkeypatch.chdir(place)
    return place


def template(output: str = "out/{stem}-short.mp4", end: float = 0.5) -> dict[str, Any]:
    spec = jx.clip("{path}", 0, end, output=output, quality="fast", smart=False)
    return spec.model_dump(mode="json")


@pytest.fixture
def inbox(server: RunningServer, place: Path) -> Iterator[Callable[..., Inbox]]:
    with jx.connect(server.url, TOKEN) as client:

        def make(**more: Any) -> Inbox:
            options = {"settle": 0.2, "memory": place / "memory.json", "say": said.append, **more}
            return Inbox(client, place / "in", template(), **options)

        said: list[str] = []
        yield make


def jobs_of(server: RunningServer, place: Path) -> list[dict[str, Any]]:
    every = server.http.get("jobs", params={"limit": 500}).json()["jobs"]
    return [job for job in every if job["output"].startswith(place.name)]


def test_every_video_is_exported_once_however_often_the_watcher_starts(
    server: RunningServer, place: Path
) -> None:
    for name in ("one.mp4", "{stem} two.mp4", ".hidden.mp4"):
        shutil.copy(FILM, place / "in" / name)
    (place / "in" / "notes.txt").write_text("no video")
    (place / "template.json").write_text(json.dumps(template()))

    def watch() -> subprocess.CompletedProcess[str]:
        command = ["watch-folder", "in", "template.json", "--once", "--settle", "0.2"]
        return subprocess.run(
            [sys.executable, "-m", "jupyter_export.cli", *command],
            cwd=place,
            env=server.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    first = watch()
    assert first.returncode == 0, first.stderr
    assert len(first.stdout.splitlines()) == 2
    jobs = jobs_of(server, place)
    assert {Path(job["output"]).name for job in jobs} == {"one-short.mp4", "{stem} two-short.mp4"}
    for job in jobs:
        server.until(job["id"], "completed")
    assert watch().stdout == "", "what is remembered is not even asked for"
    shutil.rmtree(Path(server.environment["JUPYTER_DATA_DIR"]) / "jupyter_export" / "inboxes")
    assert watch().returncode == 0
    assert len(jobs_of(server, place)) == 2, "the queue knows them, too"
    # A new version of a file is new.
    shutil.copy(MEDIA / "timecode_720p30.mp4", place / "in" / "one.mp4")
    assert "one.mp4" in watch().stdout
    assert len(jobs_of(server, place)) == 3


def test_a_file_that_still_grows_is_waited_for(
    server: RunningServer, place: Path, inbox: Callable[..., Inbox]
) -> None:
    data, film = FILM.read_bytes(), place / "in" / "growing.mp4"
    watcher = inbox()
    film.write_bytes(data[: len(data) // 2])
    assert watcher.look() == 1
    with film.open("ab") as file:
        file.write(data[len(data) // 2 :])
    assert watcher.look() == 1, "it has just changed"
    eventually(lambda: watcher.look() == 0)
    (job,) = jobs_of(server, place)
    assert server.until(job["id"], "completed")["result"]["frames"] == 10


def test_half_a_file_is_refused_and_the_whole_one_exported(
    server: RunningServer, place: Path, inbox: Callable[..., Inbox]
) -> None:
    said: list[str] = []
    watcher = inbox(say=said.append)
    film = place / "in" / "stalled.mp4"
    film.write_bytes(FILM.read_bytes()[:2000])
    eventually(lambda: watcher.look() == 0)
    assert len(said) == 1 and "stalled.mp4" in said[0]
    watcher.look()
    assert len(said) == 1, "told once"
    film.write_bytes(FILM.read_bytes())
    eventually(lambda: watcher.look() == 0 and len(said) == 2)
    (job,) = jobs_of(server, place)
    server.until(job["id"], "completed")


def test_what_keeps_its_old_time_is_whole(
    server: RunningServer, place: Path, inbox: Callable[..., Inbox]
) -> None:
    film = place / "in" / "moved.mp4"
    shutil.copy(FILM, film)
    os.utime(film, (1e9, 1e9))
    assert inbox(settle=60.0).look() == 0
    assert len(jobs_of(server, place)) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"output": "out/always.mp4"}, "output"),
        ({"output": "in/{stem}-again.mp4"}, "output"),
        ({"sources": [{"path": "fixed.mp4"}]}, "sources[0].path"),
    ],
)
def test_a_template_that_cannot_work_is_refused_at_once(
    place: Path, server: RunningServer, changes: dict[str, Any], field: str
) -> None:
    with jx.connect(server.url, TOKEN) as client, pytest.raises(SpecError) as refused:
        Inbox(client, place / "in", template() | changes)
    assert refused.value.field == field
