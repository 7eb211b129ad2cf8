"""Where a query's text first names each table and column: the places that a judgement of its plan underlines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlglot import exp

    from dpquery.errors import Span
    from dpquery.sql.text import QueryText


@dataclass(slots=True)
class Mentions:
    """Filled while a query is resolved, for the whole of it. Only for carets, but for the names of tables."""

    tables: dict[str, exp.Expr] = field(default_factory=dict)
    """Every table that the query names, views and public ones among them."""
    columns: dict[str, exp.Expr] = field(default_factory=dict)
    """By `table.column`."""

    def table(self, name: str, node: exp.Expr) -> None:
        self.tables.setdefault(name, node)

    def column(self, name: str, node: exp.Expr) -> None:
        self.columns.setdefault(name, node)

    def span(self, names: Iterable[str], text: QueryText) -> Span | None:
        """Where the first of these tables and columns that the text names stands."""
        for name in names:
            node = self.columns.get(name) or self.tables.get(name)
            span = text.span(node)
            if span is not None:
                return span
        return None
