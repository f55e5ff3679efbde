"""What colours become: HDR, mixed matrices and ranges, transparency, depth; measured in pixels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hdr_support import pq, sdr
from support import clip_spec, complaints, export_here, ffmpeg, ffmpeg_exe, framing_spec

from jupyter_export.media.effects.base import Picture
from jupyter_export.media.graph import Convert
from jupyter_export.media.probe import probe

PATCH = 16
ACROSS, DOWN = 20, 12
KR_KB = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}


def yuv(rgb: np.ndarray, matrix: str, bits: int, *, full: bool = False) -> np.ndarray:
    """Y, Cb, Cr code values of R'G'B' from 0 to 1 (ITU-R BT.709, 601 and 2020)."""
    kr, kb = KR_KB[matrix]
    y = rgb @ np.array([kr, 1 - kr - kb, kb])
    cb = (rgb[..., 2] - y) / (2 - 2 * kb)
    cr = (rgb[..., 0] - y) / (2 - 2 * kr)
    if full:
        top = 2**bits - 1
        return np.stack([y * top, cb * top + 2 ** (bits - 1), cr * top + 2 ** (bits - 1)], -1)
    one = 2 ** (bits - 8)
    return np.stack([(16 + 219 * y) * one, (128 + 224 * cb) * one, (128 + 224 * cr) * one], -1)


def colours(seed: int = 0) -> np.ndarray:
    """Patches of (DOWN, ACROSS, 3) R'G'B': greys, primaries, and whatever chance gives."""
    values = np.random.default_rng(seed).uniform(0, 1, (DOWN, ACROSS, 3))
    values[0] = np.linspace(0, 1, ACROSS)[:, None]
    values[1, :6] = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]]
    return values


