"""How each row function is written, and what plain DuckDB takes for it where that differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from grammar_pieces import Kind


class Form(NamedTuple):
    """What a form gives, how it is written, and how plain DuckDB says it where that differs.

    {n} number, {i} whole number, {j} whole number but 0, {t} text, {c} text column, {s} time, {d} date.
    """

    kind: Kind
    written: str
    plain: str | None = None

    @property
    def marks(self) -> list[str]:
        """The marks of the template, in order."""
        text = self.written
        return [text[i : i + 3] for i in range(len(text) - 2) if text[i] == "{" and text[i + 2] == "}"]


FORMS: Mapping[str, tuple[Form, ...]] = {
    "mod": (Form("number", "({n} % {n})"), Form("number", "mod({n}, {n})")),
    "integer_division": (Form("number", "({i} // {j})"),),
    "abs": (Form("number", "abs({n})"),),
    "sign": (Form("number", "sign({n})"),),
    "floor": (Form("number", "floor({n})"),),
    "ceil": (Form("number", "ceil({n})"), Form("number", "ceiling({n})")),
    "round": (Form("number", "round({n})"), Form("number", "round({n}, 1)")),
    "trunc": (Form("number", "trunc({n})"),),
    "sqrt": (Form("number", "sqrt({n})", "CASE WHEN {0} >= 0 THEN sqrt({0}) END"),),
    "cbrt": (Form("number", "cbrt({n})"),),
    "exp": (Form("number", "exp({n})", "CASE WHEN {0} < 700 THEN exp({0}) END"),),
    "ln": (Form("number", "ln({n})", "CASE WHEN {0} > 0 THEN ln({0}) END"),),
    "log10": (
        Form("number", "log10({n})", "CASE WHEN {0} > 0 THEN log10({0}) END"),
        Form("number", "log({n})", "CASE WHEN {0} > 0 THEN log({0}) END"),
    ),
    "log2": (Form("number", "log2({n})", "CASE WHEN {0} > 0 THEN log2({0}) END"),),
    "log": (Form("number", "log(2, {n})", "CASE WHEN {0} > 0 THEN log(2, {0}) END"),),
    "power": (Form("number", "power({n}, 2)"), Form("number", "({n} ** 3)"), Form("number", "({n} ^ 2)")),
    "least": (Form("number", "least({n}, {n})"),),
    "greatest": (Form("number", "greatest({n}, {n}, {n})"), Form("text", "greatest({t}, {t})")),
    "upper": (Form("text", "upper({t})"), Form("text", "ucase({t})")),
    "lower": (Form("text", "lower({t})"), Form("text", "lcase({t})")),
    "trim": (Form("text", "trim({t})"), Form("text", "trim({t}, 'x')")),
    "ltrim": (Form("text", "ltrim({t}, 'v')"),),
    "rtrim": (Form("text", "rtrim({t}, 's')"),),
    "length": (Form("number", "length({t})"), Form("number", "len({t})")),
    "substring": (Form("text", "substring({t}, 1, 2)"), Form("text", "substr({t}, {i}, 2)")),
    "left": (Form("text", "left({t}, 2)"),),
    "right": (Form("text", "right({t}, 2)"),),
    "concat": (Form("text", "concat({t}, {t})"),),
    "join_texts": (Form("text", "({t} || {t})"),),
    "starts_with": (Form("bool", "starts_with({t}, {t})"), Form("bool", "prefix({t}, {t})")),
    "ends_with": (Form("bool", "ends_with({t}, {t})"), Form("bool", "suffix({t}, {t})")),
    "contains": (Form("bool", "contains({t}, {t})"),),
    "strpos": (Form("number", "strpos({t}, 'o')"), Form("number", "instr({t}, 's')")),
    "replace": (Form("text", "replace({t}, 'oi', 'x')"),),
    "split_part": (Form("text", "split_part({t}, '-', 1)"),),
    "ilike": (Form("bool", "({t} ILIKE 'V%')"),),
    "year": (Form("number", "year({s})"), Form("number", "extract(year FROM {s})")),
    "isoyear": (Form("number", "isoyear({s})"),),
    "quarter": (Form("number", "quarter({s})"),),
    "month": (Form("number", "month({s})"),),
    "week": (Form("number", "week({s})"), Form("number", "weekofyear({s})")),
    "dayofyear": (Form("number", "dayofyear({s})"),),
    "day": (Form("number", "day({s})"), Form("number", "date_part('day', {s})")),
    "dayofweek": (Form("number", "dayofweek({s})"),),
    "isodow": (Form("number", "isodow({s})"),),
    "hour": (Form("number", "hour({s})"),),
    "minute": (Form("number", "minute({s})"),),
    "second": (Form("number", "second({s})"),),
    "epoch": (Form("number", "epoch({s})"),),
    "dayname": (Form("text", "dayname({s})"),),
    "monthname": (Form("text", "monthname({s})"),),
    "last_day": (Form("date", "last_day({s})"),),
    "date_diff": (
        Form("number", "date_diff('day', TIMESTAMP '2026-01-20 00:00:00', {s})"),
        Form("number", "datediff('hour', {s}, {s})"),
    ),
    "date_add": (
        Form("time", "({s} + INTERVAL 7 DAY)"),
        Form("time", "({s} - INTERVAL '36 hours')"),
        Form("time", "date_add({s}, INTERVAL 1 MONTH)"),
    ),
    "shift_days": (Form("date", "({d} + 3)"),),
    "days_between": (Form("number", "({d} - DATE '2026-01-20')"),),
    "is_distinct": (Form("bool", "({n} IS DISTINCT FROM {n})"), Form("bool", "({t} IS NOT DISTINCT FROM {t})")),
    "cast_tinyint": (Form("number", "CAST({n} AS TINYINT)", "TRY_CAST({0} AS TINYINT)"),),
    "cast_smallint": (Form("number", "TRY_CAST({n} AS SMALLINT)"),),
    "cast_integer": (Form("number", "CAST({t} AS INTEGER)", "TRY_CAST({0} AS INTEGER)"),),
    "cast_bigint": (Form("number", "{n}::BIGINT", "TRY_CAST({0} AS BIGINT)"),),
    "cast_utinyint": (Form("number", "TRY_CAST({n} AS UTINYINT)"),),
    "cast_usmallint": (Form("number", "TRY_CAST({n} AS USMALLINT)"),),
    "cast_uinteger": (Form("number", "TRY_CAST({n} AS UINTEGER)"),),
    "cast_double": (Form("number", "CAST({n} AS DOUBLE)"),),
    "cast_float": (Form("number", "CAST({n} AS FLOAT)"),),
    "cast_decimal": (Form("number", "CAST({n} AS DECIMAL(12, 2))", "TRY_CAST({0} AS DECIMAL(12, 2))"),),
    "cast_text": (Form("text", "CAST({t} AS VARCHAR)"),),
    "cast_boolean": (Form("bool", "CAST({n} AS BOOLEAN)"),),
    "cast_date": (Form("date", "CAST({s} AS DATE)"), Form("date", "CAST({c} AS DATE)", "TRY_CAST({0} AS DATE)")),
    "cast_timestamp": (Form("time", "CAST({d} AS TIMESTAMP)"),),
}
"""Every function of `plan/functions.py`."""
