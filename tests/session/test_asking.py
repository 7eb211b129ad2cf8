"""Charged before rows are read, once for each answer, and refused for free."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store

from dpquery.engines.render import Sql
from dpquery.engines.scan import ScanColumn, connection, distinct_values, stream
from dpquery.errors import BudgetRefused, EngineError, NotAllowed, QueryRefused, StoreError, UsageError
from dpquery.ledger import Charged, Ledger
from dpquery.noise.allowlist import MechanismName
from dpquery.noise.sampler import add_noise
from dpquery.session import Session, connect

SQL = "SELECT cell_id, COUNT(*) AS n, AVG(talk_s) AS t FROM calls WHERE day < '2026-02-01' GROUP BY cell_id"


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, POLICY, made_up_calls(200))


@pytest.fixture
def session(made: MadeStore) -> Session:
    return made.connect()


def spent(session: Session, block: str = "2026-01") -> float:
    scopes = {s["block"]: s["spent"]["epsilon"] for s in session.budget()["blocks"]}
    return float(scopes.get(block, 0.0))


def test_an_answer_is_charged_once_and_repeated_for_free(session: Session) -> None:
    first = session.sql(SQL).run(epsilon=0.5)
    again = session.sql(
        "select COUNT(*) n, AVG(talk_s) t, cell_id from calls c where c.day < DATE '2026-02-01' group by 3"
    ).run(epsilon=0.4)
    assert first.status == "released"
    assert again.status == "repeated"
    assert again.release_id == first.release_id
    assert [(r["cell_id"], r["n"], r["t"]) for r in again.rows()] == [
        (r["cell_id"], r["n"], r["t"]) for r in first.rows()
    ]
    assert again.cost.epsilon == 0.5  # the price it was made at
    assert not any(pair.new for pair in again.cost.charged)
    fresh = session.sql(SQL).run(epsilon=0.5, fresh=True)
    assert fresh.release_id != first.release_id
    more = session.sql(SQL).run(epsilon=0.6)
    assert more.status == "released"


def test_keys_in_another_order_come_back_in_that_order(session: Session) -> None:
    first = session.sql("SELECT service, cell_id, COUNT(*) AS n FROM calls GROUP BY service, cell_id").run(epsilon=1)
    again = session.sql("SELECT cell_id, service, COUNT(*) AS n FROM calls GROUP BY cell_id, service").run(epsilon=1)
    assert again.status == "repeated"
    as_set = {(r["service"], r["cell_id"], r["n"]) for r in first.rows()}
    assert as_set == {(r["service"], r["cell_id"], r["n"]) for r in again.rows()}
    assert [r["cell_id"] for r in again.rows()][:3] == ["C1", "C1", "C1"]


def test_another_analyst_pays_in_their_own_scope_only(made: MadeStore) -> None:
    first = made.connect("ana").sql(SQL).run(epsilon=0.5)
    second = made.connect("ben").sql(SQL).run(epsilon=0.5)
    assert second.status == "repeated"
    assert second.rows() == first.rows()
    new = {pair.scope for pair in second.cost.charged if pair.new}
    assert new == {"analyst:ben"}


def test_nobody_pays_more_than_they_asked_because_somebody_else_did(made: MadeStore) -> None:
    made.connect("ana").sql(SQL).run(epsilon=0.9)
    ben = made.connect("ben")
    assert not ben.sql(SQL).preview(epsilon=0.1).repeat  # what others have asked is not told
    release = ben.sql(SQL).run(epsilon=0.1)
    assert (release.status, release.cost.epsilon) == ("released", 0.1)
    assert ben.sql(SQL).preview(epsilon=0.1).repeat


def test_other_data_or_policy_versions_are_other_questions(made: MadeStore) -> None:
    made.connect().sql(SQL).run(epsilon=0.5)
    made.steward.ingest(made_up_calls(50, seed=9), table="calls")
    assert made.connect().sql(SQL).run(epsilon=0.5).status == "released"


def test_a_request_id_never_pays_twice(session: Session) -> None:
    first = session.sql(SQL).run(epsilon=0.5, request_id="r1", fresh=True)
    again = session.sql(SQL).run(epsilon=0.5, request_id="r1", fresh=True)
    assert (again.release_id, again.rows()) == (first.release_id, first.rows())
    with pytest.raises(BudgetRefused):
        session.sql("SELECT COUNT(*) FROM calls").run(epsilon=0.5, request_id="r1")


def test_a_retry_gets_its_answer_also_when_budgets_would_choose_another_mechanism(session: Session) -> None:
    many = session.sql("SELECT cell_id, local_hour, COUNT(*) AS n FROM calls GROUP BY cell_id, local_hour")
    first = many.run(epsilon=0.5, request_id="r9", fresh=True)
    assert first.plan.mechanism == "gaussian"
    few = session.sql("SELECT COUNT(*) AS n FROM calls")
    with pytest.raises(BudgetRefused):
        while few.run(epsilon=1.9, fresh=True):  # uses up what a Gaussian could be paid from
            continue
    again = many.run(epsilon=0.5, request_id="r9", fresh=True)
    assert (again.release_id, again.rows()) == (first.release_id, first.rows())
    with pytest.raises(BudgetRefused) as caught:
        few.run(epsilon=0.5, request_id="r9")
    assert caught.value.code == "DPQ-203"


def test_over_budget_says_asked_left_and_what_fits_and_reads_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = session.sql("SELECT COUNT(*) AS x FROM calls WHERE day < '2026-02-01'")
    answered = 0
    with pytest.raises(BudgetRefused):
        while query.run(epsilon=1.5, fresh=True):
            answered += 1
    assert 5 <= answered <= 30
    head = session.ledger.head().sequence
    with monkeypatch.context() as patch, pytest.raises(BudgetRefused) as caught:
        patch.setattr("dpquery.measuring.execute", lambda *_: pytest.fail("rows were read"))
        query.run(epsilon=1.5, fresh=True)
    assert caught.value.code == "DPQ-201"
    assert re.fullmatch(r"asked epsilon 1.5, and analyst:ana has [0-9.]+ left \(in 2026-01\)", caught.value.why)
    assert [e.kind for e in session.ledger.entries() if e.sequence > head] == ["refuse"]
    fits = float(str(caught.value.fix).removeprefix("--epsilon "))
    assert 0 < fits < 1.5
    query.run(epsilon=fits, fresh=True)


def test_blocks_are_charged_by_the_months_that_where_can_touch(session: Session) -> None:
    january = session.sql("SELECT COUNT(*) FROM calls WHERE start_ts < '2026-02-01'").run(epsilon=0.5)
    assert {pair.block for pair in january.cost.charged} == {"2026-01"}
    either = session.sql("SELECT COUNT(*) AS n FROM calls WHERE start_ts < '2026-02-01' OR talk_s > 3").run(epsilon=0.5)
    assert {pair.block for pair in either.cost.charged} == {"2026-01", "2026-02"}
    subscribers = session.sql("SELECT COUNT(*) FROM subscribers").run(epsilon=0.5)
    assert {pair.block for pair in subscribers.cost.charged} == {"all"}


def test_charged_before_rows_are_read(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the engine starts, the charge is on disk; when it fails, the charge stays and the text says nothing."""
    head = session.ledger.head().sequence
    seen: list[str] = []

    def failing(*_: object) -> None:
        seen.extend(entry.kind for entry in session.ledger.entries() if entry.sequence > head)
        raise EngineError("DPQ-701", "stopped")

    monkeypatch.setattr("dpquery.measuring.execute", failing)
    with pytest.raises(EngineError):
        session.sql(SQL).run(epsilon=0.5)
    assert seen == ["charge"]
    assert spent(session) == pytest.approx(0.5, abs=0.1)
    assert [entry.kind for entry in session.ledger.entries()][-1] == "fail"


