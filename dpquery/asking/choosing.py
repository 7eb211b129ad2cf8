"""Queries whose value bounds are to be chosen: a release for each value first, unless it is stored, then the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dpquery import record
from dpquery.asking import charging, pricing
from dpquery.asking.chosen_bounds import BoundsRelease, decided, noisy_bins
from dpquery.asking.terms import Terms
from dpquery.errors import BudgetRefused, DpqueryError
from dpquery.plan.auto_bounds import bounds_requests, chosen_for, shares
from dpquery.plan.canonical import digest
from dpquery.preview import preview_of
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dpquery.asking.older import AsOf
    from dpquery.asking.query import Query
    from dpquery.plan.expressions import Expression
    from dpquery.preview import Preview
    from dpquery.release import Release


def released(query: Query, nano: int, *, fresh: bool, request_id: str | None, as_of: AsOf | None = None) -> Release:
    """Two charges: bounds first, unless they are stored, then the answer under them.

    Both are looked for in the budgets before the first is made. If this process ends between them, the bounds are
    charged and stored, and the same request id, or the same question, goes on from there. With `as_of` both are stored
    ones: of a release that it names, the bounds that this was answered under.
    """
    each, rest = _shares(query, nano)
    queries = bounds_queries(query)
    ids = [None if request_id is None else digest(["bounds/1", request_id, place]) for place in range(len(queries))]
    bounds_as_of = _bounds_named(query, as_of) if isinstance(as_of, str) else dict.fromkeys(queries, as_of)
    if as_of is None:
        asked = zip(queries.values(), ids, strict=True)
        _check_room(query, [first for first, own_id in asked if not _bounds_paid(first, each, own_id)], each, rest)
    releases: dict[Expression, BoundsRelease] = {}
    paid = 0.0
    try:
        for (argument, first), own_id in zip(queries.items(), ids, strict=True):
            release = charging.released(first, each, request_id=own_id, as_of=bounds_as_of[argument])
            paid += release.cost.epsilon if any(pair.new for pair in release.cost.charged) else 0.0
            bins = noisy_bins(release.plan, release.answer.noisy)
            releases[argument] = BoundsRelease(bins, release.release_id, new=release.status == "released")
        decided_query = _decided(query, releases)
        return charging.released(decided_query, rest, fresh=fresh, request_id=request_id, as_of=as_of)
    except DpqueryError as error:
        if error.spent is not None:
            error.spent += paid  # what was charged for bounds stands too
        raise


def _bounds_named(query: Query, release: str) -> dict[Expression, AsOf | None]:
    """The releases that chose the bounds of a stored answer. UsageError if this analyst has none of that name."""
    stored = charging.named_release(query.session, release)
    arguments = [each.argument for each in map(chosen_for, query.logical.aggregates) if each is not None]
    names = stored.plan.get("bounds_from", ())
    if len(names) != len(arguments):  # an answer to another question, as the search for it will say
        return dict.fromkeys(arguments, release)
    return dict(zip(arguments, names, strict=True))


def previewed(query: Query, nano: int) -> Preview:
    """With the bounds that are stored; where they are not, what choosing them costs, and no error yet."""
    each, rest = _shares(query, nano)
    queries = bounds_queries(query)
    stored = {argument: _stored_bounds(first, each) for argument, first in queries.items()}
    known = {argument: release for argument, release in stored.items() if release is not None}
    if len(known) == len(queries):
        query = _decided(query, known)
        return preview_of(query, pricing.affordable(query, rest))
    unpaid = [first for argument, first in queries.items() if argument not in known]
    return preview_of(
        query, pricing.affordable(query, rest), first=tuple(pricing.affordable(first, each) for first in unpaid)
    )


def _shares(query: Query, nano: int) -> tuple[int, int]:
    """What each choice of bounds costs, and what is left for the answer; BudgetRefused if there is too little."""
    each, rest = shares(query.logical, nano)
    if each < pricing.LEAST_NANO:
        least = nano * pricing.LEAST_NANO / max(1, each) / NANO
        raise BudgetRefused(
            "DPQ-204",
            f"epsilon = {nano / NANO:g} is too little to share out between bounds and answer",
            fix=f"--epsilon {least:.3g}",
        )
    return each, rest


def bounds_queries(query: Query) -> dict[Expression, Query]:
    """The query that chooses the bounds of each value; the same for whatever terms the answer is asked under."""
    requests = bounds_requests(query.logical)
    return {argument: replace(query, logical=request, terms=Terms()) for argument, request in requests.items()}


def _decided(query: Query, releases: Mapping[Expression, BoundsRelease]) -> Query:
    logical, chosen = decided(bound(query.logical, query.session.catalog), releases)
    return replace(query, logical=logical, chosen=chosen)


def _stored_bounds(first: Query, nano: int) -> BoundsRelease | None:
    """The stored release that chooses bounds, if this analyst has paid for it."""
    plan = pricing.affordable(first, nano)
    request = charging.charge_request(first, plan, charging.versions_of(first.session, first.at), None)
    stored = charging.paid_release(first.session.ledger, request)
    if stored is None:
        return None
    payload = first.session.ledger.payload_of(stored)
    return BoundsRelease(noisy_bins(*record.unpack(payload, plan)), stored.release, new=False)


def _bounds_paid(first: Query, nano: int, request_id: str | None) -> bool:
    """Whether the release that chooses bounds is there for free: by its request, or by its question."""
    known = request_id is not None and first.session.ledger.find_request(first.session.analyst, request_id) is not None
    return known or _stored_bounds(first, nano) is not None


def _check_room(query: Query, first: Sequence[Query], each: int, rest: int) -> None:
    """BudgetRefused if bounds that have yet to be chosen and the answer do not fit together: neither is charged."""
    if not first:
        return
    before = [pricing.affordable(unpaid, each).loss for unpaid in first]
    plans = pricing.calibrated(query, rest)
    if any(pricing.fits(query.session, plan, before) for plan in plans):
        return
    left = pricing.left(query.session, plans[0])
    has = "a budget does not allow it" if left is None else f"{left.binding_scope} has {left.epsilon:g} left"
    asked = (each * len(first) + rest) / NANO
    raise BudgetRefused(
        "DPQ-201", f"asked epsilon {asked:g} for bounds and answer together, and {has}", fix="ask for less epsilon"
    )
