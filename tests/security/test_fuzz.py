"""Thousands of damaged files through a real server: each ends soon, and says what it is."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fuzz_support import Mutant, corpus, mutant
from server_support import RunningServer

#: Files of the ordinary run; --long has ten thousand, in parts that can be run by themselves.
ORDINARY = 500
LONG_PARTS, LONG_PART = 20, 500
FIRST_SEED = 20_000
SECONDS = 60.0
#: Submitted at once.
WIDTH = 6

#: What a damaged file may come to. Anything else is a fault of ours.
CLEAR = {"source-unreadable", "source-missing", "spec-error", "too-much-work"}


@dataclass
class Tally:
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")


def spec(one: Mutant, name: str) -> dict[str, Any]:
    """What is asked of it, by its seed: the paths through the engine are as different as can be."""
    source: dict[str, Any] = {"path": name}
    made: dict[str, Any] = {"kind": "clip", "sources": [source]}
    encoding: dict[str, Any] = {"quality": "fast", "encoder": "libx264"}
    suffix = "mp4"
    match one.seed % 5:
        case 0:
            encoding["smart"] = False
        case 1:
            source["start"] = 0.25
            source["end"] = 0.75
        case 2:
            made = {"kind": "concat", "sources": [source, source]}
            encoding["size"] = [160, 120]
        case 3:
            made["kind"] = "framing"
            source["speed"] = [{"start": 0, "end": 1, "rate": 2}]
    made["output"] = f"{name}.{suffix}"
    made["encoding"] = encoding
    return made


def follow(server: RunningServer, http: httpx.Client, one: Mutant, tally: Tally) -> None:
    name = f"{one.seed}-{one.name}"
    path = server.root / name
    path.write_bytes(one.data)
    begun = time.monotonic()
    label = f"seed {one.seed} ({one.name}, {one.how})"
    try:
        if one.seed % 4 == 0:
            # Two more ways to a decoder.
            http.get("probe", params={"path": name})
            http.post("preview", json={"spec": spec(one, name), "time": 0, "width": 160})
        answer = http.post("jobs", json={"spec": spec(one, name)})
        if answer.status_code != 201:
            problem = answer.json()
            end = f"refused: {problem['type']}"
            if answer.status_code != 422 or problem["type"] not in CLEAR:
                tally.wrong.append(f"{label}: {answer.status_code} {problem}")
        else:
            end = finish(http, answer.json()["id"], label, begun, tally)
        tally.ends[end] += 1
    finally:
        path.unlink()
        (server.root / f"{name}.mp4").unlink(missing_ok=True)


def finish(http: httpx.Client, id: str, label: str, begun: float, tally: Tally) -> str:
    while True:
        job = http.get(f"jobs/{id}").raise_for_status().json()
        if job["state"] in ("completed", "failed"):
            begin, end = (datetime.fromisoformat(job[t]) for t in ("started_at", "finished_at"))
            took = (end - begin).total_seconds()
            tally.slowest = max(tally.slowest, (took, label))
            if took > SECONDS:
                tally.wrong.append(f"{label}: {took:.0f} s")
        if job["state"] == "completed":
            return "completed"
        if job["state"] == "failed":
            error = job["error"]
            if error["type"] not in CLEAR:
                tally.wrong.append(f"{label}: {error}")
            return f"failed: {error['type']}"
        if time.monotonic() > begun + 5 * SECONDS:
            tally.wrong.append(f"{label}: still {job['state']} {job['progress']}")
            http.post(f"jobs/{id}/cancel")
            return "does not end"
        time.sleep(0.05)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" in metafunc.fixturenames:
        long = metafunc.config.getoption("--long")
        parts, each = (LONG_PARTS, LONG_PART) if long else (1, ORDINARY)
        firsts = [FIRST_SEED + part * each for part in range(parts)]
        found = [range(first, first + each) for first in firsts]
        metafunc.parametrize("seeds", found, ids=[f"seeds-{s.start}-{s.stop - 1}" for s in found])


@pytest.mark.timeout(3600)
def test_damaged_files_end_soon_and_clearly_and_the_server_goes_on(
    own_server: Any, tmp_path: Path, seeds: range
) -> None:
    count = len(seeds)
    files = corpus(tmp_path)
    server = own_server(
        **{
            "ExportApp.max_concurrent_exports": WIDTH,
            "ExportApp.retry_base_seconds": 0.1,
            "ExportApp.worker_scheduling": "normal",
        }
    )
    pid = server.process.pid
    tally = fuzz(server, files, seeds)
    print(f"seeds {seeds.start} to {seeds.stop - 1}:", dict(tally.ends), "slowest:", tally.slowest)
    assert not tally.wrong, "\n".join(tally.wrong[:50])
    assert sum(tally.ends.values()) == count
    # Both must have happened, or the damage is too great or too small to prove anything.
    assert tally.ends["completed"] > count / 20
    assert tally.ends["refused: source-unreadable"] > count / 20
    assert server.process.poll() is None
    assert server.process.pid == pid
    assert server.http.get("health").json()["status"] == "ok"
    assert not list(server.root.rglob("*.part"))
    assert "Traceback" not in server.log.read_text()


def fuzz(server: RunningServer, files: dict[str, bytes], seeds: range) -> Tally:
    """Send the damaged files of `seeds` through `server`, a few at once."""
    tally = Tally()
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for seed in seeds:
        waiting.put(seed)

    def work() -> None:
        with httpx.Client(
            base_url=server.http.base_url, headers=server.http.headers, timeout=90, trust_env=False
        ) as http:
            while True:
                try:
                    seed = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    follow(server, http, mutant(files, seed), tally)
                except Exception as error:
                    tally.wrong.append(f"seed {seed}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=work) for _ in range(WIDTH)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally
