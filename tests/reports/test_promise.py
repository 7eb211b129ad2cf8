"""The sentence about everything that is ever released stays true, whatever was granted, lowered, restored or spent."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_histories import HISTORY_POLICY, History, pure
from ledgers import quick_folder

from dpquery.accounting import NANO, NOTHING, Loss, admits
from dpquery.budget import budget_document, read_usage
from dpquery.errors import BudgetRefused
from dpquery.ledger import Ledger, Scope
from dpquery.noise.conversion import epsilon_of
from dpquery.reports.amounts import up
from dpquery.reports.budget_report import budget_report
from dpquery.reports.coverage import NO_VIEW
from dpquery.reports.report import Report

if TYPE_CHECKING:
    from dpquery.documents import ReportGuarantee

DATASET = Scope("dataset")
WITH_CEILING = HISTORY_POLICY.replace("dataset = { epsilon = 30.0", "dataset = { ceiling = 50.0, epsilon = 30.0")


def report(history: History) -> Report:
    verification, usage = read_usage(history.ledger)
    versions, at = {"dpquery": "0"}, history.now
    return Report(budget_report(history.policy, usage, verification, versions=versions, at=at, coverage=NO_VIEW))


def guarantee(history: History) -> ReportGuarantee:
    return report(history).document.guarantee


def promised(history: History) -> tuple[float | None, float | None]:
    found = guarantee(history)
    return found.promised.epsilon, found.unless_raised.epsilon


def test_a_cap_below_what_is_spent_takes_nothing_back(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.ask("ana", "network_planning", pure("3"))
    for block in ("*", "2026-01"):
        history.grant("dataset", 0.1, block=block, reason="less")
    found = guarantee(history)
    assert (found.promised.epsilon, found.unless_raised.epsilon) == (30.0, 3.0)
    assert found.unless_raised.right_guesses == found.spent_in_one_block.right_guesses
    assert "by at most a factor e^30, plus" in found.sentence
    assert found.sentence.endswith(
        "Unless a steward raises a cap, it changes by at most a factor e^3, plus delta = 1e-06."
    )


def test_a_cap_that_may_be_raised_promises_its_ceiling(tmp_path: Path) -> None:
    history = History(tmp_path, WITH_CEILING)
    assert promised(history) == (50.0, 30.0)
    history.grant("dataset", 50.0, reason="more")
    assert promised(history) == (50.0, 50.0)
    assert "Unless" not in guarantee(history).sentence
    record = yaml.safe_load(report(history).to_registry_yaml())["deployment"]["privacy_loss"]
    assert record["privacy_parameters"] == {"epsilon": 50.0, "delta": 1e-6}


def test_a_block_that_a_grant_names_hides_no_other_block(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.grant("dataset", 1.0, block="2026-01", reason="less in January")
    assert promised(history) == (30.0, 30.0)
    rows = {
        (each.scope, each.block): each.cap.epsilon for each in budget_document(history.policy, history.ledger).scopes
    }
    assert (rows["dataset", "2026-01"], rows["dataset", "*"]) == (1.0, 30.0)
    told = {(each.scope, each.block) for each in report(history).document.accounting.scopes}
    assert told == set(rows)
    history.ask("ana", "network_planning", pure("0.5"), blocks=("2026-02",))
    assert {("dataset", "2026-02"), ("dataset", "*"), ("analyst:ana", "*")} <= {
        (each.scope, each.block) for each in budget_document(history.policy, history.ledger).scopes
    }


def adopted(folder: Path, lost: Loss, again: Loss) -> History:
    """A ledger that was charged `lost`, was put back, was charged `again`, and then adopted what was lost."""
    history = History(folder, HISTORY_POLICY.replace("epsilon = 30.0", "epsilon = 8.0"))
    history.ledger.close()
    kept = shutil.copy2(folder / "ledger.sqlite", folder / "kept")
    assert history.ask("ana", "network_planning", lost)
    checkpoint = history.ledger.checkpoint(steward_key=history.key)
    history.ledger.close()
    Path(kept).replace(folder / "ledger.sqlite")
    history.ledger = Ledger.open(folder / "ledger.sqlite", now=lambda: history.now)
    assert history.ask("ana", "network_planning", again)
    history.ledger.adopt_checkpoint(checkpoint, reason="disk failed", actor="eva", steward_key=history.key)
    return history


def test_what_a_restore_spent_beyond_every_cap_is_in_the_promise(tmp_path: Path) -> None:
    history = adopted(tmp_path, pure("7"), pure("7"))
    found = guarantee(history)
    assert found.promised == found.unless_raised
    assert found.promised.epsilon == found.spent_in_one_block.epsilon == 14.0
    record = yaml.safe_load(report(history).to_registry_yaml())["deployment"]["privacy_loss"]
    assert record["privacy_parameters"]["epsilon"] == 14.0
    assert "e^14" in record["privacy_parameters_details"]
    assert [person.epsilon for person in report(history).document.unit.persons] == [14.0, 28.0, 42.0]


def test_spending_in_a_block_without_any_cap_is_in_the_promise(tmp_path: Path) -> None:
    """The grant was lost with the entries that a restore lacks."""
    history = History(tmp_path)
    history.ledger.close()
    kept = shutil.copy2(tmp_path / "ledger.sqlite", tmp_path / "kept")
    history.grant("analyst:zoe", 9.0, reason="new")
    history.ask("zoe", "network_planning", pure("7"))
    checkpoint = history.ledger.checkpoint(steward_key=history.key)
    history.ledger.close()
    Path(kept).replace(tmp_path / "ledger.sqlite")
    history.ledger = Ledger.open(tmp_path / "ledger.sqlite", now=lambda: history.now)
    history.ledger.adopt_checkpoint(checkpoint, reason="disk failed", actor="eva", steward_key=history.key)
    assert promised(history) == (30.0, 30.0)
    _, usage = read_usage(history.ledger)
    (zoe,) = [each for each in usage.balances if each.scope.name == "zoe"]
    assert (zoe.cap, zoe.spent) == (None, pure("7"))


def test_more_than_every_cap_in_rho_alone_has_the_epsilon_of_that_rho(tmp_path: Path) -> None:
    history = adopted(tmp_path, Loss(None, 10**12 * 9 // 10, 0), Loss(None, 10**12 * 9 // 10, 0))
    found = guarantee(history).promised
    assert found.epsilon == up(epsilon_of(1.8, 5e-7)) > 8.0
    assert found.delta == 1e-6


def test_without_any_finite_sum_nothing_is_promised(tmp_path: Path) -> None:
    history = adopted(tmp_path, Loss(None, 10**11, 0), Loss(10**9, None, 0))
    assert not history.ask("ana", "network_planning", pure("0.1"))
    made = report(history).document
    assert made.guarantee.promised.epsilon is None
    assert "nothing bounds" in made.guarantee.sentence
    assert made.unit.persons == ()
    for form in ("html", "csv", "md", "json", "registry-yaml"):
        assert report(history).to(form)


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "grant"]),
        st.sampled_from(["*", "2026-01", "2026-02"]),
        st.sampled_from([0.5, 2.0, 5.0, 9.0, 20.0, 60.0]),
    ),
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(steps=steps, ceiling=st.booleans())
def test_no_decision_and_no_charge_leads_beyond_the_promise(steps: list[tuple[str, str, float]], ceiling: bool) -> None:
    """What was promised at any time is promised to the end, and no block ever spends more."""
    with quick_folder() as folder:
        history = History(folder, WITH_CEILING if ceiling else HISTORY_POLICY)
        first, _ = promised(history)
        for what, block, epsilon in steps:
            if what == "grant":
                try:
                    history.grant("dataset", epsilon, block=block, reason="a test")
                except BudgetRefused:
                    continue
            else:
                history.ask("zoe", "none", pure(str(epsilon)), blocks=("2026-03" if block == "*" else block,))
                history.grant("analyst:zoe", 60.0, reason="so that the dataset's cap binds")
            assert promised(history)[0] == first
        _, usage = read_usage(history.ledger)
        for held in usage.balances:
            if held.scope == DATASET:
                assert held.spent.epsilon is not None
                assert first is not None
                assert held.spent.epsilon <= first * NANO
                ceiling_ = usage.ceilings[held.scope, held.block]
                assert admits(ceiling_, held.spent, NOTHING)


@pytest.mark.parametrize("epsilon", [30.0])
def test_a_ledger_without_a_grant_promises_what_the_policy_says(tmp_path: Path, epsilon: float) -> None:
    history = History(tmp_path)
    bare = tmp_path / "bare.sqlite"
    history.ledger = Ledger.create(bare, dataset=history.policy.dataset, steward_key=history.key)
    assert promised(history) == (epsilon, epsilon)
