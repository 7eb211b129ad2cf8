"""A resolved request, whichever door it came through."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from dpquery.errors import Span, ensure

if TYPE_CHECKING:
    from datetime import date

    from dpquery.plan.expressions import Constant, Expression
    from dpquery.plan.keys import Group, GroupKey
    from dpquery.plan.ranges import ValueRange
    from dpquery.plan.relations import Relation

Bins: TypeAlias = Literal["log", "linear", "doubling"]
"""Spacing of the bins of a histogram; doubling ones are for the size of values, whatever it is."""


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
    auto: bool = False
    """Whether the clamp is where bounds are to be chosen, not yet the bounds; so for the others."""


@dataclass(frozen=True, slots=True)
class Average:
    """Mean of `argument`, each value clamped to `clamp`; `bins` is the spacing of the histogram that may be used."""

    argument: Expression
    clamp: ValueRange
    bins: Bins = "linear"
    auto: bool = False


@dataclass(frozen=True, slots=True)
class Variance:
    """Variance of `argument`, each value clamped to `clamp`; `sample` divides by n - 1, `root` takes its root."""

    argument: Expression
    clamp: ValueRange
    bins: Bins = "linear"
    sample: bool = False
    root: bool = False
    auto: bool = False


@dataclass(frozen=True, slots=True)
class Quantile:
    """The value below which `fraction` of the values of `argument` lie, each clamped to `clamp`."""

    argument: Expression
    clamp: ValueRange
    fraction: float
    bins: Bins = "linear"
    auto: bool = False

    def __post_init__(self) -> None:
        ensure(0.0 <= self.fraction <= 1.0, "a quantile's fraction lies between 0 and 1")


@dataclass(frozen=True, slots=True)
class CountDistinct:
    """COUNT(DISTINCT party): different protected numbers in that role, on rows where `present` is not NULL."""

    party: str
    present: Expression | None = None


@dataclass(frozen=True, slots=True)
class CountPairs:
    """COUNT(DISTINCT (caller, callee)): different pairs of numbers, on rows where `present` is not NULL.

    Pairs with a withheld number are left out: nobody can tell whether two of them are one.
    """

    parties: tuple[str, str]
    present: Expression | None = None


@dataclass(frozen=True, slots=True)
class CountValues:
    """COUNT(DISTINCT column): how many of the column's declared `values` occur."""

    argument: Expression
    values: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class CountNumbers:
    """Different protected numbers, in any role, with at least `at_least` rows.

    With `by_rows`, the one key of the request is the number of rows: how many numbers have 1, 2, ... rows; the last
    key holds those with more.
    """

    at_least: int = 1
    by_rows: bool = False


@dataclass(frozen=True, slots=True)
class CountKept:
    """Rows that stay under `times` the request's contribution bounds, in all groups of `keys` together.

    With `present`, those of them where it is not NULL.
    """

    keys: tuple[GroupKey, ...]
    times: float
    present: Expression | None = None


Aggregate: TypeAlias = (
    CountRows
    | Sum
    | Average
    | Variance
    | Quantile
    | CountDistinct
    | CountPairs
    | CountValues
    | CountNumbers
    | CountKept
)


@dataclass(frozen=True, slots=True)
class Output:
    """One column of the answer: a key, an aggregate, or an expression over them (indexes into the plan's lists).

    Or the lower or upper end of the interval of another output (its index among the outputs).
    """

    name: str
    kind: Literal["key", "aggregate", "expression", "low", "high"]
    index: int
    sql: str
    """How the request wrote it, in one spelling, such as `COUNT(*)`."""
    unit: str | None = None
    hidden: bool = False
    """Whether only ORDER BY needs it: it is priced, and not shown."""

    @property
    def is_end(self) -> bool:
        """Whether it is an end of the interval of another."""
        return self.kind in {"low", "high"}

    @property
    def is_value(self) -> bool:
        """Whether it has an interval of its own."""
        return self.kind in {"aggregate", "expression"}


@dataclass(frozen=True, slots=True)
class Ordering:
    """ORDER BY an output; postprocessing of noisy values."""

    output: int
    descending: bool


