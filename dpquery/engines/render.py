"""Our plan to DuckDB SQL. Constants are parameters; names come from the policy; no user text passes through.

Every rendering is total: no row makes the engine raise. Arithmetic runs in double precision, where overflow gives an
infinity instead of an error, and what is not finite becomes NULL. Each part of an expression stands once in the text
(a part that is looked at twice is the argument of a lambda), or nested expressions would grow without measure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_never

from dpquery.engines.functions import FUNCTION_RENDERINGS
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
    Function,
    InList,
    IsNull,
    Like,
    Lookup,
    Not,
    Or,
    TimeTruncation,
    Value,
    ValueType,
)
from dpquery.plan.functions import DIFFERENCE_UNITS, SHIFTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpquery.engines.functions import Form
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
            return sql("CAST({} AS " + SQL_TYPES[kind] + ")", Sql("?", (value,)))
        case Arithmetic(operator=operator, left=left, right=right):
            # x / 0 is not finite in double precision, so it is NULL like everything else that is not.
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
            moment = sql("date_trunc('" + unit + "', {})", _calendar_time(item))
            return sql("CAST({} AS DATE)", moment) if kind == "date" else moment
        case Lookup(item=item, keys=keys, values=values, type=kind):
            return _lookup(item, keys, values, kind)
        case Function(name=name, arguments=arguments):
            return _function(name, arguments)
        case _:
            assert_never(expression)


def _function(name: str, arguments: Sequence[Expression]) -> Sql:
    rendering = FUNCTION_RENDERINGS[name]
    kinds: set[ValueType] = {a.type for a in arguments if not (isinstance(a, Value) and a.value is None)}
    last = len(rendering.forms) - 1
    parts = [_argument(rendering.forms[min(i, last)], a, kinds, arguments[i - 1]) for i, a in enumerate(arguments)]
    template = rendering.template.replace("{...}", ", ".join(["{}"] * len(parts)))
    result = sql(template, *parts)
    match rendering.wrap:
        case "finite":
            return _finite(result)
        case "time":
            return _let(result, _IN_CALENDAR["timestamp"])
        case "date":
            return _let(result, _IN_CALENDAR["date"])
        case _:
            return result


def _argument(form: Form, argument: Expression, kinds: set[ValueType], previous: Expression) -> Sql:
    match form:
        case "double":
            return _double(argument)
        case "text":
            return render(argument)
        case "alike":
            return _double(argument) if kinds <= NUMERIC else _side(argument, kinds)
        case "time":
            return _calendar_time(argument)
        case "date":
            return _guarded(argument, _IN_CALENDAR["date"])
        case "castable":
            return _in_own_type(argument)
        case "print":
            return sql("CAST({} AS VARCHAR)", _in_own_type(argument))
        case "days":
            return sql("CAST({} AS INTEGER)", _within(argument, SHIFTS["days"]))
        case "shift":
            return _within(argument, SHIFTS[str(_constant(previous))])
        case "position":
            return _position_in_text(argument)
        case "inline":
            value = _constant(argument)
            ensure(isinstance(value, int) and abs(value) < 2**31, "constants in the text are small whole numbers")
            return Sql(str(value))
        case "unit":
            word = str(_constant(argument))
            ensure(word in DIFFERENCE_UNITS or word in SHIFTS, "words in the text are our own")
            return Sql(word)
        case "constant":
            return Sql("?", (_constant(argument),))
        case _:
            assert_never(form)


def _position_in_text(argument: Expression) -> Sql:
    """A whole number as BIGINT; beyond 2^31, where no text reaches, the function itself may raise."""
    if isinstance(argument, Value) and isinstance(argument.value, int) and abs(argument.value) < 2**31:
        return sql("CAST({} AS BIGINT)", Sql("?", (argument.value,)))
    return _let(_double(argument), _POSITION)


def _constant(expression: Expression) -> Constant:
    ensure(isinstance(expression, Value), "this argument is a constant")
    return expression.value if isinstance(expression, Value) else None


def _within(argument: Expression, limit: int) -> Sql:
    """A whole number as BIGINT, NULL beyond +/- `limit`."""
    if isinstance(argument, Value) and isinstance(argument.value, int) and abs(argument.value) <= limit:
        return sql("CAST({} AS BIGINT)", Sql("?", (argument.value,)))
    return _let(_double(argument), f"CASE WHEN v BETWEEN {-limit} AND {limit} THEN CAST(v AS BIGINT) END")


def _in_own_type(expression: Expression) -> Sql:
    """A value as its type is stored."""
    return _double(expression) if expression.type == "decimal" else column_value(expression)


def column_value(expression: Expression) -> Sql:
    """An expression as a column: whole numbers that were computed in double precision as BIGINT again, else NULL.

    In double precision 0 has two signs, which are equal in some places and different in others.
    """
    if expression.type == "integer" and not isinstance(expression, ColumnRef | Value):
        return sql("TRY_CAST({} AS BIGINT)", render(expression))
    return render(expression)


def _lookup(item: Expression, keys: Sequence[str], values: Sequence[Constant], kind: ValueType) -> Sql:
    """A list of values at the key's position in an ENUM; a text that is no key has none, and NULL comes out."""
    if not keys:
        return Sql("CAST(NULL AS " + SQL_TYPES[kind] + ")")
    listed = Sql("CAST(? AS " + SQL_TYPES[kind] + "[])", (list(values),))
    return sql("list_extract({}, {} + 1)", listed, _listed_position(render(item), keys))


