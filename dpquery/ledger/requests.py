"""What callers ask of the ledger, and what they get back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dpquery.errors import ensure
from dpquery.ledger.bodies import loss_to_json
from dpquery.ledger.canonical import Json, canonical_text
from dpquery.ledger.entries import EACH_BLOCK
from dpquery.ledger.scopes import Member, Pair, is_plain, pair_key

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dpquery.accounting import Loss
    from dpquery.ledger.scopes import Scope

PAIRS_MAX = 10_000
BODY_LENGTH_MAX = 64 * 1024
TEXT_LENGTH_MAX = 256


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """One question and its price. Nothing in it may depend on protected rows."""

    request_id: str | None
    """Made by the asker; a retry with the same id, for the same request, never pays twice. None: no retry."""
    question: str
    """Digest of the canonical question, its versions included."""
    asker: str
    purpose: str
    charges: tuple[Pair, ...]
    """Scopes and blocks that pay; each pays the whole loss. Each block is charged to the dataset too. The groups that
    an analyst among them ever belonged to pay as well, whether they are named here or not."""
    loss: Loss
    body: Mapping[str, Json] = field(default_factory=dict, hash=False)
    """Summary of the plan for reports: integers, text, lists and objects."""
    asked_epsilon: int | None = None
    """What the asker asked for, in nano: stored releases answer requests that ask for no more. None: the epsilon of
    `loss`."""
    unversioned: str = ""
    """Digest of the question without the versions of data and consent, by which older answers to it are found."""
    as_of: str = ""
    """Which older answer is asked for, in the asker's words; empty: the one of today."""
    members: tuple[Member, ...] = ()
    """Everybody who belongs to a group by now: whom the ledger does not know yet joins before the charge."""

    def __post_init__(self) -> None:
        ensure(0 < len(self.charges) <= PAIRS_MAX, "a charge names its scopes")
        ensure(len(set(self.charges)) == len(self.charges), "a charge names each scope and block once")
        blocks = {block for _, block in self.charges}
        ensure(all(is_plain(block) and block != EACH_BLOCK for block in blocks), "a charge names plain blocks")
        paid = {block for scope, block in self.charges if scope.kind == "dataset"}
        ensure(paid == blocks, "the dataset pays for each block")
        ensure(all(is_plain(name) for member in self.members for name in member), "members have plain names")
        for text in (self.question, self.asker, self.purpose):
            ensure(0 < len(text) <= TEXT_LENGTH_MAX, "a request says what, who and why")
        ensure(self.request_id is None or 0 < len(self.request_id) <= TEXT_LENGTH_MAX, "a request id is short")
        ensure(len(canonical_text(self.body)) <= BODY_LENGTH_MAX, "the summary of a plan is small")

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The charges in the one order in which the ledger touches them."""
        return tuple(sorted(self.charges, key=pair_key))

    @property
    def own(self) -> tuple[Pair, ...]:
        """The asker's own scope in each block."""
        return tuple(pair for pair in self.charges if pair[0].kind == "analyst")

    @property
    def asked(self) -> int | None:
        """Nano-epsilon that stored releases are compared by; None: that of the loss, which has no limit."""
        return self.loss.epsilon if self.asked_epsilon is None else self.asked_epsilon

    @property
    def request_key(self) -> str:
        """Digest of the request's id, empty without one."""
        return "" if self.request_id is None else request_key(self.asker, self.request_id)

    @property
    def fingerprint(self) -> str:
        """Digest of all that makes a retry the same request: what was asked, and not who shares a group by now."""
        asked = -1 if self.asked_epsilon is None else self.asked_epsilon
        pairs = [[str(scope), block] for scope, block in self.pairs]
        amounts = loss_to_json(self.loss)
        return _digest(["fingerprint/1", self.question, self.purpose, pairs, amounts, asked, self.as_of])


@dataclass(frozen=True, slots=True)
class ChargedPair:
    """A scope and block that a release is charged to."""

    scope: Scope
    block: str
    new: bool
    """Charged by this request; False: it had paid for this release before."""


@dataclass(frozen=True, slots=True)
class Charged:
    """Proof of payment for one release. It stands whatever happens next."""

    sequence: int
    """Of the entry that charged the release."""
    release: str
    """Name of the release."""
    charge: str
    """`sha256:` and the hash of the entry that charged the release."""
    entry: str
    """`sha256:` and the hash of the entry that this request got (a charge, or a repeat)."""
    at: str
    charges: tuple[ChargedPair, ...]
    loss: Loss
    """What each new pair spent: for a stored release the price it was made at, not that of the request."""
    fresh: bool
    """This request made the charge."""
    payload: bytes | None = field(repr=False)
    """The stored release, to be handed out as it is. None: it is to be computed, then given to `record`."""
    attempt: int = 1
    """Which attempt at an answer this is, for `fail`."""


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release that can be handed out again."""

    sequence: int
    """Of the entry that charged it."""
    release: str
    entry: str
    at: str
    """When it was charged."""
    question: str
    asked_epsilon: int | None
    loss: Loss
    """What a scope that has not paid for it yet will be charged."""
    charged: frozenset[Pair]
    """Who has paid for it."""
    plan: Mapping[str, Any] = field(hash=False)
    """The summary of the plan that it was charged with, its versions among it."""

    def owed(self, charges: Collection[Pair]) -> tuple[Pair, ...]:
        """Those of `charges` that have not paid for this release."""
        return tuple(sorted((pair for pair in charges if pair not in self.charged), key=pair_key))


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """What the ledger says of a request that was charged, or got a stored release."""

    asker: str
    purpose: str
    question: str
    asked_epsilon: int | None
    """Of the charge."""
    plan: Mapping[str, Any] = field(hash=False)
    """The summary of the plan that was charged."""
    charged: Charged
    """What the request got; `payload` is None if no release is stored."""


def request_key(asker: str, request_id: str) -> str:
    """Digest of a request's id: ids are the asker's own, and what they contain is not stored."""
    return _digest(["request/1", asker, request_id])


def _digest(value: Json) -> str:
    return hashlib.sha256(canonical_text(value).encode("ascii")).hexdigest()
