"""One query to a LogicalPlan: names, types, keys and value bounds, all from public facts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dpquery.errors import InternalError, NotAllowed, QueryRefused, broken
from dpquery.plan.expressions import ColumnRef, Comparison, Value
from dpquery.plan.keys import EVER, TimeRange
from dpquery.plan.permission import Permission
from dpquery.plan.query import CountNumbers, CountRows, LogicalPlan, RequestedBounds
from dpquery.plan.relations import PerNumber, Stored, own_leaves, reads_legs
from dpquery.sql.aggregates import AggregateResolver
from dpquery.sql.clauses import check_clauses, check_windows
from dpquery.sql.context import Context
from dpquery.sql.keys import KeyResolver, uncapped
from dpquery.sql.options import check_options, with_options
from dpquery.sql.outputs import Outputs
from dpquery.sql.ownership import TWO_WAYS, has_one_owner, sealed
from dpquery.sql.parse import parse_select, quiet_parser
from dpquery.sql.request import Request, read_request
from dpquery.sql.sources import rows_of
from dpquery.sql.unwrapped import unwrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.catalog import Catalog
    from dpquery.plan.expressions import Expression
    from dpquery.sql.named_arguments import NamedBounds
    from dpquery.sql.scope import Rows
    from dpquery.sql.text import QueryText

NOT_ALLOWED = ("DPQ-3", "DPQ-4")
"""How codes begin that are about who asks, for what, and who has consented."""


def resolve(
    source: str | Request,
    catalog: Catalog,
    *,
    permission: Permission | None = None,
    requested_bounds: RequestedBounds | None = None,
    parameters: Mapping[str, Value] | None = None,
) -> LogicalPlan:
    """The plan of the query `source`, as text or as what `read_request` made of it; reads no data.

    `permission` is what the purpose may use; without one that is all but sensitive columns. Raises QueryRefused with
    the place in the text for whatever cannot be answered, NotAllowed for what the purpose may not use.
    """
    request = read_request(source) if isinstance(source, str) else source
    if request.statement not in {"select", "explain"}:
        raise QueryRefused("DPQ-109", "this is not a query: nothing is counted", fix="SELECT COUNT(*) FROM calls")
    select, text, bounds = parse_select(request.source, request.select)
    try:
        plan = plan_of(
            select,
            text,
            bounds,
            catalog,
            permission=permission,
            requested_bounds=with_options(requested_bounds or RequestedBounds(), request.options),
            parameters=parameters,
        )
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        # The parser's trees are not ours: where one has a form that nobody foresaw, callers still get our own error.
        why = f"the query was parsed, but not understood ({type(error).__name__}); nothing was released"
        raise InternalError("DPQ-001", why, fix="write it otherwise, and report this") from error
    check_options(request.options, plan, text)
    return plan


def plan_of(
    select: exp.Select,
    text: QueryText,
    bounds: tuple[NamedBounds, ...],
    catalog: Catalog,
    *,
    permission: Permission | None = None,
    requested_bounds: RequestedBounds | None = None,
    parameters: Mapping[str, Value] | None = None,
) -> LogicalPlan:
    """The plan of a query that has been parsed; see `resolve`."""
    context = Context(catalog, text, permission or Permission(), parameters or {})
    with quiet_parser():
        check_windows(select, text)
        _check_parameters(select, context)
        select = unwrapped(select)
        check_clauses(select, text, inner=False)
        plan = _plan(select, context, bounds, requested_bounds or RequestedBounds())
    _check_purpose(plan, context)
    return plan


def _check_purpose(plan: LogicalPlan, context: Context) -> None:
    """NotAllowed or QueryRefused for a plan that the purpose may not ask, with the place in the text."""
    fault = context.permission.fault(plan, context.catalog, context.mentions.tables)
    if fault is None:
        return
    where = context.mentions.span(fault.about, context.text)
    if fault.code.startswith(NOT_ALLOWED):
        raise NotAllowed(fault.code, fault.why, fix=fault.fix, where=where, source=context.text.source)
    raise context.text.refuse(fault.code, fault.why, fault.fix, where)


def _check_parameters(select: exp.Select, context: Context) -> None:
    """QueryRefused for a value that no `:name` of the text takes: a name is misspelt on one of the two sides."""
    named = {node.name.lower() for node in select.find_all(exp.Placeholder, exp.Parameter, exp.SessionParameter)}
    for name in context.parameters:
        if name not in named:
            offered = ", ".join(f":{other}" for other in sorted(named) if other)
            fix = f"the query has {offered}" if offered else f"write :{name} where its value belongs"
            raise context.text.refuse("DPQ-113", f"the query has no parameter :{name}", fix)


def _plan(
    select: exp.Select, context: Context, bounds: tuple[NamedBounds, ...], requested: RequestedBounds
) -> LogicalPlan:
    text = context.text
    rows, resolver = rows_of(select, context)
    rows = sealed(rows, context, select.args.get("where"))
    _check_unit(rows, context, select)
    one_owner = has_one_owner(rows)
    if isinstance(rows.relation, PerNumber) and not one_owner:
        rows = _for_calls_per_number(rows, requested)
    resolver = replace(resolver, rows=rows)
    thresholds = context.catalog.policy.limits.min_people is not None
    keys = KeyResolver(resolver, _time_range(rows), one_owner, thresholds).keys(select)
    aggregating = AggregateResolver(resolver, bounds)
    outputs = Outputs(select, resolver, aggregating, keys)
    outputs.selected()
    having = outputs.having()
    order = outputs.order()
    for given in bounds:
        if given.call not in aggregating.used:
            place = text.span_of(given.call, given.call)
            raise text.refuse("DPQ-108", "only SUM, AVG, VARIANCE and quantiles take bounds", "SUM(talk_s, ...)", place)
    plan = LogicalPlan(
        table=rows.table.name,
        relation=rows.relation,
        parties=rows.parties,
        where=rows.where,
        keys=keys,
        aggregates=tuple(outputs.aggregates),
        outputs=tuple(outputs.outputs),
        one_owner=one_owner,
        requested_bounds=requested,
        expressions=tuple(outputs.expressions),
        having=having,
        order=order,
        limit=outputs.limit(),
        source=text.source,
    )
    per_number = isinstance(rows.relation, PerNumber)
    return _calls_per_number(plan, context, select) if per_number and not one_owner else plan


def _check_unit(rows: Rows, context: Context, select: exp.Select) -> None:
    """QueryRefused where rows of a legs view decide about rows whose table promises more than the view does."""
    if rows.table.legs_of is None and reads_legs(rows.relation):
        raise context.text.refuse(
            "DPQ-121",
            f"a legs view protects a number's own half of a call, and {rows.table.name} promises more",
            "FROM the legs view, with the others joined to it or listed; or make the list of rows with one owner:"
            "\nWHERE direction = 'inbound' GROUP BY caller",
            select.args["from_"],
        )


def _time_range(rows: Rows) -> TimeRange | None:
    """Times that the rows can have; None for rows without a time of their own."""
    if rows.time_column is None or rows.per_number is not None:
        return None
    ranges = [leaf.time_range for leaf in own_leaves(rows.relation) if _is_timed(leaf)]
    return TimeRange(min(r.start for r in ranges), max(r.end for r in ranges)) if ranges else None


def _is_timed(leaf: Stored) -> bool:
    return leaf.time_range != EVER


def _for_calls_per_number(rows: Rows, requested: RequestedBounds) -> Rows:
    """Calls per number over rows of two owners: counts go up to the capacity of the one greedy that bounds them."""
    most = rows.table.policy.contribution_bounds.grouped.max_rows_per_group or 1
    asked = (requested.max_rows_per_group, requested.max_rows)
    capacity = max(1, min(most, *(most if each is None else each for each in asked)))
    counted = {
        name: replace(column, keys=tuple(range(1, capacity + 1)), keys_origin="bounds", capped=True)
        for name, column in rows.columns.items()
    }
    return replace(rows, columns=counted)


def _calls_per_number(plan: LogicalPlan, context: Context, select: exp.Select) -> LogicalPlan:
    """The two questions about calls per number that two owners per row allow; anything else is refused.

    How many numbers have 1, 2, ... calls, and how many have at least so many: both are read off one greedy over all
    rows, where removing a number moves the counts of few others.
    """
    relation = plan.relation
    if not isinstance(relation, PerNumber):
        broken("calls per number are rows per number")
    by_rows = bool(plan.keys)
    counted = {m.name for m in relation.measures if m.function == "count" and m.argument is None and m.where is None}
    tests = [_at_least(condition, counted) for condition in (*relation.having, *plan.where)]
    keyed = len(plan.keys) == 1 and _counts(uncapped(plan.keys[0].expression), counted)
    shape = list(plan.aggregates) == [CountRows()] and (keyed or not plan.keys)
    if not shape or None in tests or (by_rows and tests) or plan.expressions:
        raise context.text.refuse(
            "DPQ-119",
            "calls per number over rows of two owners are counted in two ways only",
            TWO_WAYS,
            select,
        )
    least = max([test for test in tests if test is not None], default=1)
    table = context.catalog.tables[plan.table]
    return replace(
        plan,
        relation=relation.source,
        parties=table.parties,
        where=relation.where,
        aggregates=(CountNumbers(least, by_rows),),
    )


def _counts(expression: Expression, counted: set[str]) -> bool:
    return isinstance(expression, ColumnRef) and expression.name in counted


def _at_least(condition: Expression, counted: set[str]) -> int | None:
    """The t of `n >= t`, for the count n and a whole number t from 1 on; None for any other condition."""
    match condition:
        case Comparison(
            operator=">=" | ">" as operator, left=ColumnRef(name=name), right=Value(value=int() as value)
        ) if name in counted:
            least = value + (operator == ">")
            return least if least >= 1 else None
        case _:
            return None
