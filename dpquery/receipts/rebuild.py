"""Releases computed again from the integers that the ledger stores. Free: no row is read, nothing is charged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from dpquery import record
from dpquery.asking import charging, choosing, pricing
from dpquery.asking.chosen_bounds import BoundsRelease, decided, noisy_bins
from dpquery.catalog import catalog_of
from dpquery.documents import BoundingLossDocument, DerivedDocument, ReleaseDocument
from dpquery.errors import DpqueryError
from dpquery.faces.derive import combined, ratio
from dpquery.faces.shown import checked_confidence
from dpquery.noise.verify import verify
from dpquery.plan.auto_bounds import chosen_for
from dpquery.plan.loss import loss_request
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO
from dpquery.privacy.question import canonical_plan
from dpquery.receipts.provenance import requested_bounds, value_of
from dpquery.session import Session
from dpquery.sql.request import read_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpquery.asking.query import Query
    from dpquery.documents import ReceiptDocument
    from dpquery.faces.redrawn import SavedDocument
    from dpquery.ledger import Ledger, RecordedRequest
    from dpquery.release import Release
    from dpquery.store import Store


class NotRebuiltError(Exception):
    """A release cannot be computed again; the text says why, in words that follow `not checked: `."""


class ContradictedError(Exception):
    """What a receipt says was asked cannot have given what the ledger keeps; the text says what does not fit."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A release as the ledger has it, with the query that it answers."""

    release: Release
    query: Query


def rebuilt(store: Store, ledger: Ledger, receipt: ReceiptDocument, recorded: RecordedRequest) -> Rebuilt:
    """The release of `receipt`, whose stored integers are those of `recorded`.

    ContradictedError if its question is not the one that was charged, NotRebuiltError where policy or public tables
    have changed, so that nobody can tell any more.
    """
    charged = recorded.charged
    if charged.payload is None:
        raise ContradictedError("the charge has no stored answer")
    session = Session(store, ledger, catalog_of(store), receipt.analyst, receipt.purpose)
    now = charging.versions_of(session)
    if recorded.plan["policy"] != now.policy_digest:
        raise NotRebuiltError("the store's policy is not the one that it was asked under")
    try:
        query = _query(session, receipt)
        nano = recorded.asked_epsilon or 0
        query = replace(query, at=charging.charged_versions(now, recorded.plan).asked_at)
        asked = query if receipt.query.kind == "answer" else replace(query, logical=loss_request(query.logical).logical)
        plan = verify(pricing.calibrated(asked, nano)[0])
    except (DpqueryError, ValueError, LookupError) as error:
        raise _unlike(store, receipt, "its query cannot be read under the store's policy") from error
    versions = charging.charged_versions(now, recorded.plan)
    request = charging.charge_request(asked, plan, versions, None)
    if canonical_plan(plan) != receipt.canonical or request.question != recorded.question:
        raise _unlike(store, receipt, "its query is not the question that was charged")
    kept, noisy = record.unpack(charged.payload, plan)
    if kept.loss != charged.loss:
        raise ContradictedError("the stored answer has another price than its charge")
    own = charging.provenance(asked, request, charged, charged.payload)
    own = replace(own, sql=receipt.query.sql)
    return Rebuilt(charging.release_of(asked, kept, noisy, versions, charged, own=own, status="repeated"), query)


def derived_again(document: SavedDocument, parts: Sequence[Rebuilt]) -> SavedDocument:
    """The document that the rebuilt releases give, where `document` says what was made of them.

    Raises what cannot be made of them as UsageError.
    """
    first = parts[0].release
    match document:
        case ReleaseDocument():
            return first.document()
        case BoundingLossDocument():
            return parts[0].query.loss_of(first, round(document.answer_epsilon * NANO)).document()
        case DerivedDocument(numerator=str(above), denominator=str(below)):
            name = next(column.name for column in document.columns if column.role == "value")
            source = first if len(parts) == 1 else combined(first, [part.release for part in parts[1:]])
            return ratio(source, above, below, name).interval(document.interval.confidence).document()
        case DerivedDocument():
            whole = combined(first, [part.release for part in parts[1:]])
            return whole.interval(document.interval.confidence).document()
        case _:
            assert_never(document)


def _query(session: Session, receipt: ReceiptDocument) -> Query:
    """The query of a receipt, its chosen value bounds among it."""
    asked = receipt.query
    params = {name: value_of(given) for name, given in asked.params.items()}
    query = session.query_of(read_request(asked.sql), requested_bounds(asked), params)
    query = replace(query, terms=replace(query.terms, confidence=checked_confidence(asked.confidence)))
    return _with_value_bounds(query, receipt) if query.logical.chooses_bounds else query


def _with_value_bounds(query: Query, receipt: ReceiptDocument) -> Query:
    """The query with the bounds that its releases chose, read off these once more."""
    session, named = query.session, receipt.query.value_bounds
    waiting = [aggregate for aggregate in map(chosen_for, query.logical.aggregates) if aggregate is not None]
    firsts = choosing.bounds_queries(query)
    releases = {}
    for aggregate, bounds in zip(waiting, named, strict=True):
        stored = session.ledger.find_named(receipt.analyst, bounds.release)
        if stored is None:
            raise LookupError(bounds.release)
        first = firsts[aggregate.argument]
        plan = pricing.calibrated(first, stored.asked_epsilon or 0)[0]
        bins = noisy_bins(*record.unpack(session.ledger.payload_of(stored), plan))
        releases[aggregate.argument] = BoundsRelease(bins, stored.release, new=bounds.new)
    logical, chosen = decided(bound(query.logical, session.catalog), releases)
    return replace(query, logical=logical, chosen=chosen)


def _unlike(store: Store, receipt: ReceiptDocument, what: str) -> NotRebuiltError | ContradictedError:
    """Public tables are part of what a query means, and their older rows are gone where they were ingested again."""
    public = [name for name, table in store.policy.tables.items() if table.public]
    if any(file.batch > receipt.data_version for name in public for file in store.files(name)):
        return NotRebuiltError("a public table was ingested again since, and with it its query may mean something else")
    return ContradictedError(what)
