"""Keys made of the rows' own time: exactly the values that a row within the range can have, as the engine has them."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import small_catalog

from dpquery.errors import QueryRefused
from dpquery.plan.calendar import CLOCK_PARTS, DAY_PARTS, clock_parts, day_parts
from dpquery.plan.keys import TimeRange, truncated_times
from dpquery.sql.resolve import resolve

CATALOG = small_catalog()
UNITS = ("hour", "day", "week", "month", "quarter", "year")
MINUTE = timedelta(minutes=1)


@st.composite
def time_ranges(draw: st.DrawFn) -> TimeRange:
    """From a minute to three years, over leap years, turns of the century and long ISO years."""
    start = draw(st.datetimes(datetime(1999, 1, 1), datetime(2032, 12, 31))).replace(second=0, microsecond=0)
    length = draw(st.one_of(st.integers(1, 2_000), st.integers(1, 3 * 366 * 24 * 60)))
    return TimeRange(start, start + length * MINUTE)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(time_range=time_ranges())
def test_keys_are_the_values_within_the_range(time_range: TimeRange) -> None:
    con = duckdb.connect(":memory:")
    # Every hour and day is touched by its first minute, or by the first of the range.
    con.execute(
        "CREATE TABLE t AS SELECT unnest(generate_series(date_trunc('hour', ?::TIMESTAMP), ?::TIMESTAMP, "
        "INTERVAL 1 HOUR)) AS t",
        [time_range.start, time_range.end - MINUTE],
    )

    def found(expression: str) -> set[object]:
        return {row[0] for row in con.execute(f"SELECT DISTINCT {expression} FROM t").fetchall()}

    for unit in UNITS:
        starts = truncated_times(time_range, unit)  # type: ignore[arg-type]
        assert len(set(starts)) == len(starts)
        assert set(starts) == found(f"CAST(date_trunc('{unit}', t) AS TIMESTAMP)"), unit
    for part in DAY_PARTS:
        assert set(day_parts(part, time_range)) == found(f"{part}(t)"), part
    assert set(clock_parts("hour", time_range)) == found("hour(t)")
    for part in CLOCK_PARTS - {"hour"}:
        assert clock_parts(part, time_range) == tuple(range(60))


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("quarter(start_ts)", (1,)),
        ("date_part('month', start_ts)", (1, 2)),
        ("EXTRACT(year FROM day)", (2026,)),
        ("monthname(day)", ("January", "February")),
        ("isodow(CAST(start_ts AS DATE))", (1, 2, 3, 4, 5, 6, 7)),
        ("sign(score)", (-1, 0, 1, None)),
        ("month(start_ts + INTERVAL 1 DAY)", (*range(1, 13), None)),  # no longer the rows' own time
        ("starts_with(service, 'v')", (False, True, None)),
        ("answered AND talk_s > 10", (False, True, None)),
        ("service IS NOT NULL", (False, True)),
        ("service IS NOT NULL AND talk_s IS DISTINCT FROM 10", (False, True)),
    ],
)
def test_values_follow_from_the_range_or_the_function(key: str, values: tuple[object, ...]) -> None:
    assert resolve(f"SELECT {key} AS k, COUNT(*) FROM calls GROUP BY k", CATALOG).keys[0].values == values


def test_hours_follow_where() -> None:
    where = "start_ts >= TIMESTAMP '2026-01-05 09:00:00' AND start_ts < TIMESTAMP '2026-01-05 11:30:00'"
    plan = resolve(f"SELECT hour(start_ts) AS h, COUNT(*) FROM calls WHERE {where} GROUP BY h", CATALOG)
    assert plan.keys[0].values == (9, 10, 11)


@pytest.mark.parametrize("key", ["epoch(start_ts)", "year(start_ts + INTERVAL 1 DAY)", "length(free_text)"])
def test_values_that_nothing_limits_are_no_keys(key: str) -> None:
    with pytest.raises(QueryRefused, match="DPQ-107"):
        resolve(f"SELECT {key} AS k, COUNT(*) FROM calls GROUP BY k", CATALOG)
