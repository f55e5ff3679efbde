"""Every error that a user can meet, each with what to do about it.

.. code-block:: text

    ExportError                 the root: catch this one
    ├── SpecError               the request is wrong (says which field)
    │   ├── PathError           a path leaves the root, is hidden, or has the wrong suffix
    │   └── SourceError         a source cannot be used
    │       ├── SourceMissing       there is no such file
    │       └── SourceUnreadable    it is no video, or damaged, or incomplete
    ├── OutputError             the result cannot be written
    │   ├── DiskFull                there is no space left
    │   └── CacheLost               somebody emptied the segment cache under the export
    ├── EncoderError            encoding failed
    │   ├── EncoderUnavailable      the encoder asked for cannot be used here
    │   ├── EncoderBusy             all its sessions are in use: the job waits
    │   └── EncoderFailed           an encoder stopped in the middle of its work
    ├── UpscaleError            upscaling cannot be done
    │   ├── ModelMissing            the model has not been downloaded
    │   ├── ModelUnusable           the file is damaged, or no model
    │   ├── UpscaleUnavailable      what upscaling needs is not installed
    │   ├── OutOfMemory             a picture does not fit, however it is cut
    │   ├── GpuFailed               the GPU or its driver failed while it upscaled
    │   └── DownloadFailed          a model could not be downloaded
    ├── QueueError              the queue refuses
    │   ├── JobNotFound             there is no such job
    │   ├── IllegalMove             the job's state does not allow it
    │   ├── OutputInUse             another live job writes the same output
    │   ├── DuplicateJob            the project already has a live job of this kind
    │   ├── QueueBusy               the queue cannot take this now
    │   ├── StoreDamaged            the job database is damaged
    │   └── TooManyRequests         more was asked for than the limits of the server allow
    ├── ClusterError            the Dask cluster cannot take work
    │   ├── ClusterUnreachable      it does not answer, or may not be used
    │   └── WorkersUnfit            none of its workers has what the work needs
    ├── WorkerLost              a worker process died or stopped answering
    ├── TooMuchWork             a piece of work took more of the processor than it may
    ├── Cancelled               somebody cancelled the work
    ├── ServerUnreachable       no Jupyter server answers
    └── InternalError           a bug of ours

One text reaches the user everywhere: as REST problem details (RFC 9457), as a job's `error`,
on the command line and in a notification.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

__all__ = [
    "CacheLost",
    "Cancelled",
    "ClusterError",
    "ClusterUnreachable",
    "DiskFull",
    "DownloadFailed",
    "DuplicateJob",
    "EncoderBusy",
    "EncoderError",
    "EncoderFailed",
    "EncoderUnavailable",
    "ExportError",
    "GpuFailed",
    "IllegalMove",
    "InternalError",
    "JobNotFound",
    "ModelMissing",
    "ModelUnusable",
    "OutOfMemory",
    "OutputError",
    "OutputInUse",
    "PathError",
    "QueueBusy",
    "QueueError",
    "ServerUnreachable",
    "SourceError",
    "SourceMissing",
    "SourceUnreadable",
    "SpecError",
    "StoreDamaged",
    "TooManyRequests",
    "TooMuchWork",
    "UpscaleError",
    "UpscaleUnavailable",
    "WorkerLost",
    "WorkersUnfit",
]


class ExportError(Exception):
    """What went wrong (`detail`) and what to do about it (`advice`), each one sentence.

    `field` is the place in the spec at fault, as a JSON path such as ``sources[0].path``.
    `extra` holds further members for the problem details, such as the id of a job in the way.
    """

    title: ClassVar[str] = "The export failed"
    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    #: Whether doing the same again can succeed without the user changing anything.
    transient: ClassVar[bool] = False

    def __init__(
        self, detail: str, advice: str = "", *, field: str | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.advice = advice
        self.field = field
        self.extra = extra

    @classmethod
    def type(cls) -> str:
        """The error's name in REST, feed and store: ``SourceMissing`` → ``source-missing``."""
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in cls.__name__).lstrip("-")

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}{self.detail}" + (f" {self.advice}" if self.advice else "")

    def to_json(self) -> dict[str, Any]:
        """The error as a job's `error`, and as it travels from worker to server."""
        return {
            "type": self.type(),
            "title": self.title,
            "detail": self.detail,
            "advice": self.advice,
            "field": self.field,
            **({"extra": self.extra} if self.extra else {}),
        }

    def to_problem(self) -> dict[str, Any]:
        """The error as RFC 9457 problem details."""
        problem = self.to_json()
        extra = problem.pop("extra", {})
        return {**problem, "status": int(self.status), **extra}

    @staticmethod
    def from_json(value: dict[str, Any]) -> ExportError:
        """The error that `to_json` or `to_problem` described; an unknown type gives the root."""
        known = {"type", "title", "detail", "advice", "field", "status", "extra"}
        extra = {**value.get("extra", {}), **{k: v for k, v in value.items() if k not in known}}
        cls = _by_type().get(value.get("type", ""), InternalError)
        return cls(
            value.get("detail", ""), value.get("advice", ""), field=value.get("field"), **extra
        )


class SpecError(ExportError):
    """The request is wrong; `field` says where."""

    title = "The request is wrong"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class PathError(SpecError):
    """A path leaves the root, is hidden, or has a suffix that cannot be used."""

    title = "This path cannot be used"


