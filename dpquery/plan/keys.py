"""Group keys known before any row is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from dpquery.errors import ensure
from dpquery.plan.expressions import (
    And,
    ColumnRef,
    Comparison,
    Constant,
    Expression,
    InList,
    IsNull,
    Not,
    Or,
    TimeUnit,
    Value,
    ValueType,
    columns_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dpquery.errors import Span

WHOLE_MAX = 2**53
"""Beyond it engines and Python compare whole numbers with decimals in different ways."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Times from `start` up to, not including, `end` (UTC, naive)."""

    start: datetime
    end: datetime

    @property
    def empty(self) -> bool:
        return self.start >= self.end

    def intersect(self, other: TimeRange) -> TimeRange:
        return TimeRange(max(self.start, other.start), min(self.end, other.end))

    def months(self) -> tuple[str, ...]:
        """UTC months the range touches, as `2026-01`."""
        return tuple(f"{start:%Y-%m}" for start in truncated_times(self, "month"))


@dataclass(frozen=True, slots=True)
class GroupKey:
    """One key of GROUP BY: its expression and every value it may return, in the order of the answer."""

    expression: Expression
    values: tuple[Constant, ...]
    """Empty for a key that is not declared: its values are selected from those that the rows have."""
    origin: str
    """Where the values come from, for the preview: policy, numbering plan, time range, public table, rows."""
    declared: bool = True
    span: Span | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        ensure(len(set(self.values)) == len(self.values), "the values of a key differ")
        ensure(self.declared or not self.values, "nobody knows the values of a key that is not declared")

    @property
    def type(self) -> ValueType:
        return self.expression.type

    @property
    def column(self) -> str | None:
        """The one column the key reads."""
        names = columns_in(self.expression)
        return next(iter(names)) if len(names) == 1 else None

    def restricted(self, conditions: Iterable[Expression]) -> GroupKey:
        """The key without the values that a condition on this key alone rules out for every row.

        Rows with such a value are filtered out by WHERE anyway, so the cells would hold nothing but noise.
        """
        if not isinstance(self.expression, ColumnRef) or not self.declared:
            return self
        own = [c for c in conditions if columns_in(c) == {self.expression.name}]
        kept = tuple(v for v in self.values if not any(_rules_out(c, v) for c in own))
        return replace(self, values=kept)


Group: TypeAlias = tuple[Constant, ...]
"""A group, as the values of the keys."""


def in_order(keys: Sequence[GroupKey], groups: Iterable[Group]) -> tuple[Group, ...]:
    """Groups by their first key, then the next: declared values in their order, others rising; NULL last."""
    places = [{value: i for i, value in enumerate(key.values)} for key in keys]

    def place(group: Group) -> list[tuple[bool, Any]]:
        triples = zip(keys, places, group, strict=True)
        known = [listed[value] if key.declared else value for key, listed, value in triples]
        return [(value is None, 0 if value is None else value) for value in known]

    return tuple(sorted(groups, key=place))


EVER = TimeRange(datetime.min, datetime.max)
"""All times."""


def truncated_times(time_range: TimeRange, unit: TimeUnit) -> tuple[datetime, ...]:
    """Starts of the hours, days, ISO weeks, months, quarters or years that touch the range."""
    return tuple(_steps(time_range, unit))


def days(time_range: TimeRange) -> tuple[date, ...]:
    return tuple(moment.date() for moment in truncated_times(time_range, "day"))


