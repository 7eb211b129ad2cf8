"""Parsed functions to those of the registry; what has no entry there is refused with the nearest that has."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

from sqlglot import exp

from dpquery.plan.expressions import NUMERIC, Expression, Function, Not, Value
from dpquery.plan.functions import DIFFERENCE_UNITS, DIGITS_MAX, FUNCTIONS, PARTS
from dpquery.sql.dates import TIMES, as_time, cast_to_time, interval_in, moved_by_unit, shifted, unit_named
from dpquery.sql.decimals import is_decimal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dpquery.plan.expressions import ValueType
    from dpquery.plan.functions import FunctionSpec, Kind
    from dpquery.sql.row_expressions import RowResolver
    from dpquery.sql.text import QueryText

WILDCARDS_MAX = 8
"""Wildcards of one LIKE: the time a pattern takes must not depend on a row by much."""
PARTS_MAX = 1000
"""The farthest part that split_part may name."""
DECIMAL_DIGITS_MAX = 38
"""Digits of the engine's widest DECIMAL."""

PLAIN: Mapping[type[exp.Expr], tuple[str, tuple[str, ...]]] = {
    exp.Abs: ("abs", ("this",)),
    exp.Cbrt: ("cbrt", ("this",)),
    exp.Ceil: ("ceil", ("this",)),
    exp.Concat: ("concat", ("expressions",)),
    exp.Contains: ("contains", ("this", "expression")),
    exp.DPipe: ("join_texts", ("this", "expression")),
    exp.Day: ("day", ("this",)),
    exp.DayOfMonth: ("day", ("this",)),
    exp.DayOfWeek: ("dayofweek", ("this",)),
    exp.DayOfWeekIso: ("isodow", ("this",)),
    exp.DayOfYear: ("dayofyear", ("this",)),
    exp.Dayname: ("dayname", ("this",)),
    exp.EndsWith: ("ends_with", ("this", "expression")),
    exp.Exp: ("exp", ("this",)),
    exp.Floor: ("floor", ("this",)),
    exp.Greatest: ("greatest", ("this", "expressions")),
    exp.Hour: ("hour", ("this",)),
    exp.IntDiv: ("integer_division", ("this", "expression")),
    exp.LastDay: ("last_day", ("this",)),
    exp.Least: ("least", ("this", "expressions")),
    exp.Left: ("left", ("this", "expression")),
    exp.Length: ("length", ("this",)),
    exp.Ln: ("ln", ("this",)),
    exp.Lower: ("lower", ("this",)),
    exp.Minute: ("minute", ("this",)),
    exp.Mod: ("mod", ("this", "expression")),
    exp.Month: ("month", ("this",)),
    exp.Monthname: ("monthname", ("this",)),
    exp.NullSafeNEQ: ("is_distinct", ("this", "expression")),
    exp.Pow: ("power", ("this", "expression")),
    exp.Quarter: ("quarter", ("this",)),
    exp.Replace: ("replace", ("this", "expression", "replacement")),
    exp.Right: ("right", ("this", "expression")),
    exp.Round: ("round", ("this", "decimals")),
    exp.Second: ("second", ("this",)),
    exp.Sign: ("sign", ("this",)),
    exp.SplitPart: ("split_part", ("this", "delimiter", "part_index")),
    exp.Sqrt: ("sqrt", ("this",)),
    exp.StartsWith: ("starts_with", ("this", "expression")),
    exp.StrPosition: ("strpos", ("this", "substr")),
    exp.Substring: ("substring", ("this", "start", "length")),
    exp.TimeToUnix: ("epoch", ("this",)),
    exp.Trunc: ("trunc", ("this", "decimals")),
    exp.Upper: ("upper", ("this",)),
    exp.Week: ("week", ("this",)),
    exp.WeekOfYear: ("week", ("this",)),
    exp.Year: ("year", ("this",)),
}
"""Nodes that are a function of ours, and their parts in the order of its arguments."""

NAMED: Mapping[str, str] = {
    "prefix": "starts_with",
    "suffix": "ends_with",
    "weekday": "dayofweek",
    "isoyear": "isoyear",
}
"""Functions that the parser knows by name only."""