class SourceError(SpecError):
    """A source cannot be used."""

    title = "This source cannot be used"


class SourceMissing(SourceError):
    """There is no such file."""

    title = "The source is missing"


class SourceUnreadable(SourceError):
    """The file is no video, or it is damaged or incomplete."""

    title = "The source cannot be read"


class OutputError(ExportError):
    """The result cannot be written."""

    title = "The output cannot be written"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class DiskFull(OutputError):
    """No space is left where the result, or a segment of it, is written."""

    title = "The disk is full"
    status = HTTPStatus.INSUFFICIENT_STORAGE


class CacheLost(OutputError):
    """Files that the export needs were deleted from the segment cache; they can be made again."""

    title = "The segment cache was emptied"
    transient = True


class EncoderError(ExportError):
    """Encoding failed."""

    title = "Encoding failed"


class EncoderUnavailable(EncoderError):
    """The encoder that the spec names cannot be used on this machine."""

    title = "This encoder cannot be used here"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class EncoderBusy(EncoderError):
    """All sessions of a hardware encoder, or the GPU's memory, are in use; this passes by itself.

    ``extra["encoder"]`` names it. A job that meets this waits; it counts as no failure.
    """

    title = "The hardware encoder is busy"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    transient = True


class EncoderFailed(EncoderError):
    """An encoder stopped in the middle of its work; ``extra["encoder"]`` names it."""

    title = "The encoder failed"
    transient = True


class UpscaleError(ExportError):
    """Upscaling cannot be done."""

    title = "Upscaling failed"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class ModelMissing(UpscaleError):
    """The model that the spec names has not been downloaded."""

    title = "The upscaling model is missing"


class ModelUnusable(UpscaleError):
    """A file of weights is damaged, was changed, or is no model of Real-ESRGAN."""

    title = "This upscaling model cannot be used"


class UpscaleUnavailable(UpscaleError):
    """What upscaling needs is not installed, or the GPU it was planned for is not there."""

    title = "Upscaling is not available here"


class OutOfMemory(UpscaleError):
    """A picture does not fit into the memory of the device, however small it is cut.

    On a GPU the queue tries such a job once more with the device for itself alone.
    """

    title = "Not enough memory for upscaling"


class GpuFailed(UpscaleError):
    """The GPU was lost, or its driver failed, while it upscaled.

    The export goes on on the processor, and says so; who upscales on the processor never gets it.
    """

    title = "The GPU failed while upscaling"


class DownloadFailed(UpscaleError):
    """A model could not be downloaded, or what came is not that model."""

    title = "The download failed"
    status = HTTPStatus.BAD_GATEWAY


class QueueError(ExportError):
    """The queue refuses."""

    title = "The queue refuses this"
    status = HTTPStatus.CONFLICT


class JobNotFound(QueueError):
    """There is no job with this id."""

    title = "There is no such job"
    status = HTTPStatus.NOT_FOUND


class IllegalMove(QueueError):
    """The job's state does not allow what was asked."""

    title = "The job's state does not allow this"


class OutputInUse(QueueError):
    """Another live job writes the same output; ``extra["job"]`` is its id."""

    title = "Another export is writing this output"


class DuplicateJob(QueueError):
    """The project already has a live job of this kind; ``extra["job"]`` is its id."""

    title = "This project already has such an export in progress"


class QueueBusy(QueueError):
    """The queue cannot take this now."""

    title = "The queue is not ready"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    transient = True


class StoreDamaged(QueueError):
    """The job database is damaged; the next start of a server keeps it aside."""

    title = "The job database is damaged"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class TooManyRequests(QueueError):
    """More was asked for than the server's limits allow; ``extra["retry_after"]``: in so many
    seconds there is room again."""

    title = "Too many requests"
    status = HTTPStatus.TOO_MANY_REQUESTS
    transient = True


class ClusterError(ExportError):
    """The Dask cluster cannot take work; this machine can do it instead."""

    title = "The Dask cluster cannot be used"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    transient = True


class ClusterUnreachable(ClusterError):
    """Its scheduler does not answer, or its address may not be used."""

    title = "The Dask cluster does not answer"


class WorkersUnfit(ClusterError):
    """No worker of the cluster has what the work needs, such as the same libraries or the files."""

    title = "The workers of the Dask cluster do not fit"


class WorkerLost(ExportError):
    """A worker process died or stopped answering."""

    title = "A worker process was lost"
    transient = True


class TooMuchWork(ExportError):
    """A piece of work took more of the processor than it may; again, it would do the same."""

    title = "The work took too long"


class Cancelled(ExportError):
    """Somebody cancelled the work."""

    title = "Cancelled"
    status = HTTPStatus.CONFLICT


class ServerUnreachable(ExportError):
    """No Jupyter server with this extension answers."""

    title = "No Jupyter server answers"
    status = HTTPStatus.BAD_GATEWAY


class InternalError(ExportError):
    """A bug of ours: something that no user can cause on purpose."""

    title = "Something went wrong inside jupyter_export"


def _by_type() -> dict[str, type[ExportError]]:
    found: dict[str, type[ExportError]] = {}
    pending: list[type[ExportError]] = [ExportError]
    while pending:
        cls = pending.pop()
        found[cls.type()] = cls
        pending.extend(cls.__subclasses__())
    return found