def test_recorded_before_it_is_handed_out(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    record = session.ledger.record

    def noisy(mechanism: MechanismName, scale: float, exact: NDArray[np.int64]) -> NDArray[np.int64]:
        order.append("noise")
        return add_noise(mechanism, scale, exact)

    def recorded(_: Ledger, charged: Charged, payload: bytes) -> bytes:
        order.append("record")
        return record(charged, payload)

    monkeypatch.setattr("dpquery.measuring.add_noise", noisy)
    monkeypatch.setattr(Ledger, "record", recorded)
    release = session.sql("SELECT COUNT(*) FROM calls").run(epsilon=0.5)
    assert order == ["noise", "record"]
    assert release.receipt["entry"] in {f"sha256:{entry.hash}" for entry in session.ledger.entries()}


def test_epsilon_is_limited_and_exact(session: Session) -> None:
    for epsilon in (0.0, -1.0, 2.1, float("nan"), float("inf"), 1e-10):
        with pytest.raises(BudgetRefused) as caught:
            session.sql(SQL).run(epsilon=epsilon)
        assert caught.value.code == "DPQ-204"
    assert session.sql("SELECT COUNT(*) FROM calls").run(epsilon=0.1).plan.asked_epsilon == 100_000_000


def test_within_spends_the_least_that_reaches_it(session: Session) -> None:
    release = session.sql("SELECT COUNT(*) AS n FROM calls").run(within=30)
    row = release.rows()[0]
    assert row["n_high"] - row["n"] <= 30
    thinner = session.sql("SELECT COUNT(*) AS n FROM calls").preview(release.plan.asked_epsilon / 1e9 * 0.95)
    assert thinner.document().columns[0].expected_half_width > 29  # type: ignore[union-attr,operator]
    with pytest.raises(BudgetRefused):
        session.sql("SELECT COUNT(*) AS n FROM calls").run(within=0.001)
    with pytest.raises(UsageError):
        session.sql("SELECT COUNT(*) AS n FROM calls").run(epsilon=1, within=3)


def test_within_is_refused_where_only_a_larger_error_fits(session: Session) -> None:
    query = session.sql("SELECT COUNT(*) AS n FROM calls")
    with pytest.raises(BudgetRefused):
        while query.run(epsilon=1.9, fresh=True):
            continue
    with pytest.raises(BudgetRefused):
        query.run(within=9, fresh=True)


def test_a_steward_key_that_others_can_read_closes_the_store(made: MadeStore) -> None:
    made.folder.with_name("store.steward.key").chmod(0o644)
    with pytest.raises(StoreError) as caught:
        made.connect()
    assert caught.value.code == "DPQ-503"


def test_who_may_ask_for_what(made: MadeStore) -> None:
    for analyst, purpose, code in (("eve", "network_planning", "DPQ-303"), ("ana", "sales", "DPQ-304")):
        with pytest.raises(NotAllowed) as caught:
            connect(made.folder, analyst=analyst, purpose=purpose)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "to", "code"),
    [
        ('purposes = ["network_planning"]\n[', 'purposes = ["network_planning"]\nos_user = "somebody"\n[', "DPQ-306"),
    ],
)
def test_machine_users(tmp_path: Path, change: str, to: str, code: str) -> None:
    made = make_store(tmp_path, POLICY.replace(change, to, 1))
    with pytest.raises(NotAllowed) as caught:
        made.connect()
    assert caught.value.code == code