def _steps(time_range: TimeRange, unit: TimeUnit) -> Iterator[datetime]:
    moment = time_range.start.replace(minute=0, second=0, microsecond=0)
    if unit != "hour":
        moment = moment.replace(hour=0)
    if unit == "week":
        moment -= timedelta(days=moment.weekday())
    if unit in _MONTHS:
        count = _MONTHS[unit]
        moment = moment.replace(month=(moment.month - 1) // count * count + 1, day=1)
    while moment < time_range.end:
        yield moment
        match unit:
            case "hour":
                moment += timedelta(hours=1)
            case "day":
                moment += timedelta(days=1)
            case "week":
                moment += timedelta(days=7)
            case "month" | "quarter" | "year":
                # From a first of the month, 31 days for each month lead into the month that is meant, and not past it.
                moment = (moment + timedelta(days=31 * _MONTHS[unit])).replace(day=1)
            case _:
                assert_never(unit)


_MONTHS: Mapping[TimeUnit, int] = {"month": 1, "quarter": 3, "year": 12}
"""Units that start with a month, and how many months they last."""


def time_range_of(conditions: Iterable[Expression], time_column: str) -> TimeRange:
    """The widest range of times that the literal ends in `conditions` allow.

    Reads comparisons of the time column, or of `day`, with literals, through AND, OR and IN; everything else leaves
    the range as it is, which is safe: a wider range charges more blocks and returns more keys, never fewer.
    """
    return _allowed(And(tuple(conditions)), time_column)


def _allowed(condition: Expression, time_column: str) -> TimeRange:
    """A range that holds every time for which `condition` can be true."""
    match condition:
        case Comparison(operator=operator, left=ColumnRef(name=name), right=Value(value=date() as value)) if name in {
            time_column,
            "day",
        }:
            return _ends(operator, _moment(value), whole_days=name == "day")
        case InList(item=ColumnRef() as column, values=values):
            return _hull([_allowed(Comparison("=", column, value), time_column) for value in values])
        case And(items=items):
            found = EVER
            for item in items:
                found = found.intersect(_allowed(item, time_column))
            return found
        case Or(items=items):
            return _hull([_allowed(item, time_column) for item in items])
        case _:
            return EVER


def _hull(ranges: list[TimeRange]) -> TimeRange:
    """The least range that holds all of `ranges`; an empty one holds nothing and widens nothing."""
    known = [r for r in ranges if not r.empty]
    if not known:
        return TimeRange(EVER.start, EVER.start)
    return TimeRange(min(r.start for r in known), max(r.end for r in known))


def _moment(value: date) -> datetime:
    return value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)


def _ends(operator: str, moment: datetime, *, whole_days: bool) -> TimeRange:
    """Times t with `t operator moment`; a day stands for the time it starts at, and lasts to the next."""
    everything = EVER
    if whole_days:
        # A day d <= moment means d <= the day of the moment; d < moment excludes that day only at midnight.
        floor = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        after = floor + timedelta(days=1)
        ceiling = floor if moment == floor else after
    else:
        floor = ceiling = moment
        after = moment + timedelta(microseconds=1)
    match operator:
        case "=":
            return TimeRange(ceiling, after)
        case ">=":
            return replace(everything, start=ceiling)
        case ">":
            return replace(everything, start=after)
        case "<":
            return replace(everything, end=ceiling)
        case "<=":
            return replace(everything, end=after)
        case _:
            return everything


def _rules_out(condition: Expression, key: Constant) -> bool:
    """Whether WHERE drops every row whose key is `key`: the condition is false, or unknown because the key is NULL."""
    match condition:
        case Comparison(left=ColumnRef(), right=Value()) | InList(item=ColumnRef()) if key is None:
            return True
        case _:
            return _holds(condition, key) is False


def _holds(condition: Expression, key: Constant) -> bool | None:
    """Three-valued truth of a condition when its only column has the value `key`; None is unknown or undecided."""
    match condition:
        case And(items=items):
            results = [_holds(item, key) for item in items]
            return False if False in results else (None if None in results else True)
        case Or(items=items):
            results = [_holds(item, key) for item in items]
            return True if True in results else (None if None in results else False)
        case Not(item=item):
            result = _holds(item, key)
            return None if result is None else not result
        case IsNull(item=ColumnRef()):
            return key is None
        case InList(item=ColumnRef(), values=values):
            found = [_compare("=", key, value.value) for value in values]
            return True if True in found else (None if None in found else False)
        case Comparison(operator=operator, left=ColumnRef(), right=Value(value=value)):
            return _compare(operator, key, value)
        case _:
            return None


def _compare(operator: str, key: Constant, value: Constant) -> bool | None:
    if key is None or value is None:
        return None
    comparable = isinstance(key, str) == isinstance(value, str) and isinstance(key, datetime) == isinstance(
        value, datetime
    )
    if not comparable or (isinstance(key, int) and isinstance(value, float) and abs(key) > WHOLE_MAX):
        return None
    left: int | float | str | date = key
    right: int | float | str | date = value
    match operator:
        case "=":
            return left == right
        case "<>":
            return left != right
        case "<":
            return left < right  # type: ignore[operator]
        case "<=":
            return left <= right  # type: ignore[operator]
        case ">":
            return left > right  # type: ignore[operator]
        case _:
            return left >= right  # type: ignore[operator]
