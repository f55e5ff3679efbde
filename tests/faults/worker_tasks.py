"""Tasks with which the tests look at a worker from inside; loaded by the worker processes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from jupyter_export.errors import SourceUnreadable
from jupyter_export.workers.context import TaskContext

Params = dict[str, Any]


def echo(params: Params, context: TaskContext) -> Params:
    return {"got": params, "pid": os.getpid()}


def load_torch(params: Params, context: TaskContext) -> Params:
    sys.modules["torch"] = ModuleType("torch")
    return {}


def touch(params: Params, context: TaskContext) -> Params:
    Path(params["path"]).touch()
    return {}


def count(params: Params, context: TaskContext) -> Params:
    """Reports every number at once; finishes when the file `until` exists."""
    for number in range(params["numbers"]):
        context.progress({"frames": number})
    _wait_for_file(params.get("until"))
    return {"counted": params["numbers"]}


def damaged(params: Params, context: TaskContext) -> Params:
    raise SourceUnreadable("It is damaged.", "Copy it again.", field="sources[0].path", frame=7)


def bug(params: Params, context: TaskContext) -> Params:
    raise KeyError("missing piece")


def leave(params: Params, context: TaskContext) -> Params:
    sys.exit(3)


def no_json(params: Params, context: TaskContext) -> Params:
    return {"what": object()}


def swallow_memory(params: Params, context: TaskContext) -> Params:
    return {"size": len(bytearray(params["bytes"]))}


def hold_memory(params: Params, context: TaskContext) -> Params:
    global held
    held = b"x" * params["bytes"]
    return {"pid": os.getpid()}


def until_cancelled(params: Params, context: TaskContext) -> Params:
    context.progress({"pid": os.getpid()})
    while True:
        context.check()
        time.sleep(0.01)


def deaf(params: Params, context: TaskContext) -> Params:
    """Never looks at the context; sleeps in C, without the interpreter's lock."""
    context.progress({"pid": os.getpid()})
    ctypes.CDLL(None).sleep(3600)
    return {}


def deaf_and_stubborn(params: Params, context: TaskContext) -> Params:
    """Holds the interpreter's lock in C: not even the worker's other threads can run."""
    context.progress({"pid": os.getpid()})
    ctypes.PyDLL(None).sleep(3600)
    return {}


def crash(params: Params, context: TaskContext) -> Params:
    os.write(2, b"x264 [error]: malloc of size 12345 failed\n")
    os.kill(os.getpid(), getattr(signal, params["signal"]))
    time.sleep(60)
    return {}


def segfault(params: Params, context: TaskContext) -> Params:
    ctypes.string_at(0)
    return {}


def stop_itself(params: Params, context: TaskContext) -> Params:
    context.progress({"pid": os.getpid()})
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGSTOP)
    return {}


def chatter(params: Params, context: TaskContext) -> Params:
    """Writes in every way in which a library can."""
    os.write(1, b"raw one\n")
    os.write(2, b"raw two\n")
    print("python one")
    print("python two", file=sys.stderr)
    libc = ctypes.CDLL(None)
    libc.printf(b"c stdio\n")
    os.system("echo a program; cat")
    return {}


def look_around(params: Params, context: TaskContext) -> Params:
    return {
        "environment": dict(os.environ),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "scheduling": [
            os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()
        ],
        "threads": threading.active_count(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "path": sys.path,
        "sigint": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "pid": os.getpid(),
    }


def _wait_for_file(path: str | None) -> None:
    while path is not None and not Path(path).exists():
        time.sleep(0.01)


def paint(params: Params, context: TaskContext) -> Params:
    """Makes pictures, a hundred at once, and frees them."""
    pictures = [b"x" * (3 * 2**20) for _ in range(100)]
    return {"pictures": len(pictures)}


TASKS = {
    function.__name__: function
    for function in (
        echo,
        touch,
        load_torch,
        count,
        damaged,
        bug,
        leave,
        no_json,
        swallow_memory,
        hold_memory,
        until_cancelled,
        deaf,
        deaf_and_stubborn,
        crash,
        segfault,
        stop_itself,
        chatter,
        look_around,
        paint,
    )
}
