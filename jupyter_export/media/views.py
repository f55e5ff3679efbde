"""What a preview can show beside the result: the picture before, and what an effect is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import SpecError
from ..spec import Compare, Crop, CropKeyframe, Encoding, ExportSpec, Kind, Source, Transition
from .effects import effect
from .effects.base import Picture

__all__ = ["before", "stage"]

_FRAMING = {"crop", "rotate"}
_FIELD = re.compile(r"(?:sources\[(\d{1,6})\])?(\.?effects\[(\d{1,6})\])?")

Upright = Callable[[Source], Picture]
"""The picture that the first effect on a source is given."""


def before(spec: ExportSpec, upright: Upright) -> ExportSpec:
    """The same frames without what changes only their looks, to hold against the result.

    Highlights and annotations are left out, and upscaling becomes plain enlarging; crops and
    turns stay, so that both pictures show the same. Where nothing but framing is done, the
    sources as they are. Of a comparison, its later version.
    """
    sources = [
        source.model_copy(update={"effects": _framed(source.effects, upright(source))})
        for source in spec.sources
    ]
    ours = tuple(e for e in spec.effects if not isinstance(e, Compare))
    every = [e for source in spec.sources for e in source.effects] + list(ours)
    if all(e.type in _FRAMING for e in every):
        sources = [source.model_copy(update={"effects": ()}) for source in sources]
        ours = ()
    else:
        # The picture that these are given is the first source's, brought to the size asked for.
        ours = _framed(ours, _after(spec, upright))
    return _variant(spec, sources=tuple(sources), effects=ours)


def stage(spec: ExportSpec, field: str, upright: Upright) -> tuple[ExportSpec, bool]:
    """The picture that the effect at `field` is given, without what is drawn over it before.

    ``sources[0].effects[1]`` is an effect of a source, ``sources[0]`` the source as it is, and
    ``effects[0]`` an effect of the output; it may be one that would come after the last. Also
    whether times are in the source's clock.

    Raises:
        SpecError: there is nothing at `field`.
    """
    match = _FIELD.fullmatch(field)
    if match is None or not field:
        raise _nothing_at(field)
    number, _, index = match.groups()
    if number is None:
        if index is None or int(index) > len(spec.effects):
            raise _nothing_at(field)
        given = _framed(spec.effects[: int(index)], _after(spec, upright))
        return _variant(spec, effects=given), False
    if int(number) >= len(spec.sources):
        raise _nothing_at(field)
    source = spec.sources[int(number)]
    if index is not None and int(index) > len(source.effects):
        raise _nothing_at(field)
    effects = source.effects[: int(index)] if index is not None else ()
    given = _framed(effects, upright(source))
    alone = source.model_copy(update={"effects": given, "speed": ()})
    changes = {"encoding": Encoding(), "transition": Transition()}
    return _variant(spec, sources=(alone,), effects=(), **changes), True


def _framed(effects: Sequence[Any], picture: Picture) -> tuple[Any, ...]:
    """`effects` with the same geometry, and nothing else: what enlarges does so plainly."""
    kept: list[Any] = []
    for entry in effects:
        if isinstance(entry, Compare):
            continue
        after = effect(entry.type).output(entry, picture)
        if entry.type in _FRAMING:
            kept.append(entry)
        elif (after.width, after.height) != (picture.width, picture.height):
            kept.append(_scaled(picture, after))
        picture = after
    return tuple(kept)


def _scaled(picture: Picture, after: Picture) -> Crop:
    """All of `picture` brought to the size of `after`."""
    whole = CropKeyframe(time=0, x=0, y=0, width=picture.width, height=picture.height)
    return Crop(size=(after.width, after.height), keyframes=(whole,))


def _after(spec: ExportSpec, upright: Upright) -> Picture:
    """What the effects of the output are given."""
    picture = upright(spec.sources[0])
    for entry in spec.sources[0].effects:
        picture = effect(entry.type).output(entry, picture)
    if spec.encoding.size is not None:
        width, height = spec.encoding.size
        picture = picture.model_copy(update={"width": width, "height": height})
    return picture


def _variant(spec: ExportSpec, **changes: Any) -> ExportSpec:
    # Of the kinds, this one takes any effects, or none.
    return spec.model_copy(update={"kind": Kind.CONCAT, **changes})


def _nothing_at(field: str) -> SpecError:
    return SpecError(
        f"There is nothing at {field!r} in this spec.",
        "Name a source or an effect of it, such as sources[0].effects[1].",
        field="show",
    )
