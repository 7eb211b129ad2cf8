"""What holds for the whole of a query's text while it is resolved."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dpquery.plan.permission import Permission
from dpquery.sql.mentions import Mentions
from dpquery.sql.row_expressions import Growth, RowResolver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot import exp

    from dpquery.plan.catalog import Catalog
    from dpquery.plan.expressions import Expression, Value
    from dpquery.sql.scope import Rows
    from dpquery.sql.text import QueryText


@dataclass(frozen=True, slots=True)
class Context:
    """The catalog, the text for carets, what the purpose may use, parameters, and the named inner queries in reach."""

    catalog: Catalog
    text: QueryText
    permission: Permission = field(default_factory=Permission)
    parameters: Mapping[str, Value] = field(default_factory=dict)
    named_queries: Mapping[str, tuple[exp.Expr, Context]] = field(default_factory=dict)
    """WITH: each name's query, and the context it was written in."""
    growth: Growth = field(default_factory=Growth)
    mentions: Mentions = field(default_factory=Mentions)

    def resolver(self, rows: Rows, known: Mapping[int, Expression] | None = None) -> RowResolver:
        """Row expressions over `rows`."""
        return RowResolver(rows, self.text, self.parameters, known or {}, self.growth, self.mentions)

    def with_named_queries(self, query: exp.Expr) -> Context:
        """The context inside `query`, where the names of its WITH are known; a name reaches those before it."""
        context = self
        named = query.args.get("with_")
        if named is None:
            return self
        if named.args.get("recursive"):
            raise self.text.refuse(
                "DPQ-111", "a recursive query has no bound on what a row becomes", "WITH without RECURSIVE", named
            )
        for item in named.expressions:
            if item.args["alias"].args.get("columns"):
                raise self.text.refuse("DPQ-111", "columns are named inside the query", "SELECT ... AS name", item)
            name = item.alias.lower()
            context = replace(context, named_queries={**context.named_queries, name: (item.this, context)})
        return context
