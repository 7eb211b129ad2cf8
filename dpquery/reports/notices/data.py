"""What is kept of people: the catalogue that queries are resolved against, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dpquery.catalog import numbering_plan
from dpquery.documents import DataColumn, DataTable
from dpquery.plan.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Literal

    from dpquery.plan.catalog import NamedColumn, NamedTable
    from dpquery.policy import Policy, Purpose, Table
    from dpquery.policy.model import Column

PEOPLE: Final = {
    "caller": "people who call",
    "callee": "people who are called",
    "owner": "people who call or are called",
    "number": "people whose number is in it",
}

DERIVED: Final = {
    "kind": "what kind of number it is: somebody's, a line of ours, a service, or not shown",
    "region": "the region that the number was given out in",
    "country": "the country that the number was given out in",
    "type": "what kind of line it is, such as mobile",
}
"""What is made of a number, by the ending of the column's name."""

TIMES: Final = {
    "day": "the day",
    "local_hour": "the hour of the day where the number is from",
    "earliest_hour": "the earliest hour of the day that it may have been where the number is from",
    "latest_hour": "the latest hour of the day that it may have been there",
    "local_dow": "the day of the week where the number is from",
}

OF_HALVES: Final = {
    "role": "whether you called or were called",
    "region": DERIVED["region"],
    "country": DERIVED["country"],
    "own_number_type": DERIVED["type"],
}

COLUMN_TOLD: Final = frozenset({"type", "selectable", "sensitive"})

COLUMN_TECHNICAL: Final = frozenset({"from", "unit", "keys", "null_key", "bounds", "grid", "bins"})
"""Fields that decide how a file is read, and how answers are listed and how exact they are."""


def catalog_of_policy(policy: Policy) -> Catalog:
    """What queries can name, without the keys that public tables list."""
    return Catalog.build(policy, numbering_plan(policy), {})


def protected_tables(policy: Policy, catalog: Catalog) -> tuple[DataTable, ...]:
    """Every table with rows that people own, in the policy's order: no other table, and no column that is not there."""
    return tuple(_table(table, policy) for table in catalog.tables.values() if not table.policy.public)


def months(policy: Policy) -> tuple[str, ...]:
    """UTC months for which a budget of its own is held, in order."""
    found = set()
    for table in policy.tables.values():
        if table.block == "month" and table.period is not None:
            first, last = table.period
            numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
            found |= {f"{number // 12:04d}-{number % 12 + 1:02d}" for number in numbers}
    return tuple(sorted(found))


def without_months(policy: Policy) -> tuple[str, ...]:
    """Tables of people's rows that have one budget for all their time."""
    return tuple(
        name
        for name, table in policy.tables.items()
        if not table.public and table.legs_of is None and table.block == "none"
    )


def further(section: Purpose | Table | Column, told: Collection[str]) -> dict[str, Any]:
    """Fields of a section that are not `told` in words, and not as they are when left out; so none is forgotten."""
    fields = section.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    return {name: value for name, value in fields.items() if name not in told}


def _table(table: NamedTable, policy: Policy) -> DataTable:
    source = (table.legs_of or table).policy
    period = source.period
    return DataTable(
        name=table.name,
        text=policy.report.words.get(table.name, _spaced(table.name)),
        kind=_kind(table),
        of=None if table.legs_of is None else table.legs_of.name,
        people=tuple(PEOPLE.get(party, f"people who are {_spaced(party)} of a row") for party in table.parties),
        columns=tuple(_column(column, table, policy) for column in table.columns.values()),
        grain=None if source.time is None else source.time.grain,
        period=None if period is None else (period[0].isoformat(), period[1].isoformat()),
        retention_days=source.retention_days if table.policy.retention_days is None else table.policy.retention_days,
    )


def _kind(table: NamedTable) -> Literal["rows", "halves of rows", "consents", "opt-outs"]:
    if table.legs_of is not None:
        return "halves of rows"
    match table.policy.registry:
        case "consents":
            return "consents"
        case "opt_outs":
            return "opt-outs"
        case _:
            return "rows"


def _column(column: NamedColumn, table: NamedTable, policy: Policy) -> DataColumn:
    kind = _column_kind(column, table)
    declared = (table.legs_of or table).policy.columns.get(column.name)
    return DataColumn(
        name=column.name,
        text=_words(column, table, policy, kind),
        kind=kind,
        type=column.type,
        sensitive=column.sensitive,
        selectable=column.selectable,
        further={} if declared is None else further(declared, COLUMN_TOLD | COLUMN_TECHNICAL),
    )


def _column_kind(column: NamedColumn, table: NamedTable) -> Literal["number", "declared", "time", "derived"]:
    if column.role == "party":
        return "number"
    if column.role == "time":
        return "time"
    return "declared" if column.name in (table.legs_of or table).policy.columns else "derived"


def _words(column: NamedColumn, table: NamedTable, policy: Policy, kind: str) -> str:
    """The policy's words, also those for the table that a view is of; else ours."""
    words = policy.report.words
    for name in (table.name, *([] if table.legs_of is None else [table.legs_of.name])):
        if (found := words.get(f"{name}.{column.name}")) is not None:
            return found
    if kind == "number":
        return "phone number, kept as a secret code only"
    if kind == "derived":
        return _derived(column.name, table)
    unit = f", in {column.unit}" if column.unit is not None else ""
    return f"{_spaced(column.name)}{unit}"


def _derived(name: str, table: NamedTable) -> str:
    if name in TIMES:
        return TIMES[name]
    if table.legs_of is not None:
        return OF_HALVES.get(name, _spaced(name))
    return DERIVED.get(name.rpartition("_")[2], _spaced(name))


def _spaced(name: str) -> str:
    return name.replace("_", " ")
