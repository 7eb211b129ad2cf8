"""What is purged or forgotten is gone, and what stands for anybody else stays as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import POLICY

from dpquery.consent.erasing import forget
from dpquery.consent.records import SCHEMA
from dpquery.consent.registry import FOLDER, append, read_records, read_registry
from dpquery.consent.retention import spent
from dpquery.consent.standing import standing, standing_by_source, statements
from dpquery.errors import StoreError, UsageError
from dpquery.stewardship import init
from dpquery.store.lock import exclusive

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2024, 1, 1, tzinfo=UTC)
NUMBERS = [bytes([n]) * 16 for n in (1, 2)]
MOMENTS = st.integers(0, 6)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(NUMBERS),
        st.sampled_from(["planning", "offers", "*"]),
        st.sampled_from(["given", "refused", "withdrawn", "expired", "lifted"]),
        st.sampled_from(["person", "own"]),
        MOMENTS,
        st.one_of(st.none(), st.integers(1, 4)),
    ),
    max_size=12,
)


Row: TypeAlias = tuple[bytes, str, str, str, int, int | None]


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "pseudonym": number,
                "purpose": purpose,
                "status": status,
                "source": source,
                "effective_at": day(at),
                "expires_at": None if length is None or status in {"expired", "lifted"} else day(at + length),
                "recorded_at": START,
            }
            for number, purpose, status, source, at, length in rows
        ],
        schema=SCHEMA,
    )


def stands(records: pa.Table, purpose: str, at: datetime) -> tuple[list[Any], list[Any]]:
    found = statements(records, pa.array(NUMBERS, pa.binary(16)), purpose)
    both = []
    for places in (standing(found, at), standing_by_source(found, at)):
        rows = records.take(pa.array(found.row[places])).select(["pseudonym", "purpose", "status", "source"])
        both.append(sorted(map(str, rows.to_pylist())))
    return both[0], both[1]


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, cut=MOMENTS)
def test_what_is_purged_bears_on_nothing_from_then_on(rows: list[Row], cut: int) -> None:
    records = table(rows)
    expired, superseded = spent(records, round(day(cut).timestamp() * 1_000_000))
    left = records.filter(pa.array(~expired & ~superseded))
    for purpose in ("planning", "offers"):
        for later in range(cut, 12):
            assert stands(left, purpose, day(later)) == stands(records, purpose, day(later))


def test_what_has_been_replaced_or_has_expired_long_ago_goes(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    steward = init(tmp_path / "store", policy=tmp_path / "policy.toml")
    folder, one, two = steward.store.folder, *NUMBERS
    rows: list[Row] = [(one, "planning", "given", "person", 0, None), (one, "planning", "refused", "person", 1, None)]
    rows += [(two, "planning", "given", "person", 0, 2), (two, "offers", "refused", "own", 0, None)]
    append(folder, table(rows).to_batches())
    done = steward.consent.purge()
    assert (done.days, done.expired, done.superseded, done.kept) == (365, 1, 1, 2)
    assert len(read_registry(folder).segments) == 1
    assert {row["status"] for row in read_records(folder).to_pylist()} == {"refused"}
    again = steward.consent.purge()
    assert (again.expired, again.superseded, again.kept) == (0, 0, 2)
    for days in (364, 0, -1, 10**9):
        with pytest.raises(UsageError):
            steward.consent.purge(days=days)


def test_statements_are_kept_for_a_year_as_evidence(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    steward = init(tmp_path / "store", policy=tmp_path / "policy.toml")
    for status in ("given", "withdrawn", "given", "withdrawn"):
        steward.consent.set("+442079400001", purpose="network_planning", status=status)
    assert steward.consent.purge().kept == 4


def test_a_number_that_is_forgotten_has_said_nothing(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    steward = init(tmp_path / "store", policy=tmp_path / "policy.toml")
    folder = steward.store.folder
    numbers = ["+442079400001", "+442079400003"]
    for _ in range(2):
        steward.consent.set(*numbers, purpose="network_planning", status="refused")
    one, two = (steward.store.pseudonym(number) for number in numbers)
    with exclusive(folder), pytest.raises(StoreError, match="DPQ-506"):
        forget(folder, [one])
    forget(folder, [one])
    registry = read_registry(folder)
    assert {row["pseudonym"] for row in read_records(folder).to_pylist()} == {two}
    for file in (folder / FOLDER).glob("*.parquet"):
        assert one not in file.read_bytes()
    named = {each.name for each in registry.segments} | {"registry.json"}
    assert {file.name for file in (folder / FOLDER).iterdir()} == named
    forget(folder, [one])
    assert read_registry(folder) == registry
    assert [each.status for each in steward.consent.status(numbers[0]).purposes] == [None]
