"""Which frame of which source is shown at each frame of the output: pure functions of facts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from ..errors import SpecError
from ..spec import Source, Transition
from .facts import FrameTimes, SourceFacts
from .recipe import AudioPiece, MixRecipe

__all__ = ["Clip", "Part", "Taken", "clip_of", "output_rate", "parts_of", "pieces_of"]

#: Rates that cameras and films have; a varying rate is brought to the nearest.
_STANDARD = tuple(
    Fraction(rate)
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60")
)
_NEAR = Fraction(2, 100)
_MAX_RATE = 240
#: A week, and two days at 60 fps: what is longer is a damaged file, or a frame made to last.
_MOST_SECONDS = 7 * 86_400
_MOST_FRAMES = 10_000_000


@dataclass(frozen=True)
class Taken:
    """A range of a file that a spec takes, and what is known about it."""

    field: str
    """Its place in the spec."""
    spec: Source
    index: int
    """Of the file in the plan's sources."""
    facts: SourceFacts
    times: FrameTimes


@dataclass(frozen=True)
class Clip:
    """The frames of one range as the output has them."""

    taken: Taken
    shown: tuple[int, ...]
    """For every output frame the time stamp of the source's frame; never falls."""
    every: bool
    """Whether each frame of the range is shown once, in its own time."""

    def seconds(self, i: int, j: int) -> tuple[Fraction, Fraction]:
        """When the frames `i` to `j` begin and end to be shown, in the time of the source."""
        facts, pts = self.taken.facts, self.taken.times.pts
        k = bisect_right(pts, self.shown[j - 1])
        end = pts[k] if k < len(pts) else self.taken.times.end
        base = facts.video.time_base
        return (self.shown[i] - facts.origin) * base, (end - facts.origin) * base


@dataclass(frozen=True)
class Part:
    """A stretch of the output in which the same clips are mixed in the same way."""

    clips: tuple[Clip, ...]
    firsts: tuple[int, ...]
    """For each clip, which of its frames is the first one here."""
    count: int
    """Frames."""
    start: int
    """Frames of the output before it."""
    mix: MixRecipe | None = None


def output_rate(taken: Sequence[Taken], fps: float | None, *, alone: bool) -> Fraction | None:
    """Frames per second of the output; None keeps the time stamps of the only source.

    `alone` says that it is one source at its own speed.
    """
    first = taken[0].times
    if fps is not None:
        return _exact(fps)
    if first.rate is not None or alone:
        return first.rate
    base = taken[0].facts.video.time_base
    mean = len(first.pts) / ((first.end - first.pts[0]) * base)
    near = min(_STANDARD, key=lambda rate: abs(rate - mean))
    return near if abs(near - mean) <= _NEAR * mean else Fraction(min(_MAX_RATE, ceil(mean)))


def _exact(fps: float) -> Fraction:
    """29.97 is 30000/1001, and so on."""
    for rate in (Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240)):
        if abs(float(rate) - fps) < 0.005:
            return rate
    return Fraction(str(fps)).limit_denominator(1001)


def clip_of(taken: Taken, rate: Fraction | None) -> Clip:
    """The frames of `taken` at `rate`.

    Where the rate differs from the source's, output frame j shows what the source shows half a
    frame after j / rate, as FFmpeg's fps filter does: the picture is never further from its
    sound than that.

    Raises:
        SpecError: nothing is left of the range, or far too much.
    """
    times = taken.times
    pieces = pieces_of(taken)
    length = sum((piece.end - piece.start) / piece.rate for piece in pieces)
    if length > _MOST_SECONDS or (rate is not None and length * rate > _MOST_FRAMES):
        raise SpecError(
            f"This range would last {float(length):.0f} s"
            + (f" at {float(rate):g} fps" if rate is not None else "")
            + ": the times in the file are damaged, or the speed is far too low.",
            "Choose a shorter range.",
            field=taken.field,
        )
    if not taken.spec.speed and (rate is None or rate == times.rate):
        return Clip(taken, times.pts, every=True)
    assert rate is not None
    base, origin = taken.facts.video.time_base, taken.facts.origin
    shown: list[int] = []
    passed = Fraction(0)
    """Output seconds before the piece."""
    for piece in pieces:
        length = (piece.end - piece.start) / piece.rate
        while (at := (len(shown) + Fraction(1, 2)) / rate) < passed + length:
            pts = origin + (piece.start + (at - passed) * piece.rate) / base
            shown.append(times.pts[max(0, bisect_left(times.pts, ceil(pts)) - 1)])
        passed += length
    if not shown:
        raise SpecError(
            f"Not one frame at {float(rate):g} fps is left of this range.",
            "Take a longer range, or a higher fps.",
            field=taken.field,
        )
    return Clip(taken, tuple(shown), every=False)


def pieces_of(taken: Taken) -> tuple[AudioPiece, ...]:
    """The range cut where its speed changes, in seconds from the first shown frame."""
    base, origin = taken.facts.video.time_base, taken.facts.origin
    at = (taken.times.pts[0] - origin) * base
    end = (taken.times.end - origin) * base
    pieces: list[AudioPiece] = []
    for change in taken.spec.speed:
        start, stop = Fraction(str(change.start)), Fraction(str(change.end))
        start, stop = max(at, start), min(end, stop)
        if stop <= start:
            continue
        if start > at:
            pieces.append(AudioPiece(start=at, end=start, rate=Fraction(1)))
        pieces.append(AudioPiece(start=start, end=stop, rate=Fraction(str(change.rate))))
        at = stop
    if at < end:
        pieces.append(AudioPiece(start=at, end=end, rate=Fraction(1)))
    return tuple(pieces)


def parts_of(clips: Sequence[Clip], transition: Transition, rate: Fraction | None) -> list[Part]:
    """Clips one after another, with `transition` between each two.

    Raises:
        SpecError: a clip is shorter than its transitions.
    """
    frames = 0
    if len(clips) > 1 and transition.type != "cut":
        assert rate is not None
        seconds = Fraction(str(transition.seconds))
        frames = round(seconds * rate / (2 if transition.type == "fade" else 1))
    return list(_parts(clips, transition.type if frames else "cut", frames))


def _parts(clips: Sequence[Clip], type: str, frames: int) -> Iterator[Part]:
    start = 0

    def part(count: int, *of: tuple[Clip, int], mix: MixRecipe | None = None) -> Part:
        nonlocal start
        made = Part(tuple(c for c, _ in of), tuple(i for _, i in of), count, start, mix)
        start += count
        return made

    for k, clip in enumerate(clips):
        before = frames if k else 0
        after = frames if k + 1 < len(clips) else 0
        middle = len(clip.shown) - before - after
        if middle < 0:
            raise SpecError(
                f"This clip has {len(clip.shown)} frames, fewer than its transitions take "
                f"({before + after}).",
                "Make the transition shorter, or the clip longer.",
                field=clip.taken.field,
            )
        if before and type == "fade":
            yield part(before, (clip, 0), mix=MixRecipe(type="fade_in", length=before))
        if middle:
            yield part(middle, (clip, before))
        if after and type == "fade":
            mix = MixRecipe(type="fade_out", length=after)
            yield part(after, (clip, before + middle), mix=mix)
        elif after:
            mix = MixRecipe(type="dissolve", length=after)
            yield part(after, (clip, before + middle), (clips[k + 1], 0), mix=mix)
