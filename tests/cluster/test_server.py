"""A Jupyter server with a cluster, as its users see it: over REST and the feed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dask_support import Cluster
from feed_support import Listener
from server_support import RunningServer, eventually
from support import framing_spec

from jupyter_export.hardware.leases import Leases


def options(cluster: Cluster) -> dict[str, Any]:
    return {
        **{f"ExportApp.{name}": value for name, value in cluster.settings.items()},
        "ExportApp.segment_seconds": 1.0,
    }


def spec(server: RunningServer, **encoding: Any) -> dict[str, Any]:
    server.add("timecode_720p30.mp4")
    keyframes = [(0.0, 0.0, 0.0, 480.0, 480.0), (10.0, 700.0, 200.0, 500.0, 500.0)]
    made = framing_spec("timecode_720p30.mp4", "out.mp4", keyframes, (720, 720), 0.0, 6.0)
    return {**made, "encoding": {"quality": "balanced", **encoding}}


def test_the_feed_shows_one_smooth_progress_of_an_export_on_the_cluster(
    cluster: Cluster, own_server: Callable[..., RunningServer]
) -> None:
    server = own_server(**options(cluster))
    listener = Listener(server).connect().caught_up()
    eventually(lambda: cluster_seen_by(server)["workers"] == 2, seconds=60)
    seen: list[tuple[int, float]] = []

    def look() -> None:
        if listener.state(id) in {"running", "publishing"}:
            progress = listener.jobs[id]["progress"]
            seen.append((progress["frames"], progress["percent"]))

    def inside() -> bool:
        look()
        return bool(seen) and seen[-1][0] > 0

    def done() -> bool:
        look()
        return listener.state(id) in {"completed", "failed"}

    with cluster.held():
        id = server.submit(spec(server))["id"]
        listener.until(inside, seconds=240)
        assert not list(segments(server).glob("*.seg")), "a segment was finished meanwhile"
    listener.until(done, seconds=240)
    job = server.job(id)
    listener.close()
    assert (job["state"], job["error"], job["notes"]) == ("completed", None, [])
    assert seen == sorted(seen)
    assert {frames for frames, _ in seen} > {0}


def test_a_killed_server_finds_its_segments_again_and_a_cancelled_job_ends_on_the_cluster(
    cluster: Cluster, own_server: Callable[..., RunningServer]
) -> None:
    server = own_server(**options(cluster))
    asked = spec(server)
    cache = segments(server)
    with cluster.held():
        id = server.submit(asked)["id"]
        eventually(lambda: len(parts(cache)) == 2, seconds=60, why=server.log.read_text)
        begun = parts(cache)
        server.stop(signal.SIGKILL)
        assert parts(cache) == begun, "the work on the cluster ended with the server"
        server.start()
        server.until(id, "running", seconds=120)
        eventually(lambda: cluster_seen_by(server)["segments"] >= 2, seconds=60)
        assert len(standing()) == 2
        server.post(f"jobs/{id}/cancel").raise_for_status()
        server.until(id, "cancelled")
        eventually(lambda: not standing(), seconds=10)
        assert parts(cache) <= begun, "they were begun again"
        assert not list(cache.glob("*.seg"))


def cluster_seen_by(server: RunningServer) -> dict[str, Any]:
    found: dict[str, Any] = server.http.get("health").json()["cluster"]
    return found


def segments(server: RunningServer) -> Path:
    return server.folder / "data" / "jupyter_export" / "segments"


def parts(cache: Path) -> set[str]:
    """The files of segments that are being written."""
    return {path.name for path in cache.glob(".*.part")}


def standing() -> tuple[Any, ...]:
    """The leases of those that render on this machine."""
    return tuple(Leases(Path(os.environ["XDG_RUNTIME_DIR"], "jupyter-export")).standing().held)
