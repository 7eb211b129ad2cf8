"""Our plan to DuckDB SQL. Constants are parameters; names come from the policy; no user text passes through.

Every rendering is total: no row makes the engine raise. Arithmetic runs in double precision, where overflow gives an
infinity instead of an error, and what is not finite becomes NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_never

from dpquery.errors import broken, ensure
from dpquery.plan.expressions import (
    NUMERIC,
    And,
    Arithmetic,
    Case,
    Coalesce,
    ColumnRef,
    Comparison,
    Constant,
    Expression,
    InList,
    IsNull,
    Like,
    Not,
    Or,
    TimeTruncation,
    Value,
    ValueType,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpquery.plan.keys import GroupKey

NULL_VALUE = -(2**62)
"""Stands for NULL in a streamed column of grid steps, which lie within +/- 2^31."""


@dataclass(frozen=True, slots=True)
class Sql:
    """SQL text and the parameters of its `?`, in order."""

    text: str
    parameters: tuple[Any, ...] = ()


def sql(template: str, *parts: Sql) -> Sql:
    """`template` with each `{}` replaced by the next part, parameters kept in the order of the text."""
    return Sql(template.format(*(part.text for part in parts)), tuple(p for part in parts for p in part.parameters))


def join(separator: str, parts: Sequence[Sql]) -> Sql:
    return Sql(separator.join(part.text for part in parts), tuple(p for part in parts for p in part.parameters))


def identifier(name: str) -> Sql:
    """A column name; names of the policy hold only lower-case letters, digits and `_`."""
    ensure(name.replace("_", "").isalnum() and name.isascii(), "names of the policy need no escaping")
    return Sql(f'"{name}"')


def condition(conditions: Sequence[Expression]) -> Sql:
    """All conditions as one WHERE text; TRUE for none."""
    return join(" AND ", [sql("({})", render(c)) for c in conditions]) if conditions else Sql("TRUE")


def render(expression: Expression) -> Sql:
    """One row expression."""
    match expression:
        case ColumnRef(name=name):
            return identifier(name)
        case Value(value=None):
            return Sql("NULL")
        case Value(value=value, type=kind):
            return sql("CAST({} AS " + _SQL_TYPES[kind] + ")", Sql("?", (value,)))
        case Arithmetic(operator="/", left=left, right=right):
            return _finite(sql("{} / NULLIF({}, 0.0::DOUBLE)", _double(left), _double(right)))
        case Arithmetic(operator=operator, left=left, right=right):
            return _finite(sql("{} " + operator + " {}", _double(left), _double(right)))
        case Comparison(operator=operator, left=left, right=right):
            kinds = {left.type, right.type}
            return sql("({} " + operator + " {})", _side(left, kinds), _side(right, kinds))
        case And(items=items):
            return sql("({})", join(" AND ", [render(item) for item in items]))
        case Or(items=items):
            return sql("({})", join(" OR ", [render(item) for item in items]))
        case Not(item=item):
            return sql("(NOT {})", render(item))
        case IsNull(item=item):
            return sql("({} IS NULL)", render(item))
        case InList(item=item, values=values):
            kinds = {item.type, *(value.type for value in values)}
            return sql("({} IN ({}))", _side(item, kinds), join(", ", [_side(value, kinds) for value in values]))
        case Like(item=item, pattern=pattern):
            return sql("({} LIKE {})", render(item), Sql("?", (pattern,)))
        case Case(branches=branches, default=default, type=kind):
            parts = [sql("WHEN {} THEN {}", render(test), _as(value, kind)) for test, value in branches]
            ending = Sql("") if default is None else sql(" ELSE {}", _as(default, kind))
            return sql("(CASE {}{} END)", join(" ", parts), ending)
        case Coalesce(items=items, type=kind):
            return sql("COALESCE({})", join(", ", [_as(item, kind) for item in items]))
        case TimeTruncation(unit=unit, item=item, type=kind):
            moment = sql("date_trunc('" + unit + "', {})", _time(item))
            return sql("CAST({} AS DATE)", moment) if kind == "date" else moment
        case _:
            assert_never(expression)


def grid_steps(argument: Expression, grid: float, low: int, high: int) -> Sql:
    """round(argument / grid) clamped to [low, high] as BIGINT; NULL_VALUE where the argument is NULL or not finite."""
    ensure(-(2**31) <= low <= high <= 2**31, "grid steps lie within +/- 2^31")
    if isinstance(argument, ColumnRef) and argument.type == "integer" and grid == 1.0:
        column = identifier(argument.name)
        bounded = sql(f"greatest({low}::BIGINT, least({high}::BIGINT, {{}}))", column)
        return sql(f"(CASE WHEN {{}} IS NULL THEN {NULL_VALUE}::BIGINT ELSE {{}} END)", column, bounded)
    steps = sql(f"round_even({{}} / {grid!r}::DOUBLE, 0)", _finite(_double(argument)))
    bounded = sql(f"CAST(clamp_or_null({{}}, {low}.0::DOUBLE, {high}.0::DOUBLE) AS BIGINT)", steps)
    return sql(f"COALESCE({{}}, {NULL_VALUE}::BIGINT)", bounded)


CLAMP_MACRO = (
    # `least` and `greatest` skip NULL, so a NULL value would become a bound; and NaN sorts above every number.
    "CREATE TEMP MACRO clamp_or_null(x, low, high) AS "
    "CASE WHEN x IS NULL OR isnan(x) THEN NULL WHEN x < low THEN low WHEN x > high THEN high ELSE x END"
)


def cell(keys: Sequence[GroupKey]) -> Sql:
    """Index of the row's cell, by the keys' own order of values, first key slowest; -1 for a row in no cell."""
    if not keys:
        return Sql("0::INTEGER")
    index = Sql("0")
    for key in keys:
        index = sql(f"({{}} * {len(key.values)} + {{}})", index, _position(key))
    return sql("CAST(COALESCE({}, -1) AS INTEGER)", index)


def _position(key: GroupKey) -> Sql:
    """Index of the key's value in its list, NULL where it is not listed."""
    values = [value for value in key.values if value is not None]
    inner = render(key.expression)
    ensure(not inner.parameters, "keys are columns and truncations, without constants")
    position = _listed_position(inner, values) if values else Sql("NULL::INTEGER")
    if None in key.values:
        # NULL stands last among a key's values, so the others keep their positions.
        ensure(key.values[-1] is None, "NULL is the last value of a key")
        return sql(f"CASE WHEN {{}} IS NULL THEN {len(values)} ELSE {{}} END", inner, position)
    return position


