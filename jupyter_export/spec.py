"""What a user asks for: the spec of an export, as pydantic models.

Two clocks, one rule: an effect inside a source is in that source's time; output time starts
at 0. Times are in seconds from the first shown frame, ranges are half-open, ``[start, end)``,
and take the frames whose time lies in them. Geometry is in square pixels of the upright picture
(rotation and sample aspect already applied), origin top left.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import SpecError

__all__ = [
    "OUTPUT_SUFFIXES",
    "Codec",
    "Crop",
    "CropKeyframe",
    "Encoding",
    "ExportSpec",
    "Kind",
    "Quality",
    "Source",
    "clip",
    "framing",
    "json_schema",
    "parse",
]

#: The suffix of the output decides the container; nothing else can be an output.
OUTPUT_SUFFIXES: dict[str, str] = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}

MAX_SIDE = 16384
MIN_SIDE = 16
MAX_KEYFRAMES = 100_000

Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Pixels = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Extent = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]
Size = tuple[Side, Side]
Path = Annotated[str, Field(min_length=1, max_length=4096)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kind(StrEnum):
    """What sort of export it is."""

    CLIP = "clip"
    """One range of one source."""
    FRAMING = "framing"
    """One range of one source, cropped along a moving and zooming path."""


class Codec(StrEnum):
    """The codec of the video track."""

    H264 = "h264"
    """H.264 High: plays everywhere."""
    HEVC = "hevc"
    """HEVC (H.265): smaller, 8 or 10 bits; plays on Apple's systems and on most televisions."""
    AV1 = "av1"
    """AV1: smaller still, 8 or 10 bits; plays in current browsers."""


class Quality(StrEnum):
    """How much is kept, against how fast and how small."""

    FAST = "fast"
    """A preview to look at once."""
    BALANCED = "balanced"
    """Visually the same as the source for most footage."""
    QUALITY = "quality"
    """For further editing, or for a large screen."""
    LOSSLESS = "lossless"
    """Every decoded sample as rendered: FFV1 in Matroska, large, not for browsers."""


class CropKeyframe(_Model):
    """The crop rectangle at one time of the source."""

    time: Seconds
    x: Pixels = Field(description="left edge, in pixels of the upright source")
    y: Pixels = Field(description="top edge, in pixels of the upright source")
    width: Extent
    height: Extent


class Crop(_Model):
    """Cut a rectangle that moves and zooms along keyframes, then scale it to `size`.

    Between keyframes each of x, y, width and height follows a Catmull-Rom spline whose ends
    are clamped (the path starts and ends at rest on its first and last keyframe), or a straight
    line with ``interpolation="linear"``. Before the first keyframe and after the last one the
    rectangle stays.
    """

    type: Literal["crop"] = "crop"
    size: Size = Field(description="width and height of the result in pixels, both even")
    keyframes: Annotated[tuple[CropKeyframe, ...], Field(min_length=1, max_length=MAX_KEYFRAMES)]
    interpolation: Literal["spline", "linear"] = "spline"

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_even(self.size, "size")
        for before, after in zip(self.keyframes, self.keyframes[1:], strict=False):
            if after.time <= before.time:
                raise ValueError(
                    f"keyframes: times must grow, but {after.time:g} s follows "
                    f"{before.time:g} s; sort the keyframes and drop repeated times"
                )
        return self


Effect = Crop


