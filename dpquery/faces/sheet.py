"""What every face reads: the columns of a release, or of something computed from releases, with price and promise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from dpquery.describe import bounded_apart, column_names, columns
from dpquery.documents import IntervalColumn, KeyColumn
from dpquery.faces.words import listed
from dpquery.noise.tails import standard_deviation
from dpquery.plan.query import CountDistinct, CountNumbers, CountPairs, CountRows, Sum, shown
from dpquery.privacy.measure import SumMeasurement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dpquery.documents import Cost, Guarantee
    from dpquery.plan.query import Output
    from dpquery.release import Release

KeyType = Literal["string", "integer", "boolean", "date", "timestamp"]


@dataclass(frozen=True, slots=True)
class KeySeries:
    """A key in every row."""

    name: str
    type: KeyType
    values: tuple[Any, ...]

    def first(self, rows: int) -> KeySeries:
        return self.taken(range(len(self.values))[:rows])

    def taken(self, places: Sequence[int]) -> KeySeries:
        """The rows at `places`, in that order."""
        return replace(self, values=tuple(self.values[i] for i in places))


@dataclass(frozen=True, slots=True)
class AdditiveNoise:
    """A value is the true one plus independent noise of mean 0; nothing of the kind holds for ratios or quantiles."""

    deviation: float
    """Standard deviation, in the unit of the value; the same in every row."""
    drawn: frozenset[tuple[str, int]]
    """The releases, and the measurement in each, that the noise was drawn for."""


@dataclass(frozen=True, slots=True)
class ValueSeries:
    """A value in every row with its interval; None where it is NULL or an interval has no end."""

    name: str
    sql: str
    """What it is, as the request wrote it, such as `COUNT(*)`."""
    unit: str | None
    whole: bool
    value: tuple[Any, ...]
    low: tuple[Any, ...]
    high: tuple[Any, ...]
    useful: tuple[bool, ...]
    noise: AdditiveNoise | None

    @property
    def label(self) -> str:
        """Name and unit, without saying `calls (calls)`."""
        return f"{self.name} ({self.unit})" if self.unit and self.unit != self.name else self.name

    def first(self, rows: int) -> ValueSeries:
        return self.taken(range(len(self.value))[:rows])

    def taken(self, places: Sequence[int]) -> ValueSeries:
        """The rows at `places`, in that order."""
        value, low, high = (tuple(part[i] for i in places) for part in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high, useful=tuple(self.useful[i] for i in places))


@dataclass(frozen=True, slots=True)
class EndSeries:
    """An end of an interval in every row, under a name of its own."""

    name: str
    whole: bool
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where the ledger keeps a release."""

    release: str
    entry: str
    at: str


@dataclass(frozen=True, slots=True)
class Terms:
    """Price and promise of what is shown."""

    cost: Cost
    paid: str
    """Whether that was spent for this: `spent`, `asked before, free now`, `nothing new spent`."""
    guarantee: Guarantee
    receipts: tuple[Receipt, ...]
    table: str
    bounding: str
    purpose: str
    notice: str
    versions: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    bounded_apart: bool = False
    """Whether each value was bounded by itself, so that one over another is no mean."""

    @property
    def price(self) -> str:
        """`epsilon 0.5`, and at which delta if at any."""
        at = f" at delta {self.cost.epsilon_at_delta:g}" if self.cost.epsilon_at_delta else ""
        return f"epsilon {self.cost.epsilon:g}{at}"

    @property
    def releases(self) -> str:
        return listed([receipt.release for receipt in self.receipts])


