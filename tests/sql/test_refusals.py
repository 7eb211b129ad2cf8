"""What cannot be protected is refused from the text and the policy alone, with the place and the line to write."""

from __future__ import annotations

import pytest
from planning import priced, small_catalog

from dpquery.catalogue import CATALOGUE
from dpquery.errors import QueryRefused

CATALOG = small_catalog()

REFUSED = [
    # text, code, underlined text, words of the cure
    ("SELECT caller FROM calls", "DPQ-105", "caller", "COUNT(DISTINCT caller)"),
    ("SELECT COUNT(*) FROM calls GROUP BY callee", "DPQ-105", "callee", "phone_region(callee)"),
    ("SELECT COUNT(*) FROM calls WHERE caller = '+442079460000'", "DPQ-105", "caller", "COUNT(DISTINCT caller)"),
    ("SELECT COUNT(*) FROM calls WHERE caller IS NULL", "DPQ-105", "caller", "COUNT(DISTINCT"),
    ("SELECT MIN(caller) FROM calls", "DPQ-105", "MIN(caller)", "COUNT(DISTINCT caller)"),
    ("SELECT COUNT(caller) FROM calls", "DPQ-105", "COUNT(caller)", "COUNT(DISTINCT caller)"),
    ("SELECT * FROM calls", "DPQ-106", "*", "SELECT COUNT(*) FROM calls"),
    ("SELECT service, COUNT(*) FROM calls", "DPQ-106", "service", "GROUP BY"),
    ("SELECT service FROM calls GROUP BY service", "DPQ-106", "service", "COUNT(*)"),
    ("SELECT COUNT(*) FROM cals", "DPQ-103", "cals", "FROM calls"),
    ("SELECT COUNT(*) FROM cells", "DPQ-103", "cells", "JOIN cells"),
    ("SELECT COUNT(*) FROM calls WHERE talk_sec > 1", "DPQ-104", "talk_sec", "talk_s"),
    ("SELECT COUNT(*) FROM calls WHERE other.talk_s > 1", "DPQ-104", "other.talk_s", "talk_s"),
    ("SELECT free_text, COUNT(*) FROM calls GROUP BY free_text", "DPQ-107", "free_text", "keys = [...]"),
    ("SELECT start_ts, COUNT(*) FROM calls GROUP BY 1", "DPQ-107", "start_ts", "date_trunc('hour', start_ts)"),
    ("SELECT talk_s * 2, COUNT(*) FROM calls GROUP BY 1", "DPQ-107", "talk_s * 2", "declared keys"),
    ("SELECT agent_id, COUNT(*) FROM calls GROUP BY agent_id", "DPQ-118", "agent_id", "another key"),
    ("SELECT SUM(local_hour * free_text) FROM calls", "DPQ-112", "free_text", "numeric"),
    ("SELECT SUM(1 / talk_s) FROM calls", "DPQ-102", "SUM(1 / talk_s)", "contribution_bounds_per_row"),
    ("SELECT COUNT(*) OVER () FROM calls", "DPQ-110", "COUNT(*)", "GROUP BY"),
    ("SELECT service, COUNT(*) / SUM(COUNT(*)) OVER () FROM calls GROUP BY 1", "DPQ-110", None, "to_pandas()"),
    ("SELECT DATE_TRUNC(day, WEEK), COUNT(*) FROM calls GROUP BY 1", "DPQ-108", None, "date_trunc('week', day)"),
    ("SELECT COUNT(*) FROM calls WHERE region = 'x'", "DPQ-104", "region", "caller_region or callee_region"),
    ("SELECT SUM(talk_s, contribution_bounds_per_row => 9) FROM calls", "DPQ-101", None, "per_row => (0, 600)"),
    ("SELECT COUNT(*) FROM (SELECT 1)", "DPQ-103", None, "FROM calls"),
    ("SELECT COUNT(*) FROM calls WHERE talk_s > (SELECT AVG(talk_s) FROM calls)", "DPQ-111", None, "inner query"),
    ("WITH x AS (SELECT service FROM calls) SELECT COUNT(*) FROM x", "DPQ-120", "service", "caller and callee"),
    ("SELECT COUNT(*) FROM calls, cells", "DPQ-121", None, "JOIN cells p ON p.cell_id = c.cell_id"),
    ("SELECT COUNT(*) FROM calls, subscribers", "DPQ-121", None, "JOIN subscribers"),
    ('SELECT COUNT(*) FROM calls WHERE service = "sms"', "DPQ-104", '"sms"', "'sms': text"),
    ('SELECT COUNT("talk_sec") FROM calls', "DPQ-104", '"talk_sec"', "talk_s"),
    ("SELECT SUM(talk_s, bounds = 'auto') FROM calls", "DPQ-101", "bounds =", "bounds => 'auto'"),
    ("SELCT COUNT(*) FROM calls", "DPQ-101", "SELCT", "write SELECT"),
    ("EXPLAIN SELECT COUNT(*) FROM calls", "DPQ-109", "EXPLAIN", "EXPLAIN PRIVACY"),
    ("SET epsilon = 0.1", "DPQ-109", "SET", "SET dp.epsilon = 0.2"),
    ("DESCRIBE calls", "DPQ-109", "DESCRIBE", "db.tables()"),
    ("SELECT DATE_TRUNC(start_ts, WEEK), COUNT(*) FROM calls GROUP BY 1", "DPQ-108", None, "('week', start_ts)"),
    ("SELECT COUNT(*) FROM calls WHERE COUNT(*) > 5", "DPQ-108", "COUNT(*)", "HAVING"),
    ("SELECT (SELECT COUNT(*) FROM calls WHERE talk_s > 1) / COUNT(*) FROM calls", "DPQ-111", None, "inner query"),
    ("SELECT COUNT(*) FROM calls WHERE day = ?", "DPQ-113", None, "write :d for ?"),
    ("SELECT SUM(talk_s > 1) FROM calls", "DPQ-112", "talk_s > 1", "COUNTIF"),
    ("SELECT COUNT(*) FROM calls a JOIN calls b ON a.caller = b.callee", "DPQ-121", None, "JOIN subscribers"),
    ("SELECT COUNT(*) FROM calls UNION SELECT COUNT(*) FROM calls", "DPQ-122", None, "UNION ALL"),
    ("DROP TABLE calls", "DPQ-109", None, "SELECT COUNT(*)"),
    ("SELECT COUNT(*) FROM calls; SELECT COUNT(*) FROM calls", "DPQ-109", None, "one by one"),
    ("SELECT COUNT(*) FROM calls WHERE start_ts > now()", "DPQ-108", None, "DATE '"),
    ("SELECT COUNT(*) FROM calls WHERE acos(talk_s) > 1", "DPQ-108", "acos(talk_s)", "use"),
    ("SELECT COUNT(*) FROM calls WHERE CAST(free_text AS JSON) = 1", "DPQ-108", None, "use"),
    ("SELECT SUM(DISTINCT talk_s) FROM calls", "DPQ-108", "SUM(DISTINCT talk_s)", "SUM(talk_s)"),
    ("SELECT COUNT(DISTINCT talk_s) FROM calls", "DPQ-108", "COUNT(DISTINCT talk_s)", "COUNT(DISTINCT caller)"),
    ("SELECT COUNT(*) n, COUNT(talk_s) n FROM calls", "DPQ-115", "COUNT(talk_s) n", "AS n_2"),
    ("SELECT COUNT(*) FROM calls WHERE day > '2027-01-01'", "DPQ-116", None, "2026-01-01 to 2026-02-28"),
    ("SELECT COUNT(*) FROM calls WHERE service = 3", "DPQ-112", None, "one type"),
    ("SELECT COUNT(*) FROM calls WHERE day = 'soon'", "DPQ-112", None, "DATE '2026-01-31'"),
    ("SELECT COUNT(*) FROM calls WHERE service = $s", "DPQ-113", None, "--param s="),
    ("SELECT COUNT(* FROM calls", "DPQ-101", None, "SELECT COUNT(*)"),
    ("SELECT 'open FROM calls", "DPQ-101", None, "close it"),
    ("SELECT COUNT(*) FROM calls GROUP BY CUBE (service)", "DPQ-111", None, "GROUP BY queue, day"),
    (
        "SELECT SUM(talk_s, contribution_bounds_per_group => (0, 9)) FROM calls",
        "DPQ-119",
        None,
        "contribution_bounds_per_row",
    ),
    ("SELECT COUNT(*) AS a, SUM(talk_s) AS a_low FROM calls", "DPQ-115", None, "a_low_2"),
    ("SELECT service AS a_high, COUNT(*) AS a FROM calls GROUP BY 1", "DPQ-115", None, "a_high_2"),
    ("SELECT SUM(score, contribution_bounds_per_row => (2.2, 2.8)) FROM calls", "DPQ-102", None, "(0, 3600)"),
    ("SELECT SUM(cost, contribution_bounds_per_row => (0, 1e-320)) FROM calls", "DPQ-102", None, "(0, 3600)"),
    ("SELECT SUM(talk_s * 1e-30) FROM calls", "DPQ-102", "SUM(talk_s * 1e-30)", "(0, 3600)"),
    ("SELECT SUM(talk_s, contribution_bounds_per_row => (9, 1)) FROM calls", "DPQ-102", None, "(0, 3600)"),
    ("SELECT COUNT(talk_s, contribution_bounds_per_row => (0, 1)) FROM calls", "DPQ-108", None, "SUM(talk_s, ...)"),
    (
        "SELECT SUM(COALESCE(talk_s, 0, contribution_bounds_per_row => (0, 1))) FROM calls",
        "DPQ-108",
        None,
        "SUM(talk_s, ...)",
    ),
    (
        "SELECT SUM(talk_s, contribution_bounds_per_row => (0, 1), contribution_bounds_per_row => (0, 2)) FROM calls",
        "DPQ-102",
        None,
        "once",
    ),
    ("SELECT date_trunc('day', start_ts, 'Asia/Tokyo') d, COUNT(*) FROM calls GROUP BY d", "DPQ-108", None, "'day'"),
    ("SELECT day, COUNT(*) AS n FROM calls GROUP BY day ORDER BY n LIMIT 10 PERCENT", "DPQ-112", None, "LIMIT 10"),
    ("SELECT COUNT(*) FROM calls WHERE service = '\udcff'", "DPQ-101", None, "retype"),
    ("SELECT COUNT(*) FROM calls WHERE service LIKE '%a%a%a%a%a%a%a%a%'", "DPQ-114", None, "fewer"),
    ("SELECT age_band, COUNT(*) FROM subscribers GROUP BY 1", "DPQ-118", "age_band", "sensitive"),
]


