"""What REST refuses, and how it says so; what it promises about jobs."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_support import RunningServer, clip, eventually

CLIP = "subtitles_mov_text.mp4"


def refusal(response: Any, status: int) -> dict[str, Any]:
    """The problem details of a refused request."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["title"] and problem["detail"] and problem["type"]
    assert "Traceback" not in response.text
    return problem


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "kind"),
        (clip(CLIP, "a.mp4", kind="reframe"), "kind"),
        (clip(CLIP, "a.mp4", sources=[]), "sources"),
        (clip(CLIP, "a.mp4", sources=[{"path": CLIP, "start": -1}]), "sources[0].start"),
        (clip(CLIP, "a.mp4", sources=[{"path": CLIP, "start": "x"}]), "sources[0].start"),
        (clip(CLIP, "a.mp4", sources=[{"path": CLIP, "start": 2, "end": 1}]), "sources[0].end"),
        (clip(CLIP, "a.mp4", sources=[{"path": 7}]), "sources[0].path"),
        (clip(CLIP, "a.mp4", encoding={"codec": "divx"}), "encoding.codec"),
        (clip(CLIP, "a.mp4", encoding={"size": [101, 100]}), "encoding.size"),
        (clip(CLIP, "a.mp4", encoding={"encoder": "x -vf movie=/etc/passwd"}), "encoding.encoder"),
        (clip(CLIP, "a.mp4", encoding={"encoder": "h264_none"}), "encoding.encoder"),
        (clip(CLIP, "a.mp4", ffmpeg="-y"), "ffmpeg"),
        (clip(CLIP, "a.mp4", project=""), "project"),
        (clip(CLIP, "a.mp4", project="\ud800"), None),
        (clip(CLIP, "a.exe"), "output"),
        (clip("none.mp4", "a.mp4"), "sources[0].path"),
        (clip(CLIP, "no/such/folder/a.mp4"), "output"),
    ],
)
def test_a_wrong_spec_is_refused_with_its_field(
    server: RunningServer, spec: dict[str, Any], field: str | None
) -> None:
    body = json.dumps({"spec": spec})
    problem = refusal(server.http.post("jobs", content=body), 400 if field is None else 422)
    assert problem["field"] == field
    assert server.http.get("jobs/active").json()["jobs"] == []


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 422, "spec"),
        (b"{", 400, None),
        (b"\xff\xfe", 400, None),
        (b"[" * 100_000, 400, None),
        (b"[]", 422, None),
        (b'"spec"', 422, None),
        (b"{}", 422, "spec"),
        (b'{"spec": []}', 422, "spec"),
        (b'{"spec": {}, "priority": "high"}', 422, "priority"),
        (b'{"spec": {}, "priority": true}', 422, "priority"),
        (b'{"spec": {}, "priority": 1e9}', 422, "priority"),
        (b'{"spec": {}, "allow_duplicate": "no"}', 422, "allow_duplicate"),
        (b'{"spec": {}, "sudo": 1}', 422, "sudo"),
        (b'{"spec": "' + b"x" * 2**20 + b'"}', 413, None),
    ],
)
def test_a_wrong_body_is_refused(
    server: RunningServer, body: bytes, status: int, field: str | None
) -> None:
    assert refusal(server.http.post("jobs", content=body), status)["field"] == field


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("jobs?state=done", "state"),
        ("jobs?limit=0", "limit"),
        ("jobs?limit=many", "limit"),
        ("jobs?limit=100000", "limit"),
        ("jobs?project=", "project"),
        ("jobs?before=" + "x" * 100, "before"),
        ("jobs/recent?hours=-1", "hours"),
        ("jobs/recent?hours=nan", "hours"),
        ("hardware?refresh=perhaps", "refresh"),
    ],
)
def test_a_wrong_query_is_refused_with_its_parameter(
    server: RunningServer, query: str, field: str
) -> None:
    assert refusal(server.http.get(query), 422)["field"] == field


