"""What is finer than the declared grain never reaches disk: of time, of place, of any column."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_samples import BOUNDS, CALLS, NUMBERS, Stores, made_up_numbers, made_up_row, policy, stored

from dpquery.errors import PolicyError, StoreError
from dpquery.ingest import ingest
from dpquery.ingest.coarse import coarsened
from dpquery.ingest.rows import HASH_BITS
from dpquery.policy import parse_policy
from dpquery.policy.model import TIME_GRAINS
from dpquery.stewardship import check_policy
from dpquery.store import Store, open_store

Row = dict[str, str]

AT = datetime(2026, 4, 1, tzinfo=UTC)


def calls(count: int, seed: int = 1) -> list[Row]:
    """Calls at times to the microsecond, in four columns of place and amount more."""
    rng = random.Random(seed)
    numbers = made_up_numbers(rng, 20)
    found = []
    for _ in range(count):
        row = made_up_row(rng, *rng.sample(numbers, 2))
        when = row["start_ts"][:19]
        row |= {"start_ts": f"{when}.{rng.randrange(10**6):06}Z", "ended_at": f"{when}.{rng.randrange(10**6):06}Z"}
        row |= {"lat": f"{rng.uniform(49, 59):.7f}", "lon": f"{rng.uniform(-8, 2):.7f}"}
        row |= {"postcode": f"SW{rng.randrange(10)}A {rng.randrange(10)}XY", "metres": str(rng.randrange(-5000, 5000))}
        found.append(row)
    return found


def with_columns(grain: str = "minute", *columns: str) -> str:
    tables = CALLS.replace('grain = "minute"', f'grain = "{grain}"') + "\n".join(columns) + BOUNDS
    return policy(tables)


def taken_in(store: Store, rows: list[Row]) -> pa.Table:
    """All rows at rest, as their files have them."""
    table = pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in rows[0]]))
    assert ingest(store, table, table="calls", at=AT).rows_stored == len(rows)
    return pa.concat_tables([pq.read_table(file.path) for file in store.files("calls")])


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path)


@pytest.mark.parametrize("grain", TIME_GRAINS)
def test_no_time_at_rest_is_finer_than_the_grain(stores: Stores, grain: str) -> None:
    """Of any column: a second time of the row to the second would undo the first."""
    at_rest = taken_in(stores.make(with_columns(grain)), calls(400))
    timed = [field.name for field in at_rest.schema if pa.types.is_timestamp(field.type)]
    assert timed == ["start_ts", "ended_at"]
    for name in timed:
        micros = at_rest[name].drop_null().cast(pa.int64()).to_numpy()
        assert len(micros) > 100
        assert not (micros % (TIME_GRAINS[grain] * 1_000_000)).any()
    hours = at_rest["place"].to_numpy() >> np.uint64(HASH_BITS)
    assert not (hours % np.uint64(max(1, TIME_GRAINS[grain] // 3600))).any()


def test_what_is_cut_off_leaves_no_trace(stores: Stores) -> None:
    """Not even in the keyed hash that orders rows: rows that differ in it alone are alike at rest."""
    (first,) = calls(1)
    first |= {"start_ts": "2026-01-05T10:00:01Z", "ended_at": "2026-01-05T10:07:02Z", "postcode": "SW1A 1AA"}
    other = {**first, "start_ts": "2026-01-05T10:00:59.9Z", "ended_at": "2026-01-05T10:07:58Z", "postcode": "SW1A 2ZZ"}
    other |= {"lat": first["lat"][:5] + "9"}
    first["lat"] = first["lat"][:5] + "1"
    text = with_columns("minute", 'postcode = { type = "text", grain = 4 }', 'lat = { type = "decimal", grain = 0.01 }')
    one, two = taken_in(stores.make(text), [first, other]).to_pylist()
    assert one == two
    assert one["postcode"] == "SW1A"


def test_columns_have_grains_of_their_own(stores: Stores) -> None:
    text = with_columns(
        "minute",
        'lat = { type = "decimal", grain = 0.01 }',
        'lon = { type = "decimal", grain = 0.25 }',
        'postcode = { type = "text", grain = 5 }',
        'metres = { type = "integer", grain = 500 }',
    ).replace('ended_at = { type = "timestamp" }', 'ended_at = { type = "timestamp", grain = "hour" }')
    rows = calls(300)
    at_rest = taken_in(stores.make(text), rows)
    assert set(at_rest["postcode"].to_pylist()) == {row["postcode"][:4] for row in rows}
    assert set(at_rest["metres"].to_pylist()) == {int(row["metres"]) // 500 * 500 for row in rows}
    assert set(at_rest["lat"].to_pylist()) == {int(float(row["lat"]) * 100) / 100 for row in rows}
    assert {value % 0.25 for value in at_rest["lon"].to_pylist()} == {0.0}
    assert {ended.minute for ended in at_rest["ended_at"].to_pylist() if ended} == {0}
    written = b"".join(file.path.read_bytes() for file in open_store(stores.folder / "store").files("calls"))
    finer = {row["lat"] for row in rows} | {row["postcode"] for row in rows}
    assert not [text for text in finer if text.encode() in written]


def test_public_tables_too(stores: Stores) -> None:
    cells = """
