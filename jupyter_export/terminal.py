"""How a job looks while it is waited for: one progress bar for terminal, log and notebook."""

from __future__ import annotations

import contextlib
import os
from typing import Any, TextIO

__all__ = ["Bar", "describe", "duration", "table"]

#: Without a terminal, a line is written each time this many percent were done.
PERCENT_STEP = 10
#: In the other phases percent stand still.
TOLD_PHASES = frozenset({"rendering", "completed"})


class Bar:
    """A progress bar with frames, speed and time left.

    Without `file` it is drawn where tqdm draws: below a notebook's cell, or on standard error.
    A `file` that is no terminal, such as a log, gets a line every ~10 % instead.
    """

    def __init__(self, label: str, *, file: TextIO | None = None, enabled: bool = True) -> None:
        self._label = _printable(label)
        self._file = file
        self._enabled = enabled
        self._bar: Any = None
        self._next_percent = 0.0

    def show(self, job: dict[str, Any]) -> None:
        """Draw the progress of `job` (the JSON form of a job)."""
        if not self._enabled:
            return
        if self._file is None or self._file.isatty():
            self._draw(job)
        else:
            self._tell(job, self._file)

    def close(self) -> None:
        """Leave the bar as it is and go to the next line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _draw(self, job: dict[str, Any]) -> None:
        progress = job["progress"]
        if self._bar is None:
            self._bar = self._make()
        bar = self._bar
        total = progress["total_frames"] or None
        if total != bar.total:
            bar.reset(total)
        bar.n = progress["frames"]
        bar.set_postfix_str(describe(job), refresh=False)
        bar.refresh()

    def _make(self) -> Any:
        if self._file is None:
            from tqdm.auto import tqdm
        else:
            from tqdm.std import tqdm  # type: ignore[assignment]
        return tqdm(
            desc=self._label,
            file=self._file,
            # tqdm's own rate would count frames that an earlier attempt had rendered.
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} frames{postfix}",
            **_width(self._file),
        )

    def _tell(self, job: dict[str, Any], file: TextIO) -> None:
        percent = job["progress"]["percent"]
        if percent < self._next_percent or job["progress"]["phase"] not in TOLD_PHASES:
            return
        self._next_percent = percent - percent % PERCENT_STEP + PERCENT_STEP
        file.write(f"{self._label}: {percent:.0f} %, {describe(job)}\n")
        file.flush()


def _width(file: TextIO | None) -> dict[str, Any]:
    """How tqdm learns the width: from the terminal, unless that does not know its own."""
    if file is not None:
        with contextlib.suppress(OSError):
            if os.get_terminal_size(file.fileno()).columns == 0:
                return {"ncols": 80}
    return {"dynamic_ncols": True}


def describe(job: dict[str, Any]) -> str:
    """The speed and time left of `job` in words, or what it does or waits for instead."""
    progress = job["progress"]
    if job.get("paused") and job["state"] != "completed":
        return "paused"
    if job["state"] == "queued":
        place = job.get("queue_position")
        waiting = job.get("waiting_for")
        return (
            "queued" + (f", place {place}" if place else "") + (f": {waiting}" if waiting else "")
        )
    parts = [] if progress["phase"] == "rendering" else [progress["phase"]]
    if progress["phase"] == "rendering":
        if progress["fps"] is not None:
            parts.append(f"{progress['fps']:.0f} frames/s")
        if progress["eta_s"] is not None:
            parts.append(f"{duration(progress['eta_s'])} left")
    return ", ".join(parts) or "starting"


def duration(seconds: float) -> str:
    """``75`` → ``1:15``; ``3700`` → ``1:01:40``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def table(jobs: list[dict[str, Any]]) -> str:
    """The jobs as aligned columns, one line each."""
    rows = [("ID", "STATE", "DONE", "KIND", "PROJECT", "OUTPUT", "")]
    for job in jobs:
        error = job["error"]
        rows.append(
            (
                job["id"],
                "paused" if job["paused"] else job["state"],
                f"{job['progress']['percent']:.0f}%",
                job["kind"],
                job["project"] or "-",
                job["output"],
                f"{error['detail']}" if error else describe(job) if _unfinished(job) else "",
            )
        )
    clean = [[_printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in clean
    )


def _unfinished(job: dict[str, Any]) -> bool:
    return job["state"] in {"queued", "running", "publishing"}


def _printable(text: str) -> str:
    """`text` without the characters that would steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
