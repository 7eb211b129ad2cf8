"""A ledger's past under another policy: the same one changes nothing, and another ends where a real ledger would."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import newest_stored, quick_folder
from planning import POLICY
from stores import made_up_calls, make_store

from dpquery.accounting import NANO, NOTHING, Loss
from dpquery.errors import BudgetRefused
from dpquery.first_grants import INIT, cap_of, first_grants
from dpquery.ledger import ChargeRequest, Grant, Ledger, Pair, Scope, make_steward_key
from dpquery.ledger.bodies import AdoptBody, decode
from dpquery.policy import Policy, parse_policy
from dpquery.replay import Past, Replayed, balances, replay

WITH_GROUP = POLICY.replace("[analysts.ben]", 'group = "team"\n[analysts.ben]\ngroup = "team"').replace(
    "[budgets]", "[budgets]\ngroups = { team = { epsilon = 6.0, delta = 1e-6 } }"
)
SMALL = WITH_GROUP.replace("dataset = { epsilon = 30.0", "dataset = { epsilon = 9.0").replace(
    "ana = { epsilon = 10.0", "ana = { ceiling = 6.0, epsilon = 4.0"
)
SAME = parse_policy(SMALL)
HALVED = parse_policy(SMALL.replace("epsilon = 9.0", "epsilon = 4.5").replace("epsilon = 4.0", "epsilon = 2.0"))
DOUBLED = parse_policy(SMALL.replace("epsilon = 9.0", "epsilon = 18.0").replace("epsilon = 6.0", "epsilon = 12.0"))
GRANTS = {id(policy): first_grants(policy) for policy in (SAME, HALVED, DOUBLED)}
BLOCKS = (("2026-01",), ("2026-02",), ("2026-01", "2026-02"))
SCOPES = ("analyst:ana", "analyst:ben", "group:team", "dataset")


def nano(tenths: int) -> int:
    return tenths * NANO // 10


losses = st.integers(1, 20).map(lambda t: Loss(nano(t), t * t * 5 * 10**9, 0)) | st.integers(1, 20).map(
    lambda t: Loss(None, t * t * 10**9, 0)
)


@dataclass(frozen=True, slots=True)
class Ask:
    asker: str
    question: str
    blocks: tuple[str, ...]
    loss: Loss

    def request(self, policy: Policy) -> ChargeRequest:
        scopes = [Scope("analyst", self.asker), Scope("purpose", "network_planning"), Scope("dataset")]
        return ChargeRequest(
            None,
            self.question,
            self.asker,
            "network_planning",
            tuple((scope, block) for scope in scopes for block in self.blocks),
            self.loss,
            body={"table": "calls", "mechanism": "laplace", "cells": 1},
            asked_epsilon=self.loss.epsilon or NANO,
            members=tuple((each.group, name) for name, each in policy.analysts.items() if each.group is not None),
        )


@dataclass(frozen=True, slots=True)
class Decide:
    scope: str
    block: str
    epsilon: float | None
    """None: a close."""


asks = st.builds(
    Ask, st.sampled_from(["ana", "ben"]), st.sampled_from(["q1", "q2", "q3"]), st.sampled_from(BLOCKS), losses
)
decisions = st.builds(
    Decide,
    st.sampled_from(SCOPES),
    st.sampled_from(["*", "2026-01"]),
    st.none() | st.sampled_from([1.0, 3.0, 5.0, 5.5]),
)
histories = st.lists(asks | decisions, max_size=25) | st.lists(asks, max_size=25)


class Played:
    """A history on a real ledger."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        make_steward_key(folder / "key")
        self.key = folder / "key"
        self.policy = policy
        self.ledger = Ledger.create(
            folder / "ledger.sqlite", dataset="d", steward_key=self.key, grants=GRANTS[id(policy)]
        )
        self.refused: list[int] = []
        self.asked = 0

    def play(self, act: Ask | Decide) -> None:
        if isinstance(act, Decide):
            self.decide(act)
            return
        request = act.request(self.policy)
        stored = newest_stored(self.ledger, act.question)
        if stored is None:
            self.charge(request)
        else:
            self.adopt(request, stored)

    def charge(self, request: ChargeRequest) -> int | None:
        try:
            charged = self.ledger.charge(request)
        except BudgetRefused:
            return None
        self.ledger.record(charged, b"answer")
        return charged.sequence

    def adopt(self, request: ChargeRequest, stored: Any) -> bool:
        try:
            self.ledger.adopt(request, stored)
        except BudgetRefused:
            return False
        return True

    def decide(self, act: Decide) -> None:
        scope = Scope.parse(act.scope)
        if act.epsilon is None:
            self.ledger.close_scope(scope, act.block, reason="r", actor="eva", steward_key=self.key)
            return
        grant = Grant(scope, act.block, cap_of(act.epsilon, 1e-6, thresholds=False), "r", "eva")
        try:
            self.ledger.grant(grant, steward_key=self.key)
        except BudgetRefused:
            assert act.epsilon > self.ledger.caps().ceiling(scope, act.block).epsilon / NANO  # type: ignore[union-attr]

    def past(self) -> list[Past]:
        return [Past(entry.sequence, entry.at, decode(entry)) for entry in self.ledger.entries()]

    def spent(self) -> dict[Pair, Loss]:
        return {(b.scope, b.block): b.spent for b in self.ledger.balances() if b.spent != NOTHING}


