"""Stored releases that answer a question again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from dpquery.errors import broken, ensure
from dpquery.ledger.bodies import ChargeBody, RepeatBody, decode
from dpquery.ledger.entries import release_name
from dpquery.ledger.joining import known_groups, merged
from dpquery.ledger.refusals import RequestIdTaken
from dpquery.ledger.requests import Charged, ChargedPair, RecordedRequest, StoredRelease, request_key
from dpquery.ledger.rows import charge_losses, entry_at, is_released, paid_pairs
from dpquery.ledger.schema import charges, entries, releases, requests
from dpquery.ledger.scopes import Scope, with_groups
from dpquery.ledger.spending import charge_body, stored_payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from dpquery.ledger.requests import ChargeRequest

CANDIDATES_MAX = 100
"""How many stored answers to one question are weighed against each other: the newest."""


def find_for(connection: Connection, request: ChargeRequest) -> StoredRelease | None:
    """The release that `request` should get without a new one being made; None if it has to be charged.

    Of several, one for which fewest scopes and blocks have still to pay, the newest: who has paid never pays for a
    newer one. One that the asker's own scope has not paid for may cost no more than the request itself.
    """
    if request.request_id is not None:
        row = connection.execute(select(requests).where(requests.c.request == request.request_key)).one_or_none()
        if row is not None:
            if row.fingerprint != request.fingerprint:
                raise RequestIdTaken
            return _stored(connection, row.charge) if is_released(connection, row.charge) else None
    candidates = _answering(connection, request)
    paid = {charge: paid_pairs(connection, charge) for charge in candidates}
    unseen = [charge for charge in candidates if not paid[charge].issuperset(request.own)]
    dear = {c for c, loss in charge_losses(connection, unseen).items() if not loss.is_within(request.loss)}
    candidates = [charge for charge in candidates if charge not in dear]
    payers = frozenset(with_groups(request.charges, merged(known_groups(connection), request.members)))
    found = min(candidates, key=lambda charge: len(payers - paid[charge]), default=None)
    return None if found is None else _stored(connection, found)


def _answering(connection: Connection, request: ChargeRequest) -> list[int]:
    """Charges of the newest releases that answer the question, and were asked for with the same epsilon or more."""
    if request.asked is None:
        return []
    found = (
        select(charges.c.sequence)
        .join(releases, releases.c.charge == charges.c.sequence)
        .where(charges.c.question == request.question, charges.c.asked_epsilon >= request.asked)
        .order_by(charges.c.sequence.desc())
        .limit(CANDIDATES_MAX)
    )
    return list(connection.execute(found).scalars())


def find_versions(connection: Connection, unversioned: str) -> tuple[StoredRelease, ...]:
    """Every stored release of a question, whatever versions it was asked of; the newest first."""
    ensure(unversioned != "", "older answers are found by a question")
    found = (
        select(charges.c.sequence)
        .join(releases, releases.c.charge == charges.c.sequence)
        .where(charges.c.unversioned == unversioned)
        .order_by(charges.c.sequence.desc())
    )
    return tuple(_stored(connection, sequence) for sequence in connection.execute(found).scalars().all())


def find_named(connection: Connection, analyst: str, release: str) -> StoredRelease | None:
    """The stored release of that name, if the analyst's own scope has paid for it."""
    digits = release.removeprefix("r-")
    found = (
        select(releases.c.charge)
        .join(entries, entries.c.sequence == releases.c.charge)
        .where(entries.c.hash.startswith(digits, autoescape=True))
    )
    own = Scope("analyst", analyst)
    for charge in connection.execute(found).scalars().all():
        stored = _stored(connection, charge)
        if stored.release == release and any(scope == own for scope, _ in stored.charged):
            return stored
    return None


def find_request(connection: Connection, asker: str, request_id: str) -> Mapping[str, Any] | None:
    """The summary of the plan that an earlier request with this id was charged for; None if the id is new."""
    found = select(requests.c.charge).where(requests.c.request == request_key(asker, request_id))
    charge = connection.execute(found).scalar_one_or_none()
    return None if charge is None else charge_body(entry_at(connection, charge)).plan


def find_entry(connection: Connection, name: str) -> RecordedRequest | None:
    """What the charge or the repeat with this hash (`sha256:...`) says; None if there is none."""
    found = select(entries.c.sequence).where(entries.c.hash == name.removeprefix("sha256:"))
    sequence = connection.execute(found).scalar_one_or_none()
    if sequence is None:
        return None
    entry = entry_at(connection, sequence)
    own = decode(entry)
    if not isinstance(own, ChargeBody | RepeatBody):
        return None
    charge = entry.sequence if isinstance(own, ChargeBody) else own.charge
    charged_by = entry_at(connection, charge)
    body = charge_body(charged_by)
    pairs = tuple((pair, True) for pair in own.charges) if isinstance(own, ChargeBody) else own.charges
    return RecordedRequest(
        asker=own.asker,
        purpose=own.purpose,
        question=own.question,
        asked_epsilon=body.asked_epsilon,
        plan=body.plan,
        charged=Charged(
            sequence=charge,
            release=release_name(charged_by.hash),
            charge=charged_by.name,
            entry=entry.name,
            at=entry.at,
            charges=tuple(ChargedPair(scope, block, new) for (scope, block), new in pairs),
            loss=body.loss,
            fresh=False,
            payload=stored_payload(connection, charge),
        ),
    )


def payload_of(connection: Connection, stored: StoredRelease) -> bytes:
    """The bytes of a stored release."""
    payload = stored_payload(connection, stored.sequence)
    if payload is None:
        broken("a stored release has its bytes")
    return payload


def _stored(connection: Connection, charge: int) -> StoredRelease:
    entry = entry_at(connection, charge)
    body = charge_body(entry)
    return StoredRelease(
        sequence=charge,
        release=release_name(entry.hash),
        entry=entry.name,
        at=entry.at,
        question=body.question,
        asked_epsilon=body.asked_epsilon,
        loss=body.loss,
        charged=paid_pairs(connection, charge),
        plan=body.plan,
    )
