"""Progress of one attempt: frames, speed and time left, from what its tasks report."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ..job import Progress

__all__ = ["Meter"]

#: Percent at the end of rendering and of assembling; the rest is the rename.
RENDERED_PERCENT = 96.0
ASSEMBLED_PERCENT = 99.5
#: Speed is measured over this many seconds, and told once it spans the least one.
WINDOW_SECONDS = 3.0
LEAST_SECONDS = 0.25
#: Reports come at most this often, but for changes of phase.
REPORT_SECONDS = 0.1


class Meter:
    """Sums up what the tasks of an attempt report; what it tells never goes back.

    Frames that were found finished count as done, but not for the speed.
    """

    def __init__(
        self, report: Callable[[Progress], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report = report
        self._clock = clock
        self._phase = "planning"
        self._total: int | None = None
        self._frames: dict[int, int] = {}
        self._done = 0
        self._rendered = 0
        self._speed: deque[tuple[float, int]] = deque()
        self._fraction = 0.0
        self._phase_since = clock()
        self._reported_at: float | None = None
        self._told_frames = 0
        self._told_percent = 0.0
        self._waiting_for: str | None = None
        self._waited = 0.0
        self._waiting_since = clock()

    @property
    def waited(self) -> float:
        """Seconds in which the work could not go on."""
        now = self._waiting_since if self._waiting_for is None else self._clock()
        return self._waited + now - self._waiting_since

    def phase(self, name: str) -> None:
        """A new phase begins: planning, rendering, assembling or publishing."""
        self._phase = name
        self._phase_since = self._clock()
        self._fraction = 0.0
        self._emit(force=True)

    def planned(self, total_frames: int) -> None:
        """A plan is there; with the second one of an attempt the counting starts again."""
        self._frames.clear()
        self._done = 0
        self._total = total_frames
        self._speed.clear()
        self.phase("rendering")

    def rendering(self, segment: int, frames: int) -> None:
        """So many frames of a segment are rendered."""
        more = frames - self._frames.get(segment, 0)
        if more > 0:
            self._frames[segment] = frames
            self._done += more
            self._rendered += more
        self._emit()

    def finished(self, segment: int, frames: int, *, reused: bool) -> None:
        """A segment of so many frames is finished."""
        if reused:
            self._done += frames
            self._emit()
        else:
            self.rendering(segment, frames)

    def assembling(self, fraction: float) -> None:
        """So much of the output is written, from 0 to 1."""
        self._fraction = min(1.0, max(self._fraction, fraction))
        self._emit()

    def waiting(self, reason: str | None) -> None:
        """The work cannot go on for a reason, or (None) goes on again."""
        self._waited, self._waiting_since = self.waited, self._clock()
        changed, self._waiting_for = reason != self._waiting_for, reason
        self._emit(force=changed)

    def refresh(self) -> None:
        """Time has passed: a heartbeat."""
        self._emit()

    def _emit(self, *, force: bool = False) -> None:
        now = self._clock()
        self._sample(now)
        due = self._reported_at is None or now - self._reported_at >= REPORT_SECONDS
        if force or due:
            self._reported_at = now
            self._report(self._now(now))

    def _sample(self, now: float) -> None:
        self._speed.append((now, self._rendered))
        # One sample older than the window stays, so that the window is always spanned.
        while len(self._speed) > 2 and self._speed[1][0] <= now - WINDOW_SECONDS:
            self._speed.popleft()

    def _now(self, now: float) -> Progress:
        done, total = self._done, self._total
        if total is not None:
            done = min(done, total)
        self._told_frames = max(self._told_frames, done)
        self._told_percent = max(self._told_percent, self._percent(done))
        fps = self._fps() if self._phase == "rendering" else None
        eta = None
        if self._phase == "rendering" and fps and total is not None:
            eta = (total - done) / fps
        elif self._phase == "assembling" and self._fraction > 0:
            eta = (now - self._phase_since) * (1 - self._fraction) / self._fraction
        return Progress(
            phase=self._phase,
            frames=self._told_frames,
            total_frames=total,
            percent=self._told_percent,
            fps=fps,
            eta_s=eta,
            waiting_for=self._waiting_for,
        )

    def _percent(self, done: int) -> float:
        match self._phase:
            case "rendering":
                return RENDERED_PERCENT * done / self._total if self._total else 0.0
            case "assembling":
                span = ASSEMBLED_PERCENT - RENDERED_PERCENT
                return RENDERED_PERCENT + span * self._fraction
            case "publishing":
                return ASSEMBLED_PERCENT
        return 0.0

    def _fps(self) -> float | None:
        (start, before), (end, after) = self._speed[0], self._speed[-1]
        if end - start < LEAST_SECONDS or (after == before and not after):
            return None
        return max(0, after - before) / (end - start)
