"""Values of a query's parameters, from Python or from a command line."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from dpquery.errors import UsageError
from dpquery.plan.expressions import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dpquery.plan.expressions import Constant

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
EXAMPLE = 'params={"d": date(2026, 1, 5)}'


def parameters(given: Mapping[str, object]) -> dict[str, Value]:
    """Typed constants of the plan; UsageError for a name or a value that cannot stand in a query."""
    found: dict[str, Value] = {}
    for name, value in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError("DPQ-002", "a parameter's name has letters, digits and _", fix=EXAMPLE)
        found[name.lower()] = constant(f"the parameter {name}", value)
    return found


def constant(name: str, value: object) -> Value:
    """A Python value as a constant of the plan; UsageError, with `name`, for what cannot be one."""
    match value:
        case None:
            return Value(None, "boolean")
        case bool():
            return Value(value, "boolean")
        case int() if abs(value) < 2**63:
            return Value(int(value), "integer")
        case float() if math.isfinite(value):
            return Value(float(value), "decimal")
        case Decimal() if value.is_finite() and math.isfinite(float(value)):
            return Value(float(value), "decimal")
        case str():
            return Value(str(value), "text")
        case datetime() if value.tzinfo is None and value == value:  # noqa: PLR0124 - pandas' missing time is not
            return Value(datetime.combine(value.date(), value.time()), "timestamp")
        case date() if not isinstance(value, datetime):
            return Value(value, "date")
        case _:
            raise UsageError(
                "DPQ-002",
                f"{name} is no constant: a {type(value).__name__}, or out of range",
                fix="text, a number, a truth value, a date or a naive UTC time",
            )


def typed(text: str) -> Constant:
    """The value that `--param name=text` means: a date, a time, a number, true, false, null, else text.

    In single quotes it is text whatever it looks like.
    """
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    lowered = text.strip().lower()
    if lowered in {"true", "false"}:
        return lowered == "true"
    if lowered == "null":
        return None
    readers: tuple[Callable[[str], Constant], ...] = (int, _finite, date.fromisoformat, datetime.fromisoformat)
    for reader in readers:
        try:
            return reader(text)
        except ValueError:
            continue
    return text


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value
