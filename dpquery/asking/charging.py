"""From a priced plan to its release: the ledger is charged first, then rows are read, and a stored answer is free."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dpquery import describe, record
from dpquery.asking import older, pricing
from dpquery.asking.chosen_bounds import with_bounds_release
from dpquery.asking.reading import read_whole
from dpquery.budget import over_budget
from dpquery.consent import read_registry
from dpquery.documents import LedgerEntry, ScopeCharge
from dpquery.engines.stored import stored_rows
from dpquery.errors import DpqueryError, QueryRefused, UsageError, ensure
from dpquery.ledger import ChargeRequest, OverBudget, RequestIdTaken
from dpquery.measuring import measured
from dpquery.noise.verify import verify
from dpquery.plan.canonical import digest
from dpquery.plan.relations import leaves
from dpquery.plan.retention import is_cut
from dpquery.postprocessing.answer import answer
from dpquery.privacy.question import Versions, canonical_plan, question, unversioned
from dpquery.receipts.digests import sha256
from dpquery.receipts.provenance import Provenance, text_of
from dpquery.release import Release

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from dpquery.asking.older import AsOf
    from dpquery.asking.query import Query
    from dpquery.engines.scan import StoredRows
    from dpquery.ledger import Charged, Ledger, StoredRelease
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.session import Session


def versions_of(session: Session, at: datetime | None = None) -> Versions:
    """What the session's answers are asked of, as the store is now; `at`: the clock's reading, if it was made."""
    store, now = session.store, at or session.now()
    policy = digest(store.policy.model_dump_json())
    consent = read_registry(store.folder).version(store.manifest.created_on, store.policy.consent.tick, now)
    return Versions(store.data_version, store.policy.version, consent, policy, now.isoformat())


@dataclass(frozen=True, slots=True)
class Asking:
    """A plan with what the ledger is to be asked for it."""

    plan: PrivacyPlan
    versions: Versions
    """What it is asked of: the store as it is now, or as it was for a stored answer."""
    request: ChargeRequest
    stored: StoredRelease | None
    """What is to be handed out instead of a new answer."""


def charge_request(
    query: Query, plan: PrivacyPlan, versions: Versions, request_id: str | None, as_of: AsOf | None = None
) -> ChargeRequest:
    """What the ledger is asked to charge for a plan of the query."""
    ensure(not query.logical.chooses_bounds, "bounds are chosen before an answer is charged")
    session = query.session
    notice = session.store.policy.purposes[session.purpose].notice
    ensure(bool(notice.strip()), "a charge says under which notice")
    return ChargeRequest(
        request_id=request_id,
        question=question(plan, versions, session.purpose),
        unversioned=unversioned(_whole(query, plan), versions, session.purpose),
        as_of="" if as_of is None else str(as_of),
        asker=session.analyst,
        purpose=session.purpose,
        charges=pricing.scopes_of(session, plan),
        loss=plan.loss,
        asked_epsilon=plan.asked_epsilon,
        body={
            **({"bounds_from": [each.release for each in query.chosen]} if query.chosen else {}),
            "canonical": canonical_plan(plan),
            "table": query.logical.table,
            "mechanism": plan.mechanism,
            "cells": 0 if query.logical.selects_groups else plan.bounded.cells,
            "data_version": versions.data,
            "policy_version": versions.policy,
            "consent_version": versions.consent,
            "consent_at": versions.at,
            "policy": versions.policy_digest,
            "notice": notice,
        },
        members=session.members(),
    )


def _whole(query: Query, plan: PrivacyPlan) -> PrivacyPlan:
    """The plan as if nothing were past retention: by it the answers of other days are found."""
    if not plan.bounded.logical.kept_from:
        return plan
    return pricing.calibrated(replace(query, at=None), plan.asked_epsilon)[0]


def paid_release(ledger: Ledger, request: ChargeRequest) -> StoredRelease | None:
    """The stored answer to the request, if this asker has paid for it."""
    stored = ledger.find_for(request)
    return None if stored is None or stored.owed(request.own) else stored


def released(
    query: Query,
    nano: int,
    *,
    within: float | None = None,
    fresh: bool = False,
    request_id: str | None = None,
    as_of: AsOf | None = None,
) -> Release:
    """Charge `nano` nano-epsilon, then answer; or hand out the stored answer to the same question for free.

    With `as_of` a stored one or none. BudgetRefused, before any row is read, if a budget does not allow it, or allows
    no mechanism that reaches `within`.
    """
    session, ledger = query.session, query.session.ledger
    asking = _retried(query, nano, request_id, as_of)
    if asking is None and as_of is not None:
        asking = _older(query, nano, request_id, as_of)
    asking = asking or _asked_now(query, nano, fresh=fresh, request_id=request_id)
    plan, versions, request, stored = asking.plan, asking.versions, asking.request, asking.stored
    pricing.check_reach(query, plan, within)
    try:
        charged = ledger.charge(request) if stored is None else ledger.adopt(request, stored)
    except OverBudget as refused:
        raise over_budget(refused, plan) from None
    with _after(charged, describe.cost(plan, ()).epsilon):
        if charged.payload is not None:
            kept, noisy = record.unpack(charged.payload, plan)
            own = provenance(query, request, charged, charged.payload)
            return release_of(query, kept, noisy, versions, charged, own=own, status="repeated")
        try:
            _check_still_kept(query, plan)
            found = read_whole(session.store, lambda: measured(plan, _rows(session, plan, versions)))
            payload = ledger.record(charged, record.pack(*found))
        except BaseException:
            ledger.fail(charged)
            raise
        kept, noisy = record.unpack(payload, plan)
        own = provenance(query, request, charged, payload)
        return release_of(query, kept, noisy, versions, charged, own=own, status="released")


def _rows(session: Session, plan: PrivacyPlan, versions: Versions) -> StoredRows:
    """The rows that a plan reads, of what the store is now or was at these versions."""
    return stored_rows(
        session.store,
        session.catalog,
        plan,
        purpose=session.purpose,
        at=versions.asked_at,
        data_version=versions.data,
    )


def _check_still_kept(query: Query, plan: PrivacyPlan) -> None:
    """QueryRefused where an earlier charge asks for rows that are past retention by now."""
    for leaf in leaves(plan.bounded.logical.relation):
        if is_cut(leaf, query.cutoffs):
            raise QueryRefused(
                "DPQ-126",
                f"since this was charged, rows of {leaf.table} that it asks for have come past retention",
                fix="ask anew; the charge stands",
            )


@contextmanager
def _after(charged: Charged, price: float) -> Iterator[None]:
    """Errors within say what has been spent: a charge stands, whatever happens next."""
    try:
        yield
    except DpqueryError as error:
        paid = charged.fresh or any(pair.new for pair in charged.charges)
        error.spent = price if paid else 0.0
        raise


def named_release(session: Session, release: str) -> StoredRelease:
    """The stored release of that name, if this analyst has paid for it. UsageError if there is none."""
    found = session.ledger.find_named(session.analyst, release)
    if found is None:
        raise UsageError("DPQ-002", f"{release} is no stored answer of yours", fix=older.EXAMPLE)
    return found


def _asked_now(query: Query, nano: int, *, fresh: bool, request_id: str | None) -> Asking:
    """The question of the store as it is now."""
    versions = versions_of(query.session, query.at)
    plan = pricing.affordable(query, nano)
    request = charge_request(query, plan, versions, request_id)
    stored = None if fresh else query.session.ledger.find_for(request)
    return Asking(plan, versions, request, stored)


def _older(query: Query, nano: int, request_id: str | None, as_of: AsOf) -> Asking:
    """The question of the store as it was for the stored answer that `as_of` names. UsageError if there is none."""
    now = versions_of(query.session, query.at)
    whole = replace(query, at=None)  # what is past retention by now may stand in an answer that is stored
    plans = pricing.calibrated(whole, nano)
    stored = older.named(
        query.session.ledger.find_versions(unversioned(plans[0], now, query.session.purpose)),
        charge_request(whole, plans[0], now, None),
        tuple(plan.loss for plan in plans),
        as_of,
    )
    versions = charged_versions(now, stored.plan)
    then = replace(query, at=versions.asked_at)
    plan = verify(pricing.calibrated(then, nano)[0])
    return Asking(plan, versions, charge_request(then, plan, versions, request_id, as_of), stored)


def _retried(query: Query, nano: int, request_id: str | None, as_of: AsOf | None) -> Asking | None:
    """What an earlier request with this id was charged for, whatever budgets admit and rows have come by now.

    It is the same request if it is the same question under the same policy, at the same price: its own versions of
    data and consent are those it was charged for. RequestIdTaken (DPQ-203) if it is another one.
    """
    session = query.session
    charged = None if request_id is None else session.ledger.find_request(session.analyst, request_id)
    if charged is None:
        return None
    versions = charged_versions(versions_of(session, query.at), charged)
    then = replace(query, at=versions.asked_at)
    for plan in pricing.calibrated(then, nano):
        request = charge_request(then, plan, versions, request_id, as_of)
        with suppress(RequestIdTaken):
            return Asking(verify(plan), versions, request, session.ledger.find_for(request))
    raise RequestIdTaken


def charged_versions(now: Versions, charged: Mapping[str, Any]) -> Versions:
    """The versions that a charge names, under the policy of today: a charge under another one is another question."""
    return replace(
        now,
        data=int(charged["data_version"]),
        consent=int(charged["consent_version"]),
        at=str(charged["consent_at"]),
    )


def provenance(query: Query, request: ChargeRequest, charged: Charged, payload: bytes) -> Provenance:
    """What a receipt will say of the ledger and the question."""
    ledger = query.session.ledger
    return Provenance(
        dataset=ledger.dataset,
        ledger=ledger.identity,
        steward=ledger.steward,
        charge=charged.charge,
        analyst=request.asker,
        question=request.question,
        record=sha256(payload),
        sql=text_of(query.logical),
        params=query.values,
    )


def release_of(
    query: Query,
    plan: PrivacyPlan,
    noisy: Sequence[NDArray[np.int64]],
    versions: Versions,
    charged: Charged,
    *,
    own: Provenance,
    status: str,
) -> Release:
    """The release of stored noisy integers; `plan` is the one that they were drawn by. Reads no rows."""
    session = query.session
    now = versions_of(session, query.at)
    pairs = [ScopeCharge(scope=str(c.scope), block=c.block, new=c.new) for c in charged.charges]
    ensure(bool(pairs), "a release names the scopes it was charged to")
    return Release(
        plan=plan,
        answer=answer(plan, noisy, query.terms.confidence),
        status=status,
        release_id=charged.release,
        summary=describe.plan_summary(plan, versions),
        cost=describe.cost(plan, pairs),
        guarantee=with_bounds_release(describe.guarantee(plan, query.table), query.chosen),
        left=pricing.left(session, plan),
        purpose=session.purpose,
        notice=session.store.policy.purposes[session.purpose].notice,
        ledger=LedgerEntry(entry=charged.entry, at=charged.at),
        versions=describe.versions_in_use(),
        warnings=(
            *older.outdated(versions, now),
            *describe.caveats(plan, query.table),
            *session.permission.said(query.logical),
            *map(str, query.chosen),
        ),
        chosen=query.chosen,
        provenance=own,
    )
