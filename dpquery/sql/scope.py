"""What the names of one SELECT mean: columns of its rows, and the privacy ids that stand in no expression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from dpquery.plan.expressions import ColumnRef
from dpquery.plan.ranges import Unbounded, value_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dpquery.plan.catalog import NamedColumn, NamedTable
    from dpquery.plan.expressions import Expression
    from dpquery.plan.keys import TimeRange
    from dpquery.plan.ranges import ValueRange
    from dpquery.plan.relations import Relation


SCHEMA = "main"
"""The one schema there is, as in DuckDB; a query may name it."""


@dataclass(frozen=True, slots=True)
class Party:
    """A privacy id: a party of the rows, by the relation's name for it."""

    name: str


Meaning: TypeAlias = "Expression | Party"


@dataclass(frozen=True, slots=True)
class Names:
    """The names that one item of FROM brings, under its alias or table name."""

    qualifiers: tuple[str, ...]
    meanings: Mapping[str, Meaning]
    merged: frozenset[str] = frozenset()
    """Names that JOIN ... USING made one with those on its left: alone, they mean the left one."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one SELECT while it is resolved."""

    relation: Relation
    table: NamedTable
    """The table whose contribution bounds apply."""
    parties: tuple[str, ...]
    """Parties of the relation: the owners of each row are the protected numbers among them."""
    columns: Mapping[str, NamedColumn]
    """Columns of the relation, with what is known of their values."""
    names: tuple[Names, ...]
    where: tuple[Expression, ...] = ()
    """Conditions that the rows meet already, from inner queries and joins."""
    one_owner: bool = False
    """Whether each row has one owner, whatever WHERE says."""
    either_party: bool = False
    """Whether each row stands for both of its parties, under the name `number`."""
    per_number: tuple[str, ...] | None = None
    """For rows made per number: the columns that, with the number, name one row."""
    time_column: str | None = None
    """The column of the relation that holds the rows' time."""
    period: TimeRange | None = None
    joins: int = 0

    @property
    def value_ranges(self) -> dict[str, ValueRange]:
        """Bounds of the relation's columns that have any."""
        return {name: column.bounds for name, column in self.columns.items() if column.bounds is not None}

    def find(self, name: str, qualifier: str | None = None) -> list[Meaning]:
        """What `name` can mean; more than one where it is ambiguous."""
        return [
            names.meanings[name]
            for names in self.names
            if name in names.meanings
            and (name not in names.merged if qualifier is None else qualifier in names.qualifiers)
        ]

    def has_qualifier(self, qualifier: str) -> bool:
        return any(qualifier in names.qualifiers for names in self.names)

    def all_names(self) -> Iterator[str]:
        """Every name, in order, as * would list them."""
        for names in self.names:
            yield from names.meanings

    def written(self, column: str) -> str:
        """How a query names a column of the relation: columns of inner queries have names of our own there."""
        for names in self.names:
            for name, meaning in names.meanings.items():
                if isinstance(meaning, ColumnRef) and meaning.name == column:
                    return name
        return "this value"

    @property
    def privacy_ids(self) -> tuple[str, ...]:
        """How a query names the parties; for the cures of errors."""
        named = [name for names in self.names for name, m in names.meanings.items() if isinstance(m, Party)]
        return tuple(dict.fromkeys(named)) or self.parties

    def with_where(self, *conditions: Expression) -> Rows:
        return replace(self, where=(*self.where, *conditions))

    def range_of(self, expression: Expression) -> ValueRange | None:
        """The values an expression can take, None where they are not bounded."""
        try:
            return value_range(expression, self.value_ranges)
        except Unbounded:
            return None

    def column_of(self, expression: Expression) -> NamedColumn | None:
        """What is known of the column that an expression merely names."""
        return self.columns.get(expression.name) if isinstance(expression, ColumnRef) else None
