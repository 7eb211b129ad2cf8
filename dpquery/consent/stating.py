"""What one person says about one purpose: checked, and put into the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from dpquery.consent.records import EVERY_PURPOSE, EXPIRED, GIVEN, LIFTED, PERSON, SCHEMA, STATUSES
from dpquery.consent.registry import append
from dpquery.errors import DataError, UsageError
from dpquery.numbers.canonical import canonicalise
from dpquery.numbers.number import Unparsed
from dpquery.numbers.scheme import scheme_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dpquery.consent.registry import Registry
    from dpquery.policy import Policy
    from dpquery.store import Store


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody said. `UsageError` where it is none that a registry takes."""

    purpose: str
    """A purpose of the policy, or "*": every one, which may only be refused."""
    status: str
    effective_at: datetime
    expires_at: datetime | None = None
    basis: str | None = None
    notice_version: str | None = None
    source: str = PERSON
    method: str | None = None

    def check(self, policy: Policy) -> None:
        """UsageError for a purpose that the policy does not ask about, or a consent to several at once."""
        if self.status not in STATUSES:
            raise UsageError(
                "DPQ-002", f"there is no status {self.status[:20]!r}", fix="one of: " + ", ".join(STATUSES)
            )
        asked = [name for name, purpose in policy.purposes.items() if not purpose.is_duty]
        if self.purpose == EVERY_PURPOSE:
            if self.status == GIVEN:
                raise UsageError(
                    "DPQ-002",
                    "a consent names its one purpose: a yes to everything at once is nobody's informed choice",
                    fix="name one of: " + ", ".join(asked),
                )
        elif self.purpose not in asked:
            why = "is a duty, for which nobody is asked" if self.purpose in policy.purposes else "is not in the policy"
            raise UsageError(
                "DPQ-002", f"the purpose {self.purpose[:64]!r} {why}", fix="name one of: " + ", ".join(asked)
            )
        if self.expires_at is not None and self.expires_at <= self.effective_at:
            raise UsageError("DPQ-002", "it would expire before it takes effect", fix="a later day of expiry")
        if self.status in {EXPIRED, LIFTED} and self.expires_at is not None:
            raise UsageError("DPQ-002", f"what is {self.status} does not expire", fix="no day of expiry")

    def row(self, pseudonym: bytes, recorded_at: datetime) -> dict[str, object]:
        """One row of `records.SCHEMA`."""
        return {
            "pseudonym": pseudonym,
            "purpose": self.purpose,
            "status": self.status,
            "basis": self.basis,
            "notice_version": self.notice_version,
            "source": self.source,
            "method": self.method,
            "effective_at": self.effective_at,
            "expires_at": self.expires_at,
            "recorded_at": recorded_at,
        }


def pseudonym_of(store: Store, spelling: str, region: str | None) -> bytes:
    """The pseudonym of a number in any spelling. DataError DPQ-517, which never quotes it, if it is none."""
    home = region or store.policy.numbers.default_region
    number = canonicalise(spelling, home, scheme_of(store.policy))
    if isinstance(number, Unparsed) or number.kind == "withheld":
        reason = "withheld" if not isinstance(number, Unparsed) else number.reason
        raise DataError("DPQ-517", f"that is no number ({reason})", fix="write it with + and country code")
    return store.pseudonym(number.canonical)


def state(store: Store, pseudonyms: Sequence[bytes], said: Statement, *, now: datetime) -> Registry:
    """Put into the registry that these numbers said so; effective for answers that are computed from then on."""
    said.check(store.policy)
    rows = [said.row(each, now) for each in pseudonyms]
    return append(store.folder, pa.Table.from_pylist(rows, schema=SCHEMA).to_batches())
