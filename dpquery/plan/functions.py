"""The functions a row expression may use: each with its types, its edges and an example. What is not here is refused.

Every function is total and reads one row: at the edges it gives NULL, never an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.expressions import ValueType

Kind = Literal[
    "number",  # a whole or decimal number
    "whole",  # a whole number
    "text",
    "printable",  # any value; what is no text is written as CAST(x AS VARCHAR) does
    "time",  # a date or a timestamp; a date is its midnight
    "date",
    "alike",  # any value of one type with the other arguments
    "castable number",  # number, text or boolean
    "castable time",  # text, date or timestamp
    "constant",  # a literal, checked by the resolver
]
"""What an argument may be."""

Section = Literal["Numbers", "Text", "Dates and times", "Comparisons", "Casts"]

SECTIONS: tuple[Section, ...] = ("Numbers", "Text", "Dates and times", "Comparisons", "Casts")
"""In the order of the page."""

DIGITS_MAX = 15
"""Places that `round` and `trunc` may name, on either side of the point: as many as a double holds."""

YEARS = (1, 9999)
"""Years of dates and times that functions compute with; others are NULL. Stored ones lie within 1900 to 2999."""


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One function as analysts write it, and as the plan holds it."""

    name: str
    """In the plan, and in the engines' renderings."""
    written: tuple[str, ...]
    """How it is written; the first is shown first."""
    takes: tuple[Kind, ...]
    """One for each argument; the last repeats where `variadic`."""
    gives: ValueType | Literal["number", "alike"]
    """Result type; number: whole if all its numbers are; alike: the arguments' common type."""
    about: str
    """What it gives, and what at its edges."""
    example: str
    """A condition over columns of the demo."""
    section: Section
    optional: int = 0
    """How many of the last arguments may be left out."""
    variadic: bool = False
    unbounded: bool = False
    """A number whose range does not follow from the arguments: SUM and AVG of it need named bounds."""


def _number(
    name: str,
    written: tuple[str, ...],
    about: str,
    example: str,
    *,
    takes: tuple[Kind, ...] = ("number",),
    gives: ValueType | Literal["number", "alike"] = "decimal",
    optional: int = 0,
    variadic: bool = False,
    unbounded: bool = False,
) -> FunctionSpec:
    return FunctionSpec(
        name,
        written,
        takes,
        gives,
        about,
        example,
        "Numbers",
        optional=optional,
        variadic=variadic,
        unbounded=unbounded,
    )


def _text(
    name: str,
    written: tuple[str, ...],
    about: str,
    example: str,
    *,
    takes: tuple[Kind, ...] = ("text",),
    gives: ValueType = "text",
    optional: int = 0,
    variadic: bool = False,
) -> FunctionSpec:
    return FunctionSpec(
        name,
        written,
        takes,
        gives,
        about,
        example,
        "Text",
        optional=optional,
        variadic=variadic,
        unbounded=gives == "integer",
    )


def _time(
    name: str,
    written: tuple[str, ...],
    about: str,
    example: str,
    *,
    takes: tuple[Kind, ...] = ("time",),
    gives: ValueType = "integer",
    unbounded: bool = False,
) -> FunctionSpec:
    return FunctionSpec(name, written, takes, gives, about, example, "Dates and times", unbounded=unbounded)


def _cast(
    name: str, types: tuple[str, ...], about: str, example: str, *, takes: tuple[Kind, ...], gives: ValueType
) -> FunctionSpec:
    first = types[0]
    written = (f"CAST(x AS {first})", f"TRY_CAST(x AS {first})", f"x::{first}", *(f"... AS {t}" for t in types[1:]))
    return FunctionSpec(name, written, takes, gives, about, example, "Casts")


def _whole_cast(name: str, types: tuple[str, ...], bits: int, example: str, *, signed: bool = True) -> FunctionSpec:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    about = (
        f"whole number from {low:,} to {high:,}; a half to the even one, but away from 0 where x is made of whole "
        "numbers, constants such as 0.5 and casts to DECIMAL; NULL outside, and for text that is no number"
    )
    return _cast(name, types, about, example, takes=("castable number",), gives="integer")


