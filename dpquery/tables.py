"""Tables and columns as analysts see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.documents import TableColumn, TableEntry, TablesDocument

if TYPE_CHECKING:
    from dpquery.plan.catalog import Catalog, NamedColumn, NamedTable


def tables_document(catalog: Catalog) -> TablesDocument:
    """Everything a query over this policy can name."""
    policy = catalog.policy
    return TablesDocument(
        dataset=policy.dataset,
        policy_version=policy.version,
        tables=tuple(_table(table) for table in catalog.tables.values()),
        purposes={name: purpose.text for name, purpose in policy.purposes.items()},
    )


def _table(table: NamedTable) -> TableEntry:
    period = table.policy.period
    return TableEntry(
        name=table.name,
        public=table.policy.public,
        owners=table.policy.owners,
        period=None if period is None else (period[0].isoformat(), period[1].isoformat()),
        parties=table.parties,
        columns=tuple(_column(column, table) for column in table.columns.values()),
    )


def _column(column: NamedColumn, table: NamedTable) -> TableColumn:
    from_period = column.name == "day" and column.type == "date" and table.period is not None
    keys = len(column.keys) if column.keys is not None else None
    if from_period and table.policy.period is not None:
        first, last = table.policy.period
        keys = (last - first).days + 1
    return TableColumn(
        name=column.name,
        type=column.type,
        role=column.role,
        keys=keys if column.selectable else None,
        bounds=None if column.bounds is None else (column.bounds.low, column.bounds.high),
        unit=column.unit,
        sensitive=column.sensitive,
    )
