"""What ingest decides about a row."""

from __future__ import annotations

import csv
import random
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest
from ingest_samples import (
    BOUNDS,
    CALLS,
    FIELDS,
    NUMBERS,
    Stores,
    as_csv,
    made_up_numbers,
    made_up_row,
    policy,
    share_key,
    stored,
)

from dpquery.errors import DataError, InternalError
from dpquery.ingest import ingest
from dpquery.store import create_store

if TYPE_CHECKING:
    from pathlib import Path

A, B, LINE = "+447400123456", "+442079460999", "+442079460000"


def row(**changes: str) -> dict[str, str]:
    return {**made_up_row(random.Random(1), A, B), "start_ts": "2026-01-05T10:20:30Z", **changes}


def quarantined(path: Path | None) -> list[dict[str, str]]:
    assert path is not None
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("change", "reason", "about"),
    [
        ({"caller": ""}, "missing_party", "caller"),
        ({"callee": "null"}, "missing_party", "callee"),
        ({"callee": "++"}, "unparsed_number", "callee: not_a_number"),
        ({"start_ts": ""}, "missing_time", ""),
        ({"start_ts": "yesterday"}, "bad_time", ""),
        ({"start_ts": "2025-12-31T23:59:59Z"}, "outside_period", ""),
        ({"start_ts": "2026-04-01 01:00"}, "outside_period", ""),
        ({"third_party": A}, "third_party", "third_party"),
        ({"talk_s": "12x"}, "bad_value", "talk_s"),
        ({"talk_s": "9223372036854775808"}, "bad_value", "talk_s"),
        ({"price": "1_0"}, "bad_value", "cost"),
        ({"answered": "perhaps"}, "bad_value", "answered"),
        ({"billed_on": "2026-02-30"}, "bad_value", "billed_on"),
        ({"billed_on": "2026-02-03 10:00"}, "bad_value", "billed_on"),
        ({"ended_at": "10:00"}, "bad_value", "ended_at"),
        ({"service": "voice\nsms"}, "bad_value", "service"),
        ({"service": "v" * 1001}, "bad_value", "service"),
    ],
)
def test_faults(stores: Stores, change: dict[str, str], reason: str, about: str) -> None:
    store = stores.make()
    summary = ingest(store, [stores.file(as_csv([row(), row(**change)]))], table="calls")
    assert (summary.rows_read, summary.rows_stored, summary.rows_quarantined) == (2, 1, 1)
    assert summary.by_reason == {reason: 1}
    (found,) = quarantined(summary.quarantine_file)
    assert found["quarantine_reason"] == reason
    assert found["quarantine_about"] == about
    assert found["quarantine_row"] == "2"
    assert found["quarantine_source"] == "calls.csv"
    assert all(found[name] == {**row(), **change}[name] for name in FIELDS if name != "note")
    assert "note" not in found


def test_values_reach_the_store(stores: Stores) -> None:
    store = stores.make()
    full = row(
        service=" voice ",
        talk_s="17.0",
        price="1e0",
        answered="Yes",
        billed_on="2026-01-06",
        ended_at="2026-01-05T10:30+01:00",
    )
    empty = row(
        service="", talk_s="", price="NaN", answered="", billed_on="", ended_at="", start_ts="2026-02-01T00:00:59Z"
    )
    ingest(store, [stores.file(as_csv([full, empty]))], table="calls")
    first, second = stored(store).to_pylist()
    assert first["start_ts"] == datetime(2026, 1, 5, 10, 20)
    assert (first["service"], first["talk_s"], first["cost"], first["answered"]) == ("voice", 17, 1.0, True)
    assert first["billed_on"] == date(2026, 1, 6)
    assert first["ended_at"] == datetime(2026, 1, 5, 9, 30)
    assert [second[name] for name in ("service", "talk_s", "cost", "answered", "billed_on", "ended_at")] == [None] * 6
    assert [file.block for file in store.files("calls")] == ["2026-01", "2026-02"]
    assert [file.block for file in store.files("calls", {"2026-02"})] == ["2026-02"]
    assert first["place"] >> 40 == 1767607200 // 3600


