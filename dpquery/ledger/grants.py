"""Caps: signed grants and closes, and which of them is in force for a scope and block."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from dpquery.errors import LedgerError, UsageError, ensure
from dpquery.ledger.bodies import AdoptBody, CloseBody, GrantBody
from dpquery.ledger.canonical import canonical_text
from dpquery.ledger.entries import EACH_BLOCK, content
from dpquery.ledger.scopes import UNCONDITIONAL, Scope, is_plain
from dpquery.ledger.steward_key import is_signed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from dpquery.accounting import Cap
    from dpquery.ledger.entries import Entry, Kind

Decision = GrantBody | CloseBody | AdoptBody
"""What only the steward may say, and signs."""

REASON_LENGTH_MAX = 1000

_SIGNED = b"dpquery.signed/1\n"


@dataclass(frozen=True, slots=True)
class Grant:
    """A steward's decision on the cap of a scope in one block, or in each (`*`)."""

    scope: Scope
    block: str
    cap: Cap
    reason: str
    actor: str

    def __post_init__(self) -> None:
        check_decision(self.block, self.reason, self.actor)

    def body(self) -> GrantBody:
        return GrantBody(self.scope, self.block, self.cap, self.reason, self.actor)


def check_decision(block: str, reason: str, actor: str) -> None:
    """UsageError DPQ-002 unless the block is plain and somebody said why."""
    if not is_plain(block):
        raise UsageError("DPQ-002", f"{block!r} does not name a block", fix="--block 2026-01")
    check_motive(reason, actor)


def check_motive(reason: str, actor: str) -> None:
    """UsageError DPQ-002 unless somebody said why, in text that every report can show."""
    if not reason.strip() or len(reason) > REASON_LENGTH_MAX or any(map(_is_control, reason)):
        why = f"a decision needs a reason: one line of text, of at most {REASON_LENGTH_MAX} characters"
        raise UsageError("DPQ-002", why, fix="--reason TEXT")
    if not is_plain(actor):
        raise UsageError("DPQ-002", "a decision needs the name of who made it", fix="--actor NAME")


def _is_control(sign: str) -> bool:
    """Line ends, other controls, and what is no character: a byte that is not UTF-8 comes as a surrogate."""
    return unicodedata.category(sign) in {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(slots=True)
class Caps:
    """The fold of grants and closes. The last grant naming a block holds there, else the last for each block.

    A close holds until a later grant that applies to the block.
    """

    _grants: dict[Scope, list[tuple[int, str, Cap]]] = field(default_factory=dict)
    _closes: dict[Scope, list[tuple[int, str]]] = field(default_factory=dict)

    def add(self, sequence: int, decision: GrantBody | CloseBody) -> None:
        """Take in the next decision."""
        if isinstance(decision, GrantBody):
            self._grants.setdefault(decision.scope, []).append((sequence, decision.block, decision.cap))
        else:
            self._closes.setdefault(decision.scope, []).append((sequence, decision.block))

    def cap(self, scope: Scope, block: str) -> Cap | None:
        """The cap in force, whether closed or not; None if none was ever granted."""
        found = self._in_force(scope, block)
        return None if found is None else found[1]

    def is_open(self, scope: Scope, block: str) -> bool:
        """Whether the scope may be charged: it has a cap and is not closed, or it does not bind."""
        granted = self._in_force(scope, block)
        closed = [sequence for sequence, name in self._closes.get(scope, ()) if name in {block, EACH_BLOCK}]
        if granted is None:
            return not closed and scope.kind not in UNCONDITIONAL
        return not closed or closed[-1] < granted[0]

    def ceiling(self, scope: Scope, block: str) -> Cap | None:
        """The cap that first applied there: the limit of the privacy filter, which no later grant exceeds."""
        return next((cap for _, name, cap in self._grants.get(scope, ()) if name in {block, EACH_BLOCK}), None)

    def granted(self, scope: Scope, block: str) -> tuple[Cap, ...]:
        """The caps of all grants that name `block` (`*`: each), the first one first."""
        return tuple(cap for _, name, cap in self._grants.get(scope, ()) if name == block)

    def scopes(self) -> tuple[Scope, ...]:
        """Every scope that was granted something, in the order of the first grants."""
        return tuple(self._grants)

    def blocks_of(self, scope: Scope) -> frozenset[str]:
        """Blocks that a grant or close of the scope names."""
        named = {name for _, name, _ in self._grants.get(scope, ())} | {name for _, name in self._closes.get(scope, ())}
        return frozenset(named - {EACH_BLOCK})

    def named_blocks(self) -> frozenset[tuple[Scope, str]]:
        """Scopes and blocks that a grant names."""
        return frozenset(
            (scope, name) for scope, found in self._grants.items() for _, name, _ in found if name != EACH_BLOCK
        )

    def _in_force(self, scope: Scope, block: str) -> tuple[int, Cap] | None:
        grants = self._grants.get(scope, ())
        for wanted in (block, EACH_BLOCK):
            for sequence, name, cap in reversed(grants):
                if name == wanted:
                    return sequence, cap
        return None


def kind_of(decision: Decision) -> Kind:
    """The kind of entry that holds a decision."""
    match decision:
        case GrantBody():
            return "grant"
        case CloseBody():
            return "close"
        case AdoptBody():
            return "adopt"
        case _:
            assert_never(decision)


def signed_text(key: Ed25519PrivateKey, sequence: int, at: str, body: Decision, *, previous: str) -> str:
    """Canonical JSON of `body` with a signature that holds at this place of this ledger only."""
    raw = body.to_json()
    signature = key.sign(_message(previous, content(sequence, kind_of(body), at, canonical_text(raw))))
    return canonical_text({**raw, "signature": signature.hex()})


def check_signature(entry: Entry, steward: str) -> None:
    """LedgerError DPQ-802 unless the steward whose public key is `steward` signed `entry`."""
    raw = json.loads(entry.body)
    ensure(isinstance(raw, dict), "a decoded body is an object")
    signature = raw.pop("signature", "")
    plain = content(entry.sequence, entry.kind, entry.at, canonical_text(raw))
    if not (isinstance(signature, str) and is_signed(steward, signature, _message(entry.previous, plain))):
        raise LedgerError(
            "DPQ-802",
            f"entry {entry.sequence} of the ledger ({entry.kind}) is without the steward's signature",
            fix="restore the ledger from a copy that verifies",
        )


def _message(previous: str, content_: bytes) -> bytes:
    return _SIGNED + bytes.fromhex(previous) + content_
