"""What entries say, by kind: one frozen type for each, to and from canonical JSON through a closed table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dpquery.accounting import Cap, Loss
from dpquery.errors import DpqueryError, LedgerError
from dpquery.ledger.entries import TRAIL_DIGITS, Trail
from dpquery.ledger.scopes import Pair, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dpquery.ledger.canonical import Json
    from dpquery.ledger.entries import Entry

INFINITE = "infinite"
"""In place of an amount without limit, or one that was not given."""


@dataclass(frozen=True, slots=True)
class GenesisBody:
    """The first entry: whose ledger this is, and whose signature changes caps."""

    dataset: str
    format: int
    ledger: str
    """Random, so that a signature made for one ledger fits no other."""
    steward: str
    """Ed25519 public key, hexadecimal."""
    grants: int
    """How many grants follow at once: the budgets that the ledger was made with, and nobody's later decision."""

    def to_json(self) -> Json:
        return {
            "dataset": self.dataset,
            "format": self.format,
            "ledger": self.ledger,
            "steward": self.steward,
            "grants": self.grants,
        }


@dataclass(frozen=True, slots=True)
class GrantBody:
    """The cap of a scope in a block, from here on."""

    scope: Scope
    block: str
    cap: Cap
    reason: str
    actor: str

    def to_json(self) -> dict[str, Json]:
        cap = {
            "epsilon": self.cap.epsilon,
            "delta": self.cap.delta,
            "delta_selection": self.cap.delta_selection,
            "delta_conversion": self.cap.delta_conversion,
            "rho": self.cap.rho,
        }
        return {"scope": str(self.scope), "block": self.block, "cap": cap, "reason": self.reason, "actor": self.actor}


@dataclass(frozen=True, slots=True)
class CloseBody:
    """A scope spends no more in a block."""

    scope: Scope
    block: str
    reason: str
    actor: str

    def to_json(self) -> dict[str, Json]:
        return {"scope": str(self.scope), "block": self.block, "reason": self.reason, "actor": self.actor}


@dataclass(frozen=True, slots=True)
class ChargeBody:
    """The price of one release, spent in full by each pair."""

    asker: str
    purpose: str
    question: str
    unversioned: str
    """Digest of the question without the versions of data and consent; empty where none was given."""
    charges: tuple[Pair, ...]
    loss: Loss
    asked_epsilon: int | None
    request: str
    """Digest of the asker's request id; empty without one."""
    fingerprint: str
    """Digest of all that was requested."""
    plan: Mapping[str, Any] = field(hash=False)

    def to_json(self) -> Json:
        return {
            "asker": self.asker,
            "purpose": self.purpose,
            "question": self.question,
            "unversioned": self.unversioned,
            "charges": _pairs_to_json(self.charges),
            "loss": loss_to_json(self.loss),
            "asked": _amount(self.asked_epsilon),
            "request": self.request,
            "fingerprint": self.fingerprint,
            "plan": self.plan,
        }


