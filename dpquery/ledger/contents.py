"""Every value that a ledger's database holds, for a search that must not miss one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from dpquery.ledger.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One value, and where it is."""

    table: str
    column: str
    row: int
    """From 1, as the database gives them."""
    value: object


def every_value(connection: Connection) -> Iterator[StoredValue]:
    """The values of every table: in a file of its own all there are, on a server those of the ledger."""
    quote = connection.dialect.identifier_preparer.quote
    for name in sorted(inspect(connection).get_table_names()):
        if connection.dialect.name != "sqlite" and name not in metadata.tables:
            continue
        rows = connection.execute(text(f"SELECT * FROM {quote(name)}"))
        columns = tuple(rows.keys())
        for number, row in enumerate(rows, start=1):
            for column, value in zip(columns, row, strict=True):
                if value is not None:
                    yield StoredValue(name, column, number, value)
