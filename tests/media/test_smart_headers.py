"""Headers that say little, or several things: what is copied stays exact."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from smart_support import assert_exact, copied_frames, made
from support import clip_spec, decode, export_here, ffmpeg

from jupyter_export.media import h264
from jupyter_export.media.nal import annex_b, parameters


def unsaid(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A sequence parameter set without its usability information, which comes last."""
    data = unit[1:].replace(b"\0\0\3", b"\0\0")
    left: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(h264, "_reorder", lambda bits: left.append(bits._left))
        h264.sps_of(unit)
    bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}"[: -left[0] - 1] + "01"
    bits += "0" * (-len(bits) % 8)
    return unit[:1] + int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_a_source_that_does_not_say_how_it_is_reordered_loses_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that sees the joins first would guess from these: Matroska does not tell it."""
    made(
        tmp_path / "whole.mp4",
        *("-bf", 7, "-b_strategy", 0, "-preset", "fast", "-g", 250, "-sc_threshold", 0),
        seconds=15,
    )
    with (
        av.open(str(tmp_path / "whole.mp4")) as source,
        av.open(str(tmp_path / "s.mp4"), "w") as target,
    ):
        track = source.streams.video[0]
        known = parameters(track.codec_context.extradata or b"", hevc=False).sets
        stream = target.add_stream_from_template(track, opaque=True)
        sets = [unsaid(u, monkeypatch) if u[0] & 31 == 7 else u for u in known]
        assert h264.sps_of(sets[0]).reorder is None and h264.sps_of(known[0]).reorder == 2
        stream.codec_context.extradata = h264.avcc(sets)
        for packet in source.demux(track):
            if packet.pts is not None:
                packet.stream = stream
                target.mux(packet)
    spec = clip_spec("s.mp4", "o.mkv", 1, 14, quality="fast", smart=True)
    done = export_here(spec, tmp_path, tmp_path / "o")
    assert sum(copied_frames(done)) > 90
    assert_exact(done, decode(tmp_path / "whole.mp4").luma[25:350])


def test_a_track_with_several_headers_is_rendered(tmp_path: Path) -> None:
    """MP4 may have a list of them; which one a packet needs is said apart from it."""
    tone = ("-f", "lavfi", "-i", "sine", "-c:v", "copy", "-c:a", "aac", "-t", 6)
    ffmpeg("-i", made(tmp_path / "mute.mp4"), *tone, tmp_path / "one.mp4")
    data = (tmp_path / "one.mp4").read_bytes()
    at = data.index(b"stsd") - 4
    (size,) = struct.unpack_from(">I", data, at)
    entry = data[at + 16 : at + size]
    # A second header like the first one, which all packets but the first need. The index is the
    # last box, so no other place moves.
    data = data[: at + 12] + struct.pack(">I", 2) + entry + data[at + 16 :]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        place = data.index(name) - 4
        (size,) = struct.unpack_from(">I", data, place)
        data = data[:place] + struct.pack(">I", size + len(entry)) + data[place + 4 :]
    place = data.index(b"stsc") + 8
    (count,) = struct.unpack_from(">I", data, place)
    assert count > 1
    for n in range(1, count):
        last = place + 4 + 12 * n + 8
        data = data[:last] + struct.pack(">I", 2) + data[last + 4 :]
    (tmp_path / "two.mp4").write_bytes(data)
    spec = clip_spec("two.mp4", "o.mp4", 1.2, 4, smart=True)
    done = export_here(spec, tmp_path, tmp_path / "o")
    assert done.plan["notes"] == ["Rendered: the parameter sets of the source change."]
    assert_exact(done, decode(tmp_path / "one.mp4").luma[30:100])


def test_broken_headers_are_refused_and_not_misread(tmp_path: Path) -> None:
    made(tmp_path / "s.mp4", seconds=1)
    with av.open(str(tmp_path / "s.mp4")) as container:
        header = container.streams.video[0].codec_context.extradata or b""
    whole = parameters(header, hevc=False)
    assert h264.avcc(whole.sets) == header
    assert list(annex_b(b"\0\0\0\1" + b"\0\0\1".join(whole.sets))) == list(whole.sets)
    noise = np.random.default_rng(1)
    refused = 0
    for cut in range(len(header)):
        for broken in (header[:cut], header[:cut] + noise.bytes(8) + header[cut + 8 :]):
            try:
                found = parameters(broken, hevc=False).sets
                [h264.sps_of(u) if u[0] & 31 == 7 else h264.pps_of(u) for u in found]
            except ValueError:
                refused += 1
    assert refused
