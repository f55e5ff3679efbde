"""The Python client against a real server."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server_support import RunningServer, clip, eventually

import jupyter_export as jx
from jupyter_export.errors import (
    Cancelled,
    DuplicateJob,
    JobNotFound,
    OutputInUse,
    PathError,
    ServerUnreachable,
    SourceMissing,
    SpecError,
)
from jupyter_export.job import State
from jupyter_export.notebook.client import Client, connect

CLIP = "subtitles_mov_text.mp4"


@pytest.fixture
def client(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that stands in the server's root, as a notebook there does."""
    monkeypatch.chdir(server.root)
    with connect(server.url, server.token) as client:
        yield client


def test_waiting_ends_with_the_finished_file(client: Client, server: RunningServer) -> None:
    job = client.submit(jx.clip(CLIP, 0, 1, output="waited.mp4", quality="fast"))
    assert job.wait(60, progress=False).state is State.COMPLETED
    assert (server.root / job.output).is_file()
    assert job.progress["percent"] == 100
    assert job.id in [j.id for j in client.recent()]
    assert job.id in [j.id for j in client.jobs()]
    assert client.job(job.id).output == "waited.mp4"


def test_the_bar_tells_frames_speed_and_the_end(client: Client) -> None:
    log = io.StringIO()
    job = client.submit(
        jx.clip("timecode_720p30.mp4", 0, 12, output="bar.mp4", quality="quality", smart=False)
    )
    job.wait(120, file=log)
    lines = log.getvalue().splitlines()
    assert lines and all(line.startswith("bar.mp4: ") for line in lines)
    assert lines[-1] == "bar.mp4: 100 %, completed"
    percent = [int(re.search(r": (\d+) %", line)[1]) for line in lines]  # type: ignore[index]
    assert percent == sorted(percent) and len(percent) <= 12


def test_the_bar_below_a_cell_shows_the_frames(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client.submit(jx.clip(CLIP, 0, 1, output="cell.mp4", quality="fast")).wait(60)
    shown = capsys.readouterr().err
    assert "cell.mp4: 100%" in shown and "20/20 frames" in shown


def test_a_failed_export_raises_its_own_error(client: Client, server: RunningServer) -> None:
    source = server.add(CLIP, to="gone.mp4")
    client.queue("pause")
    try:
        job = client.submit(clip(source, "never.mp4"))
        (server.root / source).unlink()
    finally:
        client.queue("resume")
    with pytest.raises(SourceMissing, match=r"gone\.mp4"):
        job.wait(60, progress=False)
    assert job.state is State.FAILED
    shutil.copy(server.root / CLIP, server.root / source)
    assert job.retry().wait(60, progress=False).state is State.COMPLETED


def test_a_cancelled_export_raises_cancelled(client: Client, paused: RunningServer) -> None:
    job = client.submit(clip(CLIP, "stopped.mp4"))
    assert job.cancel().state is State.CANCELLED
    with pytest.raises(Cancelled):
        job.wait(5, progress=False)


def test_waiting_no_longer_than_asked(client: Client, paused: RunningServer) -> None:
    job = client.submit(clip(CLIP, "patience.mp4"))
    with pytest.raises(TimeoutError, match="goes on"):
        job.wait(0.1, progress=False)
    assert job.refresh().state is State.QUEUED


def test_a_job_can_be_paused_and_resumed(client: Client, paused: RunningServer) -> None:
    job = client.submit(clip(CLIP, "flags.mp4"))
    assert job.pause().json["paused"] is True
    assert job.resume().json["paused"] is False
    assert [j.id for j in client.active()] == [job.id]


@pytest.mark.parametrize(
    ("spec", "error", "field"),
    [
        ({"kind": "clip"}, SpecError, "sources"),
        (clip("none.mp4", "a.mp4"), SourceMissing, "sources[0].path"),
        (clip("/etc/passwd", "a.mp4"), PathError, "sources[0].path"),
    ],
)
def test_a_refusal_arrives_as_the_error_it_is(
    client: Client, spec: dict[str, Any], error: type[SpecError], field: str
) -> None:
    with pytest.raises(error) as refused:
        client.submit(spec)
    assert type(refused.value) is error and refused.value.field == field


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, "\ud800"])
def test_a_value_that_json_cannot_carry_is_told(client: Client, value: Any) -> None:
    with pytest.raises(SpecError, match="cannot be written as JSON"):
        client.submit(clip(CLIP, "a.mp4", project=value))


