"""What a request reads: stored and public columns wherever they stand, places among them, and tables that meet.

This is read off the finished plan, which is all that an engine is given: however a query was written, whatever decides
about its rows, keys or values is found here. A column that an inner query names and nobody uses is not read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias, assert_never

from dpquery.errors import ensure
from dpquery.plan.expressions import ColumnRef, IsNull, Lookup, children
from dpquery.plan.query import (
    Average,
    CountDistinct,
    CountKept,
    CountNumbers,
    CountPairs,
    CountRows,
    CountValues,
    Quantile,
    Sum,
    Variance,
)
from dpquery.plan.relations import Joined, PerNumber, Selection, Stored, UnionAll, tables_of
from dpquery.policy.model import KeysFromTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dpquery.plan.catalog import Catalog
    from dpquery.plan.expressions import Expression
    from dpquery.plan.keys import GroupKey
    from dpquery.plan.query import Aggregate, LogicalPlan
    from dpquery.plan.relations import Relation
    from dpquery.policy.model import PlaceGrain

Wanted: TypeAlias = "Mapping[str, bool]"
"""Names of a relation that are read, and whether each may tell a place: not if only something coarser of it is used."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What a request reads. Columns are named as `table.column`, parties among them where numbers decide."""

    tables: tuple[str, ...]
    """Tables with rows of their own, and public ones."""
    columns: tuple[str, ...]
    places: Mapping[str, PlaceGrain]
    """Those columns that tell a place as finely as they can."""
    pairs: tuple[tuple[str, str], ...]
    """Tables that are brought together; one that meets records of its own stands with itself."""


def reads_of(plan: LogicalPlan, catalog: Catalog) -> Reads:
    """What `plan` reads of the tables in `catalog`."""
    walk = _Walk(catalog)
    wanted = walk.wanted([*plan.where, *(key.expression for key in _row_keys(plan))])
    for aggregate in plan.aggregates:
        expressions, parties = _parts(aggregate, plan)
        wanted = _merged(wanted, walk.wanted(expressions), dict.fromkeys(parties, False))
    walk.relation(plan.relation, wanted)
    tables = tuple(dict.fromkeys((*tables_of(plan.relation), *walk.public)))
    meeting = [*combinations(tables, 2), *((table, table) for table in walk.joined_to_itself)]
    return Reads(tables, tuple(walk.columns), dict(walk.places), tuple(meeting))


def _row_keys(plan: LogicalPlan) -> Iterable[GroupKey]:
    """The keys that rows are grouped by. How many rows a number has is read off the greedy, and no column of a row."""
    by_rows = any(isinstance(a, CountNumbers) and a.by_rows for a in plan.aggregates)
    return () if by_rows else plan.keys


def _parts(aggregate: Aggregate, plan: LogicalPlan) -> tuple[list[Expression], tuple[str, ...]]:
    """The expressions that an aggregate evaluates on rows, and the parties it counts."""
    match aggregate:
        case CountRows(present=present):
            return [] if present is None else [present], ()
        case Sum(argument=argument) | Average(argument=argument) | Variance(argument=argument):
            return [argument], ()
        case Quantile(argument=argument) | CountValues(argument=argument):
            return [argument], ()
        case CountDistinct(party=party, present=present):
            return [] if present is None else [present], (party,)
        case CountPairs(parties=parties, present=present):
            return [] if present is None else [present], parties
        case CountNumbers():
            return [], plan.parties
        case CountKept(keys=keys, present=present):
            return [*(key.expression for key in keys), *([] if present is None else [present])], ()
        case _:
            assert_never(aggregate)


