"""Queries that try to lose a row's owners, or to pass a row of two owners for one of one; each was or could be a hole.

Where the answer is a refusal, it follows from the text and the policy. Where it is a plan, the plan's own claims are
tested in `test_generated_queries.py`; here it must be the plan that the trick tried to avoid.
"""

from __future__ import annotations

import time

import duckdb
import pyarrow as pa
import pytest
from memory_rows import MemoryRows, prepare
from planning import POLICY, priced, small_catalog

from dpquery.errors import QueryRefused
from dpquery.plan.permission import Permission
from dpquery.plan.relations import leaves
from dpquery.policy import parse_policy
from dpquery.sql.resolve import resolve

CATALOG = small_catalog()
CALLS_PER_NUMBER = "(SELECT number, COUNT(*) AS n FROM either_party(calls) GROUP BY number)"
INBOUND = "SELECT caller, callee, 'inbound' AS direction FROM calls"

REFUSED = [
    # Calls per number over rows of two owners depend on other numbers' calls, so no row of them may be picked.
    (f"SELECT COUNT(*) FROM {CALLS_PER_NUMBER} p JOIN subscribers s ON s.number = p.number WHERE n >= 3", "DPQ-119"),
    (f"SELECT COUNT(*) FROM {CALLS_PER_NUMBER} p JOIN cells c ON c.cell_id = 'C1' WHERE n >= 3", "DPQ-119"),
    (f"SELECT COUNT(*) FROM {CALLS_PER_NUMBER} WHERE n >= 3 AND number IN (SELECT number FROM dnc)", "DPQ-119"),
    (
        f"SELECT COUNT(*) FROM {CALLS_PER_NUMBER} p WHERE EXISTS (SELECT 1 FROM dnc d WHERE d.number = p.number)",
        "DPQ-119",
    ),
    (
        f"SELECT COUNT(*) FROM (SELECT * FROM {CALLS_PER_NUMBER} UNION ALL SELECT * FROM {CALLS_PER_NUMBER}) "
        "WHERE n >= 3",
        "DPQ-119",
    ),
    (f"SELECT AVG(n) FROM {CALLS_PER_NUMBER}", "DPQ-119"),
    (f"SELECT COUNT(*) FROM calls WHERE caller IN (SELECT number FROM {CALLS_PER_NUMBER} WHERE n > 3)", "DPQ-119"),
    (f"SELECT COUNT(*) FROM calls c JOIN {CALLS_PER_NUMBER} k ON k.number = c.caller WHERE n > 3", "DPQ-121"),
    # Their thresholds are on the count of all their calls, not on another measure that looks like one.
    (
        "SELECT COUNT(*) FROM (SELECT number FROM either_party(calls) GROUP BY number HAVING SUM(talk_s) >= 9)",
        "DPQ-119",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT number FROM either_party(calls) GROUP BY number "
        "HAVING COUNT(*) FILTER (WHERE answered) >= 2)",
        "DPQ-119",
    ),
    # A constant under the name of the column that the policy's row test reads says nothing of the row's owners.
    (
        f"SELECT AVG(n) FROM (SELECT caller, COUNT(*) AS n FROM ({INBOUND} UNION ALL {INBOUND}) "
        "WHERE direction = 'inbound' AND caller IN (SELECT number FROM dnc) GROUP BY caller)",
        "DPQ-119",
    ),
    (
        "SELECT AVG(n) FROM (SELECT caller, COUNT(*) AS n FROM (SELECT caller, callee, 'inbound' AS direction "
        "FROM calls) WHERE direction = 'inbound' GROUP BY caller)",
        "DPQ-119",
    ),
    # Conditions that only look as if they left one owner.
    *(
        (f"SELECT AVG(n) FROM (SELECT caller, COUNT(*) AS n FROM calls WHERE {condition} GROUP BY caller)", "DPQ-119")
        for condition in (
            "direction = 'inbound' OR talk_s > 5",
            "NOT direction = 'inbound'",
            "direction IS NULL",
            "direction <> 'P2P'",
            "direction NOT IN ('inbound')",
            "direction IN ('inbound', 'p2p')",
            "COALESCE(direction, 'inbound') = 'inbound'",
            "CASE WHEN direction = 'inbound' THEN TRUE ELSE TRUE END",
            "(direction = 'inbound') IS NOT FALSE",
            "direction >= 'inbound'",
            "direction = :which",
            "lower(direction) = 'inbound'",
            "service = 'inbound'",
        )
    ),
    (
        "SELECT AVG(n) FROM (SELECT caller, COUNT(*) FILTER (WHERE direction = 'inbound') AS n FROM calls "
        "GROUP BY caller)",
        "DPQ-119",
    ),
    (
        "SELECT AVG(n) FROM (SELECT caller, COUNT(*) AS n FROM calls GROUP BY caller "
        "HAVING MAX(direction) = 'inbound')",
        "DPQ-119",
    ),
    # A legs view promises less than its table: a number leaves its trace in the other half of its calls.
    (
        "SELECT COUNT(*) FROM calls WHERE caller IN (SELECT owner FROM legs GROUP BY owner HAVING COUNT(*) > 9)",
        "DPQ-121",
    ),
    (
        "SELECT COUNT(*) FROM calls c JOIN (SELECT owner, COUNT(*) AS n FROM legs GROUP BY owner) k "
        "ON k.owner = c.callee WHERE n > 5",
        "DPQ-121",
    ),
    (
        "SELECT AVG(n) FROM subscribers s JOIN (SELECT owner, COUNT(*) AS n FROM legs GROUP BY owner) k "
        "ON k.owner = s.number",
        "DPQ-121",
    ),
    ("SELECT COUNT(*) FROM (SELECT number FROM dnc UNION ALL SELECT owner FROM legs)", "DPQ-121"),
    # Joins and lists that tie rows to somebody else.
    ("SELECT COUNT(*) FROM calls a JOIN calls b ON a.caller = b.callee", "DPQ-121"),
    ("SELECT COUNT(*) FROM subscribers s JOIN calls c ON s.number = c.caller", "DPQ-121"),
    ("SELECT COUNT(*) FROM calls c JOIN dnc d ON d.number = d.number", "DPQ-121"),
    ("SELECT COUNT(*) FROM calls c JOIN dnc d ON d.number = c.caller OR TRUE", "DPQ-121"),
    ("SELECT COUNT(*) FROM calls c JOIN dnc d ON d.number <> c.caller", "DPQ-121"),
    ("SELECT COUNT(*) FROM calls c JOIN dnc d ON d.list_name = c.service", "DPQ-121"),
    ("SELECT COUNT(*) FROM calls c JOIN dnc d ON d.number = c.caller AND d.number = c.callee", "DPQ-105"),
    ("SELECT COUNT(*) FROM calls c, dnc d WHERE d.number = c.caller", "DPQ-121"),
    ("WITH dnc AS (SELECT caller AS number, callee FROM calls) SELECT COUNT(*) FROM calls c JOIN dnc d "
     "ON d.number = c.caller", "DPQ-121"),
    ("WITH dnc AS (SELECT caller AS number, callee FROM calls) SELECT COUNT(*) FROM calls WHERE callee IN "
     "(SELECT number FROM dnc)", "DPQ-119"),
    ("SELECT COUNT(*) FROM calls WHERE caller IN (SELECT callee FROM calls)", "DPQ-119"),
    ("SELECT COUNT(*) FROM calls WHERE caller IN (SELECT callee FROM calls WHERE direction = 'outbound')", "DPQ-119"),
    ("SELECT COUNT(*) FROM calls WHERE EXISTS (SELECT 1 FROM dnc)", "DPQ-121"),
    ("SELECT COUNT(*) FROM calls WHERE EXISTS (SELECT 1 FROM dnc WHERE number = number)", "DPQ-121"),
    ("SELECT COUNT(*) FROM subscribers WHERE EXISTS (SELECT 1 FROM dnc WHERE number = number)", "DPQ-121"),
    ("SELECT COUNT(*) FROM subscribers s WHERE EXISTS (SELECT 1 FROM dnc s WHERE s.number = s.number)", "DPQ-121"),
    ("SELECT COUNT(*) FROM calls c WHERE EXISTS (SELECT 1 FROM dnc d WHERE d.number = c.caller OR TRUE)", "DPQ-121"),
    (
        "SELECT COUNT(*) FROM calls c WHERE EXISTS (SELECT caller FROM calls d WHERE d.callee = c.caller "
        "AND direction = 'inbound' GROUP BY d.caller)",
        "DPQ-121",
    ),
    # Owners that are renamed, replaced, mixed or left out.
    ("SELECT COUNT(*) FROM (SELECT caller FROM calls)", "DPQ-120"),
    ("SELECT COUNT(*) FROM (SELECT caller, caller AS callee FROM calls)", "DPQ-120"),
    ("SELECT COUNT(*) FROM (SELECT caller, 'x' AS callee FROM calls)", "DPQ-120"),
    ("SELECT COUNT(*) FROM (SELECT caller, callee FROM calls UNION ALL SELECT number, 'x' AS y FROM dnc)", "DPQ-120"),
    ("SELECT COUNT(*) FROM (SELECT number FROM dnc UNION ALL SELECT caller FROM calls)", "DPQ-120"),
    ("SELECT COUNT(*) FROM (SELECT caller, callee FROM calls UNION SELECT caller, callee FROM calls)", "DPQ-122"),
    ("SELECT COUNT(*) FROM (SELECT caller, callee FROM calls EXCEPT SELECT caller, callee FROM calls)", "DPQ-122"),
    ("SELECT COUNT(*) FROM (SELECT number FROM either_party(calls) UNION ALL SELECT number FROM dnc)", "DPQ-122"),
    ("SELECT COUNT(*) FROM (SELECT service, COUNT(*) AS n FROM calls GROUP BY service) WHERE n = 1", "DPQ-120"),
    ("SELECT COUNT(*) FROM (SELECT caller_region, MAX(talk_s) AS n FROM calls GROUP BY 1)", "DPQ-120"),
    # Rows picked by their rank or by chance.
    ("SELECT COUNT(*) FROM (SELECT DISTINCT ON (owner) owner, day FROM legs)", "DPQ-111"),
    ("SELECT COUNT(*) FROM (SELECT * FROM calls ORDER BY talk_s LIMIT 5)", "DPQ-111"),
    ("SELECT COUNT(*) FROM (SELECT * FROM calls QUALIFY row_number() OVER () = 1)", "DPQ-110"),
    ("SELECT COUNT(*) FROM calls c JOIN (SELECT * FROM dnc TABLESAMPLE 10%) d ON d.number = c.caller", "DPQ-123"),
    ("SELECT COUNT(*) FROM calls JOIN cells TABLESAMPLE 10% USING (cell_id)", "DPQ-123"),
    # Columns that the policy keeps back, under another name or inside another column.
    ("SELECT age_band, COUNT(*) FROM subscribers GROUP BY 1", "DPQ-118"),
    ("SELECT a, COUNT(*) FROM (SELECT number, age_band AS a FROM subscribers) GROUP BY a", "DPQ-118"),
    ("SELECT COUNT(*) FROM (SELECT * FROM subscribers) WHERE age_band = 'old'", "DPQ-118"),
    ("SELECT COUNT(*) FROM calls c JOIN subscribers s ON s.number = c.caller AND s.age_band = 'old'", "DPQ-118"),
    ("SELECT m, COUNT(*) FROM (SELECT number, MODE(age_band) AS m FROM subscribers GROUP BY number) GROUP BY m",
     "DPQ-118"),
    ("SELECT COUNT(*) FROM calls WHERE caller IN (SELECT number FROM subscribers WHERE age_band = 'old')", "DPQ-118"),
    ("SELECT agent_id = 'a' AS k, COUNT(*) FROM calls GROUP BY k", "DPQ-118"),
    ("SELECT COALESCE(agent_id, 'a') AS k, COUNT(*) FROM calls GROUP BY k", "DPQ-118"),
    ("SELECT k, COUNT(*) FROM (SELECT *, agent_id = 'a' AS k FROM calls) GROUP BY k", "DPQ-118"),
    (
        "SELECT k, COUNT(*) FROM (SELECT caller, callee, CASE WHEN agent_id = 'a' THEN 'x' ELSE 'y' END AS k "
        "FROM calls UNION ALL SELECT caller, callee, 'z' AS k FROM calls) GROUP BY k",
        "DPQ-118",
    ),
    (
        "SELECT m, COUNT(*) FROM (SELECT caller, MODE(agent_id = 'a') AS m FROM calls WHERE direction = 'inbound' "
        "GROUP BY caller) GROUP BY m",
        "DPQ-118",
    ),
    (
        "SELECT k, COUNT(*) FROM (SELECT caller, agent_id = 'a' AS k FROM calls WHERE direction = 'inbound' "
        "GROUP BY 1, 2) GROUP BY k",
        "DPQ-118",
    ),
    ("SELECT COUNT(DISTINCT agent_id) FROM calls", "DPQ-118"),
    ("SELECT COUNT(DISTINCT COALESCE(agent_id, 'a')) FROM calls", "DPQ-118"),
    ("SELECT area, COUNT(*) FROM calls c JOIN cells p ON p.cell_id = c.agent_id GROUP BY area", "DPQ-118"),
    # A name of WITH hides the table of that name everywhere.
    ("WITH cells AS (SELECT * FROM calls) SELECT COUNT(*) FROM calls WHERE cell_id IN (SELECT cell_id FROM cells)",
     "DPQ-111"),
    ("WITH calls AS (SELECT * FROM calls WHERE talk_s > 9) SELECT COUNT(DISTINCT number) FROM either_party(calls)",
     "DPQ-103"),
    # Conditions of a join that are not the equality that ties it hold for the row, or refuse the query.
    ("SELECT COUNT(*) FROM calls c LEFT JOIN cells p ON p.cell_id = c.cell_id AND p.area = c.service", "DPQ-121"),
    ("SELECT COUNT(*) FROM calls JOIN cells USING (cell_id, area)", "DPQ-121"),
    ("SELECT COUNT(*) FROM dnc JOIN subscribers USING (number, list_name)", "DPQ-121"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "code"), REFUSED)