_REGISTERED = (
    _number(
        "mod",
        ("x % y", "mod(x, y)"),
        "rest of the division, with the sign of x; NULL if y is 0",
        "talk_s % 60 < 10",
        takes=("number", "number"),
        gives="number",
    ),
    _number(
        "integer_division",
        ("x // y",),
        "whole numbers only: the quotient without its fraction, towards 0; NULL if y is 0",
        "talk_s // 60 >= 3",
        takes=("whole", "whole"),
        gives="integer",
    ),
    _number("abs", ("abs(x)",), "without its sign", "abs(ring_s - wait_s) > 10", gives="number"),
    _number("sign", ("sign(x)",), "-1, 0 or 1", "sign(talk_s - wait_s) = 1", gives="integer"),
    _number("floor", ("floor(x)",), "the next whole number below", "floor(cost) = 1", gives="number"),
    _number("ceil", ("ceil(x)", "ceiling(x)"), "the next whole number above", "ceil(cost) = 2", gives="number"),
    _number(
        "round",
        ("round(x)", "round(x, n)"),
        f"to n places (0 if left out, -{DIGITS_MAX} to {DIGITS_MAX}, a literal), half away from zero",
        "round(cost, 1) = 0.5",
        takes=("number", "constant"),
        gives="number",
        optional=1,
    ),
    _number(
        "trunc",
        ("trunc(x)", "trunc(x, n)"),
        f"cut towards zero to n places (0 if left out, -{DIGITS_MAX} to {DIGITS_MAX}, a literal)",
        "trunc(talk_s / 60) = 2",
        takes=("number", "constant"),
        gives="number",
        optional=1,
    ),
    _number("sqrt", ("sqrt(x)",), "square root; NULL for negative numbers", "sqrt(talk_s) > 10"),
    _number("cbrt", ("cbrt(x)",), "cube root", "cbrt(talk_s) > 5"),
    _number("exp", ("exp(x)",), "e to the power of x; NULL on overflow", "exp(cost) < 20"),
    _number("ln", ("ln(x)",), "natural logarithm; NULL for 0 and below", "ln(talk_s) > 4"),
    _number(
        "log10",
        ("log10(x)", "log(x)"),
        "logarithm to base 10, as in DuckDB also when written log(x); NULL for 0 and below",
        "log10(talk_s) >= 2",
    ),
    _number("log2", ("log2(x)",), "logarithm to base 2; NULL for 0 and below", "log2(talk_s) >= 6"),
    _number(
        "log",
        ("log(b, x)",),
        "logarithm of x to base b; NULL where x is 0 or below, and for base 1",
        "log(3, talk_s) > 4",
        takes=("number", "number"),
        unbounded=True,
    ),
    _number(
        "power",
        ("power(x, y)", "pow(x, y)", "x ** y", "x ^ y"),
        "x to the power of y; NULL on overflow, and for roots of negative numbers",
        "power(talk_s, 2) > 10000",
        takes=("number", "number"),
    ),
    _number(
        "least",
        ("least(x, y, ...)",),
        "the smallest that is not NULL, as in DuckDB (elsewhere one NULL makes it NULL); of numbers, texts or times",
        "least(talk_s, 600) = 600",
        takes=("alike", "alike"),
        gives="alike",
        optional=1,
        variadic=True,
    ),
    _number(
        "greatest",
        ("greatest(x, y, ...)",),
        "the largest that is not NULL, as in DuckDB (elsewhere one NULL makes it NULL); of numbers, texts or times",
        "greatest(ring_s, wait_s) > 30",
        takes=("alike", "alike"),
        gives="alike",
        optional=1,
        variadic=True,
    ),
    _text("upper", ("upper(x)", "ucase(x)"), "in capitals", "upper(queue) = 'SALES'"),
    _text("lower", ("lower(x)", "lcase(x)"), "in small letters", "lower(queue) = 'sales'"),
    _text(
        "trim",
        ("trim(x)", "trim(x, 'chars')", "TRIM(BOTH 'chars' FROM x)"),
        "without spaces, or those characters (a literal), at both ends",
        "trim(queue) = 'sales'",
        takes=("text", "constant"),
        optional=1,
    ),
    _text(
        "ltrim",
        ("ltrim(x)", "ltrim(x, 'chars')", "TRIM(LEADING 'chars' FROM x)"),
        "the same at the start",
        "ltrim(cell_id, 'c') <> cell_id",
        takes=("text", "constant"),
        optional=1,
    ),
    _text(
        "rtrim",
        ("rtrim(x)", "rtrim(x, 'chars')", "TRIM(TRAILING 'chars' FROM x)"),
        "the same at the end",
        "rtrim(queue, 's') = 'sale'",
        takes=("text", "constant"),
        optional=1,
    ),
    _text(
        "length",
        ("length(x)", "len(x)", "char_length(x)", "character_length(x)"),
        "how many characters (code points)",
        "length(campaign_id) > 4",
        gives="integer",
    ),
    _text(
        "substring",
        ("substring(x, start, length)", "substr(x, start, length)", "SUBSTRING(x FROM start FOR length)"),
        "the part from `start` (1 is the first character, -1 the last), to the end if `length` is left out",
        "substring(caller_region, 1, 2) = 'GB'",
        takes=("text", "whole", "whole"),
        optional=1,
    ),
    _text(
        "left",
        ("left(x, n)",),
        "the first n characters; all but the last -n if n is negative",
        "left(caller_region, 2) = 'GB'",
        takes=("text", "whole"),
    ),
    _text(
        "right",
        ("right(x, n)",),
        "the last n characters; all but the first -n if n is negative",
        "right(caller_region, 3) = 'LND'",
        takes=("text", "whole"),
    ),
    _text(
        "concat",
        ("concat(x, y, ...)",),
        "all in a row; NULL is left out, as in DuckDB",
        "concat(service, '/', queue) = 'voice/sales'",
        takes=("printable",),
        variadic=True,
    ),
    _text(
        "join_texts",
        ("x || y",),
        "both in a row; NULL if one is NULL. One side must be text",
        "service || '/' || disposition = 'voice/answered'",
        takes=("printable", "printable"),
    ),
    _text(
        "starts_with",
        ("starts_with(x, y)", "startswith(x, y)", "prefix(x, y)"),
        "whether x starts with y",
        "starts_with(caller_region, 'GB')",
        takes=("text", "text"),
        gives="boolean",
    ),
    _text(
        "ends_with",
        ("ends_with(x, y)", "endswith(x, y)", "suffix(x, y)"),
        "whether x ends with y",
        "ends_with(disposition, 'ed')",
        takes=("text", "text"),
        gives="boolean",
    ),
    _text(
        "contains",
        ("contains(x, y)",),
        "whether y stands anywhere in x",
        "contains(disposition, 'answer')",
        takes=("text", "text"),
        gives="boolean",
    ),
    _text(
        "strpos",
        ("strpos(x, y)", "instr(x, y)", "POSITION(y IN x)"),
        "where y first stands in x, from 1; 0 if nowhere",
        "strpos(caller_region, '-') = 3",
        takes=("text", "text"),
        gives="integer",
    ),
    _text(
        "replace",
        ("replace(x, 'old', 'new')",),
        "every `old` made `new`; both literals, `new` not longer than `old`, so that no text can grow",
        "replace(disposition, '_', ' ') = 'no answer'",
        takes=("text", "constant", "constant"),
    ),
    _text(
        "split_part",
        ("split_part(x, 'separator', n)",),
        "the n-th part between separators, from the end if n is negative; empty if there is none. Literals",
        "split_part(caller_region, '-', 1) = 'GB'",
        takes=("text", "constant", "constant"),
    ),
    _text(
        "ilike",
        ("x ILIKE 'pattern'", "x NOT ILIKE 'pattern'"),
        "as LIKE, with capitals and small letters alike",
        "queue ILIKE 'SAL%'",
        takes=("text", "constant"),
        gives="boolean",
    ),
    _time(
        "year",
        ("year(t)", "extract(year FROM t)", "date_part('year', t)"),
        "the year",
        "year(start_ts) = 2026",
        unbounded=True,
    ),
    _time("isoyear", ("isoyear(t)",), "the year of its ISO week", "isoyear(day) = 2026", unbounded=True),
    _time("quarter", ("quarter(t)",), "1 to 4", "quarter(day) = 1"),
    _time("month", ("month(t)",), "1 to 12", "month(start_ts) IN (1, 2)"),
    _time("week", ("week(t)", "weekofyear(t)"), "ISO week, 1 to 53", "week(day) = 2"),
    _time("dayofyear", ("dayofyear(t)", "extract(doy FROM t)"), "1 to 366", "dayofyear(day) <= 31"),
    _time("day", ("day(t)", "dayofmonth(t)"), "day of the month, 1 to 31", "day(start_ts) > 15"),
    _time(
        "dayofweek",
        ("dayofweek(t)", "weekday(t)", "extract(dow FROM t)"),
        "0 is Sunday, 6 is Saturday, as in DuckDB (BigQuery counts from 1)",
        "dayofweek(day) IN (0, 6)",
    ),
    _time("isodow", ("isodow(t)",), "1 is Monday, 7 is Sunday", "isodow(day) <= 5"),
    _time("hour", ("hour(t)",), "0 to 23, UTC; 0 for a date", "hour(start_ts) BETWEEN 9 AND 17"),
    _time("minute", ("minute(t)",), "0 to 59", "minute(start_ts) < 15"),
    _time("second", ("second(t)",), "0 to 59", "second(start_ts) = 0"),
    _time(
        "epoch",
        ("epoch(t)", "extract(epoch FROM t)"),
        "seconds since 1970-01-01, UTC",
        "epoch(start_ts) > 1767225600",
        gives="decimal",
        unbounded=True,
    ),
    _time("dayname", ("dayname(t)",), "'Monday' to 'Sunday'", "dayname(day) = 'Monday'", gives="text"),
    _time("monthname", ("monthname(t)",), "'January' to 'December'", "monthname(day) = 'January'", gives="text"),
    _time(
        "start_of",
        ("date_trunc('quarter', t)", "date_trunc('year', t)"),
        "the start of its quarter or year, UTC (hour, day, week and month, which can be keys, stand in "
        "[SQL](sql.md#row-expressions))",
        "date_trunc('quarter', start_ts) = DATE '2026-01-01'",
        takes=("constant", "time"),
        gives="timestamp",
    ),
    _time("last_day", ("last_day(t)",), "the last day of its month", "last_day(day) = day", gives="date"),
    _time(
        "date_diff",
        ("date_diff('unit', a, b)", "datediff('unit', a, b)"),
        "how many starts of a year, quarter, month, week (Monday), day, hour, minute or second lie after a, up to b",
        "date_diff('day', DATE '2026-01-01', day) < 7",
        takes=("constant", "time", "time"),
        unbounded=True,
    ),
    _time(
        "date_add",
        (
            "t + INTERVAL 7 DAY",
            "t - INTERVAL '7 days'",
            "date_add(t, INTERVAL 7 DAY)",
            "date_sub(t, INTERVAL 7 DAY)",
            "dateadd('day', 7, t)",
        ),
        "a timestamp so much later or earlier; months end on their last day at most; NULL outside the years 1 to 9999. "
        "`INTERVAL (x) SECOND` takes a whole number x",
        "start_ts + INTERVAL (talk_s) SECOND < TIMESTAMP '2026-02-01 00:00:00'",
        takes=("time", "constant", "whole"),
        gives="timestamp",
    ),
    _time(
        "shift_days",
        ("d + n", "d - n"),
        "the date n days later or earlier; NULL outside the years 1 to 9999",
        "day + 7 > DATE '2026-01-31'",
        takes=("date", "whole"),
        gives="date",
    ),
    _time(
        "days_between",
        ("d - e",),
        "days from e to d",
        "day - DATE '2026-01-01' < 7",
        takes=("date", "date"),
        unbounded=True,
    ),
    FunctionSpec(
        "is_distinct",
        ("x IS DISTINCT FROM y", "x IS NOT DISTINCT FROM y", "x <=> y"),
        ("alike", "alike"),
        "boolean",
        "as `<>` and `=`, with NULL a value like others: never NULL itself",
        "queue IS DISTINCT FROM 'sales'",
        "Comparisons",
    ),
    _whole_cast("cast_tinyint", ("TINYINT",), 8, "CAST(ring_s AS TINYINT) = 5"),
    _whole_cast("cast_smallint", ("SMALLINT",), 16, "CAST(cost AS SMALLINT) = 1"),
    _whole_cast("cast_integer", ("INTEGER",), 32, "CAST(right(cell_id, 1) AS INTEGER) > 4"),
    _whole_cast("cast_bigint", ("BIGINT",), 64, "TRY_CAST(cost AS BIGINT) = 1"),
    _whole_cast("cast_utinyint", ("UTINYINT",), 8, "CAST(ring_s AS UTINYINT) = 5", signed=False),
    _whole_cast("cast_usmallint", ("USMALLINT",), 16, "CAST(talk_s AS USMALLINT) = 60", signed=False),
    _whole_cast("cast_uinteger", ("UINTEGER",), 32, "CAST(talk_s AS UINTEGER) = 60", signed=False),
    _cast(
        "cast_double",
        ("DOUBLE",),
        "double precision; NULL for text that is no number, and for what is not finite",
        "talk_s::DOUBLE / 60 > 1.5",
        takes=("castable number",),
        gives="decimal",
    ),
    _cast(
        "cast_float",
        ("FLOAT", "REAL"),
        "rounded to single precision; NULL on overflow",
        "CAST(cost AS FLOAT) = 0.5",
        takes=("castable number",),
        gives="decimal",
    ),
    _cast(
        "cast_decimal",
        ("DECIMAL(p, s)", "NUMERIC(p, s)"),
        "rounded to s places; NULL where more than p digits would be needed. Computed on as double precision",
        "CAST(cost AS DECIMAL(10, 2)) = 0.25",
        takes=("castable number", "constant", "constant"),
        gives="decimal",
    ),
    _cast(
        "cast_text",
        ("VARCHAR", "TEXT", "STRING"),
        "as DuckDB writes it; a length, as in VARCHAR(3), changes nothing",
        "CAST(talk_s AS VARCHAR) LIKE '%00'",
        takes=("printable",),
        gives="text",
    ),
    _cast(
        "cast_boolean",
        ("BOOLEAN",),
        "0 is false, other numbers are true; text such as 'true' or 'f'; NULL for other text",
        "CAST(talk_s AS BOOLEAN)",
        takes=("castable number",),
        gives="boolean",
    ),
    _cast(
        "cast_date",
        ("DATE",),
        "the day, UTC; NULL for text that is no date, and outside the years 1 to 9999",
        "CAST(left(CAST(start_ts AS VARCHAR), 10) AS DATE) = DATE '2026-01-05'",
        takes=("castable time",),
        gives="date",
    ),
    _cast(
        "cast_timestamp",
        ("TIMESTAMP", "DATETIME"),
        "UTC; a date is its midnight; NULL for text that is no time, and outside the years 1 to 9999",
        "CAST(day AS TIMESTAMP) = start_ts",
        takes=("castable time",),
        gives="timestamp",
    ),
)

FUNCTIONS: Mapping[str, FunctionSpec] = {spec.name: spec for spec in _REGISTERED}
"""Every function by its name in the plan."""

PARTS = (
    "year",
    "isoyear",
    "quarter",
    "month",
    "week",
    "dayofyear",
    "day",
    "dayofweek",
    "isodow",
    "hour",
    "minute",
    "second",
    "epoch",
)
"""Functions that `extract` and `date_part` name."""

DIFFERENCE_UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
"""Units of `date_diff`."""

SHIFTS: Mapping[str, int] = {"months": 12 * 10_000, "days": 3_652_425, "seconds": 3_652_425 * 86_400}
"""Units of `date_add`, and how many of them lead out of the calendar (10,000 years) from anywhere within."""
