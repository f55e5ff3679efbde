"""The editor in a notebook cell: crop and highlights set by dragging them on the frame."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path, PurePath
from typing import Any

import anywidget
import traitlets

from ..errors import ExportError, InternalError
from ..spec import ExportSpec, framing, parse
from .default import client
from .handle import JobHandle
from .history import History
from .paths import project_name, translate
from .preview import facts_of, server_here
from .relay import Relay
from .widget import KERNEL, relay_server, route_by_page

__all__ = ["EDITOR_MIME", "SpecEditor", "editor"]

_STATIC = Path(__file__).parents[1] / "static"

#: JupyterLab draws this live again after the kernel, and the widget with it, is gone.
EDITOR_MIME = "application/vnd.jupyter-export.editor+json"


def editor(
    source: ExportSpec | dict[str, Any] | str | os.PathLike[str],
    start: float = 0.0,
    end: float | None = None,
    *,
    size: tuple[int, int] | None = None,
    output: str | None = None,
    project: str | None = None,
) -> SpecEditor:
    """An editor of a spec, of a file with a spec (``.json``), or of the video at a path.

    A video begins with a crop of `size` (its own, if not given) as large as fits, from `start` to
    `end`, in seconds; `output` is ``<name>-edited.mp4`` beside it if not given. These are left
    alone where `source` is a spec.

    Raises:
        ExportError: the spec is wrong, or the video cannot be read.
    """
    if isinstance(source, ExportSpec | dict):
        return SpecEditor(spec=source)
    path = os.fspath(source)
    if path.lower().endswith(".json"):
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        # What lies beside an output tells how it was made, too.
        return SpecEditor(spec=found.get("spec", found))
    facts = facts_of(path)
    width, height = facts["width"], facts["height"]
    size = size or (width, height)
    scale = min(width / size[0], height / size[1])
    crop = {"width": size[0] * scale, "height": size[1] * scale}
    middle = {"x": (width - crop["width"]) / 2, "y": (height - crop["height"]) / 2}
    name = PurePath(path)
    spec = framing(
        path,
        start,
        end,
        size=size,
        keyframes=[{"time": start, **middle, **crop}],
        output=output or str(name.with_name(f"{name.stem}-edited.mp4")),
        project=project,
    )
    return SpecEditor(spec=spec, time=start)


class _SpecTrait(traitlets.TraitType[ExportSpec, ExportSpec | dict[str, Any]]):
    """An `ExportSpec`; its JSON is parsed."""

    info_text = "an ExportSpec, or its JSON"

    def validate(self, obj: Any, value: Any) -> Any:
        if isinstance(value, ExportSpec):
            return value
        if isinstance(value, dict):
            return parse(value)
        self.error(obj, value)


class SpecEditor(anywidget.AnyWidget):
    """What `editor` makes: an ipywidget whose `spec` code and mouse edit alike."""

    _esm = _STATIC / "editor.js"
    _css = _STATIC / "editor.css"

    key = traitlets.Unicode(read_only=True).tag(sync=True)
    """Names this editor in the page."""
    kernel = traitlets.Unicode(KERNEL, read_only=True).tag(sync=True)
    """Names the process behind it."""
    spec = _SpecTrait().tag(
        sync=True,
        to_json=lambda value, widget: widget._outward(value),
        from_json=lambda value, widget: widget._inward(value),
    )
    """The spec that is edited; told at the end of each drag, and to be set at any time."""
    time = traitlets.Float(0.0).tag(sync=True)
    """The time that is shown, in seconds of the source; the page moves it to the beginning of the
    frame that shows then."""
    selected = traitlets.Unicode().tag(sync=True)
    """The field of the effect that is edited, such as ``sources[0].effects[0]``."""
    job = traitlets.Unicode().tag(sync=True)
    """The id of the latest export of this editor, or empty."""
    allow_duplicate = traitlets.Bool(read_only=True).tag(sync=True)
    """Whether nobody named a project, whose guard against duplicates would be asked for."""

    def __init__(self, **traits: Any) -> None:
        if not (_STATIC / "editor.js").is_file():
            raise InternalError(
                "The editor was not built into this installation.",
                "Install jupyter_export again with pip.",
            )
        server = server_here()
        self._root = server.root if server is not None and Path(server.root).is_dir() else ""
        self._folder = str(Path.cwd())
        self._names: dict[str, str] = {}
        self._history: History[ExportSpec] = History()
        spec = traits.pop("spec")
        spec = parse(spec) if isinstance(spec, dict) else spec
        self.set_trait("allow_duplicate", spec.project is None)
        super().__init__(spec=spec, **traits)
        route_by_page(self.comm)
        self._relay = Relay(self._tell, relay_server)
        self.on_msg(self._hear)

    @traitlets.default("key")
    def _fresh_key(self) -> str:
        return secrets.token_hex(8)

    @traitlets.observe("spec")
    def _note(self, change: Any) -> None:
        if isinstance(change["old"], ExportSpec):
            self._history.changed(change["old"], change["new"])

    def undo(self) -> None:
        """Take the last change back, whoever made it; nothing where there is none."""
        if (spec := self._history.before) is not None:
            self.spec = spec

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        if (spec := self._history.after) is not None:
            self.spec = spec

    def export(self) -> JobHandle:
        """Queue the spec as it is now, as `Client.submit` does; the editor shows how far it is.

        Raises:
            ExportError: why it cannot be.
        """
        handle = client().submit(self.spec)
        self.job = handle.id
        return handle

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the spec as JSON, for `editor` and ``jupyter export run`` to read."""
        text = json.dumps(self.spec.model_dump(mode="json"), indent=2)
        Path(path).write_text(text + "\n", encoding="utf-8")

    def close(self) -> None:
        """Take the editor from the page; exports go on."""
        self._relay.close()
        super().close()

    def __repr__(self) -> str:
        return f"<jupyter_export editor of {self.spec.output!r} at {self.time:g} s>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        made = super()._repr_mimebundle_(**kwargs)
        if made is None:
            return None
        bundle, metadata = made
        # Nothing that says where the server is: whoever opens the notebook has a server.
        saved = {
            "version": 1,
            "key": self.key,
            "spec": self._outward(self.spec),
            "time": self.time,
            "allow_duplicate": self.allow_duplicate,
        }
        return {**bundle, EDITOR_MIME: saved}, metadata

    def _outward(self, spec: ExportSpec) -> dict[str, Any]:
        """The spec as the page gets it: its paths relative to the server's root."""
        own = spec.model_dump(mode="json")
        told = translate(own, self._root, self._folder) if self._root else own
        self._names |= dict(zip(_paths(told), _paths(own), strict=True))
        if told["project"] is None:
            told["project"] = self._own_project()
        return told

    def _inward(self, told: dict[str, Any]) -> ExportSpec:
        """Back from the page; what is no spec leaves it as it is, and the page is told so."""
        try:
            spec = parse(told)
        except ExportError as error:
            self.log.warning("the page sent what is no spec: %s", error)
            return self.spec
        changes: dict[str, Any] = {
            "sources": tuple(self._renamed(source, "path") for source in spec.sources),
            "effects": tuple(
                effect.model_copy(update={"with_": self._renamed(effect.with_, "path")})
                if effect.type == "compare"
                else effect
                for effect in spec.effects
            ),
        }
        if self.allow_duplicate and spec.project == self._own_project():
            changes["project"] = None
        changed: ExportSpec = self._renamed(spec.model_copy(update=changes), "output")
        return changed

    def _renamed(self, model: Any, name: str) -> Any:
        path = getattr(model, name)
        return model.model_copy(update={name: self._names.get(path, path)})

    def _own_project(self) -> str | None:
        return project_name(os.environ.get("JPY_SESSION_NAME", ""), self._root)

    def _hear(self, _: Any, content: Any, __: Any) -> None:
        self._relay.handle(content)

    def _tell(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.send(content, buffers)


def _paths(spec: dict[str, Any]) -> list[str]:
    compared = [e["with"] for e in spec["effects"] if e["type"] == "compare"]
    return [*(source["path"] for source in (*spec["sources"], *compared)), spec["output"]]
