"""The shapes of pictures on their way from a source to the encoder, and the steps between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from av.video.format import VideoFormat

from ..errors import SpecError
from ..spec import Codec, Compare, Encoding, ExportSpec
from ..spec.values import MAX_SIDE
from .effects import effect
from .effects.base import PLANAR_8BIT, Picture
from .facts import Colour, SourceFacts, VideoFacts
from .graph import matrix_of
from .recipe import StepRecipe
from .tone import BT709, PQ, is_hdr, is_wide

__all__ = [
    "Shapes",
    "checked",
    "depth_of",
    "remarks",
    "shapes_of",
    "steps_of",
    "upright_picture",
]

#: Deeper formats that FFV1 takes as they are.
_DEEP = {f"yuv{chroma}p{bits}le" for chroma in (420, 422, 444) for bits in (10, 12)}
_RGB_SPACE = 0
_UNNAMED = 2
_HDR_BITS = 10
_SPACES = {"bt709": 1, "bt601": 6}


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


def depth_of(spec: ExportSpec, sources: Sequence[SourceFacts]) -> int:
    """Bits per component for the encoder: all that the leading source has, if none get lost on
    the way. Effects and transitions work on 8 bits."""
    return sources[0].video.bits if _untouched(spec) else 8


def shapes_of(
    spec: ExportSpec,
    sources: Sequence[SourceFacts],
    after: Picture,
    pix_fmt: str | None,
) -> Shapes:
    """The shapes of an export of `sources`, of which the first one, after its effects, gives
    `after`.

    `pix_fmt` is what the encoder takes, or None for what the source has.

    Raises:
        SpecError: two halves do not fit into the size asked for, or the output is too large.
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
    format = pix_fmt or _own_pix_fmt(sources[0], changed=not _untouched(spec))
    colour = _colour(sources, format, (width, height))
    full = sources[0].video.pix_fmt.startswith("yuvj") and colour.range != 1
    if full and format == "yuv420p" and pix_fmt and spec.encoding.codec is not Codec.AV1:
        format = "yuvj420p"  # the same samples; the name carries the full range
    between = format
    if _mixed(spec) and format not in PLANAR_8BIT:
        between = "yuv420p"
    canvas = 2 * width if halves else width
    if max(canvas, height) > MAX_SIDE:
        raise SpecError(
            f"The output would have {canvas}×{height} pixels; a side may have {MAX_SIDE}.",
            "Set encoding.size, or crop the picture (framing).",
            field="encoding.size",
        )
    return Shapes(
        strand=Picture(width=width, height=height, pix_fmt=between),
        canvas=Picture(width=canvas, height=height, pix_fmt=between),
        picture=Picture(width=canvas, height=height, pix_fmt=format),
        colour=colour,
    )


def _mixed(spec: ExportSpec) -> bool:
    """Whether pictures are mixed, or drawn on."""
    joined = len(spec.sources) > 1 and spec.transition.type != "cut"
    return bool(spec.effects) or joined


def _untouched(spec: ExportSpec) -> bool:
    """Whether nothing but conversions of whole pictures happens."""
    return not _mixed(spec) and not any(s.effects for _, s in spec.every_source())


def _size(encoding: Encoding, after: Picture) -> tuple[int, int]:
    if encoding.size is not None:
        return encoding.size
    return after.width // 2 * 2, after.height // 2 * 2


def _own_pix_fmt(source: SourceFacts, *, changed: bool) -> str:
    """For lossless output: the source's own format, as far as the steps and FFV1 can take it."""
    own = source.video.pix_fmt.replace("yuvj", "yuv").replace("yuva", "yuv")
    if own in PLANAR_8BIT or (not changed and own in _DEEP):
        return own
    return "yuv420p"


def _colour(sources: Sequence[SourceFacts], pix_fmt: str, size: tuple[int, int]) -> Colour:
    """What the output's samples mean: what the first source's do, as far as that can be kept.

    HDR needs 10 bits, and needs all sources to be HDR of one kind; so does a wide gamut.
    """
    videos = [source.video for source in sources]
    lead = videos[0].colour
    kinds = {(v.colour.transfer if is_hdr(v.colour) else 0, is_wide(v.colour)) for v in videos}
    if lead.space == _RGB_SPACE or (is_wide(lead) and len(kinds) > 1):
        return BT709
    if is_hdr(lead) and _bits(pix_fmt) < _HDR_BITS:
        return BT709
    # Players guess an unnamed matrix by the size. Where that goes wrong, the name is given.
    guesses = {matrix_of(v.colour, min(v.width, v.height)) for v in videos}
    if lead.space == _UNNAMED and len(guesses | {matrix_of(lead, min(size))}) > 1:
        guess = matrix_of(lead, min(videos[0].width, videos[0].height))
        return lead.model_copy(update={"space": _SPACES[guess]})
    return lead


def _bits(pix_fmt: str) -> int:
    return max(component.bits for component in VideoFormat(pix_fmt).components)


def remarks(sources: Sequence[SourceFacts], shapes: Shapes) -> tuple[str, ...]:
    """What the user should know about how each source becomes the output, by its place."""
    notes: list[str] = []
    for source in sources:
        named = f"{PurePosixPath(source.path).name}: " if len(sources) > 1 else ""
        notes += [named + note for note in _remarks(source.video, shapes)]
    return tuple(dict.fromkeys(notes))


def _remarks(video: VideoFacts, shapes: Shapes) -> Iterator[str]:
    bits = min(_bits(shapes.strand.pix_fmt), _bits(shapes.picture.pix_fmt))
    if video.bits > bits:
        yield f"The source has {video.bits} bits per component; the output has {bits} (dithered)."
    name = "PQ" if video.colour.transfer == PQ else "HLG"
    if is_hdr(video.colour):
        if is_hdr(shapes.colour):
            yield f"The source is HDR ({name}), and so is the output."
        else:
            yield f"The source is HDR ({name}); it was tone-mapped to SDR (BT.709)."
    elif is_wide(video.colour) and not is_wide(shapes.colour):
        yield "The source has the wide gamut of BT.2020; it was brought to that of BT.709."
    if video.interlaced:
        yield "The source is interlaced; it was deinterlaced, two fields to a frame."
    if video.alpha:
        yield "The source is transparent in places; it was flattened over black."
