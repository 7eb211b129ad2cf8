"""What a query would cost and how good it would be. Free, and made without reading data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dpquery.describe import bounding_in_words, columns, cost, groups_in_words, guarantee, plan_summary, versions_in_use
from dpquery.documents import Interval, ReleaseDocument, ValueColumn
from dpquery.faces.words import number_text, percent_text
from dpquery.intervals import CONFIDENCE

if TYPE_CHECKING:
    from dpquery.documents import Left
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

    def document(self) -> ReleaseDocument:
        """The object that `dpquery query --dry-run --json` prints."""
        return ReleaseDocument(
            status="preview",
            release=None,
            columns=columns(self.plan, expected=self.confidence),
            rows=(),
            interval=Interval(confidence=self.confidence),
            plan=plan_summary(self.plan, self.versions),
            cost=cost(self.plan, ()),
            left=self.left,
            guarantee=guarantee(self.plan, self.table),
            purpose=self.purpose,
            notice=self.notice,
            ledger=None,
            versions=versions_in_use(),
            warnings=self.warnings,
        )

    def lines(self) -> list[tuple[str, str]]:
        """Label and text of each fact, for people."""
        bounded = self.plan.bounded
        found: list[tuple[str, str]] = [
            ("protects", bounded.unit),
            ("bounding", bounding_in_words(bounded.logical, self.plan)),
            ("groups", groups_in_words(self.plan)),
        ]
        for column in self.document().columns:
            if isinstance(column, ValueColumn):
                unit = f" {column.unit}" if column.unit else ""
                text = (
                    column.mechanism
                    if column.scale is None
                    else f"{column.mechanism}, scale {number_text(column.scale)}"
                )
                if column.expected_half_width is not None:
                    text += f"; expected ± {number_text(column.expected_half_width)}{unit}"
                    text += f" at {percent_text(self.confidence)}"
                if column.expected_if_rows is not None:
                    text += f" if a group has {column.expected_if_rows:,} rows"
                found.append((column.name, text))
        price = self.document().cost
        described = f" at delta = {price.epsilon_at_delta:g} (rho {price.rho:.6g})" if price.epsilon_at_delta else ""
        blocks = bounded.blocks[0] if len(bounded.blocks) == 1 else f"each of {len(bounded.blocks)} blocks"
        selecting = f" and delta {price.delta:.3g}" if price.delta else ""
        found.append(("price", f"epsilon {price.epsilon:g}{described}{selecting}, in {blocks}"))
        if self.plan.mechanism == "gaussian":
            found.append(("note", "Gaussian noise closes the pure filter of every scope it is charged to"))
        if self.repeat:
            found.append(("repeat", "asked before: the stored answer is free"))
        if self.left is not None:
            found.append(("left", f"epsilon {self.left.epsilon:g} now; about {self.left.more_like_this:,} like this"))
        found += [("note", warning) for warning in self.warnings]
        return found

    def __str__(self) -> str:
        width = max(len(label) for label, _ in self.lines())
        return "\n".join(f"{label:<{width}}  {text}" for label, text in self.lines())
