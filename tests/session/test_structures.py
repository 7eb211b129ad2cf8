"""Joins, lists, inner queries and views say what plain DuckDB says, at a huge epsilon where no bound bites."""

from __future__ import annotations

import math

import pytest
from stores import MadeStore, do_not_call, generous, made_up_calls, make_store, people

from dpquery.documents import ValueColumn
from dpquery.session import Session

BETA = 1e-12
EPSILON = 1e6

# Ours, and the plain query where it must be written differently.
QUERIES: list[tuple[str, str | None]] = [
    # joins to public tables
    ("SELECT p.area, COUNT(*) AS n FROM calls c JOIN cells p ON p.cell_id = c.cell_id GROUP BY 1", None),
    ("SELECT area, SUM(masts) AS n FROM calls LEFT JOIN cells USING (cell_id) GROUP BY 1", None),
    ("SELECT COUNT(*) AS n FROM calls JOIN cells p ON calls.cell_id = p.cell_id AND p.masts > 1", None),
    ("SELECT COUNT(*) AS n FROM calls WHERE cell_id NOT IN (SELECT cell_id FROM cells WHERE area = 'north')", None),
    # joins to people, on either side
    (
        "SELECT s.age_band, COUNT(*) AS n, SUM(c.talk_s) AS t FROM calls c JOIN subscribers s ON s.number = c.callee "
        "GROUP BY 1",
        None,
    ),
    (
        "SELECT a.age_band AS x, b.age_band AS y, COUNT(*) AS n FROM calls c "
        "JOIN subscribers a ON a.number = c.caller LEFT JOIN subscribers b ON c.callee = b.number GROUP BY ALL",
        None,
    ),
    (
        "SELECT COUNT(*) AS n FROM calls c JOIN (SELECT * FROM subscribers WHERE age_band = 'old') s "
        "ON s.number = c.caller WHERE direction = 'p2p' AND s.age_band <> 'young'",
        None,
    ),
    # lists
    ("SELECT COUNT(*) AS n FROM calls WHERE callee IN (SELECT number FROM dnc)", None),
    ("SELECT COUNT(*) AS n FROM calls WHERE caller NOT IN (SELECT number FROM dnc WHERE list_name = 'own')", None),
    (
        "SELECT direction, COUNT(*) AS n FROM calls c WHERE EXISTS (SELECT 1 FROM dnc d WHERE d.number = c.callee) "
        "GROUP BY 1",
        None,
    ),
    (
        "SELECT AVG(CASE WHEN callee IN (SELECT number FROM dnc) THEN 1 ELSE 0 END) AS a FROM calls "
        "WHERE direction = 'outbound'",
        None,
    ),
    # inner queries that keep the owners
    ("WITH x AS (SELECT * FROM calls WHERE talk_s > 10) SELECT service, COUNT(*) AS n FROM x GROUP BY 1", None),
    (
        "WITH x AS (SELECT caller, callee, talk_s / 2 AS half, direction FROM calls), "
        "y AS (SELECT * FROM x WHERE direction = 'inbound') SELECT SUM(half) AS s FROM y WHERE half > 3",
        None,
    ),
    (
        "SELECT COUNT(*) AS n FROM (SELECT * FROM calls WHERE service = 'voice' UNION ALL "
        "SELECT * FROM calls WHERE talk_s > 30) t WHERE score < 2",
        None,
    ),
    (
        "SELECT kind, SUM(v) AS s FROM (SELECT caller, callee, service AS kind, talk_s AS v FROM calls UNION ALL "
        "SELECT caller, callee, service, score FROM calls) GROUP BY kind",
        None,
    ),
    # one row per number
    (
        "SELECT AVG(n) AS a FROM (SELECT caller, COUNT(*) AS n FROM calls WHERE direction = 'inbound' GROUP BY caller)",
        None,
    ),
    (
        "SELECT n, COUNT(*) AS c FROM (SELECT caller, COUNT(*) AS n FROM calls WHERE direction = 'inbound' "
        "GROUP BY caller) GROUP BY n",
        None,
    ),
    (
        "SELECT cell_id, AVG(n) AS a, COUNT(*) AS c FROM (SELECT cell_id, callee, COUNT(*) AS n FROM calls "
        "WHERE direction = 'outbound' GROUP BY 1, 2) GROUP BY 1",
        None,
    ),
    (
        "SELECT COUNT(*) AS c FROM (SELECT callee FROM calls WHERE direction = 'outbound' GROUP BY callee "
        "HAVING COUNT(*) > 20 AND MAX(talk_s) >= 58)",
        None,
    ),
    (
        "SELECT SUM(s) AS t FROM (SELECT owner, SUM(score) AS s, COUNT(DISTINCT cell_id) AS d FROM legs "
        "GROUP BY owner) WHERE d = 3",
        None,
    ),
    (
        "SELECT f, t, COUNT(*) AS c FROM (SELECT owner, MODE(service) FILTER (WHERE local_hour < 12) AS f, "
        "MODE(service) FILTER (WHERE local_hour >= 12) AS t FROM legs GROUP BY owner) GROUP BY 1, 2",
        "SELECT f, t, COUNT(*) FROM (SELECT owner, MODE(service ORDER BY service) FILTER (WHERE local_hour < 12) AS f, "
        "MODE(service ORDER BY service) FILTER (WHERE local_hour >= 12) AS t FROM legs GROUP BY owner) GROUP BY 1, 2",
    ),
    (
        "SELECT COUNT(*) AS c FROM (SELECT DISTINCT owner, day FROM legs WHERE day < '2026-01-08')",
        None,
    ),
    (
        "SELECT AVG(d) AS a FROM (SELECT owner, COUNT(*) AS d FROM (SELECT owner, day, SUM(talk_s) AS s FROM legs "
        "GROUP BY 1, 2) WHERE s > 60 GROUP BY owner)",
        None,
    ),
    (
        "SELECT s.age_band, SUM(k.n) AS t FROM (SELECT callee, COUNT(*) AS n FROM calls WHERE direction = 'outbound' "
        "GROUP BY callee) k JOIN subscribers s ON s.number = k.callee GROUP BY 1",
        None,
    ),
    (
        "SELECT COUNT(*) AS n FROM calls c JOIN (SELECT callee, COUNT(*) AS n FROM calls WHERE direction = 'outbound' "
        "GROUP BY callee HAVING COUNT(*) > 18) k ON k.callee = c.caller",
        None,
    ),
    # views
    ("SELECT role, region, COUNT(*) AS n FROM legs GROUP BY 1, 2", None),
    ("SELECT day, COUNT(DISTINCT owner) AS n FROM legs WHERE day < '2026-01-06' GROUP BY day", None),
    # after the noise
    (
        "SELECT cell_id, SUM(talk_s) / 60 AS minutes, COUNT(*) - COUNT(talk_s) AS missing FROM calls GROUP BY 1",
        None,
    ),
    (
        "SELECT cell_id, 100.0 * COUNT(*) FILTER (WHERE answered) / NULLIF(COUNT(*), 0) AS share FROM calls GROUP BY 1 "
        "HAVING COUNT(*) > 900 ORDER BY SUM(score) DESC LIMIT 2",
        None,
    ),
    # keys and further aggregates
    ("SELECT CASE WHEN talk_s > 30 THEN 'long' ELSE 'short' END AS k, COUNT(*) AS n FROM calls GROUP BY k", None),
    ("SELECT local_hour >= 22 AS late, COUNTIF(answered) AS n FROM calls GROUP BY 1", None),
    (
        "SELECT phone_region(caller) AS r, COUNT(*) AS n FROM calls GROUP BY 1",
        "SELECT caller_region, COUNT(*) FROM calls GROUP BY 1",
    ),
    (
        "SELECT COUNT(DISTINCT number) AS n FROM either_party(calls)",
        "SELECT COUNT(DISTINCT owner) FROM legs",
    ),
    (
        "SELECT n, COUNT(*) AS c FROM (SELECT number, COUNT(*) AS n FROM either_party(calls) "
        "WHERE day < '2026-01-04' GROUP BY number) GROUP BY n",
        "SELECT n, COUNT(*) FROM (SELECT v, COUNT(*) AS n FROM (SELECT caller AS v, day FROM calls UNION ALL "
        "SELECT callee, day FROM calls WHERE caller <> callee) WHERE v >= 0 AND day < '2026-01-04' GROUP BY v) "
        "GROUP BY n",
    ),
    (
        "SELECT COUNT(*) AS c FROM (SELECT number FROM either_party(calls) WHERE direction = 'outbound' "
        "GROUP BY number HAVING COUNT(*) >= 15)",
        "SELECT COUNT(*) FROM (SELECT owner FROM legs WHERE direction = 'outbound' GROUP BY owner "
        "HAVING COUNT(*) >= 15)",
    ),
    ("SELECT COUNT(DISTINCT (caller, callee)) AS n FROM calls", None),
    (
        "SELECT service, COUNT(DISTINCT (caller, callee)) AS n FROM calls WHERE direction <> 'p2p' GROUP BY 1",
        None,
    ),
    ("SELECT COUNT(DISTINCT cell_id) AS n FROM calls", None),
    ("SELECT VARIANCE(score) AS v, STDDEV_POP(talk_s) AS d FROM calls WHERE direction <> 'p2p'", None),
    ("SELECT MEDIAN(talk_s) AS m, QUANTILE_CONT(talk_s, 0.9) AS q FROM calls WHERE direction <> 'p2p'", None),
    (
        "SELECT early, AVG(n) AS a FROM (SELECT caller, local_hour < 12 AS early, COUNT(*) AS n FROM calls "
        "WHERE direction = 'inbound' GROUP BY 1, 2) GROUP BY early",
        None,
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    policy = generous().replace('regime = "opt-out"', 'regime = "opt-out"\nsensitive = ["subscribers.age_band"]')
    folder = tmp_path_factory.mktemp("structures")
    return make_store(folder, policy, made_up_calls(3000), subscribers=people(), dnc=do_not_call())


@pytest.fixture(scope="module")
def session(made: MadeStore) -> Session:
    return made.connect()


@pytest.mark.parametrize(("ours", "plain"), QUERIES)
def test_answers_equal_plain_duckdb(ours: str, plain: str | None, session: Session, made: MadeStore) -> None:
    release = session.sql(ours).run(epsilon=EPSILON)
    columns = release.document().columns
    keys = [c.name for c in columns if not isinstance(c, ValueColumn)]
    values = [c for c in columns if isinstance(c, ValueColumn)]
    expected = {tuple(row[: len(keys)]): row[len(keys) :] for row in made.plain(plain or ours)}
    found = {tuple(row[k] for k in keys): row for row in release.rows()}
    assert set(expected) <= set(found)
    for key, row in found.items():
        for index, column in enumerate(values):
            true = expected.get(key, (0,) * len(values))[index]
            if key not in expected and (column.scale is None or column.type == "number"):
                continue
            exact = column.scale is not None and column.type == "integer"
            allowed = max(1.0, (column.scale or 0.0) * math.log(1 / BETA)) if exact else 0.02 * abs(float(true)) + 0.5  # type: ignore[arg-type]
            assert abs(row[column.name] - float(true or 0)) <= allowed, (key, column.name)  # type: ignore[arg-type]
    shown = release.rows()
    assert "LIMIT" not in ours or len(shown) == 2