class Source(_Model):
    """One range of one file, and the effects on it (in the time of the source)."""

    path: Path = Field(description="relative to the server's root directory")
    start: Seconds = 0.0
    end: Seconds | None = Field(default=None, description="None is the end of the file")
    effects: tuple[Effect, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError(
                f"end: {self.end:g} s is not after start ({self.start:g} s); "
                "give an end after the start, or leave it out for the end of the file"
            )
        return self


class Encoding(_Model):
    """How the output is written; the container follows from the output's suffix."""

    codec: Codec = Codec.H264
    quality: Quality = Quality.BALANCED
    encoder: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$")] = Field(
        default="auto", description="auto, or an encoder by name, such as libx264 or h264_nvenc"
    )
    size: Size | None = Field(default=None, description="width and height in pixels, both even")
    audio: Literal["auto", "aac", "none"] = Field(
        default="auto",
        description="auto copies the track where it can be copied exactly, else encodes AAC",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size is not None:
            _require_even(self.size, "size")
        return self


class ExportSpec(_Model):
    """A whole export: what to take, what to do with it, how and where to write it."""

    kind: Kind
    sources: Annotated[tuple[Source, ...], Field(min_length=1, max_length=1)]
    output: Path = Field(description="relative to the server's root directory")
    encoding: Encoding = Encoding()
    project: Annotated[str, Field(min_length=1, max_length=255)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        suffix = PurePosixPath(self.output).suffix.lower()
        if suffix not in OUTPUT_SUFFIXES:
            raise ValueError(
                f"output: {self.output!r} must end in one of {', '.join(OUTPUT_SUFFIXES)}"
            )
        if self.encoding.quality is Quality.LOSSLESS and suffix != ".mkv":
            raise ValueError("output: lossless video (FFV1) needs Matroska; use a name in .mkv")
        if self.encoding.codec is Codec.AV1 and OUTPUT_SUFFIXES[suffix] == "mov":
            raise ValueError("output: QuickTime files cannot hold AV1; use a name in .mp4 or .mkv")
        crops = [len(source.effects) for source in self.sources]
        if self.kind is Kind.FRAMING and crops != [1]:
            raise ValueError("sources[0].effects: framing needs exactly one crop")
        if self.kind is Kind.CLIP and any(crops):
            raise ValueError("sources[0].effects: a clip takes no effects; use kind framing")
        return self


def _require_even(size: tuple[int, int], field: str) -> None:
    if size[0] % 2 or size[1] % 2:
        raise ValueError(
            f"{field}: {size[0]}×{size[1]} has an odd side, which 4:2:0 video cannot have; "
            "use even numbers"
        )


def parse(value: Any) -> ExportSpec:
    """A spec from JSON-like values.

    Raises:
        SpecError: with the field and what to do; the first problem found.
    """
    try:
        return ExportSpec.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = _field(problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "value_error" and ": " in message:
            inner, _, message = message.partition(": ")
            field = f"{field}.{inner}" if field else inner
        if problem["type"] == "extra_forbidden":
            message = "there is no such field; check the spelling against the JSON Schema"
        raise SpecError(message[:1].upper() + message[1:] + ".", field=field or None) from None


def _field(location: Sequence[int | str]) -> str:
    """``("sources", 0, "path")`` → ``sources[0].path``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a spec."""
    return ExportSpec.model_json_schema()


def clip(
    path: str,
    start: float = 0.0,
    end: float | None = None,
    *,
    output: str,
    project: str | None = None,
    **encoding: Any,
) -> ExportSpec:
    """The frames of `path` with ``start <= time < end``, in seconds.

    Further keywords are the fields of `Encoding`.

    Raises:
        SpecError: when a value is out of range.
    """
    return parse(
        {
            "kind": "clip",
            "sources": [{"path": path, "start": start, "end": end}],
            "output": output,
            "project": project,
            "encoding": encoding,
        }
    )


def framing(
    path: str,
    start: float = 0.0,
    end: float | None = None,
    *,
    size: tuple[int, int],
    keyframes: Sequence[CropKeyframe | dict[str, float]],
    output: str,
    interpolation: str = "spline",
    project: str | None = None,
    **encoding: Any,
) -> ExportSpec:
    """Crop `path` along `keyframes` (in the time of the source) and scale to `size`.

    Further keywords are the fields of `Encoding`.

    Raises:
        SpecError: when a value is out of range.
    """
    frames = [k.model_dump() if isinstance(k, CropKeyframe) else k for k in keyframes]
    crop = {"type": "crop", "size": size, "keyframes": frames, "interpolation": interpolation}
    return parse(
        {
            "kind": "framing",
            "sources": [{"path": path, "start": start, "end": end, "effects": [crop]}],
            "output": output,
            "project": project,
            "encoding": encoding,
        }
    )
