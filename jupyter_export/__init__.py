"""Video exports that Jupyter owns.

import jupyter_export as jx

job = jx.connect().submit(jx.clip("match.mp4", 12.5, 20, output="goal.mp4"))
job.wait()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import ExportError
from .spec import ExportSpec, annotate, clip, compare, concat, framing, overlay, source

if TYPE_CHECKING:
    from .notebook.client import Client, JobHandle, connect
    from .notebook.widget import ExportPanel, panel
    from .tables import crop_path, highlights

__all__ = [
    "Client",
    "ExportError",
    "ExportPanel",
    "ExportSpec",
    "JobHandle",
    "__version__",
    "annotate",
    "clip",
    "compare",
    "concat",
    "connect",
    "crop_path",
    "framing",
    "highlights",
    "overlay",
    "panel",
    "source",
]


def __getattr__(name: str) -> Any:
    # The client brings in an HTTP library, the panel ipywidgets and tables NumPy; neither the
    # server nor a worker should pay for that.
    if name in {"Client", "JobHandle", "connect"}:
        from .notebook import client

        return getattr(client, name)
    if name in {"ExportPanel", "panel"}:
        from .notebook import widget

        return getattr(widget, name)
    if name in {"crop_path", "highlights"}:
        from . import tables

        return getattr(tables, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "jupyter-export"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from .app import ExportApp

    return [{"module": "jupyter_export", "app": ExportApp}]
