"""PEP 249's type objects and constructors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time


@dataclass(frozen=True, slots=True, eq=False)
class TypeObject:
    """Equal to the type code of every column in `description` that is of this kind."""

    codes: frozenset[str]

    def __eq__(self, other: object) -> bool:
        return other.codes == self.codes if isinstance(other, TypeObject) else other in self.codes

    def __hash__(self) -> int:
        return hash(self.codes)


STRING = TypeObject(frozenset({"string"}))
NUMBER = TypeObject(frozenset({"integer", "number", "boolean"}))
DATETIME = TypeObject(frozenset({"date", "timestamp"}))
BINARY = TypeObject(frozenset())
ROWID = TypeObject(frozenset())

Date = date
Time = time
Timestamp = datetime
Binary = bytes


def DateFromTicks(ticks: float) -> date:  # noqa: N802 - PEP 249 names it so
    """The day of `ticks` (seconds since 1970) in UTC, as all times of a store are."""
    return TimestampFromTicks(ticks).date()


def TimeFromTicks(ticks: float) -> time:  # noqa: N802 - PEP 249 names it so
    """The time of day of `ticks` (seconds since 1970) in UTC."""
    return TimestampFromTicks(ticks).time()


def TimestampFromTicks(ticks: float) -> datetime:  # noqa: N802 - PEP 249 names it so
    """The moment `ticks` (seconds since 1970) in UTC, without a zone."""
    return datetime.fromtimestamp(ticks, tz=UTC).replace(tzinfo=None)
