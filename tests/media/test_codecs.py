"""HEVC and AV1: joined from segments without a seam, tagged as players want them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import Exported, clip_spec, complaints, decode, export_here, ffmpeg, psnr

from jupyter_export.errors import SpecError
from jupyter_export.spec import parse

CODECS = [("hevc", "libx265"), ("av1", "libsvtav1")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds whose content changes from quiet to noisy, with a keyframe each second."""
    root = tmp_path_factory.mktemp("codecs")
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2",
        "-f", "lavfi", "-i", "color=gray:size=320x180:rate=25:duration=2,noise=alls=60:allf=t",
        "-filter_complex", "[0][1]concat=n=2", "-pix_fmt", "yuv420p", "-g", "25",
        "-c:v", "libx264", "-crf", "10", root / "source.mp4",
    )  # fmt: skip
    return root


def export(
    root: Path, folder: Path, codec: str, encoder: str, suffix: str, **more: Any
) -> Exported:
    spec = clip_spec("source.mp4", f"o{suffix}", codec=codec, quality="fast")
    return export_here(spec, root, folder, encoder=encoder, segment_seconds=1.0, **more)


@pytest.mark.parametrize(
    ("codec", "encoder", "suffix"),
    [(*codec, suffix) for codec in CODECS for suffix in (".mp4", ".mkv")]
    + [("hevc", "libx265", ".mov")],
)
def test_segments_of_different_content_join_into_one_clean_stream(
    root: Path, tmp_path: Path, codec: str, encoder: str, suffix: str
) -> None:
    done = export(root, tmp_path, codec, encoder, suffix)
    assert len(done.rendered) == 4
    assert complaints(done.path) == ""
    shown, source = decode(done.path), decode(root / "source.mp4")
    assert shown.times == source.times
    assert np.mean([psnr(a, b) for a, b in zip(shown.luma, source.luma, strict=True)]) > 28
    with av.open(str(done.path)) as container:
        context = container.streams.video[0].codec_context
        assert context.profile == "Main"
        if suffix != ".mkv":
            assert context.codec_tag == {"hevc": "hvc1", "av1": "av01"}[codec]
        keys = [p.pts for p in container.demux(video=0) if p.is_keyframe]
    assert len(keys) == 4, "every segment begins with a keyframe to seek to"


@pytest.mark.parametrize(("codec", "encoder"), CODECS)
def test_an_export_that_was_resumed_has_the_same_bytes(
    root: Path, tmp_path: Path, codec: str, encoder: str
) -> None:
    first = export(root, tmp_path / "one", codec, encoder, ".mp4")
    # Rendered in another order, as after a crash.
    second = export(root, tmp_path / "two", codec, encoder, ".mp4", order=lambda i: i[::-1])
    assert first.path.read_bytes() == second.path.read_bytes()


def test_hevc_for_apple_has_all_its_parameter_sets_in_the_header(
    root: Path, tmp_path: Path
) -> None:
    done = export(root, tmp_path, "hevc", "libx265", ".mp4")
    data = done.path.read_bytes()
    start = data.index(b"hvcC") + 4
    arrays, kinds = start + 23, set()
    for _ in range(data[start + 22]):
        assert data[arrays] & 0x80, "hvc1 promises that no set of this kind is in the stream"
        kinds.add(data[arrays] & 0x3F)
        count, arrays = int.from_bytes(data[arrays + 1 : arrays + 3]), arrays + 3
        for _ in range(count):
            arrays += 2 + int.from_bytes(data[arrays : arrays + 2])
    assert kinds == {32, 33, 34}, "video, sequence and picture parameter sets, nothing else"


def test_av1_in_a_quicktime_file_is_refused_before_anything_is_rendered() -> None:
    with pytest.raises(SpecError, match=r"\.mp4, \.m4v, \.mkv or \.webm") as caught:
        parse(clip_spec("source.mp4", "o.mov", codec="av1"))
    assert caught.value.field == "encoding.codec"


@pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")
def test_no_encoder_makes_the_process_real_time(root: Path, tmp_path: Path) -> None:
    """As root, SVT-AV1 would: nothing else could run beside an export."""
    export(root, tmp_path, "av1", "libsvtav1", ".mp4")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
