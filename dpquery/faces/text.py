"""A sheet on a terminal: aligned text, and a table for rich."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from dpquery.faces.sheet import KeySeries
from dpquery.faces.words import USELESS_MARK, key_text, percent_text, value_text

if TYPE_CHECKING:
    from rich.console import Group

    from dpquery.faces.sheet import Sheet, ValueSeries

ROWS_SHOWN = 60
"""Rows that are printed; a longer answer says how many more there are."""

GAP = "   "


def cells(sheet: Sheet) -> list[list[str]]:
    """One text per row and column: keys, and values with the reach of their interval and a mark where it is useless."""
    return [list(row) for row in zip(*(_column(column) for column in sheet.columns), strict=True)]


def plain(sheet: Sheet) -> str:
    """An aligned table, the marks explained, one line of price, the promise."""
    columns = [_aligned(column) for column in _cut(sheet)]
    lines = [GAP.join(parts).rstrip() for parts in zip_longest(*columns, fillvalue="")]
    width = max(len(line) for line in lines)
    head, *body = lines
    shown = [head, "─" * width, *body]
    if sheet.length > ROWS_SHOWN:
        shown.append(f"... and {sheet.length - ROWS_SHOWN:,} more rows; to_pandas() has them all")
    return "\n".join([*shown, "", *footer(sheet)])


def footer(sheet: Sheet) -> list[str]:
    """What a reader of the values must know: marks, confidence, price, promise."""
    terms = sheet.terms
    lines = []
    if sheet.length == 0:
        lines += ["no rows", *terms.warnings]  # one of them says why, where groups were selected
    if sheet.any_useless:
        lines.append(f"{USELESS_MARK} the interval is too wide for the value to be of use")
    lines.append(
        f"± covers the noise at {percent_text(sheet.confidence)}; {terms.price}: {terms.paid}; {terms.releases}"
    )
    return [*lines, terms.guarantee.sentence]


def rich_table(sheet: Sheet) -> Group:
    """The same for a terminal that rich draws on."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=sheet.title, title_justify="left", title_style="bold", pad_edge=False)
    shown = _cut(sheet)
    for column in shown:
        # To the left, as the padding that keeps each ± in line is in the texts.
        table.add_column(Text(_aligned(column)[0]), no_wrap=True)
    for row in zip(*(_aligned(column)[1:] for column in shown), strict=True):
        texts = [Text(text, style="dim" if text.rstrip().endswith(USELESS_MARK) else "") for text in row]
        table.add_row(*texts)
    notes = footer(sheet)
    if sheet.length > ROWS_SHOWN:
        notes.insert(0, f"... and {sheet.length - ROWS_SHOWN:,} more rows; to_pandas() has them all")
    return Group(table, Text("\n".join(notes), style="dim"))


def _cut(sheet: Sheet) -> list[KeySeries | ValueSeries]:
    """The columns as far as they are printed."""
    return [column.first(ROWS_SHOWN) for column in sheet.columns]


def _column(column: KeySeries | ValueSeries) -> list[str]:
    if isinstance(column, KeySeries):
        return [key_text(value) for value in column.values]
    found = []
    for value, low, high, useful in zip(column.value, column.low, column.high, column.useful, strict=True):
        shown, reach = value_text(value, low, high)
        found.append(f"{shown} ± {reach}" + ("" if useful else f" {USELESS_MARK}"))
    return found


def _aligned(column: KeySeries | ValueSeries) -> list[str]:
    """Header and cells of one width: keys to the left, numbers to the right with their ± in line."""
    if isinstance(column, KeySeries):
        texts = [column.name, *_column(column)]
        width = max(len(text) for text in texts)
        return [text.ljust(width) for text in texts]
    pairs = [value_text(*each) for each in zip(column.value, column.low, column.high, strict=True)]
    most, reach = (max((len(pair[i]) for pair in pairs), default=0) for i in (0, 1))
    numbers = [column.label, *(f"{value:>{most}} ± {far:>{reach}}" for value, far in pairs)]
    width = max(len(text) for text in numbers)
    if all(column.useful):
        return [text.rjust(width) for text in numbers]
    # The name stands above the numbers, not above the marks.
    marks = ["", *("" if useful else USELESS_MARK for useful in column.useful)]
    return [f"{text:>{width}} {mark:<{len(USELESS_MARK)}}" for text, mark in zip(numbers, marks, strict=True)]
