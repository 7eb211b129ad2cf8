"""Where each scope stands, for reports: steward's material, since it shows everybody's spending."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from dpquery.accounting import NOTHING, Cap, Filters, Fitting, Loss, filters, largest_that_fits
from dpquery.ledger.bodies import (
    ChargeBody,
    CloseBody,
    FailBody,
    GrantBody,
    RefuseBody,
    ReleaseBody,
    RepeatBody,
    decode,
)
from dpquery.ledger.grants import Caps
from dpquery.ledger.joining import known_groups, merged, pending_joins
from dpquery.ledger.rows import decisions, entries_after, read_balances
from dpquery.ledger.scopes import Member, Pair, Scope, pair_key, with_groups

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from dpquery.ledger.entries import Entry


@dataclass(frozen=True, slots=True)
class Standing:
    """Cap and spending of a scope in one block."""

    scope: Scope
    block: str
    cap: Cap | None
    """None: nothing was granted. Then a group or purpose does not bind, and others refuse."""
    spent: Loss
    state: Literal["open", "closed"]
    """Whether it may still be charged if the amount fits."""

    @property
    def filters(self) -> Filters | None:
        """Spent, cap and left in both filters; None without a cap."""
        return None if self.cap is None else filters(self.cap, self.spent)

    @property
    def fits(self) -> Fitting | None:
        """The largest losses that still fit; None without a cap."""
        return None if self.cap is None else largest_that_fits(self.cap, self.spent)


@dataclass(frozen=True, slots=True)
class ScopeBalance(Standing):
    """A standing with the number of requests behind it."""

    counts: Mapping[str, int] = field(hash=False)
    """Requests by how they ended: released, failed, charged (neither answer nor failure yet), repeated, refused."""
    last: Loss | None
    """What the last charge cost."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Everything that a scope has spent, over all blocks."""

    scope: Scope
    spent: Loss


def standings(connection: Connection, pairs: Sequence[Pair]) -> tuple[Standing, ...]:
    """Where `pairs` stand, in their order."""
    caps = read_caps(connection)
    spent = read_balances(connection, pairs)
    return tuple(Standing(s, b, caps.cap(s, b), spent[s, b], _state(caps, (s, b))) for s, b in pairs)


def paying(connection: Connection, pairs: Sequence[Pair], members: Collection[Member]) -> tuple[Standing, ...]:
    """Where `pairs`, and the groups of the analysts among them, will stand when a charge to `pairs` is looked at.

    Those of `members` who have yet to join their group will have done so by then, and the group will have taken over
    what they have seen.
    """
    known = known_groups(connection)
    found = standings(connection, with_groups(pairs, merged(known, members)))
    to_come: dict[Pair, Loss] = {}
    for join in pending_joins(connection, known, members):
        for pair, loss in join.spent():
            to_come[pair] = to_come.get(pair, NOTHING) + loss
    return tuple(replace(s, spent=s.spent + to_come.get((s.scope, s.block), NOTHING)) for s in found)


def scope_balances(connection: Connection) -> tuple[ScopeBalance, ...]:
    """Every scope and block with spending or a grant that names it, in order."""
    return balances_of(entries_after(connection, 0), read_caps(connection), read_balances(connection, None))


def balances_of(entries: Iterable[Entry], caps: Caps, spent: Mapping[Pair, Loss]) -> tuple[ScopeBalance, ...]:
    """The same of `entries` with the caps and the spending they add up to."""
    counts, last = _counts(entries)
    pairs = sorted(set(spent) | caps.named_blocks(), key=pair_key)
    return tuple(
        ScopeBalance(
            scope=pair[0],
            block=pair[1],
            cap=caps.cap(*pair),
            spent=spent.get(pair, NOTHING),
            state=_state(caps, pair),
            counts={end: found[pair] for end, found in counts.items()},
            last=last.get(pair),
        )
        for pair in pairs
    )


def lifetimes(connection: Connection) -> tuple[Lifetime, ...]:
    """The sum over blocks, for each scope with spending."""
    return lifetimes_of(read_balances(connection, None))


def lifetimes_of(spent: Mapping[Pair, Loss]) -> tuple[Lifetime, ...]:
    """The same of what was spent in each block."""
    total: dict[Scope, Loss] = {}
    for (scope, _), loss in spent.items():
        total[scope] = total.get(scope, NOTHING) + loss
    return tuple(Lifetime(scope, total[scope]) for scope in sorted(total, key=str))


def read_caps(connection: Connection) -> Caps:
    """The fold of all grants and closes."""
    caps = Caps()
    for entry in decisions(connection):
        body = decode(entry)
        if isinstance(body, GrantBody | CloseBody):
            caps.add(entry.sequence, body)
    return caps


def _state(caps: Caps, pair: Pair) -> Literal["open", "closed"]:
    return "open" if caps.is_open(*pair) else "closed"


def _counts(entries: Iterable[Entry]) -> tuple[dict[str, Counter[Pair]], dict[Pair, Loss]]:
    last: dict[Pair, Loss] = {}
    charged: dict[int, tuple[Pair, ...]] = {}
    released: set[int] = set()
    failed: set[int] = set()
    repeated: Counter[Pair] = Counter()
    refused: Counter[Pair] = Counter()
    for entry in entries:
        match decode(entry):
            case ChargeBody(charges=pairs, loss=loss):
                last |= dict.fromkeys(pairs, loss)
                charged[entry.sequence] = pairs
            case ReleaseBody(charge=charge):
                released.add(charge)
            case FailBody(charge=charge):
                failed.add(charge)
            case RepeatBody(charges=flagged):
                repeated.update(pair for pair, _ in flagged)
            case RefuseBody(charges=pairs):
                refused.update(pairs)
            case _:
                pass
    return {
        "released": _per_pair(charged[one] for one in charged if one in released),
        "failed": _per_pair(charged[one] for one in charged if one in failed - released),
        "charged": _per_pair(charged[one] for one in charged if one not in failed | released),
        "repeated": repeated,
        "refused": refused,
    }, last


def _per_pair(groups: Iterable[tuple[Pair, ...]]) -> Counter[Pair]:
    return Counter(pair for pairs in groups for pair in pairs)