def under(policy: Policy, past: list[Past]) -> Replayed:
    return replay(past, SAME, policy, GRANTS[id(policy)])


SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@SETTINGS
@given(histories)
def test_the_same_policy_refuses_nothing_that_was_answered_and_ends_at_the_same_balances(
    history: list[Ask | Decide],
) -> None:
    with quick_folder() as folder:
        played = Played(folder, SAME)
        for act in history:
            played.play(act)
        found = under(SAME, played.past())
        assert found.refused == ()
        assert found.could_be_asked == ()
        assert dict(found.spent) == played.spent()
        for (scope, block), cap, spent in balances(found):
            (now,) = played.ledger.standing([(scope, block)])
            assert (cap, spent) == (now.cap, now.spent)
            assert found.caps.is_open(scope, block) == (now.state == "open")
        assert sum(found.counts[kind] for kind in ("charged", "repeated", "refused")) == sum(
            isinstance(act, Ask) for act in history
        )
        played.ledger.close()


@SETTINGS
@given(st.lists(asks, max_size=25), st.sampled_from(["halved", "doubled"]))
def test_another_policy_ends_where_a_real_ledger_under_it_would(history: list[Ask], other_policy: str) -> None:
    """The oracle asks what was answered again, in order, of a ledger that had the other policy from the start."""
    policy = {"halved": HALVED, "doubled": DOUBLED}[other_policy]
    with quick_folder() as folder:
        (folder / "then").mkdir(mode=0o700)
        (folder / "other").mkdir(mode=0o700)
        then, other = Played(folder / "then", SAME), Played(folder / "other", policy)
        made: dict[int, Any] = {}
        refused: list[int] = []
        for act in history:
            then.play(act)
            entries = list(then.ledger.entries())
            last = decode(entries[-1])
            answered = entries[-2] if entries[-1].kind == "release" else entries[-1]
            if answered.kind == "refuse":
                continue
            charge = answered.sequence if answered.kind == "charge" else last.charge  # type: ignore[union-attr]
            price = decode(answered).loss  # type: ignore[union-attr]
            request = replace(act, loss=price, question=f"release {charge}").request(policy)
            if charge in made:
                done = other.adopt(request, made[charge])
            else:
                done = other.charge(request) is not None
                if done:
                    made[charge] = newest_stored(other.ledger, request.question)
            if not done:
                refused.append(answered.sequence)
        found = under(policy, then.past())
        assert [each.question.sequence for each in found.refused] == refused
        assert dict(found.spent) == other.spent()
        assert bool(found.ran_out) == bool(refused)
        assert set(found.ran_out) <= {pair for pair, _, _ in balances(found)}
        then.ledger.close()
        other.ledger.close()


def one_history(*acts: Ask | Decide) -> list[Past]:
    with quick_folder() as folder:
        played = Played(folder, SAME)
        for act in acts:
            played.play(act)
        past = played.past()
        played.ledger.close()
        return past


def pure(tenths: int) -> Loss:
    return Loss(nano(tenths), tenths * tenths * 5 * 10**9, 0)


ASKED = Ask("ana", "q1", ("2026-01",), pure(10))


