"""A resolved request, whichever door it came through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from dpquery.errors import Span, ensure

if TYPE_CHECKING:
    from dpquery.plan.expressions import Expression
    from dpquery.plan.keys import GroupKey, TimeRange
    from dpquery.plan.ranges import ValueRange


@dataclass(frozen=True, slots=True)
class CountRows:
    """COUNT(*), or COUNT(x) where `present` must not be NULL."""

    present: Expression | None = None


@dataclass(frozen=True, slots=True)
class Sum:
    """SUM of `argument`, each value clamped to `clamp`; `per_group` clamps a number's total in a group instead."""

    argument: Expression
    clamp: ValueRange
    per_group: bool = False


@dataclass(frozen=True, slots=True)
class Average:
    """Mean of `argument`, each value clamped to `clamp`; `bins` is the spacing of the histogram that may be used."""

    argument: Expression
    clamp: ValueRange
    bins: Literal["log", "linear"] = "linear"


@dataclass(frozen=True, slots=True)
class CountDistinct:
    """COUNT(DISTINCT party): different protected numbers in that role."""

    party: str


Aggregate: TypeAlias = CountRows | Sum | Average | CountDistinct


@dataclass(frozen=True, slots=True)
class Output:
    """One column of the answer: a key (index into `keys`) or an aggregate (index into `aggregates`)."""

    name: str
    kind: Literal["key", "aggregate"]
    index: int
    sql: str
    """How the request wrote it, in one spelling, such as `COUNT(*)`."""
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Ordering:
    """ORDER BY an output; postprocessing of noisy values."""

    output: int
    descending: bool


@dataclass(frozen=True, slots=True)
class RequestedBounds:
    """Contribution bounds that the request asks for; each at most the policy's."""

    max_rows: int | None = None
    max_groups: int | None = None
    max_rows_per_group: int | None = None
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LogicalPlan:
    """What is asked, in names and types of the policy; nothing about privacy yet."""

    table: str
    where: tuple[Expression, ...]
    """Conditions that must all be true."""
    keys: tuple[GroupKey, ...]
    aggregates: tuple[Aggregate, ...]
    outputs: tuple[Output, ...]
    time_range: TimeRange | None
    """Times that rows can have: WHERE's literal ends within the declared period; None for tables without time."""
    one_owner: bool
    """Whether the table, or a row test that WHERE implies, leaves one protected number on each row."""
    requested_bounds: RequestedBounds = field(default_factory=RequestedBounds)
    order: tuple[Ordering, ...] = ()
    limit: int | None = None
    source: str | None = field(default=None, compare=False)
    """The text as typed, for the caret of an error."""

    def __post_init__(self) -> None:
        ensure(bool(self.aggregates), "a request has at least one aggregate")
        names = [output.name for output in self.outputs]
        ensure(len(set(names)) == len(names), "outputs have different names")

    @property
    def cells(self) -> int:
        """Number of combinations of keys; 1 without GROUP BY."""
        product = 1
        for key in self.keys:
            product *= len(key.values)
        return product
