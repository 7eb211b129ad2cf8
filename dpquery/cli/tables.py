"""`dpquery tables`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.cli.output import print_table

if TYPE_CHECKING:
    from dpquery.documents import TableColumn, TablesDocument


def show_tables(document: TablesDocument, *, json: bool) -> None:
    """Tables and columns, one table each, or the JSON object."""
    if json:
        print(document.model_dump_json(by_alias=True))
        return
    for table in document.tables:
        kind = "public" if table.public else f"{table.owners} owner{'s' if table.owners == 2 else ''} per row"
        period = f", {table.period[0]} to {table.period[1]}" if table.period else ""
        rows = [[column.name, column.type, _use(column)] for column in table.columns]
        print_table(["column", "type", "use"], rows, title=f"{table.name}  ({kind}{period})")


def _use(column: TableColumn) -> str:
    if column.role == "party":
        return f"privacy id: COUNT(DISTINCT {column.name})"
    uses = ["filter"]
    if column.keys is not None:
        uses.append(f"key ({column.keys:,} values)")
    if column.role == "time":
        uses.append("key by date_trunc")
    if column.bounds is not None:
        unit = f" {column.unit}" if column.unit else ""
        uses.append(f"sum and average in [{column.bounds[0]:g}, {column.bounds[1]:g}]{unit}")
    if column.place is not None:
        uses.append(f"place ({column.place})")
    if column.sensitive:
        uses.append("sensitive")
    return ", ".join(uses)