@dataclass(frozen=True, slots=True)
class ReleaseBody:
    """The answer that a charge paid for is stored."""

    charge: int
    sha256: str
    bytes: int

    def to_json(self) -> Json:
        return {"charge": self.charge, "sha256": self.sha256, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class FailBody:
    """An attempt to answer ended without one. The charge stays."""

    charge: int
    attempt: int

    def to_json(self) -> Json:
        return {"charge": self.charge, "attempt": self.attempt}


@dataclass(frozen=True, slots=True)
class RepeatBody:
    """A stored release was handed out again; `loss` was spent by the pairs that had not paid for it."""

    charge: int
    asker: str
    purpose: str
    question: str
    charges: tuple[tuple[Pair, bool], ...]
    """Pairs of the request; True: paid now."""
    loss: Loss
    request: str
    fingerprint: str

    def to_json(self) -> Json:
        return {
            "charge": self.charge,
            "asker": self.asker,
            "purpose": self.purpose,
            "question": self.question,
            "charges": [[str(scope), block, int(new)] for (scope, block), new in self.charges],
            "loss": loss_to_json(self.loss),
            "request": self.request,
            "fingerprint": self.fingerprint,
        }


@dataclass(frozen=True, slots=True)
class RefuseBody:
    """A request that no budget allowed. It spent nothing."""

    code: str
    asker: str
    purpose: str
    question: str
    charges: tuple[Pair, ...]
    loss: Loss
    """What it would have cost."""
    asked_epsilon: int | None
    plan: Mapping[str, Any] = field(hash=False)

    def to_json(self) -> Json:
        return {
            "code": self.code,
            "asker": self.asker,
            "purpose": self.purpose,
            "question": self.question,
            "charges": _pairs_to_json(self.charges),
            "loss": loss_to_json(self.loss),
            "asked": _amount(self.asked_epsilon),
            "plan": self.plan,
        }


@dataclass(frozen=True, slots=True)
class Seen:
    """What somebody has seen, and what it costs in each of its blocks who has not paid for it."""

    entry: int
    """The charge of a release; or an adoption, for releases that are lost."""
    blocks: tuple[str, ...]
    loss: Loss


@dataclass(frozen=True, slots=True)
class JoinBody:
    """An analyst is a member of a group from here on, for ever; the group takes over what the analyst has seen."""

    group: str
    analyst: str
    seen: tuple[Seen, ...]
    """Releases that the group had not paid for. It spends their losses whatever its cap: they were seen."""
    lost: tuple[Seen, ...]
    """What adoptions say that the analyst has seen; the group may have paid for it, but nothing tells."""

    def spent(self) -> tuple[tuple[Pair, Loss], ...]:
        """What each block of the group spends, release by release."""
        scope = Scope("group", self.group)
        return tuple(((scope, block), each.loss) for each in (*self.seen, *self.lost) for block in each.blocks)

    def to_json(self) -> Json:
        return {
            "group": self.group,
            "analyst": self.analyst,
            "seen": _seen_to_json(self.seen),
            "lost": _seen_to_json(self.lost),
        }


@dataclass(frozen=True, slots=True)
class AdoptBody:
    """After a restore: what a checkpoint of lost entries shows as spent is spent here, too."""

    sequence: int
    """Of the checkpoint."""
    head: str
    """Of the checkpoint: 64 hexadecimal digits."""
    covers: Trail
    """Lost entries before it, and what its ledger had adopted: checkpoints taken at these are adopted with it."""
    gap: tuple[tuple[Pair, Loss], ...]
    """What was spent in the lost entries. It is spent whatever the caps: it has happened."""
    decisions: int
    """Grants and closes among the lost entries, at most."""
    reason: str
    actor: str

    def accounts_for(self, sequence: int, head: str) -> bool:
        """Whether what a checkpoint with this head had spent is charged with it."""
        place = (sequence, head[:TRAIL_DIGITS])
        return (self.sequence, self.head) == (sequence, head) or place in self.covers

    def to_json(self) -> dict[str, Json]:
        gap: list[Json] = [[str(scope), block, loss_to_json(loss)] for (scope, block), loss in self.gap]
        checkpoint: dict[str, Json] = {"sequence": self.sequence, "head": self.head}
        return {
            "checkpoint": checkpoint,
            "covers": trail_to_json(self.covers),
            "gap": gap,
            "decisions": self.decisions,
            "reason": self.reason,
            "actor": self.actor,
        }


Body = (
    GenesisBody
    | GrantBody
    | CloseBody
    | ChargeBody
    | ReleaseBody
    | FailBody
    | RepeatBody
    | RefuseBody
    | JoinBody
    | AdoptBody
)


def decode(entry: Entry) -> Body:
    """What `entry` says. LedgerError DPQ-804 for a kind this version does not know, DPQ-802 for an unreadable body."""
    reader = _READERS.get(entry.kind)
    if reader is None:
        raise LedgerError(
            "DPQ-804",
            f"entry {entry.sequence} of the ledger is of kind {entry.kind!r}, which this version does not know",
            fix="use the version of dpquery that wrote it",
        )
    try:
        return reader(json.loads(entry.body))
    except (LookupError, TypeError, ValueError, AttributeError, DpqueryError) as error:
        raise LedgerError(
            "DPQ-802", f"entry {entry.sequence} of the ledger cannot be read", fix="dpquery ledger verify DIR"
        ) from error


def _genesis(raw: dict[str, Any]) -> GenesisBody:
    return GenesisBody(raw["dataset"], raw["format"], raw["ledger"], raw["steward"], _whole(raw["grants"]))


def _grant(raw: dict[str, Any]) -> GrantBody:
    return GrantBody(Scope.parse(raw["scope"]), raw["block"], Cap(**raw["cap"]), raw["reason"], raw["actor"])


def _close(raw: dict[str, Any]) -> CloseBody:
    return CloseBody(Scope.parse(raw["scope"]), raw["block"], raw["reason"], raw["actor"])


def _charge(raw: dict[str, Any]) -> ChargeBody:
    return ChargeBody(
        asker=raw["asker"],
        purpose=raw["purpose"],
        question=raw["question"],
        unversioned=raw["unversioned"],
        charges=_pairs(raw["charges"]),
        loss=loss_from_json(raw["loss"]),
        asked_epsilon=_finite(raw["asked"]),
        request=raw["request"],
        fingerprint=raw["fingerprint"],
        plan=raw["plan"],
    )


def _release(raw: dict[str, Any]) -> ReleaseBody:
    return ReleaseBody(raw["charge"], raw["sha256"], raw["bytes"])


def _fail(raw: dict[str, Any]) -> FailBody:
    return FailBody(raw["charge"], raw["attempt"])


def _repeat(raw: dict[str, Any]) -> RepeatBody:
    return RepeatBody(
        charge=raw["charge"],
        asker=raw["asker"],
        purpose=raw["purpose"],
        question=raw["question"],
        charges=tuple(((Scope.parse(scope), block), new == 1) for scope, block, new in raw["charges"]),
        loss=loss_from_json(raw["loss"]),
        request=raw["request"],
        fingerprint=raw["fingerprint"],
    )


def _refuse(raw: dict[str, Any]) -> RefuseBody:
    return RefuseBody(
        code=raw["code"],
        asker=raw["asker"],
        purpose=raw["purpose"],
        question=raw["question"],
        charges=_pairs(raw["charges"]),
        loss=loss_from_json(raw["loss"]),
        asked_epsilon=_finite(raw["asked"]),
        plan=raw["plan"],
    )


def _join(raw: dict[str, Any]) -> JoinBody:
    group, analyst = Scope("group", raw["group"]), Scope("analyst", raw["analyst"])
    return JoinBody(group.name, analyst.name, _seen(raw["seen"]), _seen(raw["lost"]))


def _seen_to_json(seen: tuple[Seen, ...]) -> Json:
    return [[each.entry, list(each.blocks), loss_to_json(each.loss)] for each in seen]


def _seen(raw: list[Any]) -> tuple[Seen, ...]:
    return tuple(Seen(_whole(entry), tuple(map(_text, blocks)), loss_from_json(loss)) for entry, blocks, loss in raw)


def _adopt(raw: dict[str, Any]) -> AdoptBody:
    return AdoptBody(
        sequence=_whole(raw["checkpoint"]["sequence"]),
        head=_text(raw["checkpoint"]["head"]),
        covers=tuple((_whole(place), _text(digits)) for place, digits in raw["covers"]),
        gap=tuple(((Scope.parse(scope), _text(block)), loss_from_json(loss)) for scope, block, loss in raw["gap"]),
        decisions=_whole(raw["decisions"]),
        reason=raw["reason"],
        actor=raw["actor"],
    )


def _whole(raw: object) -> int:
    if type(raw) is not int or raw < 0:
        raise ValueError
    return raw


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError
    return raw


_READERS: Mapping[str, Callable[[dict[str, Any]], Body]] = {
    "genesis": _genesis,
    "grant": _grant,
    "close": _close,
    "charge": _charge,
    "release": _release,
    "fail": _fail,
    "repeat": _repeat,
    "refuse": _refuse,
    "join": _join,
    "adopt": _adopt,
}


def _amount(amount: int | None) -> int | str:
    return INFINITE if amount is None else amount


def _finite(raw: int | str) -> int | None:
    return None if raw == INFINITE else int(raw)


def trail_to_json(trail: Trail) -> Json:
    return [[place, digits] for place, digits in trail]


def loss_to_json(loss: Loss) -> dict[str, Json]:
    return {"epsilon": _amount(loss.epsilon), "rho": _amount(loss.rho), "delta": loss.delta}


def loss_from_json(raw: dict[str, Any]) -> Loss:
    """A loss that `loss_to_json` wrote; LookupError, TypeError, ValueError or DpqueryError for anything else."""
    return Loss(_finite(raw["epsilon"]), _finite(raw["rho"]), raw["delta"])


def _pairs_to_json(pairs: tuple[Pair, ...]) -> Json:
    return [[str(scope), block] for scope, block in pairs]


def _pairs(raw: list[list[str]]) -> tuple[Pair, ...]:
    return tuple((Scope.parse(scope), block) for scope, block in raw)
