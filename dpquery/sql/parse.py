"""Text to one SELECT statement of a known shape; everything else is refused by name."""

from __future__ import annotations

import contextlib
import itertools
import logging
from difflib import get_close_matches
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import ParseError, SqlglotError

from dpquery.sql.named_arguments import NamedBounds, lift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.errors import QueryRefused
    from dpquery.sql.text import QueryText

NODES_MAX = 2_000
DEPTH_MAX = 64


def parse_select(source: str, select: str | None = None) -> tuple[exp.Select, QueryText, tuple[NamedBounds, ...]]:
    """The one SELECT in `source`, its text, and the named bounds that were lifted out of it.

    `select` is `source` where other words have been blanked already. Raises QueryRefused for text that does not parse,
    and for other statements.
    """
    text, bounds = lift(source, select)
    _check_literals(text)
    with quiet_parser():
        try:
            statements = [s for s in sqlglot.parse(text.blanked, read="duckdb") if s is not None]
        except ParseError as error:
            raise _unparsed(text, error) from None
        except RecursionError:
            raise _too_large(text) from None
        except (SqlglotError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise text.refuse("DPQ-101", "the query cannot be read as SQL", "SELECT COUNT(*) FROM calls") from error
    if len(statements) != 1:
        raise text.refuse("DPQ-109", f"one query at a time; this text holds {len(statements)}", "send them one by one")
    statement = statements[0]
    if isinstance(statement, exp.SetOperation):
        why = f"{statement.key.upper()} at the top would compare or mix answers"
        raise text.refuse("DPQ-122", why, "ask two queries; or FROM (... UNION ALL ...)", statement)
    word = text.tokens[0].text.upper()
    first = text.span_of(text.tokens[0].start, text.tokens[0].end)
    if word == "EXPLAIN":
        why = "an engine's plan tells how many rows there are; the private plan does not"
        raise text.refuse("DPQ-109", why, "EXPLAIN PRIVACY SELECT ...\nin Python: db.sql(...).preview()", first)
    if not isinstance(statement, exp.Select):
        fix = _INSTEAD.get(word, "SELECT COUNT(*) FROM calls")
        setting = text.tokens[1].text.lower() if len(text.tokens) > 1 else ""
        if word in {"SET", "RESET"} and setting in _SETTINGS:
            fix = f"{word} dp.{setting}{_SETTINGS[setting] if word == 'SET' else ''}"
        raise text.refuse("DPQ-109", "only SELECT is answered", fix, first)
    _check_size(statement, text)
    for literal in statement.find_all(exp.Literal):
        if not literal.is_string and not _is_number(literal.name):
            raise text.refuse("DPQ-101", "this is not a number", "0.5, 1e3 or 1000", literal)
    for query in statement.find_all(exp.Select):
        if not query.expressions:
            why = "SELECT names no column"
            raise text.refuse("DPQ-106", why, "SELECT COUNT(*) FROM calls", query.args.get("from_") or statement)
    return statement, text, bounds


_LISTING = "dpquery tables DIR, or db.tables()"
_INSTEAD = {
    "DESCRIBE": _LISTING,
    "PRAGMA": _LISTING,
    "SHOW": _LISTING,
    "SUMMARIZE": _LISTING,
}
"""What to write in place of other statements, by their first word."""
_SETTINGS = {"epsilon": " = 0.2", "purpose": " = '...'", "confidence": " = 0.99"}
"""Settings of a session, which `dp.` stands before."""


def parse_condition(source: str) -> tuple[exp.Expr, QueryText]:
    """A row test on its own, such as a policy's `one_owner_when`."""
    select, text, bounds = parse_select(f"SELECT COUNT(*) FROM t WHERE {source}")
    where = select.args.get("where")
    others = [part for part, value in select.args.items() if value and part not in {"expressions", "from_", "where"}]
    if where is None or bounds or others or next(where.find_all(exp.Query), None) is not None:
        raise text.refuse("DPQ-101", "a row test is one condition", "direction <> 'p2p'")
    return where.this, text


def _is_number(name: str) -> bool:
    """Whether a number is one: the parser takes `.5.` and `1e+` for one, too."""
    try:
        float(name)
    except ValueError:
        return False
    return True


def _check_literals(text: QueryText) -> None:
    """Two texts side by side: one text to some parsers, a mistake to others."""
    for left, right in itertools.pairwise(text.tokens):
        if left.token_type is TokenType.STRING and right.token_type is TokenType.STRING:
            place = text.span_of(left.start, right.end)
            raise text.refuse("DPQ-101", "two texts stand side by side", "'ab', or 'a' || 'b'", place)


def _check_size(statement: exp.Expr, text: QueryText) -> None:
    for nodes, node in enumerate(statement.walk(), start=1):
        if nodes > NODES_MAX or node.depth > DEPTH_MAX:
            raise _too_large(text)


def _too_large(text: QueryText) -> QueryRefused:
    return text.refuse("DPQ-114", "the query is too large or nested too deeply", "ask several simpler queries")


def _unparsed(text: QueryText, error: ParseError) -> QueryRefused:
    for before, name, sign in zip(text.tokens, text.tokens[1:], text.tokens[2:], strict=False):
        value = _NAMED.get(name.text.lower())
        if value is not None and before.text in {"(", ","} and sign.text == "=":
            why, place = "a named argument takes =>", text.span_of(name.start, sign.end)
            return text.refuse("DPQ-101", why, f"{name.text.lower()} => {value}", place)
    detail = error.errors[0] if error.errors else {}
    line, col = detail.get("line"), detail.get("col")
    where = None
    if isinstance(line, int) and isinstance(col, int):
        offset = sum(len(part) + 1 for part in text.source.split("\n")[: line - 1]) + col - 1
        width = max(1, len(str(detail.get("highlight") or "")))
        if 0 <= offset - width + 1 < len(text.source):
            where = text.span_of(offset - width + 1, min(offset, len(text.source) - 1))
    fix, first = "SELECT COUNT(*) FROM calls", text.tokens[0]
    word = first.text.upper()
    if word != "SELECT" and get_close_matches(word, ["SELECT"], cutoff=0.7):
        # The parser takes the mistyped word as a name, and stumbles over a later one.
        where, fix = text.span_of(first.start, first.end), "write SELECT"
    return text.refuse("DPQ-101", "the query cannot be read as SQL from here", fix, where)


_NAMED = {
    "bounds": "'auto'",
    "contribution_bounds_per_row": "(0, 600)",
    "contribution_bounds_per_group": "(0, 3600)",
}
"""Arguments that are named, and a value of each."""


@contextlib.contextmanager
def quiet_parser() -> Iterator[None]:
    """The parser warns of commands it does not know by quoting the text; the text may hold what nobody should log."""
    logger = logging.getLogger("sqlglot")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
