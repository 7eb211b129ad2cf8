"""What a query would cost and how good it would be. Free, and made without reading data."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from dpquery.asking import pricing
from dpquery.asking.charging import charge_request, paid_release, versions_of
from dpquery.asking.older import newest_paid, stored_text
from dpquery.describe import (
    bounding_in_words,
    caveats,
    columns,
    cost,
    groups_in_words,
    guarantee,
    plan_summary,
    upwards,
    versions_in_use,
)
from dpquery.documents import Interval, ReleaseDocument, ValueColumn
from dpquery.faces.words import number_text, percent_text
from dpquery.plan.auto_bounds import waits_for_bounds
from dpquery.postprocessing.intervals import CONFIDENCE

if TYPE_CHECKING:
    from dpquery.accounting import Loss
    from dpquery.asking.chosen_bounds import ChosenBounds
    from dpquery.asking.query import Query
    from dpquery.documents import Cost, Left
    from dpquery.plan.catalog import NamedTable
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.privacy.question import Versions


@dataclass(frozen=True, slots=True)
class Preview:
    """Unit, bounds, mechanism, scale, expected error, price and what is left, before anything is spent."""

    plan: PrivacyPlan = field(repr=False)
    table: NamedTable = field(repr=False)
    versions: Versions
    left: Left | None
    purpose: str
    notice: str
    repeat: bool
    """Whether a stored answer would be handed out for free."""
    warnings: tuple[str, ...] = ()
    confidence: float = CONFIDENCE
    """Of the intervals whose expected reach is told."""
    chosen: tuple[ChosenBounds, ...] = ()
    """Value bounds that are stored for it."""
    stored: str | None = None
    """What is told of a stored answer that is free, but of earlier data."""
    first: tuple[PrivacyPlan, ...] = ()
    """Releases that will choose its value bounds, and are paid before it; until then its error is unknown."""

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Every loss that the answer is charged with, those of its bounds first."""
        return tuple(plan.loss for plan in (*self.first, self.plan))

    def document(self) -> ReleaseDocument:
        """The object that `dpquery query --dry-run --json` prints."""
        return ReleaseDocument(
            status="preview",
            release=None,
            columns=columns(self.plan, expected=self.confidence),
            rows=(),
            interval=Interval(confidence=self.confidence),
            plan=plan_summary(self.plan, self.versions),
            value_bounds=tuple(each.document() for each in self.chosen),
            cost=self._cost(),
            left=self.left,
            guarantee=guarantee(self.plan, self.table),
            purpose=self.purpose,
            notice=self.notice,
            ledger=None,
            versions=versions_in_use(),
            warnings=(*self.warnings, *(() if self.stored is None else (self.stored,))),
        )

    def _cost(self) -> Cost:
        """The price of the answer and of what comes before it."""
        own = cost(self.plan, ())
        before = [cost(plan, ()) for plan in self.first]
        return own.model_copy(
            update={
                "epsilon": upwards(sum((Decimal(repr(c.epsilon)) for c in (own, *before)), Decimal(0))),
                "delta": upwards(sum((Decimal(repr(c.delta)) for c in (own, *before)), Decimal(0))),
                "rho": upwards(sum((Decimal(repr(c.rho)) for c in (own, *before)), Decimal(0))),
            }
        )

    def lines(self) -> list[tuple[str, str]]:
        """Label and text of each fact, for people."""
        bounded = self.plan.bounded
        found: list[tuple[str, str]] = [
            ("protects", bounded.unit),
            ("bounding", bounding_in_words(bounded.logical, self.plan)),
            ("groups", groups_in_words(self.plan)),
        ]
        waiting = {o.name for o in bounded.logical.outputs if waits_for_bounds(bounded.logical, o)}
        for column in self.document().columns:
            if isinstance(column, ValueColumn):
                unit = f" {column.unit}" if column.unit else ""
                scale = ", scale unknown until bounds are chosen" if column.name in waiting else ""
                scale = scale if column.scale is None else f", scale {number_text(column.scale)}"
                text = f"{column.mechanism}{scale}"
                if column.expected_half_width is not None:
                    text += f"; expected ± {number_text(column.expected_half_width)}{unit}"
                    text += f" at {percent_text(self.confidence)}"
                if column.expected_if_rows is not None:
                    text += f" if a group has {column.expected_if_rows:,} rows"
                found.append((column.name, text))
        if self.first:
            part = number_text(sum(cost(plan, ()).epsilon for plan in self.first))
            found.append(
                ("bounds", f"chosen first, for epsilon {part} of the price; stored, then free for this question")
            )
        price = self.document().cost
        described = f" at delta = {price.epsilon_at_delta:g} (rho {price.rho:.6g})" if price.epsilon_at_delta else ""
        blocks = bounded.blocks[0] if len(bounded.blocks) == 1 else f"each of {len(bounded.blocks)} blocks"
        selecting = f" and delta {price.delta:.3g}" if price.delta else ""
        found.append(("price", f"epsilon {price.epsilon:g}{described}{selecting}, in {blocks}"))
        if self.plan.mechanism == "gaussian":
            found.append(("note", "Gaussian noise closes the pure filter of every scope it is charged to"))
        if self.repeat:
            found.append(("repeat", "asked before: the stored answer is free"))
        if self.stored is not None:
            found.append(("stored", self.stored))
        if self.left is not None:
            found.append(("left", f"epsilon {self.left.epsilon:g} now; about {self.left.more_like_this:,} like this"))
        found += [("note", warning) for warning in self.warnings]
        return found

    def __str__(self) -> str:
        width = max(len(label) for label, _ in self.lines())
        return "\n".join(f"{label:<{width}}  {text}" for label, text in self.lines())


def preview_of(query: Query, plan: PrivacyPlan, first: tuple[PrivacyPlan, ...] = ()) -> Preview:
    """The preview of one plan of a query, with the releases that are paid before it."""
    session, versions = query.session, versions_of(query.session, query.at)
    repeat, older = False, None
    if not first:  # what an answer's question is depends on its bounds: while these are unknown, none is stored
        request = charge_request(query, plan, versions, None)
        repeat = paid_release(session.ledger, request) is not None
        older = None if repeat else newest_paid(session.ledger.find_versions(request.unversioned), request)
    return Preview(
        plan,
        query.table,
        versions,
        pricing.left(session, plan),
        session.purpose,
        session.store.policy.purposes[session.purpose].notice,
        repeat=repeat,
        stored=None if older is None else stored_text(older),
        warnings=(*caveats(plan, query.table), *session.permission.said(query.logical), *map(str, query.chosen)),
        confidence=query.terms.confidence,
        chosen=query.chosen,
        first=first,
    )