def test_the_trick_is_refused(sql: str, code: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        priced(sql.replace(":which", "'p2p'"), CATALOG)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "condition",
    [
        "direction = 'inbound'",
        "direction IN ('outbound', 'inbound')",
        "talk_s > 1 AND NOT FALSE AND direction <> 'p2p'",
    ],
)
def test_conditions_that_do_leave_one_owner_are_taken(condition: str) -> None:
    """Otherwise the refusals above would show nothing."""
    sql = f"SELECT AVG(n) FROM (SELECT caller, COUNT(*) AS n FROM calls WHERE {condition} GROUP BY caller)"
    assert priced(sql, CATALOG).bounded.rule == "one-owner"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT COUNT(*) FROM calls c JOIN dnc d ON d.number = c.caller WHERE d.list_name = 'own'",
        f"SELECT COUNT(*) FROM ({INBOUND} UNION ALL {INBOUND}) WHERE direction = 'inbound'",
        f"SELECT COUNT(*) FROM ({INBOUND} UNION ALL {INBOUND}) u JOIN dnc d ON d.number = u.caller "
        "WHERE direction = 'inbound'",
        "SELECT COUNT(*) FROM (SELECT caller AS callee, callee AS caller, 'inbound' AS direction FROM calls) "
        "WHERE direction = 'inbound'",
    ],
)
def test_rows_of_two_owners_stay_rows_of_two_owners(sql: str) -> None:
    plan = priced(sql, CATALOG)
    assert plan.bounded.rule == "dual-greedy"
    assert len(plan.bounded.parties) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT COUNT(*) FROM (SELECT caller AS place, callee AS lot FROM calls UNION ALL "
        "SELECT caller, callee FROM calls)",
        "SELECT SUM(place) FROM (SELECT caller, callee, talk_s AS place FROM calls UNION ALL "
        "SELECT caller, callee, talk_s FROM calls)",
        "SELECT SUM(party0 + cell) FROM (SELECT caller, callee, talk_s AS party0, talk_s AS cell FROM calls UNION ALL "
        "SELECT caller, callee, talk_s, talk_s + 0 FROM calls)",
        'SELECT SUM("Geld, ""viel""") FROM (SELECT caller, callee, talk_s AS "Geld, ""viel""" FROM calls UNION ALL '
        "SELECT caller, callee, talk_s FROM calls)",
        'SELECT SUM("place") FROM calls c JOIN (SELECT caller, SUM(talk_s) AS "place" FROM calls '
        "WHERE direction = 'inbound' GROUP BY caller) k ON k.caller = c.callee",
    ],
)
def test_names_that_a_query_makes_up_are_not_those_of_the_relation(sql: str) -> None:
    """A relation has columns of its own: the place, the lot, codes of numbers. A query cannot put others there."""
    rows = [_row(i, caller=i % 3, callee=3 + i % 2, direction="p2p", talk_s=5) for i in range(1, 13)]
    rows += [_row(20 + i, caller=3, callee=-5, direction="inbound", talk_s=1) for i in range(3)]
    with duckdb.connect(":memory:") as con:
        table = MemoryRows(prepare(con), pa.Table.from_pylist(rows, schema=SCHEMA), 7)
        plan = priced(sql, CATALOG)
        full = table.exact(plan)
        assert full[0].item() > 0
        for number in range(5):
            less = table.without(number, ("caller", "callee")).exact(plan)
            assert abs(full[0].item() - less[0].item()) <= plan.parts[0].sensitivity.l1