_FLAGS = {"safe", "coalesce", "ignore_nulls", "typed"}
"""Parts of nodes that say how another dialect would read them."""

_PART_NAMES = {
    "dow": "dayofweek",
    "weekday": "dayofweek",
    "doy": "dayofyear",
    "dayofmonth": "day",
    "weekofyear": "week",
}

_CASTS: Mapping[exp.DType, str] = {
    exp.DType.TINYINT: "cast_tinyint",
    exp.DType.SMALLINT: "cast_smallint",
    exp.DType.INT: "cast_integer",
    exp.DType.BIGINT: "cast_bigint",
    exp.DType.UTINYINT: "cast_utinyint",
    exp.DType.USMALLINT: "cast_usmallint",
    exp.DType.UINT: "cast_uinteger",
    exp.DType.DOUBLE: "cast_double",
    exp.DType.FLOAT: "cast_float",
    exp.DType.DECIMAL: "cast_decimal",
    exp.DType.TEXT: "cast_text",
    exp.DType.VARCHAR: "cast_text",
    exp.DType.BOOLEAN: "cast_boolean",
}
_TIME_CASTS: Mapping[exp.DType, ValueType] = {
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMP: "timestamp",
    exp.DType.TIMESTAMPNTZ: "timestamp",
    exp.DType.DATETIME: "timestamp",
}
_AS_IT_IS = {"cast_bigint": "integer", "cast_double": "decimal", "cast_text": "text", "cast_boolean": "boolean"}
"""Casts of a stored value to the type that it has."""

_KINDS: Mapping[Kind, tuple[frozenset[ValueType], str]] = {
    "number": (NUMERIC, "a number"),
    "whole": (frozenset({"integer"}), "a whole number"),
    "text": (frozenset({"text"}), "text"),
    "time": (TIMES, "a date or time"),
    "date": (frozenset({"date"}), "a date"),
    "castable number": (NUMERIC | {"text", "boolean"}, "a number, text or a truth value"),
    "castable time": (TIMES | {"text"}, "a date, a time or text"),
}
"""Types that an argument may have, and how to say it."""

_TIME_TEXT = "date_trunc('month', t), dayname(t) or monthname(t); texts of the released times on release.to_pandas()"

_INSTEAD: Mapping[str, str] = {
    "regexp": "x LIKE 'sal%', x ILIKE '%sal%', contains(x, 'sal') or starts_with(x, 'sal')",
    "similarto": "x LIKE 'sal%' or contains(x, 'sal')",
    "rlike": "x LIKE 'sal%' or contains(x, 'sal')",
    "glob": "x LIKE 'sal%'",
    "strptime": "CAST(x AS DATE) or CAST(x AS TIMESTAMP)",
    "to_date": "CAST(x AS DATE)",
    "strftime": _TIME_TEXT,
    "to_char": _TIME_TEXT,
    "format_": _TIME_TEXT,
    "date_format": _TIME_TEXT,
    "time_bucket": "date_trunc('hour', t), or CASE WHEN minute(t) < 30 THEN 0 ELSE 30 END",
    "width_bucket": "CASE WHEN x < 60 THEN 'short' WHEN x < 600 THEN 'middle' ELSE 'long' END",
    "safe_divide": "x / y: it is NULL where y is 0",
    "make_": "a constant, DATE '2026-01-31', or date_trunc('month', t)",
    "datefromparts": "a constant, DATE '2026-01-31', or date_trunc('month', t)",
    "try": "the expression alone: nothing here fails, what cannot be computed is NULL",
    "repeat": "the text itself",
    "lpad": "right(concat('000', x), 3)",
    "timestamp_diff": "date_diff('hour', first, second)",
    "escape": "LIKE without ESCAPE, or contains(x, '%')",
    "attimezone": "local_hour and local_dow, which ingest derives; times are UTC",
    "interval": "start_ts + INTERVAL 7 DAY",
    "bracket": "substring(x, 1, 1)",
    "collate": "lower(x) = 'sales'",
    "regexplike": "x LIKE 'sal%' or contains(x, 'sal')",
    "levenshtein": "lower(x) = 'sales'",
    "hash": "the column itself",
}
"""What to write instead of functions that have no namesake here, by the start of their name."""

