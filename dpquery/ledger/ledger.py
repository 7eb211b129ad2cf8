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
from dpquery.ledger.adopting import adopt_checkpoint
from dpquery.ledger.bodies import CloseBody, GenesisBody, GrantBody, decode
from dpquery.ledger.canonical import canonical_text
from dpquery.ledger.checkpoints import (
    Checkpoint,
    all_adopted,
    check_signed,
    covered_by,
    not_covered_yet,
    read_checkpoint,
    trail_places,
    write_checkpoint,
)
from dpquery.ledger.contents import every_value
from dpquery.ledger.database import Database
from dpquery.ledger.entries import BEFORE_GENESIS, FORMAT, TRAIL_DIGITS, is_sealed
from dpquery.ledger.fold import Fold, broken_chain, check_format
from dpquery.ledger.grants import check_decision, check_motive
from dpquery.ledger.migrations import is_current, migrate
from dpquery.ledger.postgres import PostgresDatabase, checked_url, create_tables
from dpquery.ledger.refusals import CapAboveCeiling, CapNotRaised
from dpquery.ledger.rows import append, entries_after, entries_page, entry_at, hashes_at, read_head
from dpquery.ledger.scopes import pair_key
from dpquery.ledger.sqlite import SQLiteFile, check_file, create_file
from dpquery.ledger.steward_key import public_text, read_steward_key
from dpquery.ledger.verification import Verification, verify_all
from dpquery.ledger.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import Connection

    from dpquery.ledger.adopting import Adoption
    from dpquery.ledger.balances import Lifetime, ScopeBalance, Standing
    from dpquery.ledger.checkpoints import Cover
    from dpquery.ledger.contents import StoredValue
    from dpquery.ledger.database import Backend
    from dpquery.ledger.entries import Entry
    from dpquery.ledger.grants import Caps, Grant
    from dpquery.ledger.requests import Charged, ChargeRequest, RecordedRequest, StoredRelease
    from dpquery.ledger.scopes import Member, Pair, Scope

PAYLOAD_LENGTH_MAX = 256 * 1024 * 1024


def utc_now() -> datetime:
    """The clock that labels entries; nothing depends on it."""
    return datetime.now(UTC)