SCHEMA = pa.schema(
    [
        ("place", pa.uint64()),
        ("caller", pa.int32()),
        ("callee", pa.int32()),
        ("direction", pa.string()),
        ("talk_s", pa.int64()),
    ]
)


def _row(place: int, **values: object) -> dict[str, object]:
    return {"place": place, **values}


def test_one_sensitive_column_does_not_open_another() -> None:
    """UNION ALL goes by position: * puts a column that the purpose does not name under one that it does."""
    columns = 'age_band = { type = "text", keys = ["young", "old"], sensitive = true }'
    both = columns + ', gender = { type = "text", keys = ["f", "m"], sensitive = true }'
    catalog = small_catalog(parse_policy(POLICY.replace(columns, both)))
    permission = Permission(sensitive=frozenset({"subscribers.age_band"}))
    rest = "number_kind, number_region, number_country, number_type"
    first = f"SELECT number, 'x' AS a, age_band AS b, {rest} FROM subscribers WHERE FALSE"
    sides = f"{first} UNION ALL SELECT * FROM subscribers"
    with pytest.raises(QueryRefused) as caught:
        resolve(f"SELECT b, COUNT(*) FROM ({sides}) GROUP BY b", catalog, permission=permission)
    assert caught.value.code == "DPQ-118"
    assert "gender" in caught.value.why
    assert resolve("SELECT age_band, COUNT(*) FROM subscribers GROUP BY 1", catalog, permission=permission).keys


