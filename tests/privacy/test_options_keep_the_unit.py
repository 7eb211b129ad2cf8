"""Queries with tighter bounds in OPTIONS: one number moves what is measured by no more than their plans say."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import prepare
from planning import priced, small_catalog
from small_calls import NUMBERS, alike, assert_claims_hold, call_rows, in_memory

CATALOG = small_catalog()
INBOUND = "FROM calls WHERE direction <> 'p2p'"
REQUESTS = [
    ("max_rows_contributed = 2", "COUNT(*), SUM(talk_s), COUNT(DISTINCT (caller, callee)) FROM calls"),
    ("max_rows_contributed = 3", "cell_id, COUNT(*), AVG(score), COUNT(DISTINCT callee) FROM calls GROUP BY cell_id"),
    ("max_rows_contributed = 2", f"COUNT(*), VARIANCE(score), MEDIAN(talk_s) {INBOUND}"),
    ("max_groups_contributed = 1", f"cell_id, COUNT(*), SUM(score), COUNT(DISTINCT caller) {INBOUND} GROUP BY cell_id"),
    (
        "max_groups_contributed = 1, max_rows_contributed = 1",
        f"service, COUNT(talk_s), AVG(cost) {INBOUND} GROUP BY service",
    ),
    (
        "max_groups_contributed = 2",
        "cell_id, COUNT(*, contribution_bounds_per_group => (0, 2)), "
        f"COUNT(talk_s, contribution_bounds_per_group => (0, 3)) {INBOUND} GROUP BY cell_id",
    ),
    (
        "max_rows_contributed = 1",
        "n, COUNT(*) FROM (SELECT number, COUNT(*) AS n FROM either_party(calls) GROUP BY number) GROUP BY n",
    ),
    (
        "max_rows_contributed = 2",
        "COUNT(*) FROM (SELECT number, COUNT(*) AS n FROM either_party(calls) GROUP BY number) WHERE n >= 2",
    ),
]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield prepare(opened)


@pytest.mark.parametrize(("options", "request_"), REQUESTS)
@settings(max_examples=25, deadline=None)
@given(rows=call_rows(), number=st.integers(0, NUMBERS - 1))
def test_claims_hold(
    options: str, request_: str, con: duckdb.DuckDBPyConnection, rows: list[dict[str, object]], number: int
) -> None:
    plan = priced(f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({options}) {request_}", CATALOG)
    assert_claims_hold(plan, in_memory(con, rows), number)


def test_a_heavy_number_is_held_to_what_was_asked(con: duckdb.DuckDBPyConnection) -> None:
    """Nine calls from one number, and the bound that each request asks for."""
    rows = in_memory(con, alike(9, 1, -5, direction="inbound"))
    for options, select, kept in (
        ("max_rows_contributed = 2", f"COUNT(*) {INBOUND}", 2),
        ("max_rows_contributed = 3", "cell_id, COUNT(*) FROM calls GROUP BY cell_id", 1),
        ("epsilon = 1", f"COUNT(*, contribution_bounds_per_group => (0, 7)) {INBOUND}", 7),
    ):
        plan = priced(f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({options}) {select}", CATALOG)
        assert max(part.max() for part in rows.exact(plan)) == kept
