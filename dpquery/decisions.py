"""A steward's grants, raises and closes: checked against the policy, signed into the ledger, and told in full."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from dpquery import arguments
from dpquery.accounting import ATTO, NOTHING, Cap, admits
from dpquery.budget import amount_of, scope_budget
from dpquery.documents import CapState, DecisionDocument, LedgerEntry
from dpquery.errors import UsageError
from dpquery.first_grants import INIT, cap_of, exact
from dpquery.ledger import EACH_BLOCK, Grant, Scope
from dpquery.store.manifest import WHOLE_TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.ledger import Caps, Entry, Ledger, ScopeBalance
    from dpquery.policy import Policy

EPSILON_MAX, DELTA_MAX = 1e9, 1e-3
"""Limits on a budget's amounts, as in a policy."""

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a scope may spend: epsilon, and delta (None: as in the cap in force)."""

    epsilon: float
    delta: float | None

    @classmethod
    def checked(cls, epsilon: object, delta: object) -> Amounts:
        """UsageError outside what a policy could say."""
        given = arguments.finite(epsilon, "epsilon", example="--epsilon 10")
        if not 0.0 < given <= EPSILON_MAX:
            raise UsageError("DPQ-002", "a budget's epsilon is above 0; close stops spending", fix="--epsilon 10")
        if delta is None:
            return cls(given, None)
        chance = arguments.finite(delta, "delta", example="--delta 1e-6")
        if not 0.0 <= chance <= DELTA_MAX:
            raise UsageError("DPQ-002", f"a budget's delta is from 0 to {DELTA_MAX:g}", fix="--delta 1e-6")
        return cls(given, chance)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a steward wants, as given: nothing of it is checked but the amounts."""

    action: Literal["grant", "raise", "close"]
    scope: str
    block: str
    amounts: Amounts | None
    """None for a close."""
    reason: str
    actor: str


def decide(decision: Decision, ledger: Ledger, policy: Policy, *, steward_key: Path) -> DecisionDocument:
    """Write the decision, signed, and say what it changed. UsageError for what the policy does not know."""
    before = ledger.caps()
    block = checked_block(decision.block)
    reason = arguments.text(decision.reason, "reason", example='reason="a study of the spring"')
    actor = arguments.text(decision.actor, "actor", example='actor="eva"')
    if actor == INIT:
        raise UsageError(
            "DPQ-002", f"{INIT} is who made the first grants, and decides nothing later", fix="--actor NAME"
        )
    if decision.amounts is None:
        scope = scope_to_close(policy, before, decision.scope)
        entry = ledger.close_scope(scope, block, reason=reason, actor=actor, steward_key=steward_key)
    else:
        scope = checked_scope(policy, decision.scope)
        cap = later_cap(decision.amounts, before, (scope, block), thresholds=policy.limits.min_people is not None)
        write = ledger.raise_cap if decision.action == "raise" else ledger.grant
        entry = write(Grant(scope, block, cap, reason, actor), steward_key=steward_key)
    return _document(
        _Change(decision, scope, block, before, ledger.caps(), _touched(ledger, scope, block)), policy, entry
    )


def later_cap(amounts: Amounts, caps: Caps, pair: tuple[Scope, str], *, thresholds: bool) -> Cap:
    """The cap of a later grant. UsageError if it names no delta, and no cap is in force to take it from.

    Its delta is split as that of the scope's first cap was: that split is fixed. `thresholds` tells how to split where
    there is none.
    """
    ceiling, in_force = caps.ceiling(*pair), caps.cap(*pair)
    if amounts.delta is not None:
        delta = exact(amounts.delta)
    elif in_force is not None:
        delta = Fraction(in_force.delta, ATTO)
    else:
        why = f"{pair[0]} has no cap in block {pair[1]} yet, so delta must be named"
        raise UsageError("DPQ-002", why, fix="--delta 1e-6, or --delta 0 for Laplace noise only")
    cap = cap_of(amounts.epsilon, delta, thresholds=thresholds if ceiling is None else ceiling.delta_selection > 0)
    if ceiling is not None and cap.epsilon <= ceiling.epsilon and cap.delta <= ceiling.delta:
        # Less epsilon and delta allow less rho, but for the last digits of what is computed.
        cap = replace(cap, rho=min(cap.rho, ceiling.rho))
    return cap


