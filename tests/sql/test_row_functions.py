"""Row functions: each is registered, rendered and described; no value makes one fail; bounds hold what comes out."""

from __future__ import annotations

import itertools
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import small_catalog

from dpquery.demo import POLICY_FILE
from dpquery.engines.functions import FUNCTION_RENDERINGS
from dpquery.engines.render import render
from dpquery.errors import QueryRefused
from dpquery.plan.catalog import Catalog, NumberingPlan
from dpquery.plan.expressions import (
    NUMERIC,
    Arithmetic,
    ColumnRef,
    Comparison,
    Expression,
    Function,
    TimeTruncation,
    TimeUnit,
    Value,
    ValueType,
    children,
    columns_in,
)
from dpquery.plan.functions import DIFFERENCE_UNITS, FUNCTIONS, PARTS, SHIFTS, FunctionSpec, Kind
from dpquery.plan.ranges import RANGED, Unbounded, ValueRange, value_range
from dpquery.policy import load_policy
from dpquery.sql import functions
from dpquery.sql.row_tests import resolve_row_test

TABLE = small_catalog().tables["calls"]
VALUE_RANGES = {name: column.bounds for name, column in TABLE.columns.items() if column.bounds is not None}

HOSTILE = {
    "i": (
        "BIGINT",
        "NULL, 0, 1, -1, 2, 3, 60, -2147483648, 2147483648, 4294967295, 4294967296, 9007199254740993, "
        "(-9223372036854775808)::BIGINT, 9223372036854775807",
    ),
    "x": (
        "DOUBLE",
        "NULL, 0.0, '-0'::DOUBLE, 0.5, -0.5, 2.5, 1e-300, 5e-324, 1e300, -1e308, 9.3e18, 'nan'::DOUBLE, "
        "'inf'::DOUBLE, '-inf'::DOUBLE",
    ),
    "s": (
        "VARCHAR",
        "NULL, '', ' ', 'a', 'A%_', '%%%%', 'nan', '-inf', '1e400', '5', '99999999999999999999', 'true', "
        "'2026-01-31', '290309-12-22 (BC) 00:00:00', 'infinity', 'epoch', '0000-00-00', '2026-01-31 25:61:00', "
        "chr(0), chr(1114111), 'ßİŉ🤦🏼‍♂️', 'e' || chr(769), repeat('ab', 5000), repeat(chr(8203), 500)",
    ),
    "b": ("BOOLEAN", "NULL, TRUE, FALSE"),
    "d": (
        "DATE",
        "NULL, DATE '1970-01-01', DATE '2024-02-29', DATE '0001-01-01', DATE '9999-12-31', DATE '-5877641-06-25', "
        "DATE '5881580-07-10', DATE 'infinity', DATE '-infinity'",
    ),
    "t": (
        "TIMESTAMP",
        "NULL, TIMESTAMP '2026-01-31 23:59:59.999999', TIMESTAMP '0001-01-01', "
        "TIMESTAMP '9999-12-31 23:59:59.999999', TIMESTAMP '290309-12-22 (BC) 00:00:00', "
        "TIMESTAMP '294247-01-10 04:00:54.775806', TIMESTAMP 'infinity', TIMESTAMP '-infinity'",
    ),
}
"""Values at and beyond the ends of each type."""

TYPES: dict[str, ValueType] = {
    "i": "integer",
    "x": "decimal",
    "s": "text",
    "b": "boolean",
    "d": "date",
    "t": "timestamp",
}

CONSTANTS: dict[str, list[tuple[object, ...]]] = {
    "round": [(0,), (15,), (-15,)],
    "trunc": [(0,), (15,), (-15,)],
    "trim": [("",), ("a ",)],
    "ltrim": [("ab",)],
    "rtrim": [("ab",)],
    "replace": [("a", ""), ("%", "_")],
    "split_part": [("a", 1), ("b", -1000), ("%", 1000)],
    "ilike": [("%a%_%",), ("",)],
    "date_diff": [(unit,) for unit in DIFFERENCE_UNITS],
    "date_add": [(unit,) for unit in SHIFTS],
    "cast_decimal": [(18, 3), (38, 38), (1, 0), (38, 0)],
}
"""Literal arguments to try, in the order of the function's own."""


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    """Hostile values, three columns of each type, so that each pair of arguments meets."""
    made = duckdb.connect(":memory:")
    for letter, (kind, values) in HOSTILE.items():
        listed = f"(SELECT unnest([{values}]::{kind}[]) AS v)"
        made.execute(f"CREATE TABLE {letter} AS SELECT v FROM {listed}")
    return made


