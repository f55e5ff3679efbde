"""Enlarge with a Real-ESRGAN model: what `jupyter_export.upscale` does, as an effect.

Frames go in and come out as planes; torch is imported by the first frame, or by a model that is
not one of the published ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from av.video.frame import VideoFrame

from ...errors import ExportError, SpecError
from ...settings import Settings
from ...spec import Upscale
from ...spec.values import MAX_SIDE, MIN_SIDE
from ...upscale.catalogue import (
    GENERAL,
    GENERAL_WDN,
    PUBLISHED,
    check_published,
    file_hash,
    find,
    require_torch,
)
from ...upscale.memory import estimate
from ...upscale.shape import Shape
from ..interrupt import check
from ..mix import planes_of
from .base import PLANAR_8BIT, Effect, Picture

if TYPE_CHECKING:
    from ...upscale.frames import Frames

__all__ = ["EFFECT", "UpscaleStep"]

_UNSPECIFIED, _FULL = 2, 2
_BT601, _BT709 = 6, 1
_HD_LINES = 720


class UpscaleEffect(Effect[Upscale]):
    """`Upscale` in the spec."""

    model = Upscale
    segment_seconds = 2.0

    def check(self, effect: Upscale, picture: Picture, field: str) -> None:
        """Refuse a model that is not there or not what it should be, and impossible sizes."""
        require_torch(f"{field}.model")
        if effect.denoise is not None and effect.model != GENERAL:
            raise SpecError(
                f"Only {GENERAL} has a denoise strength, not {effect.model}.",
                "Leave out denoise, or use that model.",
                field=f"{field}.denoise",
            )
        width, height = _size(effect, picture)
        if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE:
            raise SpecError(
                f"{picture.width}×{picture.height} would become {width}×{height}; a side must "
                f"have {MIN_SIDE} to {MAX_SIDE} pixels.",
                "Use another scale, or give the size.",
                field=f"{field}.{'scale' if effect.size is None else 'size'}",
            )
        try:
            for name, found in _hashes(effect).items():
                check_published(name, found)
                _shape(name, found)
        except ExportError as error:
            error.field = f"{field}.model"
            raise

    def output(self, effect: Upscale, picture: Picture) -> Picture:
        """The size asked for, in the same format."""
        width, height = _size(effect, picture)
        return Picture(width=width, height=height, pix_fmt=picture.pix_fmt)

    def resolve(
        self, effect: Upscale, start: float, end: float, picture: Picture
    ) -> dict[str, Any]:
        """The weights by their hash, and all else that can change a code value."""
        from ...upscale.device import choose_device, native_bfloat16

        settings = Settings()
        device = choose_device(force_cpu=settings.force_cpu)
        memory = settings.upscale_memory or (2048 if device == "cuda" else 512)
        return {
            "model": effect.model,
            "weights": _hashes(effect),
            "denoise": effect.denoise,
            "size": _size(effect, picture),
            "backend": settings.upscale_backend,
            "device": device,
            "bfloat16": device == "cpu" and native_bfloat16(),
            "memory": memory,
            "torch": version("torch"),
        }

    def gpu_memory(self, params: dict[str, Any], picture: Picture) -> tuple[int, str] | None:
        """The estimate of `jupyter_export.upscale.memory`, for numbers of 16 bits."""
        if params["device"] != "cuda":
            return None
        name, (width, height) = params["model"], params["size"]
        shape = _shape(name, params["weights"][name])
        budget = params["memory"] * 2**20
        size = picture.width, picture.height
        found = estimate(shape, *size, (width, height), budget=budget)
        key = f"{name} {size[0]}x{size[1]} {width}x{height} {params['memory']}"
        return found.total, key

    def make(self, params: dict[str, Any], picture: Picture) -> UpscaleStep:
        """The step; its network is kept for the next one that needs the same."""
        width, height = params["size"]
        across, down = PLANAR_8BIT[picture.pix_fmt]

        def frames(matrix: int, full_range: bool) -> Frames:
            from ...upscale.colour import Coding
            from ...upscale.job import frames_for

            coding = Coding(across, down, matrix, full_range)
            settings = Settings()
            threads = max(1, (os.cpu_count() or 1) // settings.segment_width)
            return frames_for(settings.models_path, params, coding, check, threads)

        return UpscaleStep(frames, (width, height), picture.pix_fmt)


EFFECT = UpscaleEffect()


class UpscaleStep:
    """Enlarges frames to `size`; `make` gives what does so for a matrix and a range of colours."""

    def __init__(
        self, make: Callable[[int, bool], Frames], size: tuple[int, int], pix_fmt: str
    ) -> None:
        self.size = size
        self.pix_fmt = pix_fmt
        self._make = make
        self._coding: tuple[int, bool] | None = None
        self._frames: Frames | None = None

    def __call__(self, frame: VideoFrame, time: Fraction) -> VideoFrame:
        """`frame`, larger."""
        return self.begin(frame, time)()

    def begin(self, frame: VideoFrame, time: Fraction) -> Callable[[], VideoFrame]:
        """Begin with `frame`; what is returned waits for the result and gives it.

        On a GPU the next frame can be begun before the result of this one is asked for.
        """
        coding = _matrix(frame), _is_full_range(frame)
        if self._frames is None or coding != self._coding:
            self._frames, self._coding = self._make(*coding), coding
        pending = self._frames.start(planes_of(frame))
        colorspace, color_range = frame.colorspace, frame.color_range

        def finish() -> VideoFrame:
            result = VideoFrame(self.size[0], self.size[1], self.pix_fmt)
            for target, made in zip(planes_of(result), pending.planes(), strict=True):
                target[:] = made
            result.colorspace, result.color_range = colorspace, color_range
            return result

        return finish


def _size(effect: Upscale, picture: Picture) -> tuple[int, int]:
    if effect.size is not None:
        return effect.size
    assert effect.scale is not None  # the spec has one of the two
    width, height = (round(side * effect.scale / 2) * 2 for side in (picture.width, picture.height))
    return width, height


def _hashes(effect: Upscale) -> dict[str, str]:
    """The files that the effect needs: SHA-256 by name."""
    mixed = effect.denoise is not None and effect.denoise < 1
    names = [effect.model, GENERAL_WDN] if mixed else [effect.model]
    folder = Settings().models_path
    return {name: file_hash(find(folder, name)) for name in names}


def _shape(name: str, sha256: str) -> Shape:
    """What network it is; refuses a file of an administrator's own that is no model."""
    if name in PUBLISHED:
        return PUBLISHED[name].shape
    from ...upscale.weights import shape_of

    return shape_of(find(Settings().models_path, name), sha256)


def _matrix(frame: VideoFrame) -> int:
    """H.273's MatrixCoefficients; a frame that does not say is taken for what players guess."""
    if frame.colorspace != _UNSPECIFIED:
        return int(frame.colorspace)
    return _BT709 if frame.height >= _HD_LINES else _BT601


def _is_full_range(frame: VideoFrame) -> bool:
    return int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj")
