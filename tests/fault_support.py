"""Real exports on a real server that is disturbed, and the audit of what is left of them.

A `Site` is a server with its root and store; it outlives the server's deaths. Jobs are small films
of every kind whose bytes are known: each was exported once undisturbed. `Site.audit_visible` may
be asked at any moment, also while no server runs; `Site.audit` when all is over. What they find
wrong they raise as `Violation`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from server_support import RunningServer, eventually

from jupyter_export.points import Point

OLD = b"the old film"
LIVE = ("queued", "running", "publishing")
CLIPS = ("bikes_no_audio.mp4", "subtitles_mov_text.mp4", "nasa_13013.mp4", "bunny_720p25.mp4")

#: So that only what is lost fails, not what was killed often; and without long waits.
SETTINGS = {
    "ExportApp.max_lost_workers": 100_000,
    "ExportApp.max_attempts": 100_000,
    "ExportApp.retry_base_seconds": 0.05,
    "ExportApp.segment_seconds": 0.5,
    "ExportApp.force_cpu": True,
    # Workers that are locked in can neither reach the folder of points nor their server.
    "ExportApp.worker_jail": "off",
}
PATIENCE = 120.0
"""Seconds that end a test that hangs. Workers of the idle class need long to do anything, even to
die, where other programs take all of the processor."""
LOCKED_IN = {"ExportApp.worker_jail": "auto"}
"""For sites at which nobody uses points: workers are as users have them."""


class Violation(AssertionError):
    """A promise of the queue is broken."""


def _spec(kind: str, *sources: dict[str, Any], **more: Any) -> dict[str, Any]:
    encoding = {"quality": "fast", **more.pop("encoding", {})}
    return {"kind": kind, "sources": list(sources), "encoding": encoding, **more}


def _source(path: str, start: float = 0.0, end: float | None = None, **more: Any) -> dict[str, Any]:
    return {"path": path, "start": start, "end": end, **more}


_MOVES = [
    {"time": 0.0, "x": 0, "y": 0, "width": 200, "height": 200},
    {"time": 2.0, "x": 400, "y": 60, "width": 200, "height": 200},
]
_CROP = {"type": "crop", "size": [160, 160], "keyframes": _MOVES}
_LABEL = {
    "type": "annotation",
    "kind": "text",
    "text": "fault",
    "x": 20,
    "y": 20,
    "start": 0.5,
    "end": 1.5,
}
_RENDERED = {"smart": False}

#: One small film of each sort: rendered and copied, with sound and without, joined, lossless.
FILMS: dict[str, dict[str, Any]] = {
    "clip.mp4": _spec("clip", _source("subtitles_mov_text.mp4"), encoding=_RENDERED),
    "cut.mp4": _spec("clip", _source("bikes_no_audio.mp4", 1.3, 6.1)),
    "copy.mp4": _spec("clip", _source("bunny_720p25.mp4")),
    "thirds.mp4": _spec(
        "clip",
        _source("nasa_13013.mp4", 0, 3),
        encoding={**_RENDERED, "quality": "balanced", "audio": "opus"},
    ),
    "join.mp4": _spec(
        "concat",
        _source("bikes_no_audio.mp4", 0, 1),
        _source("nasa_13013.mp4", 2, 3),
        transition={"type": "dissolve", "seconds": 0.4},
    ),
    "frame.mp4": _spec("framing", _source("bikes_no_audio.mp4", 0, 2, effects=[_CROP])),
    "label.mp4": _spec("annotate", _source("bikes_no_audio.mp4", 0, 3), effects=[_LABEL]),
    "whole.mkv": _spec(
        "clip",
        _source("subtitles_mov_text.mp4", 0, 0.5),
        encoding={**_RENDERED, "quality": "lossless"},
    ),
}


@dataclass
class Asked:
    """A job as whoever submitted it knows it."""

    key: str
    film: str
    output: str
    id: str | None = None
    """None while no server has answered."""


@dataclass
class Site:
    """A server, what was asked of it, and what its films must look like."""

    server: RunningServer
    right: dict[str, str]
    """SHA-256 of each film; empty while they are being found out."""
    asked: list[Asked] = field(default_factory=list)
    pids: dict[int, str] = field(default_factory=dict)
    """All processes that have been seen below a server."""
    _bytes_of: dict[tuple[int, int], str] = field(default_factory=dict)

    @cached_property
    def points(self) -> Path:
        return Path(self.server.environment["JUPYTER_EXPORT_POINTS"])

    @cached_property
    def store(self) -> Path:
        (path,) = Path(self.server.environment["JUPYTER_DATA_DIR"]).rglob("jobs.sqlite")
        return path

    # What users do

    def submit(self, film: str, *, old: bool = False) -> Asked:
        """Submit a film under a new name; `old`: there is a file of that name already."""
        number = len(self.asked)
        asked = Asked(f"key-{number}", film, f"{number:04}-{film}")
        if old:
            path = self.server.root / asked.output
            path.write_bytes(OLD)
            told = {"job": "another", "result": {"sha256": hashlib.sha256(OLD).hexdigest()}}
            path.with_name(f"{path.name}.export.json").write_text(json.dumps(told))
        self.asked.append(asked)
        self.audit_visible()
        self.ask(asked)
        return asked

    def ask(self, asked: Asked) -> None:
        """Send the request, again if need be; a server that dies meanwhile gives no answer."""
        spec = {**FILMS[asked.film], "output": asked.output}
        with contextlib.suppress(httpx.TransportError):
            answer = self.server.post(
                "jobs", {"spec": spec}, headers={"Idempotency-Key": asked.key}
            )
            if answer.status_code not in {200, 201, 503}:
                raise Violation(f"{asked.output} was refused: {answer.text}")
            if answer.status_code != 503:
                id = answer.json()["id"]
                if asked.id not in {None, id}:
                    raise Violation(f"{asked.output} became two jobs: {asked.id} and {id}")
                asked.id = id

    def live(self) -> list[Asked]:
        """Those that are not finished, as the store tells."""
        states = {row["id"]: row["state"] for row in self.rows("select id, state from job")}
        for asked in self.asked:
            if asked.id is not None and asked.id not in states:
                raise Violation(f"{asked.output}, job {asked.id}, is lost")
        return [a for a in self.asked if a.id is None or states[a.id] in LIVE]

    # What happens to the server

    def arm(self, point: Point, what: str = "SIGKILL") -> None:
        (self.points / point).write_text(what)

    def forget_segments(self) -> None:
        """Empty the segment cache: what is found there is not made again."""
        for file in self.server.folder.rglob("segments/*"):
            file.unlink()

    def armed(self, point: Point) -> bool:
        return (self.points / point).exists()

    def resume_stopped(self) -> None:
        """Let go on what has stopped at a point."""
        for pid in self.descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def wait_for_death(self, seconds: float = PATIENCE) -> None:
        self.descendants()
        self.server.process.wait(seconds)
        self.server.http.close()
        self.audit_visible()

    def restart(self) -> None:
        """A server again, after one has died; who got no answer asks again."""
        eventually(lambda: not self.descendants(), seconds=PATIENCE, why=self.survivors)
        self.server.start()
        for asked in self.asked:
            if asked.id is None:
                self.ask(asked)

    def kill(self, how: int = signal.SIGKILL) -> None:
        self.descendants()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.server.process.pid, how)
        self.wait_for_death()

    def until_done(self, seconds: float = 2 * PATIENCE) -> None:
        """Wait until every job has ended."""

        def done() -> bool:
            for asked in self.asked:
                if asked.id is None:
                    self.ask(asked)
            return not self.live()

        eventually(done, seconds=seconds, why=self.story)

    def descendants(self) -> list[int]:
        """The living processes that some server of this site has started, at any remove."""
        parents: dict[int, int] = {}
        born: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if fields[0] != "Z":
                        parents[int(entry.name)] = int(fields[1])
                        born[int(entry.name)] = fields[19]
        # Numbers come again: a process is known by its time of birth, too.
        known = {pid for pid, time in self.pids.items() if born.get(pid) == time}
        found = {self.server.process.pid} | known
        while more := {p for p, parent in parents.items() if parent in found} - found:
            found |= more
        found -= {self.server.process.pid}
        self.pids |= {pid: born[pid] for pid in found}
        return sorted(found)

    def survivors(self) -> str:
        """Who is alive that should not be, and in what state."""
        told = []
        for pid in self.descendants():
            with contextlib.suppress(OSError):
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                told.append(f"{pid} {state} {command[:200]}")
        return "\n".join(told)

    # The audit

    def rows(self, query: str) -> list[sqlite3.Row]:
        with contextlib.closing(sqlite3.connect(self.store, timeout=20)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query).fetchall()

    def audit_visible(self) -> None:
        """Every file that a user can see is whole: the film, or the one that was there before.

        Nor has any that was seen before been written to: outputs change by being replaced. What is
        told beside a film is whole, too.
        """
        for asked in self.asked:
            path = self.server.root / asked.output
            with contextlib.suppress(FileNotFoundError):
                self._told(path)
            try:
                with path.open("rb") as file:
                    data, inode = file.read(), os.fstat(file.fileno()).st_ino
            except FileNotFoundError:
                continue
            digest = hashlib.sha256(data).hexdigest()
            if data != OLD and self.right and digest != self.right[asked.film]:
                raise Violation(f"{asked.output} is visible and not whole: {len(data)} bytes")
            before = self._bytes_of.setdefault((id(asked), inode), digest)
            if before != digest:
                raise Violation(f"{asked.output} was written to in its place")

    @staticmethod
    def _told(output: Path) -> dict[str, Any]:
        """What lies beside an output about it."""
        text = output.with_name(f"{output.name}.export.json").read_text()
        try:
            told: dict[str, Any] = json.loads(text)
        except ValueError:
            raise Violation(f"{output.name}: half of its provenance is visible: {text}") from None
        return told

    def audit(self) -> None:
        """End the server; then nothing is lost, half, double or left over."""
        self.descendants()
        self.server.stop()
        eventually(lambda: not self.descendants(), seconds=PATIENCE, why=self.survivors)
        self.audit_visible()
        if left := [str(p) for p in self.server.root.rglob("*") if _is_left_over(p)]:
            raise Violation(f"left over: {left}")
        (verdict,) = self.rows("pragma integrity_check")[0]
        if verdict != "ok":
            raise Violation(f"the store is damaged: {verdict}")
        jobs = {row["id"]: row for row in self.rows("select * from job")}
        if lost := [a.output for a in self.asked if a.id not in jobs]:
            raise Violation(f"lost: {lost}")
        if extra := jobs.keys() - {a.id for a in self.asked}:
            raise Violation(f"jobs that nobody asked for: {extra}")
        events = self.rows("select * from event order by seq")
        numbers = [event["seq"] for event in events]
        if numbers != list(range(numbers[0], numbers[-1] + 1)):
            raise Violation("the event log has a gap")
        completions = Counter(e["job_id"] for e in events if e["type"] == "completed")
        for asked in self.asked:
            job = jobs[asked.id]
            if job["state"] != "completed":
                raise Violation(f"{asked.output} is {job['state']}: {job['error']}")
            if completions[asked.id] != 1:
                raise Violation(f"{asked.output} completed {completions[asked.id]} times")
            digest = hashlib.sha256((self.server.root / asked.output).read_bytes()).hexdigest()
            if digest != json.loads(job["result"])["sha256"]:
                raise Violation(f"{asked.output} is not what its job has made")
            told = self._told(self.server.root / asked.output)
            if (told["job"], told["result"]["sha256"]) != (asked.id, digest):
                raise Violation(f"{asked.output} has the provenance of another export: {told}")

    def story(self) -> str:
        """What a failed test should show."""
        rows = self.rows("select id, output, state, attempt, error from job order by number")
        states = "\n".join(str(tuple(row)) for row in rows)
        return f"{states}\n{self.server.log.read_text()[-6000:]}"


def _is_left_over(path: Path) -> bool:
    return path.name.endswith(".part") or path.name.startswith(".")


@contextlib.contextmanager
def open_site(
    folder: Path,
    right: dict[str, str] | None = None,
    *,
    mutant: str = "",
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[Site]:
    """A server below `folder`; `right` are the films' hashes; `mutant` replaces a piece of it."""
    points = folder / "points"
    points.mkdir(parents=True)
    options: dict[str, Any] = {**SETTINGS, **settings}
    if mutant:
        options["ServerApp.jpserver_extensions"] = {"jupyter_export": True, mutant: True}
    server = RunningServer(
        folder / "server",
        search=[str(Path(__file__).parent / "faults" / "mutants")],
        environment={"JUPYTER_EXPORT_POINTS": str(points), **(environment or {})},
        **options,
    )
    site = Site(server, right or {})
    try:
        for clip in CLIPS:
            server.add(clip)
        yield site
    finally:
        site.resume_stopped()
        site.server.stop(signal.SIGKILL)


