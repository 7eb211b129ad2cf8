"""Erasing a number: the store is as if the number had never been in it, and stays so."""

from __future__ import annotations

import random
import traceback
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dying import Died, disk
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_samples import BOUNDS, CALLS, Stores, as_csv, made_up_numbers, made_up_row, policy, share_key, stored

from dpquery.errors import StoreError, UsageError
from dpquery.ingest import ingest
from dpquery.numbers.canonical import canonicalise
from dpquery.numbers.number import Number
from dpquery.numbers.scheme import scheme_of
from dpquery.numbers.spellings import spellings
from dpquery.policy import parse_policy
from dpquery.removal.erasure import Erasure, erase
from dpquery.removal.rows import revised
from dpquery.store import Store, open_store
from dpquery.store.dictionary import NOBODY
from dpquery.store.lock import exclusive
from dpquery.store.tombstones import Tombstones

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Row = dict[str, str]

PEOPLE = """
[tables.people]
owners = 1
parties = { number = "number" }
columns = { plan = { type = "text", keys = ["basic", "plus"] } }
"""
TEXT = policy(CALLS + BOUNDS + PEOPLE)
SCHEME = scheme_of(parse_policy(TEXT))
OPAQUE = policy(CALLS + BOUNDS, '\n[numbers]\nformat = "opaque"\n')


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path)


def table_of(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=pa.schema([(name, pa.string()) for name in rows[0]]))


def calls_between(rng: random.Random, numbers: list[str], count: int) -> list[Row]:
    """Calls in random spellings; some parties are not shown, or the organisation's."""
    found = []
    for _ in range(count):
        parties = [rng.choice([*numbers, "withheld", "020 7946 0000"]) for _ in range(2)]
        spelled = [rng.choice(readable(party)) if party.startswith("+") else party for party in parties]
        found.append(made_up_row(rng, *spelled))
    return found


def readable(number: str) -> list[str]:
    """Spellings that read back as the number in Britain."""
    read = {spelled: canonicalise(spelled, "GB", SCHEME) for spelled in spellings(number, "GB")}
    return [spelled for spelled, found in read.items() if isinstance(found, Number) and found.canonical == number]


def names(row: Row, number: str) -> bool:
    """Whether the number is at either end of a row."""
    read = [canonicalise(row[party], "GB", SCHEME) for party in ("caller", "callee", "number") if party in row]
    return any(isinstance(found, Number) and found.canonical == number for found in read)


def everything(store: Store) -> dict[str, list[dict[str, object]]]:
    """All rows of all tables in the store's order, with pseudonyms in place of codes."""
    return {
        name: stored(store, name).to_pylist()
        for name, table in store.policy.tables.items()
        if table.legs_of is None and store.files(name)
    }


def files(store: Store) -> dict[str, list[tuple[int, str]]]:
    return {name: [(file.batch, file.block) for file in store.files(name)] for name in store.policy.tables}


def content(store: Store) -> dict[str, bytes]:
    """What the manifest names, and the manifest."""
    return {name: (store.folder / name).read_bytes() for name in (*store.manifest.names, "manifest.json")}


