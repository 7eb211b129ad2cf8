"""Names in FROM: tables of the policy, and the columns of inner queries."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from sqlglot import exp

from dpquery.sql.scope import SCHEMA

if TYPE_CHECKING:
    from dpquery.plan.catalog import NamedTable
    from dpquery.sql.context import Context


def named_table(node: exp.Table, context: Context) -> NamedTable:
    """The table of the policy that `node` names."""
    name = node.name.lower()
    known = context.catalog.tables
    schema = node.args.get("db")
    if node.args.get("catalog") or (schema is not None and schema.name.lower() != SCHEMA) or name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        offer = near[0] if near else next(iter(known))
        raise context.text.refuse("DPQ-103", f"there is no table {node.name[:64]}", f"FROM {offer}", node)
    context.mentions.table(name, node)
    return known[name]


def inner_name(item: exp.Expr, context: Context) -> str:
    """The name of a column of an inner query."""
    name = item.alias if isinstance(item, exp.Alias) else item.name if isinstance(item, exp.Column) else ""
    if not name:
        raise context.text.refuse("DPQ-115", "this column of the inner query has no name", "... AS n", item)
    return name.lower()
