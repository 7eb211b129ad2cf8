"""The ledger's database as one process sees it: one connection, transactions that read or write, safe after a fork."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol, assert_never

from sqlalchemy.exc import DBAPIError

from dpquery.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

BUSY_SECONDS = 30
"""How long to wait for another writer."""

Failure = Literal["busy", "broken", "corrupt", "unusable", "lost"]
"""Another writer did not finish; the ledger does not hold together; its file is damaged; it cannot be used; the disk
failed. After damage or a failing disk nothing that this process has read or written may be relied on: a failed fsync is
not retried (Rebello et al., USENIX ATC 2020)."""


class Backend(Protocol):
    """What SQLite and PostgreSQL do differently."""

    @property
    def place(self) -> str:
        """Where the ledger is, as messages name it: without secrets."""

    @property
    def driver_errors(self) -> tuple[type[Exception], ...]:
        """What the driver raises where SQLAlchemy does not see it."""

    def identity(self) -> object:
        """Which of all that may have had this place is there now. What is written to another one is lost."""

    def engine(self) -> Engine:
        """An engine with one connection, in the durable profile."""

    def begin_reading(self, connection: Connection) -> Connection:
        """The connection set to start a transaction that sees one state, once it is first used."""

    def begin_writing(self, connection: Connection) -> Connection:
        """Likewise, with the only right to write."""

    def own_writing(self, connection: Connection) -> None:
        """Wait for the right to write, in the transaction that has begun."""

    def failure(self, error: BaseException) -> Failure:
        """What an error of the driver means."""


class Database:
    """Safe to share between threads, and after a fork."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._opened: object = None
        """What the engine has open, by its identity."""
        self._stopped: str | None = None
        self._committing = False
        _watch_forks()
        _IN_USE.add(self)

    @property
    def place(self) -> str:
        return self._backend.place

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state. LedgerError DPQ-801 if the ledger cannot be read within 30 s."""
        with self._connected() as connection, self._backend.begin_reading(connection).begin():
            self._check_in_place()
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction with the only right to write, durable once the block ends without an error.

        LedgerError DPQ-801 if that right cannot be had within 30 s; then nothing was written. Where the commit itself
        fails, nobody knows whether it was: then the error's `spent` is None.
        """
        with self._connected() as connection, self._backend.begin_writing(connection).begin():
            self._backend.own_writing(connection)
            self._check_in_place()
            yield connection
            self._committing = True  # what comes next is the commit

    def close(self) -> None:
        """Let go of the database; it opens again when next used."""
        with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise self._error("busy", "")
        try:
            if self._stopped is not None:
                raise LedgerError("DPQ-801", self._stopped, fix="start dpquery again, then: dpquery ledger verify DIR")
            with self._translated():
                found = self._backend.identity()
                if found != self._opened:
                    self.close()
                if self._engine is None:
                    self._engine, self._opened = self._backend.engine(), found
                with self._engine.connect() as connection:
                    try:
                        yield connection
                    except BaseException:
                        _roll_back(connection)
                        raise
        finally:
            self._lock.release()

    def _check_in_place(self) -> None:
        """LedgerError DPQ-801 if another ledger took this one's place after it was opened."""
        if self._backend.identity() != self._opened:
            raise self._unreachable("was replaced while it was opened", "try again")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            cause = error if error.orig is None else error.orig
            raise self._error(self._backend.failure(cause), str(cause)) from error
        except self._backend.driver_errors as error:
            raise self._error(self._backend.failure(error), str(error)) from error
        finally:
            self._committing = False

    def _error(self, failure: Failure, text: str) -> LedgerError:
        """What callers are told, in the first line of the driver's words."""
        first = text.strip().split("\n", 1)[0]
        if failure in {"corrupt", "lost"}:
            self._stopped = f"the ledger {self.place} failed earlier in this process ({first})"
        match failure:
            case "busy":
                error = self._unreachable(
                    f"stayed locked for {BUSY_SECONDS} s", "try again when other queries are done"
                )
                error.spent = 0  # a transaction that could not be committed for others was rolled back
                return error
            case "broken" | "corrupt":
                why = f"the ledger {self.place} does not hold together: {first}"
                return LedgerError("DPQ-802", why, fix="dpquery ledger verify DIR")
            case "lost" | "unusable":
                error = self._unreachable(f"cannot be used: {first}", "check that it is there, and its disk")
                error.spent = None if self._committing else 0
                return error
            case _:
                assert_never(failure)

    def _unreachable(self, why: str, fix: str) -> LedgerError:
        return LedgerError("DPQ-801", f"the ledger {self.place} {why}", fix=fix)

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


def _roll_back(connection: Connection) -> None:
    """End what is left of a transaction: SQLAlchemy takes one for ended whose commit was interrupted, by Ctrl-C say."""
    try:
        if not connection.invalidated:
            connection.connection.rollback()
    except Exception:  # noqa: BLE001 - a connection that cannot roll back is of no use
        connection.invalidate()


_IN_USE: weakref.WeakSet[Database] = weakref.WeakSet()
_LEFT_TO_PARENT: list[object] = []
_FORKING: list[Database] = []
_watched = threading.Event()


def _watch_forks() -> None:
    """Once per process, and only where a ledger is used."""
    if not _watched.is_set():
        _watched.set()
        os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)


def _before() -> None:
    _FORKING[:] = sorted(_IN_USE, key=id)
    for database in _FORKING:
        database.before_fork()


def _in_parent() -> None:
    while _FORKING:
        _FORKING.pop().after_fork_in_parent()


def _in_child() -> None:
    while _FORKING:
        _FORKING.pop().after_fork_in_child()
