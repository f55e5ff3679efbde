"""What an export was made of, written beside it: enough to make it again, byte for byte.

``goal.mp4`` gets ``goal.mp4.export.json``. With a software encoder, the same sources, the same
versions and the same models give the same bytes; `warnings` tells what is not as it was.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from ._version import __version__
from .errors import SpecError
from .hardware.encoders import ENCODERS, Family
from .job import Job
from .queue.order import Produced

__all__ = [
    "FORMAT",
    "SUFFIX",
    "Again",
    "again",
    "part_of",
    "place",
    "prepare",
    "provenance",
    "write",
]

log = logging.getLogger(__name__)

SUFFIX = ".export.json"
"""Of the file, after the output's whole name."""

FORMAT = "jupyter-export-provenance/1"


def provenance(job: Job, produced: Produced, segment_seconds: float) -> dict[str, Any]:
    """The content of the file for a finished export."""
    outline, origin = produced.outline, produced.origin
    return {
        "format": FORMAT,
        "version": __version__,
        "output": job.output,
        "result": produced.result,
        "spec": job.spec,
        "sources": origin.get("sources", []),
        "encoder": {**outline.encoder, "settings": origin.get("encoder")},
        "models": origin.get("models", {}),
        "versions": origin.get("versions", {}),
        "segment_seconds": segment_seconds,
        "segments": outline.segments.to_json(),
        "notes": list(outline.notes),
        "job": job.id,
        "attempt": job.attempt,
        "created_at": _iso(job.created_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(datetime.now(UTC)),
    }


def write(output: Path, job: Job, content: dict[str, Any]) -> None:
    """Put it beside `output`, in one step. The export is there whether or not this succeeds."""
    prepare(output, job, content)
    place(output, job)


def prepare(output: Path, job: Job, content: dict[str, Any]) -> None:
    """Write it where nobody looks, so that `place` needs nothing but the names: a server that
    dies while it publishes leaves the next one all that it takes."""
    part = part_of(output, job)
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        _failed(output, part, error)


def place(output: Path, job: Job) -> None:
    """Put what was prepared beside `output`; nothing, if that was done before."""
    part = part_of(output, job)
    try:
        part.replace(output.with_name(output.name + SUFFIX))
    except FileNotFoundError:
        pass
    except OSError as error:
        _failed(output, part, error)


def part_of(output: Path, job: Job) -> Path:
    """Where it is prepared: named so that it is swept with the other parts of the job."""
    return output.with_name(f".{output.name}.{job.id}.{job.attempt}.json.part")


def _failed(output: Path, part: Path, error: OSError) -> None:
    log.warning("output=%s its provenance cannot be written: %s", output, error)
    with contextlib.suppress(OSError):
        part.unlink()


@dataclass(frozen=True)
class Again:
    """How to make an export again."""

    spec: dict[str, Any]
    """With the encoder by name that was used, if that gives the same bytes everywhere."""
    root: Path | None
    """What its paths are relative to; None where the file is not beside its output any more."""
    segment_seconds: float
    warnings: tuple[str, ...]
    """What is not as it was, in sentences."""


def again(value: dict[str, Any], path: Path, root: Path | None = None) -> Again:
    """What the file at `path` with the content `value` tells; looks at its sources, below `root`
    if given.

    Raises:
        SpecError: it is of a newer version, or not whole.
    """
    try:
        if value["format"] != FORMAT:
            raise SpecError(
                f"{path.name!r} is not in a format that this version of jupyter_export reads.",
                "Upgrade it, or use the spec in it by itself.",
            )
        spec, sources = dict(value["spec"]), list(value["sources"])
        seconds = float(value["segment_seconds"])
        encoder, versions = str(value["encoder"]["name"]), dict(value["versions"])
        place = root or _root(path, str(value["output"]))
        changed = [] if place is None else [s["path"] for s in sources if not _same(place, s)]
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(
            f"{path.name!r} is damaged: {error!r}.", "Use its spec by itself."
        ) from None
    warnings = [f"{name} is not the file that it was." for name in changed]
    warnings += _version_warnings(versions)
    known = ENCODERS.get(encoder)
    if known is not None and known.family is Family.SOFTWARE and known.codec is not None:
        encoding = dict(spec.get("encoding") or {})
        if encoding.get("encoder", "auto") == "auto":
            spec["encoding"] = {**encoding, "encoder": encoder}
    elif known is not None and known.hardware:
        warnings.append(f"{encoder} encoded it: the frames will be as they were, the bytes not.")
    return Again(spec, place, seconds, tuple(warnings))


def _root(path: Path, output: str) -> Path | None:
    """The folder that `output` is relative to, if `path` is beside it."""
    place, name = Path(os.path.realpath(path)), PurePosixPath(output)
    root = place.parents[len(name.parts) - 1] if len(name.parts) <= len(place.parents) else None
    beside = root is not None and root / name.with_name(name.name + SUFFIX) == place
    return root if beside else None


def _same(root: Path, source: dict[str, Any]) -> bool:
    """Whether it is the same file by size and content: a copy has another time."""
    from .media.fingerprint import fingerprint  # the media libraries, which a server does without

    try:
        mark = fingerprint(root / source["path"])
    except OSError:
        return False
    return (mark.size, mark.ends) == (source["size"], source["ends"])


def _version_warnings(then: dict[str, str]) -> list[str]:
    from .media.recipe import versions

    now = versions()
    return [
        f"It was made with {name} {version}; here is {now[name]}."
        for name, version in then.items()
        if name in now and now[name] != version
    ]


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds")
