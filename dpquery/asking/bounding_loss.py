"""The share of rows that contribution bounds leave out, and what better bounds would be. Free once it is paid for.

Read off the noisy rows that stay under a ladder of bounds. The widest stand for no bound at all: what even these leave
out is not seen, so every share is a least one, up to noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from dpquery.documents import BoundingLossDocument, BoundsLevel, DerivedColumn, Interval, KeyColumn
from dpquery.errors import broken
from dpquery.faces.sheet import KeySeries, Sheet, ValueSeries, sheet_of
from dpquery.faces.shown import Shown, checked_confidence
from dpquery.faces.words import number_text
from dpquery.noise.tails import deviations, standard_deviation
from dpquery.plan.loss import TIMES, Clamped, Level
from dpquery.postprocessing import intervals
from dpquery.receipts.digests import sealed
from dpquery.receipts.provenance import receipt_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dpquery.documents import Cost, Guarantee
    from dpquery.plan.loss import Counted
    from dpquery.privacy.bound import ContributionBounds
    from dpquery.release import Release

USEFUL_REACH = 0.1
"""A share is of use if its interval reaches at most that far, or at most half of it."""
UNSURE = 0.15
"""With a longer reach than this, no bounds are advised."""
WORTH_A_CHANGE = 0.8
"""Wider bounds are advised if the error they would have is at most that much of today's."""
CLAMPED_MANY = 0.05
"""Share of values past a clamp that is worth a word."""
OPEN_END = 0.05
"""Rows that the last doubling of bounds found, as a share: with more, yet more are likely beyond."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Bounds that the query could have, and the reach of its noise there."""

    bounds: ContributionBounds
    noise_rows: float
    """95 % half-width of the query's own noise on one group, in rows, at `answer_epsilon`."""


@dataclass(frozen=True, slots=True)
class Share:
    """A noisy share with its interval."""

    value: float
    low: float
    high: float

    @property
    def reach(self) -> float:
        return max(self.value - self.low, self.high - self.value)

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


