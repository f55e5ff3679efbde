"""The packets of a copied segment, read from its source while the output is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import SourceUnreadable
from .index import seek_before
from .nal import H264, length_prefixed, parameters, units
from .open import demux
from .recipe import CopyRecipe

__all__ = ["as_avc1", "source_packets"]


def source_packets(
    container: InputContainer, path: Path, recipe: CopyRecipe
) -> Iterator[tuple[av.Packet[VideoStream], int]]:
    """The packets in decoding order, each with its frame's time stamp in the output (from 0).

    Those of H.264 are as an ``avc1`` track has them: lengths of 4 bytes, no parameter sets.

    Raises:
        SourceUnreadable: they are not there any more.
    """
    stream = container.streams[recipe.stream]
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    h264 = context.name == "h264"
    length = parameters(context.extradata or b"", hevc=False).length if h264 else 0
    stamps = dict(zip(recipe.shown.values(), recipe.stamps.values(), strict=True))
    begun = False
    seek_before(container, stream, recipe.shown.first)
    for packet in demux(container, stream):
        begun = begun or packet.pts == recipe.shown.first
        if not begun:
            continue
        stamp = None if packet.pts is None else stamps.pop(packet.pts, None)
        if stamp is None:
            break
        yield (as_avc1(packet, length) if h264 else packet), stamp
        if not stamps:
            return
    raise SourceUnreadable(
        f"{path.name!r} was changed while it was being exported.",
        "Wait until nothing writes it, then retry.",
    )


def as_avc1(packet: av.Packet[VideoStream], length: int) -> av.Packet[VideoStream]:
    """An H.264 packet whose NAL units are as `nal.Parameters.length` says, for an ``avc1`` track:
    lengths of 4 bytes, no parameter sets."""
    parts = list(units(memoryview(packet), length))
    if length == 4 and all(H264.type(u) in H264.slices | {6} for u in parts):
        return packet
    made = cast("av.Packet[VideoStream]", av.Packet(length_prefixed(parts)))
    made.is_keyframe = packet.is_keyframe
    return made
