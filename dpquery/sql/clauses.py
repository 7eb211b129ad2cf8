"""Which clauses a SELECT may have, at the top and inside; any other refuses the query."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.sql.text import QueryText

_ROWS = {"expressions", "from_", "where", "joins", "with_", "group", "distinct"}
"""Parts that say which rows there are, and what is made of them."""

_OUTER = (_ROWS - {"distinct"}) | {"having", "order", "limit"}
_INNER = _ROWS | {"having"}

_REFUSED = {
    "having": ("HAVING stands with GROUP BY", "GROUP BY the number, or ask WHERE"),
    "qualify": ("QUALIFY looks at other rows", "filter the released rows: HAVING, or release.to_pandas().query(...)"),
    "windows": ("windows read other rows", "ask an aggregate with GROUP BY"),
    "distinct": (
        "SELECT DISTINCT would hand out what rows hold",
        (
            "GROUP BY the same columns and COUNT(*)\n"
            'for the declared values of one key, free: db.key_values("SELECT DISTINCT queue FROM calls")'
        ),
    ),
    "sample": ("sampling is not supported", "leave it out: the bounds already limit what one number adds"),
    "offset": ("OFFSET is not supported", "take rows from release.to_pandas()"),
    "laterals": ("LATERAL is not supported", "join on the number, or on a public table's key"),
    "pivots": ("PIVOT is not supported", "GROUP BY the column, and pivot release.to_pandas()"),
    "into": ("SELECT INTO is not supported", "save the release: r.save(...)"),
    "order": ("an inner query has no order: rows picked by rank are not stable", "leave ORDER BY to the outer query"),
    "limit": ("an inner LIMIT picks rows by rank", "leave LIMIT to the outer query"),
}


INTERVAL_ENDS: Mapping[str, Literal["low", "high"]] = {"DP_INTERVAL_LOW": "low", "DP_INTERVAL_HIGH": "high"}
"""Functions of an output's name that give the ends of its interval."""


def check_clauses(select: exp.Select, text: QueryText, *, inner: bool) -> None:
    """QueryRefused for a clause that does not keep the privacy unit, or is not known."""
    for name, part in select.args.items():
        if not part or name in (_INNER if inner else _OUTER):
            continue
        known = (f"the clause {name.strip('_').upper()} is not supported", "leave it out")
        why, fix = _REFUSED.get(name, known)
        code = "DPQ-123" if name == "sample" else "DPQ-111"
        node = part[0] if isinstance(part, list) else part
        raise text.refuse(code, why, fix, node if isinstance(node, exp.Expr) else None)


def check_windows(statement: exp.Expr, text: QueryText) -> None:
    """QueryRefused for a window function anywhere: it reads other rows, so one number could change many of them."""
    for node in statement.walk():
        if isinstance(node, exp.Window):
            raise text.refuse(
                "DPQ-110",
                "window functions read other rows, so one number could change many of them",
                _without_window(node),
                node,
            )


def _without_window(window: exp.Window) -> str:
    """What to write instead: windows over released groups are computed from the release, for free."""
    if window.this.find(exp.AggFunc) is not None and aggregates_in(window.this.this or window.this):
        return "GROUP BY alone; shares, ranks and moving averages of what is released are free, on release.to_pandas()"
    return "ask an aggregate with GROUP BY"


def is_aggregate(node: exp.Expr) -> bool:
    """Whether `node` is one aggregate, perhaps with FILTER or WITHIN GROUP."""
    return isinstance(node, exp.AggFunc | exp.Filter | exp.WithinGroup)


def interval_end(node: exp.Expr) -> Literal["low", "high"] | None:
    """Which end of an interval DP_INTERVAL_LOW(name) or DP_INTERVAL_HIGH(name) is; None for any other expression."""
    return INTERVAL_ENDS.get(node.name.upper()) if isinstance(node, exp.Anonymous) else None


def aggregates_in(node: exp.Expr) -> list[exp.Expr]:
    """The outermost aggregates in an expression, without those of inner queries."""
    if is_aggregate(node):
        return [node]
    if isinstance(node, exp.Subquery | exp.Query):
        return []
    return [found for child in node.iter_expressions() for found in aggregates_in(child)]


def unaliased(node: exp.Expr) -> exp.Expr:
    """What an item of SELECT is, without its name and parentheses."""
    inner: exp.Expr = node.this if isinstance(node, exp.Alias) else node
    return inner.unnest()


def whole_number(node: exp.Expr | None) -> int | None:
    """The number that LIMIT, an ordinal or a digit count is; None for anything else."""
    if not isinstance(node, exp.Literal) or node.is_string or not re.fullmatch(r"[0-9]{1,18}", node.name, re.ASCII):
        return None
    return int(node.name)


def one_spelling(node: exp.Expr) -> str:
    """The text of an expression without its comments, the same for every way to space it."""
    return node.sql("duckdb", comments=False)
