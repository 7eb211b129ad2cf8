"""What a ledger must hold after a history, by a few dictionaries and no clock."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from dpquery.accounting import NOTHING, Loss, admits

if TYPE_CHECKING:
    from dpquery.accounting import Cap
    from dpquery.ledger import Charged, ChargeRequest, Ledger, Pair, Scope, StoredRelease

ATTEMPTS_MAX = 2


@dataclass(frozen=True, slots=True)
class Paid:
    """What a request gets: the charge that pays for it, whether it is new, and the stored answer."""

    sequence: int
    fresh: bool
    payload: bytes | None
    new_pairs: tuple[Pair, ...]


@dataclass(slots=True)
class World:
    """State after a history. Every method plays one act and gives what the ledger must answer; a refusal is a code."""

    kinds: list[str] = field(default_factory=lambda: ["genesis"])
    grants: list[tuple[int, Scope, str, Cap]] = field(default_factory=list)
    closes: list[tuple[int, Scope, str]] = field(default_factory=list)
    spent: dict[Pair, Loss] = field(default_factory=dict)
    paid: dict[int, frozenset[Pair]] = field(default_factory=dict)
    price: dict[int, Loss] = field(default_factory=dict)
    by_id: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    stored: dict[int, bytes] = field(default_factory=dict)
    failed: dict[int, int] = field(default_factory=dict)

    def copy(self) -> World:
        return World(*(getattr(self, each.name).copy() for each in fields(self)))

    def grant(self, scope: Scope, block: str, cap: Cap) -> None:
        self.kinds.append("grant")
        self.grants.append((len(self.kinds), scope, block, cap))

    def close(self, scope: Scope, block: str) -> None:
        self.kinds.append("close")
        self.closes.append((len(self.kinds), scope, block))

    def charge(self, request: ChargeRequest) -> Paid | str:
        known = self._known(request)
        if isinstance(known, str):
            return known
        if known is not None:
            if known not in self.stored and self.failed.get(known, 0) >= ATTEMPTS_MAX:
                return "DPQ-205"
            return Paid(known, fresh=False, payload=self.stored.get(known), new_pairs=())
        refused = self._refused(request.pairs, request.loss)
        if refused is not None:
            return refused
        self.kinds.append("charge")
        sequence = len(self.kinds)
        self.price[sequence] = request.loss
        self._pay(sequence, request, request.pairs)
        return Paid(sequence, fresh=True, payload=None, new_pairs=request.pairs)

    def adopt(self, request: ChargeRequest, stored: StoredRelease) -> Paid | str:
        known = self._known(request)
        if isinstance(known, str):
            return known
        if known is not None:
            if known != stored.sequence:
                return "DPQ-203"
            return Paid(known, fresh=False, payload=self.stored.get(known), new_pairs=())
        owed = tuple(pair for pair in request.pairs if pair not in self.paid[stored.sequence])
        refused = self._refused(owed, self.price[stored.sequence])
        if refused is not None:
            return refused
        self.kinds.append("repeat")
        self._pay(stored.sequence, request, owed)
        return Paid(stored.sequence, fresh=False, payload=self.stored[stored.sequence], new_pairs=owed)

    def record(self, charged: Charged, payload: bytes) -> bytes | str:
        if charged.sequence in self.stored:
            return self.stored[charged.sequence]
        if self.failed.get(charged.sequence, 0) >= charged.attempt:
            return "DPQ-807"
        self.kinds.append("release")
        self.stored[charged.sequence] = payload
        return payload

    def fail(self, charged: Charged) -> None:
        if charged.sequence not in self.stored and self.failed.get(charged.sequence, 0) < charged.attempt:
            self.kinds.append("fail")
            self.failed[charged.sequence] = charged.attempt

    def _known(self, request: ChargeRequest) -> int | str | None:
        if request.request_id is None or (request.asker, request.request_id) not in self.by_id:
            return None
        fingerprint, sequence = self.by_id[request.asker, request.request_id]
        return sequence if fingerprint == request.fingerprint else "DPQ-203"

    def _refused(self, pairs: tuple[Pair, ...], loss: Loss) -> str | None:
        caps = [self._in_force(pair) for pair in pairs]
        code = None
        if "closed" in caps:
            code = "DPQ-202"
        elif not all(
            admits(cap, self.spent.get(pair, NOTHING), loss)
            for pair, cap in zip(pairs, caps, strict=True)
            if not isinstance(cap, str)
        ):
            code = "DPQ-201"
        if code is not None:
            self.kinds.append("refuse")
        return code

    def _in_force(self, pair: Pair) -> Cap | str:
        """The cap of a scope that has one. "closed", or "unbound" for one that never had any."""
        for wanted in (pair[1], "*"):
            found = [each for each in self.grants if each[1:3] == (pair[0], wanted)]
            if found:
                closed = [at for at, scope, block in self.closes if scope == pair[0] and block in {pair[1], "*"}]
                return "closed" if closed and closed[-1] > found[-1][0] else found[-1][3]
        return "unbound"

    def _pay(self, sequence: int, request: ChargeRequest, pairs: tuple[Pair, ...]) -> None:
        for pair in pairs:
            self.spent[pair] = self.spent.get(pair, NOTHING) + self.price[sequence]
        self.paid[sequence] = self.paid.get(sequence, frozenset()) | set(pairs)
        if request.request_id is not None:
            self.by_id[request.asker, request.request_id] = request.fingerprint, sequence


def differences(world: World, ledger: Ledger) -> list[str]:
    """Where a whole ledger and the model say different things."""
    found = []
    kinds = [entry.kind for entry in ledger.entries()]
    if kinds != world.kinds:
        found.append(f"entries {kinds} instead of {world.kinds}")
    balances = {(b.scope, b.block): b.spent for b in ledger.balances() if b.spent != NOTHING}
    spent = {pair: loss for pair, loss in world.spent.items() if loss != NOTHING}
    if balances != spent:
        found.append(f"balances {balances} instead of {spent}")
    return found
