"""Ratios within a release, and combinations of releases: computed from what was released, at no further cost."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from dpquery import arguments
from dpquery.asking.chosen_bounds import with_bounds_release
from dpquery.describe import cost as cost_of
from dpquery.describe import epsilon_of_rho, not_the_mean, plain, upwards
from dpquery.documents import Cost, DerivedColumn, DerivedDocument, Guarantee, Interval, KeyColumn, LedgerEntry
from dpquery.errors import UsageError, broken, ensure
from dpquery.faces.sheet import AdditiveNoise, KeySeries, Sheet, Terms, ValueSeries
from dpquery.faces.shown import Shown, checked_confidence
from dpquery.noise.tails import deviations
from dpquery.postprocessing import intervals
from dpquery.privacy.calibrate import NANO, PICO
from dpquery.receipts.digests import sealed
from dpquery.receipts.provenance import receipt_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dpquery.release import Release


@dataclass(frozen=True, slots=True)
class Ratio(Shown):
    """One value column of a release divided by another, row by row, with an interval each. Costs nothing."""

    source: Source
    numerator: str
    denominator: str
    name: str
    confidence: float = intervals.CONFIDENCE

    def __post_init__(self) -> None:
        self.sheet()  # refuses columns that do not exist

    def interval(self, confidence: float) -> Ratio:
        """The same with intervals at another confidence."""
        return replace(self, confidence=checked_confidence(confidence))

    @property
    def cost(self) -> Cost:
        """What the release has cost; the ratio adds nothing."""
        return self.sheet().terms.cost

    @property
    def guarantee(self) -> Guarantee:
        """The release's own."""
        return self.sheet().terms.guarantee

    def sheet(self) -> Sheet:
        return self.sheet_at(self.confidence)

    def sheet_at(self, confidence: float) -> Sheet:
        """Fieller's interval where the noises are independent, else the ratio of two intervals that hold at once."""
        source = self.source.sheet_at(confidence)
        top, bottom = _value_column(source, self.numerator), _value_column(source, self.denominator)
        if top.noise is not None and bottom.noise is not None and not top.noise.drawn & bottom.noise.drawn:
            found = _fieller(top, bottom, confidence)
        else:
            # Bonferroni: two intervals at half the risk each hold at once, however their noises hang together.
            wider = self.source.sheet_at(1.0 - (1.0 - confidence) / 2.0)
            found = _of_intervals(_value_column(wider, self.numerator), _value_column(wider, self.denominator))
        column = ValueSeries(
            name=self.name,
            sql=f"{top.sql} / {bottom.sql}",
            unit=f"{top.unit} per {bottom.unit}" if top.unit and bottom.unit and top.unit != bottom.unit else None,
            whole=False,
            value=_known(found.value),
            low=_known(found.low),
            high=_known(found.high),
            useful=tuple(found.useful.tolist()),
            noise=None,
        )
        warnings = source.terms.warnings
        if source.terms.bounded_apart and self.numerator != self.denominator:
            warnings = (*warnings, not_the_mean(self.name))
        terms = replace(source.terms, paid="nothing new spent", warnings=warnings)
        return Sheet((*source.keys, column), source.length, confidence, terms)

    def document(self) -> DerivedDocument:
        """The ratio as the object that other programs read."""
        return _document(self, "ratio")


