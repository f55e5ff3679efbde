"""The files that come out: containers, codecs, colour tags, chapters, and what they carry along."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from support import clip_spec, complaints, decode, export_here, ffmpeg, psnr

ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}

#: name: (range, matrix, primaries, transfer) by name and by code point (ISO/IEC 23091-2)
COLOURS = {
    "hd": ("tv", "bt709", "bt709", "bt709", (1, 1, 1, 1)),
    "full": ("pc", "smpte170m", "smpte170m", "smpte170m", (2, 6, 6, 6)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, (range_, space, primaries, transfer, _) in COLOURS.items():
        tags = f"range={range_}:colorspace={space}:color_primaries={primaries}"
        ffmpeg(
            *("-f", "lavfi", "-i", "testsrc2=s=192x108:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2"),
            *("-vf", f"setparams={tags}:color_trc={transfer}", "-pix_fmt", "yuv420p"),
            *("-c:v", "libx264", "-crf", "10", "-g", "25", "-c:a", "aac"),
            *("-metadata", "title=private", "-metadata", "location=+48.2+16.3/"),
            folder / f"{name}.mp4",
        )
    return folder


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("output", "codec"),
    [("o.mp4", "h264"), ("o.mov", "h264"), ("o.mkv", "h264"), ("o.mp4", "hevc"), ("o.mp4", "av1"),
     ("o.webm", "av1")],
)  # fmt: skip
def test_colours_mean_in_every_container_what_they_meant(
    folder: Path, tmp_path: Path, colour: str, output: str, codec: str
) -> None:
    code_points = COLOURS[colour][4]
    spec = clip_spec(f"{colour}.mp4", output, 0.2, 0.8, codec=codec)
    done = export_here(spec, folder, tmp_path, encoder=ENCODERS[codec])
    with av.open(str(done.path)) as container:
        stream = container.streams.video[0]
        assert _tags(stream.codec_context) == code_points
        assert _tags(next(container.decode(video=0))) == code_points
    if output != "o.mkv" and output != "o.webm":
        assert _colr(done.path) == (code_points[2], code_points[3], code_points[1])
    source, out = decode(folder / f"{colour}.mp4"), decode(done.path)
    assert len(out.times) == 15
    assert psnr(out.luma[7], source.luma[12]) > 38
    assert complaints(done.path) == ""


def test_lossless_video_keeps_its_colour_tags_in_matroska(folder: Path, tmp_path: Path) -> None:
    done = export_here(clip_spec("full.mp4", "o.mkv", quality="lossless"), folder, tmp_path)
    with av.open(str(done.path)) as container:
        assert _tags(container.streams.video[0].codec_context) == COLOURS["full"][4]


def _tags(thing: Any) -> tuple[int, int, int, int]:
    names = ("color_range", "colorspace", "color_primaries", "color_trc")
    return tuple(int(getattr(thing, name)) for name in names)  # type: ignore[return-value]


def _colr(path: Path) -> tuple[int, ...]:
    """Primaries, transfer and matrix of the colr box (ISO/IEC 14496-12, 12.1.5)."""
    data = path.read_bytes()
    at = data.index(b"colr")
    assert data[at + 4 : at + 8] in (b"nclx", b"nclc")
    return struct.unpack(">HHH", data[at + 8 : at + 14])


@pytest.mark.parametrize("output", ["o.mp4", "o.mov", "o.mkv", "o.webm"])
def test_joined_clips_are_chapters(folder: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "two\u2028 <b>ä.mp4").hardlink_to(folder / "hd.mp4")
    (tmp_path / "one.mp4").hardlink_to(folder / "hd.mp4")
    spec = {
        "kind": "concat",
        "sources": [
            {"path": "one.mp4", "end": 1},
            {"path": "two\u2028 <b>ä.mp4", "start": 0.4, "end": 1.6},
            {"path": "one.mp4", "start": 1},
        ],
        "transition": {"type": "dissolve", "seconds": 0.2},
        "output": output,
        "encoding": {"quality": "fast", "codec": "av1" if output == "o.webm" else "h264"},
    }
    encoder = ENCODERS[spec["encoding"]["codec"]]
    done = export_here(spec, tmp_path, tmp_path, encoder=encoder)
    with av.open(str(done.path)) as container:
        told = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
            for c in container.chapters()
        ]
    assert told == [
        (0, Fraction("0.8"), "one"),
        (Fraction("0.8"), Fraction("1.8"), "two <b>ä"),  # without the line separator
        (Fraction("1.8"), Fraction("2.8"), "one"),
    ]
    assert complaints(done.path) == ""


def test_a_clip_has_no_chapters(folder: Path, tmp_path: Path) -> None:
    done = export_here(clip_spec("hd.mp4", "o.mp4", quality="fast"), folder, tmp_path)
    with av.open(str(done.path)) as container:
        assert container.chapters() == []
        assert len(container.streams) == 2


def test_titles_and_places_of_sources_are_not_passed_on(folder: Path, tmp_path: Path) -> None:
    for output in ("o.mp4", "o.mkv"):
        done = export_here(clip_spec("hd.mp4", output, quality="fast"), folder, tmp_path)
        data = done.path.read_bytes()
        assert b"private" not in data
        assert b"+48.2" not in data


def test_the_same_segments_give_the_same_bytes_in_every_container(
    folder: Path, tmp_path: Path
) -> None:
    """Chapters, random identifiers and dates would show."""
    two = [{"path": "hd.mp4", "end": 1}, {"path": "full.mp4", "end": 1}]
    for output in ("o.mp4", "o.mkv", "o.gif", "o.webp"):
        spec = {"kind": "concat", "sources": two, "output": output}
        made = [export_here(spec, folder, tmp_path / str(i)).path.read_bytes() for i in range(2)]
        assert made[0] == made[1], output
