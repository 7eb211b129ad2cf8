"""The CSV reader alone, against Python's, and at the edges of its buffer."""

from __future__ import annotations

import csv
import io
import random
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpquery.errors import DataError
from dpquery.ingest import ingest
from dpquery.ingest.csv_source import CsvSource
from dpquery.ingest.csv_split import RECORD_BYTES_MAX
from dpquery.ingest.times import TimeReader
from dpquery.ingest.values import read_decimal, read_integer
from dpquery.ingest.zones import local_times, utc_times, zone_named
from dpquery.store import create_store

if TYPE_CHECKING:
    from pathlib import Path


def read(
    path: Path, wanted: tuple[str, ...] = ("a", "b")
) -> tuple[list[tuple[str, ...]], list[tuple[int, str]], list[int]]:
    good, bad, rows = [], [], []
    for batch in CsvSource.open(path, wanted, buffer_bytes=1).batches():
        good += list(zip(*(batch.columns[name].to_pylist() for name in wanted), strict=True))
        bad += [(line.row, line.text) for line in batch.bad_lines]
        rows += batch.rows.tolist()
    return good, bad, rows


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(*[st.text(st.sampled_from('ab",\n\r;é '), max_size=8)] * 3), max_size=20))
def test_reads_what_python_writes(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "x", "b"), *rows])
    path = tmp_path_factory.getbasetemp() / "python.csv"
    path.write_bytes(text.getvalue().encode())
    good, bad, _ = read(path)
    assert bad == []
    assert good == [(row[0], row[2]) for row in rows]


def test_records_across_buffers(tmp_path: Path) -> None:
    rng = random.Random(0)
    rows = [("x" * rng.randrange(3000), 'say ""hi""\n' * rng.randrange(200)) for _ in range(400)]
    path = tmp_path / "big.csv"
    path.write_text("a,b\n" + "".join(f'{a},"{b}"\n' for a, b in rows))
    good, bad, numbers = read(path)
    assert good == [(a, b.replace('""', '"')) for a, b in rows]
    assert bad == []
    assert numbers == list(range(1, 401))


@pytest.mark.parametrize(
    ("body", "good", "bad"),
    [
        ('1,"open\n2,3\n', [("2", "3")], [(1, '1,"open')]),
        ('1,"shut"x\n2,3', [("2", "3")], [(1, '1,"shut"x')]),
        ("1\n2,3\n4,5,6\n", [("2", "3")], [(1, "1"), (3, "4,5,6")]),
        ('1,"a\nb",c,d\n2,3', [("2", "3")], [(1, '1,"a'), (2, 'b",c,d')]),
        ("1,\n,2\n", [("1", ""), ("", "2")], []),
        ('1,a"b"\n', [("1", 'a"b"')], []),
        ("\n\r\n1,2\r\r3,4", [("1", "2"), ("3", "4")], []),
    ],
)
def test_damage_costs_one_line(
    tmp_path: Path, body: str, good: list[tuple[str, str]], bad: list[tuple[int, str]]
) -> None:
    path = tmp_path / "damaged.csv"
    path.write_bytes(b"a,b\n" + body.encode())
    found, lines, rows = read(path)
    assert found == good
    assert lines == bad
    assert sorted(rows + [row for row, _ in bad]) == list(range(1, len(good) + len(bad) + 1))


def test_endless_lines_are_cut_up_but_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "endless.csv"
    long = "9" * (5 * RECORD_BYTES_MAX)
    path.write_text(f"a,b\n1,2\n{long}\n3,4\n")
    good, bad, _ = read(path)
    assert good == [("1", "2"), ("3", "4")]
    assert "".join(text for _, text in bad) == long


@pytest.mark.parametrize("header", ["# a,b", "\ufeffa,b", ' a , "b"', "a;b", "a\tb", "a|b", "#a,b"])
def test_headers(tmp_path: Path, header: str) -> None:
    path = tmp_path / "header.csv"
    sign = next(sign for sign in ",;\t|" if sign in header)
    path.write_text(f"{header}\r\n1{sign}2\r\n", encoding="utf-8")
    assert read(path)[0] == [("1", "2")]


