"""Opening the job database: journal mode, schema, migrations, and what its errors mean."""

from __future__ import annotations

import contextlib
import functools
import logging
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiosql

from ..errors import DiskFull, ExportError, OutputError, QueueBusy, QueueError, StoreDamaged
from .damage import is_suspect, suspect, trust
from .disk import is_network

__all__ = ["MIGRATIONS", "meaning", "open_database", "queries", "scalar", "transaction"]

log = logging.getLogger(__name__)

#: The queries (of ``sql/``) that lead from each version of the schema to the next one. A new
#: database takes all of them. Never change an entry that was released: append one.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "create_meta",
        "create_job",
        "create_one_writer",
        "create_live_index",
        "create_project_index",
        "create_finished_index",
        "create_event",
    ),
    ("add_need", "create_vram_peak", "create_vram_peak_index"),
    (
        "create_state_index",
        "drop_live_index",
        "create_project_state_index",
        "drop_project_index",
    ),
    ("create_speed", "create_speed_index"),
)

BUSY_SECONDS = 5.0
#: Checking a larger file would delay the server's start.
CHECKED_BYTES = 64 * 2**20


@functools.cache
def queries() -> Any:
    """The queries of ``sql/``, each a function of a connection and its parameters."""
    return aiosql.from_path(Path(__file__).with_name("sql"), "sqlite3")


def open_database(path: Path) -> sqlite3.Connection:
    """A connection to the database at `path`, which is made or migrated as needed.

    Raises:
        StoreDamaged: it is damaged.
        QueueError: it was written by a newer version.
        QueueBusy: another process has kept it locked for too long.
        OutputError: its folder or file cannot be written (`DiskFull` when there is no space).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OutputError(
            f"The folder {path.parent} cannot be made: {error.strerror}.",
            "Set JUPYTER_EXPORT_DATA_DIR to a folder that can be written.",
        ) from None
    with meaning(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            _set_journal(connection, path)
            _migrate(connection, path)
            _check(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def scalar(row: sqlite3.Row | None) -> Any:
    """The first column of a row; None if there is no row."""
    return None if row is None else row[0]


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything inside happens at once or not at all, and alone."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        # A full disk has rolled back already.
        if connection.in_transaction:
            connection.execute("rollback")
        raise


@contextlib.contextmanager
def meaning(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the database at `path` into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from error


def _explain(error: sqlite3.Error, path: Path) -> ExportError:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return QueueBusy(
            f"Another process keeps the job database {path} locked.", "Try again in a moment."
        )
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        suspect(path)
        return _damaged(path, str(error))
    if primary == sqlite3.SQLITE_FULL:
        return DiskFull(
            f"There is no space left for the job database {path}.", "Free some space, then retry."
        )
    if primary in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR}:
        return OutputError(
            f"The job database {path} cannot be used: {error}.",
            "Check the permissions and the disk, or set JUPYTER_EXPORT_DATA_DIR to another folder.",
        )
    return QueueError(
        f"The job database {path} refused an operation: {error}.", "The server's log has details."
    )


def _damaged(path: Path, why: str) -> StoreDamaged:
    return StoreDamaged(
        f"The job database {path} is damaged: {why}.",
        "Restart the server: it keeps the file aside and begins with an empty queue. Or restore "
        "it from a backup first.",
    )


def _set_journal(connection: sqlite3.Connection, path: Path) -> None:
    network = is_network(path.parent)
    wanted = "delete" if network else "wal"
    (mode,) = connection.execute(f"pragma journal_mode = {wanted}").fetchone()
    if mode != wanted:
        # Such as a filesystem without shared memory; a journal file works everywhere.
        (mode,) = connection.execute("pragma journal_mode = delete").fetchone()
    connection.execute("pragma synchronous = full")
    if mode not in {"wal", "delete"}:
        raise QueueError(
            f"The job database {path} cannot keep its changes safely (journal mode {mode}).",
            "Set JUPYTER_EXPORT_DATA_DIR to a folder on a local disk.",
        )
    log.info("database=%s journal=%s network=%s", path, mode, "yes" if network else "no")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    sql = queries()
    with transaction(connection):
        version = 0
        if scalar(sql.has_meta(connection)):
            text = scalar(sql.get_meta(connection, key="schema"))
            if text is None or not text.isdigit():
                raise _damaged(path, "it does not tell the version of its schema")
            version = int(text)
        if version > len(MIGRATIONS):
            raise QueueError(
                f"The job database {path} was written by a newer version of jupyter_export "
                f"(schema {version}; this version knows {len(MIGRATIONS)}).",
                "Upgrade jupyter_export, or set JUPYTER_EXPORT_DATA_DIR to another folder.",
            )
        if version == len(MIGRATIONS):
            return
        for steps in MIGRATIONS[version:]:
            for step in steps:
                getattr(sql, step)(connection)
        sql.set_meta(connection, key="schema", value=str(len(MIGRATIONS)))
        if version == 0:
            sql.set_meta(connection, key="epoch", value=uuid.uuid4().hex)
            sql.set_meta(connection, key="queue", value="running")
    log.info("database=%s schema=%d was=%d", path, len(MIGRATIONS), version)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    doubtful = is_suspect(path)
    if path.stat().st_size > CHECKED_BYTES and not doubtful:
        return
    (verdict,) = connection.execute("pragma quick_check(1)").fetchone()
    if verdict != "ok":
        raise _damaged(path, verdict)
    if doubtful:
        trust(path)