def films_of(site: Site) -> dict[str, str]:
    """Export each film once, undisturbed; gives its hash."""
    site.asked.clear()
    for film in FILMS:
        site.submit(film)
    site.until_done()
    site.audit()
    return {
        asked.film: hashlib.sha256((site.server.root / asked.output).read_bytes()).hexdigest()
        for asked in site.asked
    }


class Faults:
    """Disturbs a site by a seed: the same seed makes the same faults, at the same distances.

    These are measured in starts of the server, so that as much happens between two faults on a
    slow machine: most follow at once, some when an export has come further.
    """

    #: What happens to whom, and how often of hundred. A child is whatever a worker has started,
    #: or the server beside its workers; a worker where there is none.
    KINDS = (
        ("SIGKILL", "server", 20),
        ("SIGTERM", "server", 6),
        ("SIGSTOP", "server", 12),
        ("SIGKILL", "worker", 24),
        ("SIGTERM", "worker", 8),
        ("SIGSTOP", "worker", 18),
        ("SIGKILL", "child", 12),
    )

    def __init__(self, site: Site, seed: int | str) -> None:
        self.site = site
        self.seed = seed
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()

    def run(self, faults: int, *, busy: int = 3) -> None:
        """Strike `faults` times, with `busy` jobs always under way, then let all of them end."""
        for number in range(faults):
            soon, starts = self.chance.random() < 0.7, self.chance.random()
            starts = 0.4 * starts if soon else 0.4 + 2.6 * starts
            kinds = [(what, whom) for what, whom, _ in self.KINDS]
            ((what, whom),) = self.chance.choices(kinds, [weight for *_, weight in self.KINDS])
            dice = self.chance.random()
            films = [
                (self.chance.choice(list(FILMS)), self.chance.random() < 0.5) for _ in range(busy)
            ]
            for film, old in films[: max(0, busy - len(self.site.live()))]:
                self.site.submit(film, old=old)
            wait = starts * self.site.server.start_seconds
            time.sleep(wait)
            self.strike(what, whom, dice)
            print(f"seed={self.seed} fault={number} after={wait:.3f}s {what} {whom}", flush=True)
            self.site.audit_visible()
        self.site.until_done()

    def strike(self, what: str, whom: str, dice: float) -> None:
        site = self.site
        if whom == "server":
            self.done[f"{what} server"] += 1
            if what == "SIGSTOP":
                self._stop(site.server.process.pid, 0.05 + dice)
            else:
                site.kill(signal.Signals[what])
                site.restart()
            return
        found = site.descendants()
        workers = [pid for pid in found if _is_worker(pid)]
        others = [pid for pid in found if pid not in workers]
        victims = others if whom == "child" and others else workers
        if not victims:
            self.done["nobody there"] += 1
            return
        victim = victims[int(dice * len(victims))]
        self.done[f"{what} {'child' if victim in others else 'worker'}"] += 1
        if what == "SIGSTOP":
            self._stop(victim, 0.05 + dice)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.Signals[what])

    @staticmethod
    def _stop(pid: int, seconds: float) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"jupyter_export.workers.main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
