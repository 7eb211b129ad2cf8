"""Queries before, during and after a removal: old rows or new ones, stored answers as they were, nothing paid back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from stores import MadeStore, do_not_call, generous, made_up_calls, make_store, people

from dpquery.asking import charging, reading
from dpquery.catalog import catalog_of
from dpquery.engines.embedded import execute
from dpquery.engines.stored import stored_rows
from dpquery.errors import EngineError
from dpquery.measuring import measured

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dpquery.engines.scan import RowSource
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.session import Session

GONE = "020 7940 0001"
"""One of the numbers that make the calls."""
PURPOSE = "network_planning"
COUNT = "SELECT COUNT(*) FROM calls"
QUESTIONS = (
    COUNT,
    "SELECT service, COUNT(*) FROM calls GROUP BY service",
    "SELECT day, SUM(talk_s) FROM calls WHERE direction = 'inbound' GROUP BY day",
    "SELECT COUNT(DISTINCT caller) FROM calls",
    "SELECT AVG(talk_s) FROM calls",
    "SELECT role, COUNT(*) FROM legs GROUP BY role",
    "SELECT s.age_band, COUNT(*) FROM calls c JOIN subscribers s ON s.number = c.caller GROUP BY 1",
    "SELECT COUNT(*) FROM calls WHERE caller IN (SELECT number FROM dnc)",
    "SELECT n, COUNT(*) FROM (SELECT caller, COUNT(*) n FROM calls WHERE direction = 'inbound' GROUP BY caller) "
    "WHERE n IN (1, 2, 3) GROUP BY n",
)


def policy() -> str:
    return generous().replace('notice = "v1"\nregime', 'notice = "v1"\nsensitive = ["subscribers.age_band"]\nregime')


def made(folder: Path, *, without: bool = False) -> MadeStore:
    folder.mkdir()
    calls, listed, blocked = made_up_calls(600), people(), do_not_call()
    if without:
        calls = calls[(calls["caller"] != "+442079400001") & (calls["callee"] != "+442079400001")]
        listed, blocked = (frame[frame["number"] != "+442079400001"] for frame in (listed, blocked))
    return make_store(folder, policy(), calls, subscribers=listed, dnc=blocked)


def exact(store: MadeStore, sql: str) -> list[list[list[int]]]:
    with store.connect() as db:
        query = db.sql(sql)
        plan = query.calibrated(10**9)[0]
        at = datetime.now(UTC)
        rows = stored_rows(store.steward.store, catalog_of(store.steward.store), plan, purpose=PURPOSE, at=at)
        return [array.tolist() for array in execute(plan, rows).open_for_noise()]


def spending(db: Session) -> list[object]:
    return [(block["block"], block["spent"], block["left"]) for block in db.budget()["blocks"]]


def test_answers_are_those_of_a_store_without_the_number(tmp_path: Path) -> None:
    store, rest = made(tmp_path / "whole"), made(tmp_path / "rest", without=True)
    before = {sql: exact(store, sql) for sql in QUESTIONS}
    store.steward.erase(GONE)
    after = {sql: exact(store, sql) for sql in QUESTIONS}
    assert after == {sql: exact(rest, sql) for sql in QUESTIONS}
    assert sum(after[sql] != before[sql] for sql in QUESTIONS) >= len(QUESTIONS) - 1


def test_stored_answers_stay_and_no_version_ticks(tmp_path: Path) -> None:
    store = made(tmp_path / "a")
    with store.connect() as db:
        first = db.sql(COUNT).run(epsilon=1.0)
        spent = spending(db)
        store.steward.erase(GONE)
        again = db.sql(COUNT).run(epsilon=1.0)
        assert (again.status, again.release_id) == ("repeated", first.release_id)
        assert again.document().plan.data_version == first.document().plan.data_version
        assert not again.warnings
        assert db.sql(COUNT).run(epsilon=1.0, as_of=first.document().plan.data_version).status == "repeated"
        assert spending(db) == spent
        fresh = db.sql(COUNT).run(epsilon=1e6, fresh=True)
        assert fresh.document().rows[0]["count_star"] == exact(store, COUNT)[0][0][0]


def test_a_query_that_is_overtaken_reads_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The removal comes after the charge and before the first row: the files that the charge meant are gone."""
    store = made(tmp_path / "a")
    calls = []

    def overtaken(plan: PrivacyPlan, source: RowSource) -> tuple[PrivacyPlan, tuple[NDArray, ...]]:  # type: ignore[type-arg]
        calls.append(source)
        if len(calls) == 1:
            store.steward.erase(GONE)
        return measured(plan, source)

    monkeypatch.setattr(charging, "measured", overtaken)
    with store.connect() as db:
        release = db.sql(COUNT).run(epsilon=1e6)
        assert release.status == "released"
        assert len(calls) == 2
        assert release.document().rows[0]["count_star"] == exact(store, COUNT)[0][0][0]


def test_other_failures_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(tmp_path / "a")
    calls = []

    def failing(*given: object) -> None:
        calls.append(given)
        raise EngineError("DPQ-701", "the engine stopped")

    monkeypatch.setattr(charging, "measured", failing)
    with store.connect() as db, pytest.raises(EngineError):
        db.sql(COUNT).run(epsilon=1.0)
    assert len(calls) == 1


def test_readers_overtaken_again_and_again_give_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(tmp_path / "a")
    numbers = iter(range(1, 40, 2))

    def overtaken(plan: PrivacyPlan, source: RowSource) -> object:
        store.steward.erase(f"020 7940 {next(numbers):04}")
        return measured(plan, source)

    monkeypatch.setattr(charging, "measured", overtaken)
    with store.connect() as db, pytest.raises(EngineError):
        db.sql(COUNT).run(epsilon=1.0)
    assert next(numbers) == 2 * reading.TRIES + 1
