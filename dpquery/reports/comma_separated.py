"""The report as one CSV: a line for each fact and each cell of each table."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, assert_never

from dpquery.reports.sections import Chart, Facts, Items, Table, Text, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.reports.sections import Part, Section, Value

HEADER = ("section", "table", "row", "name", "value")

_FORMULA = ("=", "+", "-", "@")


def comma_separated(sections: tuple[Section, ...]) -> str:
    """Columns HEADER; `row` counts from 1. Shares are between 0 and 1, what has no value is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for section in sections:
        for part in section.parts:
            writer.writerows([section.anchor, *line] for line in _lines(part))
    return out.getvalue()


def _lines(part: Part) -> Iterator[tuple[str, str, str, str]]:
    match part:
        case Text(text):
            yield "", "", "text", _cell(text)
        case Items(items):
            yield from (("", str(row), "item", _cell(item)) for row, item in enumerate(items, 1))
        case Facts(facts):
            yield from (("", "", name, _cell(value)) for name, value in facts)
        case Table():
            yield from _table(part)
        case Chart():
            yield from _table(part.table)
        case _:
            assert_never(part)


def _table(table: Table) -> Iterator[tuple[str, str, str, str]]:
    for number, row in enumerate(table.rows, 1):
        for value, column in zip(row, table.columns, strict=True):
            yield table.caption, str(number), column.name, _cell(value)


def _cell(value: Value) -> str:
    """A cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = value_text(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