def test_a_party_of_the_name_that_either_party_uses_is_told_apart() -> None:
    policy = POLICY.replace(
        'parties = { caller = "caller", callee = "callee" }', 'parties = { number = "a", other = "b" }'
    )
    catalog = small_catalog(parse_policy(policy))
    for sql, code in (
        ("SELECT COUNT(DISTINCT number) FROM either_party(calls)", "DPQ-103"),
        ("SELECT COUNT(*) FROM (SELECT number FROM calls UNION ALL SELECT number FROM calls)", "DPQ-120"),
        ("SELECT COUNT(*) FROM (SELECT number FROM calls)", "DPQ-120"),
    ):
        with pytest.raises(QueryRefused) as caught:
            resolve(sql, catalog)
        assert caught.value.code == code


def test_swapped_parties_of_a_union_tell_nothing_of_regions() -> None:
    """One side's caller is the other's callee there, so no derived column belongs to it."""
    sql = (
        "SELECT phone_region(caller) AS r, COUNT(*) FROM (SELECT caller, callee, caller_region FROM calls UNION ALL "
        "SELECT callee, caller, caller_region FROM calls) GROUP BY r"
    )
    with pytest.raises(QueryRefused) as caught:
        priced(sql, CATALOG)
    assert caught.value.code == "DPQ-108"


