"""Footage from an animation of Matplotlib: its figure, drawn frame by frame."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import Future
from os import PathLike
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np

from ..errors import SpecError
from .store import Frame, Rate, keep, rate_of

__all__ = ["from_animation"]

#: Frames that wait to be encoded, at most.
_AHEAD = 4


def from_animation(
    animation: Any,
    fps: Rate | None = None,
    *,
    dpi: float | None = None,
    folder: str | PathLike[str] | None = None,
) -> str:
    """A video of a `matplotlib.animation.Animation`; gives its path, for `clip` and the like.

    The figure is drawn as on screen, in `dpi` (by default its own) dots per inch, at `fps` (by
    default as its interval says). The video is kept as by `from_frames`.

    Raises:
        SpecError: it is no animation.
        OutputError: the folder cannot be written.
    """
    if not callable(getattr(animation, "save", None)) or not hasattr(animation, "_fig"):
        raise SpecError(
            f"A {type(animation).__name__} is no animation of Matplotlib.",
            "Give an Animation; for arrays, there is from_frames.",
            field="animation",
        )
    if fps is None:
        fps = 1000 / animation._interval if getattr(animation, "_interval", 0) else 25
    rate = rate_of(fps)
    drawn: Queue[Frame | None] = Queue(_AHEAD)
    kept: Future[str] = Future()

    def encode() -> None:
        try:
            kept.set_result(keep(_taken(drawn), rate, folder))
        except BaseException as error:
            kept.set_exception(error)
            for _ in _taken(drawn):
                pass  # who draws must not wait for ever

    # Matplotlib draws in the thread that made the figure.
    encoder = Thread(target=encode, name="jupyter_export-footage", daemon=True)
    encoder.start()
    try:
        animation.save("", writer=_writer(drawn), dpi=dpi or "figure")
    finally:
        drawn.put(None)
        drawn.put(None)  # for who has seen the first one and failed after it
        encoder.join()
    return kept.result()


def _taken(drawn: Queue[Frame | None]) -> Iterator[Frame]:
    while (frame := drawn.get()) is not None:
        yield frame


def _writer(drawn: Queue[Frame | None]) -> Any:
    from matplotlib.animation import AbstractMovieWriter

    class Writer(AbstractMovieWriter):  # type: ignore[misc, unused-ignore]
        def setup(self, fig: Any, outfile: Any, dpi: float | None = None) -> None:
            super().setup(fig, outfile, dpi)

        def grab_frame(self, **options: Any) -> None:
            data = io.BytesIO()
            self.fig.savefig(data, format="rgba", dpi=self.dpi, **options)
            width, height = self.frame_size
            pixels = np.frombuffer(data.getvalue(), np.uint8).reshape(height, width, 4)
            drawn.put(pixels[:, :, :3])

        def finish(self) -> None:
            pass

    return Writer()
