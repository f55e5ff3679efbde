"""What an export would take, told before it is queued, by a real server and its real plan."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from server_support import TOKEN, RunningServer, clip
from support import ffmpeg

import jupyter_export as jx
from jupyter_export.errors import DiskFull, SourceMissing

CLIP = "timecode_720p30.mp4"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path_factory.mktemp("estimates"))
    server.add(CLIP)
    server.add("subtitles_mov_text.mp4")
    yield server
    server.stop()


@pytest.fixture
def client(server: RunningServer) -> Iterator[jx.Client]:
    with jx.connect(server.url, TOKEN) as client:
        yield client


def estimate(server: RunningServer, spec: dict[str, Any]) -> dict[str, Any]:
    response = server.post("estimate", {"spec": spec})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def framing(output: str, end: float = 3.0, **encoding: Any) -> jx.ExportSpec:
    spec = jx.clip(CLIP, 0, end).crop((100, 0, 720, 720)).to(output)
    return spec.encode(quality="fast", **encoding)


def test_an_estimate_is_of_the_export_that_would_be_made(
    server: RunningServer, client: jx.Client
) -> None:
    spec = framing("estimated.mp4")
    before = client.estimate(spec)
    assert before.refusal is None
    assert (before.frames, before.size, before.encoder["name"]) == (90, (720, 720), "libx264")
    assert before.segments.rendered == before.segments.total > 0
    assert client.jobs() == [], "an estimate queues nothing"
    done = client.submit(spec).wait(progress=False)
    assert done.json["result"]["frames"] == before.frames
    assert done.json["segments"]["total"] == before.segments.total
    assert before.bytes / 4 < done.json["result"]["bytes"] < before.bytes * 4
    # What is in the cache need not be rendered again, and how large it is, is known.
    after = client.estimate(spec)
    assert after.segments.reused == after.segments.total
    assert after.bytes == pytest.approx(done.json["result"]["bytes"], rel=0.25)
    fresh = client.estimate(framing("fresh.mp4", size=(718, 718)))
    assert after.seconds < fresh.seconds


def test_finished_exports_of_a_kind_are_what_the_next_estimate_rests_on(
    server: RunningServer, client: jx.Client
) -> None:
    def asked() -> jx.Estimate:
        return client.estimate(framing("next.mp4", 4.0, size=(320, 320)))

    known = asked().examples
    for n in range(2):
        client.submit(framing(f"taught-{n}.mp4", 1 + n, size=(200 + 2 * n, 200))).wait(
            progress=False
        )
    assert asked().examples == known + 2
    # Found finished, it took no time, and tells nothing.
    client.submit(framing("again.mp4", 1, size=(200, 200))).wait(progress=False)
    assert "reused" in str(asked()) or asked().examples <= known + 3
    # Of another quality nothing is known yet.
    other = client.estimate(framing("other.mp4").encode(quality="quality"))
    assert other.examples == 0


def test_what_is_copied_is_told_from_what_is_rendered(server: RunningServer) -> None:
    spec = clip(CLIP, "cut.mp4", encoding={"quality": "fast"})
    spec["sources"][0] |= {"start": 0.5, "end": 30.0}
    found = estimate(server, spec)
    assert found["segments"]["copied"] > 0
    copied = estimate(server, {**spec, "encoding": {"quality": "fast", "smart": False}})
    assert copied["segments"]["copied"] == 0
    assert found["seconds"] < copied["seconds"]


def test_what_would_be_refused_is_refused_by_the_estimate(client: jx.Client) -> None:
    with pytest.raises(SourceMissing) as refused:
        client.estimate(jx.clip("nowhere.mp4"))
    assert refused.value.field == "sources[0].path"


def test_what_no_disk_here_can_hold_is_refused_before_it_is_queued(
    server: RunningServer, client: jx.Client
) -> None:
    """Slow motion in the largest lossless pictures, as often as it takes."""

    def slow(times: int) -> jx.ExportSpec:
        film = jx.source(CLIP, 0, 40, speed=0.1)
        spec = jx.concat(*[film] * times, output="huge.mkv", quality="lossless", audio="none")
        return spec.encode(size=(16384, 16384), fps=30)

    free = shutil.disk_usage(server.root).free
    spec = slow(math.ceil(4 * free / client.estimate(slow(1)).bytes))
    estimate = client.estimate(spec)
    assert estimate.bytes > 3 * free
    assert isinstance(estimate.refusal, DiskFull)
    with pytest.raises(DiskFull, match=r"about .* [GT]B, but only .* are free") as refused:
        client.submit(spec)
    assert refused.value.field == "output"
    assert [job for job in client.jobs() if "huge" in job.output] == []


def test_the_server_answers_while_an_hour_of_film_is_looked_at(
    server: RunningServer, client: jx.Client
) -> None:
    film = server.root / "hour.mp4"
    again = ("-stream_loop", "-1", "-i", server.root / CLIP, "-t", "3600", "-c", "copy", film)
    ffmpeg(*again)
    told: list[jx.Estimate] = []
    asking = threading.Thread(target=lambda: told.append(client.estimate(jx.clip("hour.mp4"))))
    asking.start()
    answers = 0
    with httpx.Client(timeout=10, trust_env=False) as http:
        while asking.is_alive():
            http.get(f"{server.url}jupyter-export/jobs", params={"token": TOKEN}).raise_for_status()
            answers += 1
    asking.join()
    (found,) = told
    assert found.duration == pytest.approx(3600, abs=1)
    assert found.segments.copied > 0
    assert answers > 5, "the server was busy with nothing else"
