"""Tools of the tests: an independent FFmpeg, decoding, measuring, exporting without a server."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np

from jupyter_export.workers.tasks import TASKS


@cache
def ffmpeg_exe() -> str:
    return imageio_ffmpeg.get_ffmpeg_exe()


def ffmpeg(*arguments: str | Path) -> None:
    """Run an FFmpeg that is not the one inside PyAV."""
    done = subprocess.run(
        [ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def complaints(path: Path) -> str:
    """What FFmpeg has to say about a file while it decodes all of it."""
    done = subprocess.run(
        [ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "null", "-"],
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


@dataclass
class Decoded:
    """All frames of a video track."""

    times: list[Fraction]
    luma: np.ndarray
    """(frames, height, width), uint8."""
    pix_fmt: str
    duration: float
    has_audio: bool


def decode(path: Path, *, index: int | None = None) -> Decoded:
    with av.open(str(path)) as container:
        stream = container.streams.best("video") if index is None else container.streams[index]
        stream.thread_type = "AUTO"
        times, planes, fmt = [], [], ""
        for frame in container.decode(stream):
            plane = frame.planes[0]
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            planes.append(rows[:, : plane.width].copy())
            times.append(frame.pts * frame.time_base)
            fmt = frame.format.name
        return Decoded(
            times,
            np.stack(planes),
            fmt,
            float(stream.duration * stream.time_base) if stream.duration else 0.0,
            bool(container.streams.audio),
        )


def samples(path: Path, rate: int = 48000) -> tuple[np.ndarray, float]:
    """The first audio track as mono float samples, and the time of the first one in seconds."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", rate)
        chunks, start = [], None
        for frame in container.decode(audio=0):
            if start is None:
                start = float(frame.pts * frame.time_base)
            chunks += [f.to_ndarray()[0] for f in resampler.resample(frame)]
        chunks += [f.to_ndarray()[0] for f in resampler.resample(None)]
        return np.concatenate(chunks), start or 0.0


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = ((a.astype(np.float64) - b.astype(np.float64)) ** 2).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


class Context:
    """The context of a task that runs here."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def progress(self, message: dict[str, Any]) -> None:
        self.messages.append(message)

    def cancelled(self) -> bool:
        return False

    def check(self) -> None:
        pass


@dataclass
class Exported:
    path: Path
    plan: dict[str, Any]
    rendered: list[bool]
    """Per segment that is not copied, whether it was rendered (not found in the cache)."""
    result: dict[str, Any]
    notes: list[str]
    """What rendering told the job."""


def export_here(
    spec: dict[str, Any],
    root: Path,
    folder: Path,
    *,
    encoder: str = "libx264",
    segment_seconds: float = 8.0,
    order: Any = None,
) -> Exported:
    """Run the worker's own tasks in this process: what a pool does, without processes."""
    cache = str(folder / "segments")
    context: Any = Context()
    plan = TASKS["plan"](
        {
            "root": str(root),
            "spec": spec,
            "encoder": encoder,
            "cache": cache,
            "segment_seconds": segment_seconds,
        },
        context,
    )
    indices = [i for i, s in enumerate(plan["segments"]) if s["kind"] == "render"]
    rendered, notes = {}, []
    for index in order(indices) if order else indices:
        done = TASKS["render"]({"plan": plan["plan"], "index": index, "cache": cache}, context)
        rendered[index] = not done["reused"]
        notes += done["notes"]
    if plan["audio"]:
        TASKS["audio"]({"plan": plan["plan"], "cache": cache}, context)
    path = folder / spec["output"]
    result = TASKS["assemble"]({"plan": plan["plan"], "cache": cache, "part": str(path)}, context)
    return Exported(path, plan, [rendered[i] for i in sorted(rendered)], result, notes)


def clip_spec(
    path: str, output: str, start: float = 0.0, end: float | None = None, **encoding: Any
):
    """A clip that is rendered, unless `encoding` has ``smart=True``."""
    return {
        "kind": "clip",
        "sources": [{"path": path, "start": start, "end": end}],
        "output": output,
        "encoding": {"smart": False, **encoding},
    }


def framing_spec(
    path: str,
    output: str,
    keyframes: list[tuple[float, float, float, float, float]],
    size: tuple[int, int],
    start: float = 0.0,
    end: float | None = None,
    **encoding: Any,
):
    """Keyframes are (time, x, y, width, height)."""
    names = ("time", "x", "y", "width", "height")
    return {
        "kind": "framing",
        "sources": [
            {
                "path": path,
                "start": start,
                "end": end,
                "effects": [
                    {
                        "type": "crop",
                        "size": list(size),
                        "keyframes": [dict(zip(names, k, strict=True)) for k in keyframes],
                    }
                ],
            }
        ],
        "output": output,
        "encoding": encoding,
    }
