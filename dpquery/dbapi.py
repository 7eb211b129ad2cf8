"""dpquery as a DB-API 2.0 module (PEP 249).

    connection = dpquery.dbapi.connect("store", analyst="ana", purpose="network_planning", epsilon=0.2)
    cursor = connection.cursor()
    print(cursor.preview("SELECT COUNT(*) FROM calls"))   # free
    cursor.execute("SELECT COUNT(*) FROM calls")          # spends; the same question again is free
    cursor.fetchall()

Connecting, describing, fetching, commit and rollback never spend; `execute` does, and nothing takes it back.
"""

from __future__ import annotations

from dpquery.tools.dbapi_connection import Connection, connect
from dpquery.tools.dbapi_errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004 - PEP 249 names it so
)
from dpquery.tools.dbapi_objects import Cursor
from dpquery.tools.dbapi_types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)

apilevel = "2.0"
threadsafety = 1  # threads share the module, not a connection
paramstyle = "named"

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]