def test_tables_by_purpose(tmp_path: Path) -> None:
    made = make_store(tmp_path, POLICY.replace('regime = "opt-out"', 'regime = "opt-out"\ntables = ["subscribers"]'))
    with pytest.raises(NotAllowed):
        made.connect().sql("SELECT COUNT(*) FROM calls")


def test_a_policy_changed_under_a_session_is_noticed(made: MadeStore, session: Session) -> None:
    query = session.sql(SQL)
    policy = made.folder / "policy.toml"
    policy.write_text(POLICY.replace("ungrouped = { max_rows = 3 }", "ungrouped = { max_rows = 2 }"))
    policy.chmod(0o600)
    with pytest.raises(StoreError):
        query.run(epsilon=0.5)


def test_a_policy_that_changed_without_a_new_version_makes_other_questions(made: MadeStore) -> None:
    """Otherwise an answer made under wider bounds would be handed out as one made under narrower ones."""
    made.connect().sql(SQL).run(epsilon=0.5)
    policy = made.folder / "policy.toml"
    policy.write_text(POLICY.replace('text = "Plan capacity."', 'text = "Plan capacity well."'))
    policy.chmod(0o600)
    assert made.connect().sql(SQL).run(epsilon=0.5).status == "released"


def test_an_empty_store_answers_with_noise_alone(tmp_path: Path) -> None:
    made = make_store(tmp_path)
    release = made.connect().sql("SELECT service, COUNT(*) AS n, AVG(talk_s) AS t FROM calls GROUP BY 1").run(epsilon=1)
    assert [row["service"] for row in release.rows()] == ["voice", "sms", None]
    assert all(0 <= row["t"] <= 60 and row["t_low"] <= row["t"] <= row["t_high"] for row in release.rows())


