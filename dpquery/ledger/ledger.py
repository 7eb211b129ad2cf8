"""The ledger itself: every budget and every charge of one dataset.

planned (no effect) -> charged (durable, final) -> released (bytes stored) or failed (the charge stays).
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from dpquery.errors import BudgetRefused, LedgerError, ensure
from dpquery.ledger import balances, finding, spending
from dpquery.ledger.bodies import CloseBody, GenesisBody, GrantBody, decode
from dpquery.ledger.canonical import canonical_text
from dpquery.ledger.database import Database
from dpquery.ledger.entries import FORMAT, is_sealed
from dpquery.ledger.fold import Fold, broken_chain, check_format
from dpquery.ledger.grants import check_decision, signed_text
from dpquery.ledger.migrations import is_current, migrate
from dpquery.ledger.postgres import PostgresDatabase, checked_url, create_tables
from dpquery.ledger.refusals import CapAboveCeiling, CapNotRaised
from dpquery.ledger.rows import append, entries_after, entries_page, entry_at, read_head
from dpquery.ledger.spending import Writing
from dpquery.ledger.sqlite import SQLiteFile, check_file, create_file
from dpquery.ledger.steward_key import public_text, read_steward_key
from dpquery.ledger.verification import Verification, verify_all

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import Connection

    from dpquery.accounting import Cap, Loss
    from dpquery.ledger.balances import Lifetime, ScopeBalance, Standing
    from dpquery.ledger.database import Backend
    from dpquery.ledger.entries import Entry, Kind
    from dpquery.ledger.grants import Caps, Grant
    from dpquery.ledger.requests import Charged, ChargeRequest, RecordedRequest, StoredRelease
    from dpquery.ledger.scopes import Pair, Scope

PAYLOAD_LENGTH_MAX = 256 * 1024 * 1024


def utc_now() -> datetime:
    """The clock that labels entries; nothing depends on it."""
    return datetime.now(UTC)


class Ledger:
    """An open ledger. Threads may share it; a forked process goes on with a connection of its own.

    Every method raises LedgerError: DPQ-801 if the ledger cannot be reached or stays locked for 30 s, DPQ-802 if chain,
    caps or balances do not hold together, DPQ-805 if its database cannot make commits durable. A method that raises has
    written nothing, except that a refused charge leaves a note of the refusal, and that nobody knows where the commit
    itself failed: then the error's `spent` is None.
    """

    def __init__(self, database: Database, genesis: GenesisBody, now: Callable[[], datetime]) -> None:
        self._database = database
        self._genesis = genesis
        self._now = now
        self._fold = Fold()

    @classmethod
    def create(
        cls,
        place: Path | str,
        *,
        dataset: str,
        steward_key: Path,
        grants: Sequence[Grant] = (),
        now: Callable[[], datetime] = utc_now,
    ) -> Ledger:
        """A new ledger, whole or not there, with `grants` signed by the key in the file `steward_key`.

        `place`: the path of a file, or `postgresql://USER@HOST/DATABASE`. LedgerError DPQ-806 if something is there,
        DPQ-803 if its folder or the key is open to others, DPQ-812 for a faulty URL.
        """
        key = read_steward_key(steward_key)
        genesis = GenesisBody(dataset, FORMAT, secrets.token_hex(16), public_text(key))

        def fill(connection: Connection) -> None:
            append(connection, "genesis", _label(now), canonical_text(genesis.to_json()))
            fold = Fold()
            for grant in grants:
                _catch_up(connection, fold)
                _decide(connection, fold, key, _label(now), grant.body())

        if isinstance(place, str):
            create_tables(checked_url(place), fill)
        else:
            create_file(place, fill)
        return cls.open(place, now=now)

    @classmethod
    def open(cls, place: Path | str, *, now: Callable[[], datetime] = utc_now) -> Ledger:
        """The ledger at `place`. LedgerError DPQ-803 if others may read its file, DPQ-804 if a newer version wrote it.

        Reads the first entry only; a charge reads what it relies on, and `verify` everything. Tables of an older
        version are brought up to this one.
        """
        database = Database(_backend(place))
        try:
            with database.reading() as connection:
                current = is_current(connection)
            if not current:
                with database.writing() as connection:
                    if not is_current(connection):
                        migrate(connection)
            with database.reading() as connection:
                first = entry_at(connection, 1)
            genesis = decode(first)
            if not is_sealed(first) or not isinstance(genesis, GenesisBody):
                broken_chain(1, "was changed")
            check_format(genesis)
        except BaseException:
            database.close()
            raise
        return cls(database, genesis, now)

    @property
    def dataset(self) -> str:
        return self._genesis.dataset

    @property
    def steward(self) -> str:
        """The steward's public key, hexadecimal."""
        return self._genesis.steward

    @property
    def identity(self) -> str:
        """The random name that this ledger has from its first entry on."""
        return self._genesis.ledger

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def charge(self, request: ChargeRequest) -> Charged:
        """Charge `request` to every scope and block it names, or to none; durable when this returns, and final.

        A request id that the asker used before gets what that request got, and pays nothing: its stored release as
        `payload`, or the right to try once more. Raises OverBudget (DPQ-201), NoBudget (DPQ-202), RequestIdTaken
        (DPQ-203) or RequestSpent (DPQ-205), all of them BudgetRefused. Neither price nor refusal depends on data.
        """
        with self._writing() as writing:
            outcome = spending.charge(writing, request)
        return _paid(outcome)

    def adopt(self, request: ChargeRequest, stored: StoredRelease) -> Charged:
        """Hand out `stored` for `request`: scopes and blocks that have not paid for it pay its price, others nothing.

        That price is `stored.loss`, which may be above the request's own. Hand out `payload` of what this returns.
        Raises what `charge` raises.
        """
        with self._writing() as writing:
            outcome = spending.adopt(writing, request, stored)
        return _paid(outcome)

    def record(self, charged: Charged, payload: bytes) -> bytes:
        """Store the release that was charged, exactly once, and give what may be handed out; durable when this returns.

        That is `payload`, or what another process with the same request id has stored first: then `payload` must not
        leave. LedgerError DPQ-807 if this attempt was noted as failed.
        """
        ensure(type(payload) is bytes and len(payload) <= PAYLOAD_LENGTH_MAX, "a stored release is bounded bytes")
        with self._writing() as writing:
            return spending.record(writing, charged, payload)

    def fail(self, charged: Charged) -> None:
        """Note that this attempt ended without an answer. The charge stays. Does nothing if there is an answer."""
        with self._writing() as writing:
            spending.fail(writing, charged)

    def find_release(
        self,
        question: str,
        epsilon_at_least: int | None = None,
        rho_at_least: int | None = None,
        *,
        charged_to: Collection[Pair] = (),
    ) -> StoredRelease | None:
        """The newest stored release that answers `question` and was asked for at the given loss (nano, pico) or more.

        With `charged_to`, one that those scopes and blocks have paid for goes before a newer one.
        """
        with self._database.reading() as connection:
            return finding.find_release(connection, question, epsilon_at_least, rho_at_least, charged_to)

    def find_for(self, request: ChargeRequest) -> StoredRelease | None:
        """The stored release that `request` should get: that of its request id, else the one it owes least for.

        None: it is to be charged. Raises RequestIdTaken (DPQ-203).
        """
        with self._database.reading() as connection:
            return finding.find_for(connection, request)

    def find_versions(self, unversioned: str) -> tuple[StoredRelease, ...]:
        """Every stored release of a question without its versions; the newest first."""
        with self._database.reading() as connection:
            return finding.find_versions(connection, unversioned)

    def find_named(self, analyst: str, release: str) -> StoredRelease | None:
        """The stored release of that name, if the analyst's own scope has paid for it."""
        with self._database.reading() as connection:
            return finding.find_named(connection, analyst, release)

    def find_request(self, asker: str, request_id: str) -> Mapping[str, Any] | None:
        """The summary of the plan that the asker's request with this id was charged for; None if the id is new."""
        with self._database.reading() as connection:
            return finding.find_request(connection, asker, request_id)

    def find_entry(self, name: str) -> RecordedRequest | None:
        """What the charge or the repeat with this hash (`sha256:...`) says; None if there is none. The steward's."""
        with self._database.reading() as connection:
            return finding.find_entry(connection, name)

    def payload_of(self, stored: StoredRelease) -> bytes:
        """The bytes of a stored release. Who has not paid for it gets them from `adopt` only."""
        with self._database.reading() as connection:
            return finding.payload_of(connection, stored)

    def standing(self, pairs: Sequence[Pair]) -> tuple[Standing, ...]:
        """Cap and spending of `pairs`, in their order; quick. Show an analyst those of their own scope only."""
        with self._database.reading() as connection:
            return balances.standings(connection, pairs)

    def spent(self, pairs: Sequence[Pair]) -> dict[Pair, tuple[Cap, Loss] | None]:
        """Cap and spending of `pairs`; None for those that no cap binds."""
        found = self.standing(pairs)
        return {(s.scope, s.block): None if s.cap is None else (s.cap, s.spent) for s in found}

    def caps(self) -> Caps:
        """Every grant and close so far: caps in force, ceilings, what is closed."""
        with self._database.reading() as connection:
            return balances.read_caps(connection)

    def balances(self) -> tuple[ScopeBalance, ...]:
        """Every scope and block that a grant names or that has spent, with counts; the steward's. Reads all entries."""
        with self._database.reading() as connection:
            return balances.scope_balances(connection)

    def lifetime(self) -> tuple[Lifetime, ...]:
        """What each scope has spent over all blocks."""
        with self._database.reading() as connection:
            return balances.lifetimes(connection)

    def entries(self) -> Iterator[Entry]:
        """Every entry in order, as of when each page of them is read."""
        after = 0
        while True:
            with self._database.reading() as connection:
                page = entries_page(connection, after)
            if not page:
                return
            yield from page
            after = page[-1].sequence

    def head(self) -> Entry:
        """The last entry."""
        with self._database.reading() as connection:
            return entry_at(connection, read_head(connection)[0])

    def verify(self) -> Verification:
        """Read everything again; LedgerError DPQ-802 at the first thing that does not hold.

        Chain, dense sequence, signatures, caps never passed, all tables and payloads equal to the fold of the entries.
        A ledger replaced by an older copy of itself passes: compare the head with one kept elsewhere.
        """
        with self._database.reading() as connection:
            return verify_all(connection)

    def grant(self, grant: Grant, *, steward_key: Path) -> Entry:
        """Set a cap from here on, signed with the key in the file `steward_key`; never above the scope's ceiling.

        Raises CapAboveCeiling (DPQ-206); LedgerError DPQ-808 if the key is not that of this ledger's steward.
        """
        return self._decide(steward_key, grant.body())

    def raise_cap(self, grant: Grant, *, steward_key: Path) -> Entry:
        """A grant that is above the cap in force in the block it names; CapNotRaised (DPQ-207) if it is not."""
        return self._decide(steward_key, grant.body(), raises=True)

    def close_scope(self, scope: Scope, block: str, *, reason: str, actor: str, steward_key: Path) -> Entry:
        """Stop spending by `scope` in `block` (`*`: each), signed. A later grant opens it again."""
        check_decision(block, reason, actor)
        return self._decide(steward_key, CloseBody(scope, block, reason, actor))

    def _decide(self, steward_key: Path, body: GrantBody | CloseBody, *, raises: bool = False) -> Entry:
        key = read_steward_key(steward_key)
        if public_text(key) != self.steward:
            raise LedgerError(
                "DPQ-808", f"{steward_key} is not the key of this ledger's steward", fix="use the key that init made"
            )
        with self._writing() as writing:
            if raises and isinstance(body, GrantBody):
                in_force = writing.fold.caps.cap(body.scope, body.block)
                if in_force is None or not body.cap.is_above(in_force):
                    raise CapNotRaised(body.scope, body.block, in_force)
            return _decide(writing.connection, writing.fold, key, writing.at, body)

    @contextmanager
    def _writing(self) -> Iterator[Writing]:
        at = _label(self._now)
        with self._database.writing() as connection:
            _catch_up(connection, self._fold)
            yield Writing(connection, self._fold, at)