_CONSTRUCTS = {
    "attimezone": "AT TIME ZONE",
    "bitwiseand": "x & y",
    "bitwiseor": "x | y",
    "bitwisexor": "xor",
    "bitwisenot": "~x",
    "bitwiseleftshift": "x << y",
    "bitwiserightshift": "x >> y",
    "bracket": "x[...]",
    "regexplike": "a regular expression",
    "similarto": "SIMILAR TO",
    "distinct": "DISTINCT",
}
"""Constructs by other names than the parser's."""

_OPERATORS = ("if", "iif", "case", "coalesce", "ifnull", "nvl", "nullif", "date_trunc", "extract", "date_part", "cast")


def resolve_function(rows: RowResolver, node: exp.Expr) -> Expression | None:
    """The function that `node` stands for; None if it stands for none of ours."""
    special = SPECIAL.get(type(node))
    if special is not None:
        return special(rows, node)
    if isinstance(node, exp.Anonymous):
        return _named(rows, node)
    if type(node) not in PLAIN:
        return None
    name, parts = PLAIN[type(node)]
    return checked(rows, name, _read(rows, node, parts), node)


def checked(rows: RowResolver, name: str, nodes: Sequence[exp.Expr], node: exp.Expr) -> Expression:
    """A function with as many arguments as it takes, of the types that it takes; else QueryRefused."""
    spec = FUNCTIONS[name]
    least, most = len(spec.takes) - spec.optional, len(spec.takes)
    if len(nodes) < least or (len(nodes) > most and not spec.variadic):
        refuse_use(rows, spec, node)
    values = [rows.value(part) for part in nodes]
    kinds = [spec.takes[min(i, most - 1)] for i in range(len(values))]
    if "alike" in kinds:
        values, common = _alike(rows, values, node)
    else:
        values = [_typed(rows, spec, *given) for given in zip(values, kinds, nodes, strict=True)]
        numbers = {v.type for v, kind in zip(values, kinds, strict=True) if kind in {"number", "whole"}}
        common = "integer" if numbers == {"integer"} else "decimal"
    _check_constants(rows, spec, values, node)
    gives: ValueType = common if spec.gives in {"number", "alike"} else spec.gives  # type: ignore[assignment]
    return Function(name, tuple(values), gives)


def refuse_use(rows: RowResolver, spec: FunctionSpec, node: exp.Expr) -> NoReturn:
    """The refusal that shows how a function is written."""
    why = f"{written_name(rows.text, node)} is not written like this: {spec.about}"
    raise rows.text.refuse("DPQ-108", why, f"use {' or '.join(spec.written)}", node)


def refuse_unknown(rows: RowResolver, node: exp.Expr) -> NoReturn:
    """The refusal that names what is not on the list, and the nearest that is."""
    name = written_name(rows.text, node)
    spelled = name.lower().replace(" ", "_")
    known = sorted({*_spellings(), *_OPERATORS})
    instead = next((line for start, line in _INSTEAD.items() if spelled.startswith(start) or node.key == start), None)
    if instead is None:
        near = get_close_matches(spelled, known, n=1, cutoff=0.7)
        instead = f"{near[0]}(...)" if near else "+ - * /, comparisons, CASE, COALESCE, LIKE, IN, BETWEEN, date_trunc"
    raise rows.text.refuse(
        "DPQ-108",
        f"{name[:64]} is not among the functions and operators that are known to be total",
        f"use {instead}",
        node,
    )


