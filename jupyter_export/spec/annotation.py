"""The spec of annotations: text, boxes, arrows, running times and frame numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import TypeAliasType

from .values import (
    MAX_KEYFRAMES,
    Color,
    Extent,
    Model,
    Opacity,
    Pixels,
    Seconds,
    require_growing,
)

__all__ = [
    "Annotation",
    "AnnotationBase",
    "Arrow",
    "ArrowKeyframe",
    "Box",
    "BoxKeyframe",
    "FrameNumber",
    "Label",
    "LabelKeyframe",
    "Text",
    "Timecode",
]

Anchor = Literal[
    "top_left", "top", "top_right", "left", "center", "right", "bottom_left", "bottom",
    "bottom_right",
]  # fmt: skip
Width = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Radius = Annotated[float, Field(ge=0, le=10000, allow_inf_nan=False)]
Keyframes: Any = Field(default=(), max_length=MAX_KEYFRAMES, description="instead of a fixed place")


def _rate(value: str) -> str:
    if not 0 < Fraction(value) <= 1000:
        raise ValueError("give frames per second between 0 and 1000, such as 25 or 30000/1001")
    return value


Rate = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]{0,9}(/[1-9][0-9]{0,9}|\.[0-9]{1,9})?$",
        description="frames per second, such as 25 or 30000/1001",
        coerce_numbers_to_str=True,
    ),
    AfterValidator(_rate),
]


class AnnotationBase(Model):
    """What all annotations have."""

    type: Literal["annotation"] = "annotation"
    start: Seconds = 0.0
    end: Seconds | None = Field(default=None, description="None is the end")
    interpolation: Literal["spline", "linear"] = "spline"
    opacity: Opacity = 1.0

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end: {self.end:g} s is not after start ({self.start:g} s)")
        require_growing([k.time for k in getattr(self, "keyframes", ())])
        return self

    def _one_place(self, fixed: dict[str, Any], keyframes: tuple[Any, ...]) -> None:
        given = [name for name, value in fixed.items() if value is not None]
        if keyframes and given:
            raise ValueError(f"{given[0]}: give either a fixed place or keyframes")
        if not keyframes and len(given) < len(fixed):
            missing = next(name for name in fixed if name not in given)
            raise ValueError(f"{missing}: give {', '.join(fixed)}, or keyframes")


class LabelKeyframe(Model):
    """Where the anchor of a label is at one time of the effect's clock."""

    time: Seconds
    x: Pixels
    y: Pixels
    opacity: Opacity | None = Field(default=None, description="None is the annotation's")


class Label(AnnotationBase):
    """What all annotations of letters have.

    The label's `anchor` (a corner, the middle of a side, or the centre of its block) lies at x, y.
    Without x and y it lies at that place of the picture, 4 % of its shorter side from the edge.
    """

    font: Annotated[str, Field(pattern=r"^[\w .,'&+()-]{1,100}$")] = Field(
        default="sans",
        description="a family (with a style, such as `Liberation Serif Bold`) that is installed "
        "where the video is rendered, or sans, which always is; characters that it lacks are "
        "taken from other fonts",
    )
    size: Annotated[float, Field(ge=4, le=2000, allow_inf_nan=False)] = Field(
        default=36.0, description="of the letters (an em), in pixels"
    )
    color: Color = "#ffffff"
    outline: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = Field(
        default=0.0, description="width of the rim around the letters, in pixels"
    )
    outline_color: Color = "#000000"
    background: Color | None = Field(default=None, description="of a box behind the text")
    background_opacity: Opacity = 0.7
    padding: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = Field(
        default=12.0, description="between the text and the edge of its box, in pixels"
    )
    corner_radius: Radius = Field(default=8.0, description="of the box, in pixels")
    align: Literal["left", "center", "right"] = Field(
        default="left", description="of shorter lines"
    )
    anchor: Anchor = "top_left"
    x: Pixels | None = None
    y: Pixels | None = None
    keyframes: tuple[LabelKeyframe, ...] = Keyframes

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.keyframes and self.x is None and self.y is None:
            return self
        self._one_place({"x": self.x, "y": self.y}, self.keyframes)
        return self


