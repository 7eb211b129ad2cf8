"""What leaves: values with intervals, price and promise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dpquery.describe import bounding_in_words, columns
from dpquery.documents import (
    Cost,
    Guarantee,
    Interval,
    LedgerEntry,
    Left,
    PlanSummary,
    ReleaseDocument,
    ValueColumn,
)
from dpquery.errors import ensure
from dpquery.faces.sheet import Sheet, sheet_of
from dpquery.faces.shown import Shown, checked_confidence
from dpquery.postprocessing.answer import answer
from dpquery.receipts.digests import as_json, sealed
from dpquery.receipts.provenance import receipt_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.asking.chosen_bounds import ChosenBounds
    from dpquery.faces.derive import Combined, Ratio, Source
    from dpquery.postprocessing.answer import Answer
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.receipts.provenance import Provenance


@dataclass(frozen=True, slots=True)
class Release(Shown):
    """An answer that has been paid for and recorded. Displaying it is free."""

    plan: PrivacyPlan = field(repr=False)
    answer: Answer = field(repr=False)
    status: str
    """`released`, or `repeated` for an answer that was stored already."""
    release_id: str
    summary: PlanSummary = field(repr=False)
    cost: Cost
    """Epsilon, delta, rho and the scopes charged."""
    guarantee: Guarantee = field(repr=False)
    left: Left | None = field(repr=False)
    purpose: str
    notice: str
    ledger: LedgerEntry = field(repr=False)
    versions: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = ()
    provenance: Provenance = field(repr=False, kw_only=True)
    """Which ledger keeps it, and what was asked."""
    chosen: tuple[ChosenBounds, ...] = ()
    """Value bounds that were chosen for it, each with the release that did so."""

    def __post_init__(self) -> None:
        ensure(bool(self.purpose.strip() and self.notice.strip()), "a release says for what, and under which notice")

    @property
    def bounding(self) -> str:
        """How much one number may add, in words."""
        return bounding_in_words(self.plan.bounded.logical, self.plan)

    @property
    def receipt(self) -> dict[str, Any]:
        """Where the ledger keeps this release: its name, the entry that it got, when, and what can be compared."""
        return as_json(receipt_of(self))

    @property
    def confidence(self) -> float:
        """With which each interval holds its value's noise."""
        return self.answer.confidence

    def interval(self, confidence: float) -> Release:
        """The same release with intervals at another confidence, from 0.5 to 0.9999. Free: no new noise is drawn.

        UsageError for another confidence.
        """
        return self._at(checked_confidence(confidence))

    def ratio(self, numerator: str, denominator: str, *, name: str | None = None) -> Ratio:
        """One value column divided by another, with an interval per row. Free.

        UsageError for a column that is not a value of this release.
        """
        from dpquery.faces.derive import ratio

        return ratio(self, numerator, denominator, name)

    def combine(self, *others: Source) -> Combined:
        """This and other releases of the same question as one with less noise. Free: all of them have been paid for.

        Counts and sums only; UsageError for other values, other questions or data, and for the same release twice.
        """
        from dpquery.faces.derive import combined

        return combined(self, others)

    def sheet(self) -> Sheet:
        return sheet_of(self)

    def sheet_at(self, confidence: float) -> Sheet:
        return sheet_of(self._at(confidence))

    def _at(self, confidence: float) -> Release:
        ensure(bool(self.answer.noisy), "a release keeps what its intervals are computed from")
        return replace(self, answer=answer(self.plan, self.answer.noisy, confidence))

    def document(self) -> ReleaseDocument:
        """The release as the object that `dpquery query --json` prints."""
        document = ReleaseDocument(
            status="repeated" if self.status == "repeated" else "released",
            release=self.release_id,
            columns=columns(self.plan),
            rows=self.json_rows(),
            interval=Interval(confidence=self.confidence),
            plan=self.summary,
            value_bounds=tuple(each.document() for each in self.chosen),
            cost=self.cost,
            left=self.left,
            guarantee=self.guarantee,
            purpose=self.purpose,
            notice=self.notice,
            ledger=self.ledger,
            versions=dict(self.versions),
            warnings=self.warnings,
            receipt=receipt_of(self),
        )
        return sealed(document)


def value_columns(release: Release) -> tuple[ValueColumn, ...]:
    """The value columns of a release."""
    return tuple(c for c in columns(release.plan) if isinstance(c, ValueColumn))