@dataclass(frozen=True, slots=True)
class Sheet:
    """Columns in the order asked, with the confidence of their intervals and their terms."""

    columns: tuple[KeySeries | ValueSeries, ...]
    length: int
    confidence: float
    terms: Terms
    ends: tuple[EndSeries, ...] = ()
    """Ends of intervals that the query names, where they are not the columns beside their value anyway."""

    @property
    def keys(self) -> tuple[KeySeries, ...]:
        return tuple(column for column in self.columns if isinstance(column, KeySeries))

    @property
    def values(self) -> tuple[ValueSeries, ...]:
        return tuple(column for column in self.columns if isinstance(column, ValueSeries))

    @property
    def title(self) -> str:
        """`calls and seconds by queue`."""
        what = listed([value.name for value in self.values])
        return f"{what} by {listed([key.name for key in self.keys])}" if self.keys else what

    @property
    def any_useless(self) -> bool:
        return not all(all(value.useful) for value in self.values)

    def flat(self) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
        """Every column of the table: its name, its type (a key's, `integer`, `number`, `boolean`), its values."""
        for column in self.columns:
            if isinstance(column, KeySeries):
                yield column.name, column.type, column.values
                continue
            number = "integer" if column.whole else "number"
            yield column.name, number, column.value
            yield f"{column.name}_low", number, column.low
            yield f"{column.name}_high", number, column.high
            yield f"{column.name}_useful", "boolean", column.useful
        for end in self.ends:
            yield end.name, "integer" if end.whole else "number", end.values

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per row, with Python values."""
        names = [name for name, _, _ in self.flat()]
        found = zip(*(values for _, _, values in self.flat()), strict=True)
        return [dict(zip(names, row, strict=True)) for row in found]


def sheet_of(release: Release) -> Sheet:
    """The sheet of a release."""
    found: list[KeySeries | ValueSeries] = []
    ends: list[EndSeries] = []
    answer = release.answer
    by_name = dict(zip(answer.names, answer.columns, strict=True))
    outputs = shown(release.plan.bounded.logical)
    for output, column in zip(outputs, columns(release.plan), strict=True):
        if isinstance(column, KeyColumn):
            found.append(KeySeries(column.name, column.type, by_name[column.name]))
            continue
        if isinstance(column, IntervalColumn):
            if column.name != f"{column.of}_{column.end}":
                ends.append(EndSeries(column.name, column.type == "integer", by_name[column.name]))
            continue
        low, high, useful = (by_name[name] for name in column_names(output))
        whole = column.type == "integer"
        values = by_name[column.name]
        noise = _noise(release, output)
        unit = None if column.unit == release.plan.bounded.logical.table else column.unit
        found.append(ValueSeries(column.name, column.aggregate, unit, whole, values, low, high, useful, noise))
    return Sheet(tuple(found), len(answer.columns[0]), answer.confidence, _terms(release), tuple(ends))


def _terms(release: Release) -> Terms:
    paid = "asked before, free now" if release.status == "repeated" else "spent"
    return Terms(
        cost=release.cost,
        paid=paid,
        guarantee=release.guarantee,
        receipts=(Receipt(release.release_id, release.ledger.entry, release.ledger.at),),
        table=release.plan.bounded.logical.table,
        bounding=release.bounding,
        purpose=release.purpose,
        notice=release.notice,
        versions=tuple(release.versions.items()),
        warnings=release.warnings,
        bounded_apart=bounded_apart(release.plan),
    )


def _noise(release: Release, output: Output) -> AdditiveNoise | None:
    """The noise of a value that is one noisy integer times a grid; None for everything computed from several."""
    plan = release.plan
    if output.kind != "aggregate":
        return None
    aggregate = plan.bounded.logical.aggregates[output.index]
    if not isinstance(aggregate, CountRows | Sum | CountDistinct | CountPairs | CountNumbers):
        return None
    parts = plan.readings[output.index].parts
    if len(parts) != 1 or plan.parts[parts[0]].measurement.width != 1:
        return None
    part = plan.parts[parts[0]]
    grid = part.measurement.grid if isinstance(part.measurement, SumMeasurement) else 1.0
    return AdditiveNoise(
        standard_deviation(part.mechanism, part.scale) * grid, frozenset({(release.release_id, parts[0])})
    )