@pytest.mark.parametrize(
    "address", ["", "nothing", "jobs/x/y/z", "jobs/x/explode", "queue/stop", "schema/other.json"]
)
def test_an_unknown_address_is_a_problem_and_no_page(server: RunningServer, address: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        refusal(server.http.request(method, address), 404)


@pytest.mark.parametrize(
    ("method", "address", "allowed"),
    [
        ("PUT", "jobs", "GET, POST"),
        ("POST", "health", "GET"),
        ("GET", "queue/pause", "POST"),
        ("GET", "jobs/x/cancel", "POST"),
        ("PUT", "jobs/x", "GET, DELETE, PATCH"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    server: RunningServer, method: str, address: str, allowed: str
) -> None:
    response = server.http.request(method, address)
    refusal(response, 405)
    assert sorted(response.headers["allow"].split(", ")) == sorted(allowed.split(", "))


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "jobs/none"),
        ("DELETE", "jobs/none"),
        ("GET", "jobs/none/log"),
        ("POST", "jobs/none/cancel"),
        ("POST", "jobs/none/retry"),
        ("POST", "jobs/none/pause"),
        ("POST", "jobs/none/resume"),
        ("GET", "jobs/%00"),
        ("GET", "jobs/" + "x" * 3000),
    ],
)
def test_an_unknown_job_is_not_found(server: RunningServer, method: str, address: str) -> None:
    assert refusal(server.http.request(method, address), 404)["type"] == "job-not-found"


