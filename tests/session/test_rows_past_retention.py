"""Rows past retention are not read, asked for or charged, whatever the shape of the query; stored answers stay."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from planning import POLICY
from stores import LEGS, MadeStore, generous, made_up_calls, make_store, people

from dpquery.asking import charging
from dpquery.catalog import catalog_of
from dpquery.engines.embedded import execute
from dpquery.engines.stored import stored_rows
from dpquery.errors import EngineError, InternalError, PolicyError, QueryRefused, UsageError
from dpquery.policy import parse_policy
from dpquery.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAYS = 30
VERSION = 3
"""Of the data: cells, calls and subscribers were ingested."""
PURPOSE = "network_planning"
EARLY = datetime(2026, 1, 2, 12, tzinfo=UTC)
"""Nothing is past retention yet."""
NOW = datetime(2026, 2, 20, 9, 30, tzinfo=UTC)
FIRST = datetime(2026, 1, 21)
"""The first time that may be read at NOW: the day that is so many days ago."""


def kept(policy: str = POLICY, days: int = DAYS, tick: str = "never") -> str:
    """The small policy with retention, and consents that do not make answers old by themselves."""
    text = policy.replace('block = "month"\n', f'block = "month"\nretention_days = {days}\n', 1)
    text = text.replace('notice = "v1"\nregime', 'notice = "v1"\nsensitive = ["subscribers.age_band"]\nregime', 1)
    return text + f'\n[consent]\ntick = "{tick}"\n'


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def made(folder: Path, policy: str | None = None, rows: int = 400) -> tuple[MadeStore, Clock]:
    clock = Clock(EARLY)
    text = kept(generous()) if policy is None else policy
    return make_store(folder, text, made_up_calls(rows), now=clock, subscribers=people()), clock


@contextlib.contextmanager
def asking(store: MadeStore, clock: Clock, analyst: str = "ana") -> Iterator[Session]:
    with store.connect(analyst) as db:
        db.now = clock
        yield db


def exact(db: Session, sql: str, at: datetime) -> list[list[list[int]]]:
    query = replace(db.sql(sql), at=at)
    plan = query.calibrated(10**9)[0]
    rows = stored_rows(db.store, db.catalog, plan, purpose=PURPOSE, at=at)
    return [array.tolist() for array in execute(plan, rows).open_for_noise()]


def plain(store: MadeStore, sql: str, first: datetime) -> list[tuple[object, ...]]:
    """What plain DuckDB says of the rows from `first` on."""
    with store.plain_connection() as con:
        con.execute("ALTER VIEW calls RENAME TO all_calls")
        con.execute(f"CREATE VIEW calls AS SELECT * FROM all_calls WHERE start_ts >= TIMESTAMP '{first}'")
        con.execute("DROP VIEW legs")
        con.execute(LEGS)
        return con.execute(sql).fetchall()


COUNT = "SELECT COUNT(*) FROM calls"
SHAPES = (
    COUNT,
    "SELECT COUNT(*) FROM calls WHERE talk_s > 10",
    "SELECT service, COUNT(*) FROM calls WHERE service IN ('voice', 'sms') GROUP BY service ORDER BY service DESC",
    "SELECT COUNT(*) FROM calls WHERE direction = 'inbound'",
    "SELECT COUNT(DISTINCT caller) FROM calls WHERE direction = 'inbound'",
    "SELECT role, COUNT(*) FROM legs GROUP BY role ORDER BY role DESC",
    "SELECT COUNT(*) FROM (SELECT * FROM calls WHERE score < 0) t",
    "SELECT COUNT(*) FROM "
    "(SELECT caller, callee FROM calls UNION ALL SELECT caller, callee FROM calls WHERE talk_s > 5) t",
    "SELECT COUNT(*) FROM calls c JOIN subscribers s ON s.number = c.caller",
    "SELECT COUNT(*) FROM subscribers WHERE number IN "
    "(SELECT caller FROM calls WHERE direction = 'inbound' GROUP BY caller)",
    "SELECT COUNT(*) FROM "
    "(SELECT caller, COUNT(*) AS n FROM calls WHERE direction = 'inbound' GROUP BY caller) WHERE n > 1",
    "SELECT COUNT(*) FROM calls c JOIN cells p ON p.cell_id = c.cell_id WHERE p.area = 'north'",
    "WITH t AS (SELECT * FROM calls) SELECT COUNT(*) FROM t WHERE day < DATE '2026-02-10'",
    "SELECT COUNT(*) FROM subscribers s JOIN "
    "(SELECT callee, COUNT(*) AS n FROM calls WHERE direction = 'outbound' GROUP BY callee) t ON t.callee = s.number",
)


@pytest.mark.parametrize("sql", SHAPES)
def test_every_shape_reads_what_is_kept(tmp_path: Path, sql: str) -> None:
    store, _ = made(tmp_path)
    with store.connect() as db:
        found = [cells for array in exact(db, sql, NOW) for cells in array]
    expected = [[row[-1]] for row in plain(store, sql, FIRST)]
    assert found == expected
    assert found != [[row[-1]] for row in store.plain(sql)] or "subscribers WHERE" in sql


@pytest.mark.parametrize(
    ("at", "first"),
    [
        (datetime(2026, 2, 20, 0, 0, 0, tzinfo=UTC), date(2026, 1, 21)),
        (datetime(2026, 2, 20, 23, 59, 59, 999_999, tzinfo=UTC), date(2026, 1, 21)),
        (datetime(2026, 2, 21, 0, 0, 0, tzinfo=UTC), date(2026, 1, 22)),
        (datetime(2026, 1, 31, 0, 0, 0, tzinfo=UTC), date(2026, 1, 1)),
        (datetime(2026, 2, 1, 0, 0, 0, tzinfo=UTC), date(2026, 1, 2)),
        # Another zone's clock is read as UTC.
        (datetime.fromisoformat("2026-02-21T05:00:00+06:00"), date(2026, 1, 21)),
    ],
)
def test_a_day_is_read_to_the_end_of_the_last_of_its_days(tmp_path: Path, at: datetime, first: date) -> None:
    edges = pd.concat([made_up_calls(4, seed=7)] * 3, ignore_index=True)
    midnight = datetime.combine(first, datetime.min.time())
    edges["start_ts"] = [
        (midnight + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for minutes in (-1, 0, 1, 24 * 60 - 1, 24 * 60, 99, 300, 400, 500, 600, 700, 800)
    ]
    if first == date(2026, 1, 1):
        edges = edges.iloc[1:]
    clock = Clock(EARLY)
    store = make_store(tmp_path, kept(generous()), edges, now=clock)
    clock.at = at
    with asking(store, clock) as db:
        released = db.sql(COUNT).run(epsilon=1e6)
        assert released.document().rows[0]["count_star"] == 11
        by_day = "SELECT day, COUNT(*) AS n FROM calls GROUP BY day"
        days = [row["day"] for row in db.sql(by_day).run(epsilon=1.0).document().rows]
        assert days[:2] == [first.isoformat(), (first + timedelta(days=1)).isoformat()]
        assert len(days) == (date(2026, 2, 28) - first).days + 1
        assert exact(db, by_day, at.astimezone(UTC))[0] == [[10], [1], *[[0]] * (len(days) - 2)]


def test_keys_and_blocks_are_those_that_are_left(tmp_path: Path) -> None:
    store, clock = made(tmp_path)
    with asking(store, clock) as db:
        clock.at = datetime(2026, 2, 20, tzinfo=UTC)
        both = db.sql("SELECT date_trunc('month', start_ts) AS m, COUNT(*) AS n FROM calls GROUP BY 1").run(epsilon=1e6)
        assert [row["m"][:7] for row in both.document().rows] == ["2026-01", "2026-02"]
        assert {pair.block for pair in both.cost.charged} == {"2026-01", "2026-02"}
        clock.at = datetime(2026, 3, 3, tzinfo=UTC)
        one = db.sql("SELECT date_trunc('month', start_ts) AS m, COUNT(*) AS n FROM calls GROUP BY 1").run(epsilon=1e6)
        assert [row["m"][:7] for row in one.document().rows] == ["2026-02"]
        assert {pair.block for pair in one.cost.charged} == {"2026-02"}
        clock.at = datetime(2026, 3, 4, tzinfo=UTC)
        parts = "SELECT dayname(start_ts) AS d, COUNT(*) AS n FROM calls WHERE day < DATE '2026-02-05' GROUP BY 1"
        assert [row["d"] for row in db.sql(parts).run(epsilon=1e6).document().rows] == [
            "Monday",
            "Tuesday",
            "Wednesday",
        ]
        weeks = db.key_values("SELECT DISTINCT date_trunc('week', start_ts) FROM calls")
        assert weeks is not None
        assert weeks.values[0] == datetime(2026, 2, 2)
        restricted = "SELECT day, COUNT(*) FROM calls WHERE day IN (DATE '2026-01-05', DATE '2026-02-10') GROUP BY day"
        found = db.sql(restricted).preview()
        assert found.document().plan.groups == 1


def test_what_is_wholly_past_is_refused_before_anything_is_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = made(tmp_path)
    monkeypatch.setattr(charging, "measured", None)
    clock.at = NOW
    january = "SELECT COUNT(*) FROM calls WHERE day < DATE '2026-01-21'"
    union = (
        "SELECT COUNT(*) FROM (SELECT caller, callee FROM calls "
        f"UNION ALL SELECT caller, callee FROM calls WHERE start_ts < TIMESTAMP '{FIRST}') t"
    )
    listed = (
        "SELECT COUNT(*) FROM subscribers WHERE number IN "
        f"(SELECT caller FROM calls WHERE direction = 'inbound' AND start_ts < TIMESTAMP '{FIRST}' GROUP BY caller)"
    )
    with asking(store, clock) as db:
        for sql in (january, union, listed):
            query = db.sql(sql)
            for ask in (query.preview, query.run):
                with pytest.raises(QueryRefused) as raised:
                    ask()
                assert raised.value.code == "DPQ-126"
                assert "2026-01-21" in raised.value.why
                assert raised.value.spent == 0
        assert all(block["spent"]["epsilon"] == 0 for block in db.budget()["blocks"])


def test_an_answer_of_yesterday_is_a_stored_answer(tmp_path: Path) -> None:
    store, clock = made(tmp_path, kept())
    clock.at = NOW
    with asking(store, clock) as db:
        first = db.sql(COUNT).run(epsilon=0.1)
        assert first.status == "released"
        assert db.sql(COUNT).run(epsilon=0.1).status == "repeated"
        assert first.document().plan.kept_from == {"calls": date(2026, 1, 21)}
        assert "rows of calls before 2026-01-21 are past retention, and left out" in first.warnings
        clock.at = NOW + timedelta(days=1)
        preview = db.sql(COUNT).preview(0.1)
        assert not preview.repeat
        assert preview.stored is not None
        assert first.release_id in preview.stored
        for named in (VERSION, first.release_id):
            again = db.sql(COUNT).run(epsilon=0.1, as_of=named)
            assert (again.status, again.release_id) == ("repeated", first.release_id)
            assert again.document().rows == first.document().rows
            assert again.document().plan == first.document().plan
            assert not any(pair.new for pair in again.cost.charged)
        second = db.sql(COUNT).run(epsilon=0.1)
        assert second.status == "released"
        assert second.document().plan.kept_from == {"calls": date(2026, 1, 22)}
        assert second.document().plan.canonical != first.document().plan.canonical
        clock.at = NOW + timedelta(days=60)
        with pytest.raises(QueryRefused, match="DPQ-126"):
            db.sql(COUNT).run(epsilon=0.1)
        later = db.sql(COUNT).run(epsilon=0.1, as_of=first.release_id)
        assert later.document().rows == first.document().rows
        assert db.sql(COUNT).run(epsilon=0.1, as_of=VERSION).release_id == second.release_id


def test_what_lies_before_the_cut_stays_one_question(tmp_path: Path) -> None:
    """From day to day, and from before retention bit at all; also of the groups of a key made of time."""
    store, clock = made(tmp_path, kept())
    february = "SELECT day, COUNT(*) FROM calls WHERE day BETWEEN DATE '2026-02-18' AND DATE '2026-02-21' GROUP BY day"
    with asking(store, clock) as db:
        first = db.sql(february).run(epsilon=0.1)
        for days in (0, 40, 75):
            clock.at = EARLY + timedelta(days=days)
            again = db.sql(february).run(epsilon=0.1)
            assert (again.status, again.release_id) == ("repeated", first.release_id), clock.at
            assert not again.document().plan.kept_from
            assert not again.warnings
        clock.at = datetime(2026, 3, 21, tzinfo=UTC)
        assert db.sql(february).run(epsilon=0.1).status == "released"


def test_another_analyst_gets_the_answer_of_the_same_day(tmp_path: Path) -> None:
    store, clock = made(tmp_path, kept())
    clock.at = NOW
    with asking(store, clock) as ana, asking(store, clock, "ben") as ben:
        first = ana.sql(COUNT).run(epsilon=0.1)
        clock.at = NOW + timedelta(hours=10)
        assert ben.sql(COUNT).run(epsilon=0.1).release_id == first.release_id
        clock.at = NOW + timedelta(days=1)
        assert ben.sql(COUNT).run(epsilon=0.1).release_id != first.release_id


def test_receipts_verify_when_the_rows_are_gone(tmp_path: Path) -> None:
    store, clock = made(tmp_path, kept())
    clock.at = NOW
    with asking(store, clock) as db:
        db.sql(COUNT).run(epsilon=0.1).save(tmp_path / "count.json")
        by_day = db.sql("SELECT day, COUNT(*) AS n FROM calls GROUP BY day")
        by_day.run(epsilon=0.1).save(tmp_path / "days.parquet")
        by_day.bounding_loss(epsilon=0.1).save(tmp_path / "loss.json")
        automatic = "SELECT SUM(talk_s, bounds => 'auto') AS s FROM calls"
        db.sql(automatic).run(epsilon=0.2).save(tmp_path / "auto.json")
    clock.at = NOW + timedelta(days=20)
    store.steward.purge()
    for name in ("count.json", "days.parquet", "loss.json", "auto.json"):
        assert store.steward.verify_receipt(tmp_path / name).exit_status == 0, name


def test_bounds_that_were_chosen_yesterday(tmp_path: Path) -> None:
    store, clock = made(tmp_path, kept())
    clock.at = NOW
    sql = "SELECT SUM(talk_s, bounds => 'auto') AS s FROM calls"
    with asking(store, clock) as db:
        first = db.sql(sql).run(epsilon=0.2)
        clock.at = NOW + timedelta(days=1)
        second = db.sql(sql).run(epsilon=0.2)
        assert second.status == "released"
        assert second.chosen[0].release != first.chosen[0].release
        for release in (first, second):
            again = db.sql(sql).run(epsilon=0.2, as_of=release.release_id)
            assert (again.status, again.release_id) == ("repeated", release.release_id)
            assert again.document().rows == release.document().rows
        with pytest.raises(UsageError):
            db.sql(sql).run(epsilon=0.2, as_of="r-0123456789abcdef")


def failing_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise EngineError("DPQ-701", "the engine stopped")

    monkeypatch.setattr(charging, "measured", fails)


def test_a_retry_reads_nothing_that_came_past_retention_since(tmp_path: Path) -> None:
    store, clock = made(tmp_path, kept())
    clock.at = NOW
    later = "SELECT COUNT(*) FROM calls WHERE day >= DATE '2026-02-01'"
    with asking(store, clock) as db:
        for sql, request in ((COUNT, "a"), (later, "b")):
            with pytest.MonkeyPatch.context() as patch, pytest.raises(EngineError):
                failing_once(patch)
                db.sql(sql).run(epsilon=0.1, request_id=request)
        clock.at = NOW + timedelta(hours=12)
        assert db.sql(COUNT).run(epsilon=0.1).status == "released"
        clock.at = NOW + timedelta(days=1)
        with pytest.raises(QueryRefused) as raised:
            db.sql(COUNT).run(epsilon=0.1, request_id="a")
        assert (raised.value.code, raised.value.spent) == ("DPQ-126", 0)
        assert "charge stands" in (raised.value.fix or "")
        assert db.sql(later).run(epsilon=0.1, request_id="b").status == "released"


def test_a_request_id_gets_its_answer_again_on_another_day(tmp_path: Path) -> None:
    store, clock = made(tmp_path, kept())
    clock.at = NOW
    with asking(store, clock) as db:
        first = db.sql(COUNT).run(epsilon=0.1, request_id="weekly")
        clock.at = NOW + timedelta(days=5)
        again = db.sql(COUNT).run(epsilon=0.1, request_id="weekly")
        assert (again.status, again.release_id) == ("repeated", first.release_id)
        assert again.document().plan.kept_from == {"calls": date(2026, 1, 21)}


def test_the_engine_does_not_rely_on_the_plan(tmp_path: Path) -> None:
    """A plan that asks for more than is kept is a bug, and stops; what is read is cut by the engine itself, too."""
    store, _ = made(tmp_path)
    with store.connect() as db:
        whole = db.sql(COUNT).calibrated(10**9)[0]
        with pytest.raises(InternalError):
            stored_rows(db.store, catalog_of(db.store), whole, purpose=PURPOSE, at=NOW)
        rows = stored_rows(db.store, catalog_of(db.store), whole, purpose=PURPOSE, at=EARLY)
        everything = execute(whole, rows).open_for_noise()[0].sum()
        walled = replace(rows, kept_from={"calls": ("start_ts", FIRST)})
        assert execute(whole, walled).open_for_noise()[0].sum() == plain(store, COUNT, FIRST)[0][0] < everything


def test_alternatives_are_of_the_same_day(tmp_path: Path) -> None:
    store, clock = made(tmp_path, kept())
    clock.at = NOW
    with asking(store, clock) as db:
        prices = db.sql("SELECT day, COUNT(*) AS n FROM calls GROUP BY day").preview(epsilon=[0.1, 0.2])
        for preview in prices.previews:
            assert preview.plan.bounded.logical.kept_from == (("calls", date(2026, 1, 21)),)
            assert preview.plan.bounded.cells == (date(2026, 2, 28) - date(2026, 1, 21)).days + 1
        explained = str(db.sql(f"EXPLAIN PRIVACY {COUNT}"))
        assert "before 2026-01-21" in explained


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[tables.subscribers]\n", "retention_days needs time"),
        ("[tables.legs]\n", "retention of its table"),
        ("[tables.cells]\n", "retention_days needs time"),
    ],
)
def test_tables_that_can_have_none(text: str, complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint):
        parse_policy(POLICY.replace(text, f"{text}retention_days = 30\n"))


@pytest.mark.parametrize("days", ["0", "-1", "36501", "1.5"])
def test_how_many_days_there_can_be(days: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(POLICY.replace('block = "month"\n', f'block = "month"\nretention_days = {days}\n'))


def test_very_long_retention(tmp_path: Path) -> None:
    store, clock = made(tmp_path, kept(days=36_500))
    with asking(store, clock) as db:
        assert not db.sql(COUNT).run(epsilon=0.1).document().plan.kept_from
