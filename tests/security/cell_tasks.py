"""Tasks that try what a codec could try that somebody has taken over."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Params = dict[str, Any]


def spin(params: Params, context: Any) -> dict[str, Any]:
    while True:
        pass


def work(params: Params, context: Any) -> dict[str, Any]:
    end = time.process_time() + params["seconds"]
    while time.process_time() < end:
        pass
    return {"pid": os.getpid()}


def eat(params: Params, context: Any) -> dict[str, Any]:
    return {"bytes": len(bytearray(params["bytes"]))}


def fill(params: Params, context: Any) -> dict[str, Any]:
    with Path(params["path"]).open("wb", buffering=0) as file:
        try:
            left = params["bytes"]
            while left > 0:
                left -= file.write(bytes(min(left, 10**5)))
        except OSError as error:
            return {"error": error.errno}
    return {"error": 0}


def touch_all(params: Params, context: Any) -> dict[str, Any]:
    """Write all that are not there, add to those that are, and read them."""
    read, written = {}, {}
    for name, path in params["paths"].items():
        try:
            with Path(path).open("a") as file:
                file.write(":touched")
            written[name] = True
        except OSError:
            written[name] = False
        try:
            read[name] = bool(Path(path).read_text())
        except OSError:
            read[name] = False
    return {"read": read, "written": written}


def reach(params: Params, context: Any) -> dict[str, Any]:
    """Everything outside of this process; the name of the error for each, or nothing."""

    def tcp() -> None:
        socket.create_connection(("127.0.0.1", params["port"]), 5).close()

    def udp() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("127.0.0.1", params["port"]))

    def unix() -> None:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(params["socket"])

    def environ() -> None:
        Path(f"/proc/{params['victim']}/environ").read_bytes()

    def memory() -> None:
        with Path(f"/proc/{params['victim']}/mem").open("rb"):
            pass

    def signal() -> None:
        os.kill(params["victim"], 0)

    def link() -> None:
        place = Path(os.environ.get("TMPDIR", "/tmp"), f"link-{os.getpid()}")
        place.symlink_to("/etc")
        place.unlink()

    def device() -> None:
        with Path("/dev/kmsg" if os.geteuid() == 0 else "/dev/tty0").open("rb"):
            pass

    tries: list[Callable[[], None]] = [tcp, udp, unix, environ, memory, signal, link, device]
    done = {}
    for one in tries:
        try:
            one()
            done[one.__name__] = ""
        except OSError as error:
            done[one.__name__] = type(error).__name__
    return done


TASKS = {f.__name__: f for f in (spin, work, eat, fill, touch_all, reach)}