def test_kinds_and_codes(stores: Stores) -> None:
    store = stores.make()
    rows = [
        row(callee=LINE, start_ts="2026-01-05T00:00Z"),
        row(callee="020 7946 0000", start_ts="2026-01-05T01:00Z"),
        row(callee="999", start_ts="2026-01-05T02:00Z"),
        row(caller="anonymous", start_ts="2026-01-05T03:00Z"),
    ]
    summary = ingest(store, [stores.file(as_csv(rows))], table="calls")
    assert summary.numbers_new == 4
    found = pa.concat_tables([pq.read_table(file.path) for file in store.files("calls")]).to_pylist()
    assert [one["callee_kind"] for one in found] == ["org", "org", "service", "protected"]
    assert [one["caller_kind"] for one in found] == ["protected"] * 3 + ["withheld"]
    assert found[0]["callee"] == found[1]["callee"] <= -2
    assert found[2]["callee"] <= -2
    assert found[3]["caller"] == -1
    numbers = store.numbers()
    assert numbers.column("code").to_pylist() == list(range(4))
    assert store.number_count == 4
    line = numbers.slice(-2 - found[0]["callee"], 1).to_pylist()[0]
    assert line["kind"] == "org"
    assert not line["protected"]
    assert line["pseudonym"] == store.pseudonym(LINE)


def test_a_number_that_only_stands_on_quarantined_rows_leaves_no_trace(stores: Stores) -> None:
    store = stores.make()
    summary = ingest(store, [stores.file(as_csv([row(start_ts="")]))], table="calls")
    assert summary.rows_stored == 0
    assert store.number_count == store.numbers().num_rows == 0
    assert store.data_version == 1


ONE_OWNER = CALLS.replace("owners = 2", "owners = 1") + BOUNDS


@pytest.mark.parametrize(
    ("caller", "callee", "fits"),
    [
        (A, B, False),
        (A, A, True),
        (A, LINE, True),
        (LINE, "999", True),
        ("anonymous", LINE, True),
        ("anonymous", A, False),
    ],
)
def test_one_owner(stores: Stores, caller: str, callee: str, *, fits: bool) -> None:
    store = stores.make(policy(ONE_OWNER))
    summary = ingest(store, [stores.file(as_csv([row(caller=caller, callee=callee)]))], table="calls")
    assert summary.by_reason == ({} if fits else {"too_many_owners": 1})


TESTED = CALLS.replace("owners = 2", "owners = 2\none_owner_when = \"service = 'voice'\"") + BOUNDS


def test_row_test(stores: Stores) -> None:
    store = stores.make(policy(TESTED))
    seen: list[str] = []

    def is_voice(batch: pa.RecordBatch) -> np.ndarray[Any, np.dtype[np.bool_]]:
        seen.extend(batch.schema.names)
        return np.array([value == "voice" for value in batch.column("service").to_pylist()])

    rows = [row(service="voice"), row(service="sms"), row(service="voice", callee=LINE), row(caller="++")]
    file = stores.file(as_csv(rows))
    summary = ingest(store, [file], table="calls", row_test=is_voice)
    assert summary.by_reason == {"too_many_owners": 1, "unparsed_number": 1}
    assert set(seen) == {*store.policy.tables["calls"].columns, *store.policy.tables["calls"].derived_names, "start_ts"}
    with pytest.raises(InternalError):
        ingest(store, [file], table="calls")


DIRECTED = """
[tables.calls]
owners = 2
parties = { self = "user", other = "other", direction = "direction", outgoing = ["Outgoing"] }
[tables.calls.columns]
talk_s = { type = "integer" }
"""


def test_direction(stores: Stores) -> None:
    text = f"user,other,direction,talk_s\n{A},{B},Outgoing,1\n{B},{A}, Missed,2\n{A},{B},,3\n"
    store = stores.make(policy(DIRECTED + BOUNDS))
    summary = ingest(store, [stores.file(text)], table="calls")
    assert summary.by_reason == {"bad_direction": 1}
    rows = stored(store).to_pylist()
    assert {(one["caller"], one["callee"]) for one in rows} == {(store.pseudonym(A).hex(), store.pseudonym(B).hex())}
    assert [file.block for file in store.files("calls")] == ["all"]
    strict = DIRECTED.replace('["Outgoing"]', '["Outgoing"], incoming = ["Incoming"]')
    other = stores.make(policy(strict + BOUNDS), name="strict")
    assert ingest(other, [stores.file(text)], table="calls").by_reason == {"bad_direction": 2}