def write(path: Path, codes: np.ndarray, bits: int, *options: str, rate: int = 25) -> None:
    """A lossless file of five frames, all patches of the given code values."""
    big = np.clip(np.rint(codes), 0, 2**bits - 1).astype("<u2" if bits > 8 else "u1")
    y = big[..., 0].repeat(PATCH, 0).repeat(PATCH, 1)
    chroma = [big[..., i].repeat(PATCH // 2, 0).repeat(PATCH // 2, 1) for i in (1, 2)]
    frame = b"".join(plane.tobytes() for plane in (y, *chroma))
    format = "yuv420p10le" if bits > 8 else "yuv420p"
    subprocess.run(
        [ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", format,
         "-s", f"{y.shape[1]}x{y.shape[0]}", "-r", str(rate), "-i", "-", *options,
         str(path)],
        input=frame * 5, check=True,
    )  # fmt: skip


def tags(space: str, primaries: str, transfer: str, range: str = "tv") -> tuple[str, ...]:
    """FFV1 in Matroska with these colours."""
    named = said_to_be(space, primaries, transfer, range)
    return "-vf", named, "-c:v", "ffv1", "-color_range", range


def said_to_be(space: str, primaries: str, transfer: str, range: str = "tv") -> str:
    """A filter that names colours and changes nothing."""
    return f"setparams=range={range}:color_primaries={primaries}:color_trc={transfer}:" + (
        f"colorspace={space}"
    )


def patches(path: Path, frame: int = 2) -> tuple[np.ndarray, av.VideoFrame]:
    """The code values at the centres of the patches, and the frame."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))[frame]
    values = []
    for i, plane in enumerate(decoded.planes):
        deep = decoded.format.components[0].bits > 8
        data = np.frombuffer(plane, "<u2" if deep else "u1").reshape(plane.height, -1)
        size = PATCH if i == 0 else PATCH // 2
        values.append(data[size // 2 :: size, size // 2 :: size][:DOWN, :ACROSS])
    return np.stack(values, -1).astype(float), decoded


def said(frame: av.VideoFrame) -> tuple[int, ...]:
    return tuple(
        int(x)
        for x in (frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc)
    )


WHOLE = [(0, 0, 0, ACROSS * PATCH, DOWN * PATCH)]


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
@pytest.mark.parametrize("way", ["cropped", "clip", "dissolved into SDR", "smaller"])
def test_hdr_becomes_the_sdr_of_the_standards(transfer: str, way: str, tmp_path: Path) -> None:
    signal = colours()
    codes = np.rint(yuv(signal, "bt2020", 10))
    write(tmp_path / "hdr.mkv", codes, 10, *tags("bt2020nc", "bt2020", transfer))
    spec: dict[str, Any]
    if way == "cropped":
        spec = framing_spec("hdr.mkv", "o.mkv", WHOLE, WHOLE[0][3:], quality="lossless")
    elif way == "clip":
        # Twice the 8 bits of H.264, at its best quality.
        spec = clip_spec("hdr.mkv", "o.mp4", quality="quality")
    elif way == "smaller":
        size = [ACROSS * PATCH // 2, DOWN * PATCH // 2]
        spec = framing_spec("hdr.mkv", "o.mkv", WHOLE, WHOLE[0][3:], quality="lossless")
        spec["encoding"]["size"] = size
    else:
        usual = yuv(colours(1), "bt709", 8)
        write(tmp_path / "sdr.mkv", usual, 8, *tags("bt709", "bt709", "bt709"))
        spec = clip_spec("hdr.mkv", "o.mkv", quality="lossless")
        spec |= {"kind": "concat", "transition": {"type": "dissolve", "seconds": 0.08}}
        spec["sources"].append({"path": "sdr.mkv"})
    done = export_here(spec, tmp_path, tmp_path / "o")
    assert complaints(done.path) == ""
    got, frame = patches(done.path)
    assert said(frame) == (1, 1, 1, 1)
    assert frame.format.name == "yuv420p"
    name = "PQ" if transfer == "smpte2084" else "HLG"
    assert any(f"HDR ({name}); it was tone-mapped" in note for note in done.plan["notes"])
    if way == "smaller":
        return
    expected = np.array([[sdr(p, transfer, 1000) for p in row] for row in signal])
    error = got - np.rint(yuv(expected, "bt709", 8))
    # Where colours are clipped to the gamut, the table has no point on the edge.
    assert np.abs(error).mean() < 0.5
    assert np.quantile(np.abs(error), 0.97) <= 2
    assert 10 * np.log10(255**2 / (error**2).mean()) > 48
    if way == "dissolved into SDR":
        last, _ = patches(done.path, 7)
        assert np.abs(last - np.rint(usual)).max() <= 1


def test_the_brightest_white_of_the_mastering_display_becomes_white(tmp_path: Path) -> None:
    grey = np.linspace(0, 1, ACROSS * DOWN).reshape(DOWN, ACROSS, 1).repeat(3, 2)
    master = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)"
    options = (
        *("-c:v", "libx265", "-preset", "ultrafast", "-x265-params"),
        f"lossless=1:log-level=error:master-display={master}:hdr10=1:colorprim=bt2020:"
        "transfer=smpte2084:colormatrix=bt2020nc:range=limited",
        *("-vf", said_to_be("bt2020nc", "bt2020", "smpte2084")),
    )
    write(tmp_path / "hdr.mp4", yuv(grey, "bt2020", 10), 10, *options)
    spec = framing_spec("hdr.mp4", "o.mkv", WHOLE, WHOLE[0][3:], quality="lossless")
    got, _ = patches(export_here(spec, tmp_path, tmp_path / "o").path)
    expected = np.array([[sdr(p, "smpte2084", 4000) for p in row] for row in grey])
    assert np.abs(got - np.rint(yuv(expected, "bt709", 8))).max() <= 2
    # With an unknown display, 1000 cd/m² would be white already.
    levels = [pq(float(g[0])) for g in grey.reshape(-1, 3)]
    luma = got.reshape(-1, 3)[:, 0]
    assert luma[np.searchsorted(levels, 4000)] >= 234
    assert luma[np.searchsorted(levels, 1000)] < 232


def test_hdr_stays_hdr_where_nothing_is_changed_and_ten_bits_are_kept(tmp_path: Path) -> None:
    codes = np.rint(yuv(colours(), "bt2020", 10))
    write(tmp_path / "hdr.mkv", codes, 10, *tags("bt2020nc", "bt2020", "smpte2084"))
    done = export_here(clip_spec("hdr.mkv", "o.mkv", quality="lossless"), tmp_path, tmp_path / "o")
    got, frame = patches(done.path)
    assert said(frame) == (1, 9, 9, 16)
    assert (got == codes).all()
    assert done.plan["notes"] == ["The source is HDR (PQ), and so is the output."]


def test_a_wide_gamut_beside_a_usual_one_keeps_its_colours(tmp_path: Path) -> None:
    signal, usual = colours() * 0.5 + 0.25, colours(1)
    write(
        tmp_path / "wide.mkv", yuv(signal, "bt2020", 10), 10,
        *tags("bt2020nc", "bt2020", "bt2020-10"),
    )  # fmt: skip
    write(tmp_path / "usual.mkv", yuv(usual, "bt709", 8), 8, *tags("bt709", "bt709", "bt709"))
    spec = clip_spec("wide.mkv", "o.mkv", quality="lossless")
    spec |= {"kind": "concat", "transition": {"type": "dissolve", "seconds": 0.08}}
    spec["sources"].append({"path": "usual.mkv"})
    done = export_here(spec, tmp_path, tmp_path / "o")
    got, frame = patches(done.path)
    matrix = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    expected = np.clip(signal**2.4 @ np.array(matrix).T, 0, 1) ** (1 / 2.4)
    assert said(frame) == (1, 1, 1, 1)
    error = np.abs(got - np.rint(yuv(expected, "bt709", 8)))
    assert error.mean() < 0.5
    assert np.quantile(error, 0.97) <= 2
    last, _ = patches(done.path, 7)
    assert np.abs(last - np.rint(yuv(usual, "bt709", 8))).max() <= 1


MIXED = {
    # name: tags of the first and of the second clip; None says nothing
    "SD first": (("bt601", None), ("bt709", tags("bt709", "bt709", "bt709"))),
    "SD named": (
        ("bt601", tags("smpte170m", "smpte170m", "smpte170m")),
        ("bt709", tags("bt709", "bt709", "bt709")),
    ),
    "HD first": (("bt709", tags("bt709", "bt709", "bt709")), ("bt601", None)),
    "full range first": (
        ("bt709", tags("bt709", "bt709", "bt709", "pc")),
        ("bt601", None),
    ),
    "full range second": (
        ("bt601", None),
        ("bt709", tags("bt709", "bt709", "bt709", "pc")),
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_clips_of_other_matrices_and_ranges_have_the_right_colours(
    name: str, tmp_path: Path
) -> None:
    looks = colours(), colours(1)
    fulls = []
    for i, (matrix, options) in enumerate(MIXED[name]):
        full = "range=pc" in str(options)
        fulls.append(full)
        codes = yuv(looks[i], matrix, 8, full=full)
        write(tmp_path / f"{i}.mkv", codes, 8, *(options or ("-c:v", "ffv1")))
    spec = clip_spec("0.mkv", "o.mkv", quality="lossless")
    spec |= {"kind": "concat"}
    spec["sources"].append({"path": "1.mkv"})
    done = export_here(spec, tmp_path, tmp_path / "o")
    matrix = MIXED[name][0][0]
    for i, frame in ((0, 2), (1, 7)):
        got, picture = patches(done.path, frame)
        expected = np.rint(np.clip(yuv(looks[i], matrix, 8, full=fulls[0]), 0, 255))
        assert np.abs(got - expected).max() <= 3, (i, frame)
        assert said(picture)[0] == (2 if fulls[0] else said(picture)[0])


def test_an_unnamed_matrix_is_named_where_the_new_size_would_mislead_players(
    tmp_path: Path,
) -> None:
    """Players take BT.709 for high definition, BT.601 below."""
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=0.2", "-pix_fmt", "yuv420p"),
        *("-c:v", "ffv1", tmp_path / "hd.mkv"),
    )
    for size, space in (((320, 180), 1), (None, 2)):
        spec = clip_spec("hd.mkv", "o.mp4", quality="fast", size=size)
        with av.open(str(export_here(spec, tmp_path, tmp_path / "o").path)) as container:
            assert int(next(container.decode(video=0)).colorspace) == space


ALPHA = {
    "vp9.webm": ("-c:v", "libvpx-vp9", "-lossless", "1", "-auto-alt-ref", "0",
                 "-pix_fmt", "yuva420p"),
    "vp8.webm": ("-c:v", "libvpx", "-b:v", "20M", "-qmin", "0", "-qmax", "4",
                 "-auto-alt-ref", "0", "-pix_fmt", "yuva420p"),
    "prores.mov": ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"),
    "png.mov": ("-c:v", "png", "-pix_fmt", "rgba"),
    "ffv1.mkv": ("-c:v", "ffv1", "-pix_fmt", "gbrap"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALPHA)
def test_what_is_transparent_is_flattened_over_black(name: str, tmp_path: Path) -> None:
    """Half of a grey picture is transparent, a quarter of it half transparent."""
    ffmpeg(
        *("-f", "lavfi", "-i", "color=0xC0C0C0:s=320x192:r=25:d=0.2"),
        *("-vf", "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)'"
          ":a='if(lt(X,160),0,if(lt(X,240),128,255))'"),
        *ALPHA[name], tmp_path / name,
    )  # fmt: skip
    done = export_here(clip_spec(name, "o.mp4", quality="quality"), tmp_path, tmp_path / "o")
    got, _ = patches(done.path)
    assert "flattened over black" in " ".join(done.plan["notes"])
    grey = 16 + 219 * 0xC0 / 255
    assert abs(got[4, 2, 0] - 16) <= 2
    assert abs(got[4, 12, 0] - (16 + (grey - 16) * 128 / 255)) <= 3
    assert abs(got[4, 18, 0] - grey) <= 2
    assert np.abs(got[..., 1:] - 128).max() <= 2


def test_ten_bits_are_dithered_not_banded(tmp_path: Path) -> None:
    """A level between two of 8 bits comes out as that level on average, and the job says so."""
    codes = np.full((DOWN, ACROSS, 3), 512.0)
    codes[..., 0] = 402  # 100.5 in 8 bits
    write(tmp_path / "ten.mkv", codes, 10, *tags("bt709", "bt709", "bt709"))
    for size in (None, (160, 96)):
        spec = clip_spec("ten.mkv", "o.mp4", quality="quality", size=size)
        done = export_here(spec, tmp_path, tmp_path / "o")
        with av.open(str(done.path)) as container:
            luma = next(container.decode(video=0)).to_ndarray()[: (size or (0, DOWN * PATCH))[1]]
        assert abs(luma.mean() - 100.5) < 0.2, luma.mean()
        assert done.plan["notes"] == [
            "The source has 10 bits per component; the output has 8 (dithered)."
        ]


def test_ffmpeg_has_nothing_to_warn_of_while_colours_are_converted(tmp_path: Path) -> None:
    """Each worker's log goes to the job's log: warnings there worry its reader for nothing."""
    codes = yuv(colours(), "bt709", 8, full=True)
    write(tmp_path / "full.mkv", codes, 8, *tags("bt709", "bt709", "bt709", "pc"))
    hdr = yuv(colours(), "bt2020", 10)
    write(tmp_path / "hdr.mkv", hdr, 10, *tags("bt2020nc", "bt2020", "smpte2084"))
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "import av\n"
        "from support import export_here, framing_spec\n"
        "av.logging.restore_default_callback(); av.logging.set_libav_level(av.logging.WARNING)\n"
        "root = Path(sys.argv[1])\n"
        "for name in ('full.mkv', 'hdr.mkv'):\n"
        "    spec = framing_spec(name, 'o.mp4', [(0, 0, 0, 320, 192)], (160, 96))\n"
        "    export_here(spec, root, root / name[:3])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(("codec", "encoder"), [("hevc", "libx265"), ("av1", "libsvtav1")])
def test_hdr_and_ten_bits_are_kept_by_encoders_that_take_them(
    codec: str, encoder: str, tmp_path: Path
) -> None:
    codes = np.rint(yuv(colours(), "bt2020", 10))
    write(tmp_path / "hdr.mkv", codes, 10, *tags("bt2020nc", "bt2020", "smpte2084"))
    spec = clip_spec("hdr.mkv", "o.mp4", codec=codec, quality="quality")
    done = export_here(spec, tmp_path, tmp_path / "o", encoder=encoder)
    got, frame = patches(done.path)
    assert complaints(done.path) == ""
    assert frame.format.name == "yuv420p10le"
    assert said(frame) == (1, 9, 9, 16)
    assert np.abs(got - codes).mean() < 4
    assert done.plan["notes"] == ["The source is HDR (PQ), and so is the output."]
    # Touched, it is SDR of 8 bits.
    spec = framing_spec("hdr.mkv", "o.mp4", WHOLE, WHOLE[0][3:], codec=codec)
    done = export_here(spec, tmp_path, tmp_path / "o", encoder=encoder)
    _, frame = patches(done.path)
    assert frame.format.name == "yuv420p"
    assert said(frame) == (1, 1, 1, 1)


def test_full_range_goes_through_av1(tmp_path: Path) -> None:
    codes = yuv(colours(), "bt709", 8, full=True)
    write(tmp_path / "full.mkv", codes, 8, *tags("bt709", "bt709", "bt709", "pc"))
    ffmpeg(
        *("-i", tmp_path / "full.mkv", "-c:v", "libx264", "-qp", 0, "-pix_fmt", "yuvj420p"),
        tmp_path / "full.mp4",
    )
    for name in ("full.mkv", "full.mp4"):
        spec = clip_spec(name, "o.mp4", codec="av1", quality="quality")
        done = export_here(spec, tmp_path, tmp_path / "o", encoder="libsvtav1")
        got, frame = patches(done.path)
        assert said(frame)[0] == 2
        assert np.abs(got - np.clip(codes, 0, 255)).mean() < 2


def test_usual_footage_goes_to_the_encoder_as_it_was_decoded(tmp_path: Path) -> None:
    """Not even a copy is made of a picture that needs no change."""
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25:d=0.2", "-pix_fmt", "yuv420p", "-vf"),
        said_to_be("bt709", "bt709", "bt709"),
        *("-c:v", "libx264", "-preset", "ultrafast", tmp_path / "usual.mp4"),
    )
    facts = probe(tmp_path / "usual.mp4").video
    picture = Picture(width=1920, height=1080, pix_fmt="yuv420p")
    convert = Convert(facts, picture, turn=True, own=facts.colour, colour=facts.colour)
    with av.open(str(tmp_path / "usual.mp4")) as container:
        for frame in container.decode(video=0):
            assert convert(frame) is frame


@pytest.mark.parametrize(
    ("primaries", "transfer", "matrix"),
    [(0, 0, 2), (3, 3, 3), (22, 9, 8), (1, 10, 10), (11, 17, 12), (99, 99, 99)],
)
def test_tags_that_swscale_refuses_change_nothing(
    primaries: int, transfer: int, matrix: int, tmp_path: Path
) -> None:
    """Reserved, logarithmic, YCgCo, constant luminance; found by damaged files."""
    kept = ("-pix_fmt", "yuv422p10le", "-c:v", "libx264", "-qp", "0")
    write(tmp_path / "plain.mkv", yuv(colours(), "bt709", 10), 10, *kept)
    told = f"h264_metadata=colour_primaries={primaries}:transfer_characteristics={transfer}"
    ffmpeg(
        *("-i", tmp_path / "plain.mkv", "-c", "copy", "-bsf:v"),
        *(f"{told}:matrix_coefficients={matrix}", tmp_path / "tagged.mkv"),
    )
    got = {}
    for name in ("plain", "tagged"):
        spec = clip_spec(f"{name}.mkv", "o.mp4", size=[160, 96])
        got[name], _ = patches(export_here(spec, tmp_path, tmp_path / name).path)
    assert np.array_equal(got["plain"], got["tagged"])
