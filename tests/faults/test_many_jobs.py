"""Many exports, one after the other: nothing gathers in the server."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_support import FILMS, Site, open_site


def held(site: Site) -> dict[str, int]:
    """Descriptors, threads and children of the server, and its memory in MiB."""
    process = Path("/proc", str(site.server.process.pid))
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    return {
        "descriptors": len(list((process / "fd").iterdir())),
        "threads": int(status["Threads"]),
        "children": len(site.descendants()),
        "memory": int(status["VmRSS"].split()[0]) // 1024,
    }


def export(site: Site, jobs: int) -> None:
    for number in range(jobs):
        film = {**FILMS["clip.mp4" if number % 5 else "copy.mp4"], "output": f"{number % 7}.mp4"}
        id = site.server.submit(film)["id"]
        assert site.server.until(id, "completed", "failed")["state"] == "completed"
        if number % 10 == 0:  # one that is given up on the way
            id = site.server.submit({**FILMS["thirds.mp4"], "output": "given-up.mp4"})["id"]
            site.server.post(f"jobs/{id}/cancel")
            site.server.until(id, "completed", "cancelled")


@pytest.mark.timeout(3600)
def test_many_exports_leave_no_descriptor_thread_or_process_and_no_memory(
    tmp_path: Path, right: dict[str, str], long: bool
) -> None:
    with open_site(tmp_path, right) as site:
        export(site, 20)
        before = held(site)
        export(site, 1000 if long else 30)
        after = held(site)
        print(f"before={before} after={after}")
        # As many workers as there is work for: one may have been started or ended meanwhile.
        workers = after["children"] - before["children"]
        assert abs(workers) <= 1
        assert after["descriptors"] <= before["descriptors"] + 4 * max(0, workers)
        assert after["threads"] <= before["threads"] + 2 * max(0, workers) + 1
        assert after["memory"] < before["memory"] + 32
        assert not list(site.server.root.rglob("*.part"))
