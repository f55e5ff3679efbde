"""What can be done to pictures: one model per effect, told apart by `type`."""

from __future__ import annotations

import logging
from functools import reduce
from importlib.metadata import entry_points
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from .annotation import Annotation
from .highlight import Highlight
from .values import (
    MAX_KEYFRAMES,
    Extent,
    Model,
    Opacity,
    Pixels,
    Seconds,
    Size,
    require_even,
    require_growing,
)

__all__ = ["EFFECTS", "Crop", "CropKeyframe", "Effect", "Rotate", "Upscale"]

_log = logging.getLogger(__name__)

Interpolation = Literal["spline", "linear"]


class CropKeyframe(Model):
    """The crop rectangle at one time of the source."""

    time: Seconds
    x: Pixels = Field(description="left edge, in pixels of the upright source")
    y: Pixels = Field(description="top edge, in pixels of the upright source")
    width: Extent
    height: Extent


class Crop(Model):
    """Cut a rectangle that moves and zooms along keyframes, then scale it to `size`.

    Between keyframes each of x, y, width and height follows a Catmull-Rom spline whose ends
    are clamped (the path starts and ends at rest on its first and last keyframe), or a straight
    line with ``interpolation="linear"``. Before the first keyframe and after the last one the
    rectangle stays.
    """

    type: Literal["crop"] = "crop"
    size: Size = Field(description="width and height of the result in pixels, both even")
    keyframes: Annotated[tuple[CropKeyframe, ...], Field(min_length=1, max_length=MAX_KEYFRAMES)]
    interpolation: Interpolation = "spline"

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_even(self.size, "size")
        require_growing([k.time for k in self.keyframes])
        return self


class Rotate(Model):
    """Turn the picture clockwise. Multiples of 90 degrees are exact and turn its shape too; any
    other angle keeps the shape, and what comes in at the corners is black."""

    type: Literal["rotate"] = "rotate"
    angle: Annotated[float, Field(ge=-360, le=360, allow_inf_nan=False)] = Field(
        description="degrees, clockwise"
    )


class Upscale(Model):
    """Enlarge with a Real-ESRGAN model, to `scale` times the size or to `size`."""

    type: Literal["upscale"] = "upscale"
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = Field(
        default="realesr-general-x4v3", description="as `jupyter export models list` names it"
    )
    scale: Annotated[float, Field(gt=0, le=8, allow_inf_nan=False)] | None = None
    size: Size | None = Field(default=None, description="width and height in pixels, both even")
    denoise: Opacity | None = Field(
        default=None, description="0 keeps noise, 1 removes most; the general model only"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.scale is None) == (self.size is None):
            raise ValueError("scale: give either scale or size")
        if self.size is not None:
            require_even(self.size, "size")
        return self


def _plugins() -> tuple[type[Model], ...]:
    """The models of effects that other packages add, by the entry points of the group
    ``jupyter_export.effects``; see `jupyter_export.media.effects.base.Effect`."""
    models = []
    for entry in entry_points(group="jupyter_export.effects"):
        try:
            models.append(entry.load().model)
        except Exception:
            _log.exception("effect=%s action=skip: its package does not load", entry.name)
    return tuple(models)


EFFECTS: tuple[Any, ...] = (Crop, Rotate, Upscale, Highlight, Annotation, *_plugins())
"""The model of every effect on a picture."""

if TYPE_CHECKING:
    Effect = Crop | Rotate | Upscale
else:
    Effect = Annotated[reduce(or_, EFFECTS), Field(discriminator="type")]
    """Any of `EFFECTS`."""
