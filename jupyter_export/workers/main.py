"""A worker process: ``python -m jupyter_export.workers.main``; one task at a time.

JSON lines come in on descriptor 0: ``{"run": id, "task": name, "params": {…}, "log": path|null}``
(with ``"gpu": {"lease": path, "device": uuid}`` if it uses a GPU)
and ``{"cancel": id}``. JSON lines go out on a private duplicate of descriptor 1: ``ready``, and
with the run's ``id``: ``beat`` (each second; its ``steps`` grow while the task gets on),
``progress``, and at the end ``result`` or ``error``. Descriptors 1 and 2 themselves lead to the
job's log while a task runs, so that what libraries write lands there and never between the
messages. The process ends with its input.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import json
import logging
import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ExportError, InternalError
from ..hardware.leases import adopt
from ..hardware.room import MACHINE
from ..media.interrupt import checking
from .context import PROGRESS_SECONDS, TaskContext
from .jail import Jail, enter
from .limits import (
    bind_to_parent,
    flush_c_streams,
    keep_freed_memory,
    lift_memory_limit,
    limit_cpu,
    limit_files,
    limit_memory,
    lower_priority,
    resident_bytes,
    return_freed_memory,
)

__all__ = ["main"]

BEAT_SECONDS = 1.0

REST_SECONDS = 5.0
"""Without work for so long, a worker gives back the memory that it kept for the next segment."""

MUCH_BYTES = 2**30
"""A worker that holds more than that gives back at once what it does not use."""

TaskTable = dict[str, Callable[[dict[str, Any], TaskContext], dict[str, Any]]]


class Channel:
    """Whole messages to the server, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Write one line; a server that is gone ends this process.

        Raises:
            TypeError, ValueError: the message is not JSON; nothing was written.
        """
        data = memoryview(json.dumps(message).encode() + b"\n")
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                os._exit(0)


class Outputs:
    """Where descriptors 1 and 2 lead."""

    def __init__(self) -> None:
        self._inherited = os.dup(2)
        self._nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(self._inherited, 1)

    @contextlib.contextmanager
    def leading_to(self, log: str | None) -> Iterator[int | None]:
        """Append to `log` meanwhile, giving its length in bytes, or write to nothing."""
        target, start = self._nowhere, None
        if log is not None:
            # A job is not to fail because its log cannot be written.
            with contextlib.suppress(OSError):
                target = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                start = os.lseek(target, 0, os.SEEK_END)
        self._point(target)
        try:
            yield start
        finally:
            self._point(self._inherited)
            if target != self._nowhere:
                os.close(target)

    @staticmethod
    def _point(target: int) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        flush_c_streams()
        os.dup2(target, 1)
        os.dup2(target, 2)


class Worker:
    """The three threads' common ground: the listener, the beat, and the one that works."""

    def __init__(self, inbox: int, channel: Channel, outputs: Outputs, cpu_seconds: int) -> None:
        self._cpu_seconds = cpu_seconds
        self._inbox = inbox
        self._channel = channel
        self._outputs = outputs
        self._requests: queue.SimpleQueue[tuple[dict[str, Any], TaskContext]] = queue.SimpleQueue()
        self._live: dict[str, TaskContext] = {}
        self._busy: tuple[str | None, TaskContext | None] | None = (None, None)
        self._wake = threading.Event()
        self._lease = ""
        for part in (self._listen, self._beat):
            threading.Thread(target=part, name=part.__name__.strip("_"), daemon=True).start()

    def serve(self, module: str) -> NoReturn:
        """Load the tasks of `module`, then work until the input ends."""
        try:
            tasks: TaskTable = importlib.import_module(module).TASKS
            _route_library_logs()
        except BaseException as error:
            traceback.print_exc()
            self._channel.send({"fatal": f"{type(error).__name__}: {error}"})
            os._exit(1)
        self._busy = None
        self._channel.send({"ready": {"pid": os.getpid(), "versions": _versions()}})
        while True:
            try:
                work = self._requests.get(timeout=REST_SECONDS)
            except queue.Empty:
                return_freed_memory()
                work = self._requests.get()
            self._work(tasks, *work)

    def _work(self, tasks: TaskTable, request: dict[str, Any], context: TaskContext) -> None:
        run = request["run"]
        limit_cpu(self._cpu_seconds)
        with self._outputs.leading_to(request.get("log")) as log_at:
            self._channel.send({"id": run, "beat": True, "log_at": log_at or 0})
            self._busy = (run, context)
            self._wake.set()
            if "gpu" in request:
                self._use(**request["gpu"])
            answer, trace = _answer(tasks, request, context)
            if log_at is not None:
                _write_trace(trace)
        if log_at is None:
            _write_trace(trace)
        self._busy = None
        self._live.pop(run, None)
        # It may have asked for the GPUs that there are: no other answer is to be had then.
        torch = "torch" in sys.modules
        if resident_bytes() > MUCH_BYTES:
            return_freed_memory()
        self._channel.send({"id": run, "rss": resident_bytes(), "torch": torch, **answer})

    def _use(self, lease: str, device: str) -> None:
        """Take up a share of a GPU: its lease, as long as this process lives, and only that GPU.

        Before the first use of the GPU, as CUDA reads the variable only once.
        """
        lift_memory_limit()
        if device != MACHINE:
            os.environ["CUDA_VISIBLE_DEVICES"] = device
        if lease != self._lease and Path(lease).is_absolute():
            self._lease = lease
            try:
                adopt(Path(lease))
            except OSError as error:
                # Somebody has emptied the directory; the server knows of the lease all the same.
                logging.getLogger(__name__).warning("action=adopt lease=%s: %s", lease, error)

    def _listen(self) -> None:
        try:
            with open(self._inbox, "rb") as pipe:  # noqa: PTH123 - a descriptor, not a path
                for line in pipe:
                    self._receive(json.loads(line))
        finally:
            # Nobody listens any more, and nothing may outlive the server: not even an orderly
            # end, which would write the trailer of a file that nobody wants.
            os._exit(0)

    def _receive(self, message: dict[str, Any]) -> None:
        if "cancel" in message:
            if (found := self._live.get(message["cancel"])) is not None:
                found.cancel()
            return
        run = message["run"]

        def send(progress: dict[str, Any]) -> None:
            self._channel.send({"id": run, "progress": progress})

        # Known before the work starts, so that a cancel on its heels finds it.
        self._live[run] = context = TaskContext(send)
        self._requests.put((message, context))

    def _beat(self) -> None:
        silent = 0.0
        while True:
            busy = self._busy
            if busy is None:
                self._wake.wait()
                self._wake.clear()
                continue
            run, context = busy
            if context is not None:
                context.flush()
            silent += PROGRESS_SECONDS
            if silent >= BEAT_SECONDS:
                silent = 0.0
                beat: dict[str, Any] = {"beat": True}
                if context is not None:
                    beat |= {"id": run, "steps": context.steps}
                self._channel.send(beat)
            time.sleep(PROGRESS_SECONDS)