def on_disk(store: Store) -> set[str]:
    return {str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file()}


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), counts=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_after_it_the_store_is_one_that_never_met_the_number(
    seed: int, counts: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = random.Random(seed)
    stores = Stores(tmp_path_factory.mktemp("erasure"))
    numbers = made_up_numbers(rng, 6)
    gone = rng.choice(numbers)
    batches = [("calls", calls_between(rng, numbers, count)) for count in counts]
    listed = rng.sample(numbers, 4)
    batches.append(("people", [{"number": number, "plan": "plus"} for number in listed]))
    whole, rest = stores.make(TEXT, "whole"), stores.make(TEXT, "rest")
    share_key(rest, whole.key_file.read_bytes())
    for table, rows in batches:
        ingest(whole, table_of(rows), table=table)
        kept = [row for row in rows if not names(row, gone)]
        ingest(rest, table_of(rows).slice(0, 0) if not kept else table_of(kept), table=table)
    before, version, count = whole.numbers(), whole.data_version, whole.number_count
    code = next((i for i, p in enumerate(before["pseudonym"].to_pylist()) if p == whole.pseudonym(gone)), None)

    erase(whole, [rng.choice(readable(gone))])

    assert everything(whole) == everything(rest)
    assert files(whole) == files(rest)
    assert (whole.data_version, whole.number_count) == (version, count)
    after = whole.numbers()
    assert [row for row in after.to_pylist() if row["code"] != code] == [
        row for row in before.to_pylist() if row["code"] != code
    ]
    if code is not None:
        assert after.to_pylist()[code] == {
            "code": code,
            "pseudonym": NOBODY,
            "kind": "erased",
            "line_type": "unknown",
            "country": "other",
            "region": "other",
            "time_zone": None,
            "valid": False,
            "protected": False,
        }
    traces = b"".join((whole.folder / name).read_bytes() for name in on_disk(whole))
    values = [
        str(pq.read_table(whole.folder / name).to_pydict()).encode() for name in on_disk(whole) if "parquet" in name
    ]
    assert whole.pseudonym(gone) not in traces
    assert repr(whole.pseudonym(gone)).encode() not in b"".join(values)
    assert on_disk(whole) == {*whole.manifest.names, "manifest.json", "policy.toml", ".lock"}

    for table, rows in batches:
        summary = ingest(whole, table_of(rows), table=table)
        kept = [row for row in rows if not names(row, gone)]
        assert summary.erased == len(rows) - len(kept)
        assert summary.rows_quarantined == 0
        ingest(rest, table_of(rows).slice(0, 0) if not kept else table_of(kept), table=table)
    assert everything(whole) == everything(rest)
    assert whole.number_count == count
    assert whole.pseudonym(gone) not in whole.numbers()["pseudonym"].to_pylist()


def test_the_files_that_stay_are_those_that_an_ingest_would_have_written(stores: Stores) -> None:
    """To the byte: row groups, encodings and order are the ingest's own. The last number has the last code."""
    rng = random.Random(11)
    numbers = made_up_numbers(rng, 8)
    rows = [made_up_row(rng, *rng.sample(numbers[:7], 2)) for _ in range(300)]
    late = [made_up_row(rng, numbers[7], numbers[0]) for _ in range(9)]
    whole, rest = stores.make(name="whole"), stores.make(name="rest")
    share_key(rest, whole.key_file.read_bytes())
    ingest(whole, table_of(rows + late), table="calls")
    ingest(rest, table_of(rows), table="calls")
    erase(whole, [numbers[7]])
    for one, other in zip(whole.files("calls"), rest.files("calls"), strict=True):
        assert one.path.name != other.path.name
        assert one.path.read_bytes() == other.path.read_bytes()


def test_other_files_are_left_alone(stores: Stores) -> None:
    rng = random.Random(12)
    numbers = made_up_numbers(rng, 6)
    store = stores.make()
    january = [{**made_up_row(rng, *rng.sample(numbers[:5], 2)), "start_ts": "2026-01-05T10:00Z"} for _ in range(20)]
    march = [{**made_up_row(rng, numbers[5], numbers[0]), "start_ts": "2026-03-05T10:00Z"} for _ in range(3)]
    both = [{**row, "start_ts": "2026-02-05T10:00Z"} for row in january + march]
    ingest(store, table_of(january + march + both), table="calls")
    before = {file.block: file.path for file in store.files("calls")}
    erase(store, [numbers[5]])
    after = {file.block: file.path for file in store.files("calls")}
    assert after["2026-01"] == before["2026-01"]
    assert after["2026-02"].name == "000001-2026-02-r1.parquet"
    assert not before["2026-02"].exists()
    assert "2026-03" not in after
    assert not before["2026-03"].exists()
    erase(store, [numbers[0]])
    assert {file.path.name for file in store.files("calls")} == {
        "000001-2026-01-r1.parquet",
        "000001-2026-02-r2.parquet",
    }


def test_names_of_revisions() -> None:
    assert revised("tables/calls/000001-2026-01.parquet") == "tables/calls/000001-2026-01-r1.parquet"
    assert revised("tables/calls/000001-2026-01-r9.parquet") == "tables/calls/000001-2026-01-r10.parquet"
    assert revised("tables/people/000002-all.parquet") == "tables/people/000002-all-r1.parquet"


def test_it_says_the_same_of_numbers_that_were_never_there(stores: Stores) -> None:
    rng = random.Random(13)
    numbers = made_up_numbers(rng, 4)
    store = stores.make()
    ingest(store, table_of(calls_between(rng, numbers, 30)), table="calls")
    before = everything(store)
    known = erase(store, [numbers[0]])
    again = erase(store, [numbers[0]])
    absent = erase(store, ["+44 7400 000 001"])
    assert known == again == absent == Erasure("test", 1)
    assert everything(store) != before
    assert len(Tombstones.of(store)) == 2
    summary = ingest(store, table_of([made_up_row(rng, "07400000001", numbers[1])]), table="calls")
    assert (summary.rows_read, summary.rows_stored, summary.erased) == (1, 0, 1)
    assert summary.numbers_new == 0


def test_several_numbers_at_once(stores: Stores) -> None:
    rng = random.Random(14)
    numbers = made_up_numbers(rng, 6)
    store = stores.make()
    ingest(store, table_of(calls_between(rng, numbers, 60)), table="calls")
    assert erase(store, [numbers[0], numbers[1], readable(numbers[0])[-1]]).numbers == 2
    names_left = {row[party] for row in stored(store).to_pylist() for party in ("caller", "callee")}
    assert not names_left & {store.pseudonym(number).hex() for number in numbers[:2]}
    assert len(Tombstones.of(store)) == 2


def test_a_spelling_is_read_in_the_region_that_is_named(stores: Stores) -> None:
    store = stores.make()
    row = made_up_row(random.Random(1), "+34612345678", "withheld")
    ingest(store, table_of([row]), table="calls")
    erase(store, ["612 34 56 78"], "ES")
    assert not store.files("calls")


@pytest.mark.parametrize(
    ("spelled", "why"),
    [
        ("020 7946 0000", "public"),
        ("0800 1111 111", "public"),
        ("112", "public"),
        ("anonymous", "not shown"),
        ("", "cannot be read"),
        ("4.4E11", "cannot be read"),
    ],
)
def test_what_cannot_be_erased(stores: Stores, spelled: str, why: str) -> None:
    store = stores.make()
    with pytest.raises(UsageError, match=why) as raised:
        erase(store, ["+447700900123", spelled])
    assert "number 2" in raised.value.why
    assert raised.value.code == "DPQ-002"
    said = "".join(traceback.format_exception(raised.value)).replace("erase(store", "")
    assert not spelled or spelled not in raised.value.why + (raised.value.fix or ""), said
    assert not len(Tombstones.of(store))


def test_a_region_that_is_none(stores: Stores) -> None:
    with pytest.raises(UsageError, match="DPQ-002"):
        erase(stores.make(), ["07700900123"], "XX")


def test_opaque_numbers(stores: Stores) -> None:
    rng = random.Random(15)
    store = stores.make(OPAQUE)
    rows = [made_up_row(rng, *rng.sample(["a1", "b2", "c3"], 2)) for _ in range(30)]
    ingest(store, table_of(rows), table="calls")
    erase(store, ["b2"])
    assert stored(store).num_rows == sum("b2" not in (row["caller"], row["callee"]) for row in rows)
    assert ingest(store, table_of(rows), table="calls").erased == sum(
        "b2" in (row["caller"], row["callee"]) for row in rows
    )


def quarantined(store: Store) -> str:
    return "".join(path.read_text() for path in sorted(store.quarantine.iterdir()))


GONE = "+447400123456"
HIDDEN_IN = (
    {"caller": GONE, "talk_s": "much"},
    {"callee": "07400 123456", "start_ts": ""},
    {"third_party": "0044 7400-123456"},
    {"caller": "Mr 07400 123 456 or so ???"},
    {"service": f"asked for\n{GONE}"},
)
"""Faults of rows that name the number, at an end or elsewhere."""


def faulty_rows() -> list[Row]:
    rng = random.Random(16)
    others = ("+447400999991", "+447400999992")
    return [{**made_up_row(rng, *others), **fault} for fault in HIDDEN_IN] + [
        {**made_up_row(rng, *others), "talk_s": "much"} for _ in range(3)
    ]


def test_the_quarantine_forgets_the_number_too(stores: Stores) -> None:
    store = stores.make()
    damaged = f'{GONE},"not closed,2\n'
    file = stores.file(as_csv(faulty_rows()) + damaged)
    summary = ingest(store, [file], table="calls")
    assert summary.rows_quarantined == 9
    erase(store, ["(07400) 123456"])
    left = quarantined(store)
    assert "123456" not in left.replace(" ", "")
    assert left.count("much") == 3
    assert "7400999991" in left
    assert {path.stat().st_mode & 0o777 for path in store.quarantine.iterdir()} == {0o600}

    again = ingest(store, [file], table="calls")
    assert (again.rows_read, again.erased, again.rows_quarantined) == (9, 6, 3)
    assert "123456" not in quarantined(store).replace(" ", "")
    erase(store, ["+447400999991"])
    assert not list(store.quarantine.iterdir())


def test_killed_at_every_step(stores: Stores) -> None:
    """Whatever step it dies at, the store is whole: all of before or all of after, and the same call does the rest."""
    rng = random.Random(17)
    numbers = made_up_numbers(rng, 5)
    rows = calls_between(rng, numbers, 80)
    rows[3] = {**rows[3], "talk_s": "much", "caller": numbers[0]}
    store = stores.make(TEXT)
    ingest(store, table_of(rows), table="calls")
    ingest(store, table_of([{"number": number, "plan": "plus"} for number in numbers]), table="people")
    untouched = {
        path: path.read_bytes() for path in (*store.folder.rglob("*"), *store.quarantine.iterdir()) if path.is_file()
    }
    before = everything(store)

    def reset() -> None:
        for path in [p for p in store.folder.rglob("*") if p.is_file()]:
            path.unlink()
        for path, data in untouched.items():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_bytes(data)
            path.chmod(0o600)
        store.reload()

    with disk(None) as counted:
        erase(store, [numbers[0]])
    after, steps = everything(store), counted.steps
    assert steps > 10
    seen = set()
    for at in range(2 * steps):
        reset()
        with disk(at), pytest.raises(Died):
            erase(store, [numbers[0]])
        found = open_store(store.folder)
        state = everything(found)
        assert state in (before, after), at
        assert bool(len(Tombstones.of(found))) == (state == after), at
        seen.add(state == after)
        erase(found, [numbers[0]])
        assert everything(found) == after
        assert on_disk(found) == {*found.manifest.names, "manifest.json", "policy.toml", ".lock"}
        assert not list(found.quarantine.iterdir())
    assert seen == {False, True}


def test_a_disk_that_refuses(stores: Stores) -> None:
    rng = random.Random(18)
    numbers = made_up_numbers(rng, 4)
    store = stores.make()
    ingest(store, table_of(calls_between(rng, numbers, 40)), table="calls")
    before, data = everything(store), content(store)
    with disk(None) as counted:
        erase(stores.make(name="other"), [numbers[0]])
    refused = 0
    for at in range(0, 2 * counted.steps, 2):
        with disk(at, refuses=True), pytest.raises((StoreError, OSError)) as raised:
            erase(store, [numbers[0]])
        if everything(open_store(store.folder)) != before:
            assert "out of the store" in str(raised.value)
            break
        assert content(open_store(store.folder)) == data
        refused += 1
    assert refused


def test_one_writer_at_a_time(stores: Stores) -> None:
    store = stores.make()
    with exclusive(store.folder), pytest.raises(StoreError, match="DPQ-506"):
        erase(store, ["+447700900123"])


def test_consent_records_go_last(stores: Stores) -> None:
    """A refusal that went before the rows would let them count."""
    rng = random.Random(19)
    store = stores.make()
    number = made_up_numbers(rng, 1)[0]
    ingest(store, table_of([made_up_row(rng, number, "withheld")]), table="calls")
    called = []

    def forget(at: Store, pseudonyms: frozenset[bytes]) -> None:
        assert not at.files("calls")
        with exclusive(at.folder):  # it may write to the store itself
            called.append(pseudonyms)

    erase(store, [number], consent_records=forget)
    assert called == [frozenset({store.pseudonym(number)})]


def test_tombstones_are_made_with_a_key_of_their_own(stores: Stores) -> None:
    store = stores.make()
    erase(store, [GONE])
    assert store.manifest.tombstones is not None
    marks = pq.read_table(store.folder / store.manifest.tombstones)["tombstone"].to_pylist()
    assert len(marks[0]) == 32
    assert not marks[0].startswith(store.pseudonym(GONE))
    assert "7400" not in repr(Tombstones.of(store))
