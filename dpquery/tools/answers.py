"""What a cursor hands out: a release's own columns, and answers to what tools send before they ask anything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dpquery.describe import columns
from dpquery.tools.answered import Answered, described

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.documents import TableEntry
    from dpquery.faces.facts import Facts
    from dpquery.preview import Preview
    from dpquery.release import Release
    from dpquery.session import Session

ALIVE = re.compile(r"\s*SELECT\s+(?P<value>\d{1,9})(?:\s+AS\s+(?P<name>[A-Za-z_]\w{0,63}))?\s*;?\s*", re.IGNORECASE)
"""`SELECT 1`: whether a connection lives. It names no table, so that its answer is the number."""

HEADER = re.compile(
    r"\s*SELECT\s+\*\s+FROM\s+(?:\"(?P<quoted>[^\"]{1,128})\"|(?P<plain>[A-Za-z_]\w{0,127}))"
    r"\s+(?:WHERE\s+(?:1\s*=\s*0|FALSE)|LIMIT\s+0)\s*;?\s*",
    re.IGNORECASE,
)
"""`SELECT * FROM calls WHERE 1=0`: which columns a table has. It asks for no row, so that the policy answers it."""

_TYPE_CODES = {"text": "string", "decimal": "number"}


def released(release: Release) -> Answered:
    """The columns that were selected. Ends of intervals stay in the release: tools expect what they asked for."""
    selected = columns(release.plan)
    values = dict(zip(release.answer.names, release.answer.columns, strict=True))
    return Answered(
        tuple(described(column.name, column.type) for column in selected),
        tuple(zip(*(values[column.name] for column in selected), strict=True)),
        release,
    )


def told(facts: Facts) -> Answered:
    """The answer to EXPLAIN PRIVACY, SHOW PRIVACY BUDGET and other statements that are no query."""
    return Answered(tuple(described(column.name, column.type) for column in facts.columns), facts.tuples())


def without_rows(preview: Preview) -> Answered:
    """The columns of a query that ends in LIMIT 0, as tools ask for them. No row can come of it, so that it is free."""
    return Answered(tuple(described(column.name, column.type) for column in columns(preview.plan)), ())


def probed(operation: str, parameters: Mapping[str, Any], session: Session) -> Answered | None:
    """The answer to a statement that no row could change; None for any other, which is a query. Free."""
    alive = ALIVE.fullmatch(operation)
    if alive is not None:
        return Answered((described(alive["name"] or alive["value"], "integer"),), ((int(alive["value"]),),))
    header = HEADER.fullmatch(operation)
    name = None if header is None else header["quoted"] or header["plain"].lower()
    table = None if name is None else askable_tables(session).get(name)
    if table is None:
        return _choices(operation, parameters, session)
    return Answered(tuple(described(c.name, _TYPE_CODES.get(c.type, c.type)) for c in table.columns), ())


def _choices(operation: str, parameters: Mapping[str, Any], session: Session) -> Answered | None:
    """The values of a key, as tools ask them for a filter: all that are declared, so that no row is read."""
    found = session.key_values(operation, parameters)
    if found is None:
        return None
    kind = _TYPE_CODES.get(found.type, found.type)
    return Answered((described(found.name, kind),), tuple((value,) for value in found.values))


def askable_tables(session: Session) -> dict[str, TableEntry]:
    """The tables that the session's purpose may ask, by name. Public ones hold no numbers, and are not asked."""
    return {table.name: table for table in session.tables().tables if not table.public}
