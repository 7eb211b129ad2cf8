"""What BI tools wrap around a question: schemas, quoted labels, outer queries, and the choices of a filter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planning import POLICY, small_catalog

from dpquery.errors import QueryRefused
from dpquery.plan.query import LogicalPlan
from dpquery.policy import parse_policy
from dpquery.sql.key_values import key_values
from dpquery.sql.resolve import resolve

CATALOG = small_catalog()
COUNTS = "SELECT service, COUNT(*) AS n FROM calls GROUP BY service"


def plan(sql: str) -> LogicalPlan:
    """The plan without how each output was written."""
    found = resolve(sql, CATALOG)
    return replace(found, outputs=tuple(replace(output, sql="") for output in found.outputs))


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        (COUNTS.replace("calls", "main.calls"), COUNTS),
        (COUNTS.replace("calls", 'MAIN."Calls"').replace("service", '"SERVICE"', 1), COUNTS.replace("se", "SE", 1)),
        (COUNTS.replace("service", "main.calls.service"), COUNTS),
        (f"SELECT * FROM ({COUNTS}) AS virtual_table LIMIT 1000", f"{COUNTS} LIMIT 1000"),
        (f"SELECT * FROM ({COUNTS} LIMIT 2) AS t LIMIT 1000", f"{COUNTS} LIMIT 2"),
        (
            f"SELECT * FROM (SELECT * FROM ({COUNTS}) AS a ORDER BY n DESC) AS b LIMIT 2",
            f"{COUNTS} ORDER BY n DESC LIMIT 2",
        ),
        (
            f"SELECT t.n AS calls, service FROM ({COUNTS.replace('COUNT(*)', 'AVG(talk_s) AS a, COUNT(*)')}) t",
            "SELECT COUNT(*) AS calls, service FROM calls GROUP BY service",
        ),
        (
            "SELECT service, COUNT(*) AS n FROM (SELECT * FROM main.calls) AS virtual_table GROUP BY service",
            COUNTS,
        ),
    ],
)
def test_what_a_tool_wraps_around_a_question_is_the_question(wrapped: str, plain: str) -> None:
    assert plan(wrapped) == plan(plain)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT COUNT(*) FROM other.calls", "DPQ-103"),
        ("SELECT COUNT(*) FROM main.main.calls", "DPQ-103"),
        ("SELECT other.calls.service, COUNT(*) FROM calls GROUP BY 1", "DPQ-104"),
        ("SELECT * FROM (SELECT caller, COUNT(*) AS n FROM calls GROUP BY caller) AS t", "DPQ-105"),
        (f"SELECT * FROM ({COUNTS}) AS t WHERE n > 5", "DPQ-120"),
        (f"SELECT service FROM ({COUNTS}) AS t", "DPQ-106"),
        (f"SELECT DISTINCT service FROM ({COUNTS}) AS t", "DPQ-111"),
        (f"SELECT * FROM ({COUNTS}) AS t, calls", "DPQ-120"),
        (f"SELECT * FROM ({COUNTS} LIMIT 2) AS t ORDER BY n", "DPQ-111"),
        (f"SELECT n + 1 FROM ({COUNTS}) AS t", "DPQ-120"),
    ],
)
def test_wrapping_lets_nothing_through(sql: str, code: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        resolve(sql, CATALOG)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "name", ["COUNT(*)", "sum(talk_s) / 60 %", "Anrufe 'außer' \"Haus\"", "n; DROP TABLE calls", "N"]
)
def test_labels_are_kept_as_they_are_quoted(name: str) -> None:
    quoted = name.replace('"', '""')
    found = resolve(f'SELECT service, COUNT(*) AS "{quoted}" FROM calls GROUP BY 1 ORDER BY "{quoted}" DESC', CATALOG)
    assert [output.name for output in found.outputs] == ["service", name]
    assert [ordering.output for ordering in found.order] == [1]


@pytest.mark.parametrize("name", ["", " n", "n\t", "a\u202eb", "x" * 129])
def test_labels_are_printable_and_not_too_long(name: str) -> None:
    with pytest.raises(QueryRefused, match="DPQ-115"):
        resolve(f'SELECT COUNT(*) AS "{name}" FROM calls', CATALOG)


def test_hidden_columns_take_no_name_from_a_query() -> None:
    found = resolve(
        "SELECT service AS order_1, COUNT(*) AS order_2 FROM calls GROUP BY 1 ORDER BY SUM(talk_s), SUM(score)", CATALOG
    )
    assert [output.hidden for output in found.outputs] == [False, False, True, True]


@pytest.mark.parametrize(
    ("sql", "name", "values"),
    [
        ("SELECT DISTINCT service FROM calls LIMIT 1000", "service", ("voice", "sms", None)),
        ('SELECT service AS "S" FROM main.calls GROUP BY service ORDER BY "S" LIMIT 2', "S", ("sms", "voice")),
        ("SELECT DISTINCT service FROM calls WHERE service <> 'sms' AND talk_s > 5", "service", ("voice",)),
        ("SELECT DISTINCT cell_id AS c FROM (SELECT * FROM calls) AS v ORDER BY c DESC", "c", ("C3", "C2", "C1")),
        ("SELECT month(day) AS m FROM calls GROUP BY 1", "m", (1, 2)),
    ],
)
def test_the_choices_of_a_filter_are_the_declared_keys(sql: str, name: str, values: tuple[object, ...]) -> None:
    found = key_values(sql, CATALOG)
    assert found is not None
    assert (found.name, found.values) == (name, values)


@pytest.mark.parametrize(
    "sql",
    [
        COUNTS,
        "SELECT COUNT(DISTINCT service) FROM calls",
        "SELECT service FROM calls",
        "SELECT DISTINCT service, direction FROM calls",
        "SELECT DISTINCT service FROM calls ORDER BY COUNT(*)",
        "SELECT service FROM calls GROUP BY service HAVING COUNT(*) > 5",
        "SELECT DISTINCT ON (service) service FROM calls",
        "SELECT service FROM calls GROUP BY service, direction",
    ],
)
def test_a_text_that_asks_for_more_is_a_query(sql: str) -> None:
    assert key_values(sql, CATALOG) is None


def test_values_that_only_rows_know_are_no_choices() -> None:
    """Not even where groups may be selected from the rows: that reads them, and costs."""
    policy = parse_policy(POLICY + "\nmin_people = 15\n")
    sql = "SELECT DISTINCT free_text FROM calls WHERE direction = 'inbound'"
    with pytest.raises(QueryRefused, match="DPQ-107"):
        key_values(sql, CATALOG)
    assert key_values(sql, small_catalog(policy)) is None


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT DISTINCT caller FROM calls", "DPQ-105"),
        ("SELECT DISTINCT talk_s FROM calls", "DPQ-107"),
        ("SELECT DISTINCT agent_id FROM calls", "DPQ-118"),
        ("SELECT DISTINCT age_band FROM subscribers", "DPQ-118"),
        ("SELECT DISTINCT service FROM calls WHERE caller = '+442079460001'", "DPQ-105"),
    ],
)
def test_what_cannot_be_a_key_has_no_choices(sql: str, code: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        key_values(sql, CATALOG)
    assert caught.value.code == code
