"""Words from elsewhere through every door: what only tells is free, and what a session sets stays in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from planning import POLICY
from spending import nothing_spent, spent
from stores import MadeStore, made_up_calls, make_store

from dpquery import dbapi
from dpquery.errors import BudgetRefused, DpqueryError, NotAllowed, QueryRefused, UsageError
from dpquery.faces.facts import Facts
from dpquery.session import Session

TOLD = [
    "EXPLAIN PRIVACY SELECT cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id",
    "SHOW PRIVACY BUDGET",
    "show privacy budget for calls;",
    "SELECT * FROM TABLE(ESTIMATE_REMAINING_DP_AGGREGATES('calls'))",
    "SET dp.epsilon = 0.3",
    "SET dp.confidence = 0.9",
    "SET dp.purpose = 'marketing'",
    "RESET dp.purpose",
    "RESET dp.epsilon",
]
COUNTS = "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({}) cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id"

TWO_PURPOSES = POLICY.replace(
    '[analysts.ana]\npurposes = ["network_planning"]',
    '[purposes.marketing]\ntext = "Improve campaigns."\nnotice = "v1"\nregime = "opt-out"\ntables = ["subscribers"]\n'
    '[analysts.ana]\npurposes = ["network_planning", "marketing"]',
)


def told(session: Session, text: str) -> Facts:
    found = session.statement(text)
    assert isinstance(found, Facts)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("words"), TWO_PURPOSES, made_up_calls(200))


@pytest.fixture
def session(made: MadeStore) -> Iterator[Session]:
    with made.connect() as session:
        yield session


@pytest.mark.parametrize("text", TOLD)
def test_statements_that_tell_never_touch_the_ledger(text: str, session: Session) -> None:
    with nothing_spent(session):
        found = told(session, text)
        assert session.sql(text) == found
        rows = found.rows()
        assert rows
        assert list(found.to_pandas().columns) == list(rows[0]) == list(pd.DataFrame(rows).columns)
        assert found.to_polars().shape == (len(rows), len(rows[0]))
        assert all(name in str(found) and name in found._repr_html_() for name in rows[0])
        assert found.document().rows[0].keys() == rows[0].keys()


@pytest.mark.parametrize("text", TOLD)
def test_they_are_rows_for_tools(text: str, made: MadeStore, session: Session) -> None:
    with dbapi.connect(made.folder, analyst="ana", purpose="network_planning") as connection, nothing_spent(session):
        cursor = connection.cursor().execute(text)
        assert cursor.release is None
        assert cursor.description is not None
        assert all(len(row) == len(cursor.description) for row in cursor.fetchall())


def test_explain_is_the_preview(session: Session) -> None:
    query = "cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id"
    lines = told(session, f"EXPLAIN PRIVACY SELECT {query}").rows()
    assert [(row["item"], row["text"]) for row in lines] == session.sql(f"SELECT {query}").preview().lines()


def test_options_price_the_query_and_a_differing_call_is_refused(session: Session) -> None:
    query = session.sql(COUNTS.format("epsilon = 0.5"))
    for epsilon, within in ((0.4, None), (None, 9.0)):
        with nothing_spent(session), pytest.raises(UsageError, match=r"epsilon = 0.5"):
            query.run(epsilon, within=within)
    before = spent(session)
    assert query.run(epsilon=0.5).cost.epsilon == 0.5
    assert query.run().status == "repeated"
    assert spent(session) == before + 0.5


def test_delta_is_at_most_the_policys_and_zero_is_pure(session: Session) -> None:
    wide = "cell_id, local_hour, COUNT(*) FROM calls GROUP BY 1, 2"
    plans = {}
    for delta in ("1e-6", "1e-9", "0"):
        sql = f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (delta = {delta}) {wide}"
        plans[delta] = session.sql(sql).preview(0.5).plan
    assert [plan.mechanism for plan in plans.values()] == ["gaussian", "gaussian", "laplace"]
    assert plans["1e-9"].parts[0].scale > plans["1e-6"].parts[0].scale
    with pytest.raises(QueryRefused, match="the policy's 1e-06"):
        session.sql(f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (delta = 1e-5) {wide}")


def test_delta_is_what_selecting_groups_may_cost(tmp_path: Path) -> None:
    policy = POLICY.replace("[limits]", "[limits]\nmin_people = 2")
    undeclared = "talk_s, COUNT(*) AS n FROM calls WHERE direction = 'inbound' GROUP BY talk_s"
    with make_store(tmp_path, policy, made_up_calls(50)).connect() as session:
        costs, thresholds = [], []
        for options in (
            "epsilon = 0.5",
            "epsilon = 0.5, delta = 1e-11",
            "group_selection_strategy = LAPLACE_THRESHOLD",
        ):
            preview = session.sql(f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({options}) {undeclared}").preview()
            assert preview.plan.selection is not None
            costs.append(preview.document().cost.delta)
            thresholds.append(preview.plan.selection.threshold)
        assert preview.plan.mechanism == "laplace"
        assert 0 < costs[1] <= 1e-11 < costs[0] <= 1e-9
        assert thresholds[1] > thresholds[0]


def test_an_epsilon_above_the_cap_is_refused_before_anything_else(session: Session) -> None:
    for text in (COUNTS.format("epsilon = 2.5"), "SET dp.epsilon = 2.5"):
        with nothing_spent(session), pytest.raises(BudgetRefused, match="the policy's 2 for one query"):
            session.sql(text)


def test_confidence_changes_intervals_and_neither_values_nor_price(session: Session) -> None:
    sure = session.sql(COUNTS.format("confidence = 0.99")).run(epsilon=0.45)
    plain = session.sql(COUNTS.format("confidence = 0.95")).run(epsilon=0.45)
    assert (plain.status, sure.confidence, plain.confidence) == ("repeated", 0.99, 0.95)
    assert [row["n"] for row in sure.rows()] == [row["n"] for row in plain.rows()]
    assert all(a["n_low"] < b["n_low"] for a, b in zip(sure.rows(), plain.rows(), strict=True))
    assert sure.document().interval.confidence == 0.99
    with pytest.raises(QueryRefused):
        session.sql(COUNTS.format("confidence = 0.2"))


def test_options_are_part_of_the_question(session: Session) -> None:
    first = session.sql(COUNTS.format("max_rows_contributed = 3")).run(epsilon=0.35)
    assert first.plan.bounded.bounds.max_rows_per_group == 1
    assert session.sql(COUNTS.format("max_rows_contributed = 4")).run(epsilon=0.35).status == "repeated"  # 1 of each
    assert session.sql(COUNTS.format("max_rows_contributed = 6")).run(epsilon=0.35).release_id != first.release_id


def test_set_holds_in_its_session_for_queries_asked_later(made: MadeStore, session: Session) -> None:
    count = "SELECT COUNT(*) AS n FROM calls"
    before = session.sql(count)
    session.sql("SET dp.epsilon = 0.7")
    session.sql("SET dp.confidence = 0.9")
    after = session.sql(count)
    assert before.preview().document().cost.epsilon == 0.2
    assert after.preview().document().cost.epsilon == 0.7
    assert after.preview(epsilon=0.1).document().cost.epsilon == 0.1
    assert session.sql(COUNTS.format("epsilon = 0.5")).preview().document().cost.epsilon == 0.5
    assert (after.terms.confidence, before.terms.confidence) == (0.9, 0.95)
    with made.connect() as other:
        assert other.sql(count).preview().document().cost.epsilon == 0.2
    session.sql("RESET dp.epsilon")
    assert session.sql(count).preview().document().cost.epsilon == 0.2


def test_a_purpose_is_checked_and_queries_keep_the_one_they_were_checked_for(session: Session) -> None:
    count = "SELECT COUNT(*) AS n FROM calls WHERE service = 'sms'"
    query = session.sql(count)
    with pytest.raises(NotAllowed) as caught:
        session.sql("SET dp.purpose = 'snooping'")
    assert (caught.value.code, session.purpose) == ("DPQ-304", "network_planning")
    session.sql("SET dp.purpose = 'marketing'")
    with pytest.raises(NotAllowed) as caught:
        session.sql(count)
    assert caught.value.code == "DPQ-305"
    with pytest.raises(NotAllowed):
        session.sql("SHOW PRIVACY BUDGET FOR calls")
    assert session.sql("SELECT COUNT(*) FROM subscribers").preview().purpose == "marketing"
    assert query.run(epsilon=0.1).purpose == "network_planning"
    session.sql("RESET dp.purpose")
    assert session.purpose == "network_planning"


def test_budgets_are_the_askers_own(made: MadeStore) -> None:
    with made.connect("ben") as ben:
        before = told(ben, "SHOW PRIVACY BUDGET FOR calls").rows()
        left = told(ben, "SELECT * FROM TABLE(ESTIMATE_REMAINING_DP_AGGREGATES('calls'))").rows()
        assert {row["scope"] for row in before} == {"analyst:ben"}
        assert [row["block"] for row in before] == ["2026-01", "2026-02"]
        ben.sql("SELECT COUNT(*) AS x FROM calls WHERE day < '2026-02-01'").run(epsilon=1.0)
        january, february = told(ben, "SHOW PRIVACY BUDGET FOR calls").rows()
        assert january["epsilon_spent"] == 1.0
        assert january["more_like_last"] == 9
        assert february == before[1]
        after = told(ben, "SELECT * FROM TABLE(ESTIMATE_REMAINING_DP_AGGREGATES('calls'))").rows()
        wanted = ["number_of_remaining_dp_aggregates", "privacy_budget_limit", "privacy_budget_window"]
        assert list(after[0])[:3] == wanted
        assert after[0][wanted[0]] < left[0][wanted[0]]
        assert after[1] == left[1]
        for unknown in ("cells", "nonesuch"):
            with pytest.raises(QueryRefused, match=unknown):
                ben.sql(f"SHOW PRIVACY BUDGET FOR {unknown}")


def test_remaining_counts_are_what_can_be_asked(tmp_path: Path) -> None:
    """Asked one by one, as many counts are answered as were promised, or a few more: noise adds up slower."""
    made = make_store(tmp_path, POLICY, made_up_calls(50))
    with made.connect() as session:
        session.sql("SET dp.epsilon = 1.9")
        blocks = told(session, "SELECT * FROM TABLE(ESTIMATE_REMAINING_DP_AGGREGATES('calls'))").rows()
        promised = min(row["number_of_remaining_dp_aggregates"] for row in blocks)
        for _ in range(promised):
            session.sql("SELECT COUNT(*) AS x FROM calls").run(fresh=True)
        assert promised >= 5


def test_a_connection_has_a_price_and_options_may_name_another(made: MadeStore) -> None:
    with dbapi.connect(made.folder, analyst="ana", purpose="network_planning", epsilon=0.25) as connection:
        cursor = connection.cursor()
        assert cursor.preview("SELECT COUNT(*) FROM calls").document().cost.epsilon == 0.25
        assert cursor.preview(COUNTS.format("epsilon = 0.4")).document().cost.epsilon == 0.4
        cursor.execute("SET dp.epsilon = 0.3")
        assert connection.epsilon == 0.3
        cursor.execute("RESET dp.epsilon")
        assert connection.epsilon == 0.25
        assert cursor.preview("EXPLAIN PRIVACY SELECT COUNT(*) FROM calls").document().cost.epsilon == 0.25
        with pytest.raises(dbapi.ProgrammingError, match="no preview"):
            cursor.preview("SHOW PRIVACY BUDGET")


def test_a_pool_hands_out_connections_without_what_others_set(made: MadeStore) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    url = f"dpquery:///{made.folder}?analyst=ana&purpose=network_planning&epsilon=0.25"
    engine = sqlalchemy.create_engine(url, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SET dp.epsilon = 0.3"))
        connection.execute(sqlalchemy.text("SET dp.purpose = 'marketing'"))
        assert connection.connection.dbapi_connection.epsilon == 0.3
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection.epsilon == 0.25
        assert connection.connection.dbapi_connection.session.purpose == "network_planning"
    engine.dispose()


def test_only_queries_have_parameters(session: Session) -> None:
    with pytest.raises(UsageError, match="no parameters"):
        session.sql("SHOW PRIVACY BUDGET", params={"d": 1})
    explained = told(session, "EXPLAIN PRIVACY SELECT COUNT(*) AS n FROM calls")
    assert explained.preview is not None
    bound = session.statement("EXPLAIN PRIVACY SELECT COUNT(*) FROM calls WHERE talk_s > :d", params={"d": 1})
    assert isinstance(bound, Facts)


def test_statements_that_are_not_ours_stay_refused(session: Session) -> None:
    for text in ("SET memory_limit = '1TB'", "RESET ALL", "SHOW TABLES", "EXPLAIN ANALYZE SELECT COUNT(*) FROM calls"):
        with pytest.raises(DpqueryError) as caught:
            session.sql(text)
        assert caught.value.code == "DPQ-109"
