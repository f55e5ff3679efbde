"""Many exports at once: in the order in which they were asked for, with their errors collected."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, overload

from ..errors import ExportError
from ..job import FINISHED, State
from ..spec import ExportSpec
from ..terminal import MakeBar, ManyBar
from .handle import POLL_SECONDS, JobHandle
from .result import Result

__all__ = ["Batch"]


class Batch(Sequence[JobHandle]):
    """What `export_all` gives: the jobs that were taken in, in order.

    `specs` has all that was asked for; `errors` tells by its number in that order what was
    refused, and, once it has finished, what failed or was cancelled.
    """

    def __init__(
        self,
        specs: Sequence[ExportSpec | dict[str, Any]],
        jobs: Mapping[int, JobHandle],
        refused: Mapping[int, ExportError],
    ) -> None:
        """`jobs` and `refused` by their number in `specs`."""
        self.specs: tuple[ExportSpec | dict[str, Any], ...] = tuple(specs)
        self._jobs = dict(jobs)
        self._refused = dict(refused)

    @classmethod
    def of(
        cls,
        submit: Callable[[ExportSpec | dict[str, Any]], JobHandle],
        specs: Iterable[ExportSpec | dict[str, Any]],
    ) -> Self:
        """Submit all of `specs`."""
        asked = list(specs)
        jobs: dict[int, JobHandle] = {}
        refused: dict[int, ExportError] = {}
        for number, spec in enumerate(asked):
            try:
                jobs[number] = submit(spec)
            except ExportError as error:
                refused[number] = error
        return cls(asked, jobs, refused)

    @property
    def errors(self) -> dict[int, ExportError]:
        """What has come to nothing so far, by its number in `specs`."""
        failed = {n: e for n, job in self._jobs.items() if (e := job.outcome_error) is not None}
        return dict(sorted({**self._refused, **failed}.items()))

    @property
    def results(self) -> list[Result | None]:
        """For each of `specs` what was made; None where nothing was, or not yet."""
        done = {n: j.result for n, j in self._jobs.items() if j.state is State.COMPLETED}
        return [done.get(number) for number in range(len(self.specs))]

    def wait(
        self,
        timeout: float | None = None,
        *,
        progress: bool | MakeBar = True,
        check: bool = True,
    ) -> Self:
        """Return when all are finished; `timeout` is in seconds.

        One bar counts the finished exports; `progress` can be a class to draw it with, such as
        `tqdm.notebook.tqdm`, or False for none. Interrupting this leaves the jobs alone.

        Raises:
            ExceptionGroup: of what was refused, failed or was cancelled, unless not `check`;
                the others are finished nevertheless.
            TimeoutError: not all were finished in time; they go on.
        """
        with ManyBar(len(self._jobs), progress) as bar:
            for job in self.as_completed(timeout):
                bar.finished(job.json)
        if check and (errors := self.errors):
            raise ExceptionGroup(
                f"{len(errors)} of {len(self.specs)} exports came to nothing",
                [self._named(number, error) for number, error in errors.items()],
            )
        return self

    def as_completed(self, timeout: float | None = None) -> Iterator[JobHandle]:
        """The jobs as they finish, for a loop of your own: ``for job in tqdm(batch.as_completed(),
        total=len(batch))``.

        Raises:
            TimeoutError: not all were finished in time; they go on.
        """
        until = None if timeout is None else time.monotonic() + timeout
        pending = list(self)
        while pending:
            left = []
            for job in pending:
                if job.state in FINISHED or job.refresh_quietly().state in FINISHED:
                    yield job
                else:
                    left.append(job)
            if left and len(left) == len(pending):
                if until is not None and time.monotonic() > until:
                    raise TimeoutError(f"{len(left)} exports were not finished in time.")
                time.sleep(POLL_SECONDS)
            pending = left

    def cancel(self) -> Self:
        """End all that is not finished."""
        for job in self:
            if job.refresh().state not in FINISHED:
                job.cancel()
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self._finished().__await__()

    async def _finished(self) -> Self:
        for job in self:
            await job.finished()
        self.wait(progress=False)
        return self

    @overload
    def __getitem__(self, index: int) -> JobHandle: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[JobHandle]: ...
    def __getitem__(self, index: int | slice) -> JobHandle | Sequence[JobHandle]:
        return [self._jobs[number] for number in sorted(self._jobs)][index]

    def __len__(self) -> int:
        return len(self._jobs)

    def __repr__(self) -> str:
        states = [job.state for job in self]
        told = ", ".join(f"{states.count(s)} {s}" for s in State if s in states)
        refused = f", {len(self._refused)} refused" if self._refused else ""
        return f"<{len(self.specs)} exports: {told or 'none'}{refused}>"

    def _repr_html_(self) -> str:
        rows = [job._repr_html_() for job in self]
        rows += [
            f"<div><b>{html.escape(_output(self.specs[n]))}</b> refused {html.escape(str(e))}</div>"
            for n, e in self._refused.items()
        ]
        return "".join(rows)

    def _named(self, number: int, error: ExportError) -> ExportError:
        named = ExportError.from_json(error.to_json())
        named.add_note(f"{_output(self.specs[number])} (number {number})")
        return named


def _output(spec: ExportSpec | dict[str, Any]) -> str:
    return spec.output if isinstance(spec, ExportSpec) else str(spec.get("output", ""))
