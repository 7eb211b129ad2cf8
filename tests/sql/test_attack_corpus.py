"""Hostile queries have the outcome that the attack corpus demands, over the demo's policy and a tiny store.

The corpus lies beside the test data, outside the repository. Queries of our own, for each of its classes, are always
tested.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dpquery.demo import POLICY_FILE, generate
from dpquery.engines.scan import StoredRows
from dpquery.errors import NotAllowed, QueryRefused
from dpquery.session import Session, connect
from dpquery.stewardship import init

CORPUS = Path(os.environ.get("DPQUERY_TEST_DATA", "absent")).parent / "cases" / "attacks.json"

SQL_CLASSES = {
    "data_dependent_error",
    "side_effect_function",
    "nondeterminism",
    "raw_rows",
    "aggregate",
    "unit_and_keys",
    "joins_subqueries",
    "statement_type",
    "table_source",
    "injection",
    "resource",
    "side_channel",
}

NAMES: dict[str, set[str]] = {
    # our code: what the corpus calls it
    "DPQ-101": {"E_PARSE"},
    "DPQ-102": {"E_BOUNDS"},
    "DPQ-103": {"E_TABLE"},
    "DPQ-104": {"E_COLUMN", "E_RAW"},
    "DPQ-105": {"E_UNIT", "E_UNIT_LOST", "E_RAW", "E_AGG"},
    "DPQ-106": {"E_RAW"},
    "DPQ-107": {"E_KEYS"},
    "DPQ-108": {"E_FUNC", "E_AGG", "E_RAW"},
    "DPQ-109": {"E_STMT", "E_MULTI"},
    "DPQ-111": {"E_SUBQ", "E_RAW", "E_JOIN"},
    "DPQ-113": {"E_PARAM"},
    "DPQ-114": {"E_LIMIT"},
    "DPQ-115": {"E_NAME"},
    "DPQ-116": {"E_KEYS"},
    "DPQ-119": {"E_SUBQ"},
    "DPQ-120": {"E_SUBQ", "E_UNIT_LOST"},
    "DPQ-121": {"E_JOIN", "E_SUBQ"},
    "DPQ-122": {"E_SETOP"},
    "DPQ-123": {"E_SAMPLE"},
}

_TEXT_ALONE = "refused from the text alone, for a reason that is looked at before the function"
_LITERAL = "numbers are compared with no literal (design, section 6), which is looked at before the rest"
ARGUED: dict[str, tuple[str, str]] = {
    # Our outcome where it is not the corpus's, and why.
    **dict.fromkeys(("H005", "H012", "H030", "H032", "H294"), ("DPQ-105", _LITERAL)),
    **dict.fromkeys(("H009", "H010", "H016"), ("DPQ-102", _TEXT_ALONE)),
    "H023": ("DPQ-111", _TEXT_ALONE),
    **dict.fromkeys(("H110", "H123", "H124", "H125", "H134", "H349"), ("DPQ-105", _LITERAL)),
    "H077": ("DPQ-103", "the outer query names no table, which says more than that its column is raw"),
    "H084": ("ACCEPT", "MAX(x) is answered as a quantile of the clamped values, never as the exact extreme"),
    "H159": ("DPQ-121", "public rows are joined on their key, which is unique; this joins on another column"),
    "H250": ("DPQ-101", "backticks are no quotes in this dialect, as for H269"),
    "H288": ("DPQ-114", "the cost of a pattern is bounded by a limit on its wildcards"),
}


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    cls: str
    sql: str
    outcomes: tuple[str, ...]
    check: str

    def __str__(self) -> str:
        return self.id


def corpus() -> list[Case]:
    if not CORPUS.exists():
        return []
    found: list[dict[str, Any]] = json.loads(CORPUS.read_text())["cases"]
    sql = [c for c in found if c["cls"] in SQL_CLASSES and not c["query"].startswith("HTTP")]
    return [
        Case(c["id"], c["cls"], _expanded(c), (c["outcome"], *c.get("alt_outcome", ())), c.get("check", ""))
        for c in sql
    ]


def _expanded(case: dict[str, Any]) -> str:
    """The text of a case; long ones are given as the Python expression that makes them."""
    if "expand_python" not in case:
        return str(case["query"])
    return str(eval(case["expand_python"], {"__builtins__": {}}))  # noqa: S307 - our own data, without any name


CASES = corpus()
needs_corpus = pytest.mark.skipif(not CASES, reason="DPQUERY_TEST_DATA has no attack corpus beside it")


@dataclass(frozen=True, slots=True)
class Pair:
    """D, and D without the number that has most calls."""

    full: Session
    less: Session


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("attacks")
    files = generate(folder, rows=400, seed=7)
    calls = pq.read_table(files.calls)
    heavy = max(pc.value_counts(calls["caller"]).to_pylist(), key=lambda found: found["counts"])["values"]
    other = pc.and_(pc.not_equal(calls["caller"], heavy), pc.not_equal(calls["callee"], heavy))
    pq.write_table(calls.filter(pc.fill_null(other, fill_value=True)), folder / "less.parquet")
    sessions = []
    for name, file in (("full", files.calls), ("less", folder / "less.parquet")):
        steward = init(folder / name, policy=POLICY_FILE)
        for table, path in {**files.by_table, "calls": file}.items():
            if steward.store.policy.tables[table].registry is None:
                steward.ingest(path, table=table)
        sessions.append(connect(folder / name, analyst="ana", purpose="network_planning"))
    yield Pair(*sessions)
    for session in sessions:
        session.close()


def outcome(sql: str, session: Session) -> str:
    """ACCEPT, or the code of the refusal; from text and policy alone."""
    try:
        session.sql(sql).preview(0.1)
    except (NotAllowed, QueryRefused) as refused:
        return refused.code
    return "ACCEPT"


def assert_meets(case: Case, found: str) -> None:
    """The outcome is one of those the corpus names for the case."""
    names = {"ACCEPT"} if found == "ACCEPT" else NAMES[found]
    for wanted in case.outcomes:
        if wanted.startswith(("ACCEPT_TOTAL", "ACCEPT_POST", "PAIR_")):
            met = found == "ACCEPT"
        elif wanted == "E_FUNC_OR_TOTAL":
            met = found == "ACCEPT" or "E_FUNC" in names  # that it is total is tested below
        elif wanted == "ACCEPT_LITERAL":
            met = found == "ACCEPT" or "E_NAME" in names  # hostile text is a constant, or no name
        elif wanted == "E_KEYS_OR_THRESHOLD":
            met = found == "ACCEPT" or "E_KEYS" in names
        else:
            met = wanted in names
        if met:
            return
    pytest.fail(f"{case.id} demands {case.outcomes}, got {found}: {case.sql[:200]}")


@needs_corpus
@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_case_has_its_outcome_from_text_and_policy_alone(
    case: Case, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on D and on D', and no file of either store is opened."""
    refuse_to_read(monkeypatch)
    found = outcome(case.sql, pair.full)
    assert outcome(case.sql, pair.less) == found
    if case.id in ARGUED:
        assert found == ARGUED[case.id][0], ARGUED[case.id][1]
    else:
        assert_meets(case, found)


