"""The ledger in SQLite, for one host: durable profile, immediate transactions.

WAL has a race before SQLite 3.51.3 that can corrupt a database, so that older ones use the rollback journal.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.pool import QueuePool

from dpquery.errors import LedgerError
from dpquery.ledger.database import BUSY_SECONDS, Database
from dpquery.ledger.migrations import migrate
from dpquery.ledger.private_file import create_private, refuse_shared, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import ExceptionContext

    from dpquery.ledger.database import Failure

WAL_SAFE_FROM = (3, 51, 3)
STRICT_FROM = (3, 37, 0)

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def sqlite_version() -> tuple[int, int, int]:
    major, minor, patch = sqlite3.sqlite_version_info[:3]
    return major, minor, patch


def journal_of(version: tuple[int, int, int]) -> tuple[str, int]:
    """Journal mode and number of `PRAGMA synchronous` (2 FULL, 3 EXTRA) with which a commit is durable."""
    return ("wal", 2) if version >= WAL_SAFE_FROM else ("delete", 3)


@dataclass(frozen=True, slots=True)
class SQLiteFile:
    """A ledger in one file."""

    path: Path

    @property
    def place(self) -> str:
        return str(self.path)

    @property
    def driver_errors(self) -> tuple[type[Exception], ...]:
        return (sqlite3.Error, UnicodeDecodeError)

    def engine(self) -> Engine:
        return _engine(self._open)

    def begin_reading(self, connection: Connection) -> Connection:
        return connection.execution_options(dpquery_begin="BEGIN")

    def begin_writing(self, connection: Connection) -> Connection:
        return connection.execution_options(dpquery_begin="BEGIN IMMEDIATE")

    def own_writing(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE has the right already; LedgerError DPQ-805 if the file's journal is not the durable one."""
        # Another process, with another SQLite, may have switched the file to the other journal since we looked.
        _expect(connection.exec_driver_sql("PRAGMA journal_mode").scalar(), "journal_mode", _journal()[0])

    def failure(self, error: BaseException) -> Failure:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            return "busy"
        if isinstance(error, sqlite3.IntegrityError):
            return "broken"
        if code in _CORRUPT or isinstance(error, UnicodeDecodeError):  # a message that quotes damaged names
            return "corrupt"
        return "lost" if code == sqlite3.SQLITE_IOERR else "unusable"

    def identity(self) -> tuple[int, int]:
        """Device and inode of the file that has the name by now."""
        try:
            found = self.path.stat()
        except OSError as error:
            why = f"the ledger {self.path} cannot be reached: {error.strerror}"
            raise LedgerError("DPQ-801", why, fix="check DIR") from error
        return found.st_dev, found.st_ino

    def _open(self) -> sqlite3.Connection:
        # `mode=rw`: a missing file is an error, never a new, empty ledger.
        uri = f"file:{quote(str(self.path.absolute()))}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            _set_profile(connection, *_journal())
        except BaseException:
            connection.close()
            raise
        return connection


def _journal() -> tuple[str, int]:
    return journal_of(sqlite_version())


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
        database = Database(SQLiteFile(draft))
        try:
            with database.writing() as connection:
                migrate(connection)
                fill(connection)
        finally:
            database.close()
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


def _taken(path: Path) -> LedgerError:
    return LedgerError("DPQ-806", f"there is a ledger at {path} already", fix="use another folder")
