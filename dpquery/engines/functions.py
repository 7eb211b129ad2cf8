"""One total DuckDB rendering for each registered function: no value of any row makes it raise.

What a function cannot take is made NULL before it gets there, and what is not finite or left the calendar is made
NULL after it. A branch of CASE around the call would not do: engines may compute both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Form = Literal[
    "double",  # a finite DOUBLE
    "print",  # VARCHAR, as CAST writes it
    "text",
    "castable",  # as it is, whole numbers as BIGINT
    "alike",  # in the type that all the arguments share
    "time",  # a TIMESTAMP within the calendar
    "date",  # a DATE within the calendar
    "position",  # a BIGINT that substring takes
    "days",  # an INTEGER that no date minds
    "shift",  # a BIGINT that no timestamp minds, in the unit that the argument before it names
    "inline",  # a constant whole number, written into the text
    "unit",  # a constant word of our own, written into the text
    "constant",  # a constant as a parameter
]
"""How an argument is delivered."""

Wrap = Literal["", "finite", "time", "date"]
"""What is checked of the result: a finite number, or a time or date within the calendar."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """`template` with each `{}` replaced by an argument in its form; `{...}` stands for all of them, with commas."""

    template: str
    forms: tuple[Form, ...]
    """One for each argument; the last repeats."""
    wrap: Wrap = ""


def _one(name: str, form: Form, wrap: Wrap = "") -> Rendering:
    return Rendering(name + "({})", (form,), wrap)


def _whole(sql_type: str) -> Rendering:
    return Rendering("CAST(TRY_CAST({} AS " + sql_type + ") AS BIGINT)", ("castable",))


FUNCTION_RENDERINGS: Mapping[str, Rendering] = {
    "mod": Rendering("{} % {}", ("double", "double"), "finite"),
    # Exact where `trunc(x / y)` would round up a quotient just below a whole number.
    "integer_division": Rendering(
        "list_transform([{{'x': {}, 'y': {}}}], lambda v: (v.x - v.x % v.y) / v.y)[1]", ("double", "double"), "finite"
    ),
    "abs": _one("abs", "double"),
    "sign": Rendering("CAST(sign({}) AS BIGINT)", ("double",)),
    "floor": _one("floor", "double"),
    "ceil": _one("ceil", "double"),
    "round": Rendering("round({...})", ("double", "inline"), "finite"),
    "trunc": Rendering("trunc({...})", ("double", "inline"), "finite"),
    "sqrt": _one("sqrt", "double", "finite"),
    "cbrt": _one("cbrt", "double", "finite"),
    "exp": _one("exp", "double", "finite"),
    "ln": _one("ln", "double", "finite"),
    "log10": _one("log10", "double", "finite"),
    "log2": _one("log2", "double", "finite"),
    "log": Rendering("log({}, {})", ("double", "double"), "finite"),
    "power": Rendering("pow({}, {})", ("double", "double"), "finite"),
    "least": Rendering("least({...})", ("alike",)),
    "greatest": Rendering("greatest({...})", ("alike",)),
    "upper": _one("upper", "text"),
    "lower": _one("lower", "text"),
    "trim": Rendering("trim({...})", ("text", "constant")),
    "ltrim": Rendering("ltrim({...})", ("text", "constant")),
    "rtrim": Rendering("rtrim({...})", ("text", "constant")),
    "length": _one("length", "text"),
    "substring": Rendering("substring({...})", ("text", "position", "position")),
    "left": Rendering("left({}, {})", ("text", "position")),
    "right": Rendering("right({}, {})", ("text", "position")),
    "concat": Rendering("concat({...})", ("print",)),
    "join_texts": Rendering("({} || {})", ("print", "print")),
    "starts_with": Rendering("starts_with({}, {})", ("text", "text")),
    "ends_with": Rendering("suffix({}, {})", ("text", "text")),
    "contains": Rendering("contains({}, {})", ("text", "text")),
    "strpos": Rendering("strpos({}, {})", ("text", "text")),
    "replace": Rendering("replace({}, {}, {})", ("text", "constant", "constant")),
    "split_part": Rendering("split_part({}, {}, {})", ("text", "constant", "inline")),
    "ilike": Rendering("({} ILIKE {})", ("text", "constant")),
    "year": _one("year", "time"),
    "isoyear": _one("isoyear", "time"),
    "quarter": _one("quarter", "time"),
    "month": _one("month", "time"),
    "week": _one("week", "time"),
    "dayofyear": _one("dayofyear", "time"),
    "day": _one("day", "time"),
    "dayofweek": _one("dayofweek", "time"),
    "isodow": _one("isodow", "time"),
    "hour": _one("hour", "time"),
    "minute": _one("minute", "time"),
    "second": _one("second", "time"),
    "epoch": _one("epoch", "time"),
    "dayname": _one("dayname", "time"),
    "monthname": _one("monthname", "time"),
    "last_day": _one("last_day", "time"),
    "date_diff": Rendering("date_diff('{}', {}, {})", ("unit", "time", "time")),
    "date_add": Rendering("({} + to_{}({}))", ("time", "unit", "shift"), "time"),
    "shift_days": Rendering("({} + {})", ("date", "days"), "date"),
    "days_between": Rendering("({} - {})", ("date", "date")),
    "is_distinct": Rendering("({} IS DISTINCT FROM {})", ("alike", "alike")),
    "cast_tinyint": _whole("TINYINT"),
    "cast_smallint": _whole("SMALLINT"),
    "cast_integer": _whole("INTEGER"),
    "cast_bigint": _whole("BIGINT"),
    "cast_utinyint": _whole("UTINYINT"),
    "cast_usmallint": _whole("USMALLINT"),
    "cast_uinteger": _whole("UINTEGER"),
    "cast_double": Rendering("TRY_CAST({} AS DOUBLE)", ("castable",), "finite"),
    "cast_float": Rendering("CAST(TRY_CAST({} AS FLOAT) AS DOUBLE)", ("castable",), "finite"),
    "cast_decimal": Rendering("CAST(TRY_CAST({} AS DECIMAL({}, {})) AS DOUBLE)", ("castable", "inline", "inline")),
    "cast_text": Rendering("{}", ("print",)),
    "cast_boolean": Rendering("TRY_CAST({} AS BOOLEAN)", ("castable",)),
    "cast_date": Rendering("TRY_CAST({} AS DATE)", ("castable",), "date"),
    "cast_timestamp": Rendering("TRY_CAST({} AS TIMESTAMP)", ("castable",), "time"),
}
"""By the names of `plan/functions.py`."""