@pytest.fixture
def traps(server: RunningServer, tmp_path: Path) -> Path:
    """Ways out of the root, and a file outside of it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    source = outside / "secret.mp4"
    source.write_bytes((server.root / CLIP).read_bytes())
    folder = server.root / f"traps-{uuid.uuid4().hex}"
    folder.mkdir()
    (folder / "link.mp4").symlink_to(source)
    (folder / "linked").symlink_to(outside)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.mp4").write_bytes(source.read_bytes())
    (folder / ".b.mp4").write_bytes(source.read_bytes())
    (folder / "text.mp4").write_text("not a video")
    (folder / "empty.mp4").touch()
    (folder / "cut.mp4").write_bytes(source.read_bytes()[: source.stat().st_size // 5])
    (folder / "script.mp4").write_text("ffconcat version 1.0\nfile link.mp4\n")
    return folder


@pytest.mark.parametrize(
    ("path", "type"),
    [
        ("../secret.mp4", "path-error"),
        ("/etc/passwd", "path-error"),
        ("{traps}/../../../../etc/passwd", "path-error"),
        ("{traps}/link.mp4", "path-error"),
        ("{traps}/linked/secret.mp4", "path-error"),
        ("{traps}/.hidden/a.mp4", "path-error"),
        ("{traps}/.b.mp4", "path-error"),
        ("{traps}/link.mp4\x00.mp4", "path-error"),
        ("file:{traps}/text.mp4", "source-missing"),
        ("concat:a|b", "source-missing"),
        ("http://127.0.0.1/a.mp4", "source-missing"),
        ("{traps}", "source-unreadable"),
        ("{traps}/text.mp4", "source-unreadable"),
        ("{traps}/empty.mp4", "source-unreadable"),
        ("{traps}/cut.mp4", "source-unreadable"),
        ("{traps}/script.mp4", "source-unreadable"),
    ],
)
def test_a_source_that_may_not_be_read_is_refused(
    server: RunningServer, traps: Path, path: str, type: str
) -> None:
    spec = clip(path.replace("{traps}", traps.name), "out.mp4")
    problem = refusal(server.post("jobs", {"spec": spec}), 422)
    assert (problem["type"], problem["field"]) == (type, "sources[0].path")
    assert problem["advice"]
    assert str(server.root) not in problem["detail"], "the server's folders are nobody's business"


@pytest.mark.parametrize(
    "path",
    [
        "../out.mp4",
        "/tmp/out.mp4",
        "{traps}/linked/out.mp4",
        "{traps}/link.mp4",
        "{traps}/.hidden/out.mp4",
        "{traps}/.out.mp4",
        "{traps}/out.mp4\n",
        "{traps}/../.ssh/out.mp4",
    ],
)
def test_an_output_that_may_not_be_written_is_refused(
    server: RunningServer, traps: Path, path: str
) -> None:
    before = (traps / "link.mp4").read_bytes()
    spec = clip(CLIP, path.replace("{traps}", traps.name))
    problem = refusal(server.post("jobs", {"spec": spec}), 422)
    assert (problem["type"], problem["field"]) in {
        ("path-error", "output"),
        ("spec-error", "output"),
    }
    assert (traps / "link.mp4").read_bytes() == before


def test_an_export_over_its_own_source_is_refused(server: RunningServer) -> None:
    server.add(CLIP, to="own.mp4")
    before = (server.root / "own.mp4").read_bytes()
    problem = refusal(server.post("jobs", {"spec": clip("own.mp4", "own.mp4")}), 422)
    assert problem["field"] == "output"
    assert (server.root / "own.mp4").read_bytes() == before


def test_a_finished_export_can_be_played_and_found(server: RunningServer) -> None:
    response = server.post("jobs", {"spec": clip(CLIP, "done.mp4", project="finished")})
    assert response.status_code == 201
    id = response.json()["id"]
    assert response.headers["location"] == f"/base/jupyter-export/jobs/{id}"
    job = server.until(id, "completed", "failed")
    assert job["state"] == "completed", job
    assert job["progress"]["percent"] == 100
    assert job["encoder"]["name"] == "libx264" and job["encoder"]["reason"]
    assert (server.root / "done.mp4").stat().st_size == job["result"]["bytes"]
    assert id in [j["id"] for j in server.http.get("jobs/recent").json()["jobs"]]
    assert id not in [j["id"] for j in server.http.get("jobs/active").json()["jobs"]]
    (project,) = [
        p for p in server.http.get("projects").json()["projects"] if p["name"] == "finished"
    ]
    assert project["complete"] is True
    log = server.http.get(f"jobs/{id}/log")
    assert log.headers["content-type"].startswith("text/plain")


def test_the_second_job_for_an_output_learns_of_the_first(paused: RunningServer) -> None:
    first = paused.submit(clip(CLIP, "same.mp4"))
    spec = clip(CLIP, "./same.mp4", kind="clip", sources=[{"path": CLIP, "start": 1.0}])
    problem = refusal(paused.post("jobs", {"spec": spec, "allow_duplicate": True}), 409)
    assert (problem["type"], problem["job"]) == ("output-in-use", first["id"])
    assert "progress" in problem


def test_the_second_job_of_a_project_and_kind_must_be_meant(paused: RunningServer) -> None:
    first = paused.submit(clip(CLIP, "one.mp4", project="ours"))
    spec = clip(CLIP, "two.mp4", project="ours")
    problem = refusal(paused.post("jobs", {"spec": spec}), 409)
    assert (problem["type"], problem["job"]) == ("duplicate-job", first["id"])
    paused.submit(spec, allow_duplicate=True)
    paused.submit(clip(CLIP, "three.mp4", project="theirs"))


def test_a_repeated_request_gives_the_first_job(paused: RunningServer) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"spec": clip(CLIP, "once.mp4")}
    first = paused.post("jobs", body, headers=key)
    again = paused.post("jobs", body, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert len(paused.http.get("jobs/active").json()["jobs"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_unusable_idempotency_key_is_refused(server: RunningServer, key: str) -> None:
    headers = {"Idempotency-Key": key}
    response = server.post("jobs", {"spec": clip(CLIP, "x.mp4")}, headers=headers)
    assert refusal(response, 422)["field"] == "Idempotency-Key"


def test_pages_of_jobs_hold_every_job_once_newest_first(paused: RunningServer) -> None:
    ids = [paused.submit(clip(CLIP, f"p{n}.mp4", project="pages"), allow_duplicate=True)["id"]
           for n in range(5)]  # fmt: skip
    seen: list[str] = []
    before: str | None = None
    while True:
        query = {"project": "pages", "limit": "2"} | ({"before": before} if before else {})
        page = paused.http.get("jobs", params=query).json()
        assert 0 < len(page["jobs"]) <= 2
        seen += [job["id"] for job in page["jobs"]]
        before = page["next"]
        if before is None:
            break
    assert seen == ids[::-1]


def test_priority_moves_a_waiting_job_to_the_front(paused: RunningServer) -> None:
    first = paused.submit(clip(CLIP, "slow.mp4"))
    second = paused.submit(clip(CLIP, "urgent.mp4"))
    assert (first["queue_position"], second["queue_position"]) == (1, 2)
    changed = paused.http.patch(f"jobs/{second['id']}", json={"priority": 5})
    assert changed.json()["priority"] == 5
    assert paused.job(second["id"])["queue_position"] == 1
    assert paused.job(first["id"])["queue_position"] == 2
    assert paused.job(first["id"])["waiting_for"], "why it waits must be told"


def test_a_job_can_be_paused_resumed_cancelled_retried_and_forgotten(
    paused: RunningServer,
) -> None:
    id = paused.submit(clip(CLIP, "life.mp4"))["id"]
    assert paused.post(f"jobs/{id}/pause").json()["paused"] is True
    assert paused.post(f"jobs/{id}/resume").json()["paused"] is False
    assert paused.post(f"jobs/{id}/cancel").json()["state"] == "cancelled"
    refused = refusal(paused.post(f"jobs/{id}/pause"), 409)
    assert refused["type"] == "illegal-move" and id in refused["detail"]
    assert paused.post(f"jobs/{id}/retry").json()["state"] == "queued"
    refusal(paused.http.delete(f"jobs/{id}"), 409)
    paused.post(f"jobs/{id}/cancel")
    assert paused.http.delete(f"jobs/{id}").status_code == 204
    refusal(paused.http.get(f"jobs/{id}"), 404)


def test_cancelling_a_running_export_leaves_no_part_file(server: RunningServer) -> None:
    spec = clip("timecode_720p30.mp4", "long.mp4", sources=[{"path": "timecode_720p30.mp4"}])
    spec |= {
        "kind": "framing",
        "encoding": {"quality": "quality"},
        "sources": [
            {
                "path": "timecode_720p30.mp4",
                "effects": [
                    {
                        "type": "crop",
                        "size": [720, 720],
                        "keyframes": [{"time": 0, "x": 0, "y": 0, "width": 720, "height": 720}],
                    }
                ],
            }
        ],
    }
    id = server.submit(spec)["id"]
    eventually(lambda: server.job(id)["progress"]["frames"] > 0, why=lambda: str(server.job(id)))
    server.post(f"jobs/{id}/cancel")
    server.until(id, "cancelled")
    left = [file.name for file in server.root.iterdir()]
    assert not [name for name in left if "long" in name or ".part" in name]


def test_draining_is_shown_and_ends_with_resume(server: RunningServer) -> None:
    drained = server.post("queue/drain")
    try:
        assert drained.status_code == 200
        assert server.http.get("queue").json() == drained.json()
    finally:
        server.post("queue/resume").raise_for_status()
    assert server.http.get("queue").json() != drained.json()


def test_hardware_tells_why_each_encoder_can_or_cannot_be_used(server: RunningServer) -> None:
    report = server.http.get("hardware").json()
    usable = {e["name"]: e for e in report["encoders"]}
    assert usable["libx264"]["usable"] is True
    for tried in (*report["encoders"], report["nvdec"], report["torch"]):
        assert tried["usable"] or tried["reason"], tried


def test_metrics_count_exports(server: RunningServer) -> None:
    id = server.submit(clip(CLIP, "counted.mp4"))["id"]
    server.until(id, "completed")
    text = httpx.get(
        f"{server.url}metrics", headers={"Authorization": f"token {server.token}"}, trust_env=False
    ).text
    lines = [line for line in text.splitlines() if line.startswith("jupyter_export_")]
    completed = [x for x in lines if x.startswith("jupyter_export_jobs_total") and "completed" in x]
    assert completed and float(completed[0].split()[-1]) >= 1, lines
