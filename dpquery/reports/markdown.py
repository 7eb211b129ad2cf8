"""The report as Markdown: tables, and charts as their tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, assert_never

from dpquery.reports.sections import Chart, Facts, Items, Table, Text, cell_text, shown, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.reports.sections import Part, Section

_SPECIAL = re.compile(r"([\\`*\[\]<>#|~&]|(?<!\w)_|_(?!\w)|:(?=//))")


def markdown(title: str, lead: str, sections: tuple[Section, ...]) -> str:
    """The whole report."""
    lines = [f"# {_safe(title)}", "", _safe(lead)]
    for section in sections:
        lines += ["", f"## {section.title}"]
        for part in section.parts:
            lines += ["", *_part(part)]
    return "\n".join(lines) + "\n"


def _part(part: Part) -> Iterator[str]:
    match part:
        case Text(text, promise, heading):
            yield ("> " if promise else "### " if heading else "") + _safe(text)
        case Items(items):
            yield from (f"* {_safe(item)}" for item in items)
        case Facts(facts):
            yield from (f"* {_safe(name)}: {_safe(value_text(value))}" for name, value in facts)
        case Table():
            yield from _table(part)
        case Chart():
            yield f"### {_safe(part.title)}"
            yield ""
            yield _safe(part.summary)
            yield ""
            yield from _table(part.table)
        case _:
            assert_never(part)


def _table(table: Table) -> Iterator[str]:
    yield _safe(table.caption)
    yield ""
    if not table.rows:
        yield "None."
        return
    yield _row([_safe(column.name) for column in table.columns])
    yield _row(["---:" if column.kind in {"number", "share"} else "---" for column in table.columns])
    for row in table.rows:
        yield _row([_safe(cell_text(value, column)) for value, column in zip(row, table.columns, strict=True)])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _safe(text: str) -> str:
    """Text in which nothing is markup: no links, no HTML, no table cells."""
    return _SPECIAL.sub(r"\\\1", shown(text))
