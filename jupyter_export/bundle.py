"""A zip file for whoever helps: how exports are here and what went wrong, without any secret.

Nothing is taken along because it happens to be there: specs come as outlines (kinds, counts and
encoding, no paths, names or texts), settings without the texts among them, and each line of a
log, error or note goes through a `Scrubber` that knows every string of the specs.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib.metadata
import json
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ExportError, OutputError
from .queue.disk import filesystem_type
from .scrub import Scrubber, secrets_of
from .settings import Settings

if TYPE_CHECKING:
    from .notebook.connection import Connection

__all__ = ["write_bundle"]

#: Of jobs that are told about, of their logs, and of one log's end.
JOBS, LOGS, LOG_CHARACTERS = 100, 20, 64 * 1024

PACKAGES = (
    *("jupyter_export", "jupyter_server", "jupyterlab", "notebook", "jupyterhub", "ipykernel"),
    *("ipywidgets", "anywidget", "tornado", "av", "numpy", "pillow", "pydantic", "torch"),
    *("dask", "distributed", "nvidia-ml-py", "traitlets", "prometheus_client"),
)

README = """What `jupyter export doctor --bundle` has gathered, to be read before it is given away.

versions.json   Python, the system, packages
machine.json    cores, memory, limits, disks
settings.json   settings that are numbers and choices; of texts only whether they are set
doctor.json     encoders and GPUs, each usable or not, and why
stores.json     the job stores of this user: size, whether they are whole, jobs by state
server.json     health, limits and queue of the running server{server}
jobs.json       the latest jobs: states, times, errors, and what their specs are made of
metrics.txt     the server's metrics of exports
logs/           the ends of logs, those of failed jobs first

