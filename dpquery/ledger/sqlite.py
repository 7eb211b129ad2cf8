"""The ledger's file in SQLite: durable profile, one connection per process, immediate transactions.

WAL has a race before SQLite 3.51.3 that can corrupt a database, so that older ones use the rollback journal.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool

from dpquery.errors import LedgerError
from dpquery.ledger.private_file import create_private, refuse_shared, sync_folder
from dpquery.ledger.schema import SQLITE_TRIGGERS, metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import ExceptionContext

BUSY_SECONDS = 30
"""How long to wait for another writer."""

WAL_SAFE_FROM = (3, 51, 3)
STRICT_FROM = (3, 37, 0)

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FINAL = frozenset({*_BROKEN, sqlite3.SQLITE_IOERR})
"""After these nothing that this process has read or written may be relied on (a failed fsync is not retried)."""


def sqlite_version() -> tuple[int, int, int]:
    major, minor, patch = sqlite3.sqlite_version_info[:3]
    return major, minor, patch


def journal_of(version: tuple[int, int, int]) -> tuple[str, int]:
    """Journal mode and number of `PRAGMA synchronous` (2 FULL, 3 EXTRA) with which a commit is durable."""
    return ("wal", 2) if version >= WAL_SAFE_FROM else ("delete", 3)


class SQLiteFile:
    """One ledger file as this process sees it. Safe to share between threads, and after a fork."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._stopped: str | None = None
        _watch_forks()
        _IN_USE.add(self)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state. LedgerError DPQ-801 if the file cannot be read within 30 s."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction with the only right to write, durable once the block ends without an error.

        LedgerError DPQ-801 if that right cannot be had within 30 s; then nothing was written.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            # Another process, with another SQLite, may have switched the file to the other journal since we looked.
            _expect(connection.exec_driver_sql("PRAGMA journal_mode").scalar(), "journal_mode", self._journal()[0])
            yield connection

    def close(self) -> None:
        """Let go of the file; it opens again when next used."""
        with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.dispose()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise _locked(self._path)
        try:
            if self._stopped is not None:
                raise LedgerError("DPQ-801", self._stopped, fix="start dpquery again, then: dpquery ledger verify DIR")
            with (
                self._translated(),
                self._connect() as connection,
                connection.execution_options(dpquery_begin=begin).begin(),
            ):
                yield connection
        finally:
            self._lock.release()

    def _connect(self) -> Connection:
        if self._engine is None:
            self._engine = _engine(self._open)
        return self._engine.connect()

    def _open(self) -> sqlite3.Connection:
        # `mode=rw`: a missing file is an error, never a new, empty ledger.
        uri = f"file:{quote(str(self._path.absolute()))}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            _set_profile(connection, *self._journal())
        except BaseException:
            connection.close()
            raise
        return connection

    def _journal(self) -> tuple[str, int]:
        return journal_of(sqlite_version())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._ledger_error(error.orig, is_integrity=isinstance(error, IntegrityError)) from error
        except sqlite3.Error as error:
            raise self._ledger_error(error, is_integrity=isinstance(error, sqlite3.IntegrityError)) from error

    def _ledger_error(self, error: BaseException | None, *, is_integrity: bool) -> LedgerError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FINAL:
            self._stopped = f"the ledger {self._path} failed earlier in this process ({error})"
        if code in _BUSY:
            return _locked(self._path)
        if is_integrity or code in _BROKEN:
            return LedgerError(
                "DPQ-802", f"the ledger {self._path} does not hold together: {error}", fix="dpquery ledger verify DIR"
            )
        return LedgerError("DPQ-801", f"the ledger {self._path} cannot be used: {error}", fix="check disk and DIR")

    def before_fork(self) -> None:
        """No transaction may be under way while the process is copied."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """A connection made by the parent is neither used nor closed here."""
        if self._engine is not None:
            _LEFT_TO_PARENT.append((self._engine, self._engine.pool))
        self._engine = None
        self._lock = threading.RLock()


def create_file(path: Path, fill: Callable[[Connection], None]) -> None:
    """A ledger file at `path`, whole or not there, with its tables and what `fill` writes in the same transaction.

    LedgerError DPQ-806 if something is there already, DPQ-803 if its folder is open to others.
    """
    refuse_shared(path.parent, "the folder")
    if path.exists():
        raise _taken(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.unlink(missing_ok=True)
        create_private(draft)
        file = SQLiteFile(draft)
        try:
            with file.writing() as connection:
                metadata.create_all(connection, checkfirst=False)
                for trigger in SQLITE_TRIGGERS:
                    connection.exec_driver_sql(trigger)
                fill(connection)
        finally:
            file.close()
        os.link(draft, path)  # unlike a rename, never replaces
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise LedgerError("DPQ-801", f"{path} cannot be written: {error.strerror}", fix="check its folder") from error
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def check_file(path: Path) -> None:
    """LedgerError DPQ-801 if there is no file at `path`, DPQ-803 if it or its folder is open to others."""
    refuse_shared(path.parent, "the folder")
    refuse_shared(path, "the ledger")
    for suffix in ("-journal", "-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            refuse_shared_if_there(beside)


def refuse_shared_if_there(path: Path) -> None:
    """As refuse_shared, for a file that another process may remove meanwhile."""
    try:
        refuse_shared(path, "the ledger's journal")
    except LedgerError as error:
        if error.code != "DPQ-801":
            raise


def _engine(opened: Callable[[], sqlite3.Connection]) -> Engine:
    """An engine over one connection; parameters never reach an error message."""
    engine = create_engine(
        "sqlite+pysqlite://", creator=opened, poolclass=QueuePool, pool_size=1, max_overflow=0, hide_parameters=True
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("dpquery_begin", "BEGIN"))

    @event.listens_for(engine, "handle_error")
    def _roll_back(context: ExceptionContext) -> None:
        # On Ctrl-C, SQLAlchemy would drop the connection with its cursor open, and SQLite would keep the lock for as
        # long as anybody holds the traceback, as notebooks do. A file is never disconnected: it is rolled back instead.
        context.is_disconnect = False

    return engine


def _set_profile(connection: sqlite3.Connection, journal: str, synchronous: int) -> None:
    """Put the durable profile in force, and read each setting back."""
    if sqlite_version() < STRICT_FROM:
        raise LedgerError("DPQ-805", f"SQLite {sqlite3.sqlite_version} has no STRICT tables", fix="use a newer Python")
    _expect(_pragma(connection, f"journal_mode = {journal}"), "journal_mode", journal)
    settings = {
        "synchronous": synchronous,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "recursive_triggers": 1,  # so that REPLACE runs into the triggers on DELETE
        "mmap_size": 0,
        "fullfsync": 1,  # where fsync alone does not reach the disk (macOS)
        "checkpoint_fullfsync": 1,
    }
    for name, value in settings.items():
        _pragma(connection, f"{name} = {value}")
        found = _pragma(connection, name)
        if name == "mmap_size" and found is None:  # built without mmap
            continue
        _expect(found, name, value)
    _expect(_pragma(connection, "busy_timeout"), "busy_timeout", BUSY_SECONDS * 1000)


def _pragma(connection: sqlite3.Connection, text: str) -> Any:
    row = connection.execute(f"PRAGMA {text}").fetchone()
    return None if row is None else row[0]


def _expect(found: Any, name: str, wanted: str | int) -> None:
    if found != wanted:
        raise LedgerError(
            "DPQ-805",
            f"SQLite {sqlite3.sqlite_version} does not keep the ledger durable here: {name} is {found}, not {wanted}",
            fix="stop programs that have the ledger open with another SQLite, and keep it on a local disk",
        )


def _locked(path: Path) -> LedgerError:
    return LedgerError(
        "DPQ-801", f"the ledger {path} stayed locked for {BUSY_SECONDS} s", fix="try again when other queries are done"
    )


def _taken(path: Path) -> LedgerError:
    return LedgerError("DPQ-806", f"there is a ledger at {path} already", fix="use another folder")


_IN_USE: weakref.WeakSet[SQLiteFile] = weakref.WeakSet()
_LEFT_TO_PARENT: list[object] = []
_FORKING: list[SQLiteFile] = []
_watched = threading.Event()


def _watch_forks() -> None:
    """Once per process, and only where a ledger is used."""
    if not _watched.is_set():
        _watched.set()
        os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)


def _before() -> None:
    _FORKING[:] = sorted(_IN_USE, key=id)
    for file in _FORKING:
        file.before_fork()


def _in_parent() -> None:
    while _FORKING:
        _FORKING.pop().after_fork_in_parent()


def _in_child() -> None:
    while _FORKING:
        _FORKING.pop().after_fork_in_child()
