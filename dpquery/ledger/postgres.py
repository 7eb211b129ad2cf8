"""The ledger in PostgreSQL, for several hosts: durable settings, one writer at a time whatever the isolation level.

A writer waits for the lock of the table `head` before anything else, since LOCK TABLE takes no snapshot (PostgreSQL
documentation, "LOCK"): what it reads next is what the writer before it committed, at SERIALIZABLE as at READ COMMITTED.
Rows of balances are locked besides, in the order of `pair_key`, and CHECK constraints hold the caps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import URL, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from dpquery.errors import LedgerError
from dpquery.ledger.database import BUSY_SECONDS, Database
from dpquery.ledger.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from dpquery.ledger.database import Failure

CONNECT_SECONDS = 10
SCHEME = "postgresql"
DRIVER = "postgresql+psycopg"

ISOLATION: Literal["SERIALIZABLE", "READ COMMITTED"] = "SERIALIZABLE"
"""Of writers. Nothing relies on it: SERIALIZABLE has let anomalies through (Jepsen, PostgreSQL 12.3)."""

SETTINGS = {
    "synchronous_commit": "on",
    "lock_timeout": f"{BUSY_SECONDS}s",
    "statement_timeout": "0",
    "client_encoding": "UTF8",
}
"""Of each session."""

DURABLE = {"fsync": "on", "full_page_writes": "on"}
"""Of the server, without which a commit could be lost."""

_CREATING = 0x647071756572
"""Key of the advisory lock that is held while tables are made."""

_BUSY = frozenset({"55P03", "40001", "40P01"})  # lock not available, serialization failure, deadlock: rolled back
_CORRUPT = frozenset({"XX001", "XX002"})


def is_url(place: object) -> bool:
    """Whether `place` is the URL of a PostgreSQL database, not the path of a file."""
    return isinstance(place, str) and place.split(":", 1)[0].split("+", 1)[0] in {SCHEME, "postgres"}


def checked_url(place: str) -> URL:
    """The URL for SQLAlchemy. LedgerError DPQ-812 if it is none, or holds a password."""
    try:
        url = make_url(place)
    except ArgumentError:
        url = None
    if url is None or url.drivername not in {SCHEME, DRIVER} or not url.database:
        why = "the ledger's URL does not name a PostgreSQL database"
        raise LedgerError("DPQ-812", why, fix="postgresql://USER@HOST/DATABASE")
    if url.password is not None or "password" in url.query:
        why = "the ledger's URL holds a password, which everybody who reads the policy would know"
        raise LedgerError("DPQ-812", why, fix="keep it in ~/.pgpass, or in the file that PGPASSFILE names")
    return url.set(drivername=DRIVER)


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """A ledger in the first schema of the search path of one database; one database, or one schema, for each ledger."""

    url: URL

    @property
    def place(self) -> str:
        port = "" if self.url.port is None else f":{self.url.port}"
        return f"{SCHEME}://{self.url.host or self.url.query.get('host', 'localhost')}{port}/{self.url.database}"

    @property
    def driver_errors(self) -> tuple[type[Exception], ...]:
        return ()

    def identity(self) -> None:
        """A connection stays with its database, whatever is restored."""

    def engine(self) -> Engine:
        """LedgerError DPQ-813 without the driver, DPQ-805 where the server may lose a commit."""
        _require_driver()
        engine = create_engine(
            self.url,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,  # the server may have been restarted since
            hide_parameters=True,
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "dpquery"},
        )

        @event.listens_for(engine, "connect")
        def _profile(connection: object, _: object) -> None:
            _set_profile(connection)

        return engine

    def begin_reading(self, connection: Connection) -> Connection:
        return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def begin_writing(self, connection: Connection) -> Connection:
        return connection.execution_options(isolation_level=ISOLATION, postgresql_readonly=False)

    def own_writing(self, connection: Connection) -> None:
        connection.execute(text("LOCK TABLE head IN EXCLUSIVE MODE"))

    def failure(self, error: BaseException) -> Failure:
        """By SQLSTATE (PostgreSQL documentation, appendix A)."""
        state = getattr(error, "sqlstate", None) or ""
        if state in _BUSY:
            return "busy"
        if state in _CORRUPT:
            return "corrupt"
        # Class 23: a constraint. P0001: one of our triggers.
        return "broken" if state.startswith("23") or state == "P0001" else "unusable"


def create_tables(url: URL, fill: Callable[[Connection], None]) -> None:
    """A ledger with what `fill` writes, whole or not there. LedgerError DPQ-806 if there is one already."""
    backend = _Creating(url)
    database = Database(backend)
    try:
        with database.writing() as connection:
            if inspect(connection).has_table("entries"):
                raise LedgerError(
                    "DPQ-806", f"there is a ledger at {backend.place} already", fix="use another database"
                )
            migrate(connection)
            fill(connection)
    finally:
        database.close()


@dataclass(frozen=True, slots=True)
class _Creating(PostgresDatabase):
    """While there is no table to lock."""

    def own_writing(self, connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATING})


def _require_driver() -> None:
    try:
        import psycopg  # noqa: F401 - whether it is there
    except ImportError:
        why = "a ledger in PostgreSQL needs psycopg"
        raise LedgerError("DPQ-813", why, fix='pip install "dpquery[postgres]"') from None


def _set_profile(connection: object) -> None:
    """Put the settings in force, and read them and the server's own back."""
    with connection.cursor() as cursor:  # type: ignore[attr-defined]
        for name, value in SETTINGS.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
        for name, value in (SETTINGS | DURABLE).items():
            cursor.execute("SELECT current_setting(%s)", (name,))
            (found,) = cursor.fetchone()
            if found != value:
                raise LedgerError(
                    "DPQ-805",
                    f"this PostgreSQL does not keep the ledger durable: {name} is {found}, not {value}",
                    fix=f"set {name} = {value} on the server",
                )
    connection.commit()  # type: ignore[attr-defined]
