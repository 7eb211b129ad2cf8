"""The share of rows that bounds leave out: priced, charged, stored, and what plain DuckDB says of the same rows."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store

from dpquery.documents import DOCUMENTS
from dpquery.errors import BudgetRefused, EngineError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.session import Session

EPSILON = 1e6
RICH = re.sub(r"epsilon = [0-9.]+", "epsilon = 1e9", POLICY).replace("epsilon_max = 2.0", "epsilon_max = 1e6")
"""Bounds that bite, and budgets that never end."""

INBOUND = "SELECT COUNT(*) AS n FROM calls WHERE direction = 'inbound'"
ALL = "SELECT service, COUNT(*) AS n FROM calls GROUP BY service"


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("loss"), RICH, made_up_calls(1500))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return make_store(tmp_path, POLICY, made_up_calls(300)).connect()


def test_one_owner_loses_what_plain_duckdb_says(rich: MadeStore) -> None:
    """At each level: rows of a number up to the bound, and all rows of nobody."""
    loss = rich.connect().sql(INBOUND).bounding_loss(EPSILON)
    inner = "SELECT greatest(caller, callee) AS v, COUNT(*) AS n FROM calls WHERE direction = 'inbound' GROUP BY ALL"
    found = {row["bounds"].removesuffix(" (as asked)"): row for row in loss.rows()}
    assert len(found) == 3

    def plain(most: int) -> int:
        return int(str(rich.plain(f"SELECT SUM(IF(v < 0, n, least(n, {most}))) FROM ({inner})")[0][0]))

    before = plain(12)
    for most in (2, 3, 6):
        row = found[f"max_rows = {most}"]
        assert abs(row["rows_kept"] - plain(most)) <= 1
        assert row["share_lost"] == pytest.approx(1 - plain(most) / before, abs=0.01)
        assert row["share_lost_low"] <= row["share_lost"] <= row["share_lost_high"]
    assert loss.share.value == pytest.approx(1 - plain(3) / before, abs=0.01)
    assert loss.share.value > 0.5


def test_two_owners_keep_what_the_query_itself_counts(rich: MadeStore) -> None:
    session = rich.connect()
    query = session.sql(ALL)
    loss = query.bounding_loss(EPSILON)
    counted = sum(row["n"] for row in query.run(EPSILON).rows())
    own = next(row for row in loss.rows() if row["bounds"].endswith("(as asked)"))
    assert own["bounds"].startswith("max_rows_per_group = 2")
    assert abs(own["rows_kept"] - counted) <= 1
    rows = int(str(rich.plain("SELECT COUNT(*) FROM calls WHERE service IS NULL OR service IN ('voice', 'sms')")[0][0]))
    assert counted < loss.rows_before <= rows + 1


def test_values_past_a_clamp_are_a_share_of_their_own(rich: MadeStore) -> None:
    sql = (
        "SELECT SUM(talk_s, contribution_bounds_per_row => (0, 30)) AS s, AVG(score) AS a FROM calls "
        "WHERE direction = 'inbound'"
    )
    loss = rich.connect().table("calls").bounded(max_rows=3).make(sql, None).bounding_loss(EPSILON)
    past = loss.clamped
    assert list(past) == ["SUM(talk_s) clamped to 0 to 30", "AVG(score) clamped to -8 to 5"]
    true = rich.plain("SELECT AVG(IF(talk_s > 30, 1, 0)) FROM calls WHERE direction = 'inbound'")[0][0]
    shares = list(past.values())
    assert shares[0].value == pytest.approx(float(str(true)), abs=0.2)  # of some 120 rows that a lot leaves
    assert shares[1].value == pytest.approx(0.0, abs=1e-3)
    assert any("wider clamp" in each for each in loss.advice)


def test_advice_names_bounds_with_less_error_for_who_may_change_them(rich: MadeStore) -> None:
    session = rich.connect()
    tight = session.sql(INBOUND).bounding_loss(EPSILON, answer_epsilon=100.0)
    assert any(each.startswith("steward: max_rows = 6") for each in tight.advice), tight.advice
    asked = session.table("calls").where(direction="inbound").count().bounded(max_rows=1).query()
    wider = asked.bounding_loss(EPSILON, answer_epsilon=100.0)
    assert any(each.startswith("analyst: ask with OPTIONS (max_rows_contributed = 2)") for each in wider.advice), (
        wider.advice
    )
    few = session.sql(INBOUND).bounding_loss(EPSILON, answer_epsilon=0.0005)
    assert any("analyst: ask with OPTIONS (max_rows_contributed = 2)" in each for each in few.advice), few.advice
    assert tight.release.release_id == few.release.release_id  # advice is free
    for times in (0.5, 1.0, 2.0):
        assert tight.error_at(times) >= tight.candidates[times].noise_rows


def test_it_is_previewed_charged_recorded_and_repeated(session: Session) -> None:
    query = session.sql(ALL)
    preview = query.preview_bounding_loss(0.5)
    head = session.ledger.head().sequence
    loss = query.bounding_loss(0.5)
    assert loss.cost.epsilon == preview.document().cost.epsilon == 0.5
    assert [e.kind for e in session.ledger.entries() if e.sequence > head] == ["charge", "release"]
    assert loss.receipt["entry"] in {e.name for e in session.ledger.entries()}
    again = session.sql("SELECT COUNT(*) AS x, service FROM calls GROUP BY 2").bounding_loss(0.4)
    assert (again.status, again.rows()) == ("repeated", loss.rows())
    assert not any(pair.new for pair in again.cost.charged)
    assert query.preview_bounding_loss(0.5).repeat
    assert not query.preview(0.5).repeat  # the answer itself is another question
    with pytest.raises(BudgetRefused):
        query.bounding_loss(2.5)
    session.ledger.verify()


def test_it_is_charged_before_rows_are_read(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise EngineError("DPQ-701", "stopped")

    monkeypatch.setattr("dpquery.measuring.execute", failing)
    with pytest.raises(EngineError):
        session.sql(ALL).bounding_loss(0.5)
    assert [e.kind for e in session.ledger.entries()][-2:] == ["charge", "fail"]
    with pytest.raises(UsageError):
        session.sql("SELECT COUNT(DISTINCT caller) FROM calls").bounding_loss(0.5)
    assert [e.kind for e in session.ledger.entries()][-1] == "fail"


def test_what_is_not_known_well_says_what_would_tell(session: Session) -> None:
    loss = session.sql(ALL).bounding_loss(0.01)
    assert len(loss.advice) == 1
    assert "not known well" in loss.advice[0]
    assert not any(
        row["share_lost_useful"] for row in loss.rows() if row["share_lost_high"] - row["share_lost_low"] > 0.9
    )


def test_it_is_shown_saved_and_read_by_programs(session: Session, tmp_path: Path) -> None:
    loss = session.sql(INBOUND).bounding_loss(1.0)
    text, page = str(loss), loss._repr_html_()
    for each in loss.advice:
        assert each in text
        assert each.split(";")[0] in page.replace("&gt;", ">")
    assert "share_lost" in text
    assert "<script" not in page
    document = json.loads(loss.document().model_dump_json(by_alias=True))
    assert document["schema"] == "dpquery.bounding-loss/1"
    assert set(document) == set(DOCUMENTS["bounding-loss"].model_json_schema(by_alias=True)["properties"])
    assert [level["times"] for level in document["levels"]][-1] == 4.0
    assert loss.to_pandas().shape[0] == len(document["rows"])
    for ending in ("parquet", "csv", "html", "json"):
        loss.save(tmp_path / f"loss.{ending}")
    wider = loss.interval(0.99)
    assert wider.share.low <= loss.share.low
    assert wider.share.high >= loss.share.high
    assert wider.share.value == loss.share.value


def test_intervals_hold_the_share_as_often_as_they_say(rich: MadeStore) -> None:
    """A wrong scale, or a Fieller interval of the wrong noise, would miss far more often."""
    session = rich.connect()
    query = session.sql(INBOUND)
    true = query.bounding_loss(EPSILON).share.value
    held = sum(
        loss.share.low <= true <= loss.share.high for loss in (query.bounding_loss(2.0, fresh=True) for _ in range(40))
    )
    assert held >= 33  # binomial(40, 0.95): fewer happens less than once in 10,000 times


def with_options(options: str, sql: str) -> str:
    return sql.replace("SELECT", f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({options})", 1)


def test_the_bounds_that_options_ask_for_are_those_whose_loss_is_told(rich: MadeStore) -> None:
    """At the query's own bounds exactly its own rows stay, and the policy's are still allowed."""
    session = rich.connect()
    for options, sql in (("max_rows_contributed = 1", INBOUND), ("max_rows_contributed = 3", ALL)):
        query = session.sql(with_options(options, sql))
        loss = query.bounding_loss(EPSILON)
        counted = sum(row["n"] for row in query.run(EPSILON).rows())
        own = next(row for row in loss.rows() if row["bounds"].endswith("= 1 (as asked)"))
        assert abs(own["rows_kept"] - counted) <= 1
        assert loss.share.value > session.sql(sql).bounding_loss(EPSILON).share.value
        assert loss.allowed(loss.candidates[2.0].bounds)


def test_terms_of_the_query_hold_for_its_loss(session: Session) -> None:
    query = session.sql(with_options("epsilon = 0.4, delta = 0, confidence = 0.8", ALL))
    assert query.preview_bounding_loss().plan.asked_epsilon == 400_000_000
    loss = query.bounding_loss(0.3)
    assert (loss.cost.epsilon, loss.answer_epsilon, loss.release.confidence) == (0.3, 0.4, 0.8)
    assert loss.release.plan.mechanism == "laplace"
    assert query.bounding_loss().cost.epsilon == 0.4
    with pytest.raises(UsageError, match="OPTIONS say epsilon"):
        query.bounding_loss(0.3, answer_epsilon=0.5)
    session.sql("SET dp.epsilon = 0.2")
    assert session.sql(INBOUND).bounding_loss(0.3).answer_epsilon == 0.2


def test_a_target_error_is_that_of_the_answer(session: Session) -> None:
    query = session.sql(with_options("target_error = 40", INBOUND))
    with pytest.raises(UsageError, match="priced by its epsilon"):
        query.bounding_loss()
    loss = query.bounding_loss(0.3)
    assert loss.answer_epsilon == pytest.approx(query.preview().plan.asked_epsilon / 1e9)
    assert loss.candidates[1.0].noise_rows <= 40
