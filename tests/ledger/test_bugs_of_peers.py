"""Bugs that other systems had, one test each: ours does not have it, and a twin of ours that has it is found out."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from ledgers import Place, fresh_place, pure_grants
from memory_rows import prepare
from planning import POLICY, priced, small_catalog
from small_calls import alike, assert_claims_hold_for_all, call_row, in_memory
from stores import MadeStore, made_up_calls, make_store

from dpquery import budget
from dpquery.accounting import Cap, Loss
from dpquery.errors import DpqueryError, EngineError
from dpquery.ledger import Charged, ChargeRequest, Ledger, Scope
from dpquery.ledger.bodies import ChargeBody, decode
from dpquery.privacy import calibrate
from dpquery.privacy.calibrate import NANO
from dpquery.privacy.sensitivity import sensitivity
from dpquery.store_ledger import ledger_place

ANA, DATASET = Scope("analyst", "ana"), Scope("dataset")
CATALOG = small_catalog()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = fresh_place(tmp_path)
    place.create(pure_grants(100, "ana")).close()
    return place


def caught(check: Callable[[], None]) -> bool:
    """Whether `check` finds something wrong."""
    try:
        check()
    except (AssertionError, DpqueryError):
        return True
    return False


# M04: rows are capped by another bound than noise is made for.


def noise_is_made_for_the_cap_of_the_rows(connection: duckdb.DuckDBPyConnection) -> None:
    plan = priced("SELECT service, COUNT(*), SUM(talk_s) FROM calls GROUP BY service", CATALOG)
    rows = [*alike(6, 1, 2, service="voice", talk_s=60), *(call_row(1, other, other) for other in range(2, 6))]
    assert_claims_hold_for_all(plan, in_memory(connection, rows))


def test_m04_rows_are_capped_by_the_bound_that_noise_is_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_half_the_cap(measurement: Any, plan: Any) -> Any:
        full = sensitivity(measurement, plan)
        return type(full)(-(-full.l1 // 2), -(-full.l2_squared // 4), -(-full.linf // 2))

    with closing(prepare(duckdb.connect(":memory:"))) as connection:
        noise_is_made_for_the_cap_of_the_rows(connection)
        monkeypatch.setattr(calibrate, "sensitivity", of_half_the_cap)
        assert caught(lambda: noise_is_made_for_the_cap_of_the_rows(connection))


# M08: the formula that turns rho into epsilon lacks a logarithm.


def the_epsilon_shown_is_near_the_true_one() -> None:
    cap = Cap(10 * NANO, 10**12, 0, 10**12, 10**12)
    for rho in (10**9, 10**10, 10**11, 10**12):
        shown = budget.spent_epsilon(cap, Loss(None, rho, 0), 1e-6)
        true = pld.from_gaussian_mechanism(1 / math.sqrt(2 * rho / 10**12)).get_epsilon_for_delta(1e-6)
        assert true <= shown <= 1.22 * true


def test_m08_spending_is_not_counted_by_a_formula_without_its_logarithm(monkeypatch: pytest.MonkeyPatch) -> None:
    the_epsilon_shown_is_near_the_true_one()
    without_log = lambda rho, delta: rho / 1e12 + 2 * math.sqrt(rho / 1e12 / delta)  # noqa: E731
    monkeypatch.setattr(budget, "epsilon_of_rho", without_log)
    assert caught(the_epsilon_shown_is_near_the_true_one)


# M20: a small rho at a large delta comes out as a negative epsilon.


def no_epsilon_is_negative() -> None:
    for delta in (10**12, 10**17, 9 * 10**17):
        cap = Cap(NANO, delta, 0, delta, 10**12)
        shown = [budget.spent_epsilon(cap, Loss(None, rho, 0), 1e-6) for rho in (0, 1, 10**3, 10**6, 10**9, 10**11)]
        assert shown == sorted(shown)
        assert shown[0] >= 0.0


def test_m20_no_epsilon_is_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    def unclamped(rho_pico: int, delta: float) -> float:
        """Canonne, Kamath, Steinke, NeurIPS 2020, Cor. 13, as it stands."""
        orders = [1 + 2.0**power for power in range(-10, 40)]
        rho = rho_pico / 1e12
        return min(rho * a + (math.log(1 / (a * delta)) + (a - 1) * math.log1p(-1 / a)) / (a - 1) for a in orders)

    no_epsilon_is_negative()
    with pytest.raises(DpqueryError):
        Loss.of(Fraction(-1, 10))
    monkeypatch.setattr(budget, "epsilon_of_rho", unclamped)
    assert caught(no_epsilon_is_negative)


# M27: each part of an answer spends the whole epsilon, or a retry spends it again.


def the_parts_of_an_answer_spend_its_price_together() -> None:
    for gaussian in (False, True):
        sql = "SELECT service, COUNT(*), SUM(talk_s), AVG(score) FROM calls GROUP BY service"
        plan = priced(sql, CATALOG, gaussian=gaussian)
        assert len(plan.parts) > 2
        if plan.mechanism == "laplace":
            lost = sum(Fraction(part.sensitivity.l1) / Fraction(part.scale) for part in plan.parts)
            assert plan.loss.epsilon is not None
            assert lost <= Fraction(plan.loss.epsilon, NANO) <= 1
        else:
            lost = sum(Fraction(part.sensitivity.l2_squared) / (2 * Fraction(part.scale) ** 2) for part in plan.parts)
            assert plan.loss.rho is not None
            assert lost <= Fraction(plan.loss.rho, 10**12)


def a_retry_spends_nothing(place: Place) -> None:
    asked = ChargeRequest("one", "q", "ana", "p", ((DATASET, "a"), (ANA, "a")), Loss(3, None, 0))
    with place.open() as ledger:
        for _ in range(3):
            ledger.charge(asked)
        assert {balance.spent.epsilon for balance in ledger.balances()} == {3}


def test_m27_the_whole_epsilon_is_spent_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    the_parts_of_an_answer_spend_its_price_together()
    with monkeypatch.context() as broken:
        broken.setattr(calibrate, "_split", lambda total, weights: [total for _ in weights])
        assert caught(the_parts_of_an_answer_spend_its_price_together)
    a_retry_spends_nothing(place)
    monkeypatch.setattr("dpquery.ledger.spending._asked_before", lambda *_: None)
    monkeypatch.setattr("dpquery.ledger.spending._remember", lambda *_: None)
    assert caught(lambda: a_retry_spends_nothing(place))


# M30: a charge is given back when the engine fails.


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, POLICY, made_up_calls(50))


def a_failed_answer_stays_paid(made: MadeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise EngineError("DPQ-701", "stopped")

    with monkeypatch.context() as engine, made.connect() as session:
        engine.setattr("dpquery.measuring.execute", failing)
        before = paid(session.ledger)
        with pytest.raises(EngineError) as stopped:
            session.sql("SELECT COUNT(*) FROM calls").run(epsilon=0.5)
        assert stopped.value.spent == 0.5
        assert paid(session.ledger) == before + 1
        assert {b.spent.epsilon for b in session.ledger.balances()} == {NANO // 2 * paid(session.ledger)}
        session.ledger.verify()


def paid(ledger: Ledger) -> int:
    return sum(entry.kind == "charge" for entry in ledger.entries())


def test_m30_no_refund_when_the_engine_fails(made: MadeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    a_failed_answer_stays_paid(made, monkeypatch)
    file = Path(ledger_place(made.steward.store))
    kept = file.with_name("kept")
    charge = Ledger.charge

    def kept_before(ledger: Ledger, request: ChargeRequest) -> Charged:
        shutil.copy2(file, kept)
        return charge(ledger, request)

    def refund(ledger: Ledger, _: Charged) -> None:
        ledger.close()
        shutil.copy2(kept, file)

    monkeypatch.setattr(Ledger, "charge", kept_before)
    monkeypatch.setattr(Ledger, "fail", refund)
    assert caught(lambda: a_failed_answer_stays_paid(made, monkeypatch))


# M31: what an answer costs depends on the groups that the rows have.

PEOPLE = POLICY.replace("[limits]", "[limits]\nmin_people = 5").replace("delta = 1e-6", "delta = 1e-8")
GROUPED = "SELECT free_text, COUNT(*) AS n FROM calls WHERE direction = 'inbound' GROUP BY free_text"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[MadeStore]:
    """One group, many groups, no rows at all."""
    one, many = made_up_calls(200), made_up_calls(200)
    many["free_text"] = [f"group {i % 50}" for i in range(len(many))]
    empty = one.iloc[:0]
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "many", "empty")]
    return [make_store(folder, PEOPLE, calls) for folder, calls in zip(folders, (one, many, empty), strict=True)]


def the_price_is_that_of_the_question(stores: list[MadeStore]) -> None:
    prices = []
    for made in stores:
        with made.connect() as session:
            session.sql(GROUPED).run(epsilon=0.5, fresh=True)
            bodies = [decode(entry) for entry in session.ledger.entries()]
            prices.append([body.loss for body in bodies if isinstance(body, ChargeBody)][-1])
    assert len(set(prices)) == 1


def test_m31_the_price_does_not_depend_on_the_groups_in_the_rows(
    stores: list[MadeStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    the_price_is_that_of_the_question(stores)
    charge = Ledger.charge
    groups = iter([1, 50, 0])

    def by_groups(ledger: Ledger, request: ChargeRequest) -> Charged:
        loss = request.loss
        return charge(ledger, replace(request, loss=Loss(loss.epsilon, loss.rho, loss.delta + next(groups))))

    monkeypatch.setattr(Ledger, "charge", by_groups)
    assert caught(lambda: the_price_is_that_of_the_question(stores))
