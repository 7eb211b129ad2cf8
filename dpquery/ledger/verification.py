"""The whole ledger read again from its first entry: chain, signatures, caps, and every table against the fold."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Never, assert_never

from sqlalchemy import Table, select

from dpquery.errors import DpqueryError, LedgerError
from dpquery.ledger.bodies import (
    AdoptBody,
    Body,
    ChargeBody,
    CloseBody,
    FailBody,
    GenesisBody,
    GrantBody,
    JoinBody,
    RefuseBody,
    ReleaseBody,
    RepeatBody,
)
from dpquery.ledger.canonical import canonical_text
from dpquery.ledger.checkpoints import covered_by
from dpquery.ledger.fold import Fold, broken_chain
from dpquery.ledger.joining import lost_to, seen_of
from dpquery.ledger.rows import entries_after, read_head
from dpquery.ledger.schema import balances, charged_pairs, charges, failures, members, releases, requests
from dpquery.ledger.scopes import Scope
from dpquery.ledger.structure import check_structure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from dpquery.accounting import Cap, Loss
    from dpquery.ledger.bodies import Seen
    from dpquery.ledger.checkpoints import Checkpoint
    from dpquery.ledger.entries import Entry
    from dpquery.ledger.grants import Caps
    from dpquery.ledger.scopes import Pair


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found whole. A ledger that was replaced by an older copy of itself is whole: take checkpoints."""

    dataset: str
    ledger: str
    """Its random name, from its first entry."""
    steward: str
    """Public key that signed every grant and close, hexadecimal."""
    entries: int
    head: str
    """`sha256:` and the hash of the last entry."""
    at: str
    """Label of the last entry."""
    decisions: int
    """Grants and closes, all signed."""
    adoptions: int
    """Checkpoints that were adopted after a restore, all signed."""
    charges: int
    releases: int
    verified: bool = True
    """Always: what does not verify raises."""


@dataclass(slots=True)
class _Tables:
    """Rows that the tables beside `entries` must hold, by key."""

    charges: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    charged_pairs: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    requests: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    releases: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    failures: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    members: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    losses: dict[int, Loss] = field(default_factory=dict)
    paid_by: dict[str, set[tuple[int, str]]] = field(default_factory=dict)
    """Charges and blocks that each scope has paid for."""
    lost: dict[str, tuple[Seen, ...]] = field(default_factory=dict)
    """By analyst: what adoptions say that they saw."""
    admitted: dict[Pair, Cap | None] = field(default_factory=dict)
    """The cap that the last to spend was admitted under; None for what no cap stops."""

    def apply(self, entry: Entry, body: Body, caps: Caps) -> None:
        """Take in the next entry, made under `caps`; LedgerError DPQ-802 if it does not follow from those before."""
        match body:
            case ChargeBody():
                self.charges[entry.sequence] = (body.question, body.unversioned, body.asked_epsilon)
                self.losses[entry.sequence] = body.loss
                self.admitted |= {pair: caps.cap(*pair) for pair in body.charges}
                self._pay(entry, entry.sequence, body.charges)
                self._request(entry, entry.sequence, body)
            case RepeatBody():
                if body.charge not in self.releases or self.charges[body.charge][0] != body.question:
                    broken_chain(entry.sequence, "repeats a release that does not answer its question")
                if body.loss != self.losses[body.charge]:
                    broken_chain(entry.sequence, "repeats a release at another price")
                for pair, new in body.charges:
                    if not new and (body.charge, str(pair[0]), pair[1]) not in self.charged_pairs:
                        broken_chain(entry.sequence, f"does not charge {pair[0]}, which had not paid")
                self.admitted |= {pair: caps.cap(*pair) for pair, new in body.charges if new}
                self._pay(entry, body.charge, tuple(pair for pair, new in body.charges if new))
                self._request(entry, body.charge, body)
            case ReleaseBody():
                if body.charge not in self.charges or body.charge in self.releases:
                    broken_chain(entry.sequence, "stores a release that is not its charge's only one")
                self.releases[body.charge] = (entry.sequence, body.sha256)
            case FailBody():
                if body.charge not in self.charges or (body.charge, body.attempt) in self.failures:
                    broken_chain(entry.sequence, "fails what was not tried")
                self.failures[body.charge, body.attempt] = (entry.sequence,)
            case JoinBody():
                self.admitted |= dict.fromkeys(pair for pair, _ in body.spent())
                self._join(entry, body)
            case AdoptBody():
                self.admitted |= dict.fromkeys(pair for pair, _ in body.gap)
                for analyst, seen in lost_to(entry.sequence, body).items():
                    self.lost[analyst] = (*self.lost.get(analyst, ()), *seen)
            case GenesisBody() | GrantBody() | CloseBody() | RefuseBody():
                pass
            case _:
                assert_never(body)

    def balances(self, spent: Mapping[Pair, Loss]) -> dict[Any, tuple[Any, ...]]:
        """Rows of balances that add up to `spent`."""
        return {
            (str(scope), block): (loss.epsilon, loss.rho, loss.delta, *_amounts(self.admitted[scope, block]))
            for (scope, block), loss in spent.items()
        }

    def _join(self, entry: Entry, body: JoinBody) -> None:
        """The group takes over exactly what the analyst had seen and the group had not paid for."""
        group = Scope("group", body.group)
        theirs = self.paid_by.get(str(Scope("analyst", body.analyst)), set())
        unpaid = theirs - self.paid_by.get(str(group), set())
        if body.seen != seen_of(unpaid, self.losses) or body.lost != self.lost.get(body.analyst, ()):
            broken_chain(entry.sequence, f"does not charge {group} what its new member has seen")
        self.members[body.group, body.analyst] = (entry.sequence,)
        for seen in body.seen:
            self._pay(entry, seen.entry, tuple((group, block) for block in seen.blocks))

    def _pay(self, entry: Entry, charge: int, pairs: tuple[Pair, ...]) -> None:
        for scope, block in pairs:
            key = (charge, str(scope), block)
            if key in self.charged_pairs:
                broken_chain(entry.sequence, f"charges {scope} twice for one release")
            self.charged_pairs[key] = (entry.sequence,)
            self.paid_by.setdefault(str(scope), set()).add((charge, block))

    def _request(self, entry: Entry, charge: int, body: ChargeBody | RepeatBody) -> None:
        if not body.request:
            return
        if body.request in self.requests:
            broken_chain(entry.sequence, "uses a request id again")
        self.requests[body.request] = (body.fingerprint, charge, entry.sequence)