@dataclass(frozen=True, slots=True)
class BoundingLoss(Shown):
    """A release of what bounds leave out: for the query's bounds and others a row each, and one for each clamp."""

    release: Release = field(repr=False)
    """The noisy counts that everything is computed from."""
    counted: tuple[Counted, ...] = field(repr=False)
    candidates: Mapping[float, Candidate] = field(repr=False)
    """By how many times the query's bounds they are."""
    groups: int
    ceiling: ContributionBounds
    """The policy's own bounds for this query."""
    names: tuple[str, ...]
    """The bounds that apply to the query, by their names in the policy."""
    answer_epsilon: float
    """Epsilon at which the query itself is thought to be asked."""

    @property
    def share(self) -> Share:
        """Of all rows, those that the query's own bounds leave out."""
        return self.share_at(1.0)

    def share_at(self, times: float) -> Share:
        """Of all rows, those that bounds `times` the query's would leave out; from half to twice."""
        return self._share(self._column(times), self._column(TIMES[-1]), self.release.confidence)

    @property
    def rows_before(self) -> float:
        """Noisy rows under the widest bounds, in all groups."""
        return self._noisy(self._column(TIMES[-1]))

    @property
    def clamped(self) -> dict[str, Share]:
        """For each clamped aggregate, the share of rows whose value lies past its clamp."""
        return {
            _clamp_text(each): self._part(index, self._column(each.times), self.release.confidence)
            for index, each in enumerate(self.counted)
            if isinstance(each, Clamped)
        }

    @property
    def advice(self) -> tuple[str, ...]:
        """What the analyst, or the steward, could do about it."""
        return tuple(_advice(self))

    @property
    def cost(self) -> Cost:
        return self.release.cost

    @property
    def guarantee(self) -> Guarantee:
        return self.release.guarantee

    @property
    def receipt(self) -> dict[str, Any]:
        """Where the ledger keeps this release."""
        return self.release.receipt

    @property
    def status(self) -> str:
        """`released`, or `repeated` for one that was stored already."""
        return self.release.status

    def interval(self, confidence: float) -> BoundingLoss:
        """The same with intervals at another confidence. Free."""
        return replace(self, release=self.release.interval(checked_confidence(confidence)))

    def sheet(self) -> Sheet:
        return self.sheet_at(self.release.confidence)

    def sheet_at(self, confidence: float) -> Sheet:
        """Bounds, rows that stay, share that is lost."""
        last = self._column(TIMES[-1])
        texts: list[str] = []
        kept: list[tuple[int, int, int]] = []
        shares: list[Share] = []
        for index, each in enumerate(self.counted):
            reach = deviations(confidence)
            if isinstance(each, Clamped):
                texts.append(_clamp_text(each))
                among = self._column(each.times)
                shares.append(self._part(index, among, confidence))
                value = round(self._noisy(among) - self._noisy(index))
                half = math.ceil(reach * math.hypot(self._deviation(among), self._deviation(index)))
            elif each.times != TIMES[-1] and self._is_own_row(each.times):
                texts.append(self.bounds_text(each.times))
                shares.append(self._share(index, last, confidence))
                value, half = round(self._noisy(index)), math.ceil(reach * self._deviation(index))
            else:
                continue
            kept.append((value, value - half, value + half))
        columns = (
            KeySeries("bounds", "string", tuple(texts)),
            _series("rows_kept", "rows that stay", kept, [2 * (high - v) <= abs(v) for v, _, high in kept], whole=True),
            _series(
                "share_lost",
                "share of rows left out, or past the clamp",
                [(s.value, s.low, s.high) for s in shares],
                [s.reach <= max(USEFUL_REACH, 0.5 * s.value) for s in shares],
                whole=False,
            ),
        )
        terms = sheet_of(self.release).terms
        return Sheet(columns, len(texts), confidence, replace(terms, warnings=(*terms.warnings, *self.advice)))

    def __str__(self) -> str:
        return "\n".join([Shown.__str__(self), "", *(f"* {each}" for each in self.advice)])

    def _repr_html_(self) -> str:
        """The rows as a table, with the advice below."""
        items = "".join(f"<li>{escape(each)}</li>" for each in self.advice)
        return f"{Shown._repr_html_(self)}<ul>{items}</ul>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def document(self) -> BoundingLossDocument:
        """The object that `dpquery query --bounding-loss --json` prints."""
        source, sheet = self.release.document(), self.sheet()
        columns: list[KeyColumn | DerivedColumn] = [KeyColumn(name="bounds", type="string")]
        columns += [
            DerivedColumn(name=c.name, aggregate=c.sql, low=f"{c.name}_low", high=f"{c.name}_high")
            for c in sheet.values
        ]
        document = BoundingLossDocument(
            status="repeated" if self.status == "repeated" else "released",
            release=self.release.release_id,
            columns=tuple(columns),
            rows=self.json_rows(),
            levels=tuple(
                BoundsLevel(
                    times=times,
                    bounds=self.bounds_at(times),
                    noise_rows=candidate.noise_rows,
                    allowed=self.allowed(candidate.bounds),
                )
                for times, candidate in self.candidates.items()
                if self._is_own_row(times)
            ),
            answer_epsilon=self.answer_epsilon,
            advice=self.advice,
            interval=Interval(confidence=sheet.confidence),
            cost=self.cost,
            left=self.release.left,
            guarantee=self.guarantee,
            purpose=self.release.purpose,
            notice=self.release.notice,
            ledger=self.release.ledger,
            versions=source.versions,
            warnings=source.warnings,
            receipt=receipt_of(self.release),
        )
        return sealed(document)

    def bounds_at(self, times: float) -> dict[str, int]:
        """The bounds that are `times` the query's, by name."""
        bounds = self.candidates[times].bounds
        values = {
            "max_rows": bounds.max_rows,
            "max_groups": bounds.max_groups,
            "max_rows_per_group": bounds.max_rows_per_group,
        }
        return {name: values[name] for name in self.names}

    def bounds_text(self, times: float) -> str:
        """`max_rows = 50`, and which of them are the query's own."""
        own = " (as asked)" if times == 1.0 else ""
        return ", ".join(f"{name} = {value}" for name, value in self.bounds_at(times).items()) + own

    def error_at(self, times: float) -> float:
        """Rows that one group is off by: those left out, on average over the groups, and the reach of the noise."""
        return self.error_of(self.share_at(times).value, times)

    def error_of(self, share: float, times: float) -> float:
        """The same, if that share of the rows were lost."""
        return share * max(0.0, self.rows_before) / self.groups + self.candidates[times].noise_rows

    def allowed(self, bounds: ContributionBounds) -> bool:
        """Whether the policy lets a query may ask for them."""
        return all(
            getattr(bounds, name) <= getattr(self.ceiling, name)
            for name in ("max_rows", "max_groups", "max_rows_per_group")
        )

    def _is_own_row(self, times: float) -> bool:
        """Whether bounds differ from those of the next smaller level; small bounds halve to the same."""
        if times == 1.0:
            return True
        same = [t for t in self.candidates if self.candidates[t].bounds == self.candidates[times].bounds]
        return 1.0 not in same and times == min(same)

    def _column(self, times: float) -> int:
        for index, each in enumerate(self.counted):
            if isinstance(each, Level) and each.times == times:
                return index
        broken("a bounding loss has its levels")

    def _noisy(self, column: int) -> float:
        part = self.release.plan.readings[column].parts[0]
        return float(self.release.answer.noisy[part][0, 0])

    def _deviation(self, column: int) -> float:
        part = self.release.plan.parts[self.release.plan.readings[column].parts[0]]
        return standard_deviation(part.mechanism, part.scale)

    def _share(self, kept: int, before: int, confidence: float) -> Share:
        part = self._part(kept, before, confidence)
        return Share(1.0 - part.value, 1.0 - part.high, 1.0 - part.low)

    def _part(self, column: int, whole: int, confidence: float) -> Share:
        """One count as a share of another, with Fieller's interval; the noises are independent."""
        plan = self.release.plan
        if plan.readings[column].parts == plan.readings[whole].parts:
            return Share(1.0, 1.0, 1.0)
        found = intervals.ratio(
            np.array([self._noisy(column)]),
            np.array([self._noisy(whole)]),
            variance_numerator=self._deviation(column) ** 2,
            variance_denominator=self._deviation(whole) ** 2,
            covariance=0.0,
            limits=(-1.0, 2.0),
            confidence=confidence,
        )
        # A share lies between 0 and 1; noise may put the whole interval beyond, and then half its width is kept.
        half = (float(found.high[0]) - float(found.low[0])) / 2.0
        low, high = max(0.0, min(float(found.low[0]), 1.0 - half)), min(1.0, max(float(found.high[0]), half))
        counted, of = self._noisy(column), self._noisy(whole)
        # The same value at every confidence, also where the interval is everything.
        value = min(1.0, max(0.0, counted / of)) if of > 0.0 else 0.5
        return Share(value, min(low, value), max(high, value))


