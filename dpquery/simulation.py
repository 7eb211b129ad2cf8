"""A simulation as a document: what would have been refused, when budgets would have run out, what would be left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from dpquery.accounting import NANO
from dpquery.budget import scope_budget
from dpquery.documents import LedgerState, RefusedThen, ReplayedEntries, SimulatedScope, SimulationDocument
from dpquery.first_grants import first_grants
from dpquery.ledger import Standing
from dpquery.ledger.bodies import decode
from dpquery.replay import Past, balances, replay

if TYPE_CHECKING:
    from dpquery.accounting import Cap, Loss
    from dpquery.ledger import Ledger, Pair
    from dpquery.policy import Policy
    from dpquery.replay import Refused, Replayed

LIMITS = (
    "losses stay as they were: another policy may price a query otherwise, and analysts would have asked otherwise",
    "only budgets, epsilon_max, min_people, analysts, groups, purposes, tables and blocks are looked at",
    "which columns, rows and further tables a query read is not in its entry",
)
"""What a simulation cannot know."""


def simulation_document(ledger: Ledger, before: Policy, after: Policy) -> SimulationDocument:
    """The ledger's past under the policy `after`; the ledger is verified on the way."""
    verified = ledger.verify()
    past = (Past(entry.sequence, entry.at, decode(entry)) for entry in ledger.entries())
    found = replay(past, before, after, first_grants(after))
    counts = {name: found.counts.get(name, 0) for name in ("charged", "repeated", "refused", "decisions")}
    return SimulationDocument(
        dataset=after.dataset,
        policy_version=after.version,
        ledger=LedgerState(head=verified.head, entries=verified.entries, verified=verified.verified),
        replayed=ReplayedEntries(**counts),
        refused=tuple(_refused(each) for each in found.refused),
        could_be_asked=len(found.could_be_asked),
        scopes=tuple(_scope(found, ledger, after, held) for held in balances(found)),
        notes=(*LIMITS, *_notes(found, before, after)),
    )


def _refused(refused: Refused) -> RefusedThen:
    question = refused.question
    return RefusedThen(
        entry=question.sequence,
        at=question.at,
        analyst=question.asker,
        purpose=question.purpose,
        table=question.table,
        epsilon=None if question.asked_epsilon is None else question.asked_epsilon / NANO,
        by=refused.by,
        block=refused.block,
        code=refused.code,
        why=refused.why,
    )


def _scope(found: Replayed, ledger: Ledger, policy: Policy, held: tuple[Pair, Cap, Loss]) -> SimulatedScope:
    (scope, block), cap, spent = held
    delta = policy.limits.delta_release
    state: Literal["open", "closed"] = "open" if found.caps.is_open(scope, block) else "closed"
    would = scope_budget(Standing(scope, block, cap, spent, state), delta, None)
    (now,) = ledger.standing([(scope, block)])
    return SimulatedScope(
        scope=str(scope),
        block=block,
        state=would.state,
        cap=would.cap,
        spent=would.spent,
        left=would.left,
        used=would.used,
        ran_out_at=found.ran_out.get((scope, block)),
        left_now=None if now.cap is None else scope_budget(now, delta, None).left,
    )


def _notes(found: Replayed, before: Policy, after: Policy) -> list[str]:
    """What holds for this simulation besides the limits of all."""
    notes = []
    if any("*" not in purpose.tables for purpose in after.purposes.values()):
        notes.append("of joined tables only the first is known")
    if found.counts.get("decisions"):
        notes.append(f"{found.counts['decisions']} later grants, raises and closes were replayed as they were made")
    if found.beyond:
        names = ", ".join(map(str, found.beyond))
        notes.append(f"later grants above the new ceilings were left out: {names}")
    if found.former:
        told = ", ".join(f"{analyst} in {group}" for group, analyst in found.former)
        notes.append(f"as things are a group pays for whoever ever was a member; left out here: {told}")
    if found.gaussian and not after.limits.gaussian:
        notes.append(f"{found.gaussian} answers had Gaussian noise, which the new policy forbids")
    months = [name for name, table in after.tables.items() if table.block == "month"]
    divided = [name for name in months if name in before.tables and before.tables[name].block != "month"]
    if divided:
        notes.append(f"queries over {', '.join(divided)} are charged to each month of the period: which is not known")
    return notes
