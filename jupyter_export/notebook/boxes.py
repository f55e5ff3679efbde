"""Boxes of widgets that hold a panel: what a notebook saves of them brings the panel back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ipywidgets import Box, Widget

__all__ = ["BOX_MIME", "keep_panels_of_boxes"]

#: JupyterLab draws the panels of such a box live again when the kernel, and the box, are gone.
BOX_MIME = "application/vnd.jupyter-export.box+json"


def keep_panels_of_boxes(panel: type[Widget]) -> None:
    """Let every box with widgets of the class `panel` in it say so where it is displayed.

    A box knows nothing of what its children could do without a kernel, so IPython is told how to
    display boxes; all that holds no panel is displayed as before.
    """
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None or shell.display_formatter is None:
        return

    def display(box: Box) -> Any:
        made = box._repr_mimebundle_()
        panels = [{"key": it.key, "project": it.project} for it in _inside(box, panel)]
        if not made or not panels:
            return made
        bundle, metadata = made if isinstance(made, tuple) else (made, {})
        return {**bundle, BOX_MIME: {"version": 1, "panels": panels}}, metadata

    shell.display_formatter.mimebundle_formatter.for_type(Box, display)


def _inside(box: Box, panel: type[Widget]) -> Iterator[Any]:
    for child in box.children:
        if isinstance(child, panel):
            yield child
        elif isinstance(child, Box):
            yield from _inside(child, panel)
