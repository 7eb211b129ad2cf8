"""Random histories of one ledger against a few dictionaries."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dpquery.accounting import NOTHING, Cap, Loss, admits
from dpquery.errors import BudgetRefused
from dpquery.ledger import Charged, ChargeRequest, Grant, Ledger, Pair, Scope, make_steward_key

DATASET, GROUP = Scope("dataset"), Scope("group", "g")
ASKERS = {"ana": True, "ben": True, "cleo": False}
"""Whether they are in the group."""
CAPS = {
    DATASET: Cap(60, 40, 10, 20, 60),
    GROUP: Cap(25, 40, 10, 20, 30),
    **{Scope("analyst", name): Cap(15, 40, 10, 20, 20) for name in ASKERS},
}
BLOCKS = (("a",), ("b",), ("a", "b"))

losses = st.builds(Loss, st.none() | st.integers(0, 9), st.integers(0, 9), st.integers(0, 2))
questions = st.sampled_from(["q1", "q2", "q3"])
askers = st.sampled_from(sorted(ASKERS))
ids = st.none() | st.sampled_from(["r1", "r2"])


def pairs_of(asker: str, blocks: tuple[str, ...]) -> tuple[Pair, ...]:
    scopes = [DATASET, Scope("analyst", asker), *([GROUP] if ASKERS[asker] else [])]
    return tuple((scope, block) for scope in scopes for block in blocks)


class LedgerAgainstModel(RuleBasedStateMachine):
    @initialize()
    def create(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        key = self.folder / "key"
        make_steward_key(key)
        grants = [Grant(scope, "*", cap, "test", "steward") for scope, cap in CAPS.items()]
        self.ledger = Ledger.create(self.folder / "l.sqlite", dataset="d", steward_key=key, grants=grants)
        self.spent: dict[Pair, Loss] = {}
        self.paid: dict[int, set[Pair]] = {}
        self.price: dict[int, Loss] = {}
        self.by_id: dict[tuple[str, str], tuple[str, int]] = {}
        self.stored: dict[int, bytes] = {}
        self.failed: dict[int, int] = {}
        self.open: list[Charged] = []

    def fits(self, pairs: tuple[Pair, ...], loss: Loss) -> bool:
        return all(admits(CAPS[pair[0]], self.spent.get(pair, NOTHING), loss) for pair in pairs)

    def pay(self, pairs: tuple[Pair, ...], loss: Loss) -> None:
        for pair in pairs:
            self.spent[pair] = self.spent.get(pair, NOTHING) + loss

    def charged_or_refused(self, asked: ChargeRequest) -> Charged | str:
        try:
            return self.ledger.charge(asked)
        except BudgetRefused as error:
            return error.code

    @rule(asker=askers, question=questions, blocks=st.sampled_from(BLOCKS), loss=losses, request_id=ids)
    def charge(self, asker: str, question: str, blocks: tuple[str, ...], loss: Loss, request_id: str | None) -> None:
        asked = ChargeRequest(request_id, question, asker, "p", pairs_of(asker, blocks), loss)
        known = None if request_id is None else self.by_id.get((asker, request_id))
        charged = self.charged_or_refused(asked)
        if isinstance(charged, str):
            if known is None:
                assert charged == "DPQ-201"
                assert not self.fits(asked.pairs, loss)
            else:
                assert charged == ("DPQ-205" if known[0] == asked.fingerprint else "DPQ-203")
            return
        if known is not None:
            assert known == (asked.fingerprint, charged.sequence)
            assert not charged.fresh
            assert charged.payload == self.stored.get(charged.sequence)
        else:
            assert charged.fresh
            assert self.fits(asked.pairs, loss)
            self.pay(asked.pairs, loss)
            self.paid[charged.sequence] = set(asked.pairs)
            self.price[charged.sequence] = loss
            if request_id is not None:
                self.by_id[asker, request_id] = (asked.fingerprint, charged.sequence)
        if charged.payload is None:
            self.open.append(charged)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), payload=st.binary(max_size=5))
    def record(self, data: st.DataObject, payload: bytes) -> None:
        charged = data.draw(st.sampled_from(self.open))
        self.open.remove(charged)
        if charged.sequence in self.stored:
            assert self.ledger.record(charged, payload) == self.stored[charged.sequence]
        elif self.failed.get(charged.sequence, 0) < charged.attempt:
            assert self.ledger.record(charged, payload) == payload
            self.stored[charged.sequence] = payload

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        charged = data.draw(st.sampled_from(self.open))
        self.open.remove(charged)
        self.ledger.fail(charged)
        if charged.sequence not in self.stored:
            self.failed[charged.sequence] = max(self.failed.get(charged.sequence, 0), charged.attempt)

    @rule(asker=askers, question=questions, blocks=st.sampled_from(BLOCKS))
    def adopt(self, asker: str, question: str, blocks: tuple[str, ...]) -> None:
        stored = self.ledger.find_release(question, charged_to=pairs_of(asker, blocks))
        if stored is None:
            return
        asked = ChargeRequest(None, question, asker, "p", pairs_of(asker, blocks), NOTHING)
        owed = tuple(pair for pair in asked.pairs if pair not in self.paid[stored.sequence])
        price = self.price[stored.sequence]
        assert stored.owed(asked.charges) == owed
        try:
            charged = self.ledger.adopt(asked, stored)
        except BudgetRefused:
            assert not self.fits(owed, price)
            return
        assert self.fits(owed, price)
        assert charged.payload == self.stored[stored.sequence]
        assert tuple((pair.scope, pair.block) for pair in charged.charges if pair.new) == owed
        self.pay(owed, price)
        self.paid[stored.sequence] |= set(owed)

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self.folder / "l.sqlite")

    @invariant()
    def balances_are_those_of_the_model(self) -> None:
        if not hasattr(self, "ledger"):
            return
        assert {(b.scope, b.block): b.spent for b in self.ledger.balances()} == self.spent

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            assert self.ledger.verify().releases == len(self.stored)
            self.ledger.close()
            shutil.rmtree(self.folder)


TestLedgerAgainstModel = LedgerAgainstModel.TestCase
TestLedgerAgainstModel.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
def test_longer_histories() -> None:
    run_state_machine_as_test(
        LedgerAgainstModel,
        settings=settings(
            max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
