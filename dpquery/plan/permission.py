"""What a purpose may use: the one place where a request is judged by its purpose, whatever shape it has.

Judged is the finished plan, by what it reads (`plan/reads.py`), so that no form of query has a way around. The rows
that a purpose sees are a condition of their own on every table it reads (`conditions`), and the plan is searched for
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dpquery.errors import ensure
from dpquery.plan.expressions import ColumnRef, InList, Value, columns_in
from dpquery.plan.implication import fixed_values
from dpquery.plan.reads import reads_of
from dpquery.plan.relations import Joined, PerNumber, Selection, Stored, UnionAll, tables_of
from dpquery.plan.substitution import substituted
from dpquery.policy.model import PLACE_GRAINS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dpquery.plan.catalog import Catalog, NamedTable
    from dpquery.plan.expressions import Expression
    from dpquery.plan.query import LogicalPlan
    from dpquery.plan.reads import Reads
    from dpquery.plan.relations import Relation
    from dpquery.policy.model import Policy


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a purpose may not ask a request, and what to write instead."""

    code: str
    why: str
    fix: str
    about: tuple[str, ...]
    """Tables, or columns as `table.column`, that it is about; the text is underlined where it names the first."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What one purpose may use. Without a purpose: all but sensitive columns."""

    purpose: str = "this purpose"
    tables: tuple[str, ...] = ("*",)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    joins: frozenset[frozenset[str]] | None = None
    sensitive: frozenset[str] = frozenset()
    """Sensitive columns that the purpose names, as table.column."""
    only: Mapping[str, Mapping[str, tuple[str, ...] | tuple[int, ...]]] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
    """Views of the registry of consents, which are for duties alone."""

    @classmethod
    def of(cls, policy: Policy, purpose: str) -> Permission:
        """What the policy allows the purpose."""
        named = policy.purposes[purpose]
        joins = None if named.joins is None else frozenset(map(frozenset, named.joins))
        registry = frozenset(name for name, table in policy.tables.items() if table.registry is not None)
        withheld = frozenset() if named.is_duty else registry
        return cls(purpose, named.tables, named.columns, joins, frozenset(named.sensitive), named.only, withheld)

    def may_read(self, table: str) -> bool:
        """Whether it may read any of the table."""
        return self.table_fault(table) is None

    def table_fault(self, table: str) -> Fault | None:
        """Why it may not read the table; None if it may."""
        if table in self.withheld:
            return Fault(
                "DPQ-401",
                f"{table} says who has opted out, which is never a column, a key or a filter",
                "leave it out: rows of people who do not allow the purpose are left out by themselves",
                (table,),
            )
        if "*" in self.tables or table in self.tables:
            return None
        allowed = ", ".join(self.tables)
        return Fault("DPQ-305", f"{self.purpose} may not read {table}", f"tables it may read: {allowed}", (table,))

    def may_use(self, table: str, column: str) -> bool:
        """Whether it may use a column of a table that it may read."""
        return table not in self.columns or column in self.columns[table]

    def may_join(self, one: str, other: str) -> bool:
        """Whether one query may bring two tables together."""
        return self.joins is None or frozenset((one, other)) in self.joins

    def conditions(self, table: NamedTable) -> tuple[Expression, ...]:
        """What must hold of each row of a stored table that it sees."""
        return tuple(
            InList(
                ColumnRef(name, table.columns[name].type),
                tuple(Value(value, table.columns[name].type) for value in values),
            )
            for name, values in self.only.get(table.name, {}).items()
        )

    def said(self, plan: LogicalPlan) -> tuple[str, ...]:
        """What a reader of the answer should know: which rows of its tables the purpose sees."""
        limited = {table: self.only[table] for table in tables_of(plan.relation) if table in self.only}
        return tuple(
            f"{self.purpose} sees rows of {table} only where "
            + " and ".join(f"{name} is {' or '.join(map(str, values))}" for name, values in limits.items())
            for table, limits in limited.items()
        )

    def fault(self, plan: LogicalPlan, catalog: Catalog, named: Iterable[str] = ()) -> Fault | None:
        """The first reason for which the purpose may not ask `plan`; None if it may.

        `named`: the tables that the query's text names, views among them.
        """
        reads = reads_of(plan, catalog)
        for fault in self._faults(plan, reads, catalog, (*named, plan.table, *reads.tables)):
            return fault
        return None

    def _faults(self, plan: LogicalPlan, reads: Reads, catalog: Catalog, tables: tuple[str, ...]) -> Iterator[Fault]:
        yield from self._tables(dict.fromkeys(tables))
        yield from self._joins(reads)
        yield from self._columns(reads, catalog)
        yield from self._sensitive(reads, catalog)
        yield from self._rows(plan, catalog)

    def _tables(self, tables: Iterable[str]) -> Iterator[Fault]:
        for table in tables:
            fault = self.table_fault(table)
            if fault is not None:
                yield fault

    def _joins(self, reads: Reads) -> Iterator[Fault]:
        for one, other in reads.pairs:
            if self.may_join(one, other):
                continue
            with_what = "with records of its own" if one == other else f"with {other}"
            allowed = [" with ".join(sorted(pair)) for pair in self.joins or ()]
            yield Fault(
                "DPQ-308",
                f"{self.purpose} may not bring {one} together {with_what} in one query",
                f"one query for each; pairs it may join: {', '.join(sorted(allowed)) or 'none'}",
                (other, one),
            )

    def _columns(self, reads: Reads, catalog: Catalog) -> Iterator[Fault]:
        for read in reads.columns:
            table, _, column = read.partition(".")
            if not self.may_use(table, column):
                allowed = [name for name in catalog.tables[table].columns if self.may_use(table, name)]
                yield Fault(
                    "DPQ-307",
                    f"{self.purpose} may not use {read}",
                    f"columns of {table} it may use: {', '.join(allowed) or 'none; COUNT(*) needs none'}",
                    (read, table),
                )

    def _sensitive(self, reads: Reads, catalog: Catalog) -> Iterator[Fault]:
        found = [read for read in reads.columns if _is_sensitive(read, catalog)]
        for read in found:
            if read not in self.sensitive:
                yield Fault(
                    "DPQ-118",
                    f"{read} is sensitive, and {self.purpose} does not name it",
                    f'a steward adds sensitive = ["{read}"] to the purpose',
                    (read, read.partition(".")[0]),
                )
        limit = catalog.policy.limits.place_with_sensitive
        for place, grain in reads.places.items():
            beside = [read for read in found if read != place]
            if beside and PLACE_GRAINS.index(grain) < PLACE_GRAINS.index(limit):
                yield Fault(
                    "DPQ-124",
                    f"{place} tells a {grain}, and {beside[0]} is sensitive: together they could single out few people",
                    f"ask for one of the two, or for a place no finer than a {limit}{_coarser(place, limit, catalog)}",
                    (place, place.partition(".")[0]),
                )

    def _rows(self, plan: LogicalPlan, catalog: Catalog) -> Iterator[Fault]:
        """Each leaf has its condition, which is the program's to see to; and WHERE asks for rows that meet it."""
        for leaf, conditions in _leaves(plan.relation, plan.where):
            needed = self.conditions(catalog.tables[leaf.table])
            ensure(set(needed) <= set(conditions), "a purpose sees the rows that it may, and no others")
            for limit in needed:
                wanted = [fixed for c in conditions if c != limit and (fixed := fixed_values(c)) is not None]
                (name, allowed) = fixed_values(limit) or ("", set())
                for column, values in wanted:
                    if column == name and not values & allowed:
                        said = " or ".join(map(str, self.only[leaf.table][name]))
                        yield Fault(
                            "DPQ-309",
                            f"{self.purpose} sees rows of {leaf.table} whose {name} is {said}, and no others",
                            f"ask for these: {_test(name, self.only[leaf.table][name])}",
                            (f"{leaf.table}.{name}", leaf.table),
                        )


