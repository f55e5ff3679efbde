"""What is copied from several places, and what is rendered between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from smart_support import assert_exact, copied_frames, made
from support import Exported, complaints, decode, export_here

Range = tuple[str, float, float]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds each: a and b made with the same settings, c with others."""
    folder = tmp_path_factory.mktemp("joins")
    made(folder / "a.mp4", "-vf", "hue=h=0")
    made(folder / "b.mp4", "-vf", "hue=h=90,negate")
    made(folder / "c.mp4", "-vf", "hflip", "-bf", 0, "-refs", 1, "-preset", "slow")
    return folder


def joined(root: Path, tmp_path: Path, *ranges: Range, **more: Any) -> Exported:
    spec = {
        "kind": "concat",
        "sources": [{"path": p, "start": s, "end": e} for p, s, e in ranges],
        "output": "o.mp4",
        **more,
    }
    return export_here(spec, root, tmp_path)


def frames_of(root: Path, *ranges: Range) -> np.ndarray:
    parts = [decode(root / p).luma[round(s * 25) : round(e * 25)] for p, s, e in ranges]
    return np.concatenate(parts)


def test_several_ranges_of_one_file(root: Path, tmp_path: Path) -> None:
    ranges = ("a.mp4", 3.2, 5.6), ("a.mp4", 0.4, 2.8), ("a.mp4", 1, 3)
    done = joined(root, tmp_path, *ranges)
    assert_exact(done, frames_of(root, *ranges))
    copied = copied_frames(done)
    # The keyframes are those of whole seconds.
    assert copied[:20] == [False] * 20 and copied[20:45] == [True] * 25
    assert copied[60:75] == [False] * 15 and copied[75:100] == [True] * 25
    assert copied[120:170] == [True] * 50


def test_files_with_the_same_parameter_sets_are_copied_into_one(root: Path, tmp_path: Path) -> None:
    ranges = ("a.mp4", 0.4, 3.4), ("b.mp4", 1.6, 5)
    done = joined(root, tmp_path, *ranges)
    assert_exact(done, frames_of(root, *ranges))
    assert sum(copied_frames(done)) > 100
    assert done.plan["notes"] == []


def test_a_file_with_other_parameter_sets_is_rendered_and_the_job_says_so(
    root: Path, tmp_path: Path
) -> None:
    ranges = ("a.mp4", 0.4, 3.4), ("c.mp4", 1, 3)
    done = joined(root, tmp_path, *ranges)
    assert_exact(done, frames_of(root, *ranges))
    assert copied_frames(done)[75:] == [False] * 50
    why = "its parameter sets are not those of the other sources"
    assert done.plan["notes"] == [f"c.mp4 was rendered: {why}."]


def test_only_what_a_transition_mixes_is_rendered(root: Path, tmp_path: Path) -> None:
    ranges = ("a.mp4", 0, 4), ("b.mp4", 1, 6)
    transition = {"type": "dissolve", "seconds": 1}
    done = joined(root, tmp_path, *ranges, transition=transition)
    out = decode(done.path)
    assert complaints(done.path) == ""
    assert len(out.times) == 100 + 125 - 25
    copied = copied_frames(done)
    a, b = frames_of(root, ranges[0]), frames_of(root, ranges[1])
    assert copied[:75] == [True] * 75 and copied[100:] == [True] * 100
    assert (out.luma[:75] == a[:75]).all() and (out.luma[100:] == b[25:]).all()
    for k in range(25):
        mixed = a[75 + k] * (1 - k / 25) + b[k] * (k / 25)
        assert np.abs(out.luma[75 + k] - mixed).mean() < 4


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_our_own_outputs_are_sources_too_again_and_again(
    suffix: str, root: Path, tmp_path: Path
) -> None:
    """Each time the joins need an id of a parameter set that none of those before has."""
    source, expected = "a.mp4", frames_of(root, ("a.mp4", 0, 6))
    folder = root
    for times in range(3):
        to = tmp_path / str(times)
        spec = {
            "kind": "clip",
            "sources": [{"path": source, "start": 0.4, "end": (len(expected) - 10) / 25}],
            "output": f"o.{suffix}",
        }
        done = export_here(spec, folder, to)
        expected = expected[10:-10]
        out = decode(done.path)
        copied = copied_frames(done)
        assert complaints(done.path) == ""
        assert any(copied) and done.plan["notes"] == []
        assert len(out.luma) == len(expected)
        for k, (ours, theirs) in enumerate(zip(out.luma, expected, strict=True)):
            assert (ours == theirs).all() or not copied[k]
        folder, source, expected = to, done.path.name, out.luma
    with av.open(str(done.path)) as container:
        header = container.streams.video[0].codec_context.extradata
        assert header is not None and header[5] & 31 == 4, "the source's and three of ours"


def test_the_switch_is_off(root: Path, tmp_path: Path) -> None:
    done = joined(root, tmp_path, ("a.mp4", 0, 6), encoding={"smart": False})
    assert not any(copied_frames(done))
    assert done.plan["notes"] == []


def test_packets_in_pieces_are_rendered_and_the_rest_is_copied(root: Path, tmp_path: Path) -> None:
    with av.open(str(root / "a.mp4")) as container:
        places = [(p.pts, p.pos) for p in container.demux(video=0) if p.pts is not None]
    data = bytearray((root / "a.mp4").read_bytes())
    at = sorted(places)[60][1]
    data[at : at + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "a.mp4").write_bytes(data)
    done = joined(tmp_path, tmp_path / "o", ("a.mp4", 0, 6))
    out = decode(done.path)
    assert complaints(done.path) == ""
    expected = frames_of(root, ("a.mp4", 0, 6))
    assert len(out.luma) == 150
    copied = copied_frames(done)
    assert copied[:50] == [True] * 50 and copied[75:] == [True] * 75 and not copied[60]
    assert (out.luma[:50] == expected[:50]).all() and (out.luma[75:] == expected[75:]).all()


def test_after_a_missing_frame_nothing_is_copied_up_to_the_next_group(
    root: Path, tmp_path: Path
) -> None:
    with av.open(str(root / "c.mp4")) as source, av.open(str(tmp_path / "g.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for n, packet in enumerate(source.demux(video=0)):
            if packet.pts is not None and n != 37:
                packet.stream = stream
                target.mux(packet)
    done = joined(tmp_path, tmp_path / "o", ("g.mp4", 0, 6))
    assert complaints(done.path) == ""
    assert done.result["frames"] == 149
    assert copied_frames(done) == [True] * 37 + [False] * 12 + [True] * 100


def test_joins_are_encoded_in_software_whatever_the_hardware(root: Path, tmp_path: Path) -> None:
    """No graphics card is needed to see it: the encoder is asked for by name."""
    spec = {
        "kind": "clip",
        "sources": [{"path": "a.mp4", "start": 0.4, "end": 5.8}],
        "output": "o.mp4",
    }
    done = export_here(spec, root, tmp_path, encoder="h264_nvenc")
    assert done.plan["encoder"] == "libx264"
    assert done.plan["notes"] == ["What joins copied video is encoded in software (libx264)."]
    assert_exact(done, frames_of(root, ("a.mp4", 0.4, 5.8)))
