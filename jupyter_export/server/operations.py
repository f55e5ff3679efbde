"""What a handler's method does, in the words that OpenAPI is written from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

__all__ = ["Operation", "operation"]

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one address."""

    answer: type[BaseModel] | str | None
    """The model of the answer, or its media type when it is no such JSON; None has no content."""
    summary: str
    statuses: tuple[int, ...]
    """Those of success, the first with its own meaning."""
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    errors: tuple[int, ...]
    """Statuses of problem details beyond those that every operation can have."""
    idempotent: bool
    """Whether it takes an Idempotency-Key."""


def operation(
    answer: type[BaseModel] | str | None,
    *,
    statuses: tuple[int, ...] = (200,),
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    errors: tuple[int, ...] = (),
    idempotent: bool = False,
) -> Callable[[MethodT], MethodT]:
    """Describe a handler's method; only described methods are answered."""

    def describe(method: MethodT) -> MethodT:
        method.operation = Operation(  # type: ignore[attr-defined]
            answer=answer,
            summary=(method.__doc__ or "").strip().splitlines()[0].rstrip("."),
            statuses=statuses,
            body=body,
            query=query,
            errors=errors,
            idempotent=idempotent,
        )
        return method

    return describe
