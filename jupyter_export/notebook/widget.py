"""The panel in a notebook cell: all exports of the server, live."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ..errors import InternalError
from .boxes import keep_panels_of_boxes
from .client import connect
from .connection import Connection
from .relay import Relay

__all__ = ["KERNEL", "PANEL_MIME", "ExportPanel", "panel", "relay_server", "route_by_page"]

_STATIC = Path(__file__).parents[1] / "static"

#: JupyterLab draws this live again after the kernel, and the widget with it, is gone.
PANEL_MIME = "application/vnd.jupyter-export.panel+json"

#: Names this kernel's process: the widgets of a page that go through it share one connection.
KERNEL = secrets.token_hex(8)


def panel(project: str | None = None) -> ExportPanel:
    """A live view of all exports, or at first of one project's, to be shown in a cell."""
    return ExportPanel(project=project or "")


class ExportPanel(anywidget.AnyWidget):
    """What `panel` makes: an ipywidget that can be put into boxes, observed and linked."""

    _esm = _STATIC / "widget.js"
    _css = _STATIC / "widget.css"

    key = traitlets.Unicode(read_only=True).tag(sync=True)
    """Names this panel in the page."""
    kernel = traitlets.Unicode(KERNEL, read_only=True).tag(sync=True)
    """Names the process behind this panel."""
    project = traitlets.Unicode().tag(sync=True)
    """The project that is shown at first; empty: all."""
    jobs = traitlets.List(traitlets.Dict()).tag(sync=True)
    """The live jobs and the latest finished ones as the panel shows them, in its order, each as
    in REST but without its spec; filled by the page, at most twice a second."""
    selected = traitlets.Unicode().tag(sync=True)
    """The id of the selected job, or empty; set it to bring a job into view."""

    def __init__(self, **traits: Any) -> None:
        if not (_STATIC / "widget.js").is_file():
            raise InternalError(
                "The panel was not built into this installation.",
                "Install jupyter_export again with pip.",
            )
        super().__init__(**traits)
        keep_panels_of_boxes(ExportPanel)
        route_by_page(self.comm)
        self._relay = Relay(self._tell, relay_server)
        self.on_msg(self._hear)

    @traitlets.default("key")
    def _fresh_key(self) -> str:
        return secrets.token_hex(8)

    def close(self) -> None:
        """Take the panel from the page; jobs go on."""
        self._relay.close()
        super().close()

    def __repr__(self) -> str:
        return f"<jupyter_export panel of {len(self.jobs)} exports>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        made = super()._repr_mimebundle_(**kwargs)
        if made is None:
            return None
        bundle, metadata = made
        # Nothing that says where the server is: whoever opens the notebook has a server.
        saved = {"version": 1, "key": self.key, "project": self.project}
        return {**bundle, PANEL_MIME: saved}, metadata

    def _hear(self, _: Any, content: Any, __: Any) -> None:
        self._relay.handle(content)

    def _tell(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.send(content, buffers)


def route_by_page(comm: Any) -> None:
    """Let messages of the page go to the subshell that it names, also while a cell runs.

    ipykernel from 7.4 on sends them to the shell that last used the comm instead: the main shell,
    because the cell that made the panel ran there, and there they wait for the end of every cell.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default


def relay_server() -> Connection:
    """Where the relay of a widget takes what its page asks for."""
    return connect()._connection