@given(
    st.lists(
        st.one_of(
            st.floats().map(repr), st.decimals(allow_nan=False, allow_infinity=False).map(str), st.text(max_size=6)
        ),
        min_size=1,
    )
)
def test_decimals_are_read_as_python_reads_them(texts: list[str]) -> None:
    found = read_decimal(pa.array(texts))
    for text, value, bad in zip(texts, found.values.to_pylist(), found.bad.tolist(), strict=True):
        try:
            expected = float(text) if text.isascii() and "_" not in text else None
        except ValueError:
            expected = None
        if bad:
            assert expected is None
        elif value is not None:
            assert value == expected
        else:
            assert expected is None or not np.isfinite(expected)


@given(st.lists(st.one_of(st.integers(-(2**70), 2**70).map(str), st.text("0123456789+-. x", max_size=6)), min_size=1))
def test_integers_are_read_as_python_reads_them(texts: list[str]) -> None:
    found = read_integer(pa.array(texts))
    for text, value, bad in zip(texts, found.values.to_pylist(), found.bad.tolist(), strict=True):
        if value is not None:
            assert float(text) == int(value) or int(text) == value
        elif not bad:
            assert not text.strip()
        elif (
            text.strip().lstrip("+-").isdigit()
            and text.strip().lstrip("+-") == text.strip()[-len(text.strip().lstrip("+-")) :]
        ):
            assert len(text.strip()) - len(text.strip().lstrip("+-")) > 1 or not -(2**63) < int(text) < 2**63


def test_clocks_there_and_back() -> None:
    zone = zone_named("Europe/London")
    assert zone is not None
    assert zone_named("Europe/Atlantis") is None
    assert zone_named("../etc") is None
    hours = np.arange(0, 400 * 24, dtype=np.int64) * 3_600_000_000 + 1_767_225_600_000_000
    local = local_times(hours, zone)
    back = utc_times(local, zone)
    autumn = back != hours
    assert autumn.sum() == 1  # the hour that clocks show twice is taken as the first of the two
    assert (hours - back)[autumn] == 3_600_000_000
    assert set(((local - hours) // 3_600_000_000).tolist()) == {0, 1}


def test_typed_times() -> None:
    import duckdb

    zone = zone_named("Europe/London")
    assert zone is not None
    with duckdb.connect() as engine:
        reader = TimeReader("iso", zone, engine)
        text = reader.read(pa.array(["2026-07-01 12:00", "", "x"]))
        naive = reader.read(pa.array([1782907200000, None, 10**17], pa.timestamp("ms")))
        aware = reader.read(pa.array([1782903600, None, None], pa.timestamp("s", "America/New_York")))
    assert text.micros[0] == naive.micros[0] == aware.micros[0] == 1782903600_000_000
    assert text.missing.tolist() == [False, True, False]
    assert text.bad.tolist() == naive.bad.tolist() == [False, False, True]


def test_a_first_line_of_values_is_not_repeated(tmp_path: Path) -> None:
    """A file without a header: its first row holds numbers, which no error may."""
    store = create_store(tmp_path / "s", CALLS_POLICY)
    (tmp_path / "calls.csv").write_text("07895 192817,07785 745710,2026-01-05T10:00:00Z\n")
    with pytest.raises(DataError) as caught:
        ingest(store, [tmp_path / "calls.csv"], table="calls")
    assert "192817" not in str(caught.value)
    assert "header" in str(caught.value)


CALLS_POLICY = """
schema = 1
dataset = "calls"
version = 1
[numbers]
default_region = "GB"
[tables.calls]
owners = 2
parties = { caller = "caller", callee = "callee" }
[tables.calls.bounds]
ungrouped = { max_rows = 9 }
grouped = { max_rows_per_group = 9 }
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