@pytest.mark.parametrize(
    ("sql", "months"),
    [
        ("SELECT COUNT(*) FROM (SELECT * FROM calls WHERE day < '2026-02-01') WHERE talk_s > 1", [1]),
        (
            "WITH x AS (SELECT *, start_ts AS t FROM calls) SELECT COUNT(*) FROM x "
            "WHERE t < TIMESTAMP '2026-02-01 00:00:00'",
            [1],
        ),
        # A name is not what makes a time.
        (
            "SELECT COUNT(*) FROM (SELECT caller, callee, DATE '2026-01-05' AS day FROM calls) "
            "WHERE day < '2026-02-01'",
            [1, 2],
        ),
        ("SELECT COUNT(*) FROM (SELECT caller, callee, start_ts - INTERVAL 40 DAY AS start_ts FROM calls) "
         "WHERE start_ts < TIMESTAMP '2026-02-01 00:00:00'", [1, 2]),
        ("SELECT COUNT(*) FROM (SELECT caller, callee, start_ts FROM calls UNION ALL SELECT caller, callee, "
         "start_ts - INTERVAL 40 DAY FROM calls) WHERE start_ts < TIMESTAMP '2026-02-01 00:00:00'", [1, 2]),
        ("SELECT COUNT(*) FROM (SELECT * FROM calls UNION ALL SELECT * FROM calls) WHERE day >= '2026-02-01'", [2]),
        ("SELECT COUNT(*) FROM (SELECT * FROM calls UNION ALL SELECT * FROM calls) u JOIN dnc d ON d.number = caller "
         "WHERE day >= '2026-02-01'", [2]),
        # A list and a join read what they read.
        ("SELECT COUNT(*) FROM calls WHERE day < '2026-02-01' AND caller IN (SELECT caller FROM calls "
         "WHERE direction = 'inbound' AND day >= '2026-02-01' GROUP BY caller)", [1, 2]),
        ("SELECT COUNT(*) FROM (SELECT owner, COUNT(*) AS n FROM legs WHERE day < '2026-02-01' GROUP BY owner) a "
         "JOIN (SELECT owner, COUNT(*) AS m FROM legs WHERE day >= '2026-02-01' GROUP BY owner) b ON a.owner = b.owner",
         [1, 2]),
        ("SELECT COUNT(*) FROM calls WHERE day < '2026-02-01' OR talk_s > 1", [1, 2]),
        ("SELECT COUNT(*) FROM calls WHERE NOT day >= '2026-02-01'", [1, 2]),
    ],
)  # fmt: skip
def test_every_month_that_is_read_is_charged(sql: str, months: list[int]) -> None:
    plan = priced(sql, CATALOG)
    read = {
        month
        for leaf in leaves(plan.bounded.logical.relation)
        if leaf.table == "calls"
        for month in leaf.time_range.months()
    }
    assert read == {f"2026-{month:02}" for month in months}
    assert read <= set(plan.bounded.blocks)


