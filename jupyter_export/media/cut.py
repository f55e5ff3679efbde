"""Where a stretch of the output is cut into segments."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from math import ceil

from .timeline import Part

__all__ = ["cut"]

#: A group of pictures longer than this many segment lengths is cut inside.
_LONGEST = 2
#: Frames per second to reckon with where the rate varies.
_USUAL_RATE = Fraction(30)


def cut(part: Part, seconds: float, rate: Fraction | None) -> Iterator[tuple[int, int]]:
    """``(first, stop)`` of each segment, in frames of `part`.

    Segments begin at the first keyframe after each multiple of `seconds` of the *source's* time,
    so that moving the start of a clip leaves the later segments as they were.
    """
    clip, first = part.clips[-1], part.firsts[-1]
    shown = clip.shown[first : first + part.count]
    taken = clip.taken
    origin, keyframes = taken.facts.origin, taken.times.keyframes
    step = max(1, round(Fraction(seconds) / taken.facts.video.time_base))
    # Slow motion makes many frames of little source.
    most = max(1, ceil(_LONGEST * Fraction(seconds) * (rate or _USUAL_RATE)))
    start = 0
    while start < part.count:
        begin = shown[start]
        line = origin + ((begin - origin) // step + 1) * step
        k = bisect_left(keyframes, line)
        end = keyframes[k] if k < len(keyframes) else taken.times.end
        if end - begin > _LONGEST * step:
            end = min(end, line + step)
        stop = max(bisect_left(shown, end), start + 1)
        if not clip.every:
            stop = min(stop, start + most)
        yield start, stop
        start = stop
