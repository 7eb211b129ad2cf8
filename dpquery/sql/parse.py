"""Text to one SELECT statement of a known shape; everything else is refused by name."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from dpquery.sql.named_arguments import NamedBounds, lift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.errors import QueryRefused
    from dpquery.sql.text import QueryText

NODES_MAX = 2_000
DEPTH_MAX = 64

_CLAUSES = {"expressions", "from_", "where", "group", "order", "limit"}
"""Parts of a SELECT that are read; any other part refuses the query."""

_REFUSED_CLAUSES = {
    "with_": ("WITH is not supported", "write the inner query's conditions in WHERE"),
    "joins": ("joins are not supported", "ask one table"),
    "having": ("HAVING is not supported", "filter the released rows: r.to_pandas().query(...)"),
    "qualify": ("QUALIFY is not supported", "filter the released rows: r.to_pandas().query(...)"),
    "windows": ("windows are not supported", "ask an aggregate with GROUP BY"),
    "distinct": ("SELECT DISTINCT is not supported", "GROUP BY the same columns and COUNT(*)"),
    "sample": ("sampling is not supported", "leave it out: the bounds already limit what one number adds"),
    "offset": ("OFFSET is not supported", "take rows from r.to_pandas()"),
    "laterals": ("LATERAL is not supported", "ask one table"),
    "pivots": ("PIVOT is not supported", "GROUP BY the column, and pivot r.to_pandas()"),
    "into": ("SELECT INTO is not supported", "save the release: r.to_pandas().to_csv(...)"),
}


def parse_select(source: str) -> tuple[exp.Select, QueryText, tuple[NamedBounds, ...]]:
    """The one SELECT in `source`, its text, and the named bounds that were lifted out of it.

    Raises QueryRefused for text that does not parse, for other statements, and for clauses that do not keep the
    privacy unit or are not supported.
    """
    text, bounds = lift(source)
    with quiet_parser():
        try:
            statements = [s for s in sqlglot.parse(text.blanked, read="duckdb") if s is not None]
        except ParseError as error:
            raise _unparsed(text, error) from None
        except (SqlglotError, RecursionError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise text.refuse("DPQ-101", "the query cannot be read as SQL", "SELECT COUNT(*) FROM calls") from error
    if len(statements) != 1:
        raise text.refuse("DPQ-109", f"one query at a time; this text holds {len(statements)}", "send them one by one")
    statement = statements[0]
    if not isinstance(statement, exp.Select):
        raise text.refuse("DPQ-109", "only SELECT is answered", "SELECT COUNT(*) FROM calls", statement)
    _check_size(statement, text)
    _check_clauses(statement, text)
    return statement, text, bounds


def parse_condition(source: str) -> tuple[exp.Expr, QueryText]:
    """A row test on its own, such as a policy's `one_owner_when`."""
    select, text, bounds = parse_select(f"SELECT COUNT(*) FROM t WHERE {source}")
    where = select.args.get("where")
    if where is None or bounds or any(select.args.get(part) for part in ("group", "order", "limit")):
        raise text.refuse("DPQ-101", "a row test is one condition", "direction <> 'p2p'")
    return where.this, text


def _check_size(statement: exp.Expr, text: QueryText) -> None:
    for nodes, node in enumerate(statement.walk(), start=1):
        if nodes > NODES_MAX or node.depth > DEPTH_MAX:
            raise text.refuse("DPQ-114", "the query is too large or nested too deeply", "ask several simpler queries")


def _check_clauses(select: exp.Select, text: QueryText) -> None:
    for name, part in select.args.items():
        if not part or name in _CLAUSES:
            continue
        why, fix = _REFUSED_CLAUSES.get(
            name, (f"the clause {name.strip('_').upper()} is not supported", "leave it out")
        )
        node = part[0] if isinstance(part, list) else part
        raise text.refuse("DPQ-111", why, fix, node if isinstance(node, exp.Expr) else None)
    for node in select.walk():
        if isinstance(node, exp.Window):
            raise text.refuse(
                "DPQ-110",
                "window functions read other rows, so one number could change many of them",
                "ask an aggregate with GROUP BY",
                node,
            )
        if isinstance(node, (exp.Subquery, exp.Exists, exp.SetOperation)) or (
            isinstance(node, exp.Select) and node is not select
        ):
            raise text.refuse("DPQ-111", "subqueries are not supported", "ask the inner query on its own", node)


def _unparsed(text: QueryText, error: ParseError) -> QueryRefused:
    detail = error.errors[0] if error.errors else {}
    line, col = detail.get("line"), detail.get("col")
    where = None
    if isinstance(line, int) and isinstance(col, int):
        offset = sum(len(part) + 1 for part in text.source.split("\n")[: line - 1]) + col - 1
        width = max(1, len(str(detail.get("highlight") or "")))
        if 0 <= offset - width + 1 < len(text.source):
            where = text.span_of(offset - width + 1, min(offset, len(text.source) - 1))
    return text.refuse("DPQ-101", "the query cannot be read as SQL from here", "SELECT COUNT(*) FROM calls", where)


@contextlib.contextmanager
def quiet_parser() -> Iterator[None]:
    """The parser warns of commands it does not know by quoting the text; the text may hold what nobody should log."""
    logger = logging.getLogger("sqlglot")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