def hostile(con: duckdb.DuckDBPyConnection, expression: Expression) -> list[Any]:
    """Every value of an expression over each combination of hostile values in its columns."""
    sql = render(expression)
    names = sorted(columns_in(expression))
    source = " CROSS JOIN ".join(f"(SELECT v AS {name} FROM {name[0]}) AS from_{name}" for name in names)
    # As text, since Python cannot hold every date the engine can.
    query = f"SELECT CAST({sql.text} AS VARCHAR) FROM {source}"
    return [row[0] for row in con.execute(query, list(sql.parameters)).fetchall()]


def argument_choices(kind: Kind, place: int) -> list[Expression]:
    """Columns, and for whole numbers a sum, which is computed in double precision."""
    letters = {
        "number": "ix",
        "whole": "i",
        "text": "s",
        "printable": "ixsbdt",
        "time": "dt",
        "date": "d",
        "alike": "ixsdtb",
        "castable number": "ixsb",
        "castable time": "sdt",
    }[kind]
    columns: list[Expression] = [ColumnRef(f"{letter}{place}", TYPES[letter]) for letter in letters]
    if kind in {"number", "whole", "printable", "castable number"}:
        whole = ColumnRef(f"i{place}", "integer")
        columns.append(Arithmetic("*", whole, whole, "integer"))
    return columns


def uses(spec: FunctionSpec) -> list[Function]:
    """The function over every choice of its arguments."""
    made = []
    counts = range(len(spec.takes) - spec.optional, len(spec.takes) + 1)
    for count in counts:
        kinds = spec.takes[:count]
        constants = CONSTANTS.get(spec.name, [()]) if "constant" in kinds else [()]
        for given_constants in constants:
            literals = iter(given_constants)
            choices: list[list[Expression]] = [
                [constant(next(literals))] if kind == "constant" else argument_choices(kind, place)
                for place, kind in enumerate(kinds)
            ]
            for arguments in itertools.product(*choices):
                free = [a.type for a, kind in zip(arguments, kinds, strict=True) if kind == "alike"]
                if len(set(free)) > 1 and not set(free) <= NUMERIC and not set(free) <= {"date", "timestamp"}:
                    continue
                made.append(Function(spec.name, arguments, result_type(spec, arguments, kinds)))
    return made


def constant(value: object) -> Value:
    return Value(value, "integer" if isinstance(value, int) else "text")  # type: ignore[arg-type]


def result_type(spec: FunctionSpec, arguments: tuple[Expression, ...], kinds: tuple[Kind, ...]) -> ValueType:
    if spec.gives not in {"number", "alike"}:
        return spec.gives  # type: ignore[return-value]
    types = {a.type for a, kind in zip(arguments, kinds, strict=True) if kind != "constant"}
    if types <= NUMERIC:
        return "integer" if types == {"integer"} else "decimal"
    return "timestamp" if len(types) > 1 else next(iter(types))


def condition(source: str) -> Expression:
    return resolve_row_test(source, TABLE)


def number(source: str) -> Expression:
    """The left side of a comparison."""
    return condition(f"({source}) = 0").left  # type: ignore[union-attr]


def test_every_function_is_rendered_and_every_rendering_is_a_function() -> None:
    assert set(FUNCTION_RENDERINGS) == set(FUNCTIONS)


def test_every_number_has_a_range_or_says_that_it_has_none() -> None:
    numbers = {name for name, spec in FUNCTIONS.items() if spec.gives in {"integer", "decimal", "number", "alike"}}
    declared = {name for name in numbers if FUNCTIONS[name].unbounded}
    assert numbers == RANGED | declared
    assert not RANGED & declared