def _amounts(cap: Cap | None) -> tuple[int | None, int | None, int | None]:
    return (None, None, None) if cap is None else (cap.epsilon, cap.rho, cap.delta_selection)


def verify_all(connection: Connection, checkpoint: Checkpoint | None = None) -> tuple[Verification, Fold]:
    """Read everything; LedgerError DPQ-802 at the first thing that does not hold together.

    With `checkpoint`: DPQ-809 or DPQ-810 if the whole ledger does not cover it.
    """
    try:
        return _verify(connection, checkpoint)
    except LedgerError:
        raise
    except (DpqueryError, LookupError, TypeError, ValueError) as error:
        raise LedgerError(
            "DPQ-802", "the ledger holds what dpquery never writes", fix="restore the ledger from a copy that verifies"
        ) from error


def _verify(connection: Connection, checkpoint: Checkpoint | None) -> tuple[Verification, Fold]:
    fold, tables = Fold(), _Tables()
    decided, at = 0, ""
    for entry in entries_after(connection, 0):
        if canonical_text(json.loads(entry.body)) != entry.body:
            broken_chain(entry.sequence, "is not in canonical form")
        body = fold.apply(entry)
        tables.apply(entry, body, fold.caps)
        decided += isinstance(body, GrantBody | CloseBody)
        at = entry.at
    if (fold.sequence, fold.hash) != read_head(connection):
        broken_chain(fold.sequence + 1, "is missing: the head names another last entry")
    if fold.genesis is None:
        broken_chain(1, "is missing")
    _compare(connection, balances, 2, tables.balances(fold.spent))
    _compare(connection, charges, 1, tables.charges)
    _compare(connection, charged_pairs, 3, tables.charged_pairs)
    _compare(connection, requests, 1, tables.requests)
    _compare(connection, failures, 2, tables.failures)
    _compare(connection, members, 2, tables.members)
    _check_payloads(connection, tables.releases)
    check_structure(connection)
    if checkpoint is not None:
        covered_by(connection, fold.genesis, checkpoint)
    found = Verification(
        dataset=fold.genesis.dataset,
        ledger=fold.genesis.ledger,
        steward=fold.genesis.steward,
        entries=fold.sequence,
        head=f"sha256:{fold.hash}",
        at=at,
        decisions=decided,
        adoptions=len(fold.adopted),
        charges=len(tables.charges),
        releases=len(tables.releases),
    )
    return found, fold


def _compare(connection: Connection, table: Table, key_columns: int, wanted: dict[Any, tuple[Any, ...]]) -> None:
    """The rows of `table`, whose first columns are its key, against those that the entries call for."""
    seen = 0
    for row in connection.execute(select(table)):
        key = row[0] if key_columns == 1 else tuple(row[:key_columns])
        if wanted.get(key) != tuple(row[key_columns:]):
            _differs(table.name)
        seen += 1
    if seen != len(wanted):
        _differs(table.name)


def _check_payloads(connection: Connection, wanted: dict[Any, tuple[Any, ...]]) -> None:
    keys = connection.execute(select(releases.c.charge)).scalars().all()
    if set(keys) != set(wanted):
        _differs("releases")
    for charge in keys:  # one payload in memory at a time
        row = connection.execute(select(releases).where(releases.c.charge == charge)).one()
        if (row.entry, row.sha256) != wanted[charge] or hashlib.sha256(row.payload).hexdigest() != row.sha256:
            _differs("releases")


def _differs(table: str) -> Never:
    raise LedgerError(
        "DPQ-802",
        f"the table {table} of the ledger is not what its entries add up to",
        fix="restore the ledger from a copy that verifies",
    )
