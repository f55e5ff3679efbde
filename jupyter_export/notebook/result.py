"""What an export has made: where it is, and the film itself in a cell."""

from __future__ import annotations

import base64
import builtins
import html
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import ExportError
from .connection import Connection

__all__ = ["EMBEDDED_BYTES", "Result"]

EMBEDDED_BYTES = 4 * 2**20
"""A film of at most so many bytes is saved with the notebook; of a larger one only a picture, and
it plays as long as its server has it."""

_TYPES = {".webm": "video/webm", ".mov": "video/quicktime", ".mkv": "video/x-matroska"}
_PICTURES = {".gif": "image/gif", ".webp": "image/webp"}


@dataclass(frozen=True)
class Result:
    """A finished file. Shown in a cell, it plays there."""

    job: str
    """The id of the job that made it."""
    output: str
    """Relative to the server's root."""
    path: Path
    """Absolute, where this process sees the server's files at the same place."""
    bytes: int
    frames: int
    duration: float
    """Seconds."""
    sha256: str
    _connection: Connection

    def read(self) -> builtins.bytes:
        """The whole file, from the server."""
        return self._connection.response("GET", f"jobs/{self.job}/file").content

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return (
            f"<{self.output}: {self.frames} frames, {self.duration:.2f} s, "
            f"{self.bytes / 1e6:.1f} MB>"
        )

    def _repr_html_(self) -> str:
        name = html.escape(self.output)
        suffix = Path(self.output).suffix.lower()
        source, poster = self._source(), self._poster()
        if suffix in _PICTURES:
            return f'<img src="{source}" alt="{name}" style="max-width: 100%">'
        return (
            f'<video controls preload="metadata" style="max-width: 100%"{poster}>'
            f'<source src="{source}" type="{_TYPES.get(suffix, "video/mp4")}"></video>'
            f"<div>{name}, {self.duration:.2f} s, {self.bytes / 1e6:.1f} MB</div>"
        )

    def _source(self) -> str:
        if self.bytes <= EMBEDDED_BYTES:
            suffix = Path(self.output).suffix.lower()
            kind = _PICTURES.get(suffix) or _TYPES.get(suffix, "video/mp4")
            return f"data:{kind};base64,{base64.b64encode(self.read()).decode()}"
        # Without host and token: the page that shows it is of this server, or has no right to it.
        base = urlsplit(self._connection.server.url).path
        return html.escape(f"{base}jupyter-export/jobs/{self.job}/file")

    def _poster(self) -> str:
        try:
            picture = self._connection.response("GET", f"jobs/{self.job}/poster").content
        except ExportError:
            return ""  # it is a decoration
        return f' poster="data:image/jpeg;base64,{base64.b64encode(picture).decode()}"'