def test_every_function_is_read_from_some_text() -> None:
    """Each name is reached by a node of the parser, by its own name, or by an operator on times."""
    read = {name for name, _ in functions.PLAIN.values()} | set(functions.NAMED.values())
    read |= {"log", "log2", "log10", "trim", "ltrim", "rtrim", "ilike", "date_diff", "date_add", "shift_days"}
    read |= {"days_between", *PARTS, *functions._CASTS.values(), "cast_date", "cast_timestamp"}
    assert read == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_value_makes_a_function_fail(name: str, con: duckdb.DuckDBPyConnection) -> None:
    for function in uses(FUNCTIONS[name]):
        found = hostile(con, function)
        assert found
        assert not {"nan", "inf", "-inf"} & set(found) or function.type == "text", function


@pytest.mark.parametrize("unit", ["hour", "day", "week", "month", "quarter", "year"])
def test_no_time_makes_truncation_fail(unit: TimeUnit, con: duckdb.DuckDBPyConnection) -> None:
    for column in (ColumnRef("d0", "date"), ColumnRef("t0", "timestamp")):
        assert hostile(con, TimeTruncation(unit, column, "timestamp"))


@pytest.mark.parametrize("operator", ["+", "-", "*", "/"])
def test_arithmetic_is_finite_or_null(operator: Any, con: duckdb.DuckDBPyConnection) -> None:
    for left, right in itertools.product(("i0", "x0"), ("i1", "x1")):
        columns = (ColumnRef(left, TYPES[left[0]]), ColumnRef(right, TYPES[right[0]]))
        assert not {"nan", "inf", "-inf"} & set(hostile(con, Arithmetic(operator, *columns, "decimal")))


def test_a_deep_expression_stays_short_and_quick(con: duckdb.DuckDBPyConnection) -> None:
    """Each part stands once in the rendered text, or depth would double it again and again."""
    expression: Expression = ColumnRef("x0", "decimal")
    for _ in range(50):
        expression = Function("sqrt", (Arithmetic("+", expression, Value(1.5, "decimal"), "decimal"),), "decimal")
    assert len(render(expression).text) < 20_000
    assert len(hostile(con, expression)) == 14


def test_parts_that_stand_twice_are_limited() -> None:
    text = "talk_s"
    for n in range(30):
        text = f"NULLIF({text}, {n})"
    with pytest.raises(QueryRefused) as caught:
        condition(f"{text} > 0")
    assert caught.value.code == "DPQ-114"


# Ranges: rows whose columns keep to their bounds give values that keep to the range, on its grid.

BOUNDS = {"a": ValueRange(-7, 11, 1.0), "c": ValueRange(0, 4, 0.25), "p": ValueRange(1, 30, 1.0)}
A, C, P = ColumnRef("a", "integer"), ColumnRef("c", "decimal"), ColumnRef("p", "integer")


def whole(value: int) -> Value:
    return Value(value, "integer")


RANGED_EXPRESSIONS: list[Expression] = [
    *(Function(name, (column,), "decimal") for name in ("abs", "floor", "ceil", "sign") for column in (A, C, P)),
    *(Function(name, (column,), "decimal") for name in ("sqrt", "cbrt", "exp") for column in (A, C, P)),
    *(Function(name, (P,), "decimal") for name in ("ln", "log10", "log2")),
    *(Function(name, (C, whole(n)), "decimal") for name in ("round", "trunc") for n in (-1, 0, 1, 3)),
    *(Function(name, (Arithmetic("/", A, P, "decimal"), whole(2)), "decimal") for name in ("round", "trunc")),
    *(Function(name, (A,), "integer") for name in ("round", "trunc")),
    *(Function("power", (column, whole(n)), "decimal") for column in (C, P) for n in (0, 1, 2, 3)),
    Function("power", (C, Value(0.5, "decimal")), "decimal"),
    *(Function("mod", pair, "decimal") for pair in ((A, P), (P, A), (C, P), (A, whole(4)), (P, C))),
    *(Function("integer_division", pair, "integer") for pair in ((A, P), (P, A), (P, whole(4)), (P, P), (A, A))),
    *(Function(name, (A, C, whole(3)), "decimal") for name in ("least", "greatest")),
    *(Function(name, (A, C), "decimal") for name in ("least", "greatest")),
    *(Function(name, (A,), "integer") for name in sorted(RANGED) if name.startswith("cast_") and "decimal" not in name),
    *(Function(name, (C,), "integer") for name in sorted(RANGED) if name.startswith("cast_") and "decimal" not in name),
    *(
        Function(name, (Comparison(">", A, whole(3)),), "decimal")
        for name in ("cast_utinyint", "cast_bigint", "cast_double")
    ),
    *(Function("cast_decimal", (C, whole(9), whole(n)), "decimal") for n in (0, 1, 3)),
]


