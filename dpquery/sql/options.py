"""OPTIONS of a query against its plan: what asks for less is taken over, what asks for another unit is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpquery.plan.query import LogicalPlan, RequestedBounds
    from dpquery.sql.request import Options
    from dpquery.sql.text import QueryText

PUBLIC_GROUPS = "PUBLIC_GROUPS"
"""Groups are declared, and all of them return."""
LAPLACE_THRESHOLD = "LAPLACE_THRESHOLD"
"""Groups that are not declared return where their noisy number of people, by Laplace noise, passes a threshold."""


BOUNDS = ("max_rows_contributed", "max_groups_contributed", "max_rows_per_group")
"""Options that ask for smaller contribution bounds."""


def with_options(requested: RequestedBounds, options: Options) -> RequestedBounds:
    """The contribution bounds that a request and its OPTIONS ask for together: the smaller of each."""
    named = [name for name in BOUNDS if getattr(options, name) is not None]
    if not named:
        return requested
    return replace(
        requested,
        max_rows=_least(requested.max_rows, options.max_rows_contributed),
        max_groups=_least(requested.max_groups, options.max_groups_contributed),
        max_rows_per_group=_least(requested.max_rows_per_group, options.max_rows_per_group),
        span=options.places.get(named[0]),
    )


def _least(*asked: int | None) -> int | None:
    return min((each for each in asked if each is not None), default=None)


def check_options(options: Options, plan: LogicalPlan, text: QueryText) -> None:
    """QueryRefused for a privacy unit other than the rows' own, and for groups that are not chosen beforehand."""
    unit = options.privacy_unit_column
    if unit is not None and {name.lower() for name in unit} != set(plan.parties):
        both = len(plan.parties) > 1
        own = f"({', '.join(plan.parties)})" if both else plan.parties[0]
        weaker = "a row belongs to both of its numbers, and protecting one alone would be weaker"
        why = weaker if both else f"the privacy unit of {plan.table} is {own}"
        raise text.refuse("DPQ-130", why, f"privacy_unit_column = {own}", options.places.get("privacy_unit_column"))
    strategy, place = options.group_selection_strategy, options.places.get("group_selection_strategy")
    if plan.selects_groups and strategy not in {None, LAPLACE_THRESHOLD}:
        why = "the groups of this query are not declared: they are selected by their noisy numbers"
        raise text.refuse("DPQ-130", why, f"group_selection_strategy = {LAPLACE_THRESHOLD}", place)
    if not plan.selects_groups and strategy not in {None, PUBLIC_GROUPS}:
        why = "the groups of this query are declared, and all of them return"
        raise text.refuse("DPQ-130", why, f"group_selection_strategy = {PUBLIC_GROUPS}", place)
    if plan.selects_groups and options.delta == 0.0:
        why = "groups that are not declared are selected at a delta above 0"
        raise text.refuse("DPQ-130", why, "delta = 1e-9", options.places.get("delta"))