def test_expressions_that_double_at_each_step_are_refused_in_time() -> None:
    steps = ["a0 AS (SELECT caller, callee, talk_s AS x FROM calls)"]
    steps += [f"a{i + 1} AS (SELECT caller, callee, x * x + x AS x FROM a{i})" for i in range(40)]
    before = time.monotonic()
    with pytest.raises(QueryRefused) as caught:
        priced(f"WITH {', '.join(steps)} SELECT SUM(x) FROM a40", CATALOG)
    assert caught.value.code == "DPQ-114"
    assert time.monotonic() - before < 5


def test_expressions_that_grow_deep_step_by_step_are_refused() -> None:
    """Each step is short, but renderings call themselves once for each level."""
    steps = ["a0 AS (SELECT caller, callee, talk_s AS x FROM calls)"]
    steps += [f"a{i + 1} AS (SELECT caller, callee, abs(x) AS x FROM a{i})" for i in range(90)]
    with pytest.raises(QueryRefused) as caught:
        priced(f"WITH {', '.join(steps)} SELECT SUM(x) FROM a90", CATALOG)
    assert caught.value.code == "DPQ-114"


def test_many_columns_of_many_parts_are_refused() -> None:
    wide = " + ".join(["talk_s"] * 30)
    many = " + ".join(["x"] * 50)
    steps = [
        f"a AS (SELECT caller, callee, {wide} AS x FROM calls)",
        f"b AS (SELECT caller, callee, {many} AS x FROM a)",
    ]
    with pytest.raises(QueryRefused) as caught:
        priced(f"WITH {', '.join(steps)} SELECT SUM(x) FROM b WHERE {' AND '.join(['x > 1'] * 40)}", CATALOG)
    assert caught.value.code == "DPQ-114"
