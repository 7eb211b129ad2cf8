"""Rows past retention are taken in no more, and leave the store when the steward says so; nothing else changes."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from dying import Died, disk
from ingest_samples import BOUNDS, CALLS, Stores, as_csv, made_up_numbers, made_up_row, policy, stored

from dpquery.documents import PurgedTable
from dpquery.errors import StoreError
from dpquery.ingest import ingest
from dpquery.removal.past_retention import purge
from dpquery.store import Store, open_store
from dpquery.store.lock import exclusive

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, str]

TEXT = policy(CALLS.replace('block = "month"', 'block = "month"\nretention_days = 30') + BOUNDS)
UNBLOCKED = policy(CALLS.replace('block = "month"', "retention_days = 30") + BOUNDS)
EARLY = datetime(2026, 1, 5, tzinfo=UTC)
AT = datetime(2026, 3, 12, 17, 30, tzinfo=UTC)
FIRST = datetime(2026, 2, 10)
"""The first time that is kept at AT."""


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path)


def calls(count: int, seed: int = 1) -> list[Row]:
    rng = random.Random(seed)
    numbers = made_up_numbers(rng, 12)
    return [made_up_row(rng, *rng.sample(numbers, 2)) for _ in range(count)]


def edges() -> list[Row]:
    """Rows just before and just after the cut, and on it."""
    times = ("2026-02-09T23:59:59Z", "2026-02-10T00:00:00Z", "2026-02-09T00:00:00Z", "2026-02-10T00:00:59Z")
    return [{**row, "start_ts": time} for row, time in zip(calls(4, 2), times, strict=True)]


def take_in(store: Store, rows: list[Row], at: datetime = EARLY) -> None:
    table = pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in rows[0]]))
    ingest(store, table, table="calls", at=at)


def everything(store: Store) -> list[dict[str, Any]]:
    return stored(store).to_pylist() if store.files("calls") else []


@pytest.mark.parametrize("text", [TEXT, UNBLOCKED])
def test_older_rows_go_and_others_stay_as_they_were(stores: Stores, text: str) -> None:
    store = stores.make(text)
    take_in(store, calls(300) + edges())
    take_in(store, calls(100, 3))
    before, numbers, version = everything(store), store.numbers(), store.data_version
    paths = {file.path: file.path.read_bytes() for file in store.files("calls")}
    done = purge(store, AT)
    kept = [row for row in before if row["start_ts"] >= FIRST]
    assert everything(store) == kept
    assert 0 < len(kept) < len(before)
    assert done.tables == (
        PurgedTable(
            table="calls", retention_days=30, kept_from=date(2026, 2, 10), rows_removed=len(before) - len(kept)
        ),
    )
    assert store.numbers().equals(numbers)
    assert store.data_version == version
    named = {path for path in paths if path.exists()}
    assert {path.read_bytes() for path in named} <= set(paths.values())
    if text == TEXT:
        assert [file.block for file in store.files("calls")] == ["2026-02", "2026-03"] * 2
        assert len(named) == 2
    on_disk = {str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file()}
    assert on_disk == {*store.manifest.names, "manifest.json", "policy.toml", ".lock"}


def test_a_second_time_there_is_nothing_to_do(stores: Stores) -> None:
    store = stores.make(TEXT)
    take_in(store, calls(100))
    purge(store, AT)
    content = {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}
    again = purge(store, AT + timedelta(hours=6))
    assert again.tables[0].rows_removed == 0
    assert {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()} == content
    assert purge(store, AT + timedelta(days=400)).tables[0].rows_removed == len(stored_rows(store, content))
    assert not store.files("calls")


def stored_rows(store: Store, content: dict[Path, bytes]) -> list[object]:
    """Rows in the files of the store as they were."""
    import io

    import pyarrow.parquet as pq

    files = [data for path, data in content.items() if "tables" in path.parts and path.is_relative_to(store.folder)]
    return [row for data in files for row in pq.read_table(io.BytesIO(data)).to_pylist()]


def test_without_retention_rows_stay_for_ever(stores: Stores) -> None:
    store = stores.make()
    take_in(store, calls(20))
    before = everything(store)
    assert purge(store, datetime(2999, 1, 1, tzinfo=UTC)).tables == ()
    assert everything(store) == before


def test_rows_past_retention_are_not_taken_in(stores: Stores) -> None:
    """Neither stored nor in quarantine, whatever else is wrong with them."""
    store = stores.make(TEXT)
    rows = [*edges(), {**edges()[0], "talk_s": "much"}, {**edges()[0], "caller": ""}, {**edges()[1], "talk_s": "much"}]
    summary = ingest(store, [stores.file(as_csv(rows))], table="calls", at=AT)
    assert (summary.rows_read, summary.rows_stored, summary.rows_quarantined) == (7, 2, 1)
    assert summary.past_retention == 4
    assert {row["start_ts"] for row in everything(store)} == {FIRST}
    assert purge(store, AT).tables[0].rows_removed == 0
    numbers = {rows[place][party] for place in (0, 2) for party in ("caller", "callee")}
    left = summary.quarantine_file.read_text() if summary.quarantine_file else ""
    assert not [number for number in numbers if number in left]


def test_days_are_those_of_the_clock_of_utc(stores: Stores) -> None:
    store = stores.make(TEXT)
    late = datetime.fromisoformat("2026-03-13T01:00:00+09:00")
    take_in(store, edges(), at=EARLY)
    assert purge(store, late.astimezone(UTC)).tables[0].kept_from == FIRST.date()


def test_killed_at_every_step(stores: Stores) -> None:
    store = stores.make(TEXT)
    take_in(store, calls(60))
    take_in(store, calls(60, 5))
    untouched = {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}
    before = everything(store)
    with disk(None) as counted:
        purge(store, AT)
    after = everything(store)
    seen = set()
    for at in range(2 * counted.steps):
        for path in [path for path in store.folder.rglob("*") if path.is_file()]:
            path.unlink()
        for path, data in untouched.items():
            path.write_bytes(data)
            path.chmod(0o600)
        with disk(at), pytest.raises(Died):
            purge(store, AT)
        found = open_store(store.folder)
        seen.add(everything(found) == after)
        assert everything(found) in (before, after)
        purge(found, AT)
        assert everything(found) == after
    assert seen == {False, True}


def test_one_writer_at_a_time(stores: Stores) -> None:
    store = stores.make(TEXT)
    with exclusive(store.folder), pytest.raises(StoreError, match="DPQ-506"):
        purge(store, AT)


def test_the_policy_of_the_day_decides(stores: Stores) -> None:
    """Retention may change under the rows; a policy edited since the handle was opened is read again."""
    store = stores.make(TEXT)
    take_in(store, calls(100))
    path = store.folder / "policy.toml"
    path.write_text(path.read_text().replace("retention_days = 30", "retention_days = 60"))
    assert purge(store, AT).tables[0].kept_from == FIRST.date() - timedelta(days=30)
    assert store.data_version == 1
