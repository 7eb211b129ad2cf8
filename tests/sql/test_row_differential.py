"""What analysts write means what plain DuckDB means by it, row by row, where plain DuckDB has an answer."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planning import small_catalog

from dpquery.engines.render import render
from dpquery.errors import QueryRefused
from dpquery.sql.parse import parse_condition
from dpquery.sql.row_expressions import RowResolver
from dpquery.sql.row_tests import bare_rows

TABLE = small_catalog().tables["calls"]

ROWS = """
    CREATE TABLE calls AS
    SELECT n, talk_s, score, cost, service, free_text, direction, answered, CAST(start_ts AS DATE) AS day, start_ts
    FROM (
        SELECT
            n,
            [0, 1, 59, 60, 61, 3599, NULL, 7][n % 8 + 1]::BIGINT AS talk_s,
            [-8, -3, 0, 5, NULL, 2, 1][n % 7 + 1]::BIGINT AS score,
            [0, 0.25, 0.75, 1.5, 3.75, NULL, 2.5, 4, 0.5][n % 9 + 1]::DOUBLE AS cost,
            ['voice', 'sms', NULL, 'VOICE', ' voice '][n % 5 + 1] AS service,
            ['', '5', '-3', '2026-01-31', 'é🤦🏼‍♂️ß', 'a-b-c', NULL, '1.5', 'true', 'voicevoice', '%_'][n % 11 + 1]
                AS free_text,
            ['inbound', 'outbound', 'p2p'][n % 3 + 1] AS direction,
            [TRUE, FALSE, NULL][n % 3 + 1] AS answered,
            [TIMESTAMP '2026-01-01 00:00:00', TIMESTAMP '2024-02-29 23:59:00', TIMESTAMP '2025-12-31 12:30:00',
             NULL, TIMESTAMP '2026-03-29 01:00:00', TIMESTAMP '1999-10-31 06:07:08'][n % 6 + 1] AS start_ts
        FROM (SELECT unnest(range(120)) AS n)
    )
