"""Remove any number with all its rows: no exact table that the planner emits moves by more than it claims."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import MemoryRows, prepare
from planning import priced, small_catalog
from small_calls import PARTIES, alike, assert_claims_hold_for_all, call_row, call_rows, in_memory

from dpquery.privacy.calibrate import PrivacyPlan

CATALOG = small_catalog()

TWO_OWNERS = [
    "SELECT COUNT(*) FROM calls",
    "SELECT COUNT(talk_s) FROM calls WHERE talk_s > 2",
    "SELECT SUM(talk_s), COUNT(*) FROM calls",
    "SELECT SUM(score) FROM calls",
    "SELECT SUM(cost - 1) FROM calls WHERE service = 'voice' OR answered",
    "SELECT AVG(talk_s) FROM calls",
    "SELECT AVG(CASE WHEN answered THEN 1 ELSE 0 END) FROM calls",
    "SELECT COUNT(DISTINCT caller), COUNT(DISTINCT callee) FROM calls",
    "SELECT service, COUNT(*), SUM(talk_s * 2) FROM calls GROUP BY service",
    "SELECT direction, cell_id, COUNT(*), AVG(score) FROM calls GROUP BY 1, 2",
    "SELECT day, COUNT(DISTINCT caller) FROM calls WHERE day BETWEEN '2026-01-30' AND '2026-02-02' GROUP BY day",
    "SELECT caller_region, SUM(score) FROM calls GROUP BY caller_region",
    "SELECT COUNT(DISTINCT caller) FILTER (WHERE answered) FROM calls",
]
ONE_OWNER = [
    "SELECT COUNT(*), SUM(talk_s) FROM calls WHERE direction = 'inbound'",
    "SELECT AVG(talk_s), AVG(score) FROM calls WHERE direction <> 'p2p'",
    "SELECT COUNT(DISTINCT caller), COUNT(answered) FROM calls WHERE direction IN ('inbound', 'outbound')",
    "SELECT SUM(talk_s, contribution_bounds_per_group => (0, 70)) FROM calls WHERE direction <> 'p2p'",
    "SELECT service, COUNT(*), SUM(score), AVG(talk_s) FROM calls WHERE direction <> 'p2p' GROUP BY service",
    "SELECT cell_id, SUM(score, contribution_bounds_per_group => (-9, 7)) FROM calls WHERE direction <> 'p2p' "
    "GROUP BY cell_id",
    "SELECT cell_id, service, COUNT(DISTINCT callee), COUNT(*) FROM calls WHERE direction = 'outbound' GROUP BY 1, 2",
    "SELECT date_trunc('day', start_ts), COUNT(*) FROM calls WHERE direction <> 'p2p' GROUP BY 1",
    "SELECT COUNT(DISTINCT caller) FILTER (WHERE answered) FROM calls WHERE direction <> 'p2p'",
]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield prepare(opened)


def some_number_is_over_its_bound(plan: PrivacyPlan, rows: MemoryRows) -> bool:
    bounds = plan.bounded.bounds
    least = min(bounds.max_rows, bounds.max_rows_per_group)
    return any(rows.rows_of(number, PARTIES) > least for number in rows.owners(PARTIES))


@pytest.mark.parametrize("sql", TWO_OWNERS + ONE_OWNER)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_number_moves_a_table_by_more_than_claimed(
    sql: str, data: st.DataObject, con: duckdb.DuckDBPyConnection
) -> None:
    plan = priced(sql, CATALOG)
    rows = in_memory(con, data.draw(call_rows()))
    assert_claims_hold_for_all(plan, rows)


@pytest.mark.slow
@pytest.mark.parametrize("sql", TWO_OWNERS + ONE_OWNER)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_no_number_moves_a_table_by_more_than_claimed_at_length(
    sql: str, data: st.DataObject, con: duckdb.DuckDBPyConnection
) -> None:
    plan = priced(sql, CATALOG)
    rows = in_memory(con, data.draw(call_rows()))
    assert_claims_hold_for_all(plan, rows)


@pytest.mark.parametrize("sql", TWO_OWNERS + ONE_OWNER)
def test_the_tables_used_here_are_above_their_bounds(sql: str, con: duckdb.DuckDBPyConnection) -> None:
    """Otherwise the property above would pass on nothing: bounds bite, and rows are lost, on its kind of table."""
    rng = np.random.default_rng(1)
    plan = priced(sql, CATALOG)
    rows = in_memory(con, [call_row(int(a), int(b), int(s) + 9) for a, b, s in rng.integers(-1, 6, (60, 3))])
    assert some_number_is_over_its_bound(plan, rows)


@pytest.mark.parametrize(
    ("sql", "rows", "part", "norm"),
    [
        ("SELECT COUNT(*) FROM calls", alike(9, 0, 1), 0, "l1"),
        ("SELECT SUM(talk_s) FROM calls", alike(9, 0, 1, talk_s=60), 0, "l1"),
        ("SELECT SUM(score) FROM calls", alike(9, 0, 1, score=-100), 0, "l1"),
        ("SELECT AVG(CASE WHEN answered THEN 1 ELSE 0 END) FROM calls", alike(9, 0, 1), 0, "linf"),
        ("SELECT service, COUNT(*) FROM calls GROUP BY service", alike(9, 0, 1), 0, "linf"),
        (
            "SELECT service, COUNT(*) FROM calls GROUP BY service",
            alike(9, 0, 1) + alike(9, 0, 1, service="sms") + alike(9, 0, 1, service=None),
            0,
            "l2",
        ),
        ("SELECT COUNT(*) FROM calls WHERE direction = 'inbound'", alike(9, 0, -5, direction="inbound"), 0, "l1"),
        (
            "SELECT SUM(talk_s) FROM calls WHERE direction = 'inbound'",
            alike(9, 0, -5, direction="inbound", talk_s=99),
            0,
            "l1",
        ),
        (
            "SELECT cell_id, COUNT(*) FROM calls WHERE direction <> 'p2p' GROUP BY cell_id",
            alike(3, 0, -5, direction="inbound") + alike(3, 0, -5, direction="inbound", cell_id="C2"),
            0,
            "l2",
        ),
        (
            "SELECT cell_id, SUM(score, contribution_bounds_per_group => (-9, 7)) FROM calls WHERE direction <> 'p2p' "
            "GROUP BY cell_id",
            alike(3, 0, -5, direction="inbound", score=-9)
            + alike(3, 0, -5, direction="inbound", cell_id="C2", score=-9),
            0,
            "l1",
        ),
        (
            "SELECT cell_id, COUNT(DISTINCT caller) FROM calls WHERE direction <> 'p2p' GROUP BY cell_id",
            alike(1, 0, -5, direction="inbound") + alike(1, 0, -5, direction="inbound", cell_id="C2"),
            0,
            "l1",
        ),
    ],
)
def test_the_claim_is_attained(
    sql: str, rows: list[dict[str, object]], part: int, norm: str, con: duckdb.DuckDBPyConnection
) -> None:
    """By exactly as much as claimed: a smaller claim would be false."""
    plan = priced(sql, CATALOG)
    table = in_memory(con, rows)
    change = np.abs(table.exact(plan)[part] - table.without(0, PARTIES).exact(plan)[part])
    claimed = plan.parts[part].sensitivity
    found = {"l1": change.sum(), "l2": (change**2).sum(), "linf": change.max()}[norm]
    assert found == {"l1": claimed.l1, "l2": claimed.l2_squared, "linf": claimed.linf}[norm]


@pytest.mark.parametrize(
    ("values", "clamp", "right"),
    [((-100, 99), (0, 7), 0), ((1, 1, 1), (10, 100), 10), ((-50, 100), (0, 60), 50), ((30, 40), (0, 60), 60)],
)
def test_per_group_bounds_clamp_the_total_of_a_number(
    values: tuple[int, ...], clamp: tuple[int, int], right: int, con: duckdb.DuckDBPyConnection
) -> None:
    sql = f"SELECT SUM(score, contribution_bounds_per_group => {clamp}) FROM calls WHERE direction = 'inbound'"
    rows = [alike(1, 0, -5, direction="inbound", score=value)[0] for value in values]
    table = in_memory(con, [{**row, "place": i + 1} for i, row in enumerate(rows)])
    assert table.exact(priced(sql, CATALOG))[0].item() == right


def test_distinct_callers_move_by_one_and_every_call_received(con: duckdb.DuckDBPyConnection) -> None:
    """1 + k: number 0 calls once, and k numbers call nobody but it."""
    rows = alike(1, 0, 5) + [row for caller in (1, 2, 3) for row in alike(1, caller, 0)]
    plan = priced("SELECT COUNT(DISTINCT caller) FROM calls", CATALOG)
    table = in_memory(con, [{**row, "place": i + 1} for i, row in enumerate(rows)])
    change = table.exact(plan)[0] - table.without(0, PARTIES).exact(plan)[0]
    assert change.item() == plan.parts[0].sensitivity.l1 == 4
