"""Specs as values that chain: each step gives a new spec, the old one stays as it is.

clip("match.mp4", 12, 20).crop(boxes, size=(1080, 1920)).upscale(2).to("goal.mp4")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, cast

from ..errors import SpecError
from .options import EncodingOptions, TableOptions
from .values import Model

if TYPE_CHECKING:
    from ..notebook.estimate import Estimate
    from .join import Clip, Speed

__all__ = ["Chain", "are_models", "is_row"]

#: Effects that make a framing of what was a clip.
_FRAMING = {"crop", "rotate", "upscale"}


class Chain(Model):
    """The steps of a chain. What they add comes after what is there: a highlight that follows a
    crop is in pixels of the cropped picture. Times are those of the source.

    All raise `SpecError` when a value is out of range.
    """

    def crop(
        self,
        keyframes: Any,
        size: tuple[int, int] | None = None,
        *,
        interpolation: Literal["spline", "linear"] = "spline",
        picture: tuple[int, int] | None = None,
        steady: bool = False,
        **table: Unpack[TableOptions],
    ) -> Self:
        """Cut out a rectangle and scale it to `size`.

        `keyframes` is one rectangle, ``(x, y, width, height)``, or `CropKeyframe` objects or
        dicts with their fields, or a table of boxes to follow, as `jupyter_export.crop_path`
        reads and smooths it; that also explains `picture`, `steady` and the further keywords.
        Dicts are taken as they are, but with any of these keywords as rows of such a table.
        `size` is by default that of the rectangle.
        """
        frames: Sequence[Any]
        if _is_box(keyframes):
            names = ("x", "y", "width", "height")
            frames = [{"time": 0.0, **dict(zip(names, keyframes, strict=True))}]
            size = size or (_even(keyframes[2]), _even(keyframes[3]))
        elif are_models(keyframes) and not (picture or steady or table):
            frames = keyframes
        else:
            from ..tables import crop_path

            frames = crop_path(keyframes, _given(size), picture=picture, steady=steady, **table)
        effect = {
            "type": "crop",
            "size": _given(size),
            "keyframes": [_plain(frame) for frame in frames],
            "interpolation": interpolation,
        }
        return self._with_effects([effect])

    def rotate(self, degrees: float) -> Self:
        """Turn the picture clockwise; multiples of 90 are exact and turn its shape, too."""
        return self._with_effects([{"type": "rotate", "angle": degrees}])

    def upscale(
        self,
        scale: float | None = None,
        *,
        size: tuple[int, int] | None = None,
        model: str = "realesr-general-x4v3",
        denoise: float | None = None,
    ) -> Self:
        """Enlarge with a Real-ESRGAN model, by `scale` or to exactly `size`."""
        effect = {"type": "upscale", "scale": scale, "size": size, "model": model}
        return self._with_effects([{**effect, "denoise": denoise}])

    def highlight(
        self,
        regions: Any,
        *,
        max_gap: float = 0.5,
        look: Mapping[str, Any] | None = None,
        **table: Unpack[TableOptions],
    ) -> Self:
        """Make regions stand out.

        `regions` are `Highlight` objects or dicts with their fields, or a table, or detections,
        as `jupyter_export.highlights` reads and smooths them, one region for each id; `look` has
        the fields that all of them share, such as ``{"shape": "ground", "color": "#ff0000"}``.
        """
        fields = dict(look or {})
        if are_models(regions) and not any(is_row(region) for region in regions):
            found = [{**_plain(region), **fields} for region in regions]
        else:
            from ..tables import highlights

            made = highlights(regions, max_gap=max_gap, **table, **fields)
            found = [_plain(region) for region in made]
        return self._with_effects([{**fields, "type": "highlight"} for fields in found])

    def annotate(self, *annotations: Model | Mapping[str, Any]) -> Self:
        """Draw texts, boxes, arrows and running times: objects such as
        `jupyter_export.spec.Text`, or dicts with their `kind` and fields."""
        return self._with_effects([{**_plain(one), "type": "annotation"} for one in annotations])

    def speed(self, speed: Speed) -> Self:
        """Another speed: one rate, or ``(start, end, rate)`` for each part with its own; 2 is
        twice as fast, and the sound keeps its pitch."""
        from .join import speed_ranges

        body = self._body()
        for source in self._own_sources(body, "a speed"):
            source["speed"] = speed_ranges(speed)
        return self._checked(body)

    def then(
        self,
        *clips: Clip | Chain,
        transition: Literal["cut", "fade", "dissolve"] = "cut",
        seconds: float = 1.0,
    ) -> Self:
        """Join: `clips` after this, with a `transition` of so many `seconds` between each two.

        A clip is what `concat` takes, or a spec, of which the sources are taken with all that is
        done to them.
        """
        from .join import clip_json

        body = self._body()
        for clip in clips:
            if isinstance(clip, Chain):
                other = clip._body()
                _refuse_output_effects(other)
                body["sources"] += other["sources"]
            else:
                body["sources"].append(clip_json(clip))
        _refuse_output_effects(body)
        body["transition"] = {"type": transition, "seconds": seconds}
        body["kind"] = "concat"
        return self._checked(body)

    def to(self, output: str | PathLike[str]) -> Self:
        """Write it there; the suffix decides the container."""
        return self._checked({**self._body(), "output": fspath(output)})

    def encode(self, **encoding: Unpack[EncodingOptions]) -> Self:
        """Change how it is encoded: the fields of `Encoding`."""
        body = self._body()
        body["encoding"].update(encoding)
        return self._checked(body)

    def in_project(self, project: str | None) -> Self:
        """Group it with the exports of that name."""
        return self._checked({**self._body(), "project": project})

    def estimate(self) -> Estimate:
        """How long the export would take here, how large it would be, and whether it would fit.

        Raises:
            ServerUnreachable: no server was found.
            ExportError: what the export would be refused with.
        """
        from ..notebook.default import client

        return client().estimate(self._body())

    def _with_effects(self, effects: Iterable[Mapping[str, Any]]) -> Self:
        added = [dict(effect) for effect in effects]
        body = self._body()
        for source in self._own_sources(body, "an effect"):
            source["effects"] = [*source["effects"], *added]
        return self._checked(body)

    def _own_sources(self, body: dict[str, Any], what: str) -> list[dict[str, Any]]:
        """The sources that a step is about: the ranges of the one file."""
        sources: list[dict[str, Any]] = body["sources"]
        if len({source["path"] for source in sources}) > 1:
            raise SpecError(
                f"It is not clear to which of the {len(sources)} joined clips {what} belongs.",
                "Give it to the clips before they are joined.",
                field="sources",
            )
        return sources

    def _body(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def _checked(self, body: dict[str, Any]) -> Self:
        from .export import parse

        if body["kind"] not in {"concat", "compare"}:
            body["kind"] = _kind(body)
        return cast("Self", parse(body))


def are_models(values: Any) -> bool:
    """Whether it is what a spec is made of; everything else is a table."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        return False
    # A dict of boxes is what a detector found in a frame.
    return all(isinstance(v, Model) or (isinstance(v, dict) and "boxes" not in v) for v in values)


def is_row(value: Any) -> bool:
    """Whether it is a row of a table rather than a highlight."""
    return isinstance(value, dict) and "keyframes" not in value and "x" in value


def _kind(body: Mapping[str, Any]) -> str:
    """The word for what is done to the sources: the one that says most."""
    done = {effect["type"] for source in body["sources"] for effect in source["effects"]}
    if done & _FRAMING or any(source["speed"] for source in body["sources"]):
        return "framing"
    done |= {effect["type"] for effect in body["effects"]}
    if "highlight" in done:
        return "overlay"
    if "annotation" in done:
        return "annotate"
    return "framing" if done else "clip" if len(body["sources"]) == 1 else "concat"


def _refuse_output_effects(body: Mapping[str, Any]) -> None:
    if body["effects"]:
        raise SpecError(
            "What has effects in the time of its output cannot be joined to others.",
            "Give the effects to its sources, in their time.",
            field="effects",
        )


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and len(value) == 4
        and all(isinstance(number, Real) for number in value)
    )


def _given(size: tuple[int, int] | None) -> tuple[int, int]:
    if size is None:
        raise SpecError("A crop that moves needs a size.", "Give size.", field="size")
    return size


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = value.model_dump(mode="json") if isinstance(value, Model) else value
    return plain
