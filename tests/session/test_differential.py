"""At a huge epsilon, where no bound bites, every supported query equals plain DuckDB within the noise's own tail."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from stores import MadeStore, generous, made_up_calls, make_store

from dpquery.documents import ValueColumn
from dpquery.errors import UsageError
from dpquery.session import Session

EPSILON = 1e6
BETA = 1e-12
"""Chance that noise strays beyond what a comparison allows."""

# Ours, and the plain query where it must be written differently.
QUERIES: list[tuple[str, str | None]] = [
    ("SELECT COUNT(*) FROM calls", None),
    ("SELECT COUNT(talk_s) AS n, SUM(talk_s) AS s FROM calls", None),
    ("SELECT SUM(score) AS s, COUNT(*) AS n FROM calls WHERE talk_s IS NOT NULL AND NOT (score < -3)", None),
    ("SELECT SUM(cost) AS s FROM calls WHERE direction <> 'p2p'", None),
    ("SELECT SUM(talk_s * 2 - score) AS s FROM calls WHERE direction = 'inbound'", None),
    ("SELECT AVG(talk_s) AS a, AVG(score) AS b FROM calls WHERE direction IN ('inbound', 'outbound')", None),
    ("SELECT AVG(score) AS a FROM calls", None),
    ("SELECT AVG(CASE WHEN talk_s > 30 THEN 1 ELSE 0 END) AS a FROM calls", None),
    ("SELECT COUNT(DISTINCT caller) AS n FROM calls WHERE direction = 'inbound'", None),
    (
        "SELECT COUNT(DISTINCT callee) AS n FROM calls",
        "SELECT COUNT(DISTINCT callee) FROM calls WHERE callee_kind = 'protected'",
    ),
    ("SELECT service, COUNT(*) AS n FROM calls GROUP BY service", "SELECT service, COUNT(*) FROM calls GROUP BY 1"),
    ("SELECT direction, cell_id, COUNT(*) AS n, SUM(score) AS s FROM calls GROUP BY ALL", None),
    ("SELECT caller_region AS r, COUNT(*) AS n FROM calls WHERE caller_region LIKE 'GB-%' GROUP BY r", None),
    ("SELECT day, COUNT(*) AS n FROM calls WHERE day BETWEEN '2026-01-30' AND '2026-02-03' GROUP BY day", None),
    ("SELECT date_trunc('week', start_ts) AS w, SUM(talk_s) AS s FROM calls GROUP BY w", None),
    ("SELECT date_trunc('month', start_ts) AS m, COUNT(*) AS n FROM calls GROUP BY m", None),
    ("SELECT date_trunc('quarter', start_ts) AS q, year(start_ts) AS y, COUNT(*) AS n FROM calls GROUP BY 1, 2", None),
    ("SELECT CAST(date_trunc('week', start_ts) AS DATE) AS w, COUNT(*) AS n FROM calls GROUP BY w", None),
    ("SELECT dayname(start_ts) AS d, extract(hour FROM start_ts) AS h, COUNT(*) AS n FROM calls GROUP BY 1, 2", None),
    ("SELECT extract(week FROM day) AS w, dayofyear(day) AS d, COUNT(*) AS n FROM calls GROUP BY 1, 2", None),
    ("SELECT starts_with(service, 'v') AS v, COUNT(*) AS n FROM calls GROUP BY v", None),
    ("SELECT answered AND talk_s > 10 AS long, SUM(score) AS s FROM calls GROUP BY ALL", None),
    ("SELECT service IS DISTINCT FROM 'sms' AS other, sign(score) AS s, COUNT(*) AS n FROM calls GROUP BY 1, 2", None),
    ("SELECT month(start_ts + INTERVAL 20 DAY) AS m, COUNT(*) AS n FROM calls GROUP BY m", None),
    (
        "SELECT date_trunc('hour', start_ts) AS h, COUNT(*) AS n FROM calls "
        "WHERE start_ts >= TIMESTAMP '2026-01-05 00:00:00' AND start_ts < '2026-01-06 06:00:00' GROUP BY h",
        None,
    ),
    ("SELECT local_dow, local_hour, COUNT(*) AS n FROM calls WHERE local_hour >= 22 GROUP BY 1, 2", None),
    ("SELECT answered, COUNT(*) AS n FROM calls WHERE answered IS NOT NULL GROUP BY answered", None),
    ("SELECT callee_type, COUNT(talk_s) AS n FROM calls WHERE direction <> 'p2p' GROUP BY callee_type", None),
    (
        "SELECT COUNT(*) AS n FROM calls WHERE COALESCE(talk_s, -1) = -1 OR NULLIF(score, 5) IS NULL "
        "OR CASE service WHEN 'voice' THEN TRUE ELSE FALSE END",
        None,
    ),
    ("SELECT SUM(CASE WHEN service = 'voice' THEN talk_s END) AS s FROM calls", None),
    (
        "SELECT SUM(talk_s / 60, contribution_bounds_per_row => (0, 1)) AS s FROM calls",
        "SELECT SUM(talk_s/60) FROM calls",
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 1e6, max_groups_contributed = 900) cell_id, "
        "COUNT(*, contribution_bounds_per_group => (0, 2)) AS n, "
        "COUNT(talk_s, contribution_bounds_per_group => (0, 1)) AS t "
        "FROM calls WHERE direction = 'outbound' GROUP BY cell_id",
        "SELECT cell_id, SUM(LEAST(n, 2)), SUM(LEAST(t, 1)) FROM (SELECT cell_id, callee, COUNT(*) AS n, COUNT(talk_s) "
        "AS t FROM calls WHERE direction = 'outbound' GROUP BY cell_id, callee) GROUP BY cell_id",
    ),
    (
        "SELECT cell_id, SUM(talk_s, contribution_bounds_per_group => (0, 100000)) AS s FROM calls "
        "WHERE direction = 'outbound' GROUP BY cell_id",
        "SELECT cell_id, SUM(talk_s) FROM calls WHERE direction = 'outbound' GROUP BY cell_id",
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("differential"), generous(), made_up_calls(3000))


@pytest.fixture(scope="module")
def session(made: MadeStore) -> Session:
    return made.connect()


@pytest.mark.parametrize(("ours", "plain"), QUERIES)
def test_answers_equal_plain_duckdb(ours: str, plain: str | None, session: Session, made: MadeStore) -> None:
    query = session.sql(ours)
    release = query.run(epsilon=EPSILON)
    outputs = release.plan.bounded.logical.outputs
    keys = [o.name for o in outputs if o.kind == "key"]
    values = [o.name for o in outputs if o.kind == "aggregate"]
    expected = {tuple(row[: len(keys)]): row[len(keys) :] for row in made.plain(plain or ours)}
    found = {tuple(row[k] for k in keys): [row[v] for v in values] for row in release.rows()}
    assert set(expected) <= set(found)
    columns = [c for c in release.document().columns if isinstance(c, ValueColumn)]
    for key, row in found.items():
        for index, (column, value) in enumerate(zip(columns, row, strict=True)):
            true = expected.get(key, (None,) * len(values))[index]
            if column.aggregate.startswith("AVG"):
                if true is not None:
                    assert abs(value - float(true)) <= 0.02  # type: ignore[arg-type]
                continue
            # Values of a sum are rounded to its grid before they are added: half a step for each row, at most.
            rounding = 3000 * 2.0**-17 if "/" in column.aggregate else 0.0
            allowed = max(1.0, (column.scale or 0.0) * math.log(1 / BETA)) + rounding
            assert abs(value - float(true or 0)) <= allowed, (key, column.name)  # type: ignore[arg-type]


def test_the_store_has_what_was_made_up(made: MadeStore) -> None:
    """No row is quarantined, or the comparison would be with fewer rows than it looks."""
    assert made.plain("SELECT COUNT(*) FROM calls") == [(3000,)]


def test_every_declared_key_returns_also_where_no_row_has_it(session: Session) -> None:
    release = session.sql("SELECT caller_country, COUNT(*) AS n FROM calls GROUP BY 1").run(epsilon=1.0)
    assert len(release.rows()) > 200
    empty = [row["n"] for row in release.rows() if row["caller_country"] != "GB"]
    assert len(set(empty)) > 20  # each absent key has noise of its own


def test_the_builder_makes_the_same_plan(session: Session) -> None:
    built = (
        session.table("calls")
        .where("talk_s > 5", direction="inbound")
        .group_by("cell_id")
        .count(name="n")
        .avg("talk_s", name="t")
        .sum("score", per_row=(-2, 2), name="s")
        .count_distinct("caller", name="people")
        .query()
    )
    typed = session.sql(
        "SELECT cell_id, COUNT(*) AS n, AVG(talk_s) AS t, SUM(score, contribution_bounds_per_row => (-2, 2)) AS s, "
        "COUNT(DISTINCT caller) AS people FROM calls WHERE (talk_s > 5) AND direction = 'inbound' GROUP BY cell_id"
    )
    assert built.logical == typed.logical


def test_builder_values_are_data(session: Session) -> None:
    hostile = "x' OR 1 = 1 --"
    query = session.table("calls").where(service=hostile, answered=None).count().query()
    assert hostile in repr(query.logical.where)
    listed = session.table("calls").where(local_hour=[9, 10]).count().query()
    assert listed.logical.where == session.sql("SELECT COUNT(*) FROM calls WHERE local_hour IN (9, 10)").logical.where
    with pytest.raises(UsageError):
        session.table("calls").where(local_hour=object()).count()  # type: ignore[arg-type]


def test_smaller_bounds_may_be_asked_for(session: Session) -> None:
    request = session.table("calls").count(name="n")
    assert request.bounded(max_rows=2).query().preview(1.0).plan.bounded.bounds.max_rows == 2


@pytest.mark.parametrize("path", ["policy.toml"])
def test_displaying_a_query_runs_nothing(session: Session, path: str, tmp_path: Path) -> None:
    before = session.ledger.head()
    query = session.sql("SELECT COUNT(*) AS shown FROM calls WHERE score = 1")
    assert "nothing spent" in repr(query)
    assert "nothing spent" in query._repr_html_()
    str(query.preview(0.5))
    query.preview(0.5).document()
    assert session.ledger.head() == before
    assert path
    assert tmp_path.exists()
