"""Random histories of one ledger against a model, whose writers may die at any statement."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from crashes import ENDINGS, Ending
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
from ledger_history import ASKERS, CAPS, Death, History, asked
from ledger_model import differences
from ledgers import STORES

from dpquery.accounting import NOTHING, Cap, Loss
from dpquery.ledger import Charged, ChargeRequest, Scope

POINTS_MIN, POINTS_MAX = 10, 40
"""How many points an act has: one before and one after each statement, and COMMIT."""

losses = st.builds(Loss, st.none() | st.integers(0, 9), st.integers(0, 9), st.integers(0, 2))
blocks = st.sampled_from([("a",), ("b",), ("a", "b")])
requests = st.builds(
    asked,
    st.sampled_from(sorted(ASKERS)),
    st.sampled_from(["q1", "q2", "q3"]),
    blocks,
    losses,
    st.none() | st.sampled_from(["r1", "r2"]),
)
deaths = st.none() | st.builds(Death, st.sampled_from(ENDINGS), st.integers(0, POINTS_MAX))
either = st.integers(0, 1)
"""Which of the two open ledgers acts."""
scopes = st.sampled_from(sorted(CAPS, key=str))
named_blocks = st.sampled_from(["*", "a", "b"])


def scaled(cap: Cap, tenths: int) -> Cap:
    return Cap(cap.epsilon * tenths // 10, cap.delta, cap.delta_selection, cap.delta_conversion, cap.rho * tenths // 10)


class LedgerAgainstModel(RuleBasedStateMachine):
    store = STORES[0]
    history: History | None = None

    @property
    def now(self) -> History:
        assert self.history is not None
        return self.history

    @initialize()
    def create(self) -> None:
        self.history = History(self.store)

    @rule(which=either, request=requests, death=deaths)
    def charge(self, which: int, request: ChargeRequest, death: Death | None) -> None:
        self.now.charge(which, request, death)

    @precondition(lambda self: self.history.open)
    @rule(which=either, data=st.data(), payload=st.binary(max_size=5), death=deaths)
    def record(self, which: int, data: st.DataObject, payload: bytes, death: Death | None) -> None:
        self.now.record(which, self._taken(data), payload, death)

    @precondition(lambda self: self.history.open)
    @rule(which=either, data=st.data(), death=deaths)
    def fail(self, which: int, data: st.DataObject, death: Death | None) -> None:
        self.now.fail(which, self._taken(data), death)

    @precondition(lambda self: self.history.world.stored)
    @rule(which=either, request=requests, death=deaths)
    def adopt(self, which: int, request: ChargeRequest, death: Death | None) -> None:
        self.now.adopt(which, request, death)

    @rule(which=either, scope=scopes, block=named_blocks, tenths=st.integers(0, 10), death=deaths)
    def grant(self, which: int, scope: Scope, block: str, tenths: int, death: Death | None) -> None:
        self.now.grant(which, scope, block, scaled(CAPS[scope], tenths), death)

    @rule(which=either, scope=scopes, block=named_blocks, death=deaths)
    def close_scope(self, which: int, scope: Scope, block: str, death: Death | None) -> None:
        self.now.close_scope(which, scope, block, death)

    @rule(which=either)
    def reopen(self, which: int) -> None:
        self.now.reopen(which)

    @rule(clock=st.datetimes(timezones=st.just(UTC)))
    def turn_the_clock(self, clock: datetime) -> None:
        self.now.clock = clock.replace(microsecond=0)

    @invariant()
    def the_ledgers_by_turns_hold_what_the_model_does(self) -> None:
        if self.history is not None:
            turn = len(self.history.labels) % 2
            assert differences(self.history.world, self.history.ledgers[turn]) == []

    def teardown(self) -> None:
        if self.history is not None:
            self.history.check()
            self.history.close()

    def _taken(self, data: st.DataObject) -> Charged:
        charged: Charged = data.draw(st.sampled_from(self.now.open))
        self.now.open.remove(charged)
        return charged


def run(store: str, *, histories: int, steps: int) -> None:
    machine = type("LedgerAgainstModel", (LedgerAgainstModel,), {"store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("store", STORES)
def test_histories_with_deaths(store: str) -> None:
    run(store, histories=50 if store == "sqlite" else 10, steps=40)


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_many_long_histories_with_deaths(store: str) -> None:
    run(store, histories=1700 if store == "sqlite" else 300, steps=60)


@pytest.mark.parametrize(
    ("store", "ending"),
    [
        pytest.param(store, ending, marks=[pytest.mark.slow] if store != "sqlite" and ending != "interrupt" else [])
        for store in STORES
        for ending in ENDINGS
    ],
)
def test_a_writer_may_die_at_every_statement(store: str, ending: Ending) -> None:
    """Each act in turn dies at its first point, then at its second, until it is through."""
    history = History(store)

    def again(request: ChargeRequest) -> Charged:
        return history.ledgers[0].charge(request)

    try:
        first = asked("ana", "q1", ("a", "b"), Loss(3, 2, 1), "r1")
        second = asked("ben", "q1", ("a", "b"), NOTHING, "r2")
        third = asked("cleo", "q2", ("a",), Loss(None, 2, 1), "r3")
        too_much = asked("cleo", "q3", ("a",), Loss(40, None, 0), None)
        dataset = Scope("dataset")
        acts: list[Callable[[Death], object]] = [
            lambda death: history.charge(0, first, death),
            lambda death: history.record(1, again(first), b"answer", death),
            lambda death: history.adopt(1, second, death),
            lambda death: history.charge(1, third, death),
            lambda death: history.fail(0, again(third), death),
            lambda death: history.charge(0, too_much, death),
            lambda death: history.grant(0, dataset, "a", CAPS[dataset], death),
            lambda death: history.close_scope(1, dataset, "b", death),
        ]
        points = [dies_everywhere(history, ending, act) for act in acts]
        assert all(POINTS_MIN <= count <= POINTS_MAX for count in points), points
        kinds = history.world.kinds[len(CAPS) + 1 :]
        assert {"charge", "release", "repeat", "fail", "refuse", "grant", "close"} == set(kinds)
    finally:
        history.close()


def dies_everywhere(history: History, ending: Ending, act: Callable[[Death], object]) -> int:
    """How many points `act` has: at the last of them it is committed."""
    before = len(history.world.kinds)
    for at in range(POINTS_MAX):
        act(Death(ending, at))
        if len(history.world.kinds) > before:
            return at + 1
    raise AssertionError("the act never commits")