@pytest.mark.parametrize(
    ("utc", "hour", "dow"),
    [
        ("2026-03-29T00:59:00Z", 0, 7),
        ("2026-03-29T01:00:00Z", 2, 7),
        ("2026-03-28T23:30:00Z", 23, 6),
        ("2026-03-30T23:30:00Z", 0, 2),
    ],
)
def test_local_time_follows_the_clocks(stores: Stores, utc: str, hour: int, dow: int) -> None:
    store = stores.make()
    ingest(store, [stores.file(as_csv([row(start_ts=utc)]))], table="calls")
    (found,) = stored(store).to_pylist()
    assert (found["local_hour"], found["local_dow"]) == (hour, dow)


def test_local_time_is_that_of_the_first_protected_party(stores: Stores) -> None:
    store = stores.make()
    spain, when = "+34912345678", "2026-01-05T10:00Z"
    rows = [
        row(caller=spain, callee=A, start_ts=when),
        row(caller=LINE, callee=spain, start_ts=when),
        row(caller="anonymous", callee="999", start_ts=when),
    ]
    ingest(store, [stores.file(as_csv(rows))], table="calls")
    found = {(one["caller_kind"], one["local_hour"]) for one in stored(store).to_pylist()}
    assert found == {("protected", 11), ("org", 11), ("withheld", 10)}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("iso", "2026-01-05 10:20:30"),
        ("unix", "1767608430"),
        ("unix", "1767608430.5"),
        ("unix_ms", "1767608430500"),
        ("%d/%m/%Y %H:%M:%S", "05/01/2026 10:20:30"),
        ("%a %b %d %H:%M:%S %z %Y", "Mon Jan 05 11:20:30 +0100 2026"),
    ],
)
@pytest.mark.parametrize(("grain", "seconds"), [("second", 30), ("minute", 0), ("hour", -1200), ("day", -37200)])
def test_time_formats_and_grains(stores: Stores, written: str, text: str, grain: str, seconds: int) -> None:
    table = CALLS.replace('grain = "minute"', f'grain = "{grain}", format = "{written}"') + BOUNDS
    store = stores.make(policy(table))
    rows = [row(start_ts=text, ended_at=""), row(start_ts="nonsense", ended_at=""), row(start_ts="", ended_at="")]
    summary = ingest(store, [stores.file(as_csv(rows))], table="calls")
    assert summary.by_reason == {"bad_time": 1, "missing_time": 1}
    (found,) = stored(store).to_pylist()
    assert found["start_ts"].timestamp() - datetime(2026, 1, 5, 10, 20).timestamp() == seconds


def test_naive_times_are_of_the_declared_zone(stores: Stores) -> None:
    table = CALLS.replace("Europe/London", "America/New_York") + BOUNDS
    store = stores.make(policy(table))
    ingest(store, [stores.file(as_csv([row(start_ts="2026-01-05 10:20")]))], table="calls")
    assert stored(store).column("start_ts").to_pylist() == [datetime(2026, 1, 5, 15, 20)]


def test_region_by_column_then_argument_then_policy_never_guessed(stores: Stores) -> None:
    table = CALLS.replace("third_party =", 'region_column = "note"\nthird_party =') + BOUNDS
    bare = NUMBERS.replace('default_region = "GB"\n', "")
    rows = [
        row(caller="07400 123456", note="gb"),
        row(caller="612345678", note="ES"),
        row(caller="07400 123456", note=""),
    ]
    store = stores.make(policy(table, bare))
    summary = ingest(store, [stores.file(as_csv(rows))], table="calls")
    assert summary.by_reason == {"unparsed_number": 1}
    assert summary.cures == (
        "1 rows have numbers that lack a country code: name the files' country, such as --region GB",
    )
    assert {one["caller_country"] for one in stored(store).to_pylist()} == {"GB", "ES"}
    again = ingest(store, [stores.file(as_csv(rows))], table="calls", region="GB")
    assert again.by_reason == {}
    assert again.numbers_new == 0


