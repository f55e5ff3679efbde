"""What whoever runs the server can see: metrics, events, health and log lines."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families
from server_support import RunningServer, clip, eventually

import jupyter_export

CLIP = "subtitles_mov_text.mp4"
DOCS = Path(jupyter_export.__file__).parent / "docs"

EVENT_FILE = """
import logging
from traitlets.config import get_config
c = get_config()
c.EventLogger.handlers = [logging.FileHandler({path!r})]
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that records events in a file and writes its log as JSON."""
    folder = tmp_path_factory.mktemp("watched")
    config = folder / "config.py"
    config.write_text(EVENT_FILE.format(path=str(folder / "events.jsonl")))
    server = RunningServer(
        folder / "server",
        **{"config": config, "ExportApp.log_format": "json", "ExportApp.retry_base_seconds": 0},
    )
    server.add(CLIP)
    server.done = server.until(  # type: ignore[attr-defined]
        server.submit(clip(CLIP, "watched.mp4", project="secret project"))["id"], "completed"
    )
    yield server
    server.stop()


def metrics(server: RunningServer) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """All samples of ours: by name, then by labels."""
    headers = {"Authorization": f"token {server.token}"}
    text = httpx.get(f"{server.url}metrics", headers=headers, trust_env=False).text
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("jupyter_export_"):
                labels = tuple(sorted(sample.labels.items()))
                found.setdefault(sample.name, {})[labels] = sample.value
    return found


def value(server: RunningServer, name: str, **labels: str) -> float:
    return metrics(server)[f"jupyter_export_{name}"].get(tuple(sorted(labels.items())), 0.0)


def events(server: RunningServer) -> list[dict[str, Any]]:
    path = server.folder.parent / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# Metrics


def test_a_completed_export_is_in_every_figure(watched: RunningServer) -> None:
    before = metrics(watched)
    job = watched.until(watched.submit(clip(CLIP, "counted.mp4"))["id"], "completed")
    after = metrics(watched)

    def grown(name: str, **labels: str) -> float:
        key = tuple(sorted(labels.items()))
        name = f"jupyter_export_{name}"
        return after[name][key] - before.get(name, {}).get(key, 0.0)

    assert grown("jobs_total", kind="clip", event="started") == 1
    assert grown("jobs_total", kind="clip", event="completed") == 1
    assert grown("jobs_total", kind="clip", event="failed") == 0
    assert grown("frames_total", kind="clip") == job["result"]["frames"] > 0
    assert grown("bytes_total", kind="clip") == job["result"]["bytes"]
    assert grown("duration_seconds_count", kind="clip") == 1
    assert grown("queue_wait_seconds_count", kind="clip") == 1
    assert 0 < grown("duration_seconds_sum", kind="clip") < 60
    assert 0 <= grown("queue_wait_seconds_sum", kind="clip") < 60
    assert grown("encoder_used_total", encoder=job["encoder"]["name"], hardware="no") == 1
    made = sum(grown("segments_total", origin=o) for o in ("copied", "rendered", "reused"))
    assert made == job["segments"]["total"]
    assert after["jupyter_export_hardware_fraction"] == {(): 0.0}
    assert after["jupyter_export_leading"] == {(): 1.0}


def test_the_wait_in_the_queue_is_measured_from_the_submit(watched: RunningServer) -> None:
    before = value(watched, "queue_wait_seconds_bucket", kind="clip", le="0.3")
    total = value(watched, "queue_wait_seconds_count", kind="clip")
    watched.post("queue/pause").raise_for_status()
    id = watched.submit(clip(CLIP, "waited.mp4"))["id"]
    assert value(watched, "queued") == 1
    eventually(lambda: _age(watched.job(id)) > 0.5)
    watched.post("queue/resume").raise_for_status()
    watched.until(id, "completed")
    assert value(watched, "queue_wait_seconds_count", kind="clip") == total + 1
    assert value(watched, "queue_wait_seconds_bucket", kind="clip", le="0.3") == before
    assert value(watched, "queued") == 0


def _age(job: dict[str, Any]) -> float:
    from datetime import UTC, datetime

    return (datetime.now(UTC) - datetime.fromisoformat(job["created_at"])).total_seconds()


def test_failures_cancels_and_resumes_are_counted(watched: RunningServer) -> None:
    failed = value(watched, "jobs_total", kind="clip", event="failed")
    cancelled = value(watched, "jobs_total", kind="clip", event="cancelled")
    resumes = value(watched, "resumes_total", kind="clip")
    source = watched.add(CLIP, to="vanishing.mp4")
    watched.post("queue/pause").raise_for_status()
    doomed = watched.submit(clip(source, "doomed.mp4"))["id"]
    unwanted = watched.submit(clip(CLIP, "unwanted.mp4"))["id"]
    (watched.root / source).unlink()
    watched.post(f"jobs/{unwanted}/cancel").raise_for_status()
    watched.post("queue/resume").raise_for_status()
    watched.until(doomed, "failed")
    assert value(watched, "jobs_total", kind="clip", event="failed") == failed + 1
    assert value(watched, "jobs_total", kind="clip", event="cancelled") == cancelled + 1
    assert value(watched, "failures_total", error="source-missing", retried="no") >= 1

    watched.add(CLIP, to="vanishing.mp4")
    watched.post(f"jobs/{doomed}/retry").raise_for_status()
    watched.until(doomed, "completed")
    assert value(watched, "resumes_total", kind="clip") == resumes + 1


def test_workers_leases_and_clients_are_shown(watched: RunningServer) -> None:
    eventually(lambda: value(watched, "workers") >= 1)
    # A Python process with the media libraries in it.
    eventually(lambda: value(watched, "workers_memory_bytes") > 20 * 2**20)
    for resource in ("cores", "nvenc_sessions", "vram_mib"):
        assert value(watched, "leases_held", resource=resource) >= 0
    names = metrics(watched)
    assert {f"jupyter_export_{n}" for n in ("leases_wanted", "feed_clients", "running")} <= {*names}


def test_a_running_export_holds_a_core_and_counts_as_running(watched: RunningServer) -> None:
    watched.add("timecode_720p30.mp4")
    spec = clip("timecode_720p30.mp4", "long.mp4", sources=[{"path": "timecode_720p30.mp4"}])
    spec["encoding"]["quality"] = "quality"
    id = watched.submit(spec)["id"]
    eventually(
        lambda: (
            value(watched, "running") == 1 and value(watched, "leases_held", resource="cores") >= 1
        )
    )
    watched.post(f"jobs/{id}/cancel").raise_for_status()
    watched.until(id, "cancelled")
    assert value(watched, "running") == 0


def test_every_metric_on_the_dashboard_and_on_the_page_exists(watched: RunningServer) -> None:
    known = {name for name in metrics(watched) if not name.endswith("_created")}
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    shown = {name for query in queries for name in re.findall(r"\bjupyter_export_\w+", query)}
    # A failure's counter appears with the first failure, which another test of this file makes.
    known.add("jupyter_export_failures_total")
    assert shown <= known, shown - known
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in known}
    described = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    assert families - described == set(), "not on the dashboard"
    page = (DOCS / "operating.md").read_text()
    missing = {n for n in families if n not in page and f"…{n[14:]}" not in page}
    assert not missing, f"not in operating.md: {missing}"


# Events


def test_each_change_of_a_jobs_state_is_a_jupyter_event(watched: RunningServer) -> None:
    job = watched.done  # type: ignore[attr-defined]
    told = [event for event in events(watched) if event.get("job") == job["id"]]
    assert [event["event"] for event in told] == ["submitted", "started", "publishing", "completed"]
    assert [event["state"] for event in told] == ["queued", "running", "publishing", "completed"]
    assert {event["__schema__"] for event in told} == {
        "https://events.jupyter.org/jupyter_export/job/v1"
    }
    last = told[-1]
    assert last["frames"] == job["result"]["frames"]
    assert last["encoder"] == job["encoder"]["name"]
    assert last["seconds"] > 0
    numbers = [event["sequence"] for event in told]
    assert numbers == sorted(set(numbers))


def test_events_tell_nobodys_names(watched: RunningServer) -> None:
    text = (watched.folder.parent / "events.jsonl").read_text()
    assert len(text) > 1000
    for private in (CLIP, "watched.mp4", "secret project", str(watched.root)):
        assert private not in text


def test_the_queue_and_what_users_ask_for_are_events_too(watched: RunningServer) -> None:
    seen = len(events(watched))
    watched.post("queue/pause").raise_for_status()
    id = watched.submit(clip(CLIP, "asked.mp4"))["id"]
    for action in ("pause", "resume", "cancel", "retry", "cancel"):
        watched.post(f"jobs/{id}/{action}").raise_for_status()
    watched.http.delete(f"jobs/{id}").raise_for_status()
    watched.post("queue/resume").raise_for_status()
    eventually(lambda: events(watched)[-1].get("state") == "running")
    told = events(watched)[seen:]
    queue = [event["state"] for event in told if event["__schema__"].endswith("queue/v1")]
    assert queue == ["paused", "running"]
    mine = [event["event"] for event in told if event.get("job") == id]
    assert mine == [
        *("submitted", "paused", "resumed", "cancelled", "retried", "cancelled", "deleted")
    ]


# Health


def failed(server: RunningServer) -> dict[str, dict[str, Any]]:
    health = server.http.get("health").json()
    assert health["ready"] is (not [c for c in health["checks"] if c["level"] == "failed"])
    return {c["name"]: c for c in health["checks"] if c["level"] == "failed"}


def test_a_server_that_works_is_ready_and_says_what_it_looked_at(watched: RunningServer) -> None:
    health = watched.http.get("health").json()
    assert health["ready"] is True
    checks = {check["name"]: check for check in health["checks"]}
    assert {*checks} >= {
        *("database", "journal", "scheduler", "workers", "disk", "leases", "encoders")
    }
    assert "starts the jobs" in checks["scheduler"]["detail"]
    assert "wal" in checks["journal"]["detail"]
    eventually(lambda: "libx264" in _detail(watched, "encoders"))
    assert "are free on the disk of" in checks["disk"]["detail"]
    page = (DOCS / "operating.md").read_text()
    for name in checks:
        assert f"| `{name}` |" in page, name


def _detail(server: RunningServer, check: str) -> str:
    checks = server.http.get("health").json()["checks"]
    return str(next(c["detail"] for c in checks if c["name"] == check))


def test_a_locked_database_is_told_and_passes(watched: RunningServer) -> None:
    (store,) = Path(watched.environment["JUPYTER_DATA_DIR"]).rglob("jobs.sqlite")
    other = sqlite3.connect(store, isolation_level=None)
    try:
        other.execute("begin immediate")
        checks = failed(watched)
        assert {*checks} == {"database"}, checks
    finally:
        other.execute("rollback")
        other.close()
    eventually(lambda: failed(watched) == {})


def test_workers_that_cannot_start_are_told(
    own_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    """A worker that dies before it is ready: as where a library is broken, or memory is short."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(
        "import sys\nif 'jupyter_export.workers.main' in ' '.join(sys.orig_argv): sys.exit(3)\n"
    )
    server = own_server(search=[str(tmp_path / "broken")])
    eventually(lambda: "workers" in failed(server))
    assert "before it was ready" in failed(server)["workers"]["detail"]


