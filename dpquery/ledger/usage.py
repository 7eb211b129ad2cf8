"""What the entries say that was done: by whom, for what, when. The steward's: it shows everybody's spending."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Literal, assert_never

from dpquery.accounting import NOTHING, Cap, Loss
from dpquery.ledger.balances import Lifetime, ScopeBalance, Standing, balances_of, lifetimes_of
from dpquery.ledger.bodies import (
    AdoptBody,
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
from dpquery.ledger.entries import EACH_BLOCK
from dpquery.ledger.fold import Fold
from dpquery.ledger.grants import Caps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dpquery.ledger.entries import Entry
    from dpquery.ledger.scopes import Pair, Scope

Days = tuple[tuple[date, Loss], ...]
"""Losses with the days that their entries are labelled with, in the order of the entries."""


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A change of a cap: what held before, what holds from then on, and who says why."""

    at: str
    kind: Literal["grant", "raise", "lower", "renew", "close"]
    """`renew`: a grant of the cap that held already."""
    scope: Scope
    block: str
    before: Cap | None
    after: Cap | None
    """None for a close."""
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class PastAdoption:
    """A restore that a steward adopted: what a checkpoint showed as spent was charged anew."""

    at: str
    checkpoint: int
    """Sequence of the checkpoint's entry."""
    charged: int
    """Scopes and blocks that were charged."""
    decisions: int
    """Grants and closes that were lost, at most."""
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class PastJoin:
    """An analyst joined a group, which took over what they had seen."""

    at: str
    analyst: str
    group: str


@dataclass(frozen=True, slots=True)
class Use:
    """Requests by how they ended, and what was spent on them."""

    released: int = 0
    unanswered: int = 0
    repeated: int = 0
    refused: int = 0
    spent: Loss = NOTHING


@dataclass(frozen=True, slots=True)
class Usage:
    """Everything a report says of the past, as of one entry."""

    balances: tuple[ScopeBalance, ...]
    """Every scope and block with spending or a grant that names it, in order."""
    each_block: tuple[Standing, ...]
    """What scopes were granted for each block: it holds in those that are not in `balances`."""
    lifetimes: tuple[Lifetime, ...]
    ceilings: Mapping[Pair, Cap] = field(hash=False)
    """The cap that first applied to each of `balances` and `each_block`."""
    charges: Mapping[Pair, Days] = field(hash=False)
    """Each single price that a scope paid in a block for an answer."""
    spent_by_day: Mapping[Pair, Days] = field(hash=False)
    """What had been spent at the end of each day on which that changed."""
    decisions: tuple[PastDecision, ...]
    adoptions: tuple[PastAdoption, ...]
    joins: tuple[PastJoin, ...]
    by_analyst: Mapping[str, Use] = field(hash=False)
    """`spent` is what the analyst's own scope paid, over all blocks."""
    by_purpose: Mapping[str, Use] = field(hash=False)
    """`spent` is what the dataset paid, over all blocks; so in the two below."""
    by_table: Mapping[str, Use] = field(hash=False)
    by_mechanism: Mapping[str, Use] = field(hash=False)
    refused: Mapping[str, int] = field(hash=False)
    """Requests that no budget allowed, by code."""
    repeated_free: int
    repeated_paid: int
    """Stored answers that were handed out again: nobody paid, or some scope that had not paid before."""
    failed: int
    open_charges: int
    """Charges without an answer: their attempts ended, or nothing is known of them."""
    bounds_from_data: int
    """Charges for answers within value bounds that an earlier, paid release chose from the rows."""
    began: str
    """Label of the first entry."""
    first_release: str | None
    """When the first answer was stored."""

    def cap(self, pair: Pair) -> Cap | None:
        """The cap of one of `balances` and `each_block`; None if none was granted."""
        every = (*self.balances, *self.each_block)
        return next((each.cap for each in every if (each.scope, each.block) == pair), None)