def _leaves(relation: Relation, conditions: tuple[Expression, ...]) -> Iterator[tuple[Stored, tuple[Expression, ...]]]:
    """Each stored table that is read, with the conditions in its own names that all of its rows must meet."""
    match relation:
        case Stored():
            yield relation, conditions
        case Selection(source=source, columns=columns, where=where):
            plain = {name: value for name, value in columns if isinstance(value, ColumnRef)}
            above = tuple(substituted(c, plain) for c in conditions if columns_in(c) <= plain.keys())
            yield from _leaves(source, (*where, *above))
        case UnionAll(branches=branches):
            for branch in branches:
                yield from _leaves(branch, conditions)
        case Joined(source=source, records=records):
            yield from _leaves(source, conditions)
            yield from _leaves(records, ())
        case PerNumber(source=source, where=where):
            yield from _leaves(source, where)


def _is_sensitive(read: str, catalog: Catalog) -> bool:
    table, _, column = read.partition(".")
    return catalog.tables[table].columns[column].sensitive


def _coarser(place: str, limit: str, catalog: Catalog) -> str:
    """A coarser place that the same query could look up, as an example."""
    table, _, column = place.partition(".")
    for name, other in catalog.tables.items():
        keyed = other.policy.public and (name == table or other.policy.key == column)
        for candidate in other.columns.values() if keyed else ():
            if candidate.place is not None and PLACE_GRAINS.index(candidate.place) >= PLACE_GRAINS.index(limit):
                return f", such as {name}.{candidate.name}"
    return ""


def _test(name: str, values: tuple[str, ...] | tuple[int, ...]) -> str:
    """The condition on these values, as a query writes it."""
    written = ["'{}'".format(value.replace("'", "''")) if isinstance(value, str) else str(value) for value in values]
    return f"{name} = {written[0]}" if len(written) == 1 else f"{name} IN ({', '.join(written)})"
