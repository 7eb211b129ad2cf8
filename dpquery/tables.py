"""Tables and columns as analysts see them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from dpquery.documents import TableColumn, TableEntry, TablesDocument

if TYPE_CHECKING:
    from datetime import date

    from dpquery.plan.catalog import Catalog, NamedColumn, NamedTable
    from dpquery.plan.permission import Permission


def tables_document(catalog: Catalog, permission: Permission | None = None) -> TablesDocument:
    """Everything a query over this policy can name; with a permission, what its purpose may use of that."""
    policy = catalog.policy
    if permission is not None:
        found = {n: _usable(t, permission) for n, t in catalog.tables.items() if _readable(t, permission)}
        catalog = replace(catalog, tables=found)
    return TablesDocument(
        dataset=policy.dataset,
        policy_version=policy.version,
        tables=tuple(_table(table) for table in catalog.tables.values()),
        purposes={name: purpose.text for name, purpose in policy.purposes.items()},
    )


def _readable(table: NamedTable, permission: Permission) -> bool:
    return permission.may_read(table.name) and (table.legs_of is None or permission.may_read(table.legs_of.name))


def _usable(table: NamedTable, permission: Permission) -> NamedTable:
    """The table with the columns that the purpose may use; sensitive ones that it does not name are none."""
    source = table.legs_of or table

    def is_usable(stored: str) -> bool:
        name = stored.partition(".")[2]
        named = not source.columns[name].sensitive or stored in permission.sensitive
        return named and permission.may_use(source.name, name)

    usable = {name: c for name, c in table.columns.items() if all(map(is_usable, table.stored_columns(name)))}
    return replace(table, columns=usable)


def _table(table: NamedTable) -> TableEntry:
    days = _days(table)
    return TableEntry(
        name=table.name,
        public=table.policy.public,
        owners=table.owners,
        period=None if days is None else (days[0].isoformat(), days[1].isoformat()),
        parties=tuple(party for party in table.parties if party in table.columns),
        columns=tuple(_column(column, table) for column in table.columns.values()),
    )


def _days(table: NamedTable) -> tuple[date, date] | None:
    """First and last day of the declared period."""
    if table.period is None:
        return None
    return table.period.start.date(), (table.period.end - timedelta(days=1)).date()


def _column(column: NamedColumn, table: NamedTable) -> TableColumn:
    keys = len(column.keys) if column.keys is not None else None
    days = _days(table)
    if column.name == "day" and column.type == "date" and days is not None:
        keys = (days[1] - days[0]).days + 1
    return TableColumn(
        name=column.name,
        type=column.type,
        role=column.role,
        keys=keys if column.selectable else None,
        bounds=None if column.bounds is None else (column.bounds.low, column.bounds.high),
        unit=column.unit,
        sensitive=column.sensitive,
        place=column.place,
    )
