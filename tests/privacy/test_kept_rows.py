"""Rows kept under a ladder of bounds, of which the bounding loss is made, move by no more than they claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import prepare
from planning import POLICY, priced_plan, small_catalog
from small_calls import PARTIES, alike, assert_claims_hold_for_all, call_rows, in_memory

from dpquery.errors import UsageError
from dpquery.plan.loss import loss_request
from dpquery.policy import parse_policy
from dpquery.privacy.measure import KeptMeasurement
from dpquery.sql.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.privacy.calibrate import PrivacyPlan

CATALOG = small_catalog()

REQUESTS = {
    "two owners": "SELECT COUNT(*), SUM(talk_s, contribution_bounds_per_row => (0, 7)) FROM calls",
    "two owners by service": "SELECT service, AVG(score) FROM calls GROUP BY service",
    "two owners by two keys": "SELECT direction, cell_id, COUNT(*) FROM calls GROUP BY direction, cell_id",
    "one owner": "SELECT COUNT(*), MEDIAN(cost) FROM calls WHERE direction <> 'p2p'",
    "one owner by service": "SELECT service, SUM(talk_s) FROM calls WHERE direction <> 'p2p' GROUP BY service",
    "one owner by two keys": "SELECT service, cell_id, SUM(score) FILTER (WHERE answered) FROM calls "
    "WHERE direction = 'inbound' GROUP BY service, cell_id",
    "two owners, asked for less": "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 3) service, "
    "COUNT(*) FROM calls GROUP BY service",
    "one owner, asked for less": "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_groups_contributed = 1, "
    "max_rows_contributed = 2) service, COUNT(*) FROM calls WHERE direction <> 'p2p' GROUP BY service",
    "legs": "SELECT service, COUNT(*) FROM legs GROUP BY service",
}


def plan_of(name: str) -> PrivacyPlan:
    return priced_plan(loss_request(resolve(REQUESTS[name], CATALOG)).logical, CATALOG)


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield prepare(opened)


@pytest.mark.parametrize("name", [name for name in REQUESTS if name != "legs"])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_number_moves_kept_rows_by_more_than_claimed(
    name: str, data: st.DataObject, con: duckdb.DuckDBPyConnection
) -> None:
    plan, rows = plan_of(name), in_memory(con, data.draw(call_rows()))
    assert_claims_hold_for_all(plan, rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in REQUESTS if name != "legs"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_number_moves_kept_rows_by_more_than_claimed_at_length(
    name: str, data: st.DataObject, con: duckdb.DuckDBPyConnection
) -> None:
    plan, rows = plan_of(name), in_memory(con, data.draw(call_rows()))
    assert_claims_hold_for_all(plan, rows)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("two owners", alike(40, 0, 1)),
        ("two owners by service", [*alike(20, 0, 1), *alike(20, 0, 2, service="sms"), *alike(20, 0, 3, service=None)]),
        ("one owner", alike(40, 0, -5, direction="inbound")),
        (
            "one owner by service",
            [*alike(20, 0, -5), *alike(20, 0, -5, service="sms"), *alike(20, 0, -5, service=None)],
        ),
    ],
)
def test_the_claims_are_reached(name: str, rows: list[dict[str, object]], con: duckdb.DuckDBPyConnection) -> None:
    """A smaller claim would be false: one number with many rows in every group moves each level by all of it."""
    plan = plan_of(name)
    calls = [{**row, "place": i + 1} for i, row in enumerate(rows)]
    calls = [row | ({"direction": "inbound"} if name.startswith("one") else {}) for row in calls]
    table = in_memory(con, calls)
    before, after = table.exact(plan), table.without(0, PARTIES).exact(plan)
    moved = [
        (abs(int(full[0, 0] - less[0, 0])), part.sensitivity.l1)
        for part, full, less in zip(plan.parts, before, after, strict=True)
        if isinstance(part.measurement, KeptMeasurement) and part.measurement.present is None
    ]
    assert len(moved) == 4
    assert all(change == claim for change, claim in moved), moved


def test_wider_bounds_keep_no_fewer_rows(con: duckdb.DuckDBPyConnection) -> None:
    calls = [*alike(30, 0, 1), *alike(9, 2, 3)]
    rows = in_memory(con, [{**call, "place": place + 1} for place, call in enumerate(calls)])
    kept = [int(part[0, 0]) for part in rows.exact(plan_of("two owners"))][:4]
    assert kept == sorted(kept)
    assert kept[0] < kept[-1]


def test_the_same_rows_in_other_words_are_one_question() -> None:
    first = plan_of("two owners by two keys")
    other = loss_request(
        resolve("SELECT cell_id AS c, direction AS d, COUNT(talk_s) AS n, COUNT(*) FROM calls GROUP BY 2, 1", CATALOG)
    )
    assert [p.measurement for p in priced_plan(other.logical, CATALOG).parts] == [p.measurement for p in first.parts]


def test_a_view_of_halves_has_its_own_bounds() -> None:
    assert plan_of("legs").bounded.rule == "one-owner"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT COUNT(DISTINCT caller) FROM calls",
        "SELECT COUNT(DISTINCT (caller, callee)) FROM calls",
        "SELECT AVG(n) FROM (SELECT caller, COUNT(*) AS n FROM calls WHERE direction = 'inbound' GROUP BY caller)",
        "SELECT SUM(talk_s, contribution_bounds_per_group => (0, 60)) FROM calls WHERE direction <> 'p2p'",
    ],
)
def test_queries_that_lose_no_rows_are_refused(sql: str) -> None:
    with pytest.raises(UsageError):
        loss_request(resolve(sql, CATALOG))


def test_groups_that_nobody_declared_have_no_bounding_loss() -> None:
    catalog = small_catalog(parse_policy(POLICY.replace("[limits]", "[limits]\nmin_people = 3")))
    sql = "SELECT free_text, COUNT(*) FROM calls WHERE direction <> 'p2p' GROUP BY free_text"
    with pytest.raises(UsageError):
        loss_request(resolve(sql, catalog))