def test_null_keys_sort_last_either_way(session: Session) -> None:
    for direction in ("ASC", "DESC"):
        sql = f"SELECT service, COUNT(*) AS n FROM calls GROUP BY service ORDER BY service {direction}"
        assert session.sql(sql).run(epsilon=1).rows()[-1]["service"] is None


def test_values_of_the_wrong_type_are_refused_in_words(session: Session) -> None:
    for call in (
        lambda: session.sql(None),  # type: ignore[arg-type]
        lambda: session.sql(SQL).run(epsilon="0.5"),  # type: ignore[arg-type]
        lambda: session.sql(SQL).run(within="5"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError):
            call()
    for epsilon in (1e-9, 1e-8):
        with pytest.raises(BudgetRefused):
            session.sql(SQL).preview(epsilon)
    assert session.sql("SELECT COUNT(*) AS n FROM calls").run(within=1e30).plan.asked_epsilon < 10_000


def test_a_comment_in_a_condition_takes_no_other_condition_along(session: Session) -> None:
    with pytest.raises(QueryRefused):
        session.table("calls").where("1=1) -- ").where(service="sms").count().query()
    both = session.table("calls").where("talk_s > 1 -- long").where(service="sms").count().query()
    assert len(both.logical.where) == 2


PRIVATE = "a private value"
PLACE, AS_NUMBER = ScanColumn("place", Sql("place")), Sql("CAST(text AS INTEGER)")


@pytest.mark.parametrize(
    "read",
    [
        lambda con, rows: stream(con, rows, [PLACE, ScanColumn("cast", AS_NUMBER)], Sql("TRUE")),
        lambda con, rows: stream(con, rows, [PLACE, ScanColumn("listed", Sql("1"), (PRIVATE,))], Sql("TRUE")),
        lambda con, rows: distinct_values(con, rows, [AS_NUMBER], Sql("TRUE")),
    ],
    ids=["DuckDB", "Arrow", "distinct"],
)
def test_an_engine_error_keeps_nothing_of_the_row(
    read: Callable[[duckdb.DuckDBPyConnection, Sql], Iterable[object]], tmp_path: Path
) -> None:
    """Neither in its text nor in the errors that hang on it."""
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"place": pa.array([1], pa.uint64()), "text": [PRIVATE]}), file)
    with connection(tmp_path) as con, pytest.raises(EngineError) as caught:
        list(read(con, Sql("read_parquet(?)", (str(file),))))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert PRIVATE not in str(caught.value)


def test_order_and_limit_work_on_noisy_values(session: Session) -> None:
    sql = "SELECT cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id ORDER BY n DESC, cell_id LIMIT 2"
    rows = session.sql(sql).run(epsilon=1).rows()
    assert len(rows) == 2
    assert rows[0]["n"] >= rows[1]["n"]


def test_the_release_carries_price_and_promise(session: Session) -> None:
    release = session.sql(SQL).run(epsilon=0.5)
    table = release.to_arrow()
    assert table.column_names == ["cell_id", "n", "n_low", "n_high", "n_useful", "t", "t_low", "t_high", "t_useful"]
    assert b"dpquery.release/1" in table.schema.metadata[b"dpquery"]
    assert list(release.to_pandas().columns) == table.column_names
    assert "e^0.5" in release.guarantee.sentence
    assert "people named in agent_id" in release.guarantee.not_protected
    assert "<table>" in release._repr_html_()
    assert release.warnings == ("averages over rows with two owners are read off a histogram of 14 bins",)


def test_unknown_columns_are_refused_for_free(session: Session) -> None:
    head = session.ledger.head()
    with pytest.raises(QueryRefused):
        session.sql("SELECT COUNT(*) FROM calls WHERE nothing = 1")
    assert session.ledger.head() == head