class Ledger:
    """An open ledger. Threads may share it; a forked process goes on with a connection of its own.

    Every method raises LedgerError: DPQ-801 if the ledger cannot be reached or stays locked for 30 s, DPQ-802 if chain,
    caps or balances do not hold together, DPQ-805 if its database cannot make commits durable. A method that raises has
    written nothing, except that a refused charge leaves a note of the refusal, and of who has joined a group, and that
    nobody knows where the commit itself failed: then the error's `spent` is None.

    Whatever this process has read or written in the ledger stays part of it, and so does the checkpoint that it was
    opened with: a write to a ledger that lacks either is refused (DPQ-802, DPQ-809).
    """

    def __init__(
        self, database: Database, genesis: GenesisBody, now: Callable[[], datetime], checkpoint: Checkpoint | None
    ) -> None:
        self._database = database
        self._genesis = genesis
        self._now = now
        self._checkpoint = checkpoint
        self._fold: Fold | None = None
        """What this process has read. None: nothing, or an interrupt came while it was read on."""
        self._known = (0, BEFORE_GENESIS)
        """Place and hash of the last entry that this process has read or written, whatever became of the fold."""

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
        genesis = GenesisBody(dataset, FORMAT, secrets.token_hex(16), public_text(key), grants=len(grants))

        def fill(connection: Connection) -> None:
            append(connection, "genesis", _label(now), canonical_text(genesis.to_json()))
            fold = Fold()
            for grant in grants:
                _read_on(connection, fold)
                _decide(Writing(connection, fold, _label(now)), key, grant.body())

        if isinstance(place, str):
            create_tables(checked_url(place), fill)
        else:
            create_file(place, fill)
        return cls.open(place, now=now)

    @classmethod
    def open(
        cls, place: Path | str, *, checkpoint: Checkpoint | None = None, now: Callable[[], datetime] = utc_now
    ) -> Ledger:
        """The ledger at `place`. LedgerError DPQ-803 if others may read its file, DPQ-804 if a newer version wrote it.

        With `checkpoint`: DPQ-809 if the ledger does not account for it, DPQ-810 if its steward did not sign it. Reads
        the first entry only, and that of the checkpoint; a charge reads what it relies on, and `verify` everything.
        Tables of an older version are brought up to this one.
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
            if checkpoint is not None:
                with database.reading() as connection:
                    covered_by(connection, genesis, checkpoint)
        except BaseException:
            database.close()
            raise
        return cls(database, genesis, now, checkpoint)

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

    def find_for(self, request: ChargeRequest) -> StoredRelease | None:
        """The stored release that `request` should get: that of its request id, else the one it owes least for.

        Of those that the asker has not paid for, none that costs more than the request. None: it is to be charged.
        Raises RequestIdTaken (DPQ-203).
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

    def paying(self, pairs: Sequence[Pair], members: Collection[Member] = ()) -> tuple[Standing, ...]:
        """As `standing`, of everybody whom a charge to `pairs` would be charged to, as they will stand by then.

        That is `pairs` and the groups that the analysts among them ever belonged to, or will when `members` have
        joined theirs and those have taken over what they saw.
        """
        with self._database.reading() as connection:
            return balances.paying(connection, pairs, members)

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

    def values(self) -> Iterator[StoredValue]:
        """Every value in the database, of entries and of what is kept beside them; the steward's."""
        with self._database.reading() as connection:
            yield from every_value(connection)

    def head(self) -> Entry:
        """The last entry."""
        with self._database.reading() as connection:
            return entry_at(connection, read_head(connection)[0])

    def verify(self, checkpoint: Checkpoint | None = None) -> Verification:
        """Read everything again; LedgerError DPQ-802 at the first thing that does not hold.

        Chain, dense sequence, signatures, caps never passed, all tables and payloads equal to the fold of the entries.
        A ledger replaced by an older copy of itself passes, unless `checkpoint`, or the one it was opened with, says
        otherwise (DPQ-809, DPQ-810).
        """
        with self._database.reading() as connection:
            return verify_all(connection, checkpoint or self._checkpoint)[0]

    def check(self, checkpoint: Checkpoint) -> Cover:
        """How this ledger accounts for the checkpoint: it holds that entry, or the steward adopted the checkpoint.

        LedgerError DPQ-809 if it does neither, DPQ-810 if its steward did not sign it. Quick: it reads the one entry;
        `verify` also reads all others.
        """
        with self._database.reading() as connection:
            return covered_by(connection, self._genesis, checkpoint)

    def checkpoint(self, *, steward_key: Path) -> Checkpoint:
        """Where the ledger stands, signed, to be kept elsewhere; everything is verified first."""
        key = self._steward_key(steward_key)
        with self._database.reading() as connection:
            found, fold = verify_all(connection, self._checkpoint)
            trail = hashes_at(connection, trail_places(fold.sequence))
        made = Checkpoint(
            dataset=self.dataset,
            ledger=self._genesis.ledger,
            sequence=fold.sequence,
            head=fold.hash,
            at=found.at,
            decisions=found.decisions,
            spent=tuple((pair, fold.spent[pair]) for pair in sorted(fold.spent, key=pair_key)),
            trail=tuple((place, trail[place][:TRAIL_DIGITS]) for place in sorted(trail)),
            adopted=all_adopted(fold.adopted),
        )
        return made.signed_by(key)

    def save_checkpoint(self, file: Path, *, steward_key: Path) -> Checkpoint:
        """Write where the ledger stands to `file`, after all is verified, and give the checkpoint that is there then.

        What is there stays if the ledger does not account for it (DPQ-809, DPQ-810): it is evidence. So does a later
        checkpoint that came there meanwhile.
        """
        if file.exists():
            self.check(read_checkpoint(file))
        made = self.checkpoint(steward_key=steward_key)
        with self._database.writing() as connection:  # nobody else looks at the file and writes it now
            if file.exists():
                there = read_checkpoint(file)
                cover = covered_by(connection, self._genesis, there)
                if cover == "contained" and there.sequence > made.sequence:
                    return there
            write_checkpoint(file, made)
        return made

    def adopt_checkpoint(self, checkpoint: Checkpoint, *, reason: str, actor: str, steward_key: Path) -> Adoption:
        """After a restore: go on from here, with all that the checkpoint shows as spent in lost entries charged.

        Open the ledger without that checkpoint for this. It lowers nothing, and may pass caps. Stored releases and
        signed decisions among the lost entries stay lost. UsageError DPQ-002 if nothing is to be adopted; LedgerError
        DPQ-809 if the checkpoint is of another ledger, DPQ-810 if its steward did not sign it.
        """
        check_motive(reason, actor)
        check_signed(self._genesis, checkpoint)
        key = self._steward_key(steward_key)
        with self._writing() as writing:
            return adopt_checkpoint(writing, self._genesis, checkpoint, key, reason=reason, actor=actor)

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
        key = self._steward_key(steward_key)
        with self._writing() as writing:
            if raises and isinstance(body, GrantBody):
                in_force = writing.fold.caps.cap(body.scope, body.block)
                if in_force is None or not body.cap.is_above(in_force):
                    raise CapNotRaised(body.scope, body.block, in_force)
            return _decide(writing, key, body)

    def _steward_key(self, path: Path) -> Ed25519PrivateKey:
        key = read_steward_key(path)
        if public_text(key) != self.steward:
            raise LedgerError(
                "DPQ-808", f"{path} is not the key of this ledger's steward", fix="use the key that init made"
            )
        return key

    @contextmanager
    def _writing(self) -> Iterator[Writing]:
        at = _label(self._now)
        with self._database.writing() as connection:
            writing = Writing(connection, self._caught_up(connection), at)
            yield writing
        if writing.written:
            self._known = (writing.written[-1].sequence, writing.written[-1].hash)

    def _caught_up(self, connection: Connection) -> Fold:
        """The fold of every entry so far; what this process has read and written must be among them.

        While it reads on it is nobody's: an interrupt in the middle of an entry leaves none, not half of one.
        """
        fold, self._fold = self._fold or self._no_fold(), None
        sequence, hash_ = self._known
        if sequence > fold.sequence and hashes_at(connection, [sequence]).get(sequence) != hash_:
            broken_chain(sequence, "is missing: the ledger was replaced while in use")
        _read_on(connection, fold)
        self._known = (fold.sequence, fold.hash)
        self._fold = fold
        if fold.watched is not None and not fold.is_met:
            not_covered_yet(fold.watched[0])
        return fold

    def _no_fold(self) -> Fold:
        watched = None if self._checkpoint is None else (self._checkpoint.sequence, self._checkpoint.head)
        return Fold(watched=watched)


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


def _read_on(connection: Connection, fold: Fold) -> None:
    """Take in entries that came since the last time, checking each; those of other processes too."""
    for entry in entries_after(connection, fold.sequence):
        fold.apply(entry)
    if (fold.sequence, fold.hash) != read_head(connection):
        broken_chain(fold.sequence + 1, "is missing, or the ledger was replaced while in use")


def _decide(writing: Writing, key: Ed25519PrivateKey, body: GrantBody | CloseBody) -> Entry:
    """Append a signed decision."""
    if isinstance(body, GrantBody):
        ceiling = writing.fold.caps.ceiling(body.scope, body.block)
        if ceiling is not None and not body.cap.is_within(ceiling):
            raise CapAboveCeiling(body.scope, body.block, ceiling)
    return writing.append_signed(key, body)


def _label(now: Callable[[], datetime]) -> str:
    """The clock as UTC text, to the second."""
    return now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
