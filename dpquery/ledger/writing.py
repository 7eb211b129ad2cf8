"""One write transaction of the ledger under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dpquery.ledger.canonical import canonical_text
from dpquery.ledger.grants import kind_of, signed_text
from dpquery.ledger.rows import append

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import Connection

    from dpquery.ledger.bodies import ChargeBody, FailBody, JoinBody, RefuseBody, ReleaseBody, RepeatBody
    from dpquery.ledger.entries import Entry, Kind
    from dpquery.ledger.fold import Fold
    from dpquery.ledger.grants import Decision


@dataclass(frozen=True, slots=True)
class Writing:
    """The one write transaction under way: no other process can change anything until it ends."""

    connection: Connection
    fold: Fold
    """Up to date with every committed entry, and with the joins of this transaction."""
    at: str
    written: list[Entry] = field(default_factory=list, repr=False)
    """What this transaction has appended."""

    def append(
        self, kind: Kind, body: ChargeBody | RepeatBody | RefuseBody | ReleaseBody | FailBody | JoinBody
    ) -> Entry:
        """Add an entry after the last."""
        return self._noted(append(self.connection, kind, self.at, canonical_text(body.to_json())))

    def append_signed(self, key: Ed25519PrivateKey, body: Decision) -> Entry:
        """Add an entry that the steward signs for this place."""

        def text(sequence: int, previous: str) -> str:
            return signed_text(key, sequence, self.at, body, previous=previous)

        return self._noted(append(self.connection, kind_of(body), self.at, text))

    def _noted(self, entry: Entry) -> Entry:
        self.written.append(entry)
        return entry
