"""Annotations: labels, boxes and arrows, keyframed or fixed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...errors import SpecError
from ...spec.annotation import AnnotationBase, Arrow, ArrowKeyframe, Box, BoxKeyframe, Label, Text
from . import fonts, shapes
from .base import Effect, Picture
from .blend import Stencil
from .colour import parse_color
from .drawing import Canvas, Drawing
from .keyframes import Keyed, clipped_span, in_span
from .label import label_drawing, label_keyframes, label_params
from .runs import missing
from .text import Block, Style

__all__ = ["EFFECT", "AnnotationEffect"]


# A text is kept as a picture: this one takes some hundreds of megabytes.
_MAX_PIXELS = 16_000_000
#: Characters that a note names.
_SHOWN = 5


class AnnotationEffect(Effect[AnnotationBase]):
    """Texts, boxes, arrows and times; see `jupyter_export.spec.annotation`."""

    model = AnnotationBase
    megapixel_ms = 0.7

    def check(self, effect: AnnotationBase, picture: Picture, field: str) -> None:
        """A label's font must be installed, and a text must not be too large.

        Raises:
            SpecError: it is not, or it is.
        """
        if not isinstance(effect, Label):
            return
        font = fonts.find(effect.font)
        if font is None:
            near = fonts.similar(effect.font)
            raise SpecError(
                f"There is no font {effect.font!r} where the video is rendered.",
                f"Use sans{' or ' + ', '.join(near) if near else ''}, or install it there.",
                field=f"{field}.font",
            )
        if isinstance(effect, Text):
            block = Block(effect.text, Style(font, effect.size, effect.color))
            if block.width * block.height > _MAX_PIXELS:
                raise SpecError(
                    f"The text is {block.width:.0f}×{block.height:.0f} pixels large.",
                    "Make it smaller or shorter.",
                    field=f"{field}.text",
                )

    def remarks(self, effect: AnnotationBase) -> list[str]:
        """Characters that no font here has."""
        font = fonts.find(effect.font) if isinstance(effect, Text) else None
        lost = missing(effect.text, font) if isinstance(effect, Text) and font else []
        if not lost:
            return []
        shown = ", ".join(repr(part) for part in lost[:_SHOWN])
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        return [
            f"No font where the video was rendered has {shown}{more}: a box was drawn instead. "
            "Install one that has, such as Noto."
        ]

    def span(self, effect: AnnotationBase) -> tuple[float, float]:
        """From its start to its end."""
        return clipped_span(effect.start, effect.end)

    def resolve(
        self, effect: AnnotationBase, start: float, end: float, picture: Picture
    ) -> dict[str, Any] | None:
        """What it looks like, and the part of its path that shows."""
        keyframes = _keyframes(effect, picture)
        keyed = Keyed.within(keyframes, partial(_point, effect), effect, start, end)
        if keyed is None or keyed.always(lambda point: point[-1] <= 0):
            return None
        params: dict[str, Any] = {"kind": getattr(effect, "kind"), **keyed.params()}  # noqa: B009
        if isinstance(effect, Label):
            return params | label_params(effect)
        return params | _look(effect)

    def make(self, params: dict[str, Any], picture: Picture) -> Drawing:
        """The drawing of one annotation."""
        if params["kind"] == "box":
            return _Box(params)
        if params["kind"] == "arrow":
            return _Arrow(params)
        return label_drawing(params)


def _keyframes(effect: AnnotationBase, picture: Picture) -> Sequence[Any]:
    if isinstance(effect, Label):
        return label_keyframes(effect, picture)
    assert isinstance(effect, Box | Arrow)
    if effect.keyframes:
        return effect.keyframes
    model = BoxKeyframe if isinstance(effect, Box) else ArrowKeyframe
    names = model.model_fields.keys() - {"time", "opacity"}
    return (model(time=0, **{name: getattr(effect, name) for name in names}),)


def _point(effect: AnnotationBase, key: Any) -> tuple[float, ...]:
    """Geometry, and the opacity last."""
    opacity = effect.opacity if key.opacity is None else key.opacity
    if isinstance(key, BoxKeyframe):
        return key.x, key.y, key.width, key.height, opacity
    if isinstance(key, ArrowKeyframe):
        return key.from_x, key.from_y, key.x, key.y, opacity
    return key.x, key.y, opacity


def _look(effect: AnnotationBase) -> dict[str, Any]:
    if isinstance(effect, Box):
        look: dict[str, Any] = {"corner_radius": effect.corner_radius}
        if effect.stroke_width:
            look |= {"stroke_width": effect.stroke_width, "color": effect.color}
        if effect.fill is not None:
            look |= {"fill": effect.fill, "fill_opacity": effect.fill_opacity}
        return look
    assert isinstance(effect, Arrow)
    head = 4 * effect.stroke_width if effect.head is None else effect.head
    look = {"stroke_width": effect.stroke_width, "color": effect.color, "head": head}
    if effect.outline:
        look |= {"outline": effect.outline, "outline_color": effect.outline_color}
    return look


class _Shape(Drawing):
    def __init__(self, params: dict[str, Any]) -> None:
        self.keyed = Keyed.of(params)

    def shows(self, time: float) -> bool:
        return in_span(time, self.keyed.start, self.keyed.end)


class _Box(_Shape):
    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__(params)
        self.radius: float = params["corner_radius"]
        self.width: float = params.get("stroke_width", 0.0)
        self.color = parse_color(params.get("color", "#000000"))
        self.fill = parse_color(params["fill"]) if "fill" in params else None
        self.fill_opacity: float = params.get("fill_opacity", 0.0)
        self._inside = Stencil(shapes.box)
        self._outline = Stencil(shapes.box_outline)

    def draw(self, canvas: Canvas, time: float) -> None:
        x, y, width, height, opacity = self.keyed.at(time)
        half_x, half_y = max(width, 1.0) / 2, max(height, 1.0) / 2
        opacity = min(max(opacity, 0.0), 1.0)
        middle = x + width / 2, y + height / 2
        reach = self.width / 2 + 2
        box = (
            middle[0] - half_x - reach,
            middle[1] - half_y - reach,
            middle[0] + half_x + reach,
            middle[1] + half_y + reach,
        )
        geometry = (*middle, half_x, half_y, self.radius)
        if self.fill is not None:
            self._inside.fill(canvas, [box], geometry, self.fill, opacity * self.fill_opacity)
        if self.width:
            outline = (*geometry, self.width)
            self._outline.fill(canvas, [box], outline, self.color, opacity)


class _Arrow(_Shape):
    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__(params)
        self.width: float = params["stroke_width"]
        self.head: float = params["head"]
        self.color = parse_color(params["color"])
        self.rim: float = params.get("outline", 0.0)
        self.rim_color = parse_color(params.get("outline_color", "#000000"))
        self._body = Stencil(shapes.arrow)
        self._rim = Stencil(shapes.arrow)

    def draw(self, canvas: Canvas, time: float) -> None:
        from_x, from_y, x, y, opacity = self.keyed.at(time)
        opacity = min(max(opacity, 0.0), 1.0)
        reach = max(self.width, self.head) / 2 + self.rim + 2
        box = (
            min(x, from_x) - reach,
            min(y, from_y) - reach,
            max(x, from_x) + reach,
            max(y, from_y) + reach,
        )
        geometry = (from_x, from_y, x, y, self.width, self.head)
        if self.rim:
            self._rim.fill(canvas, [box], (*geometry, self.rim), self.rim_color, opacity)
        self._body.fill(canvas, [box], (*geometry, 0.0), self.color, opacity)


EFFECT = AnnotationEffect()
