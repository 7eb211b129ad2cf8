"""Signed receipts of what the registry holds about one number, and their check."""

from __future__ import annotations

import hmac
import json
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from dpquery.consent.looking_up import Owner, said_by, standings
from dpquery.consent.records import EXPIRED, GIVEN, LIFTED, REFUSED, WITHDRAWN
from dpquery.consent.registry import read_records
from dpquery.documents import (
    ConsentEvent,
    ConsentParty,
    ConsentPrincipal,
    ConsentProcessing,
    ConsentReceiptDocument,
    ConsentVerificationDocument,
)
from dpquery.errors import DataError, InternalError, UsageError
from dpquery.ledger.canonical import canonical_text
from dpquery.ledger.steward_key import is_signed, public_text, read_steward_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from dpquery.consent.looking_up import PurposeStanding
    from dpquery.store import Store

RECEIPT_BYTES_MAX: Final = 4_000_000

TERMS: Final = {
    GIVEN: "dpv:ConsentGiven",
    REFUSED: "dpv:ConsentRefused",
    WITHDRAWN: "dpv:ConsentWithdrawn",
    EXPIRED: "dpv:ConsentExpired",
    LIFTED: "dpv:ConsentUnknown",
}
UNKNOWN: Final = "dpv:ConsentUnknown"
BASES: Final = {
    "consent": "dpv:Consent",
    "contract": "dpv:Contract",
    "legal_obligation": "dpv:LegalObligation",
    "legitimate_interest": "dpv:LegitimateInterest",
}
CANNOT_BE_UNDONE: Final = (
    "A refusal bears on every answer that is computed after it. Answers that were released before cannot be recalled, "
    "and one that is stored may be handed out as it is until the version of consents has ticked. What was released "
    "holds no number and no row: it is noisy, so that it hardly differs from what it would be without you."
)


def receipt_key(store: Store) -> bytes:
    """The key of the names that receipts and exports give to numbers: they lead to no row."""
    return store.secret().key("consent-receipt")


def principal_of(key: bytes, pseudonym: bytes) -> str:
    """The name of a number in receipts and exports."""
    return hmac.digest(key, pseudonym, "sha256").hex()[:32]


def issue(store: Store, owner: Owner, steward_key: Path, now: datetime) -> ConsentReceiptDocument:
    """A receipt of what the registry holds about a number, signed. LedgerError DPQ-801, DPQ-803 about the key."""
    key = read_steward_key(steward_key)
    records = said_by(store, owner.pseudonym)
    principal = principal_of(receipt_key(store), owner.pseudonym)
    report = store.policy.report
    unsigned = ConsentReceiptDocument(
        receipt_id="cr-"
        + hmac.digest(receipt_key(store), f"{principal} {now.isoformat()}".encode(), "sha256").hex()[:24],
        issued_at=_text(now),
        dataset=store.policy.dataset,
        policy_version=store.policy.version,
        principal=ConsentPrincipal(pii_principal_id=principal, number_ending=owner.ending),
        parties=(ConsentParty(name=report.curator or "", contact=report.contact or ""),),
        processing=tuple(_processing(store, owner, each) for each in standings(store, owner, records, now)),
        events=tuple(_event(row) for row in records.to_pylist()),
        cannot_be_undone=CANNOT_BE_UNDONE,
        steward=public_text(key),
        signature="",
    )
    return unsigned.model_copy(update={"signature": key.sign(_message(_plain(unsigned))).hex()})


def check(file: Path) -> ConsentReceiptDocument:
    """The receipt in `file`, if it is signed by the key that it names. UsageError if it is none, DPQ-519 if it lies."""
    fix = "name a file that `dpquery consent receipt` wrote"
    try:
        with file.open("rb") as opened:
            raw = json.loads(opened.read(RECEIPT_BYTES_MAX), object_pairs_hook=_once)
        found = ConsentReceiptDocument.model_validate(raw)
    except OSError as error:
        raise UsageError("DPQ-002", f"{file} cannot be read ({error.strerror})", fix=fix) from None
    except (ValueError, RecursionError):
        raise UsageError("DPQ-002", f"{file} holds no receipt", fix=fix) from None
    # As it stands in the file, so that what our model would fill in is not taken for signed.
    try:
        signed = is_signed(found.steward, found.signature, _message(raw))
    except InternalError:  # values of kinds that no receipt has
        signed = False
    if not signed:
        raise _differs("it was altered, or its signature is not by the key that it names")
    return found