def test_the_second_server_of_a_store_says_that_another_one_leads(
    watched: RunningServer, own_server: Callable[..., RunningServer]
) -> None:
    second = own_server(
        **{
            "ServerApp.root_dir": watched.root,
            "ExportApp.data_dir": Path(watched.environment["JUPYTER_DATA_DIR"]) / "jupyter_export",
        }
    )
    health = second.http.get("health").json()
    assert health["ready"] is True and health["leading"] is False
    assert "Another server" in _detail(second, "scheduler")
    started = value(second, "jobs_total", kind="clip", event="started")
    count = value(watched, "jobs_total", kind="clip", event="started")
    id = second.submit(clip(CLIP, "by_second.mp4"))["id"]
    watched.until(id, "completed")
    second.until(id, "completed")
    assert value(watched, "jobs_total", kind="clip", event="started") == count + 1
    assert value(second, "jobs_total", kind="clip", event="started") == started, "counted twice"
    assert value(second, "leading") == 0


def test_health_is_as_described(watched: RunningServer) -> None:
    document = watched.http.get("openapi.json").json()
    schema = {**document, "$ref": "#/components/schemas/Health"}
    Draft202012Validator(schema).validate(watched.http.get("health").json())


# Log


def test_log_lines_are_json_with_job_and_attempt(watched: RunningServer) -> None:
    job = watched.done  # type: ignore[attr-defined]
    told = watched.log.read_text().splitlines()
    lines = [json.loads(line) for line in told if line.startswith("{")]
    mine = [line for line in lines if line.get("job") == job["id"]]
    assert [line["action"] for line in mine if line["logger"].endswith("queue.logs")] == [
        *("submitted", "started", "planned", "publishing", "completed")
    ]
    assert {line["attempt"] for line in mine if line["action"] != "submitted"} == {1}
    for line in mine:
        assert {"time", "level", "logger", "message"} <= {*line}
    # Jupyter's own lines stay as they are, and ours are not told twice.
    text = watched.log.read_text()
    assert "is running at" in text
    assert text.count(f"job={job['id']} attempt=1 action=completed") == 1


def test_the_bundle_page_and_docs_are_shipped() -> None:
    for name in ("operating.md", "grafana.json"):
        assert os.path.getsize(DOCS / name) > 1000  # noqa: PTH202
