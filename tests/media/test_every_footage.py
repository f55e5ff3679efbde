"""Every class of footage through every kind of export, against FFmpeg doing the same alone.

The table is the product of `footage.CLASSES` and `footage_kinds.KINDS`. A new kind or effect is one
more entry: the spec for a file, and FFmpeg's filters that make the same.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from footage import CLASSES, OFF, ON
from footage_kinds import END, KINDS, START, count, spec_of, write_other
from support import Exported, complaints, export_here, ffmpeg, samples

_STEP = 0.04


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    write_other(folder)
    return folder


@pytest.mark.parametrize("name", CLASSES)
def test_every_kind_of_export_is_exact_on(name: str, root: Path, tmp_path: Path) -> None:
    file = CLASSES[name].write(root)
    _references(name, file, root, tmp_path)
    wrong = []
    for kind in KINDS:
        spec = spec_of(kind, name, "o.mkv", quality="lossless")
        done = export_here(spec, root, tmp_path, segment_seconds=0.3)
        try:
            _check(done, name, kind, tmp_path / f"{kind}.mkv")
        except AssertionError as error:
            wrong.append(f"{kind}: {str(error).splitlines()[0]}")
    assert not wrong, f"{name}: " + " | ".join(wrong)


def _references(name: str, file: Path, root: Path, folder: Path) -> None:
    """For each kind what FFmpeg makes of the footage."""
    footage = CLASSES[name]
    split = f"split={len(KINDS)}" + "".join(f"[a{i}]" for i in range(len(KINDS)))
    graphs = [
        f"[0:v:0]settb=1/90000,setpts=PTS-STARTPTS,{footage.seen},trim=start={START}:end={END},"
        f"setpts=PTS-STARTPTS,{split}"
    ]
    outputs: list[str | Path] = []
    for i, (kind, row) in enumerate(KINDS.items()):
        format = footage.kept if row.untouched else footage.changed
        look = "null" if row.untouched else footage.toned.format(folder=root)
        full = footage.range == "pc"
        filters = row.filters.format(
            fade=(count(name, kind) - 5) / 25,
            white=255 if full else 235,
            black=0 if full else 16,
            first=_first(name),
        )
        graphs.append(f"[a{i}]{look},format={format}[c{i}]")
        if "[b]" in filters:
            graphs.append(f"[1:v]{footage.other},format={format}[d{i}]")
        filters = filters.replace("[a]", f"[c{i}]").replace("[b]", f"[d{i}]")
        filters = filters.replace("[x]", f"[x{i}]").replace("[y]", f"[y{i}]")
        graphs.append(f"{filters},format={format}[o{i}]")
        outputs += ["-map", f"[o{i}]", "-c:v", "ffv1", "-fps_mode", "passthrough"]
        outputs += ["-color_range", footage.range]
        outputs.append(folder / f"{kind}.mkv")
    inputs = (*footage.decoder, "-i", file, "-i", root / "other.mp4")
    ffmpeg(*inputs, "-filter_complex", ";".join(graphs), *outputs)


def _first(name: str) -> float:
    """When the first frame of the range is shown, in the file's time."""
    return 0.28 if name == "varying rate" else 0.24


def _check(done: Exported, name: str, kind: str, reference: Path) -> None:
    footage, row = CLASSES[name], KINDS[kind]
    assert complaints(done.path) == ""
    ours, times = _frames(done.path)
    theirs, _ = _frames(reference)
    frames = row.frames(count(name, kind))
    assert len(ours) == frames == done.result["frames"]
    assert not row.exact_count or len(theirs) == frames
    assert abs(len(theirs) - frames) <= 1
    for k, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        scores = [_psnr(p, q) for p, q in zip(a, b, strict=True)]
        assert scores[0] >= 40, f"frame {k}: {scores}"
        assert min(scores) >= min(row.chroma, footage.chroma), f"frame {k}: {scores}"
    if footage.frames == 15:
        assert np.allclose(times, np.arange(frames) / 25, atol=0.0015)
        assert abs(done.result["duration"] - frames / 25) < 0.001
    else:
        assert abs(done.result["duration"] - (times[-1] + _STEP)) < 1.5 * _STEP
    notes = " ".join([*done.plan["notes"], *done.notes])
    assert footage.note in notes, notes
    assert "bits per component" not in notes or footage.kept != footage.changed
    if footage.sound:
        _check_sound(done.path, name, kind)


def _check_sound(path: Path, name: str, kind: str) -> None:
    """The beep begins and ends with the flash; that this is in its place, FFmpeg has shown."""
    footage, row = CLASSES[name], KINDS[kind]
    heard, start = samples(path)
    window = 48
    loudness = np.abs(heard[: len(heard) // window * window]).reshape(-1, window).max(axis=1)
    loud = np.flatnonzero(loudness > 0.06)
    assert len(loud), "no sound"
    # The first and the last millisecond with half of the loudness.
    beep = start + loud[0] * 0.001, start + (loud[-1] + 1) * 0.001
    flash = ON, min(OFF, footage.heard)
    for measured, at in zip(beep, flash, strict=True):
        expected = row.begins + (at - _first(name)) / row.rate
        assert abs(measured - expected) < 0.025 + row.slack, f"{measured} is not {expected}"


def _frames(path: Path) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Of each frame its planes, scaled to 8 bits, and its time in seconds."""
    frames, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            depth = frame.format.components[0].bits
            planes = []
            for plane in frame.planes:
                data = np.frombuffer(plane, np.uint8 if depth == 8 else np.uint16)
                rows = data.reshape(plane.height, -1)[:, : plane.width]
                planes.append(rows.astype(np.float64) / 2 ** (depth - 8))
            frames.append(planes)
            times.append(float(frame.pts * frame.time_base))
    return frames, np.array(times)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape, f"{a.shape} is not {b.shape}"
    error = ((a - b) ** 2).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))
