"""The server extension: it owns the queue, the workers and the encoders of one Jupyter server."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Unicode

from ._version import __version__
from .errors import ExportError, InternalError, QueueBusy
from .events import Announcer, register
from .hardware.choice import Encoders
from .health import Finding, Level, examine, is_ready
from .log_lines import write_json
from .metrics import Tally, show_leases, show_workers
from .queue.service import Exports, log_folder
from .server.activity import Activity
from .server.gate import Gate
from .server.hub import Hub
from .server.routes import handlers
from .settings import Settings
from .workers.pool import Grounds, LocalPool

if TYPE_CHECKING:
    from .cluster.executor import DaskExecutor

__all__ = ["ExportApp"]

log = logging.getLogger(__name__)

#: Seconds until a store that another process kept locked is tried again.
BUSY_SECONDS = 2.0
#: Seconds until the live exports are counted anew.
COUNT_SECONDS = 30.0
#: Seconds between two looks at the workers' memory and at the leases.
MEASURE_SECONDS = 5.0
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
        self.cluster: DaskExecutor | None = None
        self._started: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        """Exports have started, or have met a reason why they cannot, or not yet."""
        self._background: set[asyncio.Task[None]] = set()
        self._tally = Tally(self._leads)
        self._activity = Activity(self.name, self, self._leads)
        self._log_handler: logging.Handler | None = None
        self._hub = Hub()
        self.gate = Gate(self)

    def initialize_settings(self) -> None:
        """Build the queue and its workers; nothing runs yet."""
        assert self.serverapp is not None
        # As Jupyter does with Tornado's: our lines go where the server's go, at its level.
        logging.getLogger(__package__).parent = self.serverapp.log
        if self.log_format == "json":
            self._log_handler = write_json(str(__package__), self.serverapp.log.level)
        assert self.serverapp.event_logger is not None
        register(self.serverapp.event_logger)
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
        grounds = Grounds(sources=root, outputs=root, logs=log_folder(self.data_path, root))
        self.pool = LocalPool(self, POOL_SIZE, grounds=grounds)
        if self.dask_scheduler or self.dask_cluster:
            # Dask is not even looked for where no cluster is set.
            from .cluster.executor import DaskExecutor

            self.cluster = DaskExecutor(self, self.pool)
        self.exports = Exports(self, root, self.cluster or self.pool, self.encoders)

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
            await self._tried.wait()
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
        """How many exports keep this server from being shut down as idle."""
        assert self.serverapp is not None
        return self._activity.now(self.serverapp.web_app)

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
        findings: list[Finding] = []
        try:
            exports = await self.ready()
            findings = await examine(self)
            health |= {"status": "ok", "root": str(exports.root)}
            if self.cluster is not None:
                health["cluster"] = self.cluster.to_json()
            if not any(one.name == "database" and one.level is Level.FAILED for one in findings):
                health |= await exports.health()
        except ExportError as error:
            health |= {"status": "refused", "problem": error.to_problem()}
        health["ready"] = health["status"] == "ok" and is_ready(findings)
        return {**health, "checks": [finding.to_json() for finding in findings]}

    async def stop_extension(self) -> None:
        """Stop the queue and its workers; unfinished jobs go on after the next start."""
        for task in [*self._background, *([self._started] if self._started else [])]:
            task.cancel()
        self._started = None
        limit = self.stop_grace_seconds + STOP_MARGIN_SECONDS
        await _within(limit, "the feed", self._hub.close())
        if self.exports is not None and self.pool is not None:
            executor = self.cluster or self.pool
            executor.leave()
            await _within(2 * limit, "the queue", self.exports.stop())
            await _within(limit, "the workers", executor.close())
        await _within(limit, "the trial encodes", self.encoders.close())
        if self._log_handler is not None:
            logging.getLogger(__package__).removeHandler(self._log_handler)

    async def _start(self, exports: Exports, pool: LocalPool) -> None:
        assert self.serverapp is not None and self.serverapp.event_logger is not None
        events = Announcer(
            self.serverapp.event_logger, lambda: exports.epoch, lambda: exports.leading
        )
        exports.listeners += [self._tally.hear, self._activity.hear, events.hear]
        try:
            if self.cluster is not None:
                self.cluster.start()
            while not await self._open(exports):
                self._tried.set()
                await asyncio.sleep(BUSY_SECONDS)
            await self._hub.start(exports)
            self.refusal = None
        except ExportError as error:
            self.refusal = error
            log.error("no exports: %s", error)
            return
        except Exception:
            self.refusal = InternalError("Exports could not start.", "The server's log says why.")
            log.exception("no exports: the queue could not start")
            return
        finally:
            self._tried.set()
        self._spawn(self._warm_up(pool))
        self._spawn(self._count(exports))
        self._spawn(self._activity.keep_alive(self.serverapp.web_app))
        self._spawn(self._measure(exports, pool))

    async def _open(self, exports: Exports) -> bool:
        """Start the queue; False while another process keeps its store locked."""
        try:
            await exports.start()
        except QueueBusy as error:
            self.refusal = error
            log.warning("no exports yet: %s", error)
            return False
        return True

    async def _warm_up(self, pool: LocalPool) -> None:
        """Start workers and try the encoders now, so that the first export need not wait."""
        try:
            await pool.start()
            await self.encoders.report()
        except (ExportError, OSError) as error:
            log.warning("the first export will start slowly: %s", error)

    async def _count(self, exports: Exports) -> None:
        """Count anew now and then, so that no lost message makes a server busy for ever."""
        while True:
            try:
                live, queue = await exports.active(), await exports.queue_state()
                self._tally.correct(live)
                self._activity.correct(live, queue["state"])
            except ExportError as error:
                log.warning("whether exports run is not known now: %s", error)
            await asyncio.sleep(COUNT_SECONDS)

    async def _measure(self, exports: Exports, pool: LocalPool) -> None:
        """Keep the metrics up to date that no event changes."""
        while True:
            show_workers(await asyncio.to_thread(pool.memory))
            show_leases(await asyncio.to_thread(exports.reservations.standing))
            await asyncio.sleep(MEASURE_SECONDS)

    def _leads(self) -> bool:
        return self.exports is not None and self.exports.leading

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
