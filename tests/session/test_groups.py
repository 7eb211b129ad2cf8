"""Groups in whole stores: the policy names members, the ledger remembers them, and previews know what that costs."""

from __future__ import annotations

from pathlib import Path

import pytest
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store

from dpquery.errors import BudgetRefused
from dpquery.faces.facts import Facts
from dpquery.ledger import Ledger, Scope
from dpquery.store_ledger import ledger_place

COUNT = "SELECT COUNT(*) AS n FROM calls WHERE talk_s > {}"
CLEO = '[analysts.cleo]\npurposes = ["network_planning"]\ngroup = "north"\n\n[budgets]\n'
"""Always in the group, and never asks."""
GROUPS = "groups = { north = { epsilon = 2.5, delta = 1e-6 } }\nanalysts = { cleo = { epsilon = 1.0 },"


def policy(ana: str | None, ben: str | None) -> str:
    text = POLICY.replace("[budgets]\n", CLEO).replace("\nanalysts = {", f"\n{GROUPS}")
    for name, group in (("ana", ana), ("ben", ben)):
        if group is not None:
            text = text.replace(f"[analysts.{name}]\n", f'[analysts.{name}]\ngroup = "{group}"\n')
    return text


def with_policy(made: MadeStore, ana: str | None, ben: str | None) -> None:
    """The policy of the store as a steward edits it."""
    (made.folder / "policy.toml").write_text(policy(ana, ben))
    made.steward.store.reload()


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, policy(None, None), made_up_calls(60))


def ask(made: MadeStore, analyst: str, number: int, epsilon: float = 1.0) -> set[str]:
    """Names of the scopes that a question of its own was charged to."""
    with made.connect(analyst) as session:
        release = session.sql(COUNT.format(number)).run(epsilon=epsilon)
        return {pair.scope for pair in release.cost.charged}


def spent(made: MadeStore, group: str) -> list[float]:
    with Ledger.open(ledger_place(made.steward.store)) as ledger:
        ledger.verify()
        found = ledger.standing([(Scope("group", group), block) for block in ("2026-01", "2026-02")])
    return [(each.spent.epsilon or 0) / 1e9 for each in found]


def test_previews_count_what_joins_will_bring(made: MadeStore) -> None:
    ask(made, "ana", 1)
    ask(made, "ana", 2)
    with_policy(made, "north", "north")
    with made.connect("ben") as session:
        query = session.sql(COUNT.format(3))
        assert query.preview(epsilon=0.5).left is None  # the group, which ana has filled, is tighter than ben's own
        with pytest.raises(BudgetRefused, match="shared"):
            query.run(epsilon=1.0)
        assert spent(made, "north") == [2.0, 2.0]
        assert query.preview(epsilon=0.5).left is None
        query.run(epsilon=0.5)
    assert spent(made, "north") == [2.5, 2.5]


def test_who_is_moved_goes_on_counting_where_they_were(made: MadeStore) -> None:
    with_policy(made, "north", None)
    assert "group:north" in ask(made, "ana", 1, 0.5)
    with_policy(made, "south", None)
    assert {"group:north", "group:south"} <= ask(made, "ana", 2, 0.5)
    assert (spent(made, "north"), spent(made, "south")) == ([1.0, 1.0], [1.0, 1.0])
    with_policy(made, None, "north")
    assert {"group:north", "group:south"} <= ask(made, "ana", 3, 0.5)
    assert spent(made, "north") == [1.5, 1.5]
    with made.connect("ana") as session:
        remaining = session.sql("SELECT * FROM TABLE(ESTIMATE_REMAINING_DP_AGGREGATES('calls'))")
        assert isinstance(remaining, Facts)
        assert remaining.rows()[0]["number_of_remaining_dp_aggregates"] is None  # north, which she left, is tighter


def test_a_retry_gets_its_answer_after_somebody_joined(made: MadeStore) -> None:
    with_policy(made, "north", "north")
    with made.connect("ana") as session:
        query = session.sql(COUNT.format(1))
        first = query.run(epsilon=0.5, request_id="one")
        ask(made, "ben", 2, 0.5)
        again = query.run(epsilon=0.5, request_id="one")
    assert (first.status, again.status) == ("released", "repeated")
    assert first.rows() == again.rows()
    assert spent(made, "north") == [1.0, 1.0]


def test_members_share_each_release_once(made: MadeStore) -> None:
    with_policy(made, "north", "north")
    ask(made, "ana", 1, 0.5)
    ask(made, "ben", 1, 0.5)
    assert spent(made, "north") == [0.5, 0.5]
