"""`SELECT DISTINCT service FROM calls`, as tools ask for the choices of a filter: the declared keys, without rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from dpquery.plan.retention import retained
from dpquery.sql.clauses import aggregates_in, unaliased
from dpquery.sql.parse import parse_select
from dpquery.sql.request import Options, read_request
from dpquery.sql.resolve import plan_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.catalog import Catalog
    from dpquery.plan.expressions import Constant, Value, ValueType
    from dpquery.plan.permission import Permission
    from dpquery.plan.retention import Cutoffs

_PARTS = {"expressions", "from_", "where", "distinct", "group", "order", "limit"}
_COUNTED = "rows_of_the_key"


@dataclass(frozen=True, slots=True)
class KeyValues:
    """The values that one key can have, whether or not any row has them."""

    name: str
    type: ValueType
    values: tuple[Constant, ...]


def key_values(
    source: str,
    catalog: Catalog,
    *,
    permission: Permission | None = None,
    parameters: Mapping[str, Value] | None = None,
    cuts: Cutoffs | None = None,
) -> KeyValues | None:
    """What `source` asks for, if it asks for the different values of one key and nothing else; None otherwise.

    The values come from policy, numbering plan, calendar and public tables, as those of GROUP BY do; no row is read.
    Times before `cuts`, past retention, are left out. QueryRefused for a key that GROUP BY would refuse, NotAllowed for
    one that is not for the purpose.
    """
    request = read_request(source)
    if request.statement != "select":
        return None
    select, text, bounds = parse_select(request.source, request.select)
    if bounds or request.options != Options() or not _asks_for_a_key(select):
        return None
    counted = select.copy()
    if counted.args.pop("distinct", None) is not None:
        counted.set("group", exp.Group(expressions=[unaliased(select.expressions[0]).copy()]))
    counted.append("expressions", exp.alias_(exp.Count(this=exp.Star()), _COUNTED))
    plan = plan_of(counted, text, (), catalog, permission=permission, parameters=parameters)
    plan = retained(plan, cuts or {})
    if len(plan.keys) != 1 or any(ordering.output != 0 for ordering in plan.order):
        return None
    (key,) = plan.keys
    if not key.declared:
        return None  # only rows know its values: that is a query, and priced
    values = key.values
    for ordering in plan.order:
        known = sorted((v for v in values if v is not None), reverse=ordering.descending)
        values = (*known, None) if None in values else tuple(known)  # NULL stands last either way, as in DuckDB
    return KeyValues(plan.outputs[0].name, key.type, values[: plan.limit])


def _asks_for_a_key(select: exp.Select) -> bool:
    """Whether one item is all there is, each value once."""
    if any(value for part, value in select.args.items() if part not in _PARTS):
        return False
    distinct, group = select.args.get("distinct"), select.args.get("group")
    if (distinct is None) == (group is None) or (distinct is not None and distinct.args.get("on")):
        return False
    return len(select.expressions) == 1 and not aggregates_in(select.expressions[0])