Left out: specs, configuration files, the environment, the server's own log. Paths, names, texts
and whatever looks like a secret were replaced by <path>, <name>, <text> and <secret>.
"""

#: Members of a spec that are words of ours, or numbers: everything else stays here.
_ENCODING = ("codec", "quality", "encoder", "size", "fps", "audio", "smart")


def write_bundle(
    path: Path, settings: Settings, doctor: dict[str, Any], connection: Connection | None
) -> list[str]:
    """Write the bundle to `path`; `doctor` is what ``doctor --json`` prints.

    Without a running server, `connection` is None, and what only it knows is missing. Gives the
    names of the files inside.

    Raises:
        OutputError: the file cannot be written.
    """
    scrubber = Scrubber()
    _hide_this_user(scrubber, settings)
    files: dict[str, Any] = {
        "versions.json": _versions(),
        "machine.json": _machine(settings),
        "settings.json": _settings(settings),
        "doctor.json": doctor,
        "stores.json": _stores(settings.data_path / "stores"),
    }
    missing = ": none was found" if connection is None else ""
    if connection is not None:
        files |= _of_server(connection, scrubber)
    files["README.txt"] = README.format(server=missing)
    return _write(path, files, scrubber)


def _hide_this_user(scrubber: Scrubber, settings: Settings) -> None:
    scrubber.hide(secrets_of(os.environ), "<secret>")
    folders = [Path.home(), Path.cwd(), settings.data_path, settings.cache_path]
    folders += [settings.models_path, Path(tempfile.gettempdir())]
    scrubber.hide((str(folder) for folder in folders), "<path>")
    with contextlib.suppress(OSError, KeyError, ImportError):
        scrubber.hide([getpass.getuser()], "<name>")
    scrubber.hide([platform.node()], "<name>")


def _versions() -> dict[str, Any]:
    packages = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "packages": packages,
    }


def _machine(settings: Settings) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else None,
        "memory_mib": _memory_mib(),
        "limits": dict(_limits()),
        "disks": {
            "data_dir": _disk(settings.data_path),
            "cache_dir": _disk(settings.cache_path),
            "present folder": _disk(Path.cwd()),
        },
    }


def _memory_mib() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, OSError, ValueError):
        return None


def _limits() -> Iterator[tuple[str, Any]]:
    if sys.platform == "win32":
        return
    import resource

    for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_AS", "RLIMIT_FSIZE"):
        soft, hard = resource.getrlimit(getattr(resource, name))
        endless = resource.RLIM_INFINITY
        yield name, [None if limit == endless else limit for limit in (soft, hard)]


def _disk(path: Path) -> dict[str, Any]:
    while not path.exists() and path != path.parent:
        path = path.parent
    usage = shutil.disk_usage(path)
    return {
        "filesystem": filesystem_type(path),
        "total_mib": usage.total // 2**20,
        "free_mib": usage.free // 2**20,
        "writable": os.access(path, os.W_OK),
    }


def _settings(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, trait in Settings.class_own_traits().items():
        value = getattr(settings, name)
        free_text = type(trait).__name__ == "Unicode"
        shown = ("set" if value != trait.default() else "default") if free_text else value
        found[name] = shown
    return found


def _stores(folder: Path) -> list[dict[str, Any]]:
    """Each store by a number: its folder's name tells the root folder's."""
    return [_store(path) for path in sorted(folder.glob("*/jobs.sqlite"))]


def _store(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {
        "filesystem": filesystem_type(path.parent),
        "bytes": {
            file.name.removeprefix("jobs."): file.stat().st_size
            for file in sorted(path.parent.glob("jobs.sqlite*"))
        },
    }
    try:
        # A look that changes nothing, beside the server that has it open.
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=2)) as connection:
            (found["check"],) = connection.execute("pragma quick_check(1)").fetchone()
            (found["journal_mode"],) = connection.execute("pragma journal_mode").fetchone()
            states = connection.execute("select state, count(*) from job group by state")
            found["jobs"] = dict(states.fetchall())
    except sqlite3.Error as error:
        found["check"] = f"{type(error).__name__}: {error}"
    return found


def _of_server(connection: Connection, scrubber: Scrubber) -> dict[str, Any]:
    scrubber.hide([connection.server.token or ""], "<secret>")
    files: dict[str, Any] = {}
    with contextlib.suppress(ExportError):
        health = connection.call("GET", "health")
        scrubber.hide([health.pop("root", None) or ""], "<path>")
        files["server.json"] = {"health": health}
        for name in ("limits", "queue"):
            files["server.json"][name] = connection.call("GET", name)
        jobs = connection.call("GET", "jobs", params={"limit": JOBS})["jobs"]
        for job in jobs:
            scrubber.hide(_texts(job["spec"]), "<text>")
        files["jobs.json"] = [_outline(job) for job in jobs]
        # Those that went wrong tell most.
        jobs.sort(key=lambda job: (job["state"] != "failed", not job["error"]))
        for job in jobs[:LOGS]:
            text = connection.text(f"jobs/{job['id']}/log")
            files[f"logs/{job['id']}.log"] = text[-LOG_CHARACTERS:]
        files["metrics.txt"] = _metrics(connection)
    return files


def _texts(spec: Any) -> Iterator[str]:
    """Every text in a spec but the words of `_ENCODING`, kinds and types, which are ours."""
    if isinstance(spec, str):
        yield spec
    elif isinstance(spec, dict):
        for name, value in spec.items():
            if name not in {"kind", "type", "encoding"}:
                yield from _texts(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from _texts(value)


def _outline(job: dict[str, Any]) -> dict[str, Any]:
    spec = job["spec"]
    sources = spec["sources"]
    used = [effect["type"] for source in sources for effect in source.get("effects", ())]
    used += [effect["type"] for effect in spec.get("effects", ())]
    told = {name: value for name, value in job.items() if name not in {"spec", "output", "project"}}
    return {
        **told,
        "spec": {
            "sources": len(sources),
            "speeds": sum(len(source.get("speed", ())) for source in sources),
            "effects": dict(Counter(used)),
            "transition": bool(spec.get("transition")),
            "encoding": {name: spec["encoding"].get(name) for name in _ENCODING},
            "suffix": Path(job["output"]).suffix,
            "suffixes": sorted({Path(source["path"]).suffix[:6] for source in sources}),
            "project": spec.get("project") is not None,
        },
    }


def _metrics(connection: Connection) -> str:
    text = connection.text(f"{connection.server.url}metrics")
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith("jupyter_export_"))


def _write(path: Path, files: dict[str, Any], scrubber: Scrubber) -> list[str]:
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".bundle-", delete=False) as part:
            try:
                with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as bundle:
                    for name, content in sorted(files.items()):
                        if isinstance(content, str):
                            bundle.writestr(name, scrubber.text(content))
                        else:
                            text = json.dumps(scrubber.value(content), indent=2)
                            bundle.writestr(name, text)
            except BaseException:
                Path(part.name).unlink()
                raise
        Path(part.name).replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", "Choose another place."
        ) from None
    return sorted(files)
