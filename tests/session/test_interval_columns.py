"""DP_INTERVAL_LOW and DP_INTERVAL_HIGH: ends of intervals as columns of their own, at no price."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from planning import POLICY
from spending import spent
from stores import MadeStore, made_up_calls, make_store

from dpquery import dbapi
from dpquery.documents import IntervalColumn
from dpquery.errors import QueryRefused
from dpquery.session import Session

ENDS = """SELECT DP_INTERVAL_LOW(s) AS least, cell_id, SUM(talk_s) / 60 AS s, COUNT(*) AS n,
DP_INTERVAL_LOW(n) AS n_low, dp_interval_high(N) FROM calls GROUP BY {} ORDER BY least DESC"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("ends"), POLICY, made_up_calls(300))


@pytest.fixture
def session(made: MadeStore) -> Iterator[Session]:
    with made.connect() as session:
        yield session


@pytest.mark.parametrize("keys", ["cell_id", "ALL", "2"])
def test_ends_are_those_beside_the_value_and_cost_nothing(keys: str, session: Session) -> None:
    plain = session.sql("SELECT cell_id, SUM(talk_s) / 60 AS s, COUNT(*) AS n FROM calls GROUP BY 1").run(epsilon=1)
    paid = spent(session)
    release = session.sql(ENDS.format(keys)).run(epsilon=1)
    assert (release.status, spent(session)) == ("repeated", paid)
    rows = release.rows()
    assert {row["cell_id"]: row["n"] for row in rows} == {row["cell_id"]: row["n"] for row in plain.rows()}
    assert all(row["least"] == row["s_low"] for row in rows)
    assert all(row["dp_interval_high_n"] == row["n_high"] for row in rows)
    assert [row["least"] for row in rows] == sorted((row["least"] for row in rows), reverse=True)
    assert set(rows[0]) == {
        *(f"{name}{end}" for name in "sn" for end in ("", "_low", "_high", "_useful")),
        "cell_id",
        "least",
        "dp_interval_high_n",
    }
    assert list(release.to_pandas()["least"]) == [row["least"] for row in rows]
    ends = [c for c in release.document().columns if isinstance(c, IntervalColumn)]
    assert [(c.name, c.of, c.end, c.type) for c in ends] == [
        ("least", "s", "low", "number"),
        ("n_low", "n", "low", "integer"),
        ("dp_interval_high_n", "n", "high", "integer"),
    ]
    for shown in (str(release), release._repr_html_()):
        assert "±" in shown
    wide = release.interval(0.99).rows()
    assert all(a["least"] < b["least"] for a, b in zip(wide, rows, strict=True))


def test_tools_get_ends_only_where_they_ask_for_them(made: MadeStore) -> None:
    with dbapi.connect(made.folder, analyst="ana", purpose="network_planning", epsilon=1) as connection:
        cursor = connection.cursor().execute(ENDS.format("cell_id"))
        assert cursor.description is not None
        names = [column[0] for column in cursor.description]
        assert names == ["least", "cell_id", "s", "n", "n_low", "dp_interval_high_n"]
        assert [column[1] for column in cursor.description][4:] == ["integer", "integer"]
        for row in cursor.fetchall():
            value = dict(zip(names, row, strict=True))
            assert value["least"] <= value["s"]
            assert value["n_low"] <= value["n"] <= value["dp_interval_high_n"]


@pytest.mark.parametrize(
    ("select", "code", "underlined", "cure"),
    [
        ("COUNT(*) AS n, DP_INTERVAL_LOW(m) AS x", "DPQ-108", "DP_INTERVAL_LOW(m)", "DP_INTERVAL_LOW(n)"),
        ("cell_id, COUNT(*) AS n, DP_INTERVAL_LOW(cell_id) AS x", "DPQ-108", None, "DP_INTERVAL_LOW(n)"),
        ("COUNT(*) AS n, DP_INTERVAL_HIGH() AS x", "DPQ-108", None, "DP_INTERVAL_HIGH(n)"),
        ("COUNT(*) AS n, DP_INTERVAL_HIGH(DP_INTERVAL_LOW(n)) AS x", "DPQ-108", None, "DP_INTERVAL_HIGH(n)"),
        ("COUNT(*) AS n, DP_INTERVAL_HIGH(n) - 3 AS x", "DPQ-108", None, ""),
        ("COUNT(*) AS n, DP_INTERVAL_LOW(n) AS n_high", "DPQ-115", None, "n_high_2"),
        ("COUNT(*) AS n, SUM(talk_s) AS s, DP_INTERVAL_LOW(s) AS n_low", "DPQ-115", None, "n_low_2"),
        ("cell_id, DP_INTERVAL_LOW(cell_id) AS x", "DPQ-108", None, "AS calls"),
    ],
)
def test_what_has_no_interval_is_refused(
    select: str, code: str, underlined: str | None, cure: str, session: Session
) -> None:
    keys = " GROUP BY cell_id" if "cell_id" in select else ""
    with pytest.raises(QueryRefused) as caught:
        session.sql(f"SELECT {select} FROM calls{keys}")
    assert caught.value.code == code
    assert cure in (caught.value.fix or "")
    if underlined is not None:
        assert caught.value.where is not None
        where = caught.value.where
        assert f"SELECT {select}"[where.column - 1 : where.end - 1] == underlined
