"""The spec of a highlight: a region that moves along keyframes, and how it stands out."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

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

__all__ = ["Highlight", "HighlightKeyframe"]


class HighlightKeyframe(Model):
    """The region at one time of the effect's clock."""

    time: Seconds
    x: Pixels = Field(description="the centre (of a ground ring: between the feet)")
    y: Pixels = Field(description="the centre (of a ground ring: where the feet stand)")
    radius_x: Extent = Field(description="half the width")
    radius_y: Extent | None = Field(
        default=None, description="half the height; None is radius_x, of a ground ring 0.35 of it"
    )
    stroke_opacity: Opacity | None = Field(
        default=None, description="of the outline; None is 1 for effect outline, else 0"
    )
    fill_opacity: Opacity | None = Field(
        default=None,
        description="outline: of a tint of the inside (None is 0, of a ground ring 0.25); "
        "brighten and dim_outside: the part of `strength` that acts (None is 1)",
    )
    color: Color | None = Field(default=None, description="None is the highlight's")


class Highlight(Model):
    """Make a region stand out: outline it, brighten it, or dim all that is outside of it.

    Between keyframes position, radii, opacities and colour follow a Catmull-Rom spline whose
    ends are clamped, or straight lines; before the first and after the last one they rest.

    A ``ground`` region is a ring that lies on the ground around somebody's feet: a flat ellipse
    whose stroke is strongest at the near side and leaves a gap at the far side, where the legs
    stand before it; its tint grows towards the rim.

    Where several highlights that dim the outside follow one another (annotations may be between
    them), what is outside of all their regions is dimmed, once, beneath whatever else they draw.
    """

    type: Literal["highlight"] = "highlight"
    shape: Literal["ellipse", "box", "ground"] = "ellipse"
    effect: Literal["outline", "brighten", "dim_outside"] = "outline"
    start: Seconds = 0.0
    end: Seconds | None = Field(default=None, description="None is the end")
    keyframes: Annotated[
        tuple[HighlightKeyframe, ...], Field(min_length=1, max_length=MAX_KEYFRAMES)
    ]
    interpolation: Literal["spline", "linear"] = "spline"
    color: Color = "#ffd400"
    stroke_width: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = Field(
        default=4.0, description="pixels, half of it on either side of the region's edge"
    )
    corner_radius: Annotated[float, Field(ge=0, le=10000, allow_inf_nan=False)] = Field(
        default=0.0, description="of a box, in pixels"
    )
    strength: Opacity = Field(
        default=0.6, description="brighten: of the light; dim_outside: 1 makes the outside black"
    )
    feather: Annotated[float, Field(ge=0, le=10000, allow_inf_nan=False)] = Field(
        default=0.0, description="pixels over which brightening and dimming fade at the edge"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_growing([k.time for k in self.keyframes])
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end: {self.end:g} s is not after start ({self.start:g} s)")
        return self
