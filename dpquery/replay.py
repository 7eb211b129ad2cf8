"""The past queries of a ledger under another policy: which it would have refused, and what would be left.

Nothing is priced anew and no row is read: every query is asked again in order at the loss it had. Whoever is refused
spends nothing; everything else follows from the entries, so the same entries give the same result.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, assert_never

from dpquery.accounting import NANO, NOTHING, Cap, Loss
from dpquery.asking.access import check_purpose, check_table
from dpquery.errors import NotAllowed
from dpquery.ledger import EACH_BLOCK, Caps, Grant, Pair, Scope
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
)
from dpquery.ledger.refusals import obstacles
from dpquery.ledger.scopes import Member, pair_key
from dpquery.store.manifest import WHOLE_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dpquery.ledger.refusals import Obstacle
    from dpquery.policy import Policy, Table


@dataclass(frozen=True, slots=True)
class Past:
    """An entry of a ledger, decoded."""

    sequence: int
    at: str
    body: Body


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody once asked, as far as its entry tells."""

    sequence: int
    """Of the entry."""
    at: str
    asker: str
    purpose: str
    table: str
    """The table that its rows came from; tables that were joined to it are not known."""
    blocks: tuple[str, ...]
    loss: Loss
    asked_epsilon: int | None
    """In nano, as it was asked."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A question that the policy would not let through, and the first reason."""

    question: Question
    by: str
    """The scope whose budget does not allow it, or `policy`."""
    block: str | None
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """How a ledger's past would have gone."""

    refused: tuple[Refused, ...]
    """Questions that were answered then, in their order."""
    could_be_asked: tuple[Question, ...]
    """Questions that were refused then, and that would be let through; they spend nothing here."""
    caps: Caps
    spent: Mapping[Pair, Loss]
    ran_out: Mapping[Pair, str]
    """When a scope and block first did not allow a question that was answered then."""
    counts: Mapping[str, int]
    """Entries that were replayed: charged, repeated, refused, decisions."""
    beyond: tuple[Scope, ...]
    """Scopes with later grants that were left out: they are above the policy's ceiling."""
    former: tuple[Member, ...]
    """Groups and analysts whom the ledger holds to be members, and who are none here: groups are the policy's."""
    gaussian: int
    """Answers with Gaussian noise among those charged."""


def replay(past: Iterable[Past], before: Policy, after: Policy, grants: Sequence[Grant]) -> Replayed:
    """Replay entries under the policy `after`, whose first grants are `grants`; they were made under `before`.

    Later grants, raises and closes are replayed as they were made.
    """
    state = _Replay(before, after)
    for grant in grants:
        state.caps.add(0, grant.body())
    for entry in past:
        state.apply(entry)
    return Replayed(
        refused=tuple(state.refused),
        could_be_asked=tuple(state.could_be_asked),
        caps=state.caps,
        spent=state.spent,
        ran_out=state.ran_out,
        counts=state.counts,
        beyond=tuple(dict.fromkeys(state.beyond)),
        former=tuple(member for member in state.members if not _is_member(after, member)),
        gaussian=state.gaussian,
    )


