"""``jupyter export``: exports from a shell, here and now or on a running server.

Exit codes: 0 done, 1 the export failed, 2 the request was wrong, 130 cancelled. Errors are one
line on standard error. Every command imports only what it needs, so that it starts at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import (
    Cancelled,
    ExportError,
    JobNotFound,
    ServerUnreachable,
    SourceMissing,
    SpecError,
)

if TYPE_CHECKING:
    from .notebook.client import Client, JobHandle
    from .settings import Settings

__all__ = ["main"]

DONE, FAILED, WRONG, CANCELLED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = _parser().parse_args(argv)
    try:
        code: int = args.command(args)
        sys.stdout.flush()
        return code
    except ExportError as error:
        _complain(str(error))
        return exit_code(error)
    except KeyboardInterrupt:
        _complain("Cancelled.")
        return CANCELLED
    except BrokenPipeError:
        # The reader of a pipe has seen enough; the interpreter must not try to flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def exit_code(error: ExportError) -> int:
    """2 when the request was wrong, 130 when it was cancelled, else 1."""
    if isinstance(error, Cancelled):
        return CANCELLED
    return WRONG if 400 <= error.status < 500 else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jupyter export", description="Export videos, here or on a running Jupyter server."
    )
    parser.add_argument("--version", action="version", version=f"jupyter_export {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)

    demo = commands.add_parser("demo", help="export the sample that comes with the package")
    demo.add_argument("--output", default="jupyter_export_demo.mp4", metavar="PATH")
    demo.set_defaults(command=_demo)

    run = commands.add_parser("run", help="export here and now, without a server")
    run.add_argument(
        "spec", help="a JSON file, such as an output's .export.json, or - for standard input"
    )
    run.add_argument("--root", metavar="DIR", help="what paths are relative to")
    run.add_argument("--json", action="store_true", help="progress and result as JSON lines")
    run.add_argument(
        "--estimate", action="store_true", help="only tell what it would take; export nothing"
    )
    run.set_defaults(command=_run)

    server = argparse.ArgumentParser(add_help=False)
    server.add_argument("--url", help="the server; else JUPYTER_EXPORT_URL, else the one running")
    server.add_argument("--insecure", action="store_true", help="trust any https certificate")

    submit = commands.add_parser("submit", parents=[server], help="queue an export on a server")
    submit.add_argument("spec", help="a JSON file, or - for standard input")
    submit.add_argument("--priority", type=int, default=0, help="higher goes first")
    submit.add_argument("--allow-duplicate", action="store_true")
    submit.add_argument("--json", action="store_true", help="the whole job, not only its id")
    submit.add_argument(
        "--estimate", action="store_true", help="only tell what it would take; queue nothing"
    )
    submit.set_defaults(command=_submit)

    folder = commands.add_parser(
        "watch-folder", parents=[server], help="export every new video of a folder by a template"
    )
    folder.add_argument("folder", metavar="DIR")
    folder.add_argument(
        "template", help="a spec with {path}, {name} or {stem} in its texts for each new video"
    )
    folder.add_argument("--once", action="store_true", help="queue what is there, then end")
    folder.add_argument(
        "--settle", type=float, default=3.0, metavar="SECONDS",
        help="how long a file must not have changed to be finished (default: 3)",
    )  # fmt: skip
    folder.set_defaults(command=_watch_folder)

    show = commands.add_parser("list", parents=[server], help="list the exports of a server")
    show.add_argument("--all", action="store_true", help="older ones too, not only the last day's")
    show.add_argument("--json", action="store_true")
    show.set_defaults(command=_list)

    watch = commands.add_parser("watch", parents=[server], help="follow an export to its end")
    watch.add_argument("id", nargs="?", help="by default the newest that is not finished")
    watch.set_defaults(command=_watch)

    for name, help in (
        ("cancel", "end an export and leave no part of its output"),
        ("retry", "queue a failed or cancelled export again"),
    ):
        act = commands.add_parser(name, parents=[server], help=help)
        act.add_argument("id")
        act.set_defaults(command=_act, action=name)

    serve = commands.add_parser(
        "serve", help="the server part alone, for kernels that run without a Jupyter server"
    )
    serve.add_argument("--root", default=".", metavar="DIR", help="what paths are relative to")
    serve.add_argument("--port", type=int, default=8888)
    serve.add_argument(
        "options", nargs="*", metavar="-- OPTIONS", help="of jupyter_server, after --"
    )
    serve.set_defaults(command=_serve)

    doctor = commands.add_parser(
        "doctor", parents=[server], help="which encoders work here, and why not"
    )
    doctor.add_argument("--json", action="store_true")
    doctor.add_argument(
        "--bundle", metavar="FILE.zip", help="write all that helps to find a fault, and no secrets"
    )
    doctor.set_defaults(command=_doctor)

    from .upscale.commands import add_commands

    add_commands(commands.add_parser("models", help="upscaling models: list, pull, verify"))
    return parser


def _demo(args: argparse.Namespace) -> int:
    from .local import run_demo
    from .terminal import Bar

    with Bar(args.output, file=sys.stderr) as bar:
        path = run_demo(Path(args.output), bar.show)
    _say(str(path))
    return DONE


def _run(args: argparse.Namespace) -> int:
    from .local import estimate, run
    from .terminal import Bar

    root = Path(args.root or ".")
    if not root.is_dir():
        raise SpecError(f"There is no folder {args.root!r}.", "Give --root an existing folder.")
    spec, seconds = _read_json(args.spec), None
    if _is_provenance(spec):
        from .provenance import again

        found = again(spec, Path(args.spec), root if args.root else None)
        spec, root, seconds = found.spec, found.root or root, found.segment_seconds
        for warning in found.warnings:
            _complain(warning)
    if args.estimate:
        return _tell(estimate(spec, root), args.json)
    if args.json:
        run(spec, root, lambda job: _say(json.dumps(job)), segment_seconds=seconds)
        return DONE
    with Bar(str(spec.get("output", "")), file=sys.stderr) as bar:
        path = run(spec, root, bar.show, segment_seconds=seconds)
    _say(str(path))
    return DONE


def _tell(estimate: dict[str, Any], as_json: bool) -> int:
    from .notebook.estimate import Estimate

    found = Estimate.from_json(estimate)
    _say(json.dumps(estimate) if as_json else str(found))
    return DONE if found.refusal is None else exit_code(found.refusal)


def _submit(args: argparse.Namespace) -> int:
    spec = _read_spec(args.spec)
    with _connect(args) as client:
        if args.estimate:
            return _tell(client.estimate_json(spec), args.json)
        job = client.submit(spec, priority=args.priority, allow_duplicate=args.allow_duplicate)
    _say(json.dumps(job.json) if args.json else job.id)
    return DONE


def _watch_folder(args: argparse.Namespace) -> int:
    from .notebook.inbox import Inbox

    template = _read_spec(args.template)
    with _connect(args) as client:
        inbox = Inbox(client, Path(args.folder), template, settle=args.settle, say=_say)
        inbox.run(once=args.once)
    return DONE


def _list(args: argparse.Namespace) -> int:
    from .terminal import table

    with _connect(args) as client:
        if args.all:
            jobs = [job.json for job in client.jobs(limit=None)]
        else:
            found = {job.id: job.json for job in [*client.active(), *client.recent()]}
            jobs = list(found.values())
    if args.json:
        _say(json.dumps(jobs, indent=2))
    elif jobs:
        _say(table(jobs))
    else:
        _complain("No exports." if args.all else "No exports in the last day; --all lists all.")
    return DONE


def _watch(args: argparse.Namespace) -> int:
    with _connect(args) as client:
        job = client.job(args.id) if args.id else _newest(client)
        try:
            job.wait(file=sys.stderr)
        except Cancelled:
            raise
        except ExportError as error:
            if job.error is None:
                raise
            # The request was right, whatever the type of what the export failed with.
            _complain(str(error))
            return FAILED
        output = Path(client.root, job.output) if client.root else Path(job.output)
    _say(str(output))
    return DONE


def _newest(client: Client) -> JobHandle:
    jobs = client.active()
    if not jobs:
        raise JobNotFound("No export is in progress.", "See `jupyter export list`.")
    return max(jobs, key=lambda job: str(job.json["created_at"]))


def _act(args: argparse.Namespace) -> int:
    with _connect(args) as client:
        job = client.job(args.id)
        job = job.cancel() if args.action == "cancel" else job.retry()
    _say(f"{job.id} {'cancelling' if job.json['cancel_requested'] else job.state}")
    return DONE


def _serve(args: argparse.Namespace) -> int:
    from .app import ExportApp
    from .settings import Settings

    root = Path(args.root).resolve()
    if not root.is_dir():
        raise SpecError(f"There is no folder {args.root}.", "Give --root an existing folder.")
    Settings()  # what is wrong with them is told here in one sentence
    ExportApp.load_other_extensions = False
    options = {"root_dir": root, "port": args.port, "open_browser": False}
    given = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    # jupyter_server has no types for it.
    ExportApp.launch_instance([*given, *args.options])  # type: ignore[no-untyped-call]
    return DONE


def _doctor(args: argparse.Namespace) -> int:
    import asyncio

    from .hardware.choice import Encoders
    from .hardware.doctor import to_json, to_lines
    from .hardware.gpus import Gpus, GpuView
    from .hardware.report import HardwareReport
    from .media.resample import COMPILED
    from .queue import sharing
    from .queue.reservations import Reservations
    from .settings import Settings

    settings = Settings()

    async def look() -> tuple[HardwareReport, GpuView]:
        # Side by side: a driver that hangs is waited for once.
        # Always a fresh look: who asks the doctor does not want to hear what was true last week.
        gpus = asyncio.to_thread(Gpus().view)
        return await asyncio.gather(Encoders(settings).report(refresh=True), gpus)

    report, gpus = asyncio.run(look())
    order, force_cpu = settings.encoder_priority, settings.force_cpu
    leases = Reservations(settings).to_json()
    value = {**to_json(report, order, force_cpu), **sharing.to_json(leases, gpus)}
    if args.bundle is not None:
        return _bundle(args, settings, value)
    if args.json:
        _say(json.dumps(value, indent=2))
    else:
        crops = "" if COMPILED else ", by Pillow: slower (install a C compiler, then this again)"
        lines = to_lines(report, order, force_cpu) + sharing.to_lines(leases, gpus)
        lines += ["", f"Moving crops are exact to 0.1 pixel{crops}"]
        _say("\n".join(lines))
    return DONE


def _bundle(args: argparse.Namespace, settings: Settings, doctor: dict[str, Any]) -> int:
    from .bundle import write_bundle
    from .notebook.connection import open_connection

    try:
        connection, _ = open_connection(args.url, None, not args.insecure)
    except ServerUnreachable as error:
        _complain(f"The bundle tells nothing of a running server: {error}")
        connection = None
    path = Path(args.bundle)
    write_bundle(path, settings, doctor, connection)
    _say(str(path))
    return DONE


def _connect(args: argparse.Namespace) -> Client:
    from .notebook.client import connect

    return connect(args.url, verify=not args.insecure)


def _read_spec(name: str) -> dict[str, Any]:
    """The spec in the file `name`, by itself or in a provenance; its fields are checked later."""
    value = _read_json(name)
    spec = value.get("spec") if _is_provenance(value) else value
    return spec if isinstance(spec, dict) else value


def _is_provenance(value: dict[str, Any]) -> bool:
    return "format" in value and "spec" in value


def _read_json(name: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        value = json.loads(text)
    except FileNotFoundError:
        raise SourceMissing(f"There is no file {name!r}.", "Check the name.") from None
    except OSError as error:
        raise SpecError(f"{name!r} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(
            f"{name!r} is not JSON: {error}.", "See the page on the spec in the documentation."
        ) from None
    if not isinstance(value, dict):
        raise SpecError(
            f"{name!r} holds no JSON object.", "See the page on the spec in the documentation."
        )
    return value


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"jupyter export: {' '.join(text.split())}\n")


if __name__ == "__main__":
    sys.exit(main())
