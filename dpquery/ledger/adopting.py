"""After a restore: what the lost entries spent is charged, as a checkpoint shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpquery.errors import LedgerError, UsageError, ensure
from dpquery.ledger.bodies import AdoptBody, CloseBody, GrantBody
from dpquery.ledger.checkpoints import adopted_with, covered_by, lost_since, parted_at
from dpquery.ledger.fold import Fold, broken_chain
from dpquery.ledger.rows import entries_after, read_balances, write_balances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import Connection

    from dpquery.accounting import Loss
    from dpquery.ledger.bodies import GenesisBody
    from dpquery.ledger.checkpoints import Checkpoint
    from dpquery.ledger.entries import Entry
    from dpquery.ledger.scopes import Pair
    from dpquery.ledger.writing import Writing


@dataclass(frozen=True, slots=True)
class Adoption:
    """What an adoption has done."""

    entry: Entry
    gap: tuple[tuple[Pair, Loss], ...]
    """What was charged."""
    entries_lost: int
    """Entries of the checkpoint's ledger that this one lacks, at most."""
    decisions_lost: int
    """Grants and closes among them, at most: the steward makes them again."""


def adopt_checkpoint(
    writing: Writing, genesis: GenesisBody, checkpoint: Checkpoint, key: Ed25519PrivateKey, *, reason: str, actor: str
) -> Adoption:
    """Charge what the checkpoint's ledger spent after it parted from this one. `key` is the steward's.

    Where this ledger was charged after the restore, that comes on top: the lost entries spent what they spent. If the
    two parted so long ago that the checkpoint does not tell exactly where, somewhat more is charged, never less.
    """
    connection = writing.connection
    if _is_covered(connection, genesis, checkpoint):
        raise UsageError(
            "DPQ-002", "the ledger accounts for this checkpoint already: there is nothing to adopt", fix="leave it"
        )
    parted = parted_at(connection, checkpoint)
    shared, decisions = _as_of(connection, parted)
    gap = lost_since(checkpoint, shared)
    body = AdoptBody(
        sequence=checkpoint.sequence,
        head=checkpoint.head,
        covers=adopted_with(checkpoint, parted),
        gap=gap,
        decisions=max(0, checkpoint.decisions - decisions),
        reason=reason,
        actor=actor,
    )
    entry = writing.append_signed(key, body)
    after = _spend(writing, dict(gap))
    for pair, loss in checkpoint.spent:
        spent = after.get(pair, writing.fold.spent_by(pair))
        ensure(loss.beyond(spent).is_nothing, "after an adoption nothing is below the checkpoint")
    return Adoption(entry, gap, checkpoint.sequence - parted, body.decisions)


def _is_covered(connection: Connection, genesis: GenesisBody, checkpoint: Checkpoint) -> bool:
    try:
        covered_by(connection, genesis, checkpoint)
    except LedgerError as error:
        if error.code != "DPQ-809":
            raise
        return False
    return True


def _as_of(connection: Connection, sequence: int) -> tuple[Mapping[Pair, Loss], int]:
    """What had been spent by the entry `sequence`, and how many grants and closes there were."""
    fold, decisions = Fold(), 0
    for entry in entries_after(connection, 0):
        if entry.sequence > sequence:
            break
        decisions += isinstance(fold.apply(entry), GrantBody | CloseBody)
    return fold.spent, decisions


def _spend(writing: Writing, gap: Mapping[Pair, Loss]) -> dict[Pair, Loss]:
    """Add the gap to the balances, whatever the caps; the balances of its pairs after that."""
    fold, pairs = writing.fold, tuple(gap)
    for pair, spent in read_balances(writing.connection, pairs).items():
        if spent != fold.spent_by(pair):
            broken_chain(fold.sequence, f"and those before do not add up to the balance of {pair[0]}")
    after = {pair: fold.spent_by(pair) + loss for pair, loss in gap.items()}
    write_balances(writing.connection, after, dict.fromkeys(pairs), set(pairs) & set(fold.spent))
    ensure(read_balances(writing.connection, pairs) == after, "a balance is the fold of the entries")
    return after