@dataclass(frozen=True, slots=True)
class RequestedBounds:
    """Contribution bounds that the request asks for, and where in its text; each at most the policy's."""

    max_rows: int | None = None
    max_groups: int | None = None
    max_rows_per_group: int | None = None
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LogicalPlan:
    """What is asked, in names and types of the policy; nothing about privacy yet."""

    table: str
    """The table of the policy whose contribution bounds apply."""
    relation: Relation
    parties: tuple[str, ...]
    """Parties of the relation's rows."""
    where: tuple[Expression, ...]
    """Conditions that must all be true."""
    keys: tuple[GroupKey, ...]
    aggregates: tuple[Aggregate, ...]
    outputs: tuple[Output, ...]
    one_owner: bool
    """Whether the table, or a row test that WHERE implies, leaves one protected number on each row."""
    requested_bounds: RequestedBounds = field(default_factory=RequestedBounds)
    expressions: tuple[Expression, ...] = ()
    """Outputs computed from released values: expressions over columns named by `aggregate_column` and `key_column`."""
    having: Expression | None = None
    """A test on released values, in the same names; groups that fail it are not shown."""
    order: tuple[Ordering, ...] = ()
    limit: int | None = None
    groups: tuple[Group, ...] | None = None
    """Where a key is not declared: the groups, as values of the keys, once they are selected."""
    source: str | None = field(default=None, compare=False)
    """The text as typed, for the caret of an error."""
    kept_from: tuple[tuple[str, date], ...] = ()
    """Tables of which retention has cut off times that the text asks for, and the first day that is left."""

    def __post_init__(self) -> None:
        ensure(bool(self.aggregates), "a request has at least one aggregate")
        for output in self.outputs:
            of_value = not output.is_end or self.outputs[output.index].is_value
            ensure(of_value, "an interval is one of a value")
        names = [output.name for output in self.outputs]
        ensure(len(set(names)) == len(names), "outputs have different names")

    @property
    def selects_groups(self) -> bool:
        """Whether a key is not declared, so that groups are selected from those that the rows have."""
        return any(not key.declared for key in self.keys)

    @property
    def cells(self) -> int:
        """Number of combinations of keys; 1 without GROUP BY. Of groups that are not declared, those selected."""
        if self.groups is not None:
            return len(self.groups)
        ensure(not self.selects_groups, "groups are counted once they are selected")
        return combinations(self.keys)

    @property
    def chooses_bounds(self) -> bool:
        """Whether value bounds are to be chosen before the plan can be answered."""
        return any(isinstance(a, Sum | Average | Variance | Quantile) and a.auto for a in self.aggregates)

    @property
    def bounded_keys(self) -> tuple[GroupKey, ...]:
        """The keys in whose groups rows are bounded: those of the answer, or those that kept rows are counted over."""
        first = self.aggregates[0]
        return first.keys if isinstance(first, CountKept) else self.keys

    @property
    def bounded_groups(self) -> int:
        """In how many groups rows are bounded."""
        first = self.aggregates[0]
        return combinations(first.keys) if isinstance(first, CountKept) else self.cells


def combinations(keys: tuple[GroupKey, ...]) -> int:
    """How many groups declared keys make together."""
    return math.prod(len(key.values) for key in keys)


def group_values(plan: LogicalPlan, index: int) -> list[Constant]:
    """The value of key `index` in every cell; of declared keys the first changes slowest."""
    if plan.groups is not None:
        return [group[index] for group in plan.groups]
    after = 1
    for later in plan.keys[index + 1 :]:
        after *= len(later.values)
    own = plan.keys[index].values
    return [own[(cell // after) % len(own)] for cell in range(plan.cells)]


def shown(plan: LogicalPlan) -> tuple[Output, ...]:
    """The columns of the answer, without those that only sort it."""
    return tuple(output for output in plan.outputs if not output.hidden)


def written(plan: LogicalPlan, aggregate: int) -> str:
    """How the request wrote an aggregate; its kind where it stands inside an expression only."""
    named = (o.sql for o in plan.outputs if o.kind == "aggregate" and o.index == aggregate)
    return next(named, type(plan.aggregates[aggregate]).__name__)


def aggregate_column(index: int) -> str:
    """The name under which an expression over released values reads aggregate `index`."""
    return f"aggregate_{index}"


def is_aggregate_column(name: str) -> bool:
    """Whether `aggregate_column` made this name."""
    return name.startswith("aggregate_")


def key_column(index: int) -> str:
    """The name under which an expression over released values reads key `index`."""
    return f"key_{index}"
