"""What commands print, apart from answers: notes, errors, tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dpquery.catalogue import CATALOGUE
from dpquery.documents import Place, RefusalDocument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpquery.errors import DpqueryError


def note(text: str) -> None:
    """A line for people, on standard error."""
    print(text, file=sys.stderr)


def show_error(error: DpqueryError, *, json: bool) -> None:
    """The error on standard error: as text with a caret, or as one JSON object."""
    if json:
        note(refusal(error).model_dump_json(by_alias=True))
        return
    note(str(error))


def refusal(error: DpqueryError) -> RefusalDocument:
    """An error as the object that `--json` prints."""
    where = error.where
    entry = CATALOGUE.get(error.code)
    return RefusalDocument(
        code=error.code,
        title=entry.title if entry else "error",
        where=None if where is None else Place(line=where.line, column=where.column, end=where.end),
        why=error.why,
        fix=error.fix,
        spent=error.spent,
        exit=error.exit_status,
    )


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: frozenset[int] = frozenset(), title: str = ""
) -> None:
    """A table on standard output; columns in `numeric` are aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for index, header in enumerate(headers):
        right = index in numeric
        table.add_column(header, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    console = Console(highlight=False)
    # A key or a number that is cut is worse than a line that runs over.
    console.width = max(console.width, console.measure(table, options=console.options.update(width=10_000)).maximum)
    console.print(table, soft_wrap=True, crop=False)
