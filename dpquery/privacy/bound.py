"""Which rule bounds a number's contribution to a request, and by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dpquery.errors import QueryRefused, ensure
from dpquery.plan.expressions import Case, ColumnRef, TimeTruncation, Value, columns_in
from dpquery.plan.keys import EVER
from dpquery.plan.query import Average, CountDistinct, CountNumbers, Sum
from dpquery.plan.relations import PerNumber, leaves

if TYPE_CHECKING:
    from dpquery.plan.catalog import Catalog, NamedTable
    from dpquery.plan.expressions import Expression
    from dpquery.plan.query import LogicalPlan
    from dpquery.plan.relations import Relation

Rule = Literal["one-owner", "dual-greedy"]

ALL_TIME = "all"
"""The one budget block of tables without monthly blocks."""


@dataclass(frozen=True, slots=True)
class ContributionBounds:
    """What one number may add: rows in all, groups, rows in each group. Every one binds.

    Under dual-greedy only `max_rows_per_group` applies (it is the capacity k of each cell): a bound across cells
    would carry changes from one cell to the next.
    """

    max_rows: int
    max_groups: int
    max_rows_per_group: int

    def __post_init__(self) -> None:
        ensure(min(self.max_rows, self.max_groups, self.max_rows_per_group) >= 1, "contribution bounds are at least 1")


@dataclass(frozen=True, slots=True)
class BoundedPlan:
    """A request with its rule, its contribution bounds and the budget blocks its rows can lie in."""

    logical: LogicalPlan
    rule: Rule
    bounds: ContributionBounds
    parties: tuple[str, ...]
    blocks: tuple[str, ...]

    @property
    def cells(self) -> int:
        return self.logical.cells

    def bounds_at(self, times: float) -> ContributionBounds:
        """Every bound `times` as large, rounded up; never more groups than there are."""
        groups = self.logical.bounded_groups
        each = math.ceil(self.bounds.max_rows_per_group * times)
        if self.rule == "dual-greedy":
            return ContributionBounds(groups * each, groups, each)
        most = min(groups, math.ceil(self.bounds.max_groups * times))
        return ContributionBounds(math.ceil(self.bounds.max_rows * times), most, each)

    @property
    def unit(self) -> str:
        """Who is protected, in words."""
        return "phone number, as " + " or ".join(self.parties) if len(self.parties) > 1 else "phone number"


def bound(logical: LogicalPlan, catalog: Catalog) -> BoundedPlan:
    """Choose the rule and the bounds; QueryRefused for what a two-owner table cannot answer."""
    rule: Rule = "one-owner" if logical.one_owner else "dual-greedy"
    _check_shapes(logical, rule)
    bounds = _structural(logical, _bounds(logical, catalog.tables[logical.table], rule))
    return BoundedPlan(logical, rule, bounds, logical.parties, _blocks(logical, catalog))


def _blocks(logical: LogicalPlan, catalog: Catalog) -> tuple[str, ...]:
    """The blocks of every table that is read: the months its rows can have, or the one block of all time."""
    found: set[str] = set()
    for leaf in leaves(logical.relation):
        by_month = catalog.tables[leaf.table].by_month
        ensure(not by_month or leaf.time_range != EVER, "rows of a table with blocks have a range of times")
        found |= set(leaf.time_range.months()) if by_month else {ALL_TIME}
    return tuple(sorted(found))


def _structural(logical: LogicalPlan, bounds: ContributionBounds) -> ContributionBounds:
    """Rows per number are few by their making: one for each value of the keys they were grouped by.

    Where all of these are keys of the request, a number has one row in a group; where there are none, one in all.
    """
    relation = logical.relation
    if not isinstance(relation, PerNumber) or not logical.one_owner:
        return bounds
    if not relation.keys:
        return ContributionBounds(1, 1, 1)
    keyed = {key.expression.name for key in logical.bounded_keys if isinstance(key.expression, ColumnRef)}
    if not {name for name, _ in relation.keys} <= keyed:
        return bounds
    rows = min(bounds.max_rows, bounds.max_groups)
    return ContributionBounds(rows, rows, 1)


def _check_shapes(logical: LogicalPlan, rule: Rule) -> None:
    for aggregate in logical.aggregates:
        if rule == "dual-greedy" and isinstance(aggregate, Sum) and aggregate.per_group:
            counted = isinstance(aggregate.argument, Value | Case)
            raise QueryRefused(
                "DPQ-119",
                "rows of this table have two owners, so a value cannot be clamped per number",
                fix="OPTIONS (max_rows_contributed = 10)\nor clamp each row: contribution_bounds_per_row => (low, high)"
                if counted
                else "clamp each row: contribution_bounds_per_row => (low, high)",
            )
        if isinstance(aggregate, Average | Sum):
            ensure(aggregate.clamp.low < aggregate.clamp.high, "value bounds are an interval")
        if isinstance(aggregate, CountDistinct):
            ensure(bool(aggregate.party), "a distinct count names a party")


def _bounds(logical: LogicalPlan, table: NamedTable, rule: Rule) -> ContributionBounds:
    """The policy's bounds for these keys, and what the request asks for less."""
    declared = table.policy.contribution_bounds
    asked = logical.requested_bounds
    keys = logical.bounded_keys
    if not keys:
        rows = _at_most(asked.max_rows, declared.ungrouped.max_rows, "max_rows", logical)
        return ContributionBounds(rows, 1, rows)
    names = {name for key in keys for name in _key_names(key.expression, logical.relation)}
    entry = next((e for e in declared.by_key if set(e.keys) <= names), declared.grouped)
    per_group = entry.max_rows_per_group or declared.grouped.max_rows_per_group
    ensure(per_group is not None, "grouped bounds have max_rows_per_group")
    per_group = _at_most(asked.max_rows_per_group, per_group or 1, "max_rows_per_group", logical)
    if rule == "dual-greedy":
        return _cell_bounds(logical, per_group)
    most = entry.max_groups or declared.grouped.max_groups
    groups = _groups(logical, most)
    if asked.max_groups is not None:
        groups = min(groups, _at_most(asked.max_groups, most or max(groups, asked.max_groups), "max_groups", logical))
    # An entry that allows more in one group than `grouped`, which it inherits, does in all means the larger of the two.
    rows = entry.max_rows or max(declared.grouped.max_rows or groups * per_group, per_group)
    rows = _at_most(asked.max_rows, rows, "max_rows", logical)
    return ContributionBounds(rows, groups, min(per_group, rows))