def grid_steps(argument: Expression, grid: float, low: int, high: int) -> Sql:
    """round(argument / grid) clamped to [low, high] as BIGINT; NULL_VALUE where the argument is NULL or not finite."""
    ensure(-(2**31) <= low <= high <= 2**31, "grid steps lie within +/- 2^31")
    if isinstance(argument, ColumnRef) and argument.type == "integer" and grid == 1.0:
        column = identifier(argument.name)
        bounded = sql(f"greatest({low}::BIGINT, least({high}::BIGINT, {{}}))", column)
        return sql(f"(CASE WHEN {{}} IS NULL THEN {NULL_VALUE}::BIGINT ELSE {{}} END)", column, bounded)
    steps = sql(f"round_even({{}} / {grid!r}::DOUBLE, 0)", _double(argument))
    bounded = sql(f"CAST(clamp_or_null({{}}, {low}.0::DOUBLE, {high}.0::DOUBLE) AS BIGINT)", steps)
    return sql(f"COALESCE({{}}, {NULL_VALUE}::BIGINT)", bounded)


STEPS_MAX = 2**52
"""Whole steps up to here are exact in double precision, and any number of them adds up in 128 bits."""


def grid_sum(argument: Expression, grid: float, only: Sql, *, mean: bool) -> Sql:
    """Sum, or mean, of the values as whole steps of `grid`: exact, so the same in any order; `only` is a FILTER."""
    rounded = sql(f"round_even({{}} / {grid!r}::DOUBLE, 0)", _finite(_double(argument)))
    steps = sql(f"CAST(clamp_or_null({{}}, -{STEPS_MAX}.0::DOUBLE, {STEPS_MAX}.0::DOUBLE) AS BIGINT)", rounded)
    total = sql("sum({}){}", steps, only)
    if mean:
        return sql(f"CAST({{}} AS DOUBLE) * {grid!r}::DOUBLE / NULLIF(count({{}}){{}}, 0)", total, steps, only)
    if argument.type == "integer" and grid == 1.0:
        return sql("TRY_CAST({} AS BIGINT)", total)
    return sql(f"CAST({{}} AS DOUBLE) * {grid!r}::DOUBLE", total)


def key_value(expression: Expression) -> Sql:
    """A key as Python has it: whole numbers of 64 bits, dates and times within the calendar; else NULL.

    Values that Python holds equal must be one here, for DISTINCT and for the place among listed ones: which of two were
    seen first would otherwise decide about other people's rows.
    """
    if expression.type in _IN_CALENDAR:
        return _guarded(expression, _IN_CALENDAR[expression.type])
    return _in_own_type(expression)


def finite(expression: Expression) -> Sql:
    """An expression as a column, with what is no finite number as NULL."""
    return _finite(render(expression)) if expression.type == "decimal" else column_value(expression)


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


_FINITE = "CASE WHEN isfinite(v) THEN v END"
_POSITION = "CAST(CASE WHEN v < -2147483648 THEN -2147483648 WHEN v > 2147483647 THEN 2147483647 ELSE v END AS BIGINT)"
_IN_CALENDAR: dict[ValueType, str] = {
    "timestamp": "CASE WHEN v BETWEEN TIMESTAMP '0001-01-01 00:00:00' AND TIMESTAMP '9999-12-31 23:59:59.999999' "
    "THEN v END",
    "date": "CASE WHEN v BETWEEN DATE '0001-01-01' AND DATE '9999-12-31' THEN v END",
}


def _let(value: Sql, body: str) -> Sql:
    """`body` with `v` for a value that is computed once and stands once in the text."""
    return sql("list_transform([{}], lambda v: " + body + ")[1]", value)


def _guarded(expression: Expression, body: str) -> Sql:
    """As `_let`, but a column stands for itself: that is faster, and its text is short."""
    if isinstance(expression, ColumnRef):
        return Sql(re.sub(r"\bv\b", identifier(expression.name).text, body))
    return _let(render(expression), body)


def _finite(number: Sql) -> Sql:
    return _let(number, _FINITE)


def _double(expression: Expression) -> Sql:
    """A number in double precision, finite or NULL."""
    if isinstance(expression, ColumnRef) and expression.type == "decimal":
        return _guarded(expression, _FINITE)
    return sql("CAST({} AS DOUBLE)", render(expression))


def _side(expression: Expression, kinds: set[ValueType]) -> Sql:
    """A side of a comparison between `kinds`: decimals finite or NULL, dates as times beside a time."""
    if expression.type == "decimal" and isinstance(expression, ColumnRef):
        return _double(expression)
    if {"date", "timestamp"} <= kinds:
        return _time(expression)
    return render(expression)


def _time(expression: Expression) -> Sql:
    """A date or time as a time; NULL for a date so far off that there is no such time."""
    if expression.type == "timestamp":
        return render(expression)
    return sql("TRY_CAST({} AS TIMESTAMP)", render(expression))


def _calendar_time(expression: Expression) -> Sql:
    """A date or time as a time within the calendar, else NULL."""
    if expression.type == "timestamp":
        return _guarded(expression, _IN_CALENDAR["timestamp"])
    return sql("CAST({} AS TIMESTAMP)", _guarded(expression, _IN_CALENDAR["date"]))


def _as(expression: Expression, kind: str) -> Sql:
    """A branch in the type of the whole."""
    if kind in NUMERIC:
        return _double(expression)
    return render(expression)


SQL_TYPES = {
    "integer": "BIGINT",
    "decimal": "DOUBLE",
    "text": "VARCHAR",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
