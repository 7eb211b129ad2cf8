"""Several prices at once, and what would cost less: from plans alone, each alternative as its own plan says."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from planning import POLICY
from spending import nothing_spent
from stores import MadeStore, make_store

from dpquery.documents import ValueColumn
from dpquery.engines.scan import StoredRows
from dpquery.errors import BudgetRefused, QueryRefused, UsageError
from dpquery.preview import Preview
from dpquery.session import Session

BY_DAY = POLICY.replace(
    'by_key = [{ keys = ["direction"], max_rows_per_group = 3 }]',
    'by_key = [{ keys = ["day"], max_rows = 40, max_groups = 20, max_rows_per_group = 2 }]',
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    """A store without a single call: nothing here needs any."""
    return make_store(tmp_path_factory.mktemp("prices"), BY_DAY)


@pytest.fixture
def session(made: MadeStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    with made.connect() as session:
        for place, name in ((duckdb, "connect"), (StoredRows, "batches")):
            monkeypatch.setattr(place, name, lambda *_, **__: pytest.fail("rows were read"))
        with nothing_spent(session):
            yield session


def reaches(preview: Preview) -> dict[str, float]:
    columns = [c for c in preview.document().columns if isinstance(c, ValueColumn)]
    return {c.name: c.expected_half_width for c in columns if c.expected_half_width is not None}


def test_a_row_per_loss_is_that_of_its_own_preview(session: Session) -> None:
    query = session.sql(
        "SELECT cell_id, COUNT(*) AS n, AVG(talk_s) AS a, MEDIAN(talk_s) AS m FROM calls GROUP BY cell_id"
    )
    prices = query.preview(epsilon=[1, 0.1, 0.5])
    assert [row["epsilon"] for row in prices.rows()] == [0.1, 0.5, 1.0]
    for row in prices.rows():
        alone = query.preview(row["epsilon"])
        assert (row["n_half_width"], row["a_half_width"]) == tuple(reaches(alone)[name] for name in "na")
        assert row["m_half_width"] is None
        assert row["more_like_this"] == (alone.left.more_like_this if alone.left else None)
        assert row["mechanism"] == alone.plan.mechanism
        assert 0 < row["share_of_budget"] < 1
    halves = [row["n_half_width"] for row in prices.rows()]
    shares = [row["share_of_budget"] for row in prices.rows()]
    assert halves == sorted(halves, reverse=True)
    assert shares == sorted(shares)
    assert list(prices.to_pandas().columns) == list(prices.rows()[0])


CASES = [
    # query, changes that must be offered, changes that must not
    (
        "SELECT day, COUNT(*) AS n FROM calls WHERE direction = 'inbound' AND day < '2026-02-01' "
        "GROUP BY day ORDER BY day",
        {"weeks instead of days", "months instead of days", "without day"},
        set(),
    ),
    (
        "SELECT date_trunc('day', start_ts) AS d,\n  COUNT(*) AS n\nFROM calls\nGROUP BY 1\nORDER BY 2 DESC, d",
        {"weeks instead of days", "months instead of days", "without d"},
        {"hours instead of days"},
    ),
    (
        "SELECT COUNT(*) AS n, cell_id, service AS s, SUM(talk_s) AS t FROM calls GROUP BY ALL ORDER BY 3, 2",
        {"without cell_id", "without s"},
        set(),
    ),
    (
        "WITH x AS (SELECT * FROM calls WHERE talk_s > :least) SELECT cell_id, direction, COUNT(*) AS n FROM x "
        "GROUP BY cell_id, 2 ORDER BY n DESC LIMIT 3",
        {"without cell_id", "without direction"},
        set(),
    ),
    ("SELECT SUM(talk_s) FROM calls", {"sum_talk_s clamped to 0 to 30 instead of 0 to 60"}, set()),
    (
        "SELECT SUM(score, contribution_bounds_per_row => (-8, 4)) AS s FROM calls",
        {"s clamped to -4 to 2 instead of -8 to 4"},
        set(),
    ),
    (
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (delta = 1e-8, confidence = 0.9) service, cell_id, "
        "AVG(talk_s) FILTER (WHERE answered) AS a FROM calls GROUP BY service, cell_id",
        {"without service", "without cell_id"},
        set(),
    ),
    ("SELECT COUNT(*) AS n FROM calls", set(), {"without n"}),
    ("SELECT cell_id, MEDIAN(talk_s) AS m FROM calls GROUP BY cell_id", set(), {"without cell_id"}),
]


@pytest.mark.parametrize(("sql", "offered", "absent"), CASES)
def test_alternatives_err_less_and_nothing_else_is_offered(
    sql: str, offered: set[str], absent: set[str], session: Session
) -> None:
    params = {"least": 3} if ":least" in sql else None
    query = session.sql(sql, params=params)
    prices = query.preview([0.2, 0.5, 1.5])
    assert prices.at_epsilon == 0.5
    found = {each.change: each for each in prices.alternatives}
    assert offered <= set(found)
    assert not absent & set(found)
    before = reaches(query.preview(0.5))
    for each in found.values():
        changed = session.sql(each.sql, params=params)
        after = reaches(changed.preview(0.5))
        assert after.keys() == before.keys() == {name for name, *_ in each.half_widths}
        assert all(after[name] <= before[name] for name in before)
        assert any(after[name] < 0.99 * before[name] for name in before)
        cheaper = reaches(changed.preview(each.epsilon_for_same_error))
        assert all(cheaper[name] <= before[name] for name in before)
        assert each.epsilon_for_same_error <= 0.5
        assert each.lines
        assert all(line in [x.strip() for x in each.sql.splitlines()] for line in each.lines)
        assert changed.terms.confidence == query.terms.confidence
        for face in (str(prices), prices._repr_html_(), prices.document().model_dump_json()):
            assert each.change in face


def test_a_changed_query_asks_what_it_says(session: Session) -> None:
    rows = "FROM calls WHERE day < '2026-02-01'"
    sql = f"SELECT day, cell_id AS c, COUNT(*) AS n {rows} GROUP BY day, c ORDER BY day DESC, 3"
    found = {each.change: each.sql for each in session.sql(sql).preview([0.5]).alternatives}
    assert found["without c"] == f"SELECT day, COUNT(*) AS n {rows} GROUP BY day ORDER BY day DESC, 2"
    assert found["without day"] == f"SELECT cell_id AS c, COUNT(*) AS n {rows} GROUP BY c ORDER BY 2"
    month = "date_trunc('month', start_ts)"
    assert found["months instead of days"] == (
        f"SELECT {month} AS month, cell_id AS c, COUNT(*) AS n {rows} GROUP BY {month}, c ORDER BY month DESC, 3"
    )
    alone = {each.change: each.sql for each in session.sql(CASES[0][0]).preview([0.5]).alternatives}
    assert alone["without day"] == "SELECT COUNT(*) AS n FROM calls WHERE direction = 'inbound' AND day < '2026-02-01'"


def test_several_prices_are_for_looking_only(session: Session) -> None:
    query = session.sql("SELECT COUNT(*) AS n FROM calls")
    with pytest.raises(UsageError):
        query.run([0.1, 0.5])  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        query.preview([])
    with pytest.raises(BudgetRefused):
        query.preview([0.1, 2.5])
    with pytest.raises(QueryRefused):
        query.changed("SELECT caller FROM calls")
    assert [row["epsilon"] for row in query.preview((0.5, 0.5)).rows()] == [0.5]
