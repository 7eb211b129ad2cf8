"""Keys, row tests and repeats decided from the text agree with what DuckDB says of every row."""

from __future__ import annotations

from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from planning import POLICY, small_catalog

from dpquery.engines.render import CLAMP_MACRO, condition, render
from dpquery.errors import PolicyError
from dpquery.plan.catalog import NamedColumn, NamedTable
from dpquery.plan.implication import implies
from dpquery.plan.keys import TimeRange
from dpquery.plan.query import LogicalPlan
from dpquery.plan.relations import leaves
from dpquery.policy import parse_policy
from dpquery.row_test import check_row_tests
from dpquery.sql.resolve import resolve
from dpquery.sql.row_tests import resolve_row_test

CATALOG = small_catalog()
CALLS = CATALOG.tables["calls"]

CONDITIONS = [
    "COALESCE(service, 'voice') = 'voice'",
    "COALESCE(service, 'zz') IN ('zz')",
    "CASE WHEN service IS NULL THEN 1 ELSE 0 END = 1",
    "service = 'voice'",
    "service <> 'voice'",
    "service IS NULL OR service = 'sms'",
    "NOT (service = 'voice')",
    "service IN ('sms')",
    "'voice' = service",
    "service LIKE 'v%'",
    "NULLIF(service, 'sms') IS NULL",
    "local_hour >= 22 OR local_hour < 1",
    "local_hour BETWEEN 3 AND 4 AND NOT local_hour = 4",
    "local_hour IN (1, 2.0)",
    "day IN ('2026-01-05 00:00:00', '2026-01-06')",
    "day IN (TIMESTAMP '2026-01-05 00:00:00')",
    "day = '2026-01-07' OR day > DATE '2026-01-08'",
    "day < TIMESTAMP '2026-01-06 12:00:00'",
    "day = '2026-01-05' OR day = DATE '2026-01-07' AND local_hour > 3",
    "day IN ('2026-01-05', '2026-01-09') OR start_ts < TIMESTAMP '2026-01-04 06:00:00'",
    "NOT (day = '2026-01-05')",
    "start_ts >= '2026-01-05 10:00:00' AND start_ts <= TIMESTAMP '2026-01-06 03:00:00'",
    "day <> '2026-01-05' AND start_ts > DATE '2026-01-06'",
]

ROWS = pa.table(
    {
        "service": ["voice", "sms", None, "voice", None, "sms"] * 40,
        "local_hour": pa.array([h % 24 for h in range(240)], pa.int8()),
        "day": pa.array([datetime(2026, 1, 4 + i % 7).date() for i in range(240)], pa.date32()),
        "start_ts": pa.array([datetime(2026, 1, 4 + i % 7, i % 24) for i in range(240)], pa.timestamp("us")),
    }
)


