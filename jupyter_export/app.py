"""The server extension: it owns the queue, the workers and the encoders of one Jupyter server."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Unicode

from ._version import __version__
from .errors import ExportError, InternalError, QueueBusy
from .hardware.choice import Encoders
from .metrics import Tally
from .queue.service import Exports
from .server.hub import Hub
from .server.routes import handlers
from .settings import Settings
from .workers.pool import LocalPool

__all__ = ["ExportApp"]

log = logging.getLogger(__name__)

#: Seconds until the number of running exports is counted anew.
ACTIVITY_SECONDS = 30.0
#: More tasks than this never run at once, whatever the queue's limits.
POOL_SIZE = 256
#: Seconds that stopping may take beyond what the settings give the workers.
STOP_MARGIN_SECONDS = 5.0


class ExportApp(Settings, ExtensionApp):
    """Video exports: durable, resumable, hardware-encoded where it truly works."""

    name = "jupyter_export"
    description = __doc__
    version = __version__

    config_file_name = Unicode("jupyter_export_config")

    handlers = handlers()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # The environment was read last; what was configured wins over it.
        self._load_config(self.config)
        self.refusal: ExportError | None = None
        """Why this server cannot export at all."""
        self.exports: Exports | None = None
        self.pool: LocalPool | None = None
        self._started: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._tally = Tally()
        self._hub = Hub()

    def initialize_settings(self) -> None:
        """Build the queue and its workers; nothing runs yet."""
        assert self.serverapp is not None
        # As Jupyter does with Tornado's: our lines go where the server's go, at its level.
        logging.getLogger(__package__).parent = self.serverapp.log
        self.encoders = Encoders(self)
        root = _root_folder(self.serverapp.contents_manager)
        if root is None:
            self.refusal = QueueBusy(
                "The contents manager of this server keeps its files in no folder of this "
                "machine, so exports can neither read nor write them.",
                "Use Jupyter's own file contents manager.",
            )
            log.warning("no exports: %s", self.refusal)
            return
        # The queue limits what runs; the pool has a place for all that it can let run.
        self.pool = LocalPool(self, POOL_SIZE)
        self.exports = Exports(self, root, self.pool, self.encoders)

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        _stop_on_sigint(serverapp)
        if self.exports is None or self.pool is None:
            return
        self._started = asyncio.create_task(self._start(self.exports, self.pool))

    async def ready(self) -> Exports:
        """The queue, once it has started.

        Raises:
            QueueBusy: it cannot work on this server.
        """
        if self._started is not None:
            await asyncio.shield(self._started)
        if self.refusal is not None:
            raise QueueBusy(self.refusal.detail, self.refusal.advice)
        if self._started is None or self.exports is None:
            raise QueueBusy("Exports have not started yet.", "Try again in a moment.")
        return self.exports

    async def feed(self) -> Hub:
        """The feed, once the queue has started.

        Raises:
            QueueBusy: it cannot work on this server.
        """
        await self.ready()
        return self._hub

    def current_activity(self) -> int:
        """How many exports run: a server with any is not shut down as idle."""
        return self._tally.running

    def change_limits(self, limits: dict[str, Any]) -> None:
        """Set these settings until the server ends."""
        for name, value in limits.items():
            log.info("action=change-limit %s=%r was=%r", name, value, getattr(self, name))
            setattr(self, name, value)
        if self.exports is not None:
            self.exports.limits_changed()

    async def health(self) -> dict[str, Any]:
        """Whether exports work here: the queue's own health, or the reason why it has none."""
        health: dict[str, Any] = {"version": __version__, "root": None, "problem": None}
        try:
            exports = await self.ready()
            return {**health, "status": "ok", "root": str(exports.root), **await exports.health()}
        except ExportError as error:
            return {**health, "status": "refused", "problem": error.to_problem()}

    async def stop_extension(self) -> None:
        """Stop the queue and its workers; unfinished jobs go on after the next start."""
        for task in [*self._background, *([self._started] if self._started else [])]:
            task.cancel()
        self._started = None
        limit = self.stop_grace_seconds + STOP_MARGIN_SECONDS
        await _within(limit, "the feed", self._hub.close())
        if self.exports is not None and self.pool is not None:
            await _within(2 * limit, "the queue", self.exports.stop())
            await _within(limit, "the workers", self.pool.close())
        await _within(limit, "the trial encodes", self.encoders.close())

    async def _start(self, exports: Exports, pool: LocalPool) -> None:
        try:
            exports.listeners += [self._tally.hear, self._note_activity]
            await exports.start()
            await self._hub.start(exports)
        except ExportError as error:
            self.refusal = error
            log.error("no exports: %s", error)
            return
        except Exception:
            self.refusal = InternalError("Exports could not start.", "The server's log says why.")
            log.exception("no exports: the queue could not start")
            return
        self._spawn(self._warm_up(pool))
        self._spawn(self._keep_tally(exports))

    async def _warm_up(self, pool: LocalPool) -> None:
        """Start workers and try the encoders now, so that the first export need not wait."""
        try:
            await pool.start()
            await self.encoders.report()
        except (ExportError, OSError) as error:
            log.warning("the first export will start slowly: %s", error)

    def _note_activity(self, message: dict[str, Any] | None = None) -> None:
        """Keep the server, and the hub's culler, from taking a rendering server for idle."""
        assert self.serverapp is not None
        if self._tally.running:
            times = self.serverapp.web_app.settings["last_activity_times"]
            times[self.name] = datetime.now(UTC)

    async def _keep_tally(self, exports: Exports) -> None:
        """Count anew now and then, so that no lost message makes a server busy for ever."""
        while True:
            try:
                self._tally.correct(await exports.active())
            except ExportError as error:
                log.warning("whether exports run is not known now: %s", error)
            self._note_activity()
            await asyncio.sleep(ACTIVITY_SECONDS)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _within(seconds: float, what: str, work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, but neither longer than `seconds` nor with a failure: the rest must stop, too."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        log.error("stopping %s took longer than %g s; left as it is", what, seconds)
    except Exception:
        log.exception("stopping %s failed", what)


def _root_folder(contents_manager: Any) -> Path | None:
    """The folder that the file browser shows; None when it shows something else than a folder.

    Every contents manager has a `root_dir`, but only those that keep files translate paths.
    """
    if not callable(getattr(contents_manager, "_get_os_path", None)):
        return None
    root = Path(contents_manager.root_dir)
    return root if root.is_dir() else None


def _stop_on_sigint(serverapp: Any) -> None:
    """Make SIGINT stop the server in order where Jupyter leaves it to Python's own handler.

    JupyterHub stops a server with SIGINT, but Jupyter handles it only on a terminal: without
    this, `stop_extension` would never run there.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if sys.stdin is not None and sys.stdin.isatty():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, serverapp._signal_stop)