class Text(Label):
    """Text of one or several lines, in any script."""

    kind: Literal["text"] = "text"
    text: Annotated[str, Field(min_length=1, max_length=10_000)]


class Timecode(Label):
    """The running time of the effect's clock: of the source inside a source, else of the output."""

    kind: Literal["timecode"] = "timecode"
    format: Literal["hh:mm:ss.mmm", "hh:mm:ss:ff", "hh:mm:ss", "mm:ss.mmm", "mm:ss"] = (
        "hh:mm:ss.mmm"
    )
    rate: Rate | None = Field(
        default=None, description="frames per second of hh:mm:ss:ff; no frame number is dropped"
    )
    offset: Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)] = Field(
        default=0.0, description="seconds that are added to the time"
    )

    @model_validator(mode="after")
    def _check_rate(self) -> Self:
        if self.format.endswith("ff") and self.rate is None:
            raise ValueError("rate: hh:mm:ss:ff needs the frames per second to count with")
        return self


class FrameNumber(Label):
    """The running number of the frame, by the effect's clock."""

    kind: Literal["frame_number"] = "frame_number"
    rate: Rate
    first: Annotated[int, Field(ge=0, le=10**9)] = Field(
        default=0, description="number of the frame at time 0"
    )
    digits: Annotated[int, Field(ge=1, le=12)] = Field(
        default=1, description="at least so many, with zeros in front"
    )


class BoxKeyframe(Model):
    """A box at one time of the effect's clock."""

    time: Seconds
    x: Pixels = Field(description="left edge")
    y: Pixels = Field(description="top edge")
    width: Extent
    height: Extent
    opacity: Opacity | None = Field(default=None, description="None is the annotation's")


class Box(AnnotationBase):
    """A rectangle, outlined or filled or both."""

    kind: Literal["box"] = "box"
    x: Pixels | None = Field(default=None, description="left edge")
    y: Pixels | None = Field(default=None, description="top edge")
    width: Extent | None = None
    height: Extent | None = None
    keyframes: tuple[BoxKeyframe, ...] = Keyframes
    color: Color = "#ffd400"
    stroke_width: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = Field(
        default=4.0, description="pixels, half of it on either side of the edge; 0 is no outline"
    )
    fill: Color | None = None
    fill_opacity: Opacity = 0.3
    corner_radius: Radius = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        fixed = {"x": self.x, "y": self.y, "width": self.width, "height": self.height}
        self._one_place(fixed, self.keyframes)
        return self


class ArrowKeyframe(Model):
    """An arrow at one time of the effect's clock."""

    time: Seconds
    x: Pixels = Field(description="the tip")
    y: Pixels = Field(description="the tip")
    from_x: Pixels
    from_y: Pixels
    opacity: Opacity | None = Field(default=None, description="None is the annotation's")


class Arrow(AnnotationBase):
    """An arrow that points to x, y."""

    kind: Literal["arrow"] = "arrow"
    x: Pixels | None = Field(default=None, description="the tip")
    y: Pixels | None = Field(default=None, description="the tip")
    from_x: Pixels | None = None
    from_y: Pixels | None = None
    keyframes: tuple[ArrowKeyframe, ...] = Keyframes
    color: Color = "#ffd400"
    stroke_width: Width = Field(default=6.0, description="of the shaft, in pixels")
    head: Annotated[float, Field(gt=0, le=10000, allow_inf_nan=False)] | None = Field(
        default=None, description="length of the head in pixels; None is 4 times the stroke's width"
    )
    outline: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = Field(
        default=0.0, description="width of the rim, in pixels"
    )
    outline_color: Color = "#000000"

    @model_validator(mode="after")
    def _check(self) -> Self:
        fixed = {"x": self.x, "y": self.y, "from_x": self.from_x, "from_y": self.from_y}
        self._one_place(fixed, self.keyframes)
        return self


Annotation = TypeAliasType(
    "Annotation",
    Annotated[Text | Box | Arrow | Timecode | FrameNumber, Field(discriminator="kind")],
)
"""Any annotation, told apart by `kind`."""
