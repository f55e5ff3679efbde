"""Work that gets nowhere, and files that crash the codec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_support import FILMS, Site, open_site
from server_support import eventually

from jupyter_export.points import Point


@pytest.fixture
def site(tmp_path: Path, right: dict[str, str]) -> Iterator[Site]:
    limits = {"ExportApp.max_lost_workers": 3, "ExportApp.worker_stuck_seconds": 4.0}
    with open_site(tmp_path, right, **limits) as site:
        yield site


def test_a_file_that_crashes_the_codec_fails_after_three_workers_and_others_go_on(
    site: Site,
) -> None:
    """A worker that has rendered a segment of it dies as by a fault of the codec, each time."""
    site.arm(Point.SEGMENT_WRITTEN, "SIGSEGV always")
    id = site.server.submit({**FILMS["thirds.mp4"], "output": "crash.mp4"})["id"]
    failed = site.server.until(id, "failed")
    assert failed["attempt"] == 3
    assert failed["error"]["type"] == "worker-lost"
    assert "3 worker processes died" in failed["error"]["detail"]
    assert "SIGSEGV" in failed["error"]["detail"]
    assert "crashes the codec" in failed["error"]["advice"]
    assert not (site.server.root / "crash.mp4").exists()
    (site.points / Point.SEGMENT_WRITTEN).unlink()
    site.server.post(f"jobs/{id}/retry").raise_for_status()
    site.server.until(id, "completed")


def test_a_worker_that_gets_nowhere_is_ended_and_the_export_goes_on(site: Site) -> None:
    site.arm(Point.SEGMENT_KEPT, "stuck")
    id = site.server.submit({**FILMS["thirds.mp4"], "output": "stuck.mp4"})["id"]
    eventually(lambda: not site.armed(Point.SEGMENT_KEPT), seconds=60, why=site.story)
    done = site.server.until(id, "completed")
    assert done["attempt"] == 2
    assert "got no further for 4 s" in site.server.http.get(f"jobs/{id}/log").text
