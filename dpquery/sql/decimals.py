"""Which row expressions DuckDB computes in DECIMAL, where a cast to a whole number rounds half away from zero.

Everything is computed in double precision here. The one place where that shows is such a cast: of a double it rounds
half to even. Stored decimals are doubles, in DuckDB too; constants such as 0.5 and CAST(... AS DECIMAL) are not.
"""

from __future__ import annotations

from dpquery.plan.expressions import Arithmetic, Case, Coalesce, Expression, Function, Value

_KEEPS = frozenset({"abs", "mod", "least", "greatest", "round", "trunc"})
"""Functions of DECIMAL that give DECIMAL."""


def is_decimal(value: Expression) -> bool:
    """Whether DuckDB computes a number in DECIMAL: where a decimal meets whole numbers and decimals only."""
    match value:
        case Value(value=float()):
            return True
        case Function(name="cast_decimal"):
            return True
        case Function(name=name, arguments=parts) if name in _KEEPS:
            return _together(parts[:1] if name in {"round", "trunc"} else parts)
        case Arithmetic(operator="+" | "-" | "*", left=left, right=right):
            return _together((left, right))
        case Case(branches=branches, default=default):
            return _together((*(result for _, result in branches), *(() if default is None else (default,))))
        case Coalesce(items=items):
            return _together(items)
        case _:
            return False


def _together(parts: tuple[Expression, ...]) -> bool:
    decimals = [part for part in parts if is_decimal(part)]
    return bool(decimals) and all(
        part in decimals or part.type == "integer" or part == Value(None, part.type) for part in parts
    )
