"""The finished file of a job, and what a video is like before anything is made of it."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from server_support import RunningServer, clip

CLIP = "subtitles_mov_text.mp4"


@pytest.fixture(scope="module")
def made(server: RunningServer) -> str:
    """The id of a completed job."""
    server.add(CLIP)
    id: str = server.submit(clip(CLIP, "Ärger & co; x.mp4"))["id"]
    server.until(id, "completed")
    return id


def test_the_file_comes_whole_with_its_name_and_type(server: RunningServer, made: str) -> None:
    response = server.http.get(f"jobs/{made}/file")
    assert response.status_code == 200
    assert response.content == (server.root / "Ärger & co; x.mp4").read_bytes()
    headers = response.headers
    assert headers["content-type"] == "video/mp4"
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == (
        "attachment; filename*=UTF-8''%C3%84rger%20%26%20co%3B%20x.mp4"
    )
    again = server.http.get(f"jobs/{made}/file", headers={"If-None-Match": headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_player_gets_the_range_that_it_asks_for(server: RunningServer, made: str) -> None:
    whole = (server.root / "Ärger & co; x.mp4").read_bytes()
    size = len(whole)

    def ask(**headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return server.http.get(f"jobs/{made}/file", headers=named)

    part = ask(Range="bytes=1000-300999")
    assert (part.status_code, part.content) == (206, whole[1000:301000])
    assert part.headers["content-range"] == f"bytes 1000-{min(301000, size) - 1}/{size}"
    end = ask(Range="bytes=-10")
    assert (end.status_code, end.content) == (206, whole[-10:])
    # Of another version of the file, a range would not fit to what the player has.
    other = ask(Range="bytes=-10", If_Range='"another"')
    assert (other.status_code, other.content) == (200, whole)
    same = ask(Range="bytes=-10", If_Range=part.headers["etag"])
    assert (same.status_code, same.content) == (206, whole[-10:])
    behind = ask(Range=f"bytes={size}-")
    assert behind.status_code == 416
    assert behind.headers["content-range"] == f"bytes */{size}"
    assert behind.headers["content-type"] == "application/problem+json"


def test_only_what_is_finished_and_inside_the_root_is_given(
    server: RunningServer, tmp_path: Path
) -> None:
    server.post("queue/pause")
    id = server.submit(clip(server.add(CLIP), "later.mp4"))["id"]
    assert server.http.get(f"jobs/{id}/file").status_code == 409
    server.post("queue/resume")
    server.until(id, "completed")
    output = server.root / "later.mp4"
    secret = tmp_path / "secret.mp4"
    secret.write_text("not for you")
    output.unlink()
    assert server.http.get(f"jobs/{id}/file").json()["type"] == "source-missing"
    output.symlink_to(secret)
    problem = server.http.get(f"jobs/{id}/file").json()
    assert (problem["type"], problem["field"]) == ("path-error", "output")
    output.unlink()
    (server.root / "notes.txt").write_text("not for you either")
    output.symlink_to(server.root / "notes.txt")
    assert server.http.get(f"jobs/{id}/file").json()["type"] == "path-error"
    output.unlink()
    assert server.http.get("jobs/none/file").status_code == 404
    stranger = httpx.get(f"{server.url}jupyter-export/jobs/{id}/file", trust_env=False)
    assert stranger.status_code == 403


def test_a_viewer_who_goes_away_or_stops_reading_does_not_fill_the_server(
    server: RunningServer,
) -> None:
    id = server.submit(clip(server.add(CLIP), "huge.mp4"))["id"]
    server.until(id, "completed")
    with (server.root / "huge.mp4").open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 2**28)  # a file of holes would be refused
    before = memory(server)
    with server.http.stream("GET", f"jobs/{id}/file") as response:
        assert response.headers["content-length"] == str(2**28)
        for _ in response.iter_bytes(2**20):
            break
        # While this one is stuck, the server answers others, and reads nothing ahead.
        assert server.http.get("health").status_code == 200
        assert memory(server) - before < 64 * 2**20
    assert server.http.get(f"jobs/{id}/file", headers={"Range": "bytes=-1"}).content == b"\0"


def memory(server: RunningServer) -> int:
    """Bytes that the server's process holds."""
    text = Path(f"/proc/{server.process.pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_video_is_probed_by_its_path(server: RunningServer, tmp_path: Path) -> None:
    server.add("bunny_720p25.mp4")
    facts = server.http.get("probe", params={"path": "bunny_720p25.mp4"}).json()
    assert (facts["width"], facts["height"]) == (1280, 720)
    assert facts["duration"] == pytest.approx(5.3, abs=0.5)
    (server.root / "words.mp4").write_text("no video")
    (server.root / "way-out.mp4").symlink_to(tmp_path)
    for path, kind in (
        ("words.mp4", "source-unreadable"),
        ("none.mp4", "source-missing"),
        ("../x.mp4", "path-error"),
        ("way-out.mp4", "path-error"),
        ("http://127.0.0.1/x.mp4", "source-missing"),
    ):
        response = server.http.get("probe", params={"path": path})
        problem = response.json()
        assert (response.status_code, problem["type"], problem["field"]) == (422, kind, "path")
    assert server.http.get("probe").status_code == 422
