"""A policy's row test as a condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.plan.expressions import ColumnRef
from dpquery.plan.relations import Stored
from dpquery.sql.parse import parse_condition
from dpquery.sql.row_expressions import RowResolver
from dpquery.sql.scope import Names, Party, Rows

if TYPE_CHECKING:
    from dpquery.plan.catalog import NamedTable
    from dpquery.plan.expressions import Expression
    from dpquery.sql.scope import Meaning


def resolve_row_test(source: str, table: NamedTable) -> Expression:
    """A policy's row test, such as `direction <> 'p2p'`, over the columns of `table`; QueryRefused if it is none."""
    node, text = parse_condition(source)
    return RowResolver(bare_rows(table), text).condition(node)


def bare_rows(table: NamedTable) -> Rows:
    """The rows of a stored table under its own names."""
    meanings: dict[str, Meaning] = {}
    for name, column in table.columns.items():
        meanings[name] = Party(name) if column.role == "party" else ColumnRef(name, column.type)
    return Rows(
        relation=Stored(table.name),
        table=table,
        parties=table.parties,
        columns={name: column for name, column in table.columns.items() if column.role != "party"},
        names=(Names((table.name,), meanings),),
        one_owner=table.owners == 1,
        time_column=table.time_column,
        period=table.period,
    )