@pytest.mark.parametrize(("sql", "code", "underlined", "cure"), REFUSED)
def test_refusals_name_place_reason_and_cure(sql: str, code: str, underlined: str | None, cure: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        priced(sql, CATALOG)
    refusal = caught.value
    assert refusal.code == code
    assert code in CATALOGUE
    assert refusal.fix is not None
    assert cure in refusal.fix
    if underlined is not None:
        assert refusal.where is not None
        line = sql.splitlines()[refusal.where.line - 1]
        assert line[refusal.where.column - 1 : refusal.where.end - 1] == underlined


def test_the_caret_stands_under_the_fault() -> None:
    with pytest.raises(QueryRefused) as caught:
        priced("SELECT COUNT(*)\nFROM calls\nWHERE callerr_region = 'x'", CATALOG)
    text = str(caught.value)
    line, carets = text.splitlines()[2:4]
    assert line.index("callerr_region") == carets.index("^")
    assert carets.count("^") == len("callerr_region")


def test_a_long_text_and_a_deep_text_are_refused_quickly() -> None:
    for sql in ("SELECT COUNT(*) FROM calls WHERE " + "(" * 500 + "TRUE" + ")" * 500, "SELECT " + "1," * 20_000):
        with pytest.raises(QueryRefused):
            priced(sql, CATALOG)


def test_a_product_of_many_small_steps_is_planned() -> None:
    factors = " * ".join(["1.00000095367431640625"] * 55)
    assert priced(f"SELECT SUM(talk_s * {factors}) FROM calls", CATALOG).parts[0].scale > 0