@dataclass(frozen=True, slots=True)
class Combined(Shown):
    """Several releases of one question as one: each value the mean of theirs, weighted by the inverse variances."""

    releases: tuple[Release, ...] = field(repr=False)
    confidence: float = intervals.CONFIDENCE

    def __post_init__(self) -> None:
        ensure(len(self.releases) > 1, "a combination is of several releases")
        for before, after in itertools.combinations(self.releases, 2):
            _check_same_question(before, after)
        self.sheet()  # refuses columns that cannot be added up

    def interval(self, confidence: float) -> Combined:
        """The same with intervals at another confidence."""
        return replace(self, confidence=checked_confidence(confidence))

    def combine(self, *others: Source) -> Combined:
        """With further releases of the same question. UsageError where they are not, or one is in here already."""
        return combined(self, others)

    def ratio(self, numerator: str, denominator: str, *, name: str | None = None) -> Ratio:
        """One value column divided by another, with an interval per row."""
        return ratio(self, numerator, denominator, name)

    @property
    def cost(self) -> Cost:
        """What the releases have cost together; combining adds nothing, so that no charge in it is new."""
        return self.sheet().terms.cost

    @property
    def guarantee(self) -> Guarantee:
        """What holds for all of the releases together."""
        return self.sheet().terms.guarantee

    def sheet(self) -> Sheet:
        return self.sheet_at(self.confidence)

    def sheet_at(self, confidence: float) -> Sheet:
        sheets = [release.sheet() for release in self.releases]
        first = sheets[0]
        places = [_rows_by_key(sheet) for sheet in sheets]
        order = list(places[0])
        columns: list[KeySeries | ValueSeries] = []
        for index, column in enumerate(first.columns):
            if isinstance(column, KeySeries):
                columns.append(column)
                continue
            series = [sheet.columns[index] for sheet in sheets]
            values = [
                [each.value[rows[key]] for key in order] if isinstance(each, ValueSeries) else []
                for each, rows in zip(series, places, strict=True)
            ]
            columns.append(_weighted(column, series, values, confidence))
        sorted_ = _in_order(columns, self.releases[0])
        return Sheet(sorted_, first.length, confidence, self._terms(first.terms))

    def document(self) -> DerivedDocument:
        """The combination as the object that other programs read."""
        return _document(self, "combined")

    def _terms(self, first: Terms) -> Terms:
        receipts = tuple(receipt for release in self.releases for receipt in release.sheet().terms.receipts)
        return replace(
            first,
            cost=_total_cost(self.releases),
            paid="nothing new spent",
            guarantee=_joint_guarantee(self.releases),
            receipts=receipts,
        )


Source: TypeAlias = "Release | Combined"
"""What ratios and combinations are made of."""


def ratio(source: Source, numerator: str, denominator: str, name: str | None) -> Ratio:
    """`numerator` / `denominator` of `source`; UsageError for columns that are no values of it."""
    sheet = source.sheet()
    for asked in (numerator, denominator):
        _value_column(sheet, arguments.text(asked, "a value column", example='release.ratio("answered", "calls")'))
    if name is not None:
        name = arguments.identifier(name, "a name", example='name="rate"')
    return Ratio(source, numerator, denominator, name or f"{numerator}_per_{denominator}", sheet.confidence)


def combined(first: Source, others: Sequence[Source]) -> Combined:
    """`first` and `others` as one; UsageError where that would not be sound, with the reason."""
    found: list[Release] = []
    for source in (first, *others):
        if isinstance(source, Combined):
            found += source.releases
        elif isinstance(source, Shown) and not isinstance(source, Ratio):
            found.append(source)
        else:
            raise UsageError("DPQ-002", "only releases can be combined", fix="release.combine(another_release)")
    if len(found) < 2:
        raise UsageError("DPQ-002", "combining takes another release", fix="release.combine(another_release)")
    return Combined(tuple(found), first.sheet().confidence)


def _fieller(top: ValueSeries, bottom: ValueSeries, confidence: float) -> intervals.Estimates:
    if top.noise is None or bottom.noise is None:
        broken("Fieller's interval needs the noise of both")
    a, b = _numbers(top.value), _numbers(bottom.value)
    with np.errstate(invalid="ignore"):
        found = intervals.ratio(
            a,
            b,
            variance_numerator=top.noise.deviation**2,
            variance_denominator=bottom.noise.deviation**2,
            covariance=0.0,
            limits=(-math.inf, math.inf),
            confidence=confidence,
        )
    endless = ~(np.isfinite(found.low) & np.isfinite(found.high))
    low, high = np.where(endless, np.nan, found.low), np.where(endless, np.nan, found.high)
    return intervals.Estimates(_divided(a, b), low, high)


def _of_intervals(top: ValueSeries, bottom: ValueSeries) -> intervals.Estimates:
    """The least and the most the ratio can be while both are within their intervals; NaN where there is no end."""
    ends = [_numbers(top.low), _numbers(top.high)]
    under = [_numbers(bottom.low), _numbers(bottom.high)]
    clear = (under[0] > 0.0) | (under[1] < 0.0)
    safe = [np.where(clear, each, 1.0) for each in under]
    corners = [a / b for a in ends for b in safe]
    value = _divided(_numbers(top.value), _numbers(bottom.value))
    low = np.where(clear, np.minimum.reduce(corners), np.nan)
    return intervals.Estimates(value, low, np.where(clear, np.maximum.reduce(corners), np.nan))