def ask(sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    with duckdb.connect(":memory:") as con:
        con.execute(CLAMP_MACRO)
        con.register("calls", ROWS)
        return con.execute(sql, list(parameters)).fetchall()


@pytest.mark.parametrize("key", ["service", "local_hour", "day"])
@pytest.mark.parametrize("where", CONDITIONS)
def test_no_key_that_where_leaves_rows_for_is_dropped(where: str, key: str) -> None:
    found = {row[0] for row in ask(f"SELECT DISTINCT {key} FROM calls WHERE {where}")}
    sql = f"SELECT {key}, COUNT(*) FROM calls WHERE {where} GROUP BY {key}"
    if not found:
        return  # whatever is returned, or refused, no row is missed
    logical = resolve(sql, CATALOG)
    assert found <= set(logical.keys[0].values)


@pytest.mark.parametrize("where", CONDITIONS)
def test_the_time_range_holds_every_row_that_where_leaves(where: str) -> None:
    logical = resolve(f"SELECT COUNT(*) FROM calls WHERE {where}", CATALOG)
    time_range = own_times(logical)
    for (moment,) in ask(f"SELECT start_ts FROM calls WHERE {where}"):
        assert isinstance(moment, datetime)
        assert time_range.start <= moment < time_range.end


def own_times(logical: LogicalPlan) -> TimeRange:
    """The times that the plan's one stored table is read for."""
    (leaf,) = leaves(logical.relation)
    return leaf.time_range


def test_the_months_of_an_or_and_of_a_list_are_those_it_names() -> None:
    for where in ("day = '2026-02-05' OR day = '2026-02-07'", "day IN ('2026-02-05', '2026-02-07')"):
        logical = resolve(f"SELECT COUNT(*) FROM calls WHERE {where}", CATALOG)
        assert own_times(logical).months() == ("2026-02",)


TESTS = ["service <> 'sms'", "service = 'voice'", "service IN ('voice', 'sms')", "day <> DATE '2026-01-05'",
         "local_hour <> 3", "start_ts <> TIMESTAMP '2026-01-05 00:00:00'", "NOT (service = 'sms')"]  # fmt: skip

WHERES = ["service = 'voice'", "service IN ('voice')", "service IN ('voice', 'sms')", "service <> 'sms'",
          "day = TIMESTAMP '2026-01-05 00:00:00'", "day = DATE '2026-01-06'", "start_ts = DATE '2026-01-05'",
          "local_hour = 3.0", "local_hour = 4", "service = 'voice' OR local_hour = 3", "service = NULL",
          "NOT (service = 'sms')", "service IS NOT NULL"]  # fmt: skip


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("where", WHERES)
def test_implied_row_tests_hold_for_every_row(test: str, where: str) -> None:
    conditions = resolve(f"SELECT COUNT(*) FROM calls WHERE {where}", CATALOG).where
    if not implies(conditions, resolve_row_test(test, CALLS)):
        return
    broken = ask(f"SELECT COUNT(*) FROM calls WHERE ({where}) AND ({test}) IS NOT TRUE")
    assert broken == [(0,)]


def test_plain_row_tests_are_implied_where_people_expect_it() -> None:
    test = resolve_row_test("direction <> 'p2p'", CALLS)
    for where in ("direction = 'inbound'", "direction IN ('inbound', 'outbound')", "direction <> 'p2p' AND talk_s > 1"):
        assert implies(resolve(f"SELECT COUNT(*) FROM calls WHERE {where}", CATALOG).where, test)
    for where in ("talk_s > 1", "direction = 'inbound' OR talk_s > 1", "direction IN ('inbound', 'p2p')"):
        assert not implies(resolve(f"SELECT COUNT(*) FROM calls WHERE {where}", CATALOG).where, test)


@pytest.mark.parametrize("test", ["direction <> NULL", "day <> TIMESTAMP '2026-01-05 00:00:00'", "talk_s <> 1.5"])
def test_row_tests_that_engines_read_differently_are_refused(test: str) -> None:
    with pytest.raises(PolicyError):
        check_row_tests(parse_policy(POLICY.replace("direction <> 'p2p'", test)))


HOSTILE = {
    "integer": pa.array([None, 0, -1, 2**63 - 1, -(2**63), 2**53 + 1], pa.int64()),
    "decimal": pa.array([None, float("nan"), float("inf"), -float("inf"), 5e-324, 1.7e308], pa.float64()),
    "text": pa.array([None, "", "a", "\u202e\u0000x", "%_\\", "zz" * 500], pa.string()),
    "boolean": pa.array([None, True, False, True, False, None], pa.bool_()),
    "date": pa.array([None, 0, 2**30, -(2**30), -719162, 2932896], pa.int32()).cast(pa.date32()),
    "timestamp": pa.array([None, 0, -2208988800000000, 32503679999999999, 1, 2], pa.int64()).cast(pa.timestamp("us")),
}
"""Values that a column could hold at worst."""

EXPRESSIONS = [
    "integer + integer * integer - 9223372036854775807 > 0",
    "integer / (integer - integer) = decimal",
    "decimal * decimal * 1e308 <> decimal / 1e-308",
    "decimal IN (1, 2.5) OR integer IN (1, 2.5)",
    "-decimal < -integer",
    "text LIKE '%a_' OR text BETWEEN 'a' AND 'z'",
    "date < timestamp OR date = timestamp OR timestamp >= date",
    "date IN (TIMESTAMP '2026-01-01 00:00:00')",
    "date_trunc('week', date) IS NULL OR date_trunc('month', timestamp) = date",
    "CAST(timestamp AS DATE) <> date",
    "CASE WHEN boolean THEN date ELSE NULL END < timestamp",
    "COALESCE(integer, decimal, 0) > 1 AND NULLIF(text, '') IS NOT NULL",
    "NOT boolean OR boolean IS NULL",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_no_row_makes_an_expression_fail(text: str) -> None:
    """Every pairing of hostile values, through the engine."""
    columns = {n: NamedColumn(n, n, "value") for n in HOSTILE}  # type: ignore[arg-type]
    expression = resolve_row_test(text, NamedTable("calls", CALLS.policy, columns))
    rendered = condition([expression])
    picks = np.array(np.meshgrid(*[np.arange(6)] * 3)).reshape(3, -1)
    rng = np.random.default_rng(2)
    table = pa.table({n: v.take(pa.array(rng.permutation(picks[i % 3]))) for i, (n, v) in enumerate(HOSTILE.items())})
    with duckdb.connect(":memory:") as con:
        con.register("hostile", table)
        con.execute(f"SELECT COUNT(*) FROM hostile WHERE {rendered.text}", list(rendered.parameters)).fetchall()


def test_truncated_times_render_for_any_unit() -> None:
    for unit in ("hour", "day", "week", "month", "quarter", "year"):
        sql = f"SELECT date_trunc('{unit}', start_ts) AS t, COUNT(*) FROM calls GROUP BY t"
        logical = resolve(sql, CATALOG)
        rendered = render(logical.keys[0].expression)
        for (value,) in ask(f"SELECT DISTINCT {rendered.text} FROM calls", rendered.parameters):
            assert value in logical.keys[0].values
