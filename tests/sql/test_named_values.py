"""Values that SELECT names and computes with further on, and texts that are none of a column's declared values."""

from __future__ import annotations

import pytest
from planning import small_catalog

from dpquery.errors import QueryRefused
from dpquery.plan.unlisted import unlisted_values
from dpquery.sql.resolve import resolve

CATALOG = small_catalog()


@pytest.mark.parametrize(
    ("named", "written_out"),
    [
        ("COUNT(*) AS n, n / 7 AS d", "COUNT(*) AS n, COUNT(*) / 7 AS d"),
        (
            "COUNTIF(answered) AS a, COUNT(*) AS n, a / n AS s, 100 * s AS p",
            "COUNTIF(answered) AS a, COUNT(*) AS n, COUNTIF(answered) / COUNT(*) AS s, "
            "100 * (COUNTIF(answered) / COUNT(*)) AS p",
        ),
        # A column of the rows comes before a name of SELECT, as in DuckDB.
        ("COUNT(*) AS talk_s, SUM(talk_s) / 60 AS m", "COUNT(*) AS talk_s, SUM(calls.talk_s) / 60 AS m"),
    ],
)
def test_a_name_of_select_stands_for_its_value(named: str, written_out: str) -> None:
    asked, same = (resolve(f"SELECT {items} FROM calls", CATALOG) for items in (named, written_out))
    assert asked.expressions == same.expressions
    assert asked.aggregates == same.aggregates
    assert [(o.name, o.kind, o.index) for o in asked.outputs] == [(o.name, o.kind, o.index) for o in same.outputs]


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ("m / n AS r, COUNT(*) AS n, SUM(talk_s) AS m", "DPQ-104"),  # named further on only
        ("COUNT(*) AS n, AVG(n) AS a", "DPQ-104"),  # of rows, which have no n
        ("COUNT(*) AS n, caller / n AS r", "DPQ-105"),
        ("COUNT(*) AS n, talk_s / n AS r", "DPQ-106"),
        ("COUNT(*) AS n, CASE WHEN n > 5 THEN talk_s END AS r", "DPQ-106"),
        ("COUNT(*) AS n, n + (SELECT talk_s FROM calls) AS r", "DPQ-104"),
        ("COUNT(*) AS talk_s, talk_s / 2 AS r", "DPQ-106"),
    ],
)
def test_a_name_of_select_lets_no_row_through(items: str, code: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        resolve(f"SELECT {items} FROM calls", CATALOG)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("service = 'Voice'", ("'Voice' is not among the declared values of service; 'voice' is",)),
        ("'vocie' <> service", ("'vocie' is not among the declared values of service; 'voice' is",)),
        (
            "talk_s > 5 AND (service IN ('sms', 'fax') OR cell_id IS NULL)",
            ("'fax' is not among the declared values of service",),
        ),
        ("NOT service = 'zzz' AND service <> 'zzz'", ("'zzz' is not among the declared values of service",)),
        ("service = 'voice' AND day = '2026-01-05' AND free_text = 'anything'", ()),
    ],
)
def test_texts_that_are_no_declared_value_are_named(where: str, said: tuple[str, ...]) -> None:
    logical = resolve(f"SELECT COUNT(*) FROM calls WHERE {where}", CATALOG)
    assert unlisted_values(logical, CATALOG.tables["calls"]) == said


def test_columns_of_inner_queries_are_not_taken_for_those_of_the_table() -> None:
    logical = resolve(
        "SELECT COUNT(*) FROM (SELECT caller, callee, free_text AS service FROM calls) WHERE service = 'fax'", CATALOG
    )
    assert unlisted_values(logical, CATALOG.tables["calls"]) == ()