def _answer(
    tasks: TaskTable, request: dict[str, Any], context: TaskContext
) -> tuple[dict[str, Any], str]:
    """The last message of a run, and a trace for the log if something unforeseen happened."""
    name = request["task"]
    try:
        context.check()
        with checking(context.check):
            result = tasks[name](request["params"], context)
        json.dumps(result)
        return {"result": result}, ""
    except ExportError as error:
        return {"error": error.to_json()}, ""
    except MemoryError:
        trace = traceback.format_exc()
        problem: ExportError = ExportError(
            f"There was not enough memory for {name!r}.",
            "Export at a smaller size, let fewer exports run at once, or raise "
            "worker_memory_limit.",
        )
    except BaseException as error:
        trace = traceback.format_exc()
        text = " ".join(str(error).split())[:300]
        problem = InternalError(
            f"The task {name!r} failed with {type(error).__name__}"
            + (f": {text}." if text else "."),
            "Please report this together with the job's log.",
        )
    # After a failure that no task foresaw, this process may hold anything: it is not used again.
    return {"error": problem.to_json(), "suspect": True}, trace


def _write_trace(trace: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(trace)


def _route_library_logs() -> None:
    """Let FFmpeg's warnings go to descriptor 2, that is to the job's log.

    PyAV would take the interpreter's lock in FFmpeg's threads for every line; FFmpeg's own
    writer does not.
    """
    av = sys.modules.get("av")
    if av is not None and av.logging.get_level() is None:
        from ..media.open import LOG_LEVEL

        av.logging.restore_default_callback()
        av.logging.set_libav_level(LOG_LEVEL)


def _versions() -> dict[str, str]:
    av = sys.modules.get("av")
    return {"python": platform.python_version(), **({"av": av.__version__} if av else {})}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Set the limits, then serve; the arguments are what `pool` passes."""
    parser = argparse.ArgumentParser(prog="jupyter_export.workers.main")
    parser.add_argument("--parent", type=int, required=True, help="process id of the server")
    parser.add_argument("--niceness", type=int, default=0)
    parser.add_argument("--scheduling", choices=["idle", "batch", "normal"], default="normal")
    parser.add_argument("--memory", type=int, default=0, help="bytes of address space; 0: all")
    parser.add_argument("--cpu", type=int, default=0, help="seconds for each task; 0: core hours")
    parser.add_argument("--file-size", type=int, default=0, help="bytes; 0: no limit")
    parser.add_argument("--jail", type=Jail.from_json, help="what it is left with, as JSON")
    parser.add_argument("--tasks", default="jupyter_export.workers.tasks", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)

    bind_to_parent(options.parent)
    # A terminal's Ctrl-C goes to the whole group, but only the server decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    inbox, channel = os.dup(0), Channel(os.dup(1))
    outputs = Outputs()
    # Whatever a task starts must not read the server's messages.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    faulthandler.enable()

    # Before the libraries are loaded: their threads inherit all of this.
    lower_priority(options.niceness, options.scheduling)
    limit_memory(options.memory)
    keep_freed_memory()
    limit_files(options.file_size)
    if options.jail is not None:
        try:
            enter(options.jail)
        except OSError as error:
            channel.send({"fatal": f"it cannot be locked in: {error}"})
            sys.exit(1)
    Worker(inbox, channel, outputs, options.cpu).serve(options.tasks)


if __name__ == "__main__":
    main()
