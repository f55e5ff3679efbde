"""Python constructors of specs that take several sources, and of the sources themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any, Literal, TypeAlias, Unpack

from pydantic import BaseModel

from .export import ExportSpec, Source, SpeedRange, parse
from .options import EncodingOptions, default_output

__all__ = ["Clip", "Speed", "clip_json", "compare", "concat", "plain", "source", "speed_ranges"]

Clip: TypeAlias = (
    "str | PathLike[str] | Source | Mapping[str, Any] | tuple[str, float, float | None]"
)
"""A range of a file: a path (all of it), ``(path, start, end)``, a `Source`, or its JSON."""

Speed: TypeAlias = "float | Iterable[SpeedRange | Mapping[str, float] | tuple[float, float, float]]"
"""One rate for all of a range, or ``(start, end, rate)`` for each part of it with another speed
than its own, in the time of the source; 2 is twice as fast."""

_FOR_EVER = 1e7


def source(
    path: str | PathLike[str],
    start: float = 0.0,
    end: float | None = None,
    *,
    speed: Speed = (),
    effects: Iterable[BaseModel | Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A range of a file, for `concat` and `compare`, with its own speed and effects.

    It is checked with the spec that it goes into.
    """
    return {
        "path": fspath(path),
        "start": start,
        "end": end,
        "speed": speed_ranges(speed),
        "effects": [plain(effect) for effect in effects],
    }


def concat(
    *clips: Clip,
    output: str | None = None,
    transition: Literal["cut", "fade", "dissolve"] = "cut",
    seconds: float = 1.0,
    project: str | None = None,
    **encoding: Unpack[EncodingOptions],
) -> ExportSpec:
    """`clips` one after another, with a `transition` of so many `seconds` between each two.

    They are brought to the first one's size and rate, or to those given. Further keywords are the
    fields of `Encoding`. Without `output` the first one's name and ``-joined`` is taken.

    Raises:
        SpecError: when a value is out of range.
    """
    sources = [clip_json(clip) for clip in clips]
    return parse(
        {
            "kind": "concat",
            "sources": sources,
            "transition": {"type": transition, "seconds": seconds},
            "output": _output(output, sources, "joined", encoding),
            "project": project,
            "encoding": encoding,
        }
    )


def compare(
    before: Clip,
    after: Clip,
    *,
    output: str | None = None,
    layout: Literal["before_then_after", "side_by_side", "wipe"] = "side_by_side",
    project: str | None = None,
    **encoding: Unpack[EncodingOptions],
) -> ExportSpec:
    """Two versions in one picture, or one after the other; the sound is that of `after`.

    With ``before_then_after`` each has its own sound. Further keywords are the fields of
    `Encoding`. Without `output` the name of `after` and ``-compared`` is taken.

    Raises:
        SpecError: when a value is out of range.
    """
    sources = [clip_json(after)]
    return parse(
        {
            "kind": "compare",
            "sources": sources,
            "effects": [{"type": "compare", "layout": layout, "with": clip_json(before)}],
            "output": _output(output, sources, "compared", encoding),
            "project": project,
            "encoding": encoding,
        }
    )


def speed_ranges(speed: Speed) -> list[Any]:
    """The JSON of `Source.speed`."""
    if isinstance(speed, int | float):
        return [] if speed == 1 else [{"start": 0.0, "end": _FOR_EVER, "rate": speed}]
    names = ("start", "end", "rate")
    return [
        dict(zip(names, entry, strict=True)) if isinstance(entry, tuple) else plain(entry)
        for entry in speed
    ]


def plain(value: Any) -> Any:
    """A model as JSON; what is JSON stays."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def clip_json(clip: Clip) -> Any:
    """The JSON of a `Source`."""
    if isinstance(clip, tuple):
        return source(*clip)
    if isinstance(clip, str | PathLike):
        return source(clip)
    return plain(clip)


def _output(given: str | None, sources: list[Any], word: str, encoding: EncodingOptions) -> str:
    if given is not None or not sources or not isinstance(sources[0], dict):
        return given or ""
    path = str(sources[0].get("path", ""))
    return default_output(path, word=word, quality=encoding.get("quality", ""))
