"""A wall clock that jumps a day forward or back, under a running server and its workers."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from struct import pack

import pytest
from fault_support import open_site
from server_support import eventually

from jupyter_export.points import Point

DAY = 86_400


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler for the clock")
    target = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", target, source], check=True)
    return target


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_jumps_a_day_delays_no_export_and_loses_none(
    tmp_path: Path, shim: Path, right: dict[str, str], days: int
) -> None:
    clock = tmp_path / "offset"

    def jump(seconds: int) -> None:
        with clock.open("r+b" if clock.exists() else "wb") as file:
            file.write(pack("=q", seconds))

    jump(0)
    environment = {"LD_PRELOAD": str(shim), "CLOCK_OFFSET_FILE": str(clock)}
    # A retry would wait for some seconds: by a clock that was put back, for a day.
    with open_site(
        tmp_path / "site", right, environment=environment, **{"ExportApp.retry_base_seconds": 4.0}
    ) as site:
        site.arm(Point.SEGMENT_KEPT)
        first = site.submit("thirds.mp4")
        eventually(lambda: not site.armed(Point.SEGMENT_KEPT), seconds=60, why=site.story)
        jump(days * DAY)
        # Its worker stands still in the middle of a segment while the clock jumps back again.
        site.arm(Point.SEGMENT_WRITTEN, "SIGSTOP")
        second = site.submit("frame.mp4", old=True)
        eventually(lambda: not site.armed(Point.SEGMENT_WRITTEN), seconds=60, why=site.story)
        created = datetime.fromisoformat(site.server.job(second.id or "")["created_at"])
        shift = created - datetime.now(UTC) - timedelta(days=days)
        assert abs(shift) < timedelta(minutes=5), "the clock is not as the test has set it"
        third = site.submit("copy.mp4")
        eventually(lambda: third not in site.live(), seconds=60, why=site.story)
        jump(0)
        site.resume_stopped()
        site.until_done(60)
        assert site.server.job(first.id or "")["attempt"] == 2
        site.audit()