def test_a_view_takes_no_rows(stores: Stores) -> None:
    """Refused before a file is opened: its rows are those of its table."""
    store = stores.make(
        policy(
            CALLS
            + BOUNDS
            + '[tables.legs]\nlegs_of = "calls"\ncarries = ["service"]\n'
            + BOUNDS.replace("calls", "legs")
        )
    )
    with pytest.raises(DataError, match="legs is a view of calls") as caught:
        ingest(store, [store.folder / "nowhere.csv"], table="legs")
    assert caught.value.code == "DPQ-508"
    assert caught.value.fix == "ingest into calls: its halves appear in legs"


def test_narrower_period(stores: Stores) -> None:
    store = stores.make()
    rows = [row(), row(start_ts="2026-02-05T00:00Z")]
    file = stores.file(as_csv(rows))
    january = (date(2026, 1, 1), date(2026, 1, 31))
    summary = ingest(store, [file], table="calls", period=january)
    assert summary.by_reason == {"outside_period": 1}
    assert store.manifest.batches[0].period == january
    for wrong in ((date(2025, 1, 1), date(2026, 1, 31)), (date(2026, 1, 31), date(2026, 1, 1))):
        with pytest.raises(DataError, match="DPQ-508"):
            ingest(store, [file], table="calls", period=wrong)


def test_undeclared_values_and_doubtful_numbers_are_counted(stores: Stores) -> None:
    store = stores.make()
    rows = [row(service="fax"), row(service=""), row(caller="07610039694")]
    summary = ingest(store, [stores.file(as_csv(rows))], table="calls")
    assert summary.undeclared_values == {"service": 1}
    assert "service: 1 rows hold values not in keys" in summary.cures
    assert summary.numbers_invalid == 1


def test_all_sources_say_the_same(stores: Stores) -> None:
    rng = random.Random(5)
    numbers = made_up_numbers(rng, 20)
    rows = [made_up_row(rng, *rng.sample(numbers, 2)) for _ in range(300)]
    rows[7]["talk_s"] = "much"
    text = stores.file(as_csv(rows))
    frame = pd.read_csv(text, dtype=str)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    whole = stores.file(as_csv([*rows[:7], *rows[8:]]), "whole.csv")
    typed = pd.read_csv(whole, dtype={"caller": str, "callee": str})
    typed["start_ts"] = pd.to_datetime(typed["start_ts"])
    typed["ended_at"] = pd.to_datetime(typed["ended_at"])
    paths = {name: stores.folder / f"calls.{name}" for name in ("parquet", "arrow", "unnamed")}
    pq.write_table(table, paths["parquet"])
    pf.write_feather(table, paths["arrow"])
    with pa.OSFile(str(paths["unnamed"]), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    semicolons = stores.file(as_csv(rows).replace(",", ";"), "semicolons.csv")
    key_bytes = None
    expected = None
    sources: list[Any] = [[text], frame, table, *([path] for path in paths.values()), [semicolons], typed]
    for place, source in enumerate(sources):
        store = stores.make(name=f"s{place}")
        key_bytes = key_bytes or store.key_file.read_bytes()
        share_key(store, key_bytes)
        summary = ingest(store, source, table="calls")
        assert summary.rows_stored == 299
        found = stored(store)
        expected = expected or found
        assert found.equals(expected), place


PUBLIC = """
[tables.cells]
public = true
key = "cell_id"
columns = { cell_id = { type = "text" }, district = { type = "integer" } }
"""


def test_public_tables_are_replaced_and_keyed(stores: Stores) -> None:
    store = stores.make(policy(CALLS + BOUNDS + PUBLIC))
    assert store.public_keys("cells") == ()
    summary = ingest(store, [stores.file("cell_id,district,note\nb,1,x\na,2,x\nb,3,x\n,4,x\nc,x,x\n")], table="cells")
    assert summary.by_reason == {"duplicate_key": 1, "empty_key": 1, "bad_value": 1}
    assert store.public_keys("cells") == ("a", "b")
    ingest(store, [stores.file("cell_id,district\nz,1\n")], table="cells")
    assert store.public_keys("cells") == ("z",)
    assert len(store.files("cells")) == 1
    ingest(store, [stores.file("cell_id,district\ny,1\n")], table="cells")
    assert len(list((store.folder / "tables" / "cells").iterdir())) == 2  # the last one's, for readers of it, and this
    assert store.data_version == 3


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "DPQ-507"),
        (b"\n\n", "DPQ-507"),
        (b"caller,callee\n", "DPQ-505"),
        ("caller,callee".encode("utf-16"), "DPQ-507"),
        (as_csv([row()]).replace("talk_s", "talk_secs").encode(), "DPQ-505"),
        (as_csv([row()]).replace("note", "caller").encode(), "DPQ-505"),
    ],
)
def test_wrong_files_change_nothing(stores: Stores, content: bytes, code: str) -> None:
    store = stores.make()
    before = sorted(store.folder.rglob("*"))
    with pytest.raises(DataError, match=code) as raised:
        ingest(store, [stores.file(content)], table="calls")
    if b"talk_secs" in content:
        assert raised.value.fix == 'talk_s = { ..., from = "talk_secs" }'
        assert "it has caller, callee, third_party" in raised.value.why
    assert {path for path in store.folder.rglob("*") if path.name != ".lock"} == {
        p for p in before if p.name != ".lock"
    }
    assert store.data_version == 0


