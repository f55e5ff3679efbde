"""Python constructors of specs; each takes what its kind needs and gives a checked spec."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any, Literal, Unpack

from ..errors import SpecError
from .chain import are_models, is_row
from .effects import CropKeyframe
from .export import ExportSpec, parse
from .join import Speed, speed_ranges
from .options import CodingOptions, EncodingOptions, default_output
from .values import Model

__all__ = ["annotate", "clip", "framing", "overlay"]


def clip(
    path: str | PathLike[str],
    start: float = 0.0,
    end: float | None = None,
    *,
    output: str | None = None,
    project: str | None = None,
    **encoding: Unpack[EncodingOptions],
) -> ExportSpec:
    """The frames of `path` with ``start <= time < end``, in seconds.

    Further keywords are the fields of `Encoding`. Without `output` the name of the source with the
    range is taken, as in ``match-export-12-20.mp4``.

    Raises:
        SpecError: when a value is out of range.
    """
    return parse(
        {
            "kind": "clip",
            "sources": [{"path": fspath(path), "start": start, "end": end}],
            "output": _output(output, path, start, end, encoding),
            "project": project,
            "encoding": encoding,
        }
    )


def framing(
    path: str | PathLike[str],
    start: float = 0.0,
    end: float | None = None,
    *,
    size: tuple[int, int] | None = None,
    keyframes: Sequence[CropKeyframe | dict[str, float]] | Any = (),
    output: str | None = None,
    interpolation: Literal["spline", "linear"] = "spline",
    ranges: Sequence[tuple[float, float | None]] = (),
    speed: Speed = (),
    rotate: float = 0.0,
    project: str | None = None,
    **encoding: Unpack[CodingOptions],
) -> ExportSpec:
    """Turn `path` by `rotate` degrees clockwise, crop it along `keyframes`, scale to `size`.

    Keyframes, `ranges` and `speed` are in the time of the source, the keyframes in pixels of the
    turned picture. `ranges` are shown one after another, in place of `start` to `end`. `speed` is
    one rate, or ``(start, end, rate)`` for each part with another one.

    `keyframes` may also be a table with time, x, y, width and height: see
    `jupyter_export.tables.crop_path`, which also smooths, and reads tables that count frames.

    Further keywords are the fields of `Encoding`.

    Raises:
        SpecError: when a value is out of range.
    """
    effects: list[dict[str, Any]] = []
    if rotate:
        effects.append({"type": "rotate", "angle": rotate})
    if not are_models(keyframes):
        if size is None:
            raise SpecError("A crop from a table needs a size.", "Give size.", field="size")
        from ..tables import crop_path

        keyframes = crop_path(keyframes, size)
    frames = _plain(keyframes)
    speeds = speed_ranges(speed)
    if frames or size is not None:
        crop = {"type": "crop", "keyframes": frames, "interpolation": interpolation}
        effects.append(crop if size is None else {**crop, "size": size})
    return parse(
        {
            "kind": "framing",
            "sources": [
                {"path": fspath(path), "start": a, "end": b, "speed": speeds, "effects": effects}
                for a, b in ranges or [(start, end)]
            ],
            "output": _output(output, path, start, end, encoding),
            "project": project,
            "encoding": encoding,
        }
    )


def overlay(
    path: str | PathLike[str],
    start: float = 0.0,
    end: float | None = None,
    *,
    highlights: Sequence[Model | dict[str, Any]] | Any,
    output: str | None = None,
    project: str | None = None,
    **encoding: Unpack[EncodingOptions],
) -> ExportSpec:
    """Highlight regions of `path`, in the time of the source.

    `highlights` are `Highlight` objects or dicts with their fields, or a table with the columns
    time, x, y, width, height and perhaps id: see `jupyter_export.tables.highlights`, which also
    takes shape, colour and smoothing, and reads tables that count frames.

    Further keywords are the fields of `Encoding`.

    Raises:
        SpecError: when a value is out of range.
    """
    if not are_models(highlights) or any(is_row(item) for item in highlights):
        from ..tables import highlights as from_table

        highlights = from_table(highlights)
    effects = _typed(highlights, "highlight")
    return _with_effects("overlay", path, start, end, effects, output, project, encoding)


def annotate(
    path: str | PathLike[str],
    start: float = 0.0,
    end: float | None = None,
    *,
    annotations: Sequence[Model | dict[str, Any]],
    output: str | None = None,
    project: str | None = None,
    **encoding: Unpack[EncodingOptions],
) -> ExportSpec:
    """Draw texts, boxes, arrows and running times over `path`, in the time of the source.

    `annotations` are `Text`, `Box`, `Arrow`, `Timecode` or `FrameNumber` objects, or dicts with
    their `kind` and fields. Further keywords are the fields of `Encoding`.

    Raises:
        SpecError: when a value is out of range.
    """
    effects = _typed(annotations, "annotation")
    return _with_effects("annotate", path, start, end, effects, output, project, encoding)


def _with_effects(
    kind: str,
    path: str | PathLike[str],
    start: float,
    end: float | None,
    effects: list[dict[str, Any]],
    output: str | None,
    project: str | None,
    encoding: EncodingOptions,
) -> ExportSpec:
    return parse(
        {
            "kind": kind,
            "sources": [{"path": fspath(path), "start": start, "end": end, "effects": effects}],
            "output": _output(output, path, start, end, encoding),
            "project": project,
            "encoding": encoding,
        }
    )


def _output(
    given: str | None,
    path: str | PathLike[str],
    start: float,
    end: float | None,
    encoding: CodingOptions,
) -> str:
    if given is not None:
        return given
    return default_output(path, start, end, quality=encoding.get("quality", ""))


def _plain(values: Sequence[Any]) -> list[Any]:
    return [v.model_dump() if isinstance(v, Model) else v for v in values]


def _typed(values: Sequence[Any], type: str) -> list[Any]:
    return [{"type": type, **value} for value in _plain(values)]
