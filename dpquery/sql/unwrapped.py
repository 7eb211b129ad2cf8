"""Queries that merely show the columns of another, as tools wrap them: `SELECT * FROM (SELECT ...) AS t LIMIT 1000`."""

from __future__ import annotations

from sqlglot import exp

from dpquery.sql.clauses import aggregates_in, whole_number


def unwrapped(select: exp.Select) -> exp.Select:
    """The inner query, with the outer one's columns, order and limit, where the outer one does no more than that.

    An outer query without an aggregate of its own could only be refused, so nothing that has a meaning changes it; and
    the inner query is then judged as if it had been asked alone.
    """
    return _shown(select) or select


def _shown(outer: exp.Select) -> exp.Select | None:
    """The query that `outer` shows; None where it does anything else."""
    source = outer.args.get("from_")
    derived = source.this if source is not None else None
    if not isinstance(derived, exp.Subquery) or not isinstance(derived.this, exp.Select):
        return None
    if any(value for part, value in derived.args.items() if part not in {"this", "alias"}):
        return None
    if any(value for part, value in outer.args.items() if part not in {"expressions", "from_", "order", "limit"}):
        return None
    inner = unwrapped(derived.this)
    if not any(aggregates_in(item) for item in inner.expressions):
        return None
    items = _chosen(outer, inner, derived.alias.lower())
    order, limit = outer.args.get("order"), outer.args.get("limit")
    if items is None or (order is not None and (inner.args.get("limit") or not _is_by_name(order))):
        return None
    shown = inner.copy()
    shown.set("expressions", items)
    if order is not None:
        shown.set("order", order.copy())
    if limit is not None:
        shown.set("limit", _smaller(limit, inner.args.get("limit")).copy())
    return shown


def _chosen(outer: exp.Select, inner: exp.Select, alias: str) -> list[exp.Expr] | None:
    """The items of `inner` that `outer` names, under its names for them; None where it names anything else."""
    named = {_label(item): item for item in inner.expressions}
    if len(named) < len(inner.expressions):
        return None
    found: list[exp.Expr] = []
    for item in outer.expressions:
        node = item.this if isinstance(item, exp.Alias) else item
        if isinstance(node, exp.Star) and not any(node.args.values()):
            found += [inner_item.copy() for inner_item in inner.expressions]
            continue
        if not isinstance(node, exp.Column) or node.args.get("db") or (node.table and node.table.lower() != alias):
            return None
        chosen = named.get(node.name.lower())
        if chosen is None:
            return None
        content = chosen.this if isinstance(chosen, exp.Alias) else chosen
        name = item.args["alias"] if isinstance(item, exp.Alias) else node.this
        found.append(exp.Alias(this=content.copy(), alias=name.copy()))
    return found


def _label(item: exp.Expr) -> str:
    """The name by which an outer query calls an item; one without a name has a text that no column is called by."""
    named = item.alias if isinstance(item, exp.Alias) else item.name if isinstance(item, exp.Column) else None
    return item.sql("duckdb") + "\0" if named is None else named.lower()


def _is_by_name(order: exp.Order) -> bool:
    """Whether ORDER BY names columns or positions and nothing else, which mean the same in both queries."""
    return all(isinstance(item.this, exp.Column | exp.Literal) for item in order.expressions)


def _smaller(limit: exp.Expr, other: exp.Expr | None) -> exp.Expr:
    """Of two LIMITs the one that leaves fewer rows; one that is no number is kept, and refused."""
    if other is None:
        return limit
    own, inner = whole_number(limit.args.get("expression")), whole_number(other.args.get("expression"))
    return other if inner is None or (own is not None and inner <= own) else limit
