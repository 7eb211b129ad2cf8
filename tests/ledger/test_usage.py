"""What the entries say was used adds up to what the ledger holds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from ledger_histories import History, pure, weeks_of_questions

from dpquery.accounting import NOTHING, Loss
from dpquery.first_grants import first_grants
from dpquery.ledger import Ledger, Scope, Usage, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@pytest.fixture(scope="module", params=[7, 8])
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    return weeks_of_questions(History(tmp_path_factory.mktemp("history")), weeks=9, seed=request.param)


@pytest.fixture(scope="module")
def usage(history: History) -> Usage:
    return usage_of(history.ledger.entries())


def total(losses: Iterable[Loss]) -> Loss:
    found = NOTHING
    for loss in losses:
        found += loss
    return found


def test_balances_and_sums_are_the_ledgers(history: History, usage: Usage) -> None:
    assert usage.balances == history.ledger.balances()
    assert usage.lifetimes == history.ledger.lifetime()
    granted = {grant.scope for grant in first_grants(history.policy)}
    assert {each.scope for each in usage.each_block} == granted
    assert {each.block for each in usage.each_block} == {"*"}
    assert {(each.analyst, each.group) for each in usage.joins} == {("ana", "insights"), ("ben", "insights")}


def test_use_adds_up_to_what_was_spent(usage: Usage) -> None:
    lifetimes = {each.scope: each.spent for each in usage.lifetimes}
    for name, use in usage.by_analyst.items():
        assert use.spent == lifetimes.get(Scope("analyst", name), NOTHING)
    for uses in (usage.by_purpose, usage.by_table, usage.by_mechanism):
        assert total(use.spent for use in uses.values()) == lifetimes[Scope("dataset")]


def test_requests_are_counted_once_in_each_dimension(history: History, usage: Usage) -> None:
    kinds = Counter(entry.kind for entry in history.ledger.entries())
    for uses in (usage.by_analyst, usage.by_purpose, usage.by_table, usage.by_mechanism):
        assert sum(use.released for use in uses.values()) == kinds["release"]
        assert sum(use.repeated for use in uses.values()) == kinds["repeat"]
        assert sum(use.released + use.unanswered for use in uses.values()) == kinds["charge"]
    for uses in (usage.by_analyst, usage.by_purpose):
        assert sum(use.refused for use in uses.values()) == kinds["refuse"] == sum(usage.refused.values())
    assert usage.repeated_free + usage.repeated_paid == kinds["repeat"]
    assert usage.failed + usage.open_charges == kinds["charge"] - kinds["release"]
    assert usage.failed == kinds["fail"] > 0
    assert usage.repeated_free > 0


def test_days_end_where_the_balances_are(usage: Usage) -> None:
    spent = {(each.scope, each.block): each.spent for each in usage.balances}
    assert {pair: days[-1][1] for pair, days in usage.spent_by_day.items()} == spent
    for pair, days in usage.spent_by_day.items():
        assert [day for day, _ in days] == sorted({day for day, _ in days})
        for day, until in days:
            assert until == total(loss for when, loss in usage.charges[pair] if when <= day)


def test_decisions_are_told_in_words(usage: Usage) -> None:
    told = [(each.kind, str(each.scope), each.block) for each in usage.decisions]
    assert [kind for kind, *_ in told[:8]].count("grant") == 7
    assert ("lower", "analyst:ben", "*") in told  # from the ceiling to the cap
    assert ("raise", "analyst:ben", "*") in told
    closed = usage.decisions[-1]
    assert (closed.kind, str(closed.scope), closed.block, closed.actor) == ("close", "analyst:cleo", "2026-01", "omar")
    assert (closed.before, closed.after) == (usage.cap((Scope("analyst", "cleo"), "2026-02")), None)


def test_who_pays_for_a_stored_answer_pays_for_it_alone(tmp_path: Path) -> None:
    history = History(tmp_path)
    assert history.ask("ana", "network_planning", pure("0.5"), question="q")
    assert history.ask("ben", "network_planning", pure("0.5"), question="q")
    assert history.ask("ben", "network_planning", pure("0.5"), question="q")
    usage = usage_of(history.ledger.entries())
    assert (usage.repeated_paid, usage.repeated_free) == (1, 1)
    assert usage.by_analyst["ben"].spent == usage.by_analyst["ana"].spent == pure("0.5")
    assert usage.by_table["calls"].spent == pure("0.5")
    assert (usage.by_analyst["ben"].released, usage.by_analyst["ben"].repeated) == (0, 2)
    assert {"analyst:ana", "analyst:cleo", "purpose:marketing"} <= {str(each.scope) for each in usage.each_block}


def test_labels_that_run_backwards_do_not_turn_days_back(tmp_path: Path) -> None:
    history = History(tmp_path)
    start = history.now
    for days in (3, 1, 2, 5):
        history.now = start.replace(day=start.day + days)
        history.ask("ana", "network_planning", pure("0.1"))
    noted = usage_of(history.ledger.entries()).spent_by_day[Scope("analyst", "ana"), "2026-01"]
    assert [(day.day - start.day, spent.epsilon) for day, spent in noted] == [(3, 300_000_000), (5, 400_000_000)]


def test_a_restore_that_was_adopted_is_told_and_its_losses_are_spent(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.ask("ana", "network_planning", pure("0.5"))
    history.ledger.close()
    kept = (tmp_path / "ledger.sqlite").read_bytes()
    history.ask("ana", "network_planning", pure("0.3"))
    checkpoint = history.ledger.checkpoint(steward_key=history.key)
    history.ledger.close()
    for file in tmp_path.glob("ledger.sqlite*"):
        file.unlink()
    (tmp_path / "ledger.sqlite").touch(mode=0o600)
    (tmp_path / "ledger.sqlite").write_bytes(kept)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.adopt_checkpoint(checkpoint, reason="disk failed", actor="eva", steward_key=history.key)
        usage = usage_of(ledger.entries())
    (adoption,) = usage.adoptions
    assert (adoption.reason, adoption.actor, adoption.checkpoint) == ("disk failed", "eva", checkpoint.sequence)
    assert adoption.charged == len(usage.balances) == 4
    pair = (Scope("analyst", "ana"), "2026-01")
    assert usage.by_analyst["ana"].spent == pure("0.5")
    assert usage.spent_by_day[pair][-1][1].epsilon == 800_000_000
    assert [loss for _, loss in usage.charges[pair]] == [pure("0.5")]
