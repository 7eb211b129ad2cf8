"""What is not on the list of functions is refused with the nearest that is; constants are worked out while reading."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from planning import small_catalog

from dpquery.errors import QueryRefused
from dpquery.plan.expressions import Coalesce, Comparison, Expression, Function, Like, Not, TimeTruncation, Value
from dpquery.sql.row_tests import resolve_row_test

TABLE = small_catalog().tables["calls"]


def condition(source: str) -> Expression:
    return resolve_row_test(source, TABLE)


REFUSED = [
    # condition, code, words of the cure
    ("sleep_ms(3) = 3", "DPQ-108", "use"),
    ("getenv('HOME') = 'x'", "DPQ-108", "use"),
    ("error('x') = 'x'", "DPQ-108", "use"),
    ("write_log(service) IS NULL", "DPQ-108", "use"),
    ("current_setting('x') = 'x'", "DPQ-108", "use"),
    ("getvariable('x') = 'x'", "DPQ-108", "use"),
    ("try(1 / 0) = 1", "DPQ-108", "the expression alone"),
    ("list_transform([1], lambda x: x + talk_s)[1] > 3", "DPQ-108", "use"),
    ("hash(service) = 3", "DPQ-108", "use"),
    ("regexp_matches(service, 'v')", "DPQ-108", "LIKE"),
    ("service RLIKE '(a|aa)+$'", "DPQ-108", "LIKE"),
    ("service ~ 'v'", "DPQ-108", "LIKE"),
    ("service SIMILAR TO 'v'", "DPQ-108", "LIKE"),
    ("len(range(1000000000)) > 3", "DPQ-108", "use"),
    ("levenshtein(service, 'x') > 3", "DPQ-108", "use"),
    ("repeat(service, 1000000) = 'x'", "DPQ-108", "use"),
    ("lpad(service, 1000000, 'x') = 'x'", "DPQ-108", "right("),
    ("CAST(service AS JSON) IS NULL", "DPQ-108", "VARCHAR"),
    ("CAST(service AS UUID) IS NULL", "DPQ-108", "VARCHAR"),
    ("strptime(service, '%Y') IS NULL", "DPQ-108", "CAST(x AS DATE)"),
    ("strftime(day, '%Y') = '2026'", "DPQ-108", "date_trunc"),
    ("make_date(2026, talk_s, 1) = day", "DPQ-108", "DATE '2026-01-31'"),
    ("acos(talk_s) > 0", "DPQ-108", "use"),
    ("service[1] = 'v'", "DPQ-108", "substring"),
    ("upperr(service) = 'V'", "DPQ-108", "upper(...)"),
    ("rounded(cost) = 1", "DPQ-108", "round(...)"),
    ("now() > start_ts", "DPQ-108", "DATE '"),
    ("current_time > start_ts", "DPQ-108", "DATE '"),
    ("today() = day", "DPQ-108", "DATE '"),
    ("uuid() = 'x'", "DPQ-108", "DATE '"),
    ("random() > 0.5", "DPQ-108", "DATE '"),
    # Arguments that the parser reads and a rendering would pass over.
    ("round(cost, 2, 1) = 1", "DPQ-108", "round(x, n)"),
    ("log10(cost, 3) = 1", "DPQ-108", "log10(x)"),
    ("floor(cost, 2) = 1", "DPQ-108", "floor(x)"),
    ("instr(service, 'v', 2) = 1", "DPQ-108", "strpos(x, y)"),
    ("week(day, 3) = 3", "DPQ-108", "week(t)"),
    ("contains(service, 'v', 3)", "DPQ-108", "contains(x, y)"),
    ("date_diff('day', day, day, 3) = 3", "DPQ-108", "date_diff('day'"),
    ("date_part('dow', day, 3) = 3", "DPQ-108", "extract("),
    ("date_trunc('day', start_ts, 'Asia/Tokyo') = day", "DPQ-108", "'day'"),
    ("service LIKE 'v!%' ESCAPE '!'", "DPQ-108", "ESCAPE"),
    ("service COLLATE nocase = 'v'", "DPQ-108", "lower"),
    ("start_ts AT TIME ZONE 'Asia/Tokyo' > '2026-01-01'", "DPQ-108", "local_hour"),
    # Text that could grow, and constants that are none.
    ("replace(service, 'v', 'vv') = 'x'", "DPQ-108", "replace"),
    ("replace(service, '', 'v') = 'x'", "DPQ-108", "replace"),
    ("replace(service, service, 'v') = 'x'", "DPQ-108", "replace"),
    ("split_part(service, '-', talk_s) = 'x'", "DPQ-108", "split_part"),
    ("split_part(service, '-', 0) = 'x'", "DPQ-108", "split_part"),
    ("round(cost, talk_s) = 1", "DPQ-108", "round"),
    ("round(cost, 400) = 1", "DPQ-108", "round"),
    ("service LIKE free_text", "DPQ-112", "LIKE 'sal%'"),
    ("service ILIKE '%a%a%a%a%a%a%a%a%'", "DPQ-114", "fewer"),
    # Types.
    ("abs(service) = 1", "DPQ-112", "use"),
    ("upper(talk_s) = 'x'", "DPQ-112", "use"),
    ("talk_s || 5 = '55'", "DPQ-108", "x || y"),
    ("cost // 2 = 1", "DPQ-112", "use"),
    ("least(talk_s, 'x') = 1", "DPQ-112", "type"),
    ("CAST(day AS INTEGER) = 1", "DPQ-112", "use"),
    ("CAST(talk_s AS DATE) = day", "DPQ-112", "CAST"),
    ("CAST(cost AS DECIMAL(39, 2)) = 1", "DPQ-112", "DECIMAL(18, 3)"),
    # Times.
    ("start_ts - start_ts > 3", "DPQ-112", "date_diff('second'"),
    ("start_ts + 1 > day", "DPQ-112", "INTERVAL"),
    ("INTERVAL 1 DAY > 3", "DPQ-108", "INTERVAL"),
    ("day + INTERVAL 1 FORTNIGHT > day", "DPQ-112", "INTERVAL 7 DAY"),
    ("day + INTERVAL 1.5 DAY > day", "DPQ-112", "INTERVAL"),
    ("day + INTERVAL 99999999 DAY > day", "DPQ-112", "INTERVAL"),
    ("day > DATE '2999-12-31' + 1", "DPQ-112", "DATE '"),
    ("day > DATE '1900-01-01' - INTERVAL 1 MONTH", "DPQ-112", "DATE '"),
    ("day > DATE '2026-01-01' + 99999999999", "DPQ-112", "DATE '"),
    ("extract(millennium FROM day) = 3", "DPQ-108", "extract("),
    ("abs(caller) = 1", "DPQ-105", "COUNT(DISTINCT caller)"),
    ("CAST(caller AS BIGINT) = 1", "DPQ-105", "COUNT(DISTINCT caller)"),
    ("caller || 'x' = 'x'", "DPQ-105", "COUNT(DISTINCT caller)"),
]


PLACELESS = {"current_time > start_ts", "INTERVAL 1 DAY > 3"}
"""Where the parser keeps no place."""


@pytest.mark.parametrize(("source", "code", "cure"), REFUSED)
def test_refusals_name_the_code_and_the_cure(source: str, code: str, cure: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        condition(source)
    assert caught.value.code == code
    assert caught.value.fix is not None
    assert cure in caught.value.fix
    assert caught.value.where is not None or source in PLACELESS


FOLDED = [
    ("day = DATE '2026-01-05' + 6", date(2026, 1, 11)),
    ("day = 6 + DATE '2026-01-05'", date(2026, 1, 11)),
    ("day = DATE '2026-01-05' - 6", date(2025, 12, 30)),
    ("day = DATE '2026-03-31' - INTERVAL 30 DAY", datetime(2026, 3, 1)),
    ("day = DATE '2026-01-31' + INTERVAL 1 MONTH", datetime(2026, 2, 28)),
    ("day = DATE '2024-02-29' + INTERVAL '1 year'", datetime(2025, 2, 28)),
    ("day = DATE '2026-03-31' - INTERVAL '2 days 1 month'", datetime(2026, 2, 26)),
    ("day = INTERVAL 2 WEEKS + DATE '2026-01-01'", datetime(2026, 1, 15)),
    ("start_ts = TIMESTAMP '2026-01-01 00:00:00' - INTERVAL '1' HOUR", datetime(2025, 12, 31, 23)),
    ("day = date_add(DATE '2026-01-01', INTERVAL 1 QUARTER)", datetime(2026, 4, 1)),
    ("day = date_sub(DATE '2026-01-01', INTERVAL 1 DAY)", datetime(2025, 12, 31)),
    ("day = dateadd('day', 7, '2026-01-01')", datetime(2026, 1, 8)),
    ("day = date_trunc('month', DATE '2026-03-31')", datetime(2026, 3, 1)),
    ("day = date_trunc('quarter', DATE '2026-03-31')", datetime(2026, 1, 1)),
    ("day = date_trunc('year', DATE '2026-03-31')", datetime(2026, 1, 1)),
    ("day = date_trunc('week', DATE '2026-03-31')", datetime(2026, 3, 30)),
    ("day = CAST(TIMESTAMP '2026-03-31 12:00:00' AS DATE)", date(2026, 3, 31)),
    ("start_ts = CAST(DATE '2026-03-31' AS TIMESTAMP)", datetime(2026, 3, 31)),
    ("day = CAST(DATE '2026-01-01' + INTERVAL 1 DAY AS DATE)", date(2026, 1, 2)),
    ("talk_s = DATE '2026-01-05' - DATE '2026-01-01'", 4),
    ("talk_s = 60 * 2 - 5", 115),
    ("talk_s = -(60 + 1)", -61),
    ("talk_s = 1 / 4", 0.25),
    ("talk_s = 1 / 0", None),
    ("talk_s = 1e308 * 10", None),
]


@pytest.mark.parametrize(("source", "value"), FOLDED)
def test_arithmetic_on_constants_is_a_constant(source: str, value: object) -> None:
    resolved = condition(source)
    assert isinstance(resolved, Comparison)
    assert isinstance(resolved.right, Value)
    assert resolved.right.value == value
    assert type(resolved.right.value) is type(value)


def test_whole_numbers_beyond_double_precision_are_left_to_the_engine() -> None:
    resolved = condition("talk_s = 9007199254740993 + 1")
    assert isinstance(resolved, Comparison)
    assert not isinstance(resolved.right, Value)


def test_not_like_is_the_opposite_of_like() -> None:
    """The parser marks NOT LIKE on the node of LIKE itself."""
    assert condition("service NOT LIKE 'v%'") == Not(condition("service LIKE 'v%'"))
    assert isinstance(condition("service LIKE 'v%'"), Like)
    assert condition("service NOT ILIKE 'v%'") == Not(condition("service ILIKE 'v%'"))


def test_truths_are_never_null() -> None:
    assert isinstance(condition("answered IS TRUE"), Coalesce)
    assert condition("answered IS NOT TRUE") == Not(condition("answered IS TRUE"))


def test_units_that_can_be_keys_keep_their_node() -> None:
    for unit in ("hour", "day", "week", "month"):
        resolved = condition(f"date_trunc('{unit}', start_ts) = day")
        assert isinstance(resolved, Comparison)
        assert isinstance(resolved.left, TimeTruncation)


SAME = [
    ("len(service) = 1", "length(service) = 1"),
    ("mod(talk_s, 7) = 1", "talk_s % 7 = 1"),
    ("pow(talk_s, 2) = 1", "talk_s ** 2 = 1"),
    ("nvl(talk_s, 2) = 1", "COALESCE(talk_s, 2) = 1"),
    ("ifnull(talk_s, 2) = 1", "COALESCE(talk_s, 2) = 1"),
    ("iif(answered, 1, 2) = 1", "IF(answered, 1, 2) = 1"),
    ("talk_s::TINYINT = 1", "TRY_CAST(talk_s AS TINYINT) = 1"),
    ("extract(hour FROM start_ts) = 1", "hour(start_ts) = 1"),
    ("date_part('hour', start_ts) = 1", "hour(start_ts) = 1"),
    ("extract(dow FROM start_ts) = 1", "weekday(start_ts) = 1"),
    ("datediff(day, day, start_ts) = 1", "date_diff('days', day, start_ts) = 1"),
    ("start_ts > date_sub(start_ts, INTERVAL 1 HOUR)", "start_ts > start_ts - INTERVAL '1 hour'"),
    ("start_ts > dateadd(hour, 1, start_ts)", "start_ts > start_ts + INTERVAL (1) HOURS"),
    ("prefix(service, 'v')", "starts_with(service, 'v')"),
    ("service <=> 'v'", "service IS NOT DISTINCT FROM 'v'"),
    ("CAST(service AS VARCHAR) = 'v'", "service = 'v'"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_function_are_one_plan(one: str, other: str) -> None:
    assert condition(one) == condition(other)


def test_a_function_of_the_registry_stands_in_the_plan() -> None:
    resolved = condition("starts_with(service, 'v')")
    assert isinstance(resolved, Function)
    assert resolved.type == "boolean"