def _series(
    name: str,
    sql: str,
    values: Sequence[tuple[float, float, float]],
    useful: Sequence[bool],
    *,
    whole: bool,
) -> ValueSeries:
    value, low, high = zip(*values, strict=True)
    return ValueSeries(name, sql, None, whole, value, low, high, tuple(useful), None)


def _clamp_text(clamp: Clamped) -> str:
    return f"{clamp.sql} clamped to {clamp.low:g} to {clamp.high:g}"


_LOST = (
    "{share} of the rows are left out, about {lost} in each group on average, beside ± {noise} rows of noise "
    "at epsilon {epsilon:g}"
)


def _advice(loss: BoundingLoss) -> list[str]:
    """Advice from noisy values and public facts alone."""
    share = loss.share
    if share.reach > UNSURE:
        more = loss.cost.epsilon * share.reach / (UNSURE / 3)
        return [f"the share lost is not known well: {share}; epsilon {more:.2g} would tell it to about ± 5 %"]
    noise = loss.candidates[1.0].noise_rows
    lost = number_text(float(round(loss.error_at(1.0) - noise)))
    found = [_LOST.format(share=share, lost=lost, noise=number_text(noise), epsilon=loss.answer_epsilon)]
    choices = [t for t in TIMES[:-1] if loss.share_at(t).reach <= UNSURE]
    best = min(choices, key=lambda t: (loss.error_at(t), t))
    if best != 1.0 and _is_better(loss, best):
        found.append(_better(loss, best))
    if loss.share_at(TIMES[-2]).low > OPEN_END:
        found.append(
            f"some numbers have more than {TIMES[-2]:g} times these bounds, so that more is lost than can be seen: "
            "ask under wider bounds, or leave such numbers out in WHERE"
        )
    for text, part in loss.clamped.items():
        if part.low > CLAMPED_MANY:
            found.append(f"{text}: {part} of the values lie past it; a wider clamp would keep them, at more noise")
    return found


def _is_better(loss: BoundingLoss, times: float) -> bool:
    """Whether other bounds err less, also at the end of the intervals that speaks against them."""
    if times < 1.0:
        worst = loss.error_of(loss.share_at(times).high, times)
        return worst <= loss.error_at(1.0)
    least = loss.error_of(loss.share.low, 1.0)
    return loss.error_at(times) <= WORTH_A_CHANGE * least


_OPTIONS = {
    "max_rows": "max_rows_contributed",
    "max_groups": "max_groups_contributed",
    "max_rows_per_group": "max_rows_per_group",
}


def _better(loss: BoundingLoss, times: float) -> str:
    bounds = loss.bounds_at(times)
    written = ", ".join(f"{_OPTIONS[name]} = {value}" for name, value in bounds.items())
    about = (
        f"leaves out {loss.share_at(times)}, with ± {number_text(loss.candidates[times].noise_rows)} rows of noise: "
        f"off by about {number_text(float(round(loss.error_at(times))))} rows in all, "
        f"instead of {number_text(float(round(loss.error_at(1.0))))}"
    )
    if loss.allowed(loss.candidates[times].bounds):
        return f"analyst: ask with OPTIONS ({written}); that {about}"
    raised = ", ".join(f"{name} = {value}" for name, value in bounds.items())
    return f"steward: {raised} in the policy's bounds for these keys; that {about}"
