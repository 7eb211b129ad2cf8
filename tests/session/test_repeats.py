"""Answers that are stored: handed out again for what is owed, of earlier data when asked, and one for each request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from planning import POLICY
from spending import nothing_spent, spent
from stores import MadeStore, made_up_calls, make_store

from dpquery.asking import charging
from dpquery.errors import BudgetRefused, DpqueryError, EngineError, UsageError
from dpquery.release import Release
from dpquery.session import Session, connect

SQL = "SELECT cell_id, COUNT(*) AS n FROM calls WHERE day < '2026-02-01' GROUP BY cell_id"
AUTO = "SELECT SUM(talk_s, bounds => 'auto') AS t FROM calls"


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, POLICY, made_up_calls(200))


def more(made: MadeStore, rows: int = 60) -> None:
    """Another data version."""
    made.steward.ingest(made_up_calls(rows, seed=rows), table="calls")


def new_scopes(release: Release) -> set[str]:
    return {pair.scope for pair in release.cost.charged if pair.new}


@contextmanager
def free(session: Session) -> Iterator[None]:
    """A block that spends nothing; that something was handed out again is written down."""
    blocks = ("2026-01", "2026-02")
    before = [spent(session, block) for block in blocks]
    yield
    assert [spent(session, block) for block in blocks] == before


@pytest.fixture
def asked(made: MadeStore) -> tuple[Session, Release]:
    """A session with an answer of data version 2, at a store that is at version 4."""
    session = made.connect()
    first = session.sql(SQL).run(epsilon=0.5)
    more(made)
    more(made, 61)
    return session, first


@pytest.mark.parametrize("how", ["version", "text", "today", "name"])
def test_an_older_answer_is_free_and_says_what_it_is_of(asked: tuple[Session, Release], how: str) -> None:
    session, first = asked
    as_of: dict[str, object] = {"version": 2, "text": "2", "today": datetime.now(UTC).date(), "name": first.release_id}
    with free(session):
        again = session.sql(SQL.replace("SELECT", "select")).run(epsilon=0.4, as_of=as_of[how])  # type: ignore[arg-type]
    assert (again.status, again.release_id, again.rows()) == ("repeated", first.release_id, first.rows())
    assert again.summary.data_version == first.summary.data_version == 2
    assert again.summary.canonical == first.summary.canonical
    assert "this is the answer of data version 2; the store is at 4 now" in again.warnings
    assert first.warnings == tuple(w for w in again.warnings if "data version" not in w)


def test_without_as_of_the_answer_is_of_today(asked: tuple[Session, Release]) -> None:
    session, first = asked
    new = session.sql(SQL).run(epsilon=0.5)
    assert (new.status, new.summary.data_version) == ("released", 4)
    assert new.release_id != first.release_id
    for as_of, release in ((2, first), (4, new), (first.release_id, first), (datetime.now(UTC).date(), new)):
        assert session.sql(SQL).run(epsilon=0.5, as_of=as_of).release_id == release.release_id


def test_what_is_not_stored_is_refused_with_what_is(asked: tuple[Session, Release]) -> None:
    session, first = asked
    yesterday = date.fromisoformat(first.ledger.at[:10]) - timedelta(days=1)
    queries: list[tuple[str, float, object]] = [
        (SQL, 0.5, 3),
        (SQL, 0.6, 2),
        (SQL, 0.5, yesterday),
        (SQL, 0.5, "r-0123456789abcdef"),
        (SQL.replace("02-01", "01-31"), 0.5, 2),
        (SQL.replace("02-01", "01-31"), 0.5, first.release_id),
    ]
    with nothing_spent(session):
        for sql, epsilon, as_of in queries:
            with pytest.raises(UsageError) as caught:
                session.sql(sql).run(epsilon=epsilon, as_of=as_of)  # type: ignore[arg-type]
            assert caught.value.spent == 0
            assert (f"as_of=2 at epsilon 0.5 ({first.release_id}" in (caught.value.fix or "")) == (sql == SQL)


@pytest.mark.parametrize("as_of", [-1, True, 1.5, "", "soon", "r-1", "2026-13-01", b"2"])
def test_what_as_of_cannot_be(asked: tuple[Session, Release], as_of: object) -> None:
    with pytest.raises(UsageError, match="as_of is a data version, a date, or the name of a release"):
        asked[0].sql(SQL).run(as_of=as_of)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="fresh"):
        asked[0].sql(SQL).run(as_of=2, fresh=True)


def test_another_analyst_pays_for_an_older_answer_in_their_own_scope_only(
    made: MadeStore, asked: tuple[Session, Release]
) -> None:
    ben = made.connect("ben")
    assert ben.sql(SQL).preview(epsilon=0.5).stored is None  # what others have asked is not told
    for as_of in (2, asked[1].release_id):
        with nothing_spent(ben), pytest.raises(UsageError) as caught:
            ben.sql(SQL).run(epsilon=0.1, as_of=as_of)  # it cost more than that
        assert asked[1].release_id not in (caught.value.fix or "")
    theirs = ben.sql(SQL).run(epsilon=0.5, as_of=2)
    assert (theirs.rows(), new_scopes(theirs)) == (asked[1].rows(), {"analyst:ben"})
    with free(ben):
        assert new_scopes(ben.sql(SQL).run(epsilon=0.1, as_of=2)) == set()


def test_of_several_answers_the_one_that_is_paid_for(made: MadeStore) -> None:
    ana, ben = made.connect("ana"), made.connect("ben")
    own = ana.sql(SQL).run(epsilon=0.5, fresh=True)
    ben.sql(SQL).run(epsilon=0.5, fresh=True)
    more(made)
    with free(ana):
        assert ana.sql(SQL).run(epsilon=0.5, as_of=2).release_id == own.release_id


def test_another_analyst_is_offered_the_answer_that_the_price_buys(made: MadeStore) -> None:
    ana, ben = made.connect("ana"), made.connect("ben")
    cheap = ana.sql(SQL).run(epsilon=0.5)
    ana.sql(SQL).run(epsilon=1.0)
    theirs = ben.sql(SQL).run(epsilon=0.5)
    assert (theirs.release_id, new_scopes(theirs)) == (cheap.release_id, {"analyst:ben"})


def test_the_preview_prices_the_new_answer_and_names_the_stored_one(asked: tuple[Session, Release]) -> None:
    session, first = asked
    preview = session.sql(SQL).preview(epsilon=0.5)
    assert not preview.repeat
    assert preview.document().cost.epsilon == 0.5
    assert f"{first.release_id} of" in str(preview)
    assert "as_of=2" in str(preview)
    assert any("as_of=2" in warning for warning in preview.document().warnings)
    assert session.sql(SQL).preview(epsilon=0.6).stored is None  # it was asked for less
    session.sql(SQL).run(epsilon=0.5)
    assert "as_of" not in str(session.sql(SQL).preview(epsilon=0.5))  # today's is free


def test_another_policy_has_no_older_answers(made: MadeStore, asked: tuple[Session, Release]) -> None:
    policy = made.folder / "policy.toml"
    policy.write_text(policy.read_text().replace('text = "Plan capacity."', 'text = "Plan capacity well."'))
    session = made.connect()
    assert session.sql(SQL).preview(epsilon=0.5).stored is None
    for as_of in (2, asked[1].release_id):
        with pytest.raises(UsageError):
            session.sql(SQL).run(epsilon=0.5, as_of=as_of)


def test_bounds_that_were_chosen_are_those_of_the_same_data(made: MadeStore) -> None:
    session = made.connect()
    first = session.sql(AUTO).run(epsilon=1.0)
    more(made)
    for as_of in (2, first.release_id):
        with free(session):
            again = session.sql(AUTO).run(epsilon=1.0, as_of=as_of)
        assert (again.release_id, again.rows()) == (first.release_id, first.rows())
        assert [c.release for c in again.chosen] == [c.release for c in first.chosen]
    with nothing_spent(session), pytest.raises(UsageError):
        session.sql(AUTO).run(epsilon=1.0, as_of="r-0123456789abcdef")


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("sql", [SQL, AUTO])
def test_a_retry_after_an_ingest_gets_its_one_release(made: MadeStore, sql: str, fresh: bool) -> None:
    session = made.connect()
    first = session.sql(sql).run(epsilon=0.8, request_id="one", fresh=fresh)
    more(made)
    with nothing_spent(session):
        again = session.sql(sql).run(epsilon=0.8, request_id="one", fresh=fresh)
    assert (again.status, again.release_id, again.rows()) == ("repeated", first.release_id, first.rows())
    assert (again.summary, again.ledger) == (first.summary, first.ledger)
    assert any("data version 2" in warning for warning in again.warnings)


def test_a_retry_of_chosen_bounds_needs_no_room_in_the_budget(tmp_path: Path) -> None:
    made = make_store(tmp_path, POLICY.replace("ana = { epsilon = 10.0", "ana = { epsilon = 1.0"), made_up_calls(200))
    session = made.connect()
    first = session.sql(AUTO).run(epsilon=0.9, request_id="one")
    more(made)
    again = session.sql(AUTO).run(epsilon=0.9, request_id="one")
    assert (again.release_id, again.rows()) == (first.release_id, first.rows())
    with pytest.raises(BudgetRefused):
        session.sql(AUTO).run(epsilon=0.9, request_id="two")


def test_an_id_belongs_to_one_request_whatever_was_ingested(made: MadeStore) -> None:
    session = made.connect()
    first = session.sql(SQL).run(epsilon=0.5, request_id="one")
    session.sql(SQL).run(epsilon=0.5, request_id="two", as_of=2)
    more(made)
    others = [
        (SQL.replace("02-01", "01-31"), {"epsilon": 0.5, "request_id": "one"}),
        (SQL, {"epsilon": 0.4, "request_id": "one"}),
        (SQL, {"epsilon": 0.5, "request_id": "one", "as_of": 2}),
        (SQL, {"epsilon": 0.5, "request_id": "two"}),
        (SQL, {"epsilon": 0.5, "request_id": "two", "as_of": first.release_id}),
    ]
    for sql, how in others:
        with nothing_spent(session), pytest.raises(BudgetRefused) as caught:
            session.sql(sql).run(**how)  # type: ignore[arg-type]
        assert caught.value.code == "DPQ-203"
    with nothing_spent(session):
        assert session.sql(SQL).run(epsilon=0.5, request_id="two", as_of=2).rows() == first.rows()
    policy = made.folder / "policy.toml"
    policy.write_text(policy.read_text().replace('text = "Plan capacity."', 'text = "Plan capacity well."'))
    with pytest.raises(BudgetRefused) as caught:
        made.connect().sql(SQL).run(epsilon=0.5, request_id="one")
    assert caught.value.code == "DPQ-203"


def test_a_charge_without_answer_is_answered_once_over_the_rows_it_was_charged_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So much epsilon that the noise is small beside the rows that come later."""
    from stores import generous

    made = make_store(tmp_path, generous(), made_up_calls(200))
    session = made.connect()
    count = "SELECT COUNT(*) AS n FROM calls"

    def dies(*_: object) -> None:
        raise EngineError("DPQ-701", "stopped")

    with monkeypatch.context() as patched:
        patched.setattr(charging, "measured", dies)
        with pytest.raises(EngineError):
            session.sql(count).run(epsilon=1e5, request_id="one")
    more(made, 1000)
    with free(session):
        release = session.sql(count).run(epsilon=1e5, request_id="one")
    assert (release.status, release.summary.data_version) == ("released", 2)
    assert abs(release.rows()[0]["n"] - 200) < 5
    today = session.sql(count).run(epsilon=1e5)
    assert abs(today.rows()[0]["n"] - 1200) < 5
    assert session.sql(count).run(epsilon=1e5, as_of=2).release_id == release.release_id


def test_the_command_hands_out_older_answers(made: MadeStore, asked: tuple[Session, Release]) -> None:
    from typer.testing import CliRunner

    from dpquery.cli.main import app

    options = ["--analyst", "ana", "--purpose", "network_planning", "--epsilon", "0.5"]

    def command(*more_options: str) -> tuple[int, str]:
        ran = CliRunner().invoke(app, ["query", str(made.folder), SQL, *options, *more_options])
        return ran.exit_code, ran.stdout

    status, printed = command("--as-of", "2", "--json")
    assert status == 0
    assert re.search(rf'"release":"{asked[1].release_id}"', printed)
    for refused in (["--as-of", "2", "--dry-run"], ["--as-of", "2", "--bounding-loss"], ["--as-of", "2", "--fresh"]):
        with connect(made.folder, analyst="ana", purpose="network_planning") as session, nothing_spent(session):
            ran = CliRunner().invoke(app, ["query", str(made.folder), SQL, *options, *refused])
            assert isinstance(ran.exception, DpqueryError)
