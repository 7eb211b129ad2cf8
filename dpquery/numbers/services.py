"""What columns say of numbers that nobody owns as a person: of every one the same.

Helplines, clinics and emergency numbers are among them. Whoever could tell them from other services could ask who
needs help where, so no column does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dpquery.numbers.number import LINE_TYPES, OTHER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.numbers.number import Number
    from dpquery.policy.model import Numbers

SERVICE: Final = "service"
"""Kind and line type of such a number."""

_SHORT: Final = "short_code"
_EMERGENCY: Final = "emergency"


@dataclass(frozen=True, slots=True)
class Facts:
    """What columns say of a number, apart from its kind."""

    line_type: str
    country: str
    region: str
    time_zones: tuple[str, ...]


_OF_SERVICES: Final = Facts(SERVICE, OTHER, OTHER, ())


def facts_of(number: Number, told: Mapping[str, str], *, is_service: bool) -> Facts:
    """What columns say of `number`, where `told` is what they say instead of some line types."""
    if is_service:
        return _OF_SERVICES
    return Facts(told.get(number.line_type, number.line_type), number.country, number.region, number.time_zones)


def service_kinds(numbers: Numbers) -> frozenset[str]:
    """Kinds and line types of services: the public ones, and emergency numbers wherever short codes are."""
    declared: frozenset[str] = frozenset(numbers.public_kinds)
    return declared | {_EMERGENCY} if _SHORT in declared else declared


def told_as(numbers: Numbers) -> dict[str, str]:
    """What columns say in place of the line types that they do not tell.

    Where emergency numbers are no services, they are short codes like others.
    """
    return {_EMERGENCY: _SHORT, **dict.fromkeys(sorted(service_kinds(numbers)), SERVICE)}


def line_types(numbers: Numbers) -> tuple[str, ...]:
    """Every line type that a column can say."""
    told = told_as(numbers)
    shown = tuple(line_type for line_type in LINE_TYPES if line_type not in told)
    return (*shown, SERVICE) if SERVICE in told.values() else shown
