"""What an analyst can name: tables, columns, their types, bounds and keys. Made from public facts only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from dpquery.plan.keys import TimeRange
from dpquery.plan.ranges import ValueRange
from dpquery.policy.model import KeyRange, KeysFromTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.expressions import Constant, ValueType
    from dpquery.policy.model import Column, PlaceGrain, Policy, Table

NUMBER_KINDS = ("protected", "org", "service", "withheld")
"""Values of `<party>_kind`: somebody's number, the organisation's line, a number nobody owns, not shown."""


PublicRows: TypeAlias = "Mapping[str, Mapping[str, tuple[Constant, ...]]]"
"""Public tables by name, each column by column, in the order of their keys."""


@dataclass(frozen=True, slots=True)
class NumberingPlan:
    """Values that the columns derived from numbers can have, fixed by the policy and the numbering plan."""

    regions: tuple[str, ...]
    countries: tuple[str, ...]
    line_types: tuple[str, ...]
    told_as: Mapping[str, str] = field(default_factory=dict)
    """Line types that no column tells, and what they say instead."""


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
    declared: str = ""
    """Its name in the policy, as `table.column`."""
    place: PlaceGrain | None = None
    """How finely it tells a place."""
    capped: bool = False
    """Whether values above the last key stand for it: a number's rows are counted up to the policy's bound."""
    told_as: Mapping[str, str] = field(default_factory=dict)
    """Words that it never says, and what it says instead."""


@dataclass(frozen=True, slots=True)
class NamedTable:
    """A table of the policy. `legs_of` is set for a view with a row per party of each row of that table."""

    name: str
    policy: Table
    columns: Mapping[str, NamedColumn]
    legs_of: NamedTable | None = None
    public_rows: Mapping[str, tuple[Constant, ...]] = field(default_factory=dict, repr=False)
    """Values of a public table, column by column."""

    @property
    def parties(self) -> tuple[str, ...]:
        return (LEGS_PARTY,) if self.legs_of is not None else self.policy.party_names

    @property
    def owners(self) -> int | None:
        """Most protected numbers a row may have; None for public tables."""
        return 1 if self.legs_of is not None else self.policy.owners

    @property
    def time_column(self) -> str | None:
        if self.legs_of is not None:
            return self.legs_of.time_column
        return self.policy.time.column if self.policy.time is not None else None

    def stored_columns(self, name: str) -> tuple[str, ...]:
        """The columns of stored tables, as `table.column`, that a column is made of: in a view of each party's half."""
        source = self.legs_of
        if source is None:
            return (f"{self.name}.{name}",)
        own: tuple[str, ...] = (name,)
        if name == LEGS_ROLE:
            own = ()
        elif name == LEGS_PARTY:
            own = source.parties
        elif name in LEGS_DERIVED:
            own = tuple(f"{party}_{LEGS_DERIVED[name]}" for party in source.parties)
        return tuple(f"{source.name}.{column}" for column in own)

    @property
    def by_month(self) -> bool:
        """Whether budgets are held per month of the rows' own time."""
        return self.policy.block == "month"

    @property
    def period(self) -> TimeRange | None:
        """The declared period as times (UTC), last day included."""
        if self.legs_of is not None:
            return self.legs_of.period
        if self.policy.period is None:
            return None
        first, last = self.policy.period
        return TimeRange(datetime.combine(first, time()), datetime.combine(last, time()) + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Catalog:
    policy: Policy
    tables: Mapping[str, NamedTable]

    @classmethod
    def build(cls, policy: Policy, plan: NumberingPlan, public_rows: PublicRows) -> Catalog:
        """Name everything in `policy`; `public_rows` holds the values of each public table by column."""
        stored = {n: _table(n, policy, plan, public_rows) for n, t in policy.tables.items() if t.legs_of is None}
        named = {
            n: stored[n] if t.legs_of is None else _legs(n, t, stored[t.legs_of]) for n, t in policy.tables.items()
        }
        return cls(policy, named)


def _table(name: str, policy: Policy, plan: NumberingPlan, public_rows: PublicRows) -> NamedTable:
    table = policy.tables[name]
    columns = {party: NamedColumn(party, "text", "party", selectable=False) for party in table.party_names}
    for column_name, column in table.columns.items():
        columns[column_name] = _declared(column_name, column, policy, public_rows)
    if table.time is not None:
        columns[table.time.column] = NamedColumn(table.time.column, "timestamp", "time")
    for derived in table.derived_names:
        columns[derived] = _derived(derived, plan)
    owned = {
        column_: replace(named, declared=f"{name}.{column_}", sensitive=column_ in table.sensitive_names)
        for column_, named in columns.items()
    }
    return NamedTable(name, table, owned, public_rows=public_rows.get(name, {}) if table.public else {})


LEGS_PARTY = "owner"
"""The one party of a legs view: whose half of the row it is."""

LEGS_ROLE = "role"
"""Which party of the row that is."""

LEGS_DERIVED = {"region": "region", "country": "country", "own_number_type": "type"}
"""What a leg says of its owner's number, and the ending of the column it comes from."""


def _legs(name: str, table: Table, source: NamedTable) -> NamedTable:
    columns = {LEGS_PARTY: NamedColumn(LEGS_PARTY, "text", "party", selectable=False)}
    columns[LEGS_ROLE] = NamedColumn(LEGS_ROLE, "text", "value", source.parties, "policy")
    for carried in table.carries:
        columns[carried] = source.columns[carried]
    first = source.parties[0]
    for derived, ending in LEGS_DERIVED.items():
        sensitive = any(source.columns[f"{party}_{ending}"].sensitive for party in source.parties)
        columns[derived] = replace(source.columns[f"{first}_{ending}"], name=derived, sensitive=sensitive)
    if source.time_column is not None:
        for moment in (source.time_column, "day", "local_hour", "local_dow"):
            columns[moment] = source.columns[moment]
    return NamedTable(name, table, columns, legs_of=source)


def _declared(name: str, column: Column, policy: Policy, public_rows: PublicRows) -> NamedColumn:
    keys: tuple[Constant, ...] | None
    match column.keys:
        case KeysFromTable(table=table):
            own = policy.tables[table].key
            keys, origin = public_rows.get(table, {}).get(own or "", ()), f"public table {table}"
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
        place=column.place,
    )


CLOCKS = frozenset({"day", "local_hour", "local_dow", "earliest_hour", "latest_hour"})
"""Columns that follow from a row's time."""


def _derived(name: str, plan: NumberingPlan) -> NamedColumn:
    match name.rpartition("_")[2] if name not in CLOCKS else name:
        case "day":
            return NamedColumn(name, "date", "value", keys_origin="time range")
        case "local_hour":
            return NamedColumn(name, "integer", "value", tuple(range(24)), "calendar", ValueRange(0, 23, 1.0))
        case "earliest_hour" | "latest_hour":
            return NamedColumn(name, "integer", "value", tuple(range(168)), "calendar", ValueRange(0, 167, 1.0))
        case "local_dow":
            return NamedColumn(name, "integer", "value", tuple(range(1, 8)), "calendar", ValueRange(1, 7, 1.0))
        case "kind":
            return NamedColumn(name, "text", "value", NUMBER_KINDS, "numbering plan")
        case "region":
            return NamedColumn(name, "text", "value", plan.regions, "numbering plan", place="region")
        case "country":
            return NamedColumn(name, "text", "value", plan.countries, "numbering plan", place="country")
        case _:
            return NamedColumn(name, "text", "value", plan.line_types, "numbering plan", told_as=plan.told_as)
