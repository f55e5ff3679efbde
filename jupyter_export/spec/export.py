"""The spec of a whole export: sources, transition, effects, encoding, output.

Two clocks, one rule: an effect inside a source is in that source's time; an effect of the spec is
in output time, which starts at 0. Times are in seconds from the first shown frame, ranges are
half-open, ``[start, end)``, and take the frames whose time lies in them. Geometry is in square
pixels of the upright picture that the effect receives (rotation and sample aspect already
applied), origin top left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, overload

from pydantic import Field, ValidationError, model_validator

from ..errors import SpecError
from .chain import Chain
from .containers import OUTPUT_SUFFIXES, Container, check_fit, container_of
from .effects import EFFECTS, Effect
from .values import Model, Path, Seconds, Size, require_even

if TYPE_CHECKING:
    from ..notebook.frame import Frame, FramePair

__all__ = [
    "OUTPUT_SUFFIXES",
    "Codec",
    "Compare",
    "Encoding",
    "ExportSpec",
    "Kind",
    "Quality",
    "Source",
    "SpeedRange",
    "Transition",
    "json_schema",
    "parse",
]

MAX_SOURCES = 1000

Track = Annotated[int, Field(ge=0, le=1000)]


class Kind(StrEnum):
    """What sort of export it is."""

    CLIP = "clip"
    """One range of one source."""
    CONCAT = "concat"
    """Clips one after another, with a transition between them."""
    FRAMING = "framing"
    """Ranges of sources, cropped along a moving and zooming path, turned, sped up, upscaled."""
    OVERLAY = "overlay"
    """Regions highlighted."""
    ANNOTATE = "annotate"
    """Texts, boxes, arrows and times drawn in."""
    COMPARE = "compare"
    """Two versions, one after the other, side by side, or with a wipe between them."""


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


class SpeedRange(Model):
    """Another speed from `start` to `end`, in the time of the source; the sound keeps its pitch."""

    start: Seconds
    end: Seconds
    rate: Annotated[float, Field(ge=0.1, le=16)] = Field(description="2 is twice as fast")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"end: {self.end:g} s is not after start ({self.start:g} s)")
        return self


class Source(Model):
    """One range of one file, and the effects on it (in the time of the source)."""

    path: Path = Field(description="relative to the server's root directory")
    start: Seconds = 0.0
    end: Seconds | None = Field(default=None, description="None is the end of the file")
    video_track: Track | None = Field(
        default=None,
        description="by number, from 0 among the video tracks; None is the one that players take",
    )
    audio_track: Track | None = Field(
        default=None,
        description="by number, from 0 among the audio tracks; None is the one that players take",
    )
    speed: Annotated[tuple[SpeedRange, ...], Field(max_length=1000)] = ()
    effects: Annotated[tuple[Effect, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError(
                f"end: {self.end:g} s is not after start ({self.start:g} s); "
                "give an end after the start, or leave it out for the end of the file"
            )
        for before, after in zip(self.speed, self.speed[1:], strict=False):
            if after.start < before.end:
                raise ValueError(
                    f"speed: the range at {after.start:g} s begins before the one at "
                    f"{before.start:g} s ends; sort them, without overlaps"
                )
        return self


class Transition(Model):
    """What is between two clips."""

    type: Literal["cut", "fade", "dissolve"] = "cut"
    seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = Field(
        default=1.0,
        description="fade: half of it to black, half of it back; dissolve: how long both show",
    )


class Compare(Model):
    """Show another version (before) with the spec's source (after)."""

    type: Literal["compare"] = "compare"
    with_: Source = Field(alias="with", description="the version before")
    layout: Literal["before_then_after", "side_by_side", "wipe"] = "side_by_side"


if TYPE_CHECKING:
    OutputEffect = Effect | Compare
else:
    OutputEffect = Annotated[reduce(or_, (*EFFECTS, Compare)), Field(discriminator="type")]