def edited(change: str, to: str) -> Policy:
    assert re.search(change, SMALL)
    return parse_policy(re.sub(change, to, SMALL))


@pytest.mark.parametrize(
    ("change", "to", "code"),
    [
        ("epsilon_max = 2.0", "epsilon_max = 0.5", "DPQ-204"),
        ('regime = "opt-out"', 'regime = "opt-out"\ntables = ["cells"]', "DPQ-305"),
        ("network_planning", "other_purpose", "DPQ-304"),
        ("\\bana\\b", "anne", "DPQ-303"),
        ("calls", "records", "DPQ-103"),
    ],
)
def test_what_the_policy_forbids_is_refused_by_it(change: str, to: str, code: str) -> None:
    policy = edited(change, to)
    found = replay(one_history(ASKED), SAME, policy, first_grants(policy))
    assert [(each.by, each.code) for each in found.refused] == [("policy", code)]
    assert dict(found.spent) == {}


def test_the_first_scope_that_refuses_is_named_the_asker_s_own_before_the_shared() -> None:
    past = one_history(ASKED, replace(ASKED, question="q2", asker="ben"), replace(ASKED, question="q3"))
    policy = edited("ceiling = 6.0, epsilon = 4.0, delta = 1e-6", "epsilon = 1.5")
    found = replay(past, SAME, policy, first_grants(policy))
    assert [(r.by, r.block, r.question.asker) for r in found.refused] == [("analyst:ana", "2026-01", "ana")]
    assert set(found.ran_out) == {(Scope("analyst", "ana"), "2026-01")}
    grouped = edited("team = { epsilon = 6.0, delta = 1e-6 }", "team = { epsilon = 1.5 }")
    found = replay(past, SAME, grouped, first_grants(grouped))
    assert [r.by for r in found.refused] == ["group:team", "group:team"]


def test_what_was_refused_and_would_fit_is_counted_and_spends_nothing() -> None:
    over = replace(ASKED, loss=Loss(nano(45), 10**16, 0))
    past = one_history(over, over, ASKED)
    found = under(SAME, past)
    assert found.could_be_asked == ()
    richer = edited("ceiling = 6.0, epsilon = 4.0", "epsilon = 5.0")
    found = replay(past, SAME, replace_max(richer), first_grants(richer))
    assert len(found.could_be_asked) == 2
    assert found.spent[Scope("analyst", "ana"), "2026-01"] == ASKED.loss


def replace_max(policy: Policy) -> Policy:
    return policy.model_copy(update={"limits": policy.limits.model_copy(update={"epsilon_max": 9.0})})


def test_a_decision_right_after_the_first_grants_is_replayed_whoever_made_it(tmp_path: Path) -> None:
    """Who made it is a name that a steward writes; how many first grants there are stands in the first entry."""
    played = Played(tmp_path, SAME)
    cap = cap_of(6.0, 1e-6, thresholds=False)
    played.ledger.grant(Grant(Scope("analyst", "ana"), "*", cap, "r", INIT), steward_key=played.key)
    for question in ("q1", "q2", "q3"):
        played.play(replace(ASKED, question=question, loss=pure(15)))
    found = under(SAME, played.past())
    assert (found.counts["decisions"], found.refused) == (1, ())
    (now,) = played.ledger.standing([(Scope("analyst", "ana"), "2026-01")])
    assert found.caps.cap(now.scope, now.block) == now.cap == cap


def test_another_group_pays_from_the_start() -> None:
    alone = edited(r'group = "team"\n\[analysts.ben\]', "[analysts.ben]")
    found = replay(one_history(ASKED), SAME, alone, first_grants(alone))
    assert {str(scope) for scope, _ in found.spent} == {"analyst:ana", "purpose:network_planning", "dataset"}
    assert found.former == (("team", "ana"),)


def test_what_lost_entries_had_spent_was_spent() -> None:
    pair = (Scope("analyst", "ana"), "2026-01")
    gap = AdoptBody(
        sequence=9, head="0" * 64, covers=(), gap=((pair, pure(35)),), decisions=0, reason="restored", actor="eva"
    )
    past = one_history(ASKED)
    found = under(SAME, [*past, Past(90, "later", gap)])
    assert found.spent[pair] == ASKED.loss + pure(35)  # more than the cap: it is fact
    found = under(SAME, [past[0], Past(1, "before", gap), *past[1:]])
    assert [each.by for each in found.refused] == ["analyst:ana"]


