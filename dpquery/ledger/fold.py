"""Caps and balances as the entries alone say they are: what stored balances are checked against."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Never, assert_never

from dpquery.accounting import NOTHING, Loss, admits
from dpquery.errors import LedgerError
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
    decode,
)
from dpquery.ledger.entries import BEFORE_GENESIS, FORMAT, Entry, is_sealed
from dpquery.ledger.grants import Caps, check_signature
from dpquery.ledger.scopes import Scope, with_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from dpquery.ledger.scopes import Pair


@dataclass(slots=True)
class Fold:
    """State after the first `sequence` entries, each of which was checked as it came."""

    sequence: int = 0
    hash: str = BEFORE_GENESIS
    genesis: GenesisBody | None = None
    caps: Caps = field(default_factory=Caps)
    spent: MutableMapping[Pair, Loss] = field(default_factory=dict)
    groups: MutableMapping[str, frozenset[str]] = field(default_factory=dict)
    """The groups that each analyst ever joined."""
    adopted: list[AdoptBody] = field(default_factory=list)
    watched: tuple[int, str] | None = None
    """Sequence and hash of a checkpoint that the chain has to hold, or to have adopted."""
    is_met: bool = False
    """Whether it does."""

    def apply(self, entry: Entry) -> Body:
        """Take in the next entry: it must follow the last, be whole, be signed if it changes a cap, and not overspend.

        LedgerError DPQ-802 otherwise; DPQ-804 if a newer version wrote it.
        """
        if entry.sequence != self.sequence + 1:
            broken_chain(self.sequence + 1, "is missing")
        if entry.previous != self.hash or not is_sealed(entry):
            broken_chain(entry.sequence, "was changed, or does not follow the one before")
        body = decode(entry)
        if isinstance(body, GenesisBody) != (entry.sequence == 1):
            broken_chain(entry.sequence, "is not where its kind belongs")
        if self.genesis is not None and entry.sequence <= 1 + self.genesis.grants and not isinstance(body, GrantBody):
            broken_chain(entry.sequence, "is none of the grants that the ledger was made with")
        match body:
            case GenesisBody():
                check_format(body)
                self.genesis = body
            case GrantBody() | CloseBody():
                check_signature(entry, self._steward())
                self.caps.add(entry.sequence, body)
            case ChargeBody():
                self._check_groups(entry.sequence, body.charges)
                self._spend(entry.sequence, body.charges, body.loss)
            case RepeatBody():
                self._check_groups(entry.sequence, tuple(pair for pair, _ in body.charges))
                self._spend(entry.sequence, (pair for pair, new in body.charges if new), body.loss)
            case JoinBody():
                self._join(entry.sequence, body)
            case AdoptBody():
                check_signature(entry, self._steward())
                self._adopt(entry.sequence, body)
            case ReleaseBody() | FailBody() | RefuseBody():
                pass
            case _:
                assert_never(body)
        self.sequence, self.hash = entry.sequence, entry.hash
        if self.watched is not None and not self.is_met:
            self.is_met = self.watched == (entry.sequence, entry.hash) or self.has_adopted(*self.watched)
        return body

    def has_adopted(self, sequence: int, head: str) -> bool:
        """Whether what a checkpoint with this head had spent was charged by an adoption."""
        return any(each.accounts_for(sequence, head) for each in self.adopted)

    def spent_by(self, pair: Pair) -> Loss:
        return self.spent.get(pair, NOTHING)

    def fork(self) -> Fold:
        """A fold that goes on from here while this one stays: for joins, which may yet be rolled back."""
        return Fold(
            self.sequence,
            self.hash,
            self.genesis,
            self.caps,
            ChainMap({}, self.spent),
            ChainMap({}, self.groups),
            self.adopted,
        )

    def _steward(self) -> str:
        return "" if self.genesis is None else self.genesis.steward

    def _check_groups(self, sequence: int, pairs: tuple[Pair, ...]) -> None:
        """Whoever ever was a member: what they see is charged to the group."""
        if len(with_groups(pairs, self.groups)) != len(pairs):
            broken_chain(sequence, "leaves out a group that the analyst belongs to")

    def _join(self, sequence: int, body: JoinBody) -> None:
        """No cap is asked: what was seen was seen."""
        before = self.groups.get(body.analyst, frozenset())
        if body.group in before:
            broken_chain(sequence, f"lets {Scope('analyst', body.analyst)} join a group twice")
        self.groups[body.analyst] = before | {body.group}
        for pair, loss in body.spent():
            self.spent[pair] = self.spent_by(pair) + loss

    def _adopt(self, sequence: int, body: AdoptBody) -> None:
        """No cap is asked: what was spent was spent."""
        if self.has_adopted(body.sequence, body.head):
            broken_chain(sequence, "adopts a checkpoint twice")
        if len({pair for pair, _ in body.gap}) != len(body.gap):
            broken_chain(sequence, "charges a scope twice for one checkpoint")
        self.adopted.append(body)
        for pair, loss in body.gap:
            self.spent[pair] = self.spent_by(pair) + loss

    def _spend(self, sequence: int, pairs: Iterable[Pair], loss: Loss) -> None:
        for pair in pairs:
            spent = self.spent_by(pair)
            cap = self.caps.cap(*pair)
            if not self.caps.is_open(*pair) or (cap is not None and not admits(cap, spent, loss)):
                broken_chain(sequence, f"charges {pair[0]} beyond its cap")
            self.spent[pair] = spent + loss


def check_format(genesis: GenesisBody) -> None:
    """LedgerError DPQ-804 for a ledger of a newer version."""
    if genesis.format > FORMAT:
        raise LedgerError(
            "DPQ-804",
            f"the ledger has format {genesis.format}, and this version knows up to {FORMAT}",
            fix="use a newer dpquery",
        )


def broken_chain(sequence: int, what: str) -> Never:
    """LedgerError DPQ-802 about the entry `sequence`."""
    raise LedgerError(
        "DPQ-802", f"entry {sequence} of the ledger {what}", fix="restore the ledger from a copy that verifies"
    )