def _backend(place: Path | str) -> Backend:
    """What opens the ledger at `place`; LedgerError where a file is missing, or open to others."""
    if isinstance(place, str):
        return PostgresDatabase(checked_url(place))
    check_file(place)
    return SQLiteFile(place)


def _paid(outcome: Charged | BudgetRefused) -> Charged:
    """Raise a refusal now that it is committed."""
    if isinstance(outcome, BudgetRefused):
        raise outcome
    return outcome


def _catch_up(connection: Connection, fold: Fold) -> None:
    """Take in entries that came since the last time, checking each; those of other processes too."""
    for entry in entries_after(connection, fold.sequence):
        fold.apply(entry)
    if (fold.sequence, fold.hash) != read_head(connection):
        broken_chain(fold.sequence + 1, "is missing, or the ledger was replaced while in use")


def _decide(connection: Connection, fold: Fold, key: Ed25519PrivateKey, at: str, body: GrantBody | CloseBody) -> Entry:
    """Append a signed decision; `fold` is up to date."""
    kind: Kind = "close"
    if isinstance(body, GrantBody):
        kind = "grant"
        ceiling = fold.caps.ceiling(body.scope, body.block)
        if ceiling is not None and not body.cap.is_within(ceiling):
            raise CapAboveCeiling(body.scope, body.block, ceiling)
    return append(
        connection, kind, at, lambda sequence, previous: signed_text(key, sequence, at, body, previous=previous)
    )


def _label(now: Callable[[], datetime]) -> str:
    """The clock as UTC text, to the second."""
    return now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