def _listed_position(inner: Sql, values: Sequence[Constant]) -> Sql:
    first = values[0]
    match first:
        case bool():
            listed = ", ".join("TRUE" if value else "FALSE" for value in values)
        case str():
            # An ENUM looks each distinct text up once; TRY_CAST of an unknown text is NULL.
            members = Sql(", ".join(_quoted(str(value)) for value in values))
            return sql("CAST(enum_code(TRY_CAST({} AS ENUM({}))) AS INTEGER)", inner, members)
        case int():
            listed = ", ".join(f"{value}::BIGINT" for value in values)
            if list(values) == list(range(first, first + len(values))):
                last = first + len(values) - 1
                return sql(f"CASE WHEN {{}} BETWEEN {first} AND {last} THEN {{}} - {first} END", inner, inner)
        case datetime():
            return _time_position(inner, values)
        case date():
            listed = ", ".join(f"DATE '{value}'" for value in values)
            if list(values) == [first + timedelta(days=i) for i in range(len(values))]:
                days = sql(f"date_diff('day', DATE '{first}', {{}})", inner)
                return sql(f"CASE WHEN {{}} BETWEEN 0 AND {len(values) - 1} THEN {{}} END", days, days)
        case _:
            broken("keys are text, whole numbers, truth values or times")
    return sql(f"list_position([{listed}], {{}}) - 1", inner)


def _time_position(inner: Sql, values: Sequence[Constant]) -> Sql:
    listed = ", ".join(f"TIMESTAMP '{value}'" for value in values)
    if len(values) <= 1:
        return sql(f"list_position([{listed}], {{}}) - 1", inner)
    first, second = values[0], values[1]
    if not (isinstance(first, datetime) and isinstance(second, datetime)):
        broken("keys of time are times")
    step = second - first
    steps = [first + step * i for i in range(len(values))]
    if list(values) != steps:  # months
        return sql(f"list_position([{listed}], {{}}) - 1", inner)
    hours = int(step.total_seconds() // 3600)
    index = sql(f"date_diff('hour', TIMESTAMP '{first}', {{}}) // {hours}", inner)
    return sql(f"CASE WHEN {{}} >= TIMESTAMP '{first}' AND {{}} < {len(values)} THEN {{}} END", inner, index, index)


def _quoted(text: str) -> str:
    ensure("\x00" not in text, "keys hold no NUL")
    return "'" + text.replace("'", "''") + "'"


def _finite(number: Sql) -> Sql:
    nulled = "NULLIF(NULLIF(NULLIF({}, 'inf'::DOUBLE), '-inf'::DOUBLE), 'nan'::DOUBLE)"
    return sql(nulled, number)


def _double(expression: Expression) -> Sql:
    return sql("CAST({} AS DOUBLE)", render(expression))


def _side(expression: Expression, kinds: set[ValueType]) -> Sql:
    """A side of a comparison between `kinds`: decimals finite or NULL, dates as times beside a time."""
    if expression.type == "decimal" and isinstance(expression, ColumnRef):
        return _finite(render(expression))
    if {"date", "timestamp"} <= kinds:
        return _time(expression)
    return render(expression)


def _time(expression: Expression) -> Sql:
    """A date or time as a time; NULL for a date so far off that there is no such time."""
    if expression.type == "timestamp":
        return render(expression)
    return sql("TRY_CAST({} AS TIMESTAMP)", render(expression))


def _as(expression: Expression, kind: str) -> Sql:
    """A branch in the type of the whole."""
    if kind in NUMERIC:
        return _double(expression)
    return render(expression)


_SQL_TYPES = {
    "integer": "BIGINT",
    "decimal": "DOUBLE",
    "text": "VARCHAR",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
