"""Video exports that Jupyter owns.

import jupyter_export as jx

spec = jx.clip("match.mp4", 12.5, 20).crop((600, 0, 720, 720)).to("goal.mp4")
jx.export(spec).wait()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import ExportError
from .spec import ExportSpec, annotate, clip, compare, concat, framing, overlay, source

if TYPE_CHECKING:
    from .footage import from_animation, from_frames, from_images
    from .notebook.batch import Batch
    from .notebook.client import Client, connect
    from .notebook.default import estimate, export, export_all
    from .notebook.editor import SpecEditor, editor
    from .notebook.estimate import Estimate
    from .notebook.handle import JobHandle
    from .notebook.result import Result
    from .notebook.standalone import serve
    from .notebook.widget import ExportPanel, panel
    from .tables import crop_path, highlights

__all__ = [
    "Batch",
    "Client",
    "Estimate",
    "ExportError",
    "ExportPanel",
    "ExportSpec",
    "JobHandle",
    "Result",
    "SpecEditor",
    "__version__",
    "annotate",
    "clip",
    "compare",
    "concat",
    "connect",
    "crop_path",
    "editor",
    "estimate",
    "export",
    "export_all",
    "framing",
    "from_animation",
    "from_frames",
    "from_images",
    "highlights",
    "overlay",
    "panel",
    "serve",
    "source",
]

# The client brings in an HTTP library, the panel ipywidgets, tables and footage NumPy; neither
# the server nor a worker should pay for that.
_LAZY = {
    "Batch": "notebook.batch",
    "Client": "notebook.client",
    "Estimate": "notebook.estimate",
    "ExportPanel": "notebook.widget",
    "JobHandle": "notebook.handle",
    "Result": "notebook.result",
    "SpecEditor": "notebook.editor",
    "connect": "notebook.client",
    "crop_path": "tables",
    "editor": "notebook.editor",
    "estimate": "notebook.default",
    "export": "notebook.default",
    "export_all": "notebook.default",
    "from_animation": "footage",
    "from_frames": "footage",
    "from_images": "footage",
    "highlights": "tables",
    "panel": "notebook.widget",
    "serve": "notebook.standalone",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "jupyter-export"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from .app import ExportApp

    return [{"module": "jupyter_export", "app": ExportApp}]
