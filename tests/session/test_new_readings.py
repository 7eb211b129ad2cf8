"""Variances, quantiles, pairs, values and numbers of a whole store, close to plain DuckDB at a huge epsilon."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from planning import asking
from stores import MadeStore, generous, made_up_calls, make_store

from dpquery.documents import ValueColumn
from dpquery.errors import UsageError
from dpquery.plan.expressions import ColumnRef
from dpquery.plan.keys import GroupKey
from dpquery.plan.query import Aggregate, CountNumbers, CountPairs, CountValues, Quantile, Variance
from dpquery.plan.ranges import ValueRange
from dpquery.session import Query, Session

if TYPE_CHECKING:
    from dpquery.plan.query import LogicalPlan

EPSILON = 1e6
TALK, TALK_RANGE = ColumnRef("talk_s", "integer"), ValueRange(0, 60, 1.0)
SCORE, SCORE_RANGE = ColumnRef("score", "integer"), ValueRange(-8, 5, 1.0)
CELL = ColumnRef("cell_id", "text")

EITHER = (
    "(SELECT caller AS number, * FROM calls WHERE caller >= 0 UNION ALL SELECT callee, * FROM calls WHERE callee >= 0)"
)

CASES: list[tuple[Aggregate, str, str, float]] = [
    (Variance(TALK, TALK_RANGE, "log"), "VAR_POP(talk_s)", "calls", 0.1),
    (Variance(TALK, TALK_RANGE, sample=True, root=True), "STDDEV(talk_s)", "calls", 0.05),
    (Variance(SCORE, SCORE_RANGE), "VAR_POP(score)", "calls", 0.01),
    (Quantile(SCORE, SCORE_RANGE, 0.5), "QUANTILE_DISC(score, 0.5)", "calls", 1e-6),
    (Quantile(SCORE, SCORE_RANGE, 0.9), "QUANTILE_DISC(score, 0.9)", "calls", 1e-6),
    (CountPairs(("caller", "callee")), "COUNT(DISTINCT (caller, callee))", "calls", 1e-6),
    (CountValues(CELL, ("C1", "C2", "C3")), "COUNT(DISTINCT cell_id)", "calls", 1e-6),
    (CountNumbers(), "COUNT(DISTINCT number)", EITHER, 1e-6),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("readings"), generous(), made_up_calls(3000))


@pytest.fixture(scope="module")
def session(made: MadeStore) -> Session:
    return made.connect()


@pytest.mark.parametrize("where", ["", "WHERE direction <> 'p2p' "])
@pytest.mark.parametrize("case", CASES, ids=[case[1] for case in CASES])
def test_answers_are_close_to_plain_duckdb(
    case: tuple[Aggregate, str, str, float], where: str, session: Session, made: MadeStore
) -> None:
    aggregate, plain, source, near = case
    for keys, group in ((), ""), (("service",), "GROUP BY service"):
        selected = "".join(f"{key}, " for key in keys)
        logical = asking(f"SELECT {selected}COUNT(*) FROM calls {where}{group}", session.catalog, aggregate)
        release = Query(session, logical).run(EPSILON)
        expected = {row[:-1]: row[-1] for row in made.plain(f"SELECT {selected}{plain} FROM {source} {where}{group}")}
        found = {tuple(row[key] for key in keys): row for row in release.rows()}
        assert set(expected) <= set(found)
        for key, true in expected.items():
            value = found[key]["a0"]
            assert value == pytest.approx(float(str(true)), rel=near, abs=near)
            assert found[key]["a0_low"] <= value <= found[key]["a0_high"]


def numbers_by_rows(session: Session, most: int) -> LogicalPlan:
    logical = asking("SELECT COUNT(*) FROM calls", session.catalog, CountNumbers(by_rows=True))
    return replace(logical, keys=(GroupKey(ColumnRef("n", "integer"), tuple(range(1, most + 1)), "bounds"),))


def test_numbers_by_their_rows_are_those_of_plain_duckdb(session: Session, made: MadeStore) -> None:
    """Capacities that nobody reaches: each number is where its rows put it, a call to oneself counting once."""
    rows = Query(session, numbers_by_rows(session, 400)).run(EPSILON).rows()
    inner = "SELECT number, COUNT(*) AS n FROM (SELECT caller AS number, * FROM calls WHERE caller >= 0 UNION ALL "
    inner += "SELECT callee, * FROM calls WHERE callee >= 0 AND callee <> caller) GROUP BY number"
    expected = {row[0]: row[1] for row in made.plain(f"SELECT n, COUNT(*) FROM ({inner}) GROUP BY n")}
    assert len(rows) == 400
    assert max(int(str(n)) for n in expected) < 400
    for position, row in enumerate(rows):
        assert abs(row["a0"] - int(str(expected.get(position + 1, 0)))) <= 1


def test_previews_and_documents_of_all_readings(session: Session) -> None:
    aggregates = [case[0] for case in CASES]
    query = Query(session, asking("SELECT COUNT(*) FROM calls", session.catalog, *aggregates))
    preview = query.preview(1.0)
    said = str(preview)
    assert "expected" in said
    columns = [c for c in preview.document().columns if isinstance(c, ValueColumn)]
    assert [c.expected_half_width is None for c in columns] == [False, True, False, True, True, False, True, False]
    release = query.run(1.0)
    again = query.run(1.0)
    assert again.status == "repeated"
    assert again.rows() == release.rows()
    assert any("histogram" in warning for warning in release.warnings)
    wider = release.interval(0.99).rows()[0]
    for i in range(len(aggregates)):
        assert wider[f"a{i}_low"] <= release.rows()[0][f"a{i}_low"]
        assert wider[f"a{i}_high"] >= release.rows()[0][f"a{i}_high"]
    with pytest.raises(UsageError):
        query.run(within=1.0)
