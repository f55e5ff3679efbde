"""Every door by which a file of a user reaches FFmpeg."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

from server_support import MEDIA, RunningServer, clip

GOOD = "subtitles_mov_text.mp4"
_numbers = itertools.count()


def knock(server: RunningServer, name: str) -> dict[str, dict[str, Any]]:
    """What each door that takes a path answers to `name`, a problem as a rule."""
    spec = clip(name, f"door-{next(_numbers)}.mp4", sources=[{"path": name}])
    http = server.http
    compared = {
        "kind": "compare",
        "sources": [{"path": server.add(GOOD)}],
        "effects": [{"type": "compare", "with": {"path": name}}],
        "output": f"door-{next(_numbers)}.mp4",
    }
    answers = {
        "submit": http.post("jobs", json={"spec": spec}),
        "submit, in a comparison": http.post("jobs", json={"spec": compared}),
        "preview": http.post("preview", json={"spec": spec, "time": 0, "width": 160}),
        "probe": http.get("probe", params={"path": name}),
    }
    return {door: {"status": a.status_code, **_json(a)} for door, a in answers.items()}


def knock_later(server: RunningServer, attack: Path, name: str = "") -> dict[str, dict[str, Any]]:
    """What the doors of a job answer whose source, or output, became `attack` after a good one.

    `attack` may be a link; it takes the place of the file itself.
    """
    number = next(_numbers)
    name = name or f"victim-{number}{attack.suffix}"
    output = f"later-{number}.mp4"
    path = server.root / name
    answers = {}

    def swap(at: Path) -> None:
        at.unlink()
        if attack.is_symlink():
            at.symlink_to(attack.readlink())
        else:
            shutil.copy(attack, at)

    shutil.copy(MEDIA / GOOD, path)
    server.post("queue/pause").raise_for_status()
    try:
        job = server.submit(clip(name, output))
        swap(path)
        answer = server.http.get(f"jobs/{job['id']}/thumbnail")
        answers["thumbnail"] = {"status": answer.status_code, **_json(answer)}
    finally:
        server.post("queue/resume").raise_for_status()
    job = server.until(job["id"], "failed", "completed")
    answers["export"] = {"status": 422 if job["error"] else 200, **(job["error"] or {})}

    path.unlink()
    shutil.copy(MEDIA / GOOD, path)
    made = server.root / f"made-{number}.mp4"
    job = server.submit(clip(name, made.name))
    server.until(job["id"], "completed")
    swap(made)
    answer = server.http.get(f"jobs/{job['id']}/poster")
    answers["poster"] = {"status": answer.status_code, **_json(answer)}
    for left in (path, made, server.root / output):
        left.unlink(missing_ok=True)
    return answers


def refused(answers: dict[str, dict[str, Any]], *kinds: str) -> bool:
    """Whether every door gave one of these errors, in a sentence and with advice."""
    for door, answer in answers.items():
        assert answer["status"] == 422, (door, answer)
        assert answer["type"] in kinds, (door, answer)
        assert answer["detail"].endswith("."), (door, answer)
        assert answer["advice"], (door, answer)
    return True


def _json(answer: Any) -> dict[str, Any]:
    kind = answer.headers.get("content-type", "")
    if "json" not in kind:
        return {"type": kind, "bytes": len(answer.content)}
    value: dict[str, Any] = answer.json()
    return {k: value.get(k) for k in ("type", "detail", "advice", "field", "state") if k in value}
