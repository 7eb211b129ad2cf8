"""Times past retention are cut off a request before it is bounded, so that no row of theirs is asked for.

Where the cut lies follows from the policy and the day on which is asked, never from rows. What it cuts off is neither
charged nor among the keys; a request that lies before it altogether is as it was, also from one day to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, TypeAlias, assert_never

from dpquery.errors import QueryRefused
from dpquery.plan.calendar import FROM_TIME, time_values
from dpquery.plan.keys import EVER, TimeRange
from dpquery.plan.query import CountKept
from dpquery.plan.relations import Joined, PerNumber, Selection, Stored, UnionAll, leaves, own_leaves

if TYPE_CHECKING:
    from dpquery.plan.keys import GroupKey
    from dpquery.plan.query import Aggregate, LogicalPlan
    from dpquery.plan.relations import Relation
    from dpquery.policy.model import Policy

Cutoffs: TypeAlias = Mapping[str, datetime]
"""For tables with retention: the first time (UTC) whose rows may still be read."""


def cutoffs(policy: Policy, on: date) -> dict[str, datetime]:
    """Where retention cuts on the UTC day `on`.

    As periods of days are counted, the day of the call is not: it may be read to the end of the last of
    `retention_days` days after it.
    """
    return {
        name: datetime.combine(on - timedelta(days=table.retention_days), time())
        for name, table in policy.tables.items()
        if table.retention_days is not None
    }


def retained(logical: LogicalPlan, cuts: Cutoffs) -> LogicalPlan:
    """The request without the times before `cuts`. QueryRefused DPQ-126 where nothing of a table it reads is left."""
    cut = {leaf.table: cuts[leaf.table] for leaf in leaves(logical.relation) if is_cut(leaf, cuts)}
    if not cut:
        return logical
    relation = _without(logical.relation, cuts)
    ranges = [leaf.time_range for leaf in own_leaves(relation) if leaf.time_range != EVER]
    own = TimeRange(min(r.start for r in ranges), max(r.end for r in ranges)) if ranges else EVER
    return replace(
        logical,
        relation=relation,
        keys=tuple(_key(key, own) for key in logical.keys),
        aggregates=tuple(_aggregate(aggregate, own) for aggregate in logical.aggregates),
        kept_from=tuple(sorted((name, moment.date()) for name, moment in cut.items())),
    )


def is_cut(leaf: Stored, cuts: Cutoffs) -> bool:
    """Whether the times that are read of a table begin before its cut."""
    return leaf.table in cuts and leaf.time_range.start < cuts[leaf.table]


def _without(relation: Relation, cuts: Cutoffs) -> Relation:
    match relation:
        case Stored() if is_cut(relation, cuts):
            return replace(relation, time_range=_left(relation, cuts[relation.table]))
        case Stored():
            return relation
        case Selection(source=source) | PerNumber(source=source):
            return replace(relation, source=_without(source, cuts))
        case UnionAll(branches=branches):
            return UnionAll(tuple(replace(branch, source=_without(branch.source, cuts)) for branch in branches))
        case Joined(source=source, records=records):
            kept = replace(records, source=_without(records.source, cuts))
            return replace(relation, source=_without(source, cuts), records=kept)
        case _:
            assert_never(relation)


def _left(leaf: Stored, first: datetime) -> TimeRange:
    found = leaf.time_range.intersect(TimeRange(first, EVER.end))
    if found.empty:
        raise QueryRefused(
            "DPQ-126",
            f"rows of {leaf.table} before {first.date()} are past retention, and this asks for no others",
            fix=f"choose days from {first.date()} on; as_of hands out an answer that is stored",
        )
    return found


def _key(key: GroupKey, own: TimeRange) -> GroupKey:
    """A key of the rows' own time has the values that are left of it."""
    if key.origin != FROM_TIME:
        return key
    left = frozenset(time_values(key.expression, own) or key.values)
    return replace(key, values=tuple(value for value in key.values if value in left))


def _aggregate(aggregate: Aggregate, own: TimeRange) -> Aggregate:
    if isinstance(aggregate, CountKept):
        return replace(aggregate, keys=tuple(_key(key, own) for key in aggregate.keys))
    return aggregate