def test_a_conflict_names_the_job_in_the_way(client: Client, paused: RunningServer) -> None:
    first = client.submit(clip(CLIP, "way.mp4", project="way"))
    with pytest.raises(OutputInUse) as taken:
        client.submit(clip(CLIP, "way.mp4", project="other"))
    assert taken.value.extra["job"] == first.id
    with pytest.raises(DuplicateJob) as twice:
        client.submit(clip(CLIP, "way2.mp4", project="way"))
    assert twice.value.extra["job"] == first.id
    client.submit(clip(CLIP, "way2.mp4", project="way"), allow_duplicate=True)
    with pytest.raises(JobNotFound):
        client.job("none")


def test_a_notebook_below_the_root_names_files_beside_it(
    client: Client, paused: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused.add(CLIP, to="below/near.mp4")
    monkeypatch.chdir(paused.root / "below")
    monkeypatch.setenv("JPY_SESSION_NAME", str(paused.root / "below" / "film.ipynb"))
    job = client.submit(clip("near.mp4", "near_out.mp4"))
    assert (job.output, job.json["spec"]["sources"][0]["path"]) == (
        "below/near_out.mp4",
        "below/near.mp4",
    )
    assert job.json["project"] == "below/film.ipynb"
    # Nobody named that project, so a second export from the same notebook is no duplicate.
    client.submit(clip("near.mp4", "near_out_2.mp4"))


def test_a_name_that_is_markup_is_shown_as_text(client: Client, paused: RunningServer) -> None:
    job = client.submit(clip(CLIP, "<img src=x onerror=alert(1)>.mp4"))
    bundle = job._repr_mimebundle_()
    assert "<img" not in bundle["text/html"] and "&lt;img" in bundle["text/html"]
    assert job.id in bundle["text/plain"]


def test_a_wrong_token_is_told_from_a_missing_server(server: RunningServer) -> None:
    with pytest.raises(ServerUnreachable, match="refuses the token"):
        connect(server.url, "wrong")
    with pytest.raises(ServerUnreachable, match="does not answer"):
        connect("http://127.0.0.1:9/", "x")


def test_a_server_without_the_extension_is_told(
    own_server: Callable[..., RunningServer],
) -> None:
    running = own_server(**{"ServerApp.jpserver_extensions": {"jupyter_export": False}})
    with pytest.raises(ServerUnreachable, match="does not have the extension"):
        connect(running.url, running.token)


def test_waiting_survives_a_restart_of_the_server(
    own_server: Callable[..., RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = own_server()
    running.add("timecode_720p30.mp4")
    monkeypatch.chdir(running.root)
    with connect(running.url, running.token) as client:
        job = client.submit(
            jx.clip(
                "timecode_720p30.mp4", 0, 20, output="restarted.mp4", quality="quality", smart=False
            )
        )
        eventually(lambda: job.refresh().progress["frames"] > 30, why=lambda: str(job.json))
        running.stop()
        with pytest.raises(ServerUnreachable):
            job.refresh()
        from threading import Timer

        timer = Timer(1.0, running.start)
        timer.start()
        try:
            job.wait(120, progress=False)
        finally:
            timer.join()
    assert job.state is State.COMPLETED
    assert (running.root / "restarted.mp4").is_file()


def test_a_kernel_finds_the_server_that_started_it(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("JUPYTER_EXPORT_URL", "JUPYTERHUB_SERVICE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", server.environment["JUPYTER_RUNTIME_DIR"])
    monkeypatch.setenv("JPY_PARENT_PID", str(server.process.pid))
    with connect() as client:
        assert client.url == server.url
        assert Path(client.root) == server.root
    # A server that crashed leaves its file; one that took over its process id does not answer.
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "jpserver-1.json").write_text(
        '{"pid": 1, "url": "http://127.0.0.1:9/", "token": ""}'
    )
    with pytest.raises(ServerUnreachable, match="does not answer"):
        connect()


def test_an_administrator_reads_health_limits_and_metrics(client: Client) -> None:
    assert client.health()["status"] == "ok"
    before = client.limits()
    try:
        assert client.limits(max_concurrent_exports=2) == {**before, "max_concurrent_exports": 2}
        assert client.limits()["max_concurrent_exports"] == 2
    finally:
        client.limits(max_concurrent_exports=before["max_concurrent_exports"])
    with pytest.raises(SpecError, match="max_exports"):
        client.limits(max_exports=2)
    assert "\njupyter_export_running 0.0\n" in client.metrics()