def _groups(logical: LogicalPlan, declared: int | None) -> int:
    """Most groups of one number: the policy's bound, and no more than there are."""
    if not logical.selects_groups:
        return min(logical.bounded_groups, declared or logical.bounded_groups)
    if isinstance(logical.relation, PerNumber) and not logical.relation.keys:
        return 1
    if declared is None:
        raise QueryRefused(
            "DPQ-107",
            "the policy does not bound how many groups a number may have, and these groups are not declared",
            fix=f"a steward sets  [tables.{logical.table}.bounds.grouped] max_groups = 5",
        )
    return declared


def _cell_bounds(logical: LogicalPlan, capacity: int) -> ContributionBounds:
    """Bounds under dual-greedy: each cell's capacity, such that a number has no more rows in all than are asked for.

    A bound on groups would carry changes from one cell to the next, so no capacity keeps it. Of numbers by their rows,
    the cells are no groups of rows: the one greedy has that capacity.
    """
    cells, asked = logical.bounded_groups, logical.requested_bounds
    if any(isinstance(aggregate, CountNumbers) and aggregate.by_rows for aggregate in logical.aggregates):
        capacity = _at_most(asked.max_rows, capacity, "max_rows", logical)
        return ContributionBounds(cells * capacity, cells, capacity)
    rows = _at_most(asked.max_rows, cells * capacity, "max_rows", logical)
    if rows < cells or (asked.max_groups is not None and asked.max_groups < cells):
        raise _refusal(
            "DPQ-119",
            f"rows of this query have two owners, so each of its {cells:,} groups is bounded by itself: "
            f"what a number has in all of them is not held below {cells:,}",
            "leave max_rows (max_rows_contributed) and max_groups (max_groups_contributed) out, or group by less",
            logical,
        )
    capacity = min(capacity, rows // cells)
    return ContributionBounds(cells * capacity, cells, capacity)


def _key_names(expression: Expression, relation: Relation) -> set[str]:
    """Names under which by_key may mean a key: a day made from the time is `day`, keys of rows per number their own."""
    if isinstance(relation, PerNumber):
        inner = dict(relation.keys)
        found = [(inner.get(name), name) for name in columns_in(expression)]
        return {n for made, name in found for n in (_key_names(made, relation.source) if made else {name})}
    day = {"day"} if isinstance(expression, TimeTruncation) and expression.unit == "day" else set()
    return day | set(columns_in(expression))


def _at_most(asked: int | None, allowed: int, name: str, logical: LogicalPlan) -> int:
    if asked is None:
        return allowed
    if not 1 <= asked <= allowed:
        if logical.requested_bounds.span is not None and name in {"max_rows", "max_groups"}:
            name = f"{name}_contributed"
        why = f"{name} = {asked if abs(asked) < 10**9 else 'that'} is not within 1 and the policy's {allowed}"
        raise _refusal("DPQ-117", why, f"ask for {name} = {allowed} or less", logical)
    return asked


def _refusal(code: str, why: str, fix: str, logical: LogicalPlan) -> QueryRefused:
    where = logical.requested_bounds.span
    return QueryRefused(code, why, fix=fix, where=where, source=logical.source if where is not None else None)