def check_against(
    receipt: ConsentReceiptDocument, store: Store, steward: str, now: datetime
) -> ConsentVerificationDocument:
    """Whether this store's steward (public key) signed it, and its registry holds what it tells. DPQ-519 if not."""
    if receipt.steward != steward or receipt.dataset != store.policy.dataset:
        raise _differs("another store's steward signed it")
    records = _of_principal(store, receipt.principal.pii_principal_id)
    held = {_event(row).model_dump_json() for row in records.to_pylist()}
    if not {event.model_dump_json() for event in receipt.events} <= held:
        raise _differs("it tells of statements that the registry does not hold; they may have been erased or purged")
    return verification(receipt, this_store=True, changed=_changed(receipt, store, records, now))


def verification(
    receipt: ConsentReceiptDocument, *, this_store: bool | None = None, changed: tuple[str, ...] | None = None
) -> ConsentVerificationDocument:
    """What a check found."""
    return ConsentVerificationDocument(
        receipt_id=receipt.receipt_id,
        issued_at=receipt.issued_at,
        steward=receipt.steward,
        this_store=this_store,
        changed_since=changed,
    )


def _changed(receipt: ConsentReceiptDocument, store: Store, records: pa.Table, now: datetime) -> tuple[str, ...]:
    """Purposes for which something else stands by now than the receipt says."""
    if not records.num_rows:
        return ()
    country = receipt.processing[0].jurisdiction if receipt.processing else ""
    owner = Owner(records["pseudonym"][0].as_py(), "", country, public=False, erased=False)
    stood = {each.purpose: (each.stands, each.since, each.source) for each in receipt.processing}
    stands = {each.purpose: _stands(each) for each in standings(store, owner, records, now)}
    return tuple(name for name, said in stood.items() if stands.get(name, said) != said)


def _of_principal(store: Store, principal: str) -> pa.Table:
    records = read_records(store.folder)
    key = receipt_key(store)
    known = pc.unique(records["pseudonym"])
    found = [each for each in known.to_pylist() if principal_of(key, each) == principal]
    return records.filter(pc.is_in(records["pseudonym"], value_set=pa.array(found, known.type)))


def _stands(found: PurposeStanding) -> tuple[str, str, str]:
    row = found.statement or {}
    return row.get("status", "none"), _text(row.get("effective_at")), row.get("source", "")


def _processing(store: Store, owner: Owner, found: PurposeStanding) -> ConsentProcessing:
    purpose, row = store.policy.purposes[found.purpose], found.statement or {}
    status, since, source = _stands(found)
    basis = row.get("basis") or ("legal_obligation" if purpose.is_duty else "")
    contact = store.policy.report.contact
    return ConsentProcessing(
        purpose=found.purpose,
        text=purpose.text,
        regime=purpose.regime,
        lawful_basis=BASES.get(basis, basis),
        consent_status=TERMS.get(status, UNKNOWN),
        stands=status,
        since=since,
        source=source,
        notice=row.get("notice_version") or purpose.notice,
        jurisdiction=owner.country,
        rules=found.rules,
        counts="yes" if found.counts else "no",
        why=found.why,
        withdrawal="not asked for a duty"
        if purpose.is_duty
        else "at any time, in any way in which consent is given" + (f": {contact}" if contact else ""),
    )


def _event(row: Mapping[str, Any]) -> ConsentEvent:
    return ConsentEvent(
        type=TERMS[row["status"]],
        purpose=row["purpose"],
        status=row["status"],
        at=_text(row["effective_at"]),
        expires_at=_text(row["expires_at"]),
        recorded_at=_text(row["recorded_at"]),
        source=row["source"],
        method=row["method"] or "",
        notice=row["notice_version"] or "",
        basis=row["basis"] or "",
    )


def _text(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _plain(receipt: ConsentReceiptDocument) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(receipt.model_dump_json(by_alias=True))
    return plain


def _message(receipt: Mapping[str, Any]) -> bytes:
    """What is signed: all but the signature, as canonical JSON."""
    return canonical_text({name: value for name, value in receipt.items() if name != "signature"}).encode()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """No name twice: readers differ in which of the two they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _differs(why: str) -> DataError:
    return DataError("DPQ-519", f"the receipt does not verify: {why}", fix="ask the steward for a new receipt")
