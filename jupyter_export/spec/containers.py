"""What an output's suffix means: its container, and which codecs that can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .export import Encoding

__all__ = ["CONTAINERS", "OUTPUT_SUFFIXES", "Animation", "Container", "check_fit", "container_of"]


@dataclass(frozen=True)
class Animation:
    """What a moving picture, which shows in an ``<img>``, is limited to."""

    encoder: str
    seconds: int = 30
    """Longer ones are refused: they would be far larger than the same as video."""
    fps: int = 20
    """By default at most; of faster sources every second, third, … frame is taken."""
    most_fps: int = 50
    """That can be asked for: browsers slow down what is faster (GIF counts 1/100 s)."""
    side: int = 640
    """Pixels of the longer side by default at most."""
    most_side: int = 1280
    """That can be asked for."""


@dataclass(frozen=True)
class Container:
    """A sort of file."""

    name: str
    """For people."""
    format: str
    """FFmpeg's name of the muxer."""
    video: tuple[str, ...]
    """Codecs, the usual one first; of an animation there is no choice."""
    audio: tuple[str, ...]
    """Codecs, the usual one first; none where there is no sound."""
    chapters: bool = False
    animation: Animation | None = None


_MP4 = Container("MP4", "mp4", ("h264", "hevc", "av1"), ("aac", "opus"), chapters=True)
_MOV = Container("QuickTime", "mov", ("h264", "hevc"), ("aac",), chapters=True)
_MKV = Container(
    "Matroska", "matroska", ("h264", "hevc", "av1", "ffv1"), ("aac", "opus", "flac"), chapters=True
)
_WEBM = Container("WebM", "webm", ("av1",), ("opus",), chapters=True)
_GIF = Container("GIF", "gif", (), (), animation=Animation("gif"))
_WEBP = Container("WebP", "webp", (), (), animation=Animation("libwebp_anim"))

#: The suffix of the output decides the container; nothing else can be an output.
CONTAINERS: dict[str, Container] = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": _MOV,
    ".mkv": _MKV,
    ".webm": _WEBM,
    ".gif": _GIF,
    ".webp": _WEBP,
}

#: FFmpeg's muxer for each suffix.
OUTPUT_SUFFIXES: dict[str, str] = {suffix: c.format for suffix, c in CONTAINERS.items()}


def container_of(output: str) -> Container | None:
    """The container of a file of this name; None if there is none for its suffix."""
    return CONTAINERS.get(PurePosixPath(output).suffix.lower())


def check_fit(encoding: Encoding, container: Container) -> None:
    """Refuse what cannot be in one file.

    Raises:
        ValueError: with the field and what to do.
    """
    if encoding.quality == "lossless" and "ffv1" not in container.video:
        raise ValueError("output: lossless video (FFV1) needs Matroska; use a name in .mkv")
    if container.animation is not None:
        _check_animation(encoding, container.name, container.animation)
    else:
        _check_codecs(encoding, container)


def _check_codecs(encoding: Encoding, container: Container) -> None:
    codec, audio, name = encoding.codec.value, encoding.audio, container.name
    if encoding.quality != "lossless" and codec not in container.video:
        raise ValueError(
            f"encoding.codec: {name} files cannot hold {codec} here; use codec "
            f"{' or '.join(container.video)}, or an output in {_suffixes_for(codec)}"
        )
    if audio not in ("auto", "none", *container.audio):
        raise ValueError(
            f"encoding.audio: {name} files cannot hold {audio} here; use audio "
            f"{' or '.join(container.audio)}, or an output in {_suffixes_for(audio)}"
        )


def _check_animation(encoding: Encoding, name: str, limits: Animation) -> None:
    if encoding.audio not in ("auto", "none"):
        raise ValueError(
            f"encoding.audio: a {name} has no sound; leave audio out, or use an output in .mp4"
        )
    if encoding.encoder != "auto":
        raise ValueError(f"encoding.encoder: there is only one for a {name}; use auto")
    if encoding.fps is not None and encoding.fps > limits.most_fps:
        raise ValueError(
            f"encoding.fps: browsers play a {name} at {limits.most_fps} fps at most; "
            "use less, or leave it out"
        )
    if encoding.size is not None and max(encoding.size) > limits.most_side:
        raise ValueError(
            f"encoding.size: a {name} of {encoding.size[0]}×{encoding.size[1]} would be huge; "
            f"use at most {limits.most_side} pixels, or an output in .mp4"
        )


def _suffixes_for(codec: str) -> str:
    fitting = [s for s, c in CONTAINERS.items() if codec in (*c.video, *c.audio)]
    return " or ".join(filter(None, [", ".join(fitting[:-1]), fitting[-1]]))
