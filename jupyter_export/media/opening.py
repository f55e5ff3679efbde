"""Open an encoder, and tell whose fault it is when it does not open."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import av
import av.logging
from av.video.codeccontext import VideoCodecContext

from ..errors import EncoderBusy, EncoderFailed, ExportError, InternalError
from ..hardware.encoders import encoder as row
from ..hardware.reasons import Trouble, judge
from .recipe import EncoderRecipe

__all__ = ["failed", "open_encoder"]

log = logging.getLogger(__name__)


def open_encoder(context: VideoCodecContext, encoder: EncoderRecipe) -> None:
    """Open `context`, which has been set up for `encoder`.

    Raises:
        EncoderBusy: all sessions of the device, or its memory, are in use.
        EncoderFailed: the device or its driver failed, or cannot do this.
        InternalError: the encoder refuses what we ask of it; the log has all of it.
    """
    lines: list[tuple[int, str]] = []
    try:
        with _listening(lines) if encoder.hardware else contextlib.nullcontext():
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
    lines: list[tuple[int, str]],
) -> ExportError:
    name = encoder.name
    invalid = isinstance(error, (av.ArgumentError, ValueError))
    said = "; ".join(text for level, text in lines if level <= av.logging.ERROR)
    heard = [*(text for _, text in lines), str(error)]
    trouble, reason = judge(row(name).family, heard, invalid=invalid)
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
def _listening(lines: list[tuple[int, str]]) -> Iterator[None]:
    """Collect what FFmpeg says in this thread: only its words tell why a device refuses.

    Not for longer than an opening: with PyAV's callback each line takes the interpreter's lock,
    and a decoder's thread that waits for it may be waited for.
    """
    before = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    try:
        with av.logging.Capture(local=True) as said:
            try:
                yield
            finally:
                lines += [(level, " ".join(text.split())) for level, _, text in said]
    finally:
        if before is None:
            av.logging.restore_default_callback()
            av.logging.set_libav_level(av.logging.WARNING)  # as in every worker
        else:
            av.logging.set_level(before)