@dataclass(slots=True)
class _Replay:
    """State after some entries."""

    before: Policy
    after: Policy
    caps: Caps = field(default_factory=Caps)
    spent: dict[Pair, Loss] = field(default_factory=dict)
    charges: dict[int, ChargeBody] = field(default_factory=dict)
    """Every charge of the past, let through or not: repeats refer to them."""
    paid: dict[int, frozenset[Pair]] = field(default_factory=dict)
    """Who has paid for the releases that exist here, by their charge of the past."""
    refused: list[Refused] = field(default_factory=list)
    could_be_asked: list[Question] = field(default_factory=list)
    ran_out: dict[Pair, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    beyond: list[Scope] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    gaussian: int = 0
    beginning: int = 0
    """The last entry that the ledger was made with: the new policy's first grants take the place of these."""

    def apply(self, entry: Past) -> None:
        """Take in the next entry."""
        body = entry.body
        match body:
            case GrantBody() | CloseBody():
                if entry.sequence > self.beginning:
                    self._decide(entry.sequence, body)
            case ChargeBody():
                self.charges[entry.sequence] = body
                self.counts["charged"] += 1
                self.gaussian += body.plan.get("mechanism") == "gaussian"
                self._ask(_question(entry, body), entry.sequence)
            case RepeatBody():
                self.counts["repeated"] += 1
                charged = _question(entry, self.charges[body.charge])
                blocks = _blocks(pair for pair, _ in body.charges)
                again = replace(charged, asker=body.asker, purpose=body.purpose, blocks=blocks, loss=body.loss)
                self._ask(again, body.charge)
            case RefuseBody():
                self.counts["refused"] += 1
                question = _question(entry, body)
                if (_forbidden(self.after, question) or self._over(question, self._pairs(question))) is None:
                    self.could_be_asked.append(question)
            case AdoptBody():
                # What lost entries had spent was spent, whatever the policy.
                for pair, loss in body.gap:
                    self.spent[pair] = self.spent.get(pair, NOTHING) + loss
            case JoinBody():
                self.members.append((body.group, body.analyst))
            case GenesisBody(grants=grants):
                self.beginning = entry.sequence + grants
            case ReleaseBody() | FailBody():
                pass
            case _:
                assert_never(body)

    def _decide(self, sequence: int, decision: GrantBody | CloseBody) -> None:
        """A later decision, unless it is beyond what the new policy's ceilings allow."""
        if isinstance(decision, GrantBody):
            ceiling = self.caps.ceiling(decision.scope, decision.block)
            if ceiling is not None and not decision.cap.is_within(ceiling):
                self.beyond.append(decision.scope)
                return
        self.counts["decisions"] += 1
        self.caps.add(sequence, decision)

    def _ask(self, question: Question, charge: int) -> None:
        """Pay for the release of `charge`, whoever has not; if it was never made here, this question makes it."""
        pairs = self._pairs(question)
        paid = self.paid.get(charge, frozenset())
        owed = tuple(pair for pair in pairs if pair not in paid)
        refused = _forbidden(self.after, question) or self._over(question, owed)
        if refused is not None:
            self.refused.append(refused)
            self._note_ends(question, owed)
            return
        for pair in owed:
            self.spent[pair] = self.spent.get(pair, NOTHING) + question.loss
        self.paid[charge] = paid.union(owed)

    def _note_ends(self, question: Question, owed: tuple[Pair, ...]) -> None:
        """The budgets that have run out for this question, if they had not before."""
        if _forbidden(self.after, question) is None:
            for each in self._obstacles(question, owed):
                if each.why == "over":
                    self.ran_out.setdefault(each.pair, question.at)

    def _over(self, question: Question, owed: tuple[Pair, ...]) -> Refused | None:
        """The first budget that does not allow the question; None if all do."""
        for each in self._obstacles(question, owed):
            scope, block = each.pair
            words = {"over": "would be over budget", "ungranted": "has no budget", "closed": "is closed"}
            code = "DPQ-201" if each.why == "over" else "DPQ-202"
            return Refused(question, str(scope), block, code, f"{scope} {words[each.why]} in {block}")
        return None

    def _obstacles(self, question: Question, owed: tuple[Pair, ...]) -> tuple[Obstacle, ...]:
        return obstacles(self.caps, {pair: self.spent.get(pair, NOTHING) for pair in owed}, owed, question.loss)

    def _pairs(self, question: Question) -> tuple[Pair, ...]:
        """Every scope and block that pays under the new policy: the asker's own first, the dataset last."""
        analyst = self.after.analysts.get(question.asker)
        group = None if analyst is None else analyst.group
        scopes = (
            Scope("analyst", question.asker),
            *(() if group is None else (Scope("group", group),)),
            Scope("purpose", question.purpose),
            Scope("dataset"),
        )
        blocks = self._blocks_now(question)
        return tuple((scope, block) for scope in scopes for block in blocks)

    def _blocks_now(self, question: Question) -> tuple[str, ...]:
        """The blocks of a question where the new policy divides its table otherwise.

        Of a table that gets months, each of its period: which of them a question could touch is not known.
        """
        was, now = _stored(self.before, question.table), _stored(self.after, question.table)
        if was is None or now is None or was.block == now.block:
            return question.blocks
        if now.block == "none":
            return (WHOLE_TABLE,)
        others = {block for block in question.blocks if block != WHOLE_TABLE}
        return tuple(sorted(others.union(_months(now))))


def _is_member(policy: Policy, member: Member) -> bool:
    group, analyst = member
    return analyst in policy.analysts and policy.analysts[analyst].group == group


def _forbidden(policy: Policy, question: Question) -> Refused | None:
    """What the policy does not let anybody, or this asker, ask; None if budgets decide."""
    if question.asker not in policy.analysts:
        return Refused(question, "policy", None, "DPQ-303", f"the policy names no analyst {question.asker}")
    try:
        check_purpose(policy, question.asker, question.purpose)
        if question.table not in policy.tables:
            return Refused(question, "policy", None, "DPQ-103", f"there is no table {question.table}")
        check_table(policy, question.purpose, question.table)
    except NotAllowed as error:
        return Refused(question, "policy", None, error.code, error.why)
    most = int(Fraction(Decimal(repr(policy.limits.epsilon_max))) * NANO)
    if question.asked_epsilon is not None and question.asked_epsilon > most:
        why = f"epsilon {question.asked_epsilon / NANO:g} is above epsilon_max {policy.limits.epsilon_max:g}"
        return Refused(question, "policy", None, "DPQ-204", why)
    if question.loss.delta and policy.limits.min_people is None:
        return Refused(question, "policy", None, "DPQ-107", "groups that are not declared are not shown")
    return None


def _question(entry: Past, body: ChargeBody | RefuseBody) -> Question:
    return Question(
        sequence=entry.sequence,
        at=entry.at,
        asker=body.asker,
        purpose=body.purpose,
        table=str(body.plan.get("table", "")),
        blocks=_blocks(body.charges),
        loss=body.loss,
        asked_epsilon=body.asked_epsilon,
    )


def _blocks(pairs: Iterable[Pair]) -> tuple[str, ...]:
    return tuple(sorted({block for _, block in pairs}))


def _stored(policy: Policy, name: str) -> Table | None:
    """The table whose rows a query over `name` reads: that of a view is another one."""
    table = policy.tables.get(name)
    return table if table is None or table.legs_of is None else policy.tables.get(table.legs_of)


def _months(table: Table) -> tuple[str, ...]:
    """The months of a table's period."""
    if table.period is None:
        return (WHOLE_TABLE,)
    first, last = (day.year * 12 + day.month - 1 for day in table.period)
    return tuple(f"{month // 12:04}-{month % 12 + 1:02}" for month in range(first, last + 1))


def balances(replayed: Replayed) -> tuple[tuple[Pair, Cap, Loss], ...]:
    """Cap and spending of every scope and block that was asked for, and what each scope holds for each block."""
    touched = {*replayed.spent, *replayed.ran_out}
    pairs = [*sorted(touched, key=pair_key), *((scope, EACH_BLOCK) for scope in replayed.caps.scopes())]
    held = ((pair, replayed.caps.cap(*pair), replayed.spent.get(pair, NOTHING)) for pair in pairs)
    return tuple((pair, cap, spent) for pair, cap, spent in held if cap is not None)