"""

GRAMMAR: dict[str, list[str]] = {
    "whole": [
        "talk_s", "score", "3", "(-2)", "60", "({whole} + {whole})", "({whole} - {whole})", "({whole} * {literal})",
        "({whole} % {literal})", "mod({whole}, {whole})", "({whole} // {literal})", "abs({whole})", "sign({number})",
        "least({whole}, {whole})", "greatest({whole}, {whole})", "(-{whole})", "COALESCE({whole}, {whole})",
        "IFNULL({whole}, 0)", "NULLIF({whole}, {whole})", "CASE WHEN {test} THEN {whole} ELSE {whole} END",
        "IF({test}, {whole}, {whole})", "length({text})", "strpos({text}, {text})", "instr({text}, 'o')",
        "round({whole})", "CAST({whole} AS BIGINT)", "TRY_CAST({text} AS INTEGER)", "TRY_CAST({number} AS TINYINT)",
        "({constant} * {whole})::BIGINT", "CAST(CASE WHEN {test} THEN {constant} ELSE {whole} END AS INTEGER)",
        "CAST({constant} - {number} AS INTEGER)", "CAST({decimal} AS DECIMAL(9, 1))::SMALLINT",
        "{test}::INTEGER", "TRY_CAST({number} AS UTINYINT)", "year({time})", "isoyear({time})", "quarter({time})",
        "month({time})", "week({time})", "weekofyear({time})", "dayofyear({time})", "day({time})",
        "dayofweek({time})", "weekday({time})", "isodow({time})", "hour({time})", "minute({time})", "second({time})",
        "extract(dow FROM {time})", "extract(doy FROM {time})", "date_part('week', {time})",
        "date_diff('day', {time}, {time})", "datediff('month', {time}, {time})", "date_diff('week', {time}, {time})",
        "date_diff('hour', {time}, {time})", "date_diff('quarter', {time}, {time})", "({date} - {date})",
        "CASE {whole} WHEN 1 THEN 2 WHEN {whole} THEN 3 END",
    ],
    "decimal": [
        "cost", "0.5::DOUBLE", "({decimal} + {number})", "({number} - {decimal})", "({decimal} * {literal})",
        "({number} / {literal})", "({decimal} % 0.75::DOUBLE)", "abs({decimal})", "floor({decimal})",
        "ceil({decimal})", "ceiling({decimal})", "round({decimal})", "round({decimal}, 1)", "trunc({decimal})",
        "sqrt(abs({number}))", "cbrt({number})", "ln(abs({number}) + 1)", "log10(abs({number}) + 1)",
        "log2(abs({number}) + 1)", "log(abs({number}) + 1)", "log(3, abs({number}) + 1)", "exp(-abs({number}))",
        "power(least({number}, 4), 2)", "(least({number}, 4) ** 3)", "least({decimal}, {number})",
        "COALESCE({decimal}, {number})", "CASE WHEN {test} THEN {decimal} ELSE {number} END",
        "{whole}::DOUBLE", "TRY_CAST({text} AS DOUBLE)", "CAST({decimal} AS FLOAT)::DOUBLE", "epoch({time})",
        "CAST({decimal} AS DECIMAL(18, 3))::DOUBLE",
    ],
    "number": ["{whole}", "{decimal}"],
    "literal": ["2", "7", "(-3)"],
    "constant": ["0.5", "2.5", "(-1.5)", "0.5::DOUBLE", "2.5::DECIMAL(3, 1)"],
    "text": [
        "service", "free_text", "direction", "'voice'", "'é'", "upper({text})", "lower({text})", "trim({text})",
        "ltrim({text})", "rtrim({text}, 'ec')", "trim({text}, 'v ')", "TRIM(LEADING 'v' FROM {text})",
        "substring({text}, {whole}, 3)", "substr({text}, 2)", "SUBSTRING({text} FROM 2 FOR 3)", "left({text}, {whole})",
        "right({text}, {whole})", "concat({text}, {whole}, {text})", "({text} || {text})", "({text} || {whole})",
        "replace({text}, 'oi', 'x')", "replace({text}, 'v', '')", "split_part({text}, '-', 2)",
        "split_part({text}, 'o', -1)", "COALESCE({text}, 'none')", "NULLIF({text}, 'voice')",
        "CASE WHEN {test} THEN {text} END", "{whole}::VARCHAR", "CAST({decimal} AS VARCHAR)", "CAST({time} AS TEXT)",
        "CAST({test} AS VARCHAR)", "dayname({time})", "monthname({time})", "greatest({text}, {text})",
    ],
    "test": [
        "answered", "({number} < {number})", "({number} >= {number})", "({text} = {text})", "({text} <> {text})",
        "({time} < {time})", "({test} AND {test})", "({test} OR {test})", "(NOT {test})", "({number} IS NULL)",
        "({text} IS NOT NULL)", "({test} IS TRUE)", "({test} IS NOT TRUE)", "({test} IS FALSE)",
        "({test} IS NOT FALSE)", "({number} BETWEEN {number} AND {number})", "({whole} NOT BETWEEN 1 AND 60)",
        "({text} IN ('voice', 'sms'))", "({whole} NOT IN (1, 60))", "({text} LIKE 'v%')", "({text} NOT LIKE '%o_c%')",
        "({text} ILIKE '%VOI_E%')", "({text} NOT ILIKE 'É%')", "({text} IS DISTINCT FROM {text})",
        "({number} IS NOT DISTINCT FROM {number})", "starts_with({text}, {text})", "ends_with({text}, 'e')",
        "suffix({text}, {text})", "contains({text}, {text})", "prefix({text}, 'vo')",
        "TRY_CAST({text} AS BOOLEAN)", "{whole}::BOOLEAN", "({date} = {date})",
    ],
    "date": [
        "day", "DATE '2026-01-31'", "({date} + 7)", "({date} - 40)", "({date} + {whole})", "last_day({time})",
        "CAST({stamp} AS DATE)", "TRY_CAST({text} AS DATE)", "COALESCE({date}, {date})",
        "(DATE '2026-03-31' - 45)",
    ],
    "stamp": [
        "start_ts", "TIMESTAMP '2026-01-31 09:30:00'", "({time} + INTERVAL 7 DAY)", "({time} - INTERVAL '1 month')",
        "({time} + INTERVAL '2' HOUR)", "({time} - INTERVAL '1 month 2 days')", "date_add({time}, INTERVAL 3 MONTH)",
        "({stamp} + INTERVAL ({whole}) SECOND)", "date_trunc('hour', {stamp})", "date_trunc('week', {stamp})",
        "date_trunc('month', {stamp})", "date_trunc('quarter', {stamp})", "date_trunc('year', {stamp})",
        "CAST({date} AS TIMESTAMP)", "(DATE '2026-03-31' - INTERVAL 30 DAY)", "greatest({stamp}, {stamp})",
        "(DATE '2026-01-31' + INTERVAL 1 MONTH)",
    ],
    "time": ["{date}", "{stamp}"],
}  # fmt: skip
"""For each type, what an expression of it may look like; `{type}` stands for an expression of that type."""

LEAVES = {kind: [rule for rule in rules if "{" not in rule] for kind, rules in GRAMMAR.items()}
LEAVES |= {"number": ["talk_s", "cost"], "time": ["day", "start_ts"]}


@st.composite
def written(draw: st.DrawFn, kind: str, depth: int) -> str:
    rule = draw(st.sampled_from(LEAVES[kind] if depth == 0 else GRAMMAR[kind]))
    return re.sub(r"\{(\w+)\}", lambda hole: draw(written(hole[1], depth - 1)), rule)


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect(":memory:")
    made.execute(ROWS)
    return made


def ours(con: duckdb.DuckDBPyConnection, text: str) -> list[Any]:
    node, query = parse_condition(f"{text} IS NULL")
    expression = RowResolver(bare_rows(TABLE), query).value(node.this)
    sql = render(expression)
    return [row[0] for row in con.execute(f"SELECT {sql.text} FROM calls ORDER BY n", list(sql.parameters)).fetchall()]


def plain(con: duckdb.DuckDBPyConnection, text: str) -> list[Any]:
    """What plain DuckDB answers; `None` for the rows where it raises, and all None where it does so at once."""
    try:
        return [row[0] for row in con.execute(f"SELECT {text} FROM calls ORDER BY n").fetchall()]
    except duckdb.Error:
        pass
    found = []
    for n in range(120):
        try:
            found += [row[0] for row in con.execute(f"SELECT {text} FROM calls WHERE n = {n}").fetchall()]
        except duckdb.Error:
            found.append(RAISED)
    return found


RAISED = object()


def agree(mine: Any, theirs: Any) -> bool:
    if theirs is RAISED:
        return True
    if mine is None and isinstance(theirs, str) and re.match(r"[0-9]{5,}-[0-9]{2}-", theirs):
        return True  # DuckDB's text for a date that Python cannot hold: outside the calendar, where ours is NULL
    if isinstance(mine, bool) or isinstance(theirs, bool):
        return mine is theirs
    if isinstance(mine, int | float) and theirs is not None and not isinstance(theirs, str):
        return math.isclose(float(mine), float(theirs), rel_tol=1e-9, abs_tol=1e-9)
    return bool(mine == theirs)


@pytest.mark.parametrize("kind", ["whole", "decimal", "text", "test", "date", "stamp"])
@pytest.mark.parametrize("rule", range(max(map(len, GRAMMAR.values()))))
def test_each_rule_of_the_grammar_agrees(kind: str, rule: int, con: duckdb.DuckDBPyConnection) -> None:
    """Each rule with plain columns in its holes, several ways."""
    if rule >= len(GRAMMAR[kind]):
        return
    for turn in range(3):
        text = re.sub(r"\{(\w+)\}", partial(pick, turn), GRAMMAR[kind][rule])
        compare(con, text)


def pick(turn: int, hole: re.Match[str]) -> str:
    return LEAVES[hole[1]][turn % len(LEAVES[hole[1]])]


@given(st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nested_expressions_agree(con: duckdb.DuckDBPyConnection, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["whole", "decimal", "text", "test", "date", "stamp"]))
    compare(con, data.draw(written(kind, 3)))


def compare(con: duckdb.DuckDBPyConnection, text: str) -> None:
    # Constants are worked out first: one that is no date, or leaves the calendar, is refused.
    try:
        answers = ours(con, text)
    except QueryRefused as refusal:
        if refusal.code == "DPQ-112" and "'" in text:
            return
        raise
    for n, (mine, theirs) in enumerate(zip(answers, plain(con, text), strict=True)):
        assert agree(mine, theirs), (text, n, mine, theirs)


NULL_HERE = [
    "1 / (talk_s - talk_s)", "talk_s % 0", "talk_s // 0", "sqrt(-1 - talk_s)", "ln(0 * talk_s)", "exp(talk_s + 9999)",
    "power(talk_s + 10, 999)", "log(1, talk_s + 5)", "CAST('x' || service AS INTEGER)", "CAST(talk_s + 128 AS TINYINT)",
    "CAST(-1 - talk_s AS UTINYINT)", "CAST('x' || service AS DATE)", "CAST('x' || service AS BOOLEAN)",
    "1e308 * (talk_s + 10)", "-(-9223372036854775807 - 1 - talk_s) * 1e300", "CAST(cost + 1e30 AS DECIMAL(10, 2))",
    "day + 4000000", "day + talk_s * 1000000 + 4000000", "start_ts + INTERVAL (talk_s * 999999999 + 99999999999) HOUR",
    "date_trunc('year', start_ts + INTERVAL 9000 YEAR)",
]  # fmt: skip
"""Where plain DuckDB raises, or has no finite number, ours is NULL in every row."""


@pytest.mark.parametrize("text", NULL_HERE)
def test_what_cannot_be_computed_is_null(text: str, con: duckdb.DuckDBPyConnection) -> None:
    assert set(ours(con, text)) == {None}
