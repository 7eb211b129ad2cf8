"""One store, two purposes: each sees what the policy gives it, through every door, and each release says for what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planning import POLICY
from pydantic import ValidationError
from stores import MadeStore, do_not_call, generous, made_up_calls, make_store, people
from typer.testing import CliRunner

from dpquery import dbapi
from dpquery.cli.main import app
from dpquery.documents import ReceiptDocument, ReleaseDocument
from dpquery.errors import InternalError, NotAllowed, PolicyError, QueryRefused, UsageError
from dpquery.policy import parse_policy
from dpquery.release import Release
from dpquery.session import Session, connect

SALES = """[purposes.sales]
text = "Sell more."
notice = "v7"
regime = "opt-out"
tables = ["calls", "legs", "dnc", "cells"]
joins = [["calls", "cells"]]
only = { calls = { direction = ["outbound"], service = ["voice"] } }
[purposes.sales.columns]
calls = ["callee", "direction", "service", "day", "talk_s", "cell_id", "callee_region"]
cells = ["cell_id", "area"]
[analysts.ana]"""
TWO = (
    generous()
    .replace("[analysts.ana]", SALES, 1)
    .replace('purposes = ["network_planning"]', 'purposes = ["network_planning", "sales"]', 1)
    .replace("budgets]\n", "budgets]\npurposes = { sales = { epsilon = 1e9, delta = 1e-6 } }\n", 1)
)
EPSILON = 5e5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    folder = tmp_path_factory.mktemp("purposes")
    return make_store(folder, TWO, made_up_calls(500), subscribers=people(), dnc=do_not_call())


@pytest.fixture
def sales(made: MadeStore) -> Iterator[Session]:
    with connect(made.folder, analyst="ana", purpose="sales") as session:
        yield session


@pytest.fixture
def planning(made: MadeStore) -> Iterator[Session]:
    with made.connect() as session:
        yield session


VOICE = "direction = 'outbound' AND service = 'voice'"


@pytest.mark.parametrize(
    ("sql", "plain"),
    [
        ("SELECT COUNT(*) AS n FROM calls", f"SELECT COUNT(*) FROM calls WHERE {VOICE}"),
        ("SELECT SUM(talk_s) AS n FROM calls", f"SELECT SUM(talk_s) FROM calls WHERE {VOICE}"),
        (
            "SELECT COUNT(DISTINCT callee) AS n FROM calls",
            f"SELECT COUNT(DISTINCT callee) FROM calls WHERE {VOICE} AND callee >= 0",
        ),
        ("SELECT COUNT(*) AS n FROM legs", f"SELECT COUNT(*) FROM legs WHERE {VOICE}"),
        (
            "SELECT COUNT(*) AS n FROM (SELECT callee, COUNT(*) AS k FROM calls GROUP BY callee) WHERE k > 2",
            f"SELECT COUNT(*) FROM (SELECT callee, COUNT(*) AS k FROM calls WHERE {VOICE} AND callee >= 0 GROUP BY 1) "
            "WHERE k > 2",
        ),
        (
            "SELECT COUNT(*) AS n FROM (SELECT * FROM calls UNION ALL SELECT * FROM calls)",
            f"SELECT 2 * COUNT(*) FROM calls WHERE {VOICE}",
        ),
        (
            "SELECT COUNT(*) AS n FROM calls JOIN cells USING (cell_id) WHERE area = 'north'",
            f"SELECT COUNT(*) FROM calls WHERE {VOICE} AND cell_id IN ('C1', 'C2')",
        ),
    ],
)
def test_a_purpose_counts_the_rows_that_it_sees(made: MadeStore, sales: Session, sql: str, plain: str) -> None:
    release = sales.sql(sql).run(epsilon=EPSILON)
    (expected,) = made.plain(plain)[0]
    assert abs(release.rows()[0]["n"] - int(str(expected))) <= 5
    assert "sales sees rows of calls only where direction is outbound and service is voice" in release.warnings
    assert made.plain("SELECT COUNT(*) FROM calls")[0][0] == 500


def test_what_one_purpose_was_told_is_another_question(sales: Session, planning: Session) -> None:
    """A stored answer over all rows is none to a purpose that does not see them all."""
    sql = "SELECT COUNT(*) AS n FROM calls WHERE day >= '2026-01-02'"
    whole, part = planning.sql(sql).run(epsilon=EPSILON), sales.sql(sql).run(epsilon=EPSILON)
    assert part.status == "released"
    assert part.rows()[0]["n"] < whole.rows()[0]["n"] / 2
    assert whole.warnings == ()


def test_no_door_leads_to_what_a_purpose_may_not_use(made: MadeStore, sales: Session) -> None:
    for ask, code in (
        (lambda: sales.sql("SELECT COUNT(*) FROM subscribers"), "DPQ-305"),
        (lambda: sales.sql("EXPLAIN PRIVACY SELECT AVG(cost) FROM calls"), "DPQ-307"),
        (lambda: sales.sql("SELECT AVG(score) FROM calls"), "DPQ-307"),
        (lambda: sales.sql("SELECT COUNT(*) FROM calls WHERE callee IN (SELECT number FROM dnc)"), "DPQ-308"),
        (lambda: sales.sql("SELECT COUNT(*) FROM calls WHERE direction = 'p2p'"), "DPQ-309"),
        (lambda: sales.table("calls").avg("cost").query(), "DPQ-307"),
        (lambda: sales.table("calls").where(score=3).count().query(), "DPQ-307"),
        (lambda: sales.table("calls").group_by("answered").count().query(), "DPQ-307"),
        (lambda: sales.sql("SELECT COUNT(*) FROM calls").changed("SELECT COUNT(cost) FROM calls"), "DPQ-307"),
        (lambda: sales.sql("SHOW PRIVACY BUDGET FOR subscribers"), "DPQ-305"),
        (lambda: sales.key_values("SELECT DISTINCT answered FROM calls"), "DPQ-307"),
        (lambda: sales.key_values("SELECT DISTINCT age_band FROM subscribers"), "DPQ-305"),
        (lambda: rows_of(made, "SELECT DISTINCT answered FROM calls"), "DPQ-307"),
        (lambda: rows_of(made, "SELECT COUNT(*) FROM calls WHERE answered"), "DPQ-307"),
    ):
        with pytest.raises((NotAllowed, dbapi.Error), match=code):
            ask()


def rows_of(made: MadeStore, sql: str) -> list[tuple[Any, ...]]:
    with dbapi.connect(str(made.folder), analyst="ana", purpose="sales") as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_tables_and_columns_are_those_of_the_purpose(made: MadeStore, sales: Session, planning: Session) -> None:
    found = {table.name: [column.name for column in table.columns] for table in sales.tables().tables}
    assert set(found) == {"calls", "legs", "dnc", "cells"}
    assert found["calls"] == ["callee", "service", "direction", "talk_s", "cell_id", "callee_region", "day"]
    assert found["cells"] == ["cell_id", "area"]
    # A half-row may be the caller's, whose number and region the purpose may not use.
    assert found["legs"] == ["role", "service", "direction", "talk_s", "cell_id", "day"]
    assert found["dnc"] == ["number", "list_name", "number_kind", "number_region", "number_country", "number_type"]
    assert {table.name: table.parties for table in sales.tables().tables}["legs"] == ()
    whole = {table.name: [column.name for column in table.columns] for table in planning.tables().tables}
    assert "cost" in whole["calls"]
    # Nothing sensitive that the purpose does not name.
    assert "age_band" not in whole["subscribers"]
    every = {t.name: [c.name for c in t.columns] for t in made.steward.tables().tables}
    assert "age_band" in every["subscribers"]
    shown = CliRunner().invoke(app, ["tables", str(made.folder), "--purpose", "sales", "--json"])
    assert json.loads(shown.output) == json.loads(sales.tables().model_dump_json(by_alias=True))
    with pytest.raises(UsageError, match="network_planning, sales"):
        made.steward.tables("baking")
    # What tools read off an empty answer, too.
    with dbapi.connect(str(made.folder), analyst="ana", purpose="sales") as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT * FROM calls WHERE 1=0")
        assert [column[0] for column in cursor.description or ()] == found["calls"]


def test_set_changes_what_may_be_used(planning: Session) -> None:
    sql = "SELECT AVG(cost) FROM calls"
    asked = planning.sql(sql)
    planning.sql("SET dp.purpose = 'sales'")
    with pytest.raises(NotAllowed, match="DPQ-307"):
        planning.sql(sql)
    assert asked.run(epsilon=1.0).purpose == "network_planning"
    planning.sql("RESET dp.purpose")
    assert planning.sql(sql).preview()


def test_bounds_and_bounding_loss_are_of_the_purpose_s_own_rows(made: MadeStore, sales: Session) -> None:
    chosen = sales.sql("SELECT SUM(talk_s, bounds => 'auto') AS s FROM calls").run(epsilon=1e4)
    (expected,) = made.plain(f"SELECT SUM(talk_s) FROM calls WHERE {VOICE}")[0]
    assert abs(chosen.rows()[0]["s"] - int(str(expected))) < 0.25 * int(str(expected))  # chosen bounds clamp a little
    loss = sales.sql("SELECT COUNT(*) AS n FROM calls").bounding_loss(epsilon=1e4)
    assert loss.release.plan.bounded.logical.where == sales.sql("SELECT COUNT(*) FROM calls").logical.where


# --- purpose and notice ---------------------------------------------------------------------------------------------


def test_each_release_and_its_receipt_name_purpose_and_notice(sales: Session, planning: Session) -> None:
    for session, purpose, notice in ((sales, "sales", "v7"), (planning, "network_planning", "v1")):
        release = session.sql("SELECT COUNT(*) AS n FROM calls").run(epsilon=1.0)
        document = json.loads(release.document().model_dump_json(by_alias=True))
        for part in (document, document["receipt"]):
            assert (part["purpose"], part["notice"]) == (purpose, notice)
        charge = session.ledger.find_named("ana", release.release_id)
        assert charge is not None
        assert charge.plan["notice"] == notice
        preview = session.sql("SELECT COUNT(*) AS n FROM calls").preview().document()
        assert (preview.purpose, preview.notice) == (purpose, notice)


def test_a_release_without_purpose_or_notice_is_impossible(sales: Session) -> None:
    release = sales.sql("SELECT COUNT(*) AS n FROM calls").run(epsilon=1.0)
    for changes in ({"purpose": ""}, {"notice": ""}, {"purpose": " "}, {"notice": "\n"}):
        with pytest.raises(InternalError):
            replace(release, **changes)
    document = json.loads(release.document().model_dump_json(by_alias=True))
    for field in ("purpose", "notice"):
        for model, content in ((ReleaseDocument, document), (ReceiptDocument, document["receipt"])):
            left_out = {name: value for name, value in content.items() if name != field}
            for changed in ({**content, field: ""}, {**content, field: "  "}, left_out):
                with pytest.raises(ValidationError, match=field):
                    model.model_validate(changed)
    with pytest.raises(TypeError):
        Release(plan=release.plan, answer=release.answer, status="released")  # type: ignore[call-arg]


@pytest.mark.parametrize("line", ['notice = "v7"', 'text = "Sell more."'])
def test_a_policy_without_words_for_a_purpose_is_none(line: str) -> None:
    assert line in TWO
    for empty in ("", f'{line.partition("=")[0]} = ""', f'{line.partition("=")[0]} = "  "'):
        with pytest.raises(PolicyError, match=line.partition(" ")[0]):
            parse_policy(TWO.replace(line, empty))


# --- policies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("joins = [[", 'joins = [["calls", "people"], [', "the table people does not exist"),
        ("joins = [[", 'joins = [["calls", "subscribers"], [', "sales may not read subscribers at all"),
        ("joins = [[", 'joins = [["legs", "dnc"], [', "legs is a view: what limits calls limits it too"),
        ("cells = [", 'legs = ["role"]\ncells = [', "legs is a view"),
        ('calls = ["callee", ', 'calls = ["callee", "height", ', "there is no column height in calls"),
        ("cells = [", 'subscribers = ["age_band"]\ncells = [', "may not read subscribers"),
        ("only = { calls = {", 'only = { cells = { area = ["north"] }, calls = {', "cells is public"),
        ("only = { calls = {", 'only = { legs = { role = ["caller"] }, calls = {', "legs is a view"),
        ('["voice"] }', "[] }", "no value is listed"),
        ('["voice"] }', '["fax"] }', "fax is not among its keys"),
        ('["voice"] }', '["voice"], talk_s = [1] }', "talk_s is not a column whose keys this file lists"),
        ('["voice"] }', '["voice"], cell_id = ["C1"] }', "cell_id is not a column whose keys this file lists"),
        ('"direction", "service", "day"', '"service", "day"', "sales may not use direction"),
        ('["voice"] }', '["voice"] }, subscribers = { age_band = ["old"] }', "sales may not read subscribers"),
        (
            'tables = ["calls", "legs", "dnc", "cells"]',
            'tables = ["*"]\nonly = { subscribers = { age_band = ["old"] } }',
            "subscribers.age_band is sensitive, and sales does not name it",
        ),
        ("joins = [[", 'sensitive = ["calls.height"]\njoins = [[', "there is no column calls.height"),
        ("[tables.calls.columns]", 'sensitive = ["height"]\n[tables.calls.columns]', "no column height in calls"),
        ("[tables.calls.columns]", 'sensitive = ["caller"]\n[tables.calls.columns]', "no column caller in calls"),
        ("[tables.legs]", '[tables.legs]\nsensitive = ["region"]', "a legs view has the rows"),
    ],
)
def test_faults_of_limits_are_named(before: str, after: str, says: str) -> None:
    assert before in TWO
    text = TWO.replace(before, after, 1)
    if "only" in after and 'tables = ["*"]' in after:
        text = text.replace("only = { calls = { direction", "# only = { calls = { direction")
    with pytest.raises(PolicyError, match="DPQ-302") as caught:
        parse_policy(text)
    assert says in caught.value.why
    assert caught.value.fix
    assert caught.value.where is not None


def test_derived_columns_can_be_sensitive_and_named(tmp_path: Path) -> None:
    marked = POLICY.replace('block = "month"', 'block = "month"\nsensitive = ["caller_region", "callee_kind"]', 1)
    named = marked.replace('regime = "opt-out"', 'regime = "opt-out"\nsensitive = ["calls.caller_region"]', 1)
    other = make_store(tmp_path, named)
    with other.connect() as session:
        assert session.sql("SELECT caller_region, COUNT(*) FROM calls GROUP BY 1").preview()
        for sql in (
            "SELECT callee_kind, COUNT(*) FROM calls GROUP BY 1",
            "SELECT COUNT(*) FROM calls WHERE callee_kind = 'protected'",
        ):
            with pytest.raises(QueryRefused, match="DPQ-118"):
                session.sql(sql)
        assert session.sql("SELECT region, COUNT(*) FROM legs GROUP BY 1").preview()
        columns = {c.name: c.sensitive for t in session.tables().tables if t.name == "legs" for c in t.columns}
        assert columns["region"]
    (tmp_path / "unnamed").mkdir()
    with make_store(tmp_path / "unnamed", marked).connect() as session, pytest.raises(QueryRefused, match="DPQ-118"):
        session.sql("SELECT region, COUNT(*) FROM legs GROUP BY 1")
