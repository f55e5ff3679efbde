"""The handlers that an application really has, and an address of each."""

from __future__ import annotations

import re
from typing import Any

from jupyter_server.serverapp import ServerApp
from tornado.web import ReversibleRouter, Rule

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def rules(router: Any) -> list[Rule]:
    """All rules of a Tornado application, however deeply nested."""
    found: list[Rule] = []
    for rule in getattr(router, "rules", []):
        inner = rules(rule.target) if isinstance(rule.target, ReversibleRouter) else []
        found += inner or [rule]
    return found


def ours(app: ServerApp) -> list[tuple[str, Any]]:
    """The patterns below our prefix that the application really has, with their handlers."""
    found = []
    for rule in [*rules(app.web_app.wildcard_router), *rules(app.web_app.default_router)]:
        pattern = getattr(getattr(rule.matcher, "regex", None), "pattern", "")
        if "jupyter-export" in pattern or "jupyter_export" in str(rule.target):
            found.append((pattern, rule.target))
    assert len(found) > 10, "the handlers were not found; no test would prove anything"
    return found


def example(pattern: str) -> str:
    """An address that `pattern` matches."""
    address = re.sub(r"\(\?P<\w+>\[\^/\]\+\)", "x1", pattern)
    address = re.sub(r"\(\?P<\w+>(\w+)[^)]*\)", r"\1", address)
    address = address.replace("(?:/.*)?", "/nothing/here").replace("\\", "").rstrip("$")
    assert re.fullmatch(pattern, address), (pattern, address)
    return address


def every_operation(app: ServerApp) -> list[tuple[str, str, Any]]:
    """Method, address and handler of all that the application answers."""
    return [
        (method, example(pattern), handler)
        for pattern, handler in ours(app)
        for method in handler.allowed_methods()
    ]