def checked_block(text: object) -> str:
    """A month, `all` or `*`; UsageError for anything else."""
    block = arguments.text(text, "block", example='block="2026-01"')
    if block not in {EACH_BLOCK, WHOLE_TABLE} and _MONTH.fullmatch(block) is None:
        raise UsageError(
            "DPQ-002",
            f"{block[:32]!r} names no block: a block is a month, all (tables without months) or * (each)",
            fix="--block 2026-01",
        )
    return block


def checked_scope(policy: Policy, text: object) -> Scope:
    """The scope that `text` names; UsageError if the policy names no such analyst, group or purpose."""
    scope = Scope.parse(arguments.text(text, "scope", example='scope="analyst:ana"'))
    known = _known(policy)
    if scope not in known:
        names = [each.name for each in known if each.kind == scope.kind]
        near = get_close_matches(scope.name, names, n=1, cutoff=0.0)
        raise UsageError(
            "DPQ-002",
            f"the policy names no {scope.kind} {scope.name[:64]!r}",
            fix=f"--scope {scope.kind}:{near[0]}" if near else f"name the {scope.kind} in the policy first",
        )
    return scope


def scope_to_close(policy: Policy, caps: Caps, text: object) -> Scope:
    """A scope that may be closed: one that the policy names, or that was granted something before."""
    scope = Scope.parse(arguments.text(text, "scope", example='scope="analyst:ana"'))
    granted = caps.cap(scope, EACH_BLOCK) is not None or bool(caps.blocks_of(scope))
    return scope if granted else checked_scope(policy, text)


def _known(policy: Policy) -> tuple[Scope, ...]:
    groups = dict.fromkeys(analyst.group for analyst in policy.analysts.values() if analyst.group is not None)
    return (
        Scope("dataset"),
        *(Scope("analyst", name) for name in policy.analysts),
        *(Scope("group", name) for name in groups),
        *(Scope("purpose", name) for name in policy.purposes),
    )


@dataclass(frozen=True, slots=True)
class _Change:
    """A decision that was written, and the caps before and after."""

    decision: Decision
    scope: Scope
    block: str
    before: Caps
    after: Caps
    touched: tuple[ScopeBalance, ...]
    """Where it applies and something is spent, or a grant names the block."""


def _touched(ledger: Ledger, scope: Scope, block: str) -> tuple[ScopeBalance, ...]:
    return tuple(b for b in ledger.balances() if b.scope == scope and block in {EACH_BLOCK, b.block})


def _document(change: _Change, policy: Policy, entry: Entry) -> DecisionDocument:
    pair = (change.scope, change.block)
    ceiling = change.after.ceiling(*pair)
    return DecisionDocument(
        action=change.decision.action,
        scope=str(change.scope),
        block=change.block,
        reason=change.decision.reason,
        actor=change.decision.actor,
        before=_state(change.before, pair),
        after=_state(change.after, pair),
        ceiling=None if ceiling is None else amount_of(ceiling),
        scopes=tuple(
            scope_budget(b, policy.limits.delta_release, change.after.ceiling(b.scope, b.block))
            for b in change.touched
            if b.cap is not None
        ),
        ledger=LedgerEntry(entry=entry.name, at=entry.at),
        notes=() if change.decision.action == "close" else tuple(_notes(change, policy)),
    )


def _state(caps: Caps, pair: tuple[Scope, str]) -> CapState:
    cap = caps.cap(*pair)
    return CapState(state="open" if caps.is_open(*pair) else "closed", cap=None if cap is None else amount_of(cap))


def _notes(change: _Change, policy: Policy) -> list[str]:
    """What a steward may not expect of a grant."""
    scope, after = change.scope, change.after
    named = sorted(after.blocks_of(scope)) if change.block == EACH_BLOCK else []
    own = [block for block in named if after.granted(scope, block)]
    opened = [block for block in named if after.is_open(scope, block) and not change.before.is_open(scope, block)]
    full = [b.block for b in change.touched if b.cap is not None and not admits(b.cap, b.spent, NOTHING)]
    ceiling = after.ceiling(scope, change.block)
    unsplit = ceiling is not None and ceiling.delta > 0 and ceiling.delta_selection == 0
    told = [
        (own, "granted by name, which stays as it is; name the block to change it"),
        (opened, "was closed, and is open again"),
        (full, "more than the cap is spent there, so nothing more fits"),
    ]
    notes = [f"{', '.join(blocks)}: {what}" for blocks, what in told if blocks]
    if unsplit and policy.limits.min_people is not None:
        notes.append("its first cap set no delta aside for groups that are not declared, so they stay refused")
    return notes
