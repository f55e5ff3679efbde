"""Open an encoder, and tell whose fault it is when it does not open."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator

import av
from av.video.codeccontext import VideoCodecContext

from ..errors import EncoderBusy, EncoderFailed, ExportError, InternalError
from ..hardware.encoders import encoder as row
from ..hardware.real_time import not_in_real_time
from ..hardware.reasons import Trouble, judge
from .recipe import EncoderRecipe

__all__ = ["failed", "open_encoder"]

log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"^\[\S+ @ 0x[0-9a-f]+\] ", re.MULTILINE)


def open_encoder(context: VideoCodecContext, encoder: EncoderRecipe) -> None:
    """Open `context`, which has been set up for `encoder`.

    Raises:
        EncoderBusy: all sessions of the device, or its memory, are in use.
        EncoderFailed: the device or its driver failed, or cannot do this.
        InternalError: the encoder refuses what we ask of it; the log has all of it.
    """
    lines: list[str] = []
    try:
        with (
            _listening(lines) if encoder.hardware else contextlib.nullcontext(),
            not_in_real_time(),
        ):
            context.open()
    except (av.FFmpegError, ValueError) as error:
        raise _told(context, encoder, error, lines) from error


def failed(name: str, error: Exception) -> EncoderFailed:
    """What to raise when an open encoder stopped in the middle of its work."""
    text = getattr(error, "strerror", None) or str(error)
    said = getattr(error, "log", None)
    reason = f"{text} ({said[2].strip()})" if said else text
    return EncoderFailed(
        f"{name} failed: {reason}.", "Retry, or choose another encoder.", encoder=name
    )


def _told(
    context: VideoCodecContext,
    encoder: EncoderRecipe,
    error: Exception,
    lines: list[str],
) -> ExportError:
    name = encoder.name
    invalid = isinstance(error, (av.ArgumentError, ValueError))
    said = "; ".join(lines)
    trouble, reason = judge(row(name).family, [*lines, str(error)], invalid=invalid)
    # Every figure that went in: whoever reads the job's log needs no second try.
    log.error(
        "encoder=%s action=open trouble=%s error=%s options=%s size=%dx%d format=%s base=%s "
        "gop=%d threads=%s log=%r",
        name,
        trouble,
        error,
        encoder.options,
        context.width,
        context.height,
        context.pix_fmt,
        context.time_base,
        encoder.gop,
        encoder.threads,
        said,
    )
    match trouble:
        case Trouble.BUSY:
            return EncoderBusy(
                f"{name} cannot open another session: {reason}.",
                "It is tried again by itself; to not wait for it, choose a software encoder.",
                encoder=name,
            )
        case Trouble.DEVICE:
            return EncoderFailed(
                f"{name} failed: {reason}.", "Retry, or choose another encoder.", encoder=name
            )
        case Trouble.REQUEST:
            return InternalError(
                f"{name} refused the settings that we gave it: {said or error}.",
                "The job's log has all of them; please report it. Until it is mended, another "
                "encoder may do.",
                encoder=name,
            )


@contextlib.contextmanager
def _listening(lines: list[str]) -> Iterator[None]:
    """Collect what FFmpeg and the driver write meanwhile: only their words tell why one refuses.

    They go to descriptor 2, where a worker leads them, and from here on to where it led before.
    PyAV's own way of hearing them would take the interpreter's lock in a decoder's thread, for
    which whoever holds that lock may be waiting.
    """
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            said = file.read()
            with contextlib.suppress(OSError):
                os.write(2, said)
            text = _ADDRESS.sub("", said.decode(errors="replace"))
            lines += [line.strip() for line in text.splitlines() if line.strip()]
