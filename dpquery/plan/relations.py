"""Where the rows of a request come from. Each relation keeps its rows' owners: the privacy unit is never lost.

A relation has columns, parties (privacy ids, which stand in no expression) and, for each row, a place in an order that
depends on the row's own content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from dpquery.plan.keys import EVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.plan.expressions import Expression
    from dpquery.plan.keys import TimeRange

NumberFunction = Literal["count", "count distinct", "sum", "min", "max", "avg", "mode"]
"""What a number's own rows add up to; exact, since the number owns them all."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The rows of a stored table. `time_range` holds the times they may have; EVER for tables without time."""

    table: str
    time_range: TimeRange = EVER


@dataclass(frozen=True, slots=True)
class Selection:
    """Some columns of the rows that meet `where`, under new names; `parties` pairs each new name with the old one.

    With `only_protected`, the name of an old party, rows where that party is no protected number are left out.
    """

    source: Relation
    parties: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, Expression], ...]
    where: tuple[Expression, ...] = ()
    only_protected: str | None = None


@dataclass(frozen=True, slots=True)
class UnionAll:
    """All rows of every branch; branches have the same parties and columns, and each row keeps its owners."""

    branches: tuple[Selection, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """Rows of `source` with the columns of the `records` that belong to their `party`, named `<name>__<column>`.

    `records` have one owner each, who is then an owner of the row: a joined row has the owners it had. `keep` says
    what becomes of rows: "matching" only, "all" (NULL where there is no record), or "listed": every row once, with the
    boolean column `<name>__listed`.
    """

    source: Relation
    name: str
    party: str
    records: Selection
    records_party: str
    keep: Literal["matching", "all", "listed"]


@dataclass(frozen=True, slots=True)
class NumberMeasure:
    """One column of a per-number row: `function` over `argument` (None: rows) of the number's rows that meet `where`.

    Sums run over integer multiples of `grid`.
    """

    name: str
    function: NumberFunction
    argument: Expression | None
    where: Expression | None = None
    grid: float = 1.0


@dataclass(frozen=True, slots=True)
class PerNumber:
    """One row for each protected number, and value of the `keys`, that owns rows of `source` which meet `where`.

    The source has one owner per row, so each new row is a function of its number's own rows: removing the number
    removes its rows here and changes no other. `having` is a test on the new row's columns.
    """

    source: Relation
    party: str
    """Name of the new rows' one party."""
    owners: tuple[str, ...]
    """The parties of `source` one of which is the number: one by name, or both where either may own the row."""
    where: tuple[Expression, ...]
    keys: tuple[tuple[str, Expression], ...]
    measures: tuple[NumberMeasure, ...]
    having: tuple[Expression, ...] = ()


Relation: TypeAlias = Stored | Selection | UnionAll | Joined | PerNumber


def leaves(relation: Relation) -> Iterator[Stored]:
    """The stored tables that a relation reads, each as often as it reads it."""
    match relation:
        case Stored():
            yield relation
        case Selection(source=source) | PerNumber(source=source):
            yield from leaves(source)
        case UnionAll(branches=branches):
            for branch in branches:
                yield from leaves(branch)
        case Joined(source=source, records=records):
            yield from leaves(source)
            yield from leaves(records)


def has_lot(relation: Relation) -> bool:
    """Whether rows come with a lot of their own: those made per number do."""
    match relation:
        case PerNumber():
            return True
        case Joined(source=source):
            return has_lot(source)
        case _:
            return False


def own_leaves(relation: Relation) -> Iterator[Stored]:
    """The stored tables whose rows the relation's rows are, without the records joined to them."""
    match relation:
        case Stored():
            yield relation
        case Selection(source=source) | PerNumber(source=source) | Joined(source=source):
            yield from own_leaves(source)
        case UnionAll(branches=branches):
            for branch in branches:
                yield from own_leaves(branch)


def tables_of(relation: Relation) -> tuple[str, ...]:
    """Names of the stored tables, each once."""
    return tuple(dict.fromkeys(leaf.table for leaf in leaves(relation)))


def reads_legs(relation: Relation) -> bool:
    """Whether any rows are halves of calls: the only ones that are left out for want of a protected party."""
    match relation:
        case Stored():
            return False
        case Selection(source=source, only_protected=only):
            return only is not None or reads_legs(source)
        case PerNumber(source=source):
            return reads_legs(source)
        case UnionAll(branches=branches):
            return any(reads_legs(branch) for branch in branches)
        case Joined(source=source, records=records):
            return reads_legs(source) or reads_legs(records)
