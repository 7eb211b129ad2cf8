"""What happens inside the transaction of a charge, a repeat, a release or a failure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from dpquery.accounting import NOTHING, Cap, Loss, admits
from dpquery.errors import BudgetRefused, LedgerError, ensure
from dpquery.ledger.bodies import ChargeBody, FailBody, RefuseBody, ReleaseBody, RepeatBody, decode
from dpquery.ledger.entries import Entry, release_name
from dpquery.ledger.fold import broken_chain
from dpquery.ledger.joining import joined
from dpquery.ledger.refusals import RequestIdTaken, RequestSpent, obstacles, refusal
from dpquery.ledger.requests import Charged, ChargedPair
from dpquery.ledger.rows import (
    entry_at,
    failed_attempts,
    is_released,
    paid_pairs,
    read_balances,
    write_balances,
    write_pairs,
)
from dpquery.ledger.schema import charges, failures, releases, requests
from dpquery.ledger.scopes import with_groups

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dpquery.ledger.requests import ChargeRequest, StoredRelease
    from dpquery.ledger.scopes import Pair
    from dpquery.ledger.writing import Writing

ATTEMPTS_MAX = 2
"""A charge pays for one answer; a failed attempt may be made once more."""


def charge(writing: Writing, request: ChargeRequest) -> Charged | BudgetRefused:
    """Spend the request's loss in every scope and block, or in none. A refusal is returned, so that it is committed.

    Whoever belongs to a group by now joins it first, whatever becomes of the request.
    """
    writing = joined(writing, request.members)
    pairs = with_groups(request.charges, writing.fold.groups)
    again = _asked_before(writing, request, pairs)
    if again is not None:
        return again if isinstance(again, BudgetRefused) else _unless_spent(writing, again)
    refused = _refused(writing, request, pairs, request.loss)
    if refused is not None:
        return refused
    body = ChargeBody(
        asker=request.asker,
        purpose=request.purpose,
        question=request.question,
        unversioned=request.unversioned,
        charges=pairs,
        loss=request.loss,
        asked_epsilon=request.asked,
        request=request.request_key,
        fingerprint=request.fingerprint if request.request_id is not None else "",
        plan=request.body,
    )
    entry = writing.append("charge", body)
    question = {
        "sequence": entry.sequence,
        "question": request.question,
        "unversioned": request.unversioned,
        "asked_epsilon": request.asked,
    }
    writing.connection.execute(insert(charges), question)
    _spend(writing, entry.sequence, entry, pairs, request.loss)
    _remember(writing, request, entry.sequence, entry)
    return Charged(
        sequence=entry.sequence,
        release=release_name(entry.hash),
        charge=entry.name,
        entry=entry.name,
        at=entry.at,
        charges=tuple(ChargedPair(scope, block, new=True) for scope, block in pairs),
        loss=request.loss,
        fresh=True,
        payload=None,
    )


def adopt(writing: Writing, request: ChargeRequest, stored: StoredRelease) -> Charged | BudgetRefused:
    """Hand out a stored release: scopes and blocks that have not paid for it pay what it cost, the others nothing."""
    writing = joined(writing, request.members)
    pairs = with_groups(request.charges, writing.fold.groups)
    again = _asked_before(writing, request, pairs)
    if isinstance(again, Charged):
        return again if again.sequence == stored.sequence else RequestIdTaken()
    if again is not None:
        return again
    charged_by = _charge_entry(writing, stored.sequence)
    body = charge_body(charged_by)
    ensure(body.question == request.question, "a release is handed out for its own question only")
    payload = _payload(writing, stored.sequence)
    ensure(payload is not None, "only a stored release is handed out again")
    paid = paid_pairs(writing.connection, stored.sequence)
    owed = tuple(pair for pair in pairs if pair not in paid)
    refused = _refused(writing, request, owed, body.loss)
    if refused is not None:
        return refused
    flagged = tuple((pair, pair not in paid) for pair in pairs)
    entry = writing.append(
        "repeat",
        RepeatBody(
            charge=stored.sequence,
            asker=request.asker,
            purpose=request.purpose,
            question=request.question,
            charges=flagged,
            loss=body.loss,
            request=request.request_key,
            fingerprint=request.fingerprint if request.request_id is not None else "",
        ),
    )
    if owed:
        _spend(writing, stored.sequence, entry, owed, body.loss)
    _remember(writing, request, stored.sequence, entry)
    return Charged(
        sequence=stored.sequence,
        release=release_name(charged_by.hash),
        charge=charged_by.name,
        entry=entry.name,
        at=entry.at,
        charges=tuple(ChargedPair(scope, block, new) for (scope, block), new in flagged),
        loss=body.loss,
        fresh=False,
        payload=payload,
    )


def record(writing: Writing, charged: Charged, payload: bytes) -> bytes:
    """Store the one answer to a charge, or give the one it has. LedgerError DPQ-807 if this attempt was given up."""
    connection = writing.connection
    _check_own(writing, charged)
    stored = stored_payload(connection, charged.sequence)
    if stored is not None:
        return stored
    if failed_attempts(connection, charged.sequence) >= charged.attempt:
        raise LedgerError("DPQ-807", "this attempt was recorded as failed", fix="ask again")
    digest = hashlib.sha256(payload).hexdigest()
    entry = writing.append("release", ReleaseBody(charged.sequence, digest, len(payload)))
    row = {"charge": charged.sequence, "entry": entry.sequence, "sha256": digest, "payload": payload}
    connection.execute(insert(releases), row)
    return payload


def fail(writing: Writing, charged: Charged) -> Entry | None:
    """Note that an attempt ended without an answer; None if it was noted before, or if there is an answer."""
    connection = writing.connection
    _check_own(writing, charged)
    if is_released(connection, charged.sequence) or failed_attempts(connection, charged.sequence) >= charged.attempt:
        return None
    entry = writing.append("fail", FailBody(charged.sequence, charged.attempt))
    row = {"charge": charged.sequence, "attempt": charged.attempt, "entry": entry.sequence}
    connection.execute(insert(failures), row)
    return entry


def _asked_before(writing: Writing, request: ChargeRequest, pairs: tuple[Pair, ...]) -> Charged | BudgetRefused | None:
    """What an earlier request with the same id got; None without an id, or if it is new.

    `pairs` have all paid for it: the request's own then, and a group of the asker then or when they joined.
    """
    if request.request_id is None:
        return None
    found = select(requests).where(requests.c.request == request.request_key)
    row = writing.connection.execute(found).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        return RequestIdTaken()
    answered = entry_at(writing.connection, row.entry)
    charged_by = _charge_entry(writing, row.charge)
    body = charge_body(charged_by)
    paid = paid_pairs(writing.connection, row.charge)
    ensure(paid.issuperset(pairs), "a request that was answered is paid for")
    return Charged(
        sequence=row.charge,
        release=release_name(charged_by.hash),
        charge=charged_by.name,
        entry=answered.name,
        at=answered.at,
        charges=tuple(ChargedPair(scope, block, new=False) for scope, block in pairs),
        loss=body.loss,
        fresh=False,
        payload=_payload(writing, row.charge),
        attempt=failed_attempts(writing.connection, row.charge) + 1,
    )


def _unless_spent(writing: Writing, again: Charged) -> Charged | BudgetRefused:
    if again.payload is None and failed_attempts(writing.connection, again.sequence) >= ATTEMPTS_MAX:
        return RequestSpent()
    return again


def _refused(writing: Writing, request: ChargeRequest, pairs: tuple[Pair, ...], loss: Loss) -> BudgetRefused | None:
    """Whether some pair does not take `loss`; then only that somebody asked is written."""
    spent = {pair: writing.fold.spent_by(pair) for pair in pairs}
    found = obstacles(writing.fold.caps, spent, pairs, loss)
    if not found:
        return None
    refused = refusal(found, request.asker, loss)
    body = RefuseBody(
        code=refused.code,
        asker=request.asker,
        purpose=request.purpose,
        question=request.question,
        charges=with_groups(request.charges, writing.fold.groups),
        loss=loss,
        asked_epsilon=request.asked,
        plan=request.body,
    )
    writing.append("refuse", body)
    return refused


def _spend(writing: Writing, charge_: int, entry: Entry, pairs: tuple[Pair, ...], loss: Loss) -> None:
    """Add `loss` to every pair, and check the sums before they are committed (I1, I2, I4, I11)."""
    connection = writing.connection
    before = read_balances(connection, pairs, lock=True)
    caps: dict[Pair, Cap | None] = {}
    for pair in pairs:
        if before[pair] != writing.fold.spent_by(pair):
            broken_chain(writing.fold.sequence, f"and those before do not add up to the balance of {pair[0]}")
        caps[pair] = writing.fold.caps.cap(*pair)
    after = {pair: before[pair] + loss for pair in pairs}
    write_pairs(connection, charge_, entry.sequence, pairs)
    write_balances(connection, after, caps, writing.fold.spent.keys())
    stored = read_balances(connection, pairs)
    for pair in pairs:
        cap = caps[pair]
        ensure(stored[pair] == writing.fold.spent_by(pair) + loss, "a balance is the fold of the entries")
        ensure(cap is None or admits(cap, stored[pair], NOTHING), "spent stays within the cap")
        ensure(writing.fold.caps.is_open(*pair), "a closed scope spends nothing")


def _remember(writing: Writing, request: ChargeRequest, charge_: int, entry: Entry) -> None:
    if request.request_id is None:
        return
    row = {
        "request": request.request_key,
        "fingerprint": request.fingerprint,
        "charge": charge_,
        "entry": entry.sequence,
    }
    writing.connection.execute(insert(requests), row)


def _charge_entry(writing: Writing, sequence: int) -> Entry:
    return entry_at(writing.connection, sequence)


def _check_own(writing: Writing, charged: Charged) -> None:
    found = entry_at(writing.connection, charged.sequence)
    ensure(release_name(found.hash) == charged.release, "an answer goes to the ledger that was charged for it")


def _payload(writing: Writing, charge_: int) -> bytes | None:
    return stored_payload(writing.connection, charge_)


def charge_body(entry: Entry) -> ChargeBody:
    """What a charge says; LedgerError DPQ-802 if the entry is none."""
    body = decode(entry)
    if not isinstance(body, ChargeBody):
        broken_chain(entry.sequence, "is no charge")
    return body


def stored_payload(connection: Connection, charge_: int) -> bytes | None:
    """The release that `charge_` paid for, checked against the hash in its entry; None if there is none yet."""
    row = connection.execute(select(releases).where(releases.c.charge == charge_)).one_or_none()
    if row is None:
        return None
    body = decode(entry_at(connection, row.entry))
    payload = bytes(row.payload)
    whole = isinstance(body, ReleaseBody) and (body.charge, body.sha256) == (
        charge_,
        hashlib.sha256(payload).hexdigest(),
    )
    if not whole:
        broken_chain(row.entry, "names another release than the one that is stored")
    return payload
