"""How a job looks while it is waited for: one progress bar for terminal, log and notebook."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO, TypeAlias

__all__ = ["Bar", "MakeBar", "ManyBar", "amount", "describe", "duration", "table"]

MakeBar: TypeAlias = Callable[..., Any]
"""`tqdm.tqdm` or a class like it, such as `tqdm.notebook.tqdm` or `tqdm.rich.tqdm`."""

#: Without a terminal, a line is written each time this many percent were done.
PERCENT_STEP = 10
#: In the other phases percent stand still.
TOLD_PHASES = frozenset({"rendering", "completed"})


class Bar:
    """A progress bar with frames, speed and time left.

    Without `file` it is drawn where tqdm draws: below a notebook's cell, or on standard error.
    A `file` that is no terminal, such as a log, gets a line every ~10 % instead, and so does the
    output of a cell that no browser shows, as under papermill and nbconvert.
    """

    def __init__(
        self, label: str, *, file: TextIO | None = None, progress: bool | MakeBar = True
    ) -> None:
        """`progress` draws it with another class than tqdm's usual one; False: not at all."""
        self._label = _printable(label)
        self._enabled = progress is not False
        self._class = None if isinstance(progress, bool) else progress
        self._file = _unseen() if file is None and self._class is None else file
        self._bar: Any = None
        self._next_percent = 0.0

    def show(self, job: dict[str, Any]) -> None:
        """Draw the progress of `job` (the JSON form of a job)."""
        if not self._enabled:
            return
        if self._class is not None or self._file is None or self._file.isatty():
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
        make: MakeBar
        if self._class is not None:
            make = self._class
        elif self._file is None:
            from tqdm.auto import tqdm as make
        else:
            from tqdm.std import tqdm as make
        return make(
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


class ManyBar:
    """A bar that counts finished exports, drawn as `Bar` is."""

    def __init__(self, total: int, progress: bool | MakeBar = True) -> None:
        self._total = total
        self._count = 0
        self._enabled = progress is not False
        self._file = _unseen() if progress is True else None
        self._bar: Any = None
        if self._enabled and self._file is None:
            make: MakeBar
            if isinstance(progress, bool):
                from tqdm.auto import tqdm as make
            else:
                make = progress
            self._bar = make(total=total, unit="export")

    def finished(self, job: dict[str, Any]) -> None:
        """One more is finished."""
        self._count += 1
        if self._bar is not None:
            self._bar.update(1)
        elif self._enabled and self._file is not None:
            name = _printable(job["output"])
            self._file.write(f"{name}: {job['state']} ({self._count} of {self._total})\n")
            self._file.flush()

    def __enter__(self) -> ManyBar:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _unseen() -> TextIO | None:
    """Standard output of a kernel that no page is connected to: widgets would show nothing there,
    and nothing would be saved of them. None elsewhere.

    Jupyter's server names the notebook to each kernel that it starts for one; papermill and
    nbconvert do not. Editors that start kernels by themselves show these lines, too.
    """
    shell = sys.modules.get("ipykernel.zmqshell")
    if shell is None or "JPY_SESSION_NAME" in os.environ:
        return None
    return sys.stdout if shell.ZMQInteractiveShell.initialized() else None


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


def amount(size: float) -> str:
    """``2300000`` → ``2.3 MB``; as file managers count."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


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