def usage_of(entries: Iterable[Entry]) -> Usage:
    """Fold `entries`, from the first on; LedgerError DPQ-802 where they do not hold together."""
    tally = _Tally()
    for entry in entries:
        tally.apply(entry)
    return tally.usage()


@dataclass(slots=True)
class _Uses:
    counts: Counter[str] = field(default_factory=Counter)
    spent: Loss = NOTHING


@dataclass(frozen=True, slots=True)
class _Charge:
    """What later entries need to know of a charge."""

    body: ChargeBody
    names: tuple[tuple[str, str], ...]
    """What it is counted under, by dimension: analyst, purpose, table, mechanism."""


@dataclass(slots=True)
class _Tally:
    fold: Fold = field(default_factory=Fold)
    entries: list[Entry] = field(default_factory=list)
    day: date | None = None
    seen: dict[Pair, Loss] = field(default_factory=dict)
    spent_by_day: dict[Pair, list[tuple[date, Loss]]] = field(default_factory=dict)
    charges: dict[Pair, list[tuple[date, Loss]]] = field(default_factory=dict)
    caps: Caps = field(default_factory=Caps)
    """As of the entry before."""
    decisions: list[PastDecision] = field(default_factory=list)
    adoptions: list[PastAdoption] = field(default_factory=list)
    joins: list[PastJoin] = field(default_factory=list)
    uses: dict[tuple[str, str], _Uses] = field(default_factory=dict)
    made: dict[int, _Charge] = field(default_factory=dict)
    released: dict[int, str] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    repeats: Counter[bool] = field(default_factory=Counter)
    """Repeats by whether some scope paid."""
    bounds_from_data: int = 0

    def apply(self, entry: Entry) -> None:
        self._turn_to(date.fromisoformat(entry.at[:10]))
        body = self.fold.apply(entry)
        self.entries.append(entry)
        match body:
            case GrantBody() | CloseBody():
                self._decide(entry, body)
            case ChargeBody():
                self._charge(entry.sequence, body)
            case RepeatBody():
                self._repeat(body)
            case ReleaseBody(charge=charge):
                self.released[charge] = entry.at
            case FailBody(charge=charge):
                self.failed.add(charge)
            case RefuseBody(code=code, asker=asker, purpose=purpose):
                self.refused[code] += 1
                self._count("refused", ("analyst", asker), ("purpose", purpose))
            case AdoptBody(sequence=checkpoint, gap=gap, decisions=lost, reason=reason, actor=actor):
                self.adoptions.append(PastAdoption(entry.at, checkpoint, len(gap), lost, actor, reason))
            case JoinBody(analyst=analyst, group=group):
                self.joins.append(PastJoin(entry.at, analyst, group))
            case GenesisBody():
                pass
            case _:
                assert_never(body)

    def _turn_to(self, day: date) -> None:
        """Note what was spent until the day before. Labels of entries may run backwards, days do not."""
        if self.day is not None and day > self.day:
            self._note_balances()
        self.day = day if self.day is None else max(self.day, day)

    def _note_balances(self) -> None:
        for pair, spent in self.fold.spent.items():
            if self.day is not None and self.seen.get(pair) != spent:
                self.spent_by_day.setdefault(pair, []).append((self.day, spent))
                self.seen[pair] = spent

    def _decide(self, entry: Entry, body: GrantBody | CloseBody) -> None:
        before = self.caps.cap(body.scope, body.block)
        after = body.cap if isinstance(body, GrantBody) else None
        kind = _kind(before, after)
        self.decisions.append(
            PastDecision(entry.at, kind, body.scope, body.block, before, after, body.actor, body.reason)
        )
        self.caps.add(entry.sequence, body)

    def _charge(self, sequence: int, body: ChargeBody) -> None:
        table, mechanism = (str(body.plan.get(what, "unknown")) for what in ("table", "mechanism"))
        names = (("analyst", body.asker), ("purpose", body.purpose), ("table", table), ("mechanism", mechanism))
        self.made[sequence] = _Charge(body, names)
        self.bounds_from_data += bool(body.plan.get("bounds_from"))
        self._pay(body.charges, body.loss, names)

    def _repeat(self, body: RepeatBody) -> None:
        paid = tuple(pair for pair, new in body.charges if new)
        self.repeats[bool(paid)] += 1
        names = (("analyst", body.asker), ("purpose", body.purpose), *self.made[body.charge].names[2:])
        self._count("repeated", *names)
        self._pay(paid, body.loss, names)

    def _pay(self, pairs: Iterable[Pair], loss: Loss, names: tuple[tuple[str, str], ...]) -> None:
        for pair in pairs:
            if self.day is not None:
                self.charges.setdefault(pair, []).append((self.day, loss))
            for dimension, name in names:
                if pair[0].kind == ("analyst" if dimension == "analyst" else "dataset"):
                    use = self.uses.setdefault((dimension, name), _Uses())
                    use.spent += loss

    def _count(self, end: str, *names: tuple[str, str]) -> None:
        for name in names:
            self.uses.setdefault(name, _Uses()).counts[end] += 1

    def usage(self) -> Usage:
        self._note_balances()
        for sequence, charge in self.made.items():
            self._count("released" if sequence in self.released else "unanswered", *charge.names)
        balances = balances_of(self.entries, self.fold.caps, self.fold.spent)
        each_block = self._for_each_block()
        pairs = [(each.scope, each.block) for each in (*balances, *each_block)]
        ceilings = {pair: self.fold.caps.ceiling(*pair) for pair in pairs}
        unanswered = self.made.keys() - self.released.keys()
        return Usage(
            balances=balances,
            each_block=each_block,
            lifetimes=lifetimes_of(self.fold.spent),
            ceilings={pair: cap for pair, cap in ceilings.items() if cap is not None},
            charges={pair: tuple(found) for pair, found in self.charges.items()},
            spent_by_day={pair: tuple(found) for pair, found in self.spent_by_day.items()},
            decisions=tuple(self.decisions),
            adoptions=tuple(self.adoptions),
            joins=tuple(self.joins),
            by_analyst=self._by("analyst"),
            by_purpose=self._by("purpose"),
            by_table=self._by("table"),
            by_mechanism=self._by("mechanism"),
            refused=dict(sorted(self.refused.items())),
            repeated_free=self.repeats[False],
            repeated_paid=self.repeats[True],
            failed=len(unanswered & self.failed),
            open_charges=len(unanswered - self.failed),
            bounds_from_data=self.bounds_from_data,
            began=self.entries[0].at if self.entries else "",
            first_release=min(self.released.values(), default=None),
        )

    def _for_each_block(self) -> tuple[Standing, ...]:
        scopes = dict.fromkeys(decision.scope for decision in self.decisions)
        found = [(scope, self.fold.caps.cap(scope, EACH_BLOCK)) for scope in scopes]
        state: dict[bool, Literal["open", "closed"]] = {True: "open", False: "closed"}
        return tuple(
            Standing(scope, EACH_BLOCK, cap, NOTHING, state[self.fold.caps.is_open(scope, EACH_BLOCK)])
            for scope, cap in found
            if cap is not None
        )

    def _by(self, dimension: str) -> dict[str, Use]:
        found = sorted(name for of, name in self.uses if of == dimension)
        uses = {name: self.uses[dimension, name] for name in found}
        return {name: Use(**use.counts, spent=use.spent) for name, use in uses.items()}


def _kind(before: Cap | None, after: Cap | None) -> Literal["grant", "raise", "lower", "renew", "close"]:
    """What a decision did to a cap; a cap with one amount higher and another lower counts as raised."""
    if after is None:
        return "close"
    if before is None:
        return "grant"
    if after == before:
        return "renew"
    return "lower" if after.is_within(before) else "raise"