@pytest.mark.parametrize("name", ["calls.parquet", "calls.arrow", "missing.csv"])
def test_unreadable_files(stores: Stores, name: str) -> None:
    store = stores.make()
    path = stores.folder / name
    if name != "missing.csv":
        path.write_bytes(b"PAR1 or ARROW1, but not really: +447400123456")
    with pytest.raises(DataError, match="DPQ-507") as raised:
        ingest(store, [path], table="calls")
    assert "447400123456" not in str(raised.value)


def test_wrong_arguments(stores: Stores) -> None:
    store = stores.make(policy(CALLS.replace("2026-03-31]", "2026-03-31]") + BOUNDS))
    file = stores.file(as_csv([row()]))
    for options in (
        {"table": "cals"},
        {"table": "calls", "region": "United Kingdom"},
        {"table": "calls", "region": "ZZ"},
    ):
        with pytest.raises(DataError, match="DPQ-508"):
            ingest(store, [file], **options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="DPQ-507"):
        ingest(store, [], table="calls")
    nested = pa.table({name: [[1]] if name == "caller" else ["x"] for name in FIELDS})
    with pytest.raises(DataError, match="DPQ-507"):
        ingest(store, nested, table="calls")
    odd = stores.make(policy(CALLS.replace('grain = "minute"', 'grain = "minute", format = "%Q"') + BOUNDS), name="odd")
    with pytest.raises(DataError, match="DPQ-508"):
        ingest(odd, [file], table="calls")
    bad = stores.make(policy(numbers=NUMBERS.replace("+442079460000", "++")), name="bad")
    with pytest.raises(DataError, match="DPQ-509"):
        ingest(bad, [file], table="calls")


def test_progress_is_told(stores: Stores) -> None:
    told: list[tuple[str, int]] = []
    ingest(stores.make(), [stores.file(as_csv([row()]))], table="calls", progress=lambda *one: told.append(one))
    assert told == [("read", 1), ("write", 1)]


def test_dates_beyond_the_calendar_go_to_quarantine(tmp_path: Path) -> None:
    """An engine cannot turn them into times; one such row must never make a query fail."""
    store = create_store(tmp_path / "s", POLICY_WITH_DATE)
    days = pa.array([0, 2**30, -(2**30), None], pa.int32()).cast(pa.date32())
    rows = pa.table({"number": [f"+44207946000{i}" for i in range(4)], "joined": days})
    summary = ingest(store, rows, table="people")
    assert (summary.rows_stored, summary.by_reason) == (2, {"bad_value": 2})


POLICY_WITH_DATE = """
schema = 1
dataset = "people"
version = 1
[tables.people]
owners = 1
parties = { number = "number" }
columns = { joined = { type = "date" } }
[purposes.study]
text = "Study."
notice = "v1"
regime = "opt-out"
[analysts.ana]
purposes = ["study"]
[budgets]
dataset = { epsilon = 1.0 }
analysts = { ana = { epsilon = 1.0 } }
"""