def written_name(text: QueryText, node: exp.Expr) -> str:
    """A function's name as it was written; another construct's as the parser calls it."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    start, end = node.meta.get("start"), node.meta.get("end")
    if isinstance(node, exp.Func) and isinstance(start, int) and isinstance(end, int):
        return text.source[start : end + 1].lower()
    return _CONSTRUCTS.get(node.key, node.key.replace("_", " "))


def pattern_of(rows: RowResolver, node: exp.Expr, pattern: Expression) -> str:
    """The constant pattern of LIKE or ILIKE, without escapes and with few wildcards."""
    value = pattern.value if isinstance(pattern, Value) else None
    if not isinstance(value, str) or "\\" in value:
        raise rows.text.refuse("DPQ-112", "LIKE compares text with a constant pattern", "queue LIKE 'sal%'", node)
    if sum(value.count(wildcard) for wildcard in "%_") > WILDCARDS_MAX:
        why = f"a pattern has at most {WILDCARDS_MAX} wildcards"
        raise rows.text.refuse("DPQ-114", why, "use fewer % and _", node)
    return value


def resolve_cast(rows: RowResolver, node: exp.Expr) -> Expression:
    """CAST, TRY_CAST and `::`, all of them NULL where the value does not fit."""
    target = node.args["to"]
    if any(node.args.get(part) for part in ("format", "default", "action")):
        refuse_unknown(rows, node)
    if target.this in _TIME_CASTS:
        return cast_to_time(rows, node.this, _TIME_CASTS[target.this], node)
    name = _CASTS.get(target.this)
    if name is None:
        kinds = "BIGINT, INTEGER, SMALLINT, TINYINT, DOUBLE, DECIMAL(p, s), VARCHAR, BOOLEAN, DATE or TIMESTAMP"
        raise rows.text.refuse("DPQ-108", "a cast to this type is not known to be total", f"use {kinds}", node)
    spec = FUNCTIONS[name]
    value = _typed(rows, spec, rows.value(node.this), spec.takes[0], node)
    # A constant such as 0.5 is a DECIMAL until it is cast.
    if _AS_IT_IS.get(name) == value.type and not isinstance(value, Function) and not is_decimal(value):
        return value
    digits: tuple[Value, ...] = ()
    if name == "cast_decimal":
        digits = _digits(rows, target, node)
    if spec.gives == "integer" and is_decimal(value):
        value = Function("round", (value,), "decimal")  # half away from zero, as DuckDB casts a DECIMAL
    return Function(name, (value, *digits), spec.gives)  # type: ignore[arg-type]


def _digits(rows: RowResolver, target: exp.Expr, node: exp.Expr) -> tuple[Value, Value]:
    given = [str(part.name) for part in target.expressions]
    numbers = [int(word) for word in given if re.fullmatch(r"[0-9]{1,4}", word, re.ASCII)] or [18, 3]
    digits, places = (numbers[0], 0) if len(numbers) == 1 else (numbers[0], numbers[1])
    if len(numbers) != max(len(given), 1) and given:
        refuse_use(rows, FUNCTIONS["cast_decimal"], node)
    if not (1 <= digits <= DECIMAL_DIGITS_MAX and 0 <= places <= digits):
        why = f"a DECIMAL has at most {DECIMAL_DIGITS_MAX} digits, and no more places than digits"
        raise rows.text.refuse("DPQ-112", why, "DECIMAL(18, 3)", node)
    return Value(digits, "integer"), Value(places, "integer")


def _read(rows: RowResolver, node: exp.Expr, parts: tuple[str, ...]) -> list[exp.Expr]:
    """The arguments of a call; QueryRefused if it has others, which would be passed over."""
    for part, value in node.args.items():
        if value and part not in parts and part not in _FLAGS:
            _refuse_arguments(rows, node)
    found: list[exp.Expr] = []
    for part in parts:
        value = node.args.get(part)
        found += value if isinstance(value, list) else [value] if isinstance(value, exp.Expr) else []
    if isinstance(node, exp.Func) and "end" in node.meta and rows.text.arguments(node) != len(found):
        _refuse_arguments(rows, node)
    return found


def _refuse_arguments(rows: RowResolver, node: exp.Expr) -> NoReturn:
    if type(node) in PLAIN:
        refuse_use(rows, FUNCTIONS[PLAIN[type(node)][0]], node)
    refuse_unknown(rows, node)


def _typed(rows: RowResolver, spec: FunctionSpec, value: Expression, kind: Kind, node: exp.Expr) -> Expression:
    if kind in {"constant", "printable", "alike"}:
        return value
    types, words = _KINDS[kind]
    if isinstance(value, Value) and value.value is None:
        return Value(None, "integer" if "integer" in types else min(types))
    if kind in {"time", "date"}:
        value = as_time(rows, value, node)
    if value.type not in types:
        why = f"{spec.written[0]} takes {words} here, this is {value.type}"
        raise rows.text.refuse("DPQ-112", why, f"use {spec.example}", node)
    return value


def _alike(rows: RowResolver, values: list[Expression], node: exp.Expr) -> tuple[list[Expression], ValueType]:
    """Values of one type, text constants as times beside one; and that type."""
    if any(value.type in TIMES for value in values):
        values = [as_time(rows, value, node) for value in values]
    kinds = {value.type for value in values if not (isinstance(value, Value) and value.value is None)}
    if kinds and kinds <= TIMES:
        return values, "timestamp" if len(kinds) > 1 else kinds.pop()
    return values, rows.common_type(values, node)


def _check_constants(rows: RowResolver, spec: FunctionSpec, values: Sequence[Expression], node: exp.Expr) -> None:
    """What the literal arguments of a function must keep to, so that it stays total and no text grows."""
    given = [
        v.value if isinstance(v, Value) else None for v, k in zip(values, spec.takes, strict=False) if k == "constant"
    ]
    match spec.name, given:
        case "round" | "trunc", [int() as places] if abs(places) <= DIGITS_MAX:
            return
        case "trim" | "ltrim" | "rtrim", [str()]:
            return
        case "replace", [str() as old, str() as new] if old and len(new) <= len(old):
            return
        case "split_part", [str() as separator, int() as number] if separator and 1 <= abs(number) <= PARTS_MAX:
            return
        case _, [] if spec.name != "join_texts" or any(value.type == "text" for value in values):
            return
        case _:
            refuse_use(rows, spec, node)


def _named(rows: RowResolver, node: exp.Anonymous) -> Expression | None:
    name = node.name.lower()
    if name in NAMED:
        return checked(rows, NAMED[name], node.expressions, node)
    special = NAMED_SPECIAL.get(name)
    return None if special is None else special(rows, node)


def _log(rows: RowResolver, node: exp.Expr) -> Expression:
    """log(x) is to base 10 in DuckDB; log10(x) and log2(x) come with their base as a first argument."""
    name = written_name(rows.text, node)
    if rows.text.arguments(node) == 1:
        inner = node.args.get("expression") or node.this
        return checked(rows, "log2" if name == "log2" else "log10", [inner], node)
    if name != "log":
        refuse_use(rows, FUNCTIONS["log2" if name == "log2" else "log10"], node)
    return checked(rows, "log", _read(rows, node, ("this", "expression")), node)


def _trim(rows: RowResolver, node: exp.Expr) -> Expression:
    side = str(node.args.get("position") or "BOTH").upper()
    name = {"LEADING": "ltrim", "TRAILING": "rtrim", "BOTH": "trim"}.get(side)
    parts = [node.this] + ([node.args["expression"]] if node.args.get("expression") else [])
    if name is None or node.args.get("collation"):
        refuse_use(rows, FUNCTIONS["trim"], node)
    return checked(rows, name, parts, node)


def _ilike(rows: RowResolver, node: exp.Expr) -> Expression:
    if any(value for part, value in node.args.items() if part not in {"this", "expression", "negate"}):
        refuse_unknown(rows, node)
    item, pattern = rows.value(node.this), rows.value(node.args["expression"])
    spec = FUNCTIONS["ilike"]
    item = _typed(rows, spec, item, "text", node)
    found = Function("ilike", (item, Value(pattern_of(rows, node, pattern), "text")), "boolean")
    return Not(found) if node.args.get("negate") else found


def _not_distinct(rows: RowResolver, node: exp.Expr) -> Expression:
    return Not(checked(rows, "is_distinct", _read(rows, node, ("this", "expression")), node))


def _extract(rows: RowResolver, node: exp.Expr) -> Expression:
    return _part(rows, str(node.this.name), node.args["expression"], node)


def _date_part(rows: RowResolver, node: exp.Anonymous) -> Expression:
    if len(node.expressions) != 2 or not _is_word(node.expressions[0]):
        _refuse_part(rows, node)
    return _part(rows, node.expressions[0].name, node.expressions[1], node)


def _part(rows: RowResolver, unit: str, item: exp.Expr, node: exp.Expr) -> Expression:
    name = _PART_NAMES.get(unit.lower(), unit_named(unit) if unit.lower() not in PARTS else unit.lower())
    if name not in PARTS:
        _refuse_part(rows, node)
    return checked(rows, name, [item], node)


def _refuse_part(rows: RowResolver, node: exp.Expr) -> NoReturn:
    why = f"a part of a time is one of {', '.join(PARTS)}"
    raise rows.text.refuse("DPQ-108", why, "use extract(hour FROM start_ts)", node)


def _date_diff(rows: RowResolver, node: exp.Expr) -> Expression:
    unit = node.args.get("unit")
    name = unit_named(unit.name) if isinstance(unit, exp.Var) else ""
    if name not in DIFFERENCE_UNITS or rows.text.arguments(node) != 3:
        why = f"date_diff takes one of {', '.join(DIFFERENCE_UNITS)}, and two times"
        raise rows.text.refuse("DPQ-108", why, "use date_diff('day', first, second)", node)
    spec = FUNCTIONS["date_diff"]
    first, second = (
        _typed(rows, spec, rows.value(part), "time", node) for part in (node.args["expression"], node.this)
    )
    return Function("date_diff", (Value(name, "text"), first, second), "integer")


def _date_add(rows: RowResolver, node: exp.Expr) -> Expression:
    return _add_interval(rows, [node.this, node.args.get("expression")], 1, node)


def _date_sub(rows: RowResolver, node: exp.Anonymous) -> Expression:
    return _add_interval(rows, node.expressions, -1, node)


def _subtracted(rows: RowResolver, node: exp.Expr) -> Expression:
    return _add_interval(rows, [node.this, node.args.get("expression")], -1, node)


def _add_interval(rows: RowResolver, parts: Sequence[exp.Expr | None], sign: int, node: exp.Expr) -> Expression:
    interval = interval_in(parts[1]) if len(parts) == 2 and parts[1] is not None else None
    if interval is None or parts[0] is None or ("end" in node.meta and rows.text.arguments(node) != 2):
        why = "date_add and date_sub take a time and an interval"
        raise rows.text.refuse("DPQ-108", why, "use date_add(start_ts, INTERVAL 7 DAY), or date_diff", node)
    return shifted(rows, rows.value(parts[0]), interval, sign, node)


def _dateadd(rows: RowResolver, node: exp.Anonymous) -> Expression:
    if len(node.expressions) != 3 or not _is_word(node.expressions[0]):
        raise rows.text.refuse(
            "DPQ-108", "dateadd takes a unit, a number and a time", "use dateadd('day', 7, start_ts)", node
        )
    unit, count, item = node.expressions
    return moved_by_unit(rows, rows.value(item), unit.name, rows.value(count), node)


def _is_word(node: exp.Expr) -> bool:
    """A unit: a constant text, or a bare word as some dialects write it."""
    return (isinstance(node, exp.Literal) and node.is_string) or (isinstance(node, exp.Column) and not node.table)


def _spellings() -> set[str]:
    """Names of functions, as they are written."""
    words = (re.match(r"([a-z_0-9]+)\(", line) for spec in FUNCTIONS.values() for line in spec.written)
    return {word[1] for word in words if word is not None}


SPECIAL: Mapping[type[exp.Expr], Callable[[RowResolver, exp.Expr], Expression]] = {
    exp.TryCast: resolve_cast,
    exp.DateAdd: _date_add,
    exp.TimestampAdd: _date_add,
    exp.DateSub: _subtracted,
    exp.TimestampSub: _subtracted,
    exp.DateDiff: _date_diff,
    exp.Extract: _extract,
    exp.ILike: _ilike,
    exp.Log: _log,
    exp.NullSafeEQ: _not_distinct,
    exp.Trim: _trim,
}
"""Nodes that are read by a rule of their own."""

NAMED_SPECIAL: Mapping[str, Callable[[RowResolver, exp.Anonymous], Expression]] = {
    "date_part": _date_part,
    "datepart": _date_part,
    "date_sub": _date_sub,
    "timestamp_sub": _date_sub,
    "dateadd": _dateadd,
}
"""Functions that the parser knows by name only, read by a rule of their own."""