def _divided(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """A / b, NaN where b is 0."""
    return np.where(b == 0.0, np.nan, a / np.where(b == 0.0, 1.0, b))


def _weighted(
    like: ValueSeries, series: Sequence[KeySeries | ValueSeries], values: Sequence[Sequence[Any]], confidence: float
) -> ValueSeries:
    """The mean weighted by the inverse variances: the least variance that unbiased weights can have."""
    noises = [each.noise for each in series if isinstance(each, ValueSeries) and each.noise is not None]
    if len(noises) < len(series):
        raise UsageError(
            "DPQ-002",
            f"{like.name} is not additive: a weighted mean of {like.sql} has no interval that is known to hold",
            fix="combine releases of the counts and sums it is made of, then ratio()",
        )
    weights = np.array([noise.deviation**-2 for noise in noises])
    value = weights @ np.array(values, np.float64) / weights.sum()
    deviation = float(weights.sum() ** -0.5)
    reach = deviations(confidence) * deviation
    found = intervals.Estimates(value, value - reach, value + reach)
    drawn = frozenset(itertools.chain.from_iterable(noise.drawn for noise in noises))
    return replace(
        like,
        whole=False,
        value=_known(found.value),
        low=_known(found.low),
        high=_known(found.high),
        useful=tuple(found.useful.tolist()),
        noise=AdditiveNoise(deviation, drawn),
    )


def _check_same_question(one: Release, other: Release) -> None:
    """UsageError unless both estimate the same numbers with noise of their own."""
    if one.release_id == other.release_id:
        raise UsageError(
            "DPQ-002",
            f"both are {one.release_id}: the same noise does not average out",
            fix="run(fresh=True) pays for an independent release",
        )
    a, b = one.summary, other.summary
    pairs = {
        "questions": (a.canonical, b.canonical),
        "contribution bounds": (a.bounds, b.bounds),
        "data versions": (a.data_version, b.data_version),
        "policy versions": (a.policy_version, b.policy_version),
        "consent versions": (a.consent_version, b.consent_version),
        "purposes": (one.purpose, other.purpose),
        "columns": tuple([(o.name, o.kind, o.sql) for o in r.plan.bounded.logical.outputs] for r in (one, other)),
    }
    for what, (left, right) in pairs.items():
        if left != right:
            raise UsageError(
                "DPQ-002",
                f"{one.release_id} and {other.release_id} have different {what}: they estimate different numbers",
                fix="combine releases of one query on the same data",
            )
    for release in (one, other):
        logical = release.plan.bounded.logical
        if logical.selects_groups:
            raise UsageError(
                "DPQ-002",
                "groups that are not declared show by their noise, in each release others",
                fix="one release with a larger epsilon",
            )
        if logical.having is not None or logical.limit is not None:
            raise UsageError(
                "DPQ-002",
                "HAVING and LIMIT keep rows by their noise, so that what is left is off to one side",
                fix="combine releases without them, then choose rows",
            )


def _rows_by_key(sheet: Sheet) -> dict[tuple[Any, ...], int]:
    """The place of each row by its keys."""
    keys = list(zip(*(key.values for key in sheet.keys), strict=True)) if sheet.keys else [()]
    found = {key: place for place, key in enumerate(keys)}
    if len(found) < sheet.length:
        raise UsageError(
            "DPQ-002", "rows are matched by their keys, and not all are shown", fix="select each key of GROUP BY"
        )
    return found


def _in_order(columns: Sequence[KeySeries | ValueSeries], release: Release) -> tuple[KeySeries | ValueSeries, ...]:
    """Sorted as the query says, now by the combined values; as they come where it sorts by what is not shown."""
    logical = release.plan.bounded.logical
    by_name = {column.name: column for column in columns}
    sorting = [(logical.outputs[each.output], each.descending) for each in logical.order]
    if any(output.hidden for output, _ in sorting):
        return tuple(columns)
    length = len(columns[0].values if isinstance(columns[0], KeySeries) else columns[0].value)
    places = list(range(length))
    for output, descending in reversed(sorting):
        column = by_name[output.name]
        own = column.values if isinstance(column, KeySeries) else column.value
        known = sorted((i for i in places if own[i] is not None), key=lambda i: own[i], reverse=descending)
        places = known + [i for i in places if own[i] is None]
    return tuple(column.taken(places) for column in columns)


def _total_cost(releases: Sequence[Release]) -> Cost:
    """The sum of what was spent: epsilons add while all are pure, else rho adds and is described at one delta."""
    costs = [cost_of(release.plan, ()) for release in releases]
    loss = releases[0].plan.loss
    for release in releases[1:]:
        loss = loss + release.plan.loss
    at_delta = max(cost.epsilon_at_delta for cost in costs)
    rho_pico = loss.rho or 0
    ensure(loss.epsilon is not None or loss.rho is not None, "a loss is bounded by one of the two")
    if loss.epsilon is None or at_delta > 0.0:
        epsilon = epsilon_of_rho(rho_pico, at_delta)
    else:
        epsilon = upwards(Decimal(loss.epsilon) / NANO)
    charged = [charge.model_copy(update={"new": False}) for release in releases for charge in release.cost.charged]
    return Cost(
        epsilon=epsilon,
        delta=upwards(Decimal(loss.delta) / 10**18),
        rho=upwards(Decimal(rho_pico) / PICO),
        epsilon_at_delta=at_delta,
        charged=tuple(charged),
    )


def _joint_guarantee(releases: Sequence[Release]) -> Guarantee:
    """The releases' own promises, as one about all of them."""
    cost = _total_cost(releases)
    who = releases[0].guarantee.sentence.partition(" changes the distribution ")[0]
    sentence = f"{who} changes the distribution of these {len(releases)} releases together by at most a factor "
    if cost.epsilon_at_delta:
        rho = plain(Decimal(repr(cost.rho)))
        sentence += f"e^{cost.epsilon:.6g}, plus delta = {cost.epsilon_at_delta:g} (rho = {rho} zCDP)."
    else:
        sentence += f"e^{plain(Decimal(repr(cost.epsilon)))}."
    unprotected = dict.fromkeys(item for release in releases for item in release.guarantee.not_protected)
    joint = Guarantee(
        definition="zero-concentrated" if cost.epsilon_at_delta else "pure",
        sentence=sentence,
        not_protected=tuple(unprotected),
    )
    return with_bounds_release(joint, [each for release in releases for each in release.chosen])


def _document(derived: Ratio | Combined, kind: Literal["ratio", "combined"]) -> DerivedDocument:
    sheet = derived.sheet()
    terms = sheet.terms
    columns: list[KeyColumn | DerivedColumn] = []
    for column in sheet.columns:
        if isinstance(column, KeySeries):
            columns.append(KeyColumn(name=column.name, type=column.type))
        else:
            low, high = f"{column.name}_low", f"{column.name}_high"
            columns.append(DerivedColumn(name=column.name, unit=column.unit, aggregate=column.sql, low=low, high=high))
    source = derived.source if isinstance(derived, Ratio) else derived
    releases = source.releases if isinstance(source, Combined) else (source,)
    document = DerivedDocument(
        derived=kind,
        releases=tuple(receipt.release for receipt in terms.receipts),
        columns=tuple(columns),
        rows=derived.json_rows(),
        interval=Interval(confidence=sheet.confidence),
        cost=terms.cost,
        guarantee=terms.guarantee,
        purpose=terms.purpose,
        notice=terms.notice,
        ledger=tuple(LedgerEntry(entry=receipt.entry, at=receipt.at) for receipt in terms.receipts),
        versions=dict(terms.versions),
        warnings=terms.warnings,
        numerator=derived.numerator if isinstance(derived, Ratio) else None,
        denominator=derived.denominator if isinstance(derived, Ratio) else None,
        receipts=tuple(receipt_of(release) for release in releases),
    )
    return sealed(document)


def _value_column(sheet: Sheet, name: str) -> ValueSeries:
    for column in sheet.values:
        if column.name == name:
            return column
    known = ", ".join(column.name for column in sheet.values)
    raise UsageError("DPQ-002", f"{name} is no value of this release", fix=f"one of: {known}")


def _numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else float(value) for value in values])


def _known(values: NDArray[np.float64] | NDArray[np.int64]) -> tuple[float | None, ...]:
    """Python numbers, None where there is none or no end."""
    return tuple(float(value) if math.isfinite(value) else None for value in values)