[tables.cells]
public = true
key = "cell_id"
[tables.cells.columns]
cell_id = { type = "text" }
lat = { type = "decimal", grain = 0.1 }
built = { type = "timestamp", grain = "day" }
"""
    store = stores.make(policy(CALLS + BOUNDS + cells))
    rows = pa.table({"cell_id": ["C1"], "lat": ["51.50731"], "built": ["2020-03-04 05:06:07"]})
    ingest(store, rows, table="cells")
    assert store.public_rows("cells") == {"cell_id": ("C1",), "lat": (51.5,), "built": (datetime(2020, 3, 4),)}


def test_without_a_grain_and_without_a_time_values_are_kept_whole(stores: Stores) -> None:
    people = """
[tables.people]
owners = 1
parties = { number = "number" }
columns = { joined = { type = "timestamp" }, score = { type = "decimal" } }
"""
    store = stores.make(policy(CALLS + BOUNDS + people))
    rows = pa.table({"number": ["+447400123456"], "joined": ["2020-03-04 05:06:07.5"], "score": ["1.2345678"]})
    ingest(store, rows, table="people")
    (row,) = stored(store, "people").to_pylist()
    assert (row["joined"], row["score"]) == (datetime(2020, 3, 4, 5, 6, 7, 500_000), 1.2345678)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)), st.integers(1, 10**9))
def test_whole_numbers_go_down_to_a_step(values: list[int | None], step: int) -> None:
    array = pa.array(values, pa.int64())
    found = coarsened(array, float(step))
    assert coarsened(found, float(step)).equals(found)
    for before, after in zip(values, found.to_pylist(), strict=True):
        if before is None or after is None:
            assert before is after
        elif before >= -(2**63) + step:
            assert after == before // step * step
        else:
            assert after == before


@given(
    st.lists(st.none() | st.floats(-1e9, 1e9)),
    st.sampled_from([0.001, 0.01, 0.015625, 0.1, 0.25, 0.3, 1.0, 2.5, 1000.0]),
)
def test_decimals_go_down_to_a_step(values: list[float | None], step: float) -> None:
    array = pa.array(values, pa.float64())
    found = coarsened(array, step)
    assert coarsened(found, step).equals(found)
    for before, after in zip(values, found.to_pylist(), strict=True):
        if before is None or after is None:
            assert before is after
        else:
            assert -1.01e-6 * step - 1e-6 <= before - after < step * (1 + 1e-6) + 1e-6


def test_values_that_are_not_numbers_stay_none() -> None:
    assert coarsened(pa.array([None, 1.239, 0.0, -0.001]), 0.01).to_pylist() == [None, 1.23, 0.0, -0.01]
    assert coarsened(pa.array([None, "", "ab", "a bc", "\u00e9\u00e9\u00e9"]), 2.0).to_pylist() == [
        None,
        "",
        "ab",
        "a",
        "\u00e9\u00e9",
    ]


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        ('x = { type = "date", grain = "day" }', "a date column has no such grain"),
        ('x = { type = "boolean", grain = 2 }', "a boolean column has no such grain"),
        ('x = { type = "timestamp", grain = 60 }', "a timestamp column has no such grain"),
        ('x = { type = "text", grain = "day" }', "a text column has no such grain"),
        ('x = { type = "text", grain = 2.5 }', "whole number"),
        ('x = { type = "integer", grain = 0.5 }', "whole number"),
        ('x = { type = "decimal", grain = 0 }', "greater than 0"),
        ('x = { type = "text", grain = 2, keys = ["abc"] }', "finer than the grain"),
        ('x = { type = "integer", grain = 5, keys = [5, 7] }', "finer than the grain"),
        ('x = { type = "integer", grain = 5, keys = { low = 0, high = 9 } }', "between steps"),
        ('x = { type = "timestamp", grain = "second" }', "finer than that of the row's time"),
        ('x = { type = "timestamp", grain = "week" }', "grain"),
    ],
)
def test_grains_that_make_no_sense(column: str, complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint):
        parse_policy(with_columns("minute", column))


def test_a_grain_cannot_change_under_the_rows(stores: Stores) -> None:
    text = with_columns("minute", 'postcode = { type = "text", grain = 4 }')
    store = stores.make(text)
    taken_in(store, calls(5))
    path = store.folder / "policy.toml"
    for changed in (", grain = 5", "", ", grain = 3"):
        path.write_text(text.replace(", grain = 4", changed))
        with pytest.raises(StoreError, match="DPQ-504"):
            open_store(store.folder)
    path.write_text(text)
    open_store(store.folder)


REGIONS = (
    NUMBERS
    + """
