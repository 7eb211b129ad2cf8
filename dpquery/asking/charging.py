"""From a priced plan to its release: the ledger is charged first, then rows are read, and a stored answer is free."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from dpquery import describe, record
from dpquery.asking import pricing
from dpquery.asking.chosen_bounds import with_bounds_release
from dpquery.budget import over_budget
from dpquery.documents import LedgerEntry, ScopeCharge
from dpquery.engines.stored import stored_rows
from dpquery.errors import DpqueryError, ensure
from dpquery.ledger import ChargeRequest, OverBudget, RequestIdTaken
from dpquery.measuring import measured
from dpquery.noise.verify import verify
from dpquery.plan.canonical import digest
from dpquery.postprocessing.answer import answer
from dpquery.privacy.question import Versions, canonical_plan, question
from dpquery.release import Release

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from dpquery.accounting import Loss
    from dpquery.asking.query import Query
    from dpquery.ledger import Charged, Ledger, Scope, StoredRelease
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.session import Session

CONSENT_VERSION = 1
"""No consent record can reach this store yet, so that what numbers allow never changes."""


def versions_of(session: Session) -> Versions:
    """What the session's answers are asked of, as the store is now."""
    store = session.store
    policy = digest(store.policy.model_dump_json())
    return Versions(store.data_version, store.policy.version, CONSENT_VERSION, policy)


def charge_request(query: Query, plan: PrivacyPlan, versions: Versions, request_id: str | None) -> ChargeRequest:
    """What the ledger is asked to charge for a plan of the query."""
    ensure(not query.logical.chooses_bounds, "bounds are chosen before an answer is charged")
    session = query.session
    return ChargeRequest(
        request_id=request_id,
        question=question(plan, versions, session.purpose),
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
            "notice": session.store.policy.purposes[session.purpose].notice,
        },
    )


def paid_release(ledger: Ledger, request: ChargeRequest) -> StoredRelease | None:
    """The stored answer to the request, if this asker has paid for it."""
    stored = ledger.find_for(request)
    return None if stored is None or stored.owed(_own(request)) else stored


def released(
    query: Query, nano: int, *, within: float | None = None, fresh: bool = False, request_id: str | None = None
) -> Release:
    """Charge `nano` nano-epsilon, then answer; or hand out the stored answer to the same question for free.

    BudgetRefused, before any row is read, if a budget does not allow it, or allows no mechanism that reaches `within`.
    """
    session, ledger = query.session, query.session.ledger
    versions = versions_of(session)
    plan = _retried(query, nano, versions, request_id) or pricing.affordable(query, nano)
    pricing.check_reach(query, plan, within)
    request = charge_request(query, plan, versions, request_id)
    stored = None if fresh else ledger.find_for(request)
    if stored is not None and stored.owed(_own(request)) and not _no_dearer(stored.loss, request.loss):
        # Another analyst's answer, made at a price that this one was not asked for: a new answer, at the asked one.
        stored = None
    try:
        charged = ledger.charge(request) if stored is None else ledger.adopt(request, stored)
    except OverBudget as refused:
        raise over_budget(refused, plan) from None
    with _after(charged, describe.cost(plan, ()).epsilon):
        if charged.payload is not None:
            kept, noisy = record.unpack(charged.payload, plan)
            return _release(query, kept, noisy, versions, charged, status="repeated")
        try:
            rows = stored_rows(session.store, session.catalog, plan)
            payload = ledger.record(charged, record.pack(*measured(plan, rows)))
        except BaseException:
            ledger.fail(charged)
            raise
        kept, noisy = record.unpack(payload, plan)
        return _release(query, kept, noisy, versions, charged, status="released")


@contextmanager
def _after(charged: Charged, price: float) -> Iterator[None]:
    """Errors within say what has been spent: a charge stands, whatever happens next."""
    try:
        yield
    except DpqueryError as error:
        paid = charged.fresh or any(pair.new for pair in charged.charges)
        error.spent = price if paid else 0.0
        raise


def _retried(query: Query, nano: int, versions: Versions, request_id: str | None) -> PrivacyPlan | None:
    """The plan that an earlier request with this id was charged for, whatever the budgets admit by now."""
    if request_id is None:
        return None
    plans, ledger = pricing.calibrated(query, nano), query.session.ledger
    free = [plan for plan in plans if not _taken(ledger, charge_request(query, plan, versions, request_id))]
    return verify(free[0]) if free and len(free) < len(plans) else None


def _taken(ledger: Ledger, request: ChargeRequest) -> bool:
    """Whether the request's id belongs to another request."""
    try:
        ledger.find_for(request)
    except RequestIdTaken:
        return True
    return False


def _own(request: ChargeRequest) -> tuple[tuple[Scope, str], ...]:
    """The asker's own scope in each block."""
    return tuple(pair for pair in request.charges if pair[0].kind == "analyst")


def _no_dearer(price: Loss, asked: Loss) -> bool:
    """Whether a stored price is within the asked one in every amount; None is infinite."""
    pairs = ((price.epsilon, asked.epsilon), (price.rho, asked.rho), (price.delta, asked.delta))
    return all(most is None or (paid is not None and paid <= most) for paid, most in pairs)


def _release(
    query: Query,
    plan: PrivacyPlan,
    noisy: Sequence[NDArray[np.int64]],
    versions: Versions,
    charged: Charged,
    *,
    status: str,
) -> Release:
    session = query.session
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
        warnings=(*describe.caveats(plan, query.table), *map(str, query.chosen)),
        chosen=query.chosen,
    )