@dataclass(slots=True)
class _Walk:
    """Down from what is asked to what is stored."""

    catalog: Catalog
    columns: dict[str, None] = field(default_factory=dict)
    places: dict[str, PlaceGrain] = field(default_factory=dict)
    public: dict[str, None] = field(default_factory=dict)
    joined_to_itself: dict[str, None] = field(default_factory=dict)

    def relation(self, relation: Relation, wanted: Wanted) -> None:
        """Note what is read of `relation` where `wanted` is used of it."""
        match relation:
            case Stored(table=table):
                self._stored(table, wanted)
            case Selection(source=source, parties=parties, columns=columns, where=where):
                below = self.wanted(where)
                for name, value in columns:
                    if name in wanted:
                        below = _merged(below, self.wanted([value], place=wanted[name]))
                below = _merged(below, {old: False for new, old in parties if new in wanted})
                self.relation(source, below)
            case UnionAll(branches=branches):
                for branch in branches:
                    self.relation(branch, wanted)
            case Joined():
                self._joined(relation, wanted)
            case PerNumber(source=source, owners=owners, where=where, keys=keys, measures=measures):
                # Its rows are made by their keys and measures, whichever of them are used above.
                made = [*where, *(value for _, value in keys)]
                for measure in measures:
                    made += [part for part in (measure.argument, measure.where) if part is not None]
                self.relation(source, _merged(self.wanted(made), dict.fromkeys(owners, False)))
            case _:
                assert_never(relation)

    def _joined(self, joined: Joined, wanted: Wanted) -> None:
        start = f"{joined.name}__"
        theirs = {name.removeprefix(start): place for name, place in wanted.items() if name.startswith(start)}
        own = {name: place for name, place in wanted.items() if not name.startswith(start)}
        self.relation(joined.source, _merged(own, {joined.party: False}))
        self.relation(joined.records, _merged(theirs, {joined.records_party: False}))
        both = set(tables_of(joined.source)) & set(tables_of(joined.records))
        self.joined_to_itself |= dict.fromkeys(sorted(both))

    def _stored(self, table: str, wanted: Wanted) -> None:
        named = self.catalog.tables[table]
        for name, place in wanted.items():
            ensure(name in named.columns, "what is read of a stored table is one of its columns")
            self._read(table, name, place=place)

    def _read(self, table: str, name: str, *, place: bool) -> None:
        column = f"{table}.{name}"
        self.columns[column] = None
        told = self.catalog.tables[table].columns[name].place
        if place and told is not None:
            self.places[column] = told

    def wanted(self, expressions: Iterable[Expression], *, place: bool = True) -> Wanted:
        """The columns that expressions read, where `place` says whether what they give may tell a place."""
        found: Wanted = {}
        for expression in expressions:
            found = _merged(found, self._wanted(expression, place=place))
        return found

    def _wanted(self, expression: Expression, *, place: bool) -> Wanted:
        match expression:
            case ColumnRef(name=name):
                return {name: place}
            case IsNull(item=ColumnRef(name=name)):
                return {name: False}  # that a place is not known tells none
            case IsNull(item=Lookup() as lookup) if self._lists_every_key(lookup):
                return self._looked_up(lookup, place=False)
            case Lookup():
                return self._looked_up(expression, place=place)
            case _:
                return self.wanted(children(expression), place=place)

    def _looked_up(self, lookup: Lookup, *, place: bool) -> Wanted:
        """What a public table has for a place is as fine as that place, unless the policy says how fine it is."""
        table, _, column = lookup.source.partition(".")
        self.public[table] = None
        self._read(table, column, place=place)
        said = self.catalog.tables[table].columns[column].place is not None
        return self._wanted(lookup.item, place=place and not said)

    def _lists_every_key(self, lookup: Lookup) -> bool:
        """Whether all keys of the column are in the public table: being there, or not, then tells no place."""
        if not isinstance(lookup.item, ColumnRef):
            return False
        stored = [
            t.columns[lookup.item.name]
            for t in self.catalog.policy.tables.values()
            if not t.public and lookup.item.name in t.columns
        ]
        keys = KeysFromTable(table=lookup.source.partition(".")[0])
        return bool(stored) and all(column.keys == keys for column in stored)


def _merged(*parts: Wanted) -> Wanted:
    """Everything that any part wants; a place if it is one for any."""
    found: dict[str, bool] = {}
    for part in parts:
        for name, place in part.items():
            found[name] = found.get(name, False) or place
    return found
