"""The shapes of pictures on their way from a source to the encoder, and the steps between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SpecError
from ..spec import Codec, Compare, Encoding, ExportSpec
from .effects import effect
from .effects.base import PLANAR_8BIT, Picture
from .facts import Colour, SourceFacts
from .recipe import StepRecipe

__all__ = ["Shapes", "checked", "shapes_of", "steps_of", "upright_picture"]

#: Deeper formats that FFV1 takes as they are.
_DEEP = {f"yuv{chroma}p{bits}le" for chroma in (420, 422, 444) for bits in (10, 12)}
_RGB_SPACE = 0
_BT709 = 1


@dataclass(frozen=True)
class Shapes:
    """What pictures look like after the sources, after mixing, and for the encoder."""

    strand: Picture
    """What every clip is brought to."""
    canvas: Picture
    """After the mix; what the effects of the spec get."""
    picture: Picture
    """What the encoder gets."""
    colour: Colour


def upright_picture(source: SourceFacts) -> Picture:
    """What the first effect on a source gets: upright, square pixels, in 8 bits."""
    own = source.video.pix_fmt
    if own not in PLANAR_8BIT:
        chroma = "444" if "444" in own else "422" if "422" in own else "420"
        own = f"yuv{chroma}p"
    video = source.video
    return Picture(width=video.upright_width, height=video.upright_height, pix_fmt=own)


def checked(effects: Sequence[Any], picture: Picture, field: str) -> Picture:
    """The shape after `effects` (models of a spec) on frames like `picture`.

    Raises:
        SpecError: an effect cannot be done.
    """
    for i, entry in enumerate(effects):
        if isinstance(entry, Compare):
            continue
        kind = effect(entry.type)
        kind.check(entry, picture, f"{field}[{i}]")
        picture = kind.output(entry, picture)
    return picture


def steps_of(
    effects: Sequence[Any], picture: Picture, start: float, end: float
) -> tuple[StepRecipe, ...]:
    """What `effects` do from `start` to `end` seconds to frames like `picture`."""
    steps = []
    for entry in effects:
        if isinstance(entry, Compare):
            continue
        kind = effect(entry.type)
        after = kind.output(entry, picture)
        first, stop = kind.span(entry)
        params = kind.resolve(entry, start, end, picture) if first < end and start < stop else None
        if params is not None:
            steps.append(
                StepRecipe(type=entry.type, version=kind.version, params=params, picture=picture)
            )
        picture = after
    return tuple(steps)


def shapes_of(
    spec: ExportSpec,
    source: SourceFacts,
    after: Picture,
    pix_fmt: str | None,
    *,
    changed: bool,
) -> Shapes:
    """The shapes of an export whose leading source, after its effects, gives `after`.

    `pix_fmt` is what the encoder takes, or None for what the source has; `changed` says whether
    anything but a conversion of whole pictures happens.

    Raises:
        SpecError: two halves do not fit into the size asked for.
    """
    width, height = _size(spec.encoding, after)
    halves = spec.compare is not None and spec.compare.layout == "side_by_side"
    if halves and spec.encoding.size is not None:
        if width % 4:
            raise SpecError(
                f"Two pictures do not fit side by side into a width of {width}.",
                "Use a width that can be divided by 4.",
                field="encoding.size",
            )
        width //= 2
    format = pix_fmt or _own_pix_fmt(source, changed=changed)
    full = source.video.pix_fmt.startswith("yuvj") and format == "yuv420p" and pix_fmt
    if full and spec.encoding.codec is not Codec.AV1:
        format = "yuvj420p"  # the same samples; the name carries the full range
    between = format
    mixed = bool(spec.effects) or len(spec.sources) > 1
    if mixed and format not in PLANAR_8BIT:
        between = "yuv420p"
    return Shapes(
        strand=Picture(width=width, height=height, pix_fmt=between),
        canvas=Picture(width=2 * width if halves else width, height=height, pix_fmt=between),
        picture=Picture(width=2 * width if halves else width, height=height, pix_fmt=format),
        colour=_colour(source),
    )


def _size(encoding: Encoding, after: Picture) -> tuple[int, int]:
    if encoding.size is not None:
        return encoding.size
    return after.width // 2 * 2, after.height // 2 * 2


def _own_pix_fmt(source: SourceFacts, *, changed: bool) -> str:
    """For lossless output: the source's own format, as far as the steps and FFV1 can take it."""
    own = source.video.pix_fmt.replace("yuvj", "yuv")
    if own in PLANAR_8BIT or (not changed and own in _DEEP):
        return own
    return "yuv420p"


def _colour(source: SourceFacts) -> Colour:
    colour = source.video.colour
    if colour.space == _RGB_SPACE:
        return Colour(range=1, space=_BT709, primaries=_BT709, transfer=_BT709)
    return colour
