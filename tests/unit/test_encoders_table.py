"""The table of encoders against the FFmpeg that is installed."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np
import pytest

from jupyter_export.errors import EncoderUnavailable
from jupyter_export.hardware.encoders import ENCODERS, EncoderSettings, options
from jupyter_export.spec import Codec, Encoding, Quality

CLIP = Path(__file__).resolve().parents[1] / "media_files" / "bunny_720p25.mp4"

ROWS = [
    pytest.param(name, quality, id=f"{name}-{quality.value}")
    for name, entry in ENCODERS.items()
    for quality in entry.presets
]
SOFTWARE = [row for row in ROWS if not ENCODERS[str(row.values[0])].hardware]
BUILT = [row for row in ROWS if str(row.values[0]) in av.codecs_available]
DECODERS = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "libdav1d"}


def encode(settings: EncoderSettings, frames: int = 12) -> tuple[bytes, list[bool], str]:
    """The stream, which packets are keyframes, and what FFmpeg complained about."""
    noise = np.random.default_rng(7)
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture(local=False) as lines:
            context = av.CodecContext.create(settings.name, "w")
            context.width, context.height = 320, 192
            context.pix_fmt = settings.pix_fmt or "yuv420p"
            context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
            context.gop_size = settings.gop_size(Fraction(30))
            context.options = settings.options
            if settings.thread_count is not None:
                context.thread_count = settings.thread_count
                context.thread_type = settings.thread_type
            packets = []
            for number in range(frames):
                picture = noise.integers(0, 255, (288, 320), "uint8")
                frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
                frame = frame.reformat(format=context.pix_fmt)
                frame.pts = number
                packets += context.encode(frame)
            packets += context.encode(None)
            assert context.options == {}, "FFmpeg does not know these options"
            del context
    finally:
        av.logging.set_level(level)
    said = "".join(text for _, _, text in lines)
    return b"".join(map(bytes, packets)), [p.is_keyframe for p in packets], said


@pytest.mark.parametrize(("name", "quality"), SOFTWARE)
def test_software_settings_are_all_understood_and_give_the_same_bytes_each_time(
    name: str, quality: Quality
) -> None:
    settings = options(name, quality)
    first, keys, said = encode(settings)
    second, _, _ = encode(settings)
    assert "Error parsing option" not in said
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    if name == "libx264":
        assert "profile High," in said
    if name == "ffv1":
        assert all(keys), "every frame of a lossless export can be cut at"


@pytest.mark.parametrize(
    ("name", "parameters", "plain"),
    [
        ("libx264", "x264-params", "asm=0"),
        ("libx265", "x265-params", "asm=none"),
        ("libsvtav1", "svtav1-params", "asm=c"),
    ],
)
def test_a_processor_with_other_instructions_gives_the_same_bytes(
    name: str, parameters: str, plain: str
) -> None:
    settings = options(name, Quality.FAST)
    with_all, _, _ = encode(settings)
    settings.options[parameters] += f":{plain}"
    assert encode(settings)[0] == with_all


@pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param(name, option, id=f"{name}-{option}")
        for name, entry in ENCODERS.items()
        if entry.hardware and name in av.codecs_available
        for option in {**entry.common, **next(iter(entry.presets.values()))}
    ],
)
def test_every_hardware_option_is_one_that_ffmpeg_knows(name: str, option: str) -> None:
    # FFmpeg passes over unknown options in silence, but refuses a wrong value of a known one.
    entry = ENCODERS[name]
    context = av.CodecContext.create(name, "w")
    context.width = context.height = 256
    context.pix_fmt = entry.format_for(8)
    context.time_base = Fraction(1, 30)
    context.options = {option: "no-such-value"}
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as lines, pytest.raises(av.error.ArgumentError):
            context.open()
    finally:
        av.logging.set_level(level)
    assert f"option {option} to value no-such-value" in "".join(text for _, _, text in lines)


@pytest.mark.parametrize(("name", "quality"), BUILT)
def test_no_value_of_the_table_is_refused(name: str, quality: Quality) -> None:
    # On a machine without the device opening fails, but only after the options were read.
    settings = options(name, quality)
    context = av.CodecContext.create(name, "w")
    context.width = context.height = 256
    context.pix_fmt = settings.pix_fmt or "yuv420p"
    context.time_base = Fraction(1, 30)
    context.options = settings.options
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as lines:
            try:
                context.open()
            except av.error.FFmpegError as error:
                assert settings.hardware, f"software must open: {error}"
                assert not isinstance(error, av.error.ArgumentError)
    finally:
        av.logging.set_level(level)
    assert "Error setting option" not in "".join(text for _, _, text in lines)


@pytest.mark.parametrize("name", DECODERS)
def test_each_quality_keeps_more_of_real_footage_than_the_one_before(name: str) -> None:
    with av.open(str(CLIP)) as source:
        shown = [frame for frame, _ in zip(source.decode(video=0), range(12), strict=False)]
    errors = []
    for quality in (Quality.FAST, Quality.BALANCED, Quality.QUALITY):
        settings = options(name, quality)
        encoder = av.CodecContext.create(name, "w")
        encoder.width, encoder.height = shown[0].width, shown[0].height
        encoder.pix_fmt, encoder.options = settings.pix_fmt, settings.options
        encoder.time_base, encoder.framerate = Fraction(1, 30), Fraction(30)
        packets = []
        for number, frame in enumerate(shown):
            frame.pts, frame.pict_type, frame.time_base = number, 0, Fraction(1, 30)
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
        decoder = av.CodecContext.create(DECODERS[name], "r")
        decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
        assert len(decoded) == len(shown)
        pairs = zip(shown, decoded, strict=True)
        errors.append(sum(_error(before, after) for before, after in pairs))
    assert errors[0] > errors[1] > errors[2]


def _error(before: av.VideoFrame, after: av.VideoFrame) -> float:
    """Mean squared difference of two pictures, sample by sample."""
    first, second = (frame.to_ndarray().astype(float) for frame in (before, after))
    return float(((first - second) ** 2).mean())


def test_ten_bits_stay_ten_bits_where_the_encoder_has_them_and_are_eight_elsewhere() -> None:
    fed = {name: options(name, Quality.FAST, bits=10).pix_fmt for name in DECODERS}
    assert fed == {"libx264": "yuv420p", "libx265": "yuv420p10le", "libsvtav1": "yuv420p10le"}
    assert {name for name, entry in ENCODERS.items() if entry.bits == 10} == {
        name for name, entry in ENCODERS.items() if entry.codec in (Codec.HEVC, Codec.AV1)
    }
    for name, entry in ENCODERS.items():
        if name in av.codecs_available:
            known = {form.name for form in av.Codec(name, "w").video_formats or []}
            assert set(entry.formats) <= known
    lossless = options("ffv1", Quality.LOSSLESS, bits=10)
    assert lossless.pix_fmt is None, "lossless video keeps the frames as they are"


def test_settings_go_into_a_hash_and_cannot_be_changed_for_the_next_caller() -> None:
    settings = options("libx264", Quality.BALANCED)
    text = json.dumps(settings.to_json(), sort_keys=True)
    settings.options["crf"] = "51"
    assert json.dumps(options("libx264", Quality.BALANCED).to_json(), sort_keys=True) == text


def test_a_group_of_pictures_is_counted_in_frames_of_the_output() -> None:
    settings = options("libx264", Quality.BALANCED)
    assert settings.gop_size(Fraction(30000, 1001)) == 120
    assert settings.gop_size(Fraction(1, 10)) == 1
    assert options("ffv1", Quality.LOSSLESS).gop_size(Fraction(60)) == 1


def test_a_quality_that_an_encoder_lacks_is_refused() -> None:
    with pytest.raises(EncoderUnavailable, match="Use one of fast, balanced, quality"):
        options("h264_nvenc", Quality.LOSSLESS)
    with pytest.raises(EncoderUnavailable, match="no encoder named 'nvenc'"):
        options("nvenc", Quality.FAST)


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("quality", list(Quality))
def test_every_codec_and_quality_of_a_spec_has_a_software_encoder(
    codec: Codec, quality: Quality
) -> None:
    encoding = Encoding(codec=codec, quality=quality)
    assert [e for e in ENCODERS.values() if e.serves(encoding) and not e.hardware]