class Encoding(Model):
    """How the output is written; the container follows from the output's suffix."""

    codec: Codec = Codec.H264
    quality: Quality = Quality.BALANCED
    encoder: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$")] = Field(
        default="auto", description="auto, or an encoder by name, such as libx264 or h264_nvenc"
    )
    size: Size | None = Field(
        default=None,
        description="width and height in pixels, both even; other shapes are letterboxed into it",
    )
    fps: Annotated[float, Field(gt=0, le=240, allow_inf_nan=False)] | None = Field(
        default=None, description="frames per second; None is the first source's"
    )
    audio: Literal["auto", "aac", "opus", "flac", "none"] = Field(
        default="auto",
        description="auto copies the track where it can be copied exactly, else encodes what is "
        "usual in the container",
    )
    smart: bool = Field(
        default=True, description="copy what no edit touches, where that can be done exactly"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size is not None:
            require_even(self.size, "size")
        return self


class ExportSpec(Chain):
    """A whole export: what to take, what to do with it, how and where to write it."""

    kind: Kind
    sources: Annotated[tuple[Source, ...], Field(min_length=1, max_length=MAX_SOURCES)]
    transition: Transition = Transition()
    effects: Annotated[tuple[OutputEffect, ...], Field(max_length=1000)] = Field(
        default=(), description="in output time, in pixels of the output"
    )
    output: Path = Field(description="relative to the server's root directory")
    encoding: Encoding = Encoding()
    project: Annotated[str, Field(min_length=1, max_length=255)] | None = None

    @property
    def container(self) -> Container:
        """What the suffix of the output means."""
        container = container_of(self.output)
        assert container is not None  # checked
        return container

    @property
    def segment_encoding(self) -> Encoding:
        """How its segments are encoded; those of an animation wait for their palette, unharmed."""
        if self.container.animation is None:
            return self.encoding
        return self.encoding.model_copy(update={"quality": Quality.LOSSLESS})

    @property
    def compare(self) -> Compare | None:
        """The comparison, if it is one."""
        return next((e for e in self.effects if isinstance(e, Compare)), None)

    @overload
    def preview(
        self, time: float = ..., *, before: Literal[False] = ..., width: int = ...
    ) -> Frame: ...

    @overload
    def preview(
        self, time: float = ..., *, before: Literal[True], width: int = ...
    ) -> FramePair: ...

    def preview(
        self, time: float = 0.0, *, before: bool = False, width: int = 1280
    ) -> Frame | FramePair:
        """What the export would show at `time` seconds of its output, as a picture in a cell.

        With `before` the same frame is beside it without what changes only its looks: highlights
        and annotations are left out, upscaling is plain enlarging, and where nothing but framing
        is done, it is the source as it is. `width` is in pixels, at most. The server of this
        kernel renders it as it would the export; where there is none, a worker process of this
        Python process does.

        Raises:
            ExportError: what the export would be refused with.
        """
        from ..notebook.frame import FramePair
        from ..notebook.preview import frame_of

        after = frame_of(self, time, width)
        if not before:
            return after
        return FramePair(before=frame_of(self, time, width, "before"), after=after)

    def every_source(self) -> Iterator[tuple[str, Source]]:
        """All ranges of files that it takes, each with its place in the spec."""
        for i, source in enumerate(self.sources):
            yield f"sources[{i}]", source
        for i, effect in enumerate(self.effects):
            if isinstance(effect, Compare):
                yield f"effects[{i}].with", effect.with_

    @model_validator(mode="after")
    def _check(self) -> Self:
        container = container_of(self.output)
        if container is None:
            raise ValueError(
                f"output: {self.output!r} must end in one of {', '.join(OUTPUT_SUFFIXES)}"
            )
        check_fit(self.encoding, container)
        self._check_kind()
        return self

    def _check_kind(self) -> None:
        in_sources = [e.type for s in self.sources for e in s.effects]
        in_output = [e.type for e in self.effects]
        if self.kind is Kind.CLIP:
            if len(self.sources) > 1:
                raise ValueError("sources: a clip has one source; use kind concat for several")
            if in_sources or in_output or self.sources[0].speed:
                where = "sources[0].effects" if in_sources else "effects"
                raise ValueError(f"{where}: a clip takes no effects; use kind framing")
        changed = in_sources or any(s.speed for s in self.sources)
        if self.kind is Kind.FRAMING and not changed:
            raise ValueError(
                "sources[0].effects: framing needs an effect of a source, such as a crop, "
                "or a change of speed"
            )
        for kind, effect in ((Kind.OVERLAY, "highlight"), (Kind.ANNOTATE, "annotation")):
            if self.kind is kind and effect not in (*in_sources, *in_output):
                raise ValueError(f"effects: {kind} needs at least one {effect}")
        compares = in_output.count("compare")
        if (self.kind is Kind.COMPARE) != (compares == 1) or compares > 1:
            raise ValueError("effects: kind compare, and only it, needs exactly one compare")
        if compares and len(self.sources) > 1:
            raise ValueError("sources: a comparison has one source; the other one is its `with`")


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
    """``("sources", 0, "path")`` → ``sources[0].path``; the types of effects are left out."""
    text = ""
    parts = list(location)
    for i, part in enumerate(location):
        if part == "effects" and len(location) > i + 2:
            tags = 2 if location[i + 2] == "annotation" else 1
            parts = [*location[: i + 2], *location[i + 2 + tags :]]
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a spec."""
    return ExportSpec.model_json_schema()