def refuse_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail at once if an engine is opened, or rows are streamed."""

    def opened(*_: object, **__: object) -> None:
        pytest.fail("rows were read before a charge")

    monkeypatch.setattr(duckdb, "connect", opened)
    monkeypatch.setattr(StoredRows, "batches", opened)


@needs_corpus
def test_the_corpus_is_whole() -> None:
    assert len(CASES) > 140
    assert {case.cls for case in CASES} == SQL_CLASSES
    assert set(ARGUED) <= {case.id for case in CASES}


OUR_WORDS = {
    # Statements that begin as ours do, and what their refusal says to write. SHOW and SET get theirs here once
    # SHOW PRIVACY BUDGET and SET dp.purpose are read; until then what they say is another command.
    "H206": "EXPLAIN PRIVACY",
    "H207": "EXPLAIN PRIVACY",
    "H213": "db.tables()",
    "H199": "SELECT",
    "H205": "SELECT",
}


@needs_corpus
@pytest.mark.parametrize("case", [case for case in CASES if case.id in OUR_WORDS], ids=str)
def test_a_statement_that_begins_as_ours_is_refused_with_the_private_one(case: Case, pair: Pair) -> None:
    with pytest.raises((NotAllowed, QueryRefused)) as caught:
        pair.full.sql(case.sql)
    assert OUR_WORDS[case.id] in (caught.value.fix or "")


@needs_corpus
@pytest.mark.parametrize("case", CASES, ids=str)
def test_accepted_cases_run_alike_with_and_without_a_heavy_number(case: Case, pair: Pair) -> None:
    if outcome(case.sql, pair.full) == "ACCEPT":
        assert_alike(case.sql, pair)


def assert_alike(sql: str, pair: Pair) -> None:
    """Both stores answer, with the same columns, and the same groups where nothing released picks them."""
    full, less = (session.sql(sql).run(epsilon=0.05, fresh=True) for session in (pair.full, pair.less))
    assert full.status == less.status == "released"
    assert [c.name for c in full.document().columns] == [c.name for c in less.document().columns]
    if "HAVING" not in sql and "ORDER BY" not in sql:
        keys = [c.name for c in full.document().columns if not hasattr(c, "aggregate")]
        assert [[row[k] for k in keys] for row in full.rows()] == [[row[k] for k in keys] for row in less.rows()]


# --- our own --------------------------------------------------------------------------------------------------------

OWN: list[tuple[str, str, str]] = [
    # class, query, code or ACCEPT
    ("data_dependent_error", "SELECT COUNT(*) FROM calls WHERE 100 / (ring_s - 3) > 2", "ACCEPT"),
    ("data_dependent_error", "SELECT COUNT(*) FROM calls WHERE CAST(cell_id AS INTEGER) > 0", "ACCEPT"),
    ("data_dependent_error", "SELECT COUNT(*) FROM calls WHERE ln(wait_s - 9) < sqrt(-talk_s)", "ACCEPT"),
    ("data_dependent_error", "SELECT COUNT(*) FROM calls WHERE talk_s * talk_s * 9e300 * 9e300 > 1", "ACCEPT"),
    ("data_dependent_error", "SELECT COUNT(*) FROM calls WHERE start_ts + INTERVAL (talk_s) YEAR > day", "ACCEPT"),
    ("data_dependent_error", "SELECT SUM(1 / (talk_s - 7)) FROM calls", "DPQ-102"),
    ("data_dependent_error", "SELECT COUNT(*) FROM calls WHERE factorial(talk_s) > 9", "DPQ-108"),
    ("data_dependent_error", "SELECT COUNT(*) FROM calls WHERE queue::UUID IS NULL", "DPQ-108"),
    ("side_effect_function", "SELECT COUNT(*) FROM calls WHERE error(queue) IS NULL", "DPQ-108"),
    ("side_effect_function", "SELECT COUNT(*) FROM calls WHERE read_text(queue) IS NULL", "DPQ-108"),
    ("side_effect_function", "SELECT COUNT(*) FROM calls WHERE nextval('s') > talk_s", "DPQ-108"),
    ("side_effect_function", "SELECT COUNT(*) FROM calls WHERE set_config('a', queue) IS NULL", "DPQ-108"),
    ("nondeterminism", "SELECT COUNT(*) FROM calls WHERE random() < 0.5", "DPQ-108"),
    ("nondeterminism", "SELECT COUNT(*) FROM calls WHERE day < today()", "DPQ-108"),
    ("nondeterminism", "SELECT COUNT(*) FROM calls USING SAMPLE 5 ROWS", "DPQ-123"),
    ("nondeterminism", "SELECT COUNT(*) FROM (SELECT * FROM calls TABLESAMPLE 1%)", "DPQ-123"),
    ("raw_rows", "TABLE calls", "DPQ-106"),
    ("raw_rows", "SELECT callee, talk_s FROM calls LIMIT 5", "DPQ-105"),
    ("raw_rows", "SELECT (SELECT talk_s FROM calls LIMIT 1), COUNT(*) FROM calls", "DPQ-111"),
    ("raw_rows", "SELECT first(talk_s) FROM calls", "DPQ-108"),
    ("raw_rows", "SELECT calls FROM calls", "DPQ-104"),
    ("raw_rows", "SELECT 42 FROM calls", "DPQ-106"),
    ("aggregate", "SELECT list(talk_s) FROM calls", "DPQ-108"),
    ("aggregate", "SELECT string_agg(queue, ',') FROM calls", "DPQ-108"),
    ("aggregate", "SELECT MIN(callee) FROM calls", "DPQ-105"),
    ("aggregate", "SELECT product(talk_s) FROM calls", "DPQ-108"),
    ("aggregate", "SELECT MAX_BY(queue, talk_s) FROM calls", "DPQ-108"),
    ("aggregate", "SELECT SUM(DISTINCT talk_s) FROM calls", "DPQ-108"),
    ("aggregate", "SELECT COUNT(*) FROM calls HAVING MAX(talk_s) = 3600", "DPQ-111"),
    ("unit_and_keys", "SELECT right(caller, 4) AS k, COUNT(*) FROM calls GROUP BY k", "DPQ-105"),
    ("unit_and_keys", "SELECT COUNT(*) FROM calls WHERE caller = callee", "DPQ-105"),
    ("unit_and_keys", "SELECT COUNT(*) FROM calls WHERE caller BETWEEN '+44' AND '+45'", "DPQ-105"),
    ("unit_and_keys", "SELECT COUNT(*) FROM calls WHERE callee IN ('+442079460958')", "DPQ-105"),
    ("unit_and_keys", "SELECT agent_id, COUNT(*) FROM calls GROUP BY agent_id", "DPQ-118"),
    ("unit_and_keys", "SELECT talk_s, COUNT(*) FROM calls GROUP BY talk_s", "DPQ-107"),
    ("unit_and_keys", "SELECT queue, COUNT(*) FROM calls GROUP BY CUBE (queue)", "DPQ-111"),
    ("unit_and_keys", "SELECT queue, COUNT(*) FROM calls GROUP BY queue LIMIT 2", "ACCEPT"),
    ("joins_subqueries", "SELECT COUNT(*) FROM calls a JOIN calls b USING (caller)", "DPQ-121"),
    ("joins_subqueries", "SELECT COUNT(*) FROM calls c CROSS JOIN subscribers s", "DPQ-121"),
    ("joins_subqueries", "SELECT COUNT(*) FROM calls c JOIN subscribers s ON s.plan = c.queue", "DPQ-121"),
    ("joins_subqueries", "SELECT COUNT(*) FROM calls WHERE talk_s > (SELECT MAX(talk_s) FROM calls)", "DPQ-111"),
    ("joins_subqueries", "SELECT COUNT(*) FROM (SELECT queue, MAX(talk_s) m FROM calls GROUP BY queue)", "DPQ-120"),
    ("joins_subqueries", "SELECT COUNT(*) FROM (SELECT callee, talk_s FROM calls)", "DPQ-120"),
    ("joins_subqueries", "SELECT COUNT(*) FROM (SELECT callee AS caller, callee FROM calls)", "DPQ-120"),
    ("joins_subqueries", "SELECT COUNT(*) FROM calls UNION ALL SELECT COUNT(*) FROM dnc", "DPQ-122"),
    (
        "joins_subqueries",
        "WITH RECURSIVE r AS (SELECT * FROM calls UNION ALL SELECT * FROM r) SELECT COUNT(*) FROM r",
        "DPQ-111",
    ),
    ("joins_subqueries", "SELECT COUNT(*) FROM calls c JOIN subscribers s ON s.number = c.callee", "ACCEPT"),
    ("joins_subqueries", "SELECT COUNT(*) FROM calls WHERE callee IN (SELECT number FROM dnc)", "DPQ-401"),
    ("joins_subqueries", "SELECT COUNT(*) FROM calls WHERE callee IN (SELECT number FROM subscribers)", "ACCEPT"),
    ("statement_type", "COPY calls TO 'x.csv'", "DPQ-109"),
    ("statement_type", "ATTACH 'x.duckdb'", "DPQ-109"),
    ("statement_type", "UPDATE calls SET talk_s = 1", "DPQ-109"),
    ("statement_type", "PRAGMA show_tables", "DPQ-109"),
    ("statement_type", "EXPLAIN SELECT COUNT(*) FROM calls", "DPQ-109"),
    ("statement_type", "SUMMARIZE calls", "DPQ-109"),
    ("statement_type", "SELECT COUNT(*) FROM calls; SELECT 1", "DPQ-109"),
    ("statement_type", "EXPORT DATABASE 'x'", "DPQ-101"),
    ("table_source", "SELECT COUNT(*) FROM 'calls.parquet'", "DPQ-103"),
    ("table_source", "SELECT COUNT(*) FROM parquet_scan('/tmp/*.parquet')", "DPQ-103"),
    ("table_source", "SELECT COUNT(*) FROM pg_catalog.pg_tables", "DPQ-103"),
    ("table_source", "SELECT COUNT(*) FROM duckdb_settings()", "DPQ-103"),
    ("table_source", "SELECT COUNT(*) FROM range(10)", "DPQ-103"),
    ("table_source", "SELECT COUNT(*) FROM memory_rows", "DPQ-103"),
    ("injection", "SELECT COUNT(*) FROM calls WHERE queue = 'x'' OR ''1'' = ''1'", "ACCEPT"),
    # A label never reaches the engine: it names a column of the release.
    ("injection", 'SELECT COUNT(*) AS "n; DROP TABLE calls" FROM calls', "ACCEPT"),
    ("injection", 'SELECT COUNT(*) AS "n\x1b[2J" FROM calls', "DPQ-115"),
    ("injection", "SELECT COUNT(*) FROM calls --; DROP TABLE calls", "ACCEPT"),
    ("injection", "SELECT COUNT(*) FROM calls WHERE queue = '\u202esales\x1b[2J'", "ACCEPT"),
    ("injection", "SELECT COUNT(*) FROM calls WHERE queue = ?", "DPQ-113"),
    ("injection", "SELECT COUNT(*) FROM calls WHERE queue = {{ queue }}", "DPQ-108"),
    ("resource", "SELECT COUNT(*) FROM calls WHERE " + " AND ".join(["ring_s = 1"] * 3000), "DPQ-114"),
    ("resource", "SELECT COUNT(*) FROM calls WHERE " + "(" * 900 + "TRUE" + ")" * 900, "DPQ-114"),
    ("resource", "SELECT COUNT(*) FROM calls WHERE " + "NOT " * 400 + "TRUE", "DPQ-114"),
    ("resource", "SELECT COUNT(*) FROM " + "(SELECT * FROM " * 60 + "calls" + ")" * 60, "DPQ-114"),
    ("resource", "SELECT COUNT(*) FROM calls WHERE repeat(queue, 1000000) = queue", "DPQ-108"),
    ("resource", "SELECT COUNT(*) FROM calls WHERE queue SIMILAR TO '(a+)+b'", "DPQ-108"),
    ("side_channel", "SELECT COUNT(*) FROM calls WHERE cost > 0", "ACCEPT"),
    ("side_channel", "SELECT SUM(cost * talk_s) FROM calls", "ACCEPT"),
    ("side_channel", "SELECT COUNT(*) FROM calls WHERE caller = '+442079460958' AND sleep_ms(900) IS NULL", "DPQ-105"),
]


def test_our_own_queries_are_of_every_class() -> None:
    assert {cls for cls, _, _ in OWN} == SQL_CLASSES


@pytest.mark.parametrize(("cls", "sql", "code"), OWN, ids=[f"{cls}-{i}" for i, (cls, _, _) in enumerate(OWN)])
def test_our_own_hostile_queries(cls: str, sql: str, code: str, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as spied:
        refuse_to_read(spied)
        assert outcome(sql, pair.full) == outcome(sql, pair.less) == code, cls
    if code == "ACCEPT":
        assert_alike(sql, pair)
