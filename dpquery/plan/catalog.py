"""What an analyst can name: tables, columns, their types, bounds and keys. Made from public facts only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from dpquery.plan.keys import TimeRange
from dpquery.plan.ranges import ValueRange
from dpquery.policy.model import KeyRange, KeysFromTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.expressions import Constant, ValueType
    from dpquery.policy.model import Column, Policy, Table

NUMBER_KINDS = ("protected", "org", "service", "withheld")
"""Values of `<party>_kind`: somebody's number, the organisation's line, a number nobody owns, not shown."""


@dataclass(frozen=True, slots=True)
class NumberingPlan:
    """Values that the columns derived from numbers can have, fixed by the policy and the numbering plan."""

    regions: tuple[str, ...]
    countries: tuple[str, ...]
    line_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NamedColumn:
    """One column as the resolver sees it."""

    name: str
    type: ValueType
    role: Literal["value", "party", "time"]
    keys: tuple[Constant, ...] | None = None
    keys_origin: str = ""
    bounds: ValueRange | None = None
    bins: Literal["log", "linear"] = "linear"
    unit: str | None = None
    selectable: bool = True
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class NamedTable:
    name: str
    policy: Table
    columns: Mapping[str, NamedColumn]

    @property
    def parties(self) -> tuple[str, ...]:
        return self.policy.party_names

    @property
    def time_column(self) -> str | None:
        return self.policy.time.column if self.policy.time is not None else None

    @property
    def period(self) -> TimeRange | None:
        """The declared period as times (UTC), last day included."""
        if self.policy.period is None:
            return None
        first, last = self.policy.period
        return TimeRange(datetime.combine(first, time()), datetime.combine(last, time()) + timedelta(days=1))

    @property
    def value_ranges(self) -> dict[str, ValueRange]:
        """Bounds of the columns that have any."""
        return {name: column.bounds for name, column in self.columns.items() if column.bounds is not None}


@dataclass(frozen=True, slots=True)
class Catalog:
    policy: Policy
    tables: Mapping[str, NamedTable]

    @classmethod
    def build(cls, policy: Policy, plan: NumberingPlan, public_keys: Mapping[str, tuple[str, ...]]) -> Catalog:
        """Name everything in `policy`; `public_keys` holds the key values of each public table."""
        return cls(policy, {name: _table(name, table, plan, public_keys) for name, table in policy.tables.items()})


def _table(name: str, table: Table, plan: NumberingPlan, public_keys: Mapping[str, tuple[str, ...]]) -> NamedTable:
    columns = {party: NamedColumn(party, "text", "party", selectable=False) for party in table.party_names}
    for column_name, column in table.columns.items():
        columns[column_name] = _declared(column_name, column, public_keys)
    if table.time is not None:
        columns[table.time.column] = NamedColumn(table.time.column, "timestamp", "time")
    for derived in table.derived_names:
        columns[derived] = _derived(derived, plan)
    return NamedTable(name, table, columns)


def _declared(name: str, column: Column, public_keys: Mapping[str, tuple[str, ...]]) -> NamedColumn:
    keys: tuple[Constant, ...] | None
    match column.keys:
        case KeysFromTable(table=table):
            keys, origin = public_keys.get(table, ()), f"public table {table}"
        case KeyRange(low=low, high=high):
            keys, origin = tuple(range(low, high + 1)), "policy"
        case None:
            keys, origin = ((False, True), "type") if column.type == "boolean" else (None, "")
        case listed:
            keys, origin = tuple(listed), "policy"
    if keys is not None and column.null_key:
        keys = (*keys, None)
    bounds = None
    if column.bounds is not None:
        bounds = ValueRange(column.bounds[0], column.bounds[1], column.grid_step)
    return NamedColumn(
        name,
        column.type,
        "value",
        keys=keys,
        keys_origin=origin,
        bounds=bounds,
        bins=column.bins,
        unit=column.unit,
        selectable=column.selectable,
        sensitive=column.sensitive,
    )


def _derived(name: str, plan: NumberingPlan) -> NamedColumn:
    match name.rpartition("_")[2] if name not in {"day", "local_hour", "local_dow"} else name:
        case "day":
            return NamedColumn(name, "date", "value", keys_origin="time range")
        case "local_hour":
            return NamedColumn(name, "integer", "value", tuple(range(24)), "calendar", ValueRange(0, 23, 1.0))
        case "local_dow":
            return NamedColumn(name, "integer", "value", tuple(range(1, 8)), "calendar", ValueRange(1, 7, 1.0))
        case "kind":
            return NamedColumn(name, "text", "value", NUMBER_KINDS, "numbering plan")
        case "region":
            return NamedColumn(name, "text", "value", plan.regions, "numbering plan")
        case "country":
            return NamedColumn(name, "text", "value", plan.countries, "numbering plan")
        case _:
            return NamedColumn(name, "text", "value", plan.line_types, "numbering plan")
