"""Enlarge with a Real-ESRGAN model: what `jupyter_export.upscale` does, as an effect.

Frames go in and come out as planes; torch is imported by the first frame, or by a model that is
not one of the published ones.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from av.video.frame import VideoFrame

from ...errors import ExportError, SpecError
from ...hardware.allocation import allocation
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
    require_openvino,
    require_realesrgan,
    require_torch,
)
from ...upscale.memory import Change, estimate, least, levers
from ...upscale.shape import Shape
from ...upscale.tiles import Layout
from ..interrupt import check
from ..mix import planes_of
from .base import PLANAR_8BIT, Effect, GpuLevers, Picture, processor_only

if TYPE_CHECKING:
    from ...upscale.frames import Frames

__all__ = ["EFFECT", "UpscaleStep"]

_UNSPECIFIED, _FULL = 2, 2
_BT601, _BT709 = 6, 1
_HD_LINES = 720

#: Seconds per 10⁹ multiplications of the network: bfloat16 on two cores that have AMX, float16 on
#: a GPU of a data centre. Others differ by up to a hundred times, which is learnt.
_GIGA_SECONDS = {"cpu": 1.4e-3, "cuda": 1.2e-5}


class UpscaleEffect(Effect[Upscale]):
    """`Upscale` in the spec."""

    model = Upscale
    segment_seconds = 2.0

    def check(self, effect: Upscale, picture: Picture, field: str) -> None:
        """Refuse a model that is not there or not what it should be, and impossible sizes."""
        require_torch(f"{field}.model")
        if (backend := Settings().upscale_backend) == "realesrgan":
            require_realesrgan(f"{field}.model")
        elif backend == "openvino":
            require_openvino(f"{field}.model")
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
        device = choose_device(force_cpu=settings.force_cpu or processor_only())
        memory = settings.upscale_memory or (2048 if device == "cuda" else 512)
        backend = settings.upscale_backend
        if backend == "openvino" and device == "cuda":
            backend = "engine"
        params = {
            "model": effect.model,
            "weights": _hashes(effect),
            "denoise": effect.denoise,
            "size": _size(effect, picture),
            "backend": backend,
            "device": device,
            "bfloat16": device == "cpu" and native_bfloat16(),
            "memory": memory,
            "torch": version("torch"),
        }
        return {**params, backend: version(backend)} if backend == "openvino" else params

    def gpu_memory(self, params: dict[str, Any], picture: Picture) -> tuple[int, str] | None:
        """The estimate of `jupyter_export.upscale.memory`, for numbers of 16 bits."""
        if params["device"] != "cuda":
            return None
        name, (width, height) = params["model"], params["size"]
        shape = _shape(name, params["weights"][name])
        budget = params["memory"] * 2**20
        size = picture.width, picture.height
        found = estimate(shape, *size, (width, height), budget=budget, layout=_whole(params, size))
        how = params["memory"] if params["backend"] == "engine" else params["backend"]
        key = f"{name} {size[0]}x{size[1]} {width}x{height} {how}"
        return found.total, key

    def gpu_levers(self, params: dict[str, Any], picture: Picture) -> GpuLevers | None:
        """The smallest tiles; a smaller result, a lighter model, or a smaller crop before it."""
        if params["device"] != "cuda":
            return None
        name, (width, height) = params["model"], params["size"]
        shape = _shape(name, params["weights"][name])
        own = picture.width, picture.height
        wanted = Change(shape, *own, (width, height))
        light = Change(PUBLISHED[GENERAL].shape, *own, (width, height))
        floor = least(shape, *own, (width, height)).total
        if (layout := _whole(params, own)) is not None:
            found = estimate(shape, *own, (width, height), layout=layout)
            return GpuLevers(found.total, (("`upscale_backend` engine", floor),))
        return GpuLevers(floor, tuple(levers(wanted, light, GENERAL)))

    def seconds(self, params: dict[str, Any], picture: Picture) -> float:
        """By the multiplications of the network."""
        name = params["model"]
        shape = _shape(name, params["weights"][name])
        giga = shape.weights * picture.width * picture.height / 1e9
        return _GIGA_SECONDS.get(params["device"], 1.4e-3) * giga

    def make(self, params: dict[str, Any], picture: Picture) -> UpscaleStep:
        """The step; its network is kept for the next one that needs the same."""
        width, height = params["size"]
        across, down = PLANAR_8BIT[picture.pix_fmt]

        def frames(matrix: int, full_range: bool) -> Frames:
            from ...upscale.colour import Coding
            from ...upscale.job import frames_for

            coding = Coding(across, down, matrix, full_range)
            settings = Settings()
            threads = max(1, allocation().cores // settings.segment_width)
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
        from ...upscale.device import gpu_failures

        coding = _matrix(frame), _is_full_range(frame)
        with gpu_failures():
            if self._frames is None or coding != self._coding:
                self._frames, self._coding = self._make(*coding), coding
            pending = self._frames.start(planes_of(frame))
        colorspace, color_range = frame.colorspace, frame.color_range

        def finish() -> VideoFrame:
            result = VideoFrame(self.size[0], self.size[1], self.pix_fmt)
            with gpu_failures():  # a GPU tells of its failures late
                planes = pending.planes()
            for target, made in zip(planes_of(result), planes, strict=True):
                target[:] = made
            result.colorspace, result.color_range = colorspace, color_range
            return result

        return finish


def _whole(params: dict[str, Any], size: tuple[int, int]) -> Layout | None:
    """How the package realesrgan works: on all of the picture at once."""
    return Layout(max(size), 1) if params["backend"] == "realesrgan" else None


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