def test_blocks_follow_the_new_policy() -> None:
    whole = edited('block = "month"', 'block = "none"')
    past = one_history(replace(ASKED, blocks=("2026-01", "2026-02")))
    found = replay(past, SAME, whole, first_grants(whole))
    assert {block for _, block in found.spent} == {"all"}
    assert found.spent[Scope("dataset"), "all"] == ASKED.loss
    past = one_history(replace(ASKED, blocks=("all",)))
    found = replay(past, whole, SAME, first_grants(SAME))
    assert {block for _, block in found.spent} == {"2026-01", "2026-02"}


def test_later_grants_above_a_new_ceiling_are_left_out_and_named() -> None:
    acts: list[Ask | Decide] = [ASKED, Decide("analyst:ana", "*", 5.5), replace(ASKED, question="q2")]
    lower = edited("ceiling = 6.0, epsilon = 4.0", "ceiling = 5.0, epsilon = 4.0")
    found = replay(one_history(*acts), SAME, lower, first_grants(lower))
    assert (found.beyond, found.counts["decisions"]) == ((Scope("analyst", "ana"),), 0)
    assert replay(one_history(*acts), SAME, SAME, first_grants(SAME)).counts["decisions"] == 1


def test_a_grant_before_the_first_query_is_a_later_one() -> None:
    """Only what `init` wrote gives way to the new policy."""
    past = one_history(Decide("analyst:ana", "*", 1.0), ASKED)
    assert under(SAME, past).caps.cap(Scope("analyst", "ana"), "*").epsilon == NANO  # type: ignore[union-attr]


def test_a_store_under_its_own_policy_and_under_a_smaller_budget(tmp_path: Path) -> None:
    made = make_store(tmp_path, POLICY, made_up_calls(60))
    with made.connect() as session:
        session.sql("SELECT COUNT(*) FROM calls WHERE day = '2026-01-03'").run(epsilon=1.5)
        session.sql("SELECT COUNT(*) FROM calls WHERE day = '2026-01-04'").run(epsilon=1.5)
        session.sql("SELECT COUNT(*) FROM subscribers").run(epsilon=0.5)
    head = made.steward.budget().ledger.head
    same = made.steward.simulate(made.folder / "policy.toml")
    assert (same.refused, same.could_be_asked, same.replayed.charged) == ((), 0, 3)
    for scope in same.scopes:
        assert scope.left == scope.left_now
        assert scope.ran_out_at is None
    now = {(s.scope, s.block): s for s in made.steward.budget().scopes}
    assert {(s.scope, s.block): s.spent for s in same.scopes} == {pair: s.spent for pair, s in now.items()}
    smaller = tmp_path / "smaller.toml"
    smaller.write_text(POLICY.replace("ana = { epsilon = 10.0, delta = 1e-6 }", "ana = { epsilon = 2.0 }"))
    found = made.steward.simulate(smaller)
    (refused,) = found.refused
    assert (refused.by, refused.block, refused.epsilon, refused.table) == ("analyst:ana", "2026-01", 1.5, "calls")
    ana = next(s for s in found.scopes if (s.scope, s.block) == ("analyst:ana", "2026-01"))
    assert ana.ran_out_at == refused.at
    assert ana.left.epsilon == pytest.approx(0.5)
    assert made.steward.budget().ledger.head == head
    shutil.rmtree(tmp_path / "store" / "tables", ignore_errors=True)  # no row is needed
    assert made.steward.simulate(smaller) == found


def test_what_a_refusal_would_have_cost_is_in_its_entry(tmp_path: Path) -> None:
    made = make_store(tmp_path, POLICY.replace("ana = { epsilon = 10.0", "ana = { epsilon = 1.0"), made_up_calls(60))
    with made.connect() as session:
        with pytest.raises(BudgetRefused):
            session.sql("SELECT COUNT(*) FROM calls WHERE day = '2026-01-03'").run(epsilon=1.5)
        body = json.loads(session.ledger.head().body)
    assert (body["code"], body["asked"], body["plan"]["table"]) == ("DPQ-201", 1_500_000_000, "calls")
    richer = tmp_path / "richer.toml"
    richer.write_text(POLICY)
    assert made.steward.simulate(richer).could_be_asked == 1
