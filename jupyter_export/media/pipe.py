"""Run the stages of a pipeline in threads of their own, with bounded queues between them.

Decoding, filtering and encoding release the GIL, so three threads keep three stages busy.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

__all__ = ["in_thread"]

_DEPTH = 8
T = TypeVar("T")


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def in_thread(items: Iterable[T], name: str, depth: int = _DEPTH) -> Generator[T, None, None]:
    """Yield `items`, which a thread produces ahead, by at most `depth`.

    The thread has a copy of the context variables of who asks for the first item. An error of the
    producer is raised here, after the items before it. When the consumer stops
    early, the producer is stopped and waited for.
    """
    box: queue.Queue[T | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: T | _End) -> bool:
        while not stopped.is_set():
            try:
                box.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(_End())
        except BaseException as error:  # handed over: the consumer raises it
            put(_End(error))

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(produce,), name=name, daemon=True)
    thread.start()
    try:
        while True:
            item = box.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()
