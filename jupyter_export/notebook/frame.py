"""One frame of an export, and two of them to be held against each other, as a cell shows them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Frame", "FramePair"]


@dataclass(frozen=True)
class Frame:
    """What an export shows at one time of its output."""

    jpeg: bytes = field(repr=False)
    time: float
    """Seconds of the output at which it begins to be shown."""
    duration: float
    """Of the whole output, in seconds."""
    size: tuple[int, int]
    """Of the output, in pixels; the picture may be smaller."""

    def save(self, path: str | Path) -> None:
        """Write the picture as JPEG."""
        Path(path).write_bytes(self.jpeg)

    def _repr_jpeg_(self) -> bytes:
        return self.jpeg


@dataclass(frozen=True)
class FramePair:
    """The same frame before and after; a cell shows both, with a slider between them."""

    before: Frame
    after: Frame

    def save(self, path: str | Path) -> None:
        """Write both, side by side, as JPEG."""
        Path(path).write_bytes(self._side_by_side())

    def _side_by_side(self) -> bytes:
        from PIL import Image

        jpegs = (io.BytesIO(frame.jpeg) for frame in (self.before, self.after))
        left, right = (Image.open(jpeg, formats=["JPEG"]) for jpeg in jpegs)
        height = max(left.height, right.height)
        widths = [round(image.width * height / image.height) for image in (left, right)]
        whole = Image.new("RGB", (sum(widths), height))
        whole.paste(left.resize((widths[0], height)), (0, 0))
        whole.paste(right.resize((widths[1], height)), (widths[0], 0))
        data = io.BytesIO()
        whole.save(data, "JPEG", quality=90)
        return data.getvalue()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        picture = base64.b64encode(self._side_by_side()).decode()
        return {"text/plain": repr(self), "text/html": self._html(), "image/jpeg": picture}

    def _html(self) -> str:
        """Both over each other. Where scripts are taken out, half of each is seen."""
        width, height = self.after.size
        fill = "position:absolute;inset:0;width:100%;height:100%;object-fit:contain;margin:0"
        black = "background:#000"
        clip = "clip-path:inset(0 calc(100% - var(--cut)) 0 0)"
        set_cut = "this.previousElementSibling.style.setProperty('--cut', this.value + '%')"
        return (
            f'<div style="max-width:{min(width, 960)}px">'
            f'<div style="position:relative;aspect-ratio:{width}/{height};{black};--cut:50%">'
            f'<img alt="After" style="{fill}" src="{_source(self.after)}">'
            f'<img alt="Before" style="{fill};{clip};{black}" src="{_source(self.before)}">'
            '<span style="position:absolute;top:0;bottom:0;left:var(--cut);width:2px;'
            'background:#fff;mix-blend-mode:difference"></span></div>'
            '<input type="range" min="0" max="100" value="50" aria-label="Before and after" '
            f'style="width:100%;margin:4px 0" oninput="{set_cut}"></div>'
        )


def _source(frame: Frame) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(frame.jpeg).decode()}"