countries = ["GB"]
[numbers.regions]
london = ["+4420"]
north = ["+44161", "+44113"]
"""
)


def test_places_at_rest_are_those_that_are_declared(stores: Stores) -> None:
    """In rows and in the dictionary: no area that the policy has not named, no country but those it tells apart."""
    store = stores.make(policy(numbers=REGIONS))
    at_rest = taken_in(store, [{k: v for k, v in row.items() if k not in {"lat", "lon"}} for row in calls(200)])
    for party in ("caller", "callee"):
        assert set(at_rest[f"{party}_region"].to_pylist()) == {"london", "north", "other"}
        assert set(at_rest[f"{party}_country"].to_pylist()) == {"GB", "other"}
    numbers = store.numbers()
    assert set(numbers["region"].to_pylist()) == {"london", "north", "other"}
    assert set(numbers["country"].to_pylist()) == {"GB", "other"}
    content = b"".join(path.read_bytes() for path in store.folder.rglob("*.parquet"))
    assert not re.search(rb"(?<!Europe/)London|Manchester|GB |\+44", content)


@pytest.mark.parametrize("prefix", ["+447400123456", "+4474001234", "+44740012345", "+12125550123"])
def test_a_region_is_no_single_number(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(policy(numbers=REGIONS.replace("+44161", prefix)))
    with pytest.raises(PolicyError, match="fewer than a thousand numbers") as raised:
        check_policy(path)
    assert prefix not in str(raised.value)


@pytest.mark.parametrize("prefix", ["+4", "+44", "+4416149", "+44740012", "+447400123", "+1212555"])
def test_regions_that_are_coarse_enough(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(policy(numbers=REGIONS.replace("+44161", prefix)))
    check_policy(path)


def test_undeclared_columns_never_reach_disk(stores: Stores) -> None:
    """Whatever the file has beside them, by the names of columns at rest and by their bytes."""
    store = stores.make()
    at_rest = taken_in(store, [{**row, "secret": f"undeclared {i}"} for i, row in enumerate(calls(50))])
    table = store.policy.tables["calls"]
    assert set(at_rest.column_names) == {*table.party_names, "start_ts", *table.columns, *table.derived_names, "place"}
    content = b"".join(path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
    values = str([pq.read_table(path).to_pydict() for path in store.folder.rglob("*.parquet")])
    assert b"undeclared" not in content
    assert "undeclared" not in values
    assert "SW1A" not in values
