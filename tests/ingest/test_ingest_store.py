"""What an ingest leaves in the store: no number, the same order without one number, stable codes."""

from __future__ import annotations

import random
import traceback
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_samples import BOUNDS, Stores, as_csv, made_up_numbers, made_up_row, policy, share_key, stored

from dpquery.errors import DpqueryError
from dpquery.ingest import ingest
from dpquery.numbers.spellings import spellings
from dpquery.store import Store, create_store

if TYPE_CHECKING:
    from pathlib import Path

OPAQUE = """
[numbers]
format = "opaque"
"""


def spelled_rows(rng: random.Random, numbers: list[str], count: int) -> list[dict[str, str]]:
    """Calls between numbers, each time in another spelling that reads back as the number."""
    found = []
    for _ in range(count):
        caller, callee = rng.sample(numbers, 2)
        ways = [[s for s in spellings(n, "GB") if s != n[1:]] for n in (caller, callee)]
        found.append(made_up_row(rng, rng.choice(ways[0]), rng.choice(ways[1])))
    return found


def all_bytes(folder: Path) -> bytes:
    """Every byte of a store's files, and every value in its Parquet files as text."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "policy.toml":  # the policy lists public numbers
            found += [str(path.relative_to(folder)).encode(), path.read_bytes()]
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            found += [str(table.column(name).to_pylist()).encode() for name in table.column_names]
    return b"\n".join(found)


def test_no_number_in_any_spelling_is_in_the_store(stores: Stores) -> None:
    rng = random.Random(3)
    numbers = made_up_numbers(rng, 200)
    rows = spelled_rows(rng, numbers, 2000)
    rows[10]["talk_s"] = f"call {numbers[0]}"
    rows[11]["start_ts"] = numbers[1]
    rows[12]["third_party"] = numbers[2]
    rows[13]["service"] = f"voice\n{numbers[3]}"
    store = stores.make()
    summary = ingest(store, [stores.file(as_csv(rows))], table="calls")
    assert summary.rows_stored == 1996
    assert (
        summary.numbers_new == len({row[p] for row in stored(store).to_pylist() for p in ("caller", "callee")}) <= 200
    )
    content = all_bytes(store.folder) + repr(summary).encode() + repr(store).encode()
    assert b"voice" in content
    needles = {s for number in numbers for s in (*spellings(number, "GB"), number[3:]) if sum(map(str.isdigit, s)) >= 7}
    assert len(needles) > 1000
    assert not [needle for needle in needles if needle.encode() in content]
    assert b"undeclared-secret" not in content
    assert summary.quarantine_file is not None
    assert numbers[0].encode() in summary.quarantine_file.read_bytes()
    assert not list((store.folder).glob("work*"))


def test_errors_hold_no_number(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores.make()
    number = made_up_numbers(random.Random(1), 1)[0]

    def failing(*_: object) -> None:
        raise pa.ArrowInvalid(f"Failed to parse string: {number}")

    monkeypatch.setattr("dpquery.ingest.run.spool_rows", failing)
    with pytest.raises(DpqueryError) as raised:
        ingest(store, [stores.file(as_csv([made_up_row(random.Random(1), number, number)]))], table="calls")
    assert number[1:] not in "".join(traceback.format_exception(raised.value))


def removal_holds(folder: Path, text: str, rows: list[dict[str, str]], gone: str) -> None:
    """Ingest with and without one number; the remaining rows have the same order and content."""
    whole = create_store(folder / "whole", text)
    rest = create_store(folder / "rest", text)
    share_key(rest, whole.key_file.read_bytes())
    for store, kept in ((whole, rows), (rest, [row for row in rows if gone not in {row["caller"], row["callee"]}])):
        ingest(store, pa.Table.from_pylist(kept, schema=pa.schema([(n, pa.string()) for n in rows[0]])), table="calls")
    name = whole.pseudonym(f"opaque:{gone}").hex()
    everything = stored(whole)
    remaining = [row for row in everything.to_pylist() if name not in {row["caller"], row["callee"]}]
    assert everything.num_rows == len(rows)
    assert remaining == (stored(rest).to_pylist() if rest.files("calls") else [])
    assert remaining == sorted(remaining, key=lambda row: row["place"])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 60))
def test_order_without_one_number(seed: int, count: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = random.Random(seed)
    numbers = [str(n) for n in range(8)]
    rows = [made_up_row(rng, rng.choice(numbers), rng.choice(numbers)) for _ in range(count)]
    for row in rows:
        row["start_ts"] = f"2026-01-05T0{rng.randrange(3)}:00Z"  # many rows in each hour
    rows += rng.choices(rows, k=count // 3)  # the same call may be reported twice
    removal_holds(tmp_path_factory.mktemp("order"), policy(numbers=OPAQUE), rows, rng.choice(numbers))


def test_order_does_not_depend_on_the_file(stores: Stores) -> None:
    rng = random.Random(2)
    rows = spelled_rows(rng, made_up_numbers(rng, 30), 500)
    first = stores.make(name="first")
    ingest(first, [stores.file(as_csv(rows))], table="calls")
    rng.shuffle(rows)
    second = stores.make(name="second")
    share_key(second, first.key_file.read_bytes())
    ingest(second, [stores.file(as_csv(rows[:200])), stores.file(as_csv(rows[200:]), "more.csv")], table="calls")
    assert stored(first).equals(stored(second))
    third = stores.make(name="third")
    ingest(third, [stores.file(as_csv(rows))], table="calls")
    assert stored(first).column("talk_s").to_pylist() != stored(third).column("talk_s").to_pylist()


def test_codes_are_stable_across_batches(stores: Stores) -> None:
    rng = random.Random(4)
    numbers = made_up_numbers(rng, 60)
    store = stores.make()
    ingest(store, [stores.file(as_csv(spelled_rows(rng, numbers[:40], 300)))], table="calls")
    before = store.numbers()
    second = ingest(store, [stores.file(as_csv(spelled_rows(rng, numbers[20:], 300)))], table="calls")
    after = store.numbers()
    assert after.slice(0, before.num_rows).equals(before)
    assert after.column("code").to_pylist() == list(range(after.num_rows))
    assert len(set(after.column("pseudonym").to_pylist())) == after.num_rows == store.number_count
    assert second.numbers_new == after.num_rows - before.num_rows
    assert second.numbers_known > 0
    assert [file.batch for file in store.files("calls")] == [1, 1, 1, 2, 2, 2]
    assert store.data_version == 2


def test_a_second_ingest_of_a_file_says_the_same(stores: Stores) -> None:
    rng = random.Random(6)
    rows = spelled_rows(rng, made_up_numbers(rng, 30), 200)
    rows[3]["callee"] = ""
    file, store = stores.file(as_csv(rows)), stores.make()
    first, second = (ingest(store, [file], table="calls") for _ in range(2))
    assert (first.rows_read, first.rows_stored, first.by_reason) == (
        second.rows_read,
        second.rows_stored,
        second.by_reason,
    )
    assert stored(store).num_rows == 2 * first.rows_stored


CNS = """
[tables.calls]
owners = 2
parties = { caller = "caller", callee = "callee" }
time = { column = "start_ts", from = "timestamp", format = "unix", grain = "second" }
period = [1970-01-01, 1970-03-31]
[tables.calls.columns]
talk_s = { type = "integer", from = "duration" }
"""
SMS = """
[tables.calls]
owners = 2
parties = { caller = "sender", callee = "recipient" }
time = { column = "start_ts", from = "timestamp", format = "unix", grain = "second" }
period = [1970-01-01, 1970-03-31]
"""
NODOBO = """
[tables.calls]
owners = 2
parties = { self = "user", other = "other", direction = "direction", outgoing = ["Outgoing"] }
time = { column = "start_ts", from = "timestamp", format = "%a %b %d %H:%M:%S %z %Y", zone = "Europe/London" }
period = [2010-01-01, 2011-12-31]
block = "month"
[tables.calls.columns]
direction = { type = "text", keys = ["Outgoing", "Incoming", "Missed"] }
talk_s = { type = "integer", from = "duration" }
"""


@pytest.mark.parametrize(
    ("file", "text", "rows"),
    [
        ("cns/calls.csv", policy(CNS + BOUNDS, OPAQUE), 3600),
        ("cns/sms.csv", policy(SMS + BOUNDS, OPAQUE), 24333),
        ("nodobo/calls.csv", policy(NODOBO + BOUNDS), 13031),
    ],
)
def test_real_data_is_stored_or_quarantined_to_the_last_row(
    stores: Stores, real_data: Path, file: str, text: str, rows: int
) -> None:
    store = stores.make(text)
    first, second = (ingest(store, [real_data / file], table="calls") for _ in range(2))
    for summary in (first, second):
        assert summary.rows_read == rows == summary.rows_stored + summary.rows_quarantined
    assert first.by_reason == second.by_reason
    assert second.numbers_new == 0
    assert stored(store).num_rows == 2 * first.rows_stored
    if file.startswith("nodobo"):
        assert first.by_reason["outside_period"] == 31
        assert first.by_reason["bad_direction"] == 2
        assert set(first.by_reason) <= {"outside_period", "bad_direction", "unparsed_number", "missing_party"}
    else:
        assert first.by_reason == {}
        assert first.numbers_new == {"cns/calls.csv": 536, "cns/sms.csv": 568}[file]


HEADER = b"caller,callee,start_ts,talk_s\n"
GARBAGE = """
[tables.calls]
owners = 2
parties = { caller = "caller", callee = "callee" }
time = { column = "start_ts" }
period = [2026-01-01, 2026-03-31]
columns = { talk_s = { type = "integer" } }
"""
pieces = st.sampled_from(
    [
        b'"',
        b'""',
        b",",
        b"\n",
        b"\r",
        b"\r\n",
        b"\xff",
        b"\x00",
        b"1",
        b"+447400123456",
        b"020 7946 0958",
        b"\xe2\x82",
        b"2026-01-05",
        b"a",
        b" ",
        b"1,2,2026-01-05,3\n",
        b'"x\ny"',
        b"1e999",
    ]
)


@pytest.fixture(scope="module")
def garbage_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return create_store(tmp_path_factory.mktemp("garbage") / "store", policy(GARBAGE + BOUNDS, OPAQUE))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(st.binary(max_size=200), st.lists(pieces, max_size=60).map(b"".join)))
def test_garbage_never_stops_an_ingest_and_loses_no_line(
    garbage_store: Store, tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "garbage.csv"
    file.write_bytes(HEADER + body)
    summary = ingest(garbage_store, [file], table="calls")
    assert summary.rows_read == summary.rows_stored + summary.rows_quarantined
    if b'"' not in body:  # then every line that is not empty is a row
        lines = [line for line in body.replace(b"\r", b"\n").split(b"\n") if line]
        assert summary.rows_read == len(lines)
    if summary.quarantine_file is not None:
        summary.quarantine_file.unlink()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=120))
def test_garbage_files_are_data_errors_at_worst(
    garbage_store: Store, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    for name in ("garbage.csv", "garbage.parquet", "garbage.arrow", "garbage"):
        file = tmp_path_factory.getbasetemp() / name
        file.write_bytes(content)
        with pytest.raises(DpqueryError, match=r"DPQ-50[57]"):
            ingest(garbage_store, [file], table="calls", period=(date(2026, 1, 1), date(2026, 1, 2)))


def test_row_groups_and_batches_do_not_change_the_rows(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(9)
    rows = spelled_rows(rng, made_up_numbers(rng, 30), 700)
    file = stores.file(as_csv(rows))
    plain, small = stores.make(name="plain"), stores.make(name="small")
    share_key(small, plain.key_file.read_bytes())
    ingest(plain, [file], table="calls")
    monkeypatch.setattr("dpquery.ingest.block_files.ROW_GROUP_ROWS", 50)
    monkeypatch.setattr("dpquery.ingest.sorting.BATCH_ROWS", 37)
    ingest(small, [file], table="calls")
    assert stored(small).equals(stored(plain))
    groups = [pq.ParquetFile(one.path).metadata for one in small.files("calls")]
    sizes = [[group.row_group(i).num_rows for i in range(group.num_row_groups)] for group in groups]
    assert all(size == 50 for one in sizes for size in one[:-1])
    assert sum(map(sum, sizes)) == 700
    assert {column.compression for group in groups for column in map(group.row_group(0).column, range(20))} == {"ZSTD"}
