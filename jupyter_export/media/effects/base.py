"""What every effect is: a pure step from one picture to the next.

An effect is one small file with a subclass of `Effect`. The planner asks it what a spec means
for a range (`resolve`), the worker asks it for the `Step` that does it (`make`). Packages add
their own by an entry point of the group ``jupyter_export.effects`` that names an instance. Steps
that draw into the picture are best a `jupyter_export.media.effects.drawing.Drawing`: neighbours
share one copy of the frame.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from av.video.frame import VideoFrame
from pydantic import BaseModel, ConfigDict

__all__ = [
    "PLANAR_8BIT",
    "Ahead",
    "Effect",
    "GpuLevers",
    "Picture",
    "Step",
    "on_processor",
    "processor_only",
]

_processor: ContextVar[bool] = ContextVar("on_processor", default=False)


@contextlib.contextmanager
def on_processor(wanted: bool = True) -> Iterator[None]:
    """What is resolved inside takes no GPU, if `wanted`: one has failed under this export."""
    token = _processor.set(wanted)
    try:
        yield
    finally:
        _processor.reset(token)


def processor_only() -> bool:
    """Whether effects are to be resolved for the processor although there is a GPU."""
    return _processor.get()


#: The formats of pictures that effects get and give, with the horizontal and the vertical
#: subsampling of their chroma planes.
PLANAR_8BIT: dict[str, tuple[int, int]] = {
    "yuv420p": (2, 2),
    "yuvj420p": (2, 2),
    "yuv422p": (2, 1),
    "yuvj422p": (2, 1),
    "yuv444p": (1, 1),
    "yuvj444p": (1, 1),
}


class Picture(BaseModel):
    """The shape of the frames between two steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    height: int
    pix_fmt: str


class Step(Protocol):
    """An effect, resolved for one range.

    Steps are called from one thread, with growing times. They never draw into the frame they
    are given: a decoder may still refer to it. A step may return that frame itself, if nothing
    changes at this time.
    """

    def __call__(self, frame: VideoFrame, time: Fraction) -> VideoFrame:
        """The result for `frame`, shown at `time` seconds of the effect's clock.

        The result's `colorspace` and `color_range` are the frame's; its time stamp does not
        matter.
        """
        ...


@runtime_checkable
class Ahead(Protocol):
    """A step that works on the next frame while the one before is still on its way."""

    def begin(self, frame: VideoFrame, time: Fraction) -> Callable[[], VideoFrame]:
        """Begin with `frame`; what is returned waits for the result and gives it.

        Results are asked for in order, each at most one `begin` late.
        """
        ...


@dataclass(frozen=True)
class GpuLevers:
    """How little GPU memory an effect can do with, and what makes it less."""

    least_mib: int
    """The least at which it works at all, slowly."""
    changes: tuple[tuple[str, int], ...]
    """What a user can change, such as ``scale 2``, each with the least MiB then."""


Spec = TypeVar("Spec", bound=BaseModel)


class Effect(ABC, Generic[Spec]):
    """One type of effect. Instances have no state."""

    model: ClassVar[type[BaseModel]]
    """The effect's part of the spec, with a literal `type`."""

    version: ClassVar[int] = 1
    """Raised whenever the same parameters give other pixels: part of every segment's hash."""

    segment_seconds: ClassVar[float] = math.inf
    """Segments with a slow effect are at most so long, so that little work is ever lost."""

    megapixel_ms: ClassVar[float] = 3.0
    """Milliseconds per megapixel on a machine with two cores: the default of an estimate."""

    @classmethod
    def type(cls) -> str:
        """The word for it in a spec."""
        return str(cls.model.model_fields["type"].default)

    def check(self, effect: Spec, picture: Picture, field: str) -> None:
        """Refuse what cannot be done to `picture`; `field` is the effect's place in the spec.

        Raises:
            SpecError: with what to do.
        """

    def output(self, effect: Spec, picture: Picture) -> Picture:
        """The shape of the result for frames of the shape `picture`; the same by default.

        The format is one of `PLANAR_8BIT`, as `picture`'s is.
        """
        return picture

    def span(self, effect: Spec) -> tuple[float, float]:
        """``[start, end)`` in seconds outside of which nothing changes; by default all time."""
        return 0.0, math.inf

    @abstractmethod
    def resolve(
        self, effect: Spec, start: float, end: float, picture: Picture
    ) -> dict[str, Any] | None:
        """All that decides the pixels from `start` to `end`, as JSON; None if nothing changes.

        It is part of the segment's hash: what does not matter in the range must not show, so
        that a change elsewhere leaves the finished segment as it is.
        """

    def remarks(self, effect: Spec) -> list[str]:
        """What the user should know about the result, in sentences for the job's notes."""
        return []

    def gpu_memory(self, params: dict[str, Any], picture: Picture) -> tuple[int, str] | None:
        """What the step takes of a GPU: MiB at its peak, with the context, and a name under which
        measured peaks of such steps are remembered; None for steps that use no GPU."""
        return None

    def gpu_levers(self, params: dict[str, Any], picture: Picture) -> GpuLevers | None:
        """What can be done where a GPU is too small for `gpu_memory`; None if nothing can, or
        need be."""
        return None

    def seconds(self, params: dict[str, Any], picture: Picture) -> float:
        """What a frame takes by default, in seconds: for estimates alone, never for plans."""
        return self.megapixel_ms * picture.width * picture.height / 1e9

    @abstractmethod
    def make(self, params: dict[str, Any], picture: Picture) -> Step:
        """The step for what `resolve` gave (after a round through JSON) and frames like
        `picture`."""