@pytest.mark.parametrize("expression", RANGED_EXPRESSIONS, ids=lambda e: render(e).text[:60])
def test_ranges_hold_what_comes_out(expression: Expression, con: duckdb.DuckDBPyConnection) -> None:
    expected = value_range(expression, BOUNDS)
    sql = render(expression)
    query = f"""
        SELECT {sql.text}
        FROM (SELECT unnest(range(-7, 12) || [NULL])::BIGINT AS a),
             (SELECT unnest([x / 4 FOR x IN range(0, 17)] || [NULL])::DOUBLE AS c),
             (SELECT unnest(range(1, 31) || [NULL])::BIGINT AS p)
    """
    for (value,) in con.execute(query, list(sql.parameters)).fetchall():
        if value is None:
            continue
        assert expected.low <= value <= expected.high, (value, expected)
        if expected.grid is not None:
            assert math.fmod(value, expected.grid) == 0.0, (value, expected)


def test_every_range_rule_is_tried() -> None:
    tried = {e.name for e in RANGED_EXPRESSIONS if isinstance(e, Function)}
    fixed = {"quarter", "month", "week", "dayofyear", "day", "dayofweek", "isodow", "hour", "minute", "second"}
    assert tried | fixed == RANGED


@given(st.datetimes(min_value=datetime(1900, 1, 1)))
@settings(max_examples=50, deadline=None)
def test_parts_of_times_keep_to_their_ranges(moment: Any) -> None:
    column = ColumnRef("t", "timestamp")
    with duckdb.connect(":memory:") as con:
        for name in ("quarter", "month", "week", "dayofyear", "day", "dayofweek", "isodow", "hour", "minute", "second"):
            expression = Function(name, (column,), "integer")
            expected = value_range(expression, {})
            query = f"SELECT {render(expression).text} FROM (SELECT ?::TIMESTAMP AS t)"
            (found,) = con.execute(query, [moment]).fetchall()[0]
            assert expected.low <= found <= expected.high


@pytest.mark.parametrize(
    ("source", "low", "high", "grid"),
    [
        ("talk_s % 7", 0, 6, 1.0),
        ("least(talk_s, 20)", 0, 20, 1.0),
        ("greatest(score, 0)", 0, 5, 1.0),
        ("abs(score)", 0, 8, 1.0),
        ("talk_s // 60", 0, 1, 1.0),
        ("round(cost)", 0, 4, 1.0),
        ("hour(start_ts)", 0, 23, 1.0),
        ("CAST(cost AS INTEGER)", 0, 4, 1.0),
        ("CAST(talk_s > 20 AS INTEGER)", 0, 1, 1.0),
    ],
)
def test_ranges_of_what_analysts_write(source: str, low: float, high: float, grid: float) -> None:
    assert value_range(number(source), VALUE_RANGES) == ValueRange(low, high, grid)


@pytest.mark.parametrize(
    "source", ["length(free_text)", "year(start_ts)", "ln(talk_s)", "exp(talk_s * 100)", "1 / abs(score)"]
)
def test_what_has_no_range_needs_bounds(source: str) -> None:
    with pytest.raises(Unbounded):
        value_range(number(source), VALUE_RANGES)


DEMO = Catalog.build(load_policy(Path(POLICY_FILE)), NumberingPlan((), (), ()), {}).tables["calls"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_are_conditions_over_the_demo_and_use_their_function(name: str) -> None:
    resolved = resolve_row_test(FUNCTIONS[name].example, DEMO)
    used = {part.name for part in parts_of(resolved) if isinstance(part, Function)}
    assert name in used


def parts_of(expression: Expression) -> list[Expression]:
    return [expression, *(part for child in children(expression) for part in parts_of(child))]
