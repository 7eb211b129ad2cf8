"""What a purpose may not use is refused wherever a query reads it, with its place in the text; and nothing else is."""

from __future__ import annotations

import pytest
from planning import CELL_ROWS, POLICY

from dpquery.catalog import numbering_plan
from dpquery.errors import DpqueryError, NotAllowed, QueryRefused
from dpquery.plan.catalog import Catalog, PublicRows
from dpquery.plan.permission import Permission
from dpquery.plan.query import LogicalPlan
from dpquery.policy import parse_policy
from dpquery.sql.key_values import key_values
from dpquery.sql.resolve import resolve

WITH_PLACES = (
    POLICY.replace('keys = { table = "cells" } }', 'keys = { table = "cells" }, place = "cell" }')
    .replace('{ cell_id = { type = "text" }', '{ cell_id = { type = "text", place = "cell" }')
    .replace('area = { type = "text" }', 'area = { type = "text", place = "region" }')
    .replace('block = "month"', 'block = "month"\nsensitive = ["talk_s", "callee_region"]', 1)
)


def catalog_of(text: str) -> Catalog:
    policy = parse_policy(text)
    return Catalog.build(policy, numbering_plan(policy), {"cells": CELL_ROWS})


PLAIN, MARKED = catalog_of(POLICY), catalog_of(WITH_PLACES)


def all_but(*columns: str) -> Permission:
    """Every column of calls but these."""
    listed = tuple(name for name in PLAIN.tables["calls"].columns if name not in columns)
    return Permission(purpose="billing", columns={"calls": listed})


def refused(sql: str, permission: Permission, catalog: Catalog = PLAIN) -> DpqueryError:
    with pytest.raises((NotAllowed, QueryRefused)) as caught:
        resolve(sql, catalog, permission=permission)
    return caught.value


def underlined(error: DpqueryError) -> str:
    """The text that the carets of an error stand under."""
    assert error.where is not None
    assert error.source is not None
    return error.source.split("\n")[error.where.line - 1][error.where.column - 1 : error.where.end - 1]


INBOUND = "direction = 'inbound'"
READING = (
    "SELECT COUNT(*) FROM calls WHERE talk_s > 3",
    "SELECT COUNT(*) FROM calls WHERE NOT (answered AND coalesce(talk_s, 0) BETWEEN 1 AND 9)",
    "SELECT COUNT(*) FROM calls WHERE CASE WHEN answered THEN talk_s > 3 ELSE FALSE END",
    "SELECT COUNT(*) FROM calls WHERE talk_s IS NULL",
    "SELECT COUNT(*) FROM calls WHERE score IN (1, 2) OR greatest(score, talk_s) > 2",
    "SELECT COUNT(talk_s) FROM calls",
    "SELECT COUNT(*) FILTER (WHERE talk_s > 3) FROM calls",
    "SELECT COUNTIF(talk_s > 3) FROM calls",
    "SELECT COUNT(DISTINCT caller) FILTER (WHERE talk_s > 3) FROM calls",
    "SELECT COUNT(DISTINCT (caller, callee)) FILTER (WHERE talk_s > 3) FROM calls",
    "SELECT COUNT(DISTINCT service) FILTER (WHERE talk_s > 3) FROM calls",
    "SELECT SUM(talk_s) FROM calls",
    "SELECT SUM(score) FILTER (WHERE talk_s > 3) FROM calls",
    "SELECT SUM(talk_s, bounds => 'auto') FROM calls",
    "SELECT AVG(talk_s) FROM calls",
    "SELECT AVG(CASE WHEN talk_s > 3 THEN 1 ELSE 0 END) FROM calls",
    "SELECT STDDEV(talk_s) FROM calls",
    "SELECT MEDIAN(talk_s) FROM calls",
    "SELECT MAX(talk_s) FROM calls",
    "SELECT COUNT(*) AS n, 2 * SUM(talk_s) AS twice FROM calls",
    "SELECT CASE WHEN talk_s > 3 THEN 'long' ELSE 'short' END AS length, COUNT(*) FROM calls GROUP BY 1",
    "SELECT talk_s > 3 AS long, COUNT(*) FROM calls GROUP BY ALL",
    "SELECT direction, COUNT(*) FROM calls GROUP BY 1 HAVING AVG(talk_s) > 3",
    "SELECT direction, COUNT(*) FROM calls GROUP BY 1 ORDER BY SUM(talk_s)",
    "SELECT COUNT(*) FROM (SELECT caller, callee, talk_s AS t FROM calls) WHERE t > 3",
    "SELECT COUNT(*) FROM (SELECT * FROM calls WHERE talk_s > 3) t",
    "WITH x AS (SELECT * FROM calls), y AS (SELECT * FROM x) SELECT AVG(talk_s) FROM y",
    "SELECT COUNT(*) FROM (SELECT caller, callee, talk_s AS t FROM calls "
    "UNION ALL SELECT caller, callee, score FROM calls) WHERE t > 3",
    "SELECT COUNT(*) FROM (SELECT caller, callee, score AS t FROM calls "
    "UNION ALL SELECT caller, callee, talk_s FROM calls) WHERE t > 3",
    "SELECT COUNT(*) FROM (SELECT caller, callee FROM calls "
    "UNION ALL SELECT caller, callee FROM calls WHERE talk_s > 3)",
    f"SELECT COUNT(*) FROM (SELECT caller FROM calls WHERE {INBOUND} AND talk_s > 3 GROUP BY caller)",
    f"SELECT COUNT(*) FROM (SELECT caller, talk_s > 3 AS k FROM calls WHERE {INBOUND} GROUP BY caller, talk_s > 3)",
    f"SELECT AVG(t) FROM (SELECT caller, SUM(talk_s) AS t FROM calls WHERE {INBOUND} GROUP BY caller)",
    f"SELECT AVG(n) FROM (SELECT caller, COUNTIF(talk_s > 3) AS n FROM calls WHERE {INBOUND} GROUP BY caller)",
    f"SELECT AVG(n) FROM (SELECT caller, SUM(score) FILTER (WHERE talk_s > 3) AS n FROM calls WHERE {INBOUND} "
    "GROUP BY caller)",
    f"SELECT COUNT(*) FROM (SELECT caller FROM calls WHERE {INBOUND} GROUP BY caller HAVING MAX(talk_s) > 3)",
    f"SELECT COUNT(*) FROM (SELECT DISTINCT caller, talk_s FROM calls WHERE {INBOUND})",
    f"SELECT COUNT(*) FROM dnc WHERE number IN (SELECT caller FROM calls WHERE {INBOUND} AND talk_s > 3 "
    "GROUP BY caller)",
    f"SELECT COUNT(*) FROM dnc d WHERE EXISTS (SELECT c.caller FROM calls c WHERE c.caller = d.number AND c.{INBOUND} "
    "AND c.talk_s > 3 GROUP BY c.caller)",
    f"SELECT COUNT(*) FROM dnc d JOIN (SELECT caller, AVG(talk_s) AS t FROM calls WHERE {INBOUND} GROUP BY caller) n "
    "ON n.caller = d.number WHERE n.t > 3",
    f"SELECT COUNT(*) FROM dnc d LEFT JOIN (SELECT caller FROM calls WHERE {INBOUND} AND talk_s > 3 GROUP BY caller) n "
    "ON n.caller = d.number",
    "SELECT COUNT(*) FROM calls c LEFT JOIN subscribers s ON s.number = c.caller WHERE c.talk_s > 3",
    "SELECT COUNT(*) FROM legs WHERE talk_s > 3",
    "SELECT COUNT(*) FROM (SELECT owner, MIN(talk_s) AS t FROM legs GROUP BY owner) WHERE t > 3",
    "SELECT COUNT(DISTINCT number) FROM either_party(calls) WHERE talk_s > 3",
    "SELECT n, COUNT(*) FROM (SELECT number, COUNT(*) AS n FROM either_party(calls) WHERE talk_s > 3 GROUP BY number) "
    "GROUP BY n",
)  # fmt: skip
"""Every way in which a query can read a column."""


@pytest.mark.parametrize("sql", READING)
def test_a_column_that_is_not_on_the_list_is_refused_where_it_is_read(sql: str) -> None:
    assert resolve(sql, PLAIN, permission=all_but("cost"))
    error = refused(sql, all_but("talk_s"))
    assert (error.code, error.exit_status) == ("DPQ-307", 6)
    assert "billing may not use calls.talk_s" in error.why
    assert error.fix is not None
    assert "score" in error.fix
    assert underlined(error).endswith("talk_s")


@pytest.mark.parametrize("sql", READING)
def test_a_sensitive_column_is_refused_where_it_is_read_unless_the_purpose_names_it(sql: str) -> None:
    assert resolve(sql, MARKED, permission=Permission(sensitive=frozenset({"calls.talk_s"})))
    error = refused(sql, Permission(sensitive=frozenset({"calls.callee_region"})), MARKED)
    assert (error.code, error.exit_status) == ("DPQ-118", 3)
    assert "calls.talk_s is sensitive" in error.why
    assert error.fix is not None
    assert 'sensitive = ["calls.talk_s"]' in error.fix
    assert underlined(error).endswith("talk_s")


EVERY = frozenset({"subscribers.age_band", "calls.talk_s", "calls.callee_region"})
"""The sensitive columns of the policy with places."""

FINE = (
    ("SELECT AVG(talk_s) FROM calls WHERE cell_id = 'C1'", "cell_id"),
    ("SELECT cell_id, AVG(talk_s) FROM calls GROUP BY 1", "cell_id"),
    ("SELECT AVG(talk_s) FROM calls WHERE CASE WHEN answered THEN cell_id = 'C1' ELSE TRUE END", "cell_id"),
    ("SELECT COUNTIF(talk_s > 3), COUNTIF(cell_id = 'C1') FROM calls", "cell_id"),
    ("SELECT COUNT(DISTINCT cell_id) AS n FROM calls WHERE talk_s > 3", "cell_id"),
    ("SELECT direction, COUNT(*) FROM calls WHERE talk_s > 3 GROUP BY 1 HAVING COUNTIF(cell_id = 'C1') > 3", "cell_id"),
    ("SELECT c.masts, AVG(talk_s) FROM calls JOIN cells c ON c.cell_id = calls.cell_id GROUP BY 1", "calls.cell_id"),
    ("SELECT c.cell_id, AVG(talk_s) FROM calls LEFT JOIN cells c USING (cell_id) GROUP BY 1", "c.cell_id"),
    (
        "SELECT AVG(talk_s) FROM (SELECT caller, callee, talk_s, upper(cell_id) AS u FROM calls) x "
        "JOIN cells c ON c.cell_id = x.u",
        "cells c",
    ),
    ("SELECT AVG(talk_s) FROM calls WHERE (CASE WHEN cell_id = 'C1' THEN 1 END) IS NULL", "cell_id"),
    ("SELECT AVG(talk_s) FROM calls WHERE cell_id IN (SELECT cell_id FROM cells WHERE masts > 1)", "cell_id"),
    (
        "SELECT s.age_band, cell_id, COUNT(*) FROM calls JOIN subscribers s ON s.number = caller GROUP BY 1, 2",
        "cell_id",
    ),
    (
        "SELECT COUNT(*) FROM calls WHERE cell_id = 'C1' "
        "AND callee IN (SELECT number FROM subscribers WHERE age_band = 'old')",
        "cell_id",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT caller, callee FROM calls WHERE cell_id = 'C1' "
        "UNION ALL SELECT caller, callee FROM calls WHERE talk_s > 3)",
        "cell_id",
    ),
    (
        f"SELECT AVG(n) FROM (SELECT caller, COUNT(DISTINCT cell_id) AS n FROM calls WHERE {INBOUND} AND talk_s > 3 "
        "GROUP BY caller)",
        "cell_id",
    ),
    ("SELECT region, cell_id, COUNT(*) FROM legs GROUP BY 1, 2", "cell_id"),
    ("SELECT phone_region(callee) AS r, COUNT(*) FROM calls WHERE cell_id = 'C1' GROUP BY 1", "cell_id"),
)
COARSE = (
    "SELECT c.area, AVG(talk_s) FROM calls JOIN cells c ON c.cell_id = calls.cell_id GROUP BY 1",
    "SELECT c.area, AVG(talk_s) FROM calls LEFT JOIN cells c USING (cell_id) GROUP BY 1",
    "SELECT AVG(talk_s) FROM calls WHERE cell_id IN (SELECT cell_id FROM cells WHERE area = 'north')",
    "SELECT caller_region, callee_region, AVG(talk_s) FROM calls GROUP BY 1, 2",
    "SELECT AVG(talk_s) FROM (SELECT caller, callee, talk_s, cell_id FROM calls)",
    "SELECT AVG(talk_s) FROM calls WHERE cell_id IS NOT NULL",
    "SELECT cell_id, COUNT(*) FROM calls GROUP BY 1",
    "SELECT c.masts, COUNT(*) FROM calls JOIN cells c USING (cell_id) GROUP BY 1",
)


@pytest.mark.parametrize(("sql", "place"), FINE)
def test_nothing_sensitive_stands_beside_a_fine_place(sql: str, place: str) -> None:
    """Not even for purposes that name what is sensitive."""
    error = refused(sql, Permission(sensitive=EVERY), MARKED)
    assert (error.code, error.exit_status) == ("DPQ-124", 3)
    assert underlined(error) == place
    assert error.fix is not None
    assert "such as cells.area" in error.fix


@pytest.mark.parametrize("sql", COARSE)
def test_coarse_places_and_fine_ones_alone_are_answered(sql: str) -> None:
    assert resolve(sql, MARKED, permission=Permission(sensitive=EVERY))


def test_the_policy_says_how_fine_a_place_may_be() -> None:
    country = catalog_of(WITH_PLACES.replace("[limits]", '[limits]\nplace_with_sensitive = "country"'))
    cell = catalog_of(WITH_PLACES.replace("[limits]", '[limits]\nplace_with_sensitive = "cell"'))
    both = "SELECT caller_region, AVG(talk_s) FROM calls GROUP BY 1"
    assert refused(both, Permission(sensitive=EVERY), country).code == "DPQ-124"
    # What is sensitive and a place at once stands beside itself.
    assert resolve(
        "SELECT callee_region, COUNT(*) FROM calls GROUP BY 1", country, permission=Permission(sensitive=EVERY)
    )
    for sql, _ in FINE:
        assert resolve(sql, cell, permission=Permission(sensitive=EVERY))


def test_a_public_table_of_few_keys_says_where_its_rows_are() -> None:
    """Being among the cells of a shorter list tells a place, however little that list says of them."""
    hospitals = """
[tables.hospitals]
public = true
key = "cell_id"
columns = { cell_id = { type = "text" }, town = { type = "text", place = "region" } }
[purposes"""
    policy = parse_policy(WITH_PLACES.replace("\n[purposes", hospitals, 1))
    listed: PublicRows = {"cells": CELL_ROWS, "hospitals": {"cell_id": ("C2",), "town": ("north",)}}
    catalog = Catalog.build(policy, numbering_plan(policy), listed)
    permission = Permission(sensitive=EVERY)
    for sql in (
        "SELECT AVG(talk_s) FROM calls JOIN hospitals USING (cell_id)",
        "SELECT AVG(talk_s) FROM calls WHERE cell_id IN (SELECT cell_id FROM hospitals)",
    ):
        assert refused(sql, permission, catalog).code == "DPQ-124"
        assert resolve(sql.replace("hospitals", "cells"), catalog, permission=permission)


def test_what_a_public_table_says_may_be_sensitive_or_kept_from_a_purpose() -> None:
    poor = catalog_of(POLICY.replace('area = { type = "text" }', 'area = { type = "text", sensitive = true }'))
    sql = "SELECT COUNT(*) FROM calls JOIN cells USING (cell_id) WHERE area = 'north'"
    assert refused(sql, Permission(), poor).code == "DPQ-118"
    assert resolve(sql, poor, permission=Permission(sensitive=frozenset({"cells.area"})))
    assert resolve(sql.replace("area = 'north'", "masts > 1"), poor, permission=Permission())
    listed = Permission(columns={"cells": ("cell_id", "masts")})
    error = refused(sql, listed)
    assert error.code == "DPQ-307"
    assert underlined(error) == "area"
    assert resolve(sql.replace("area = 'north'", "masts > 1"), PLAIN, permission=listed)
    inner = "SELECT COUNT(*) FROM calls WHERE cell_id IN (SELECT cell_id FROM cells WHERE area = 'north')"
    assert refused(inner, listed).code == "DPQ-307"


def test_numbers_count_as_columns_where_they_decide() -> None:
    permission = all_but("caller")
    for sql in (
        "SELECT COUNT(DISTINCT caller) FROM calls",
        "SELECT COUNT(DISTINCT (caller, callee)) FROM calls",
        f"SELECT COUNT(*) FROM (SELECT caller FROM calls WHERE {INBOUND} GROUP BY caller)",
        "SELECT COUNT(*) FROM calls c JOIN subscribers s ON s.number = c.caller",
        "SELECT COUNT(*) FROM calls WHERE caller IN (SELECT number FROM dnc)",
        "SELECT COUNT(*) FROM calls WHERE EXISTS (SELECT 1 FROM dnc WHERE number = caller)",
        "SELECT COUNT(DISTINCT number) FROM either_party(calls)",
        "SELECT COUNT(*) FROM (SELECT number FROM either_party(calls) GROUP BY number HAVING COUNT(*) > 2)",
        "SELECT COUNT(DISTINCT owner) FROM legs",
    ):
        error = refused(sql, permission)
        assert error.code == "DPQ-307", sql
        assert "calls.caller" in error.why
    for sql in (
        "SELECT COUNT(*), COUNT(DISTINCT callee) FROM calls",
        "SELECT COUNT(*) FROM (SELECT caller, callee, service FROM calls) WHERE service = 'sms'",
        "SELECT COUNT(*) FROM calls WHERE callee NOT IN (SELECT number FROM dnc)",
        "SELECT COUNT(*) FROM legs",
    ):
        assert resolve(sql, PLAIN, permission=permission)


def test_what_is_named_and_not_used_is_not_read() -> None:
    for sql in (
        "SELECT COUNT(*) FROM (SELECT * FROM calls)",
        "SELECT COUNT(*) FROM (SELECT caller, callee, talk_s AS t, talk_s > 3 AS u FROM calls) WHERE NOT FALSE",
        "WITH unused AS (SELECT * FROM calls WHERE talk_s > 3) SELECT COUNT(*) FROM calls",
        "SELECT COUNT(*) FROM (SELECT caller, callee, talk_s FROM calls "
        "UNION ALL SELECT caller, callee, score FROM calls)",
    ):
        assert resolve(sql, PLAIN, permission=all_but("talk_s"))


MEETING = (
    ("SELECT COUNT(*) FROM calls c JOIN subscribers s ON s.number = c.caller", ("calls", "subscribers")),
    ("SELECT COUNT(*) FROM calls c LEFT JOIN subscribers s ON s.number = c.caller", ("calls", "subscribers")),
    ("SELECT COUNT(*) FROM calls WHERE callee IN (SELECT number FROM dnc)", ("calls", "dnc")),
    ("SELECT COUNT(*) FROM calls WHERE callee NOT IN (SELECT number FROM dnc)", ("calls", "dnc")),
    ("SELECT COUNT(*) FROM calls WHERE EXISTS (SELECT 1 FROM dnc d WHERE d.number = callee)", ("calls", "dnc")),
    ("SELECT COUNT(*) FROM calls WHERE NOT EXISTS (SELECT 1 FROM dnc d WHERE d.number = callee)", ("calls", "dnc")),
    (
        "SELECT COUNT(*) FROM calls c JOIN (SELECT number, COUNT(*) AS n FROM dnc GROUP BY number) d "
        "ON d.number = c.callee WHERE d.n > 1",
        ("calls", "dnc"),
    ),
    ("SELECT COUNT(*) FROM calls JOIN cells USING (cell_id)", ("calls", "cells")),
    ("SELECT COUNT(*) FROM calls WHERE cell_id IN (SELECT cell_id FROM cells WHERE masts > 1)", ("calls", "cells")),
    ("SELECT COUNT(*) FROM legs WHERE owner IN (SELECT number FROM dnc)", ("calls", "dnc")),
    (
        "SELECT COUNT(DISTINCT number) FROM (SELECT number FROM dnc UNION ALL SELECT number FROM subscribers)",
        ("dnc", "subscribers"),
    ),
    (
        "SELECT COUNT(*) FROM (SELECT number FROM dnc WHERE number IN (SELECT number FROM subscribers) "
        "GROUP BY number)",
        ("dnc", "subscribers"),
    ),
    (
        f"SELECT COUNT(*) FROM calls WHERE callee IN (SELECT caller FROM calls WHERE {INBOUND} GROUP BY caller)",
        ("calls", "calls"),
    ),
    (
        "WITH people AS (SELECT * FROM subscribers) "
        "SELECT COUNT(*) FROM (SELECT * FROM calls) c JOIN people ON people.number = c.callee",
        ("calls", "subscribers"),
    ),
)
"""Queries that bring two tables together, or one with records of its own."""


@pytest.mark.parametrize(("sql", "pair"), MEETING)
def test_tables_that_a_purpose_may_not_join_do_not_meet(sql: str, pair: tuple[str, str]) -> None:
    everything = {"calls", "subscribers", "dnc", "cells"}
    others = frozenset(frozenset({one, other}) for one in everything for other in everything) - {frozenset(pair)}
    error = refused(sql, Permission(purpose="billing", joins=others))
    assert (error.code, error.exit_status) == ("DPQ-308", 6)
    assert set(pair) <= set(error.why.split()) or f"{pair[0]} together with records of its own" in error.why
    assert underlined(error).lower() in {pair[1], f"{pair[1]} s", f"{pair[1]} d", pair[0]} or "legs" in underlined(
        error
    )
    assert refused(sql, Permission(joins=frozenset())).code == "DPQ-308"
    assert resolve(sql, PLAIN, permission=Permission(joins=frozenset({frozenset(pair)})))
    assert resolve(sql, PLAIN, permission=Permission())


def test_tables_that_meet_in_a_third_are_a_pair_too() -> None:
    sql = (
        "SELECT COUNT(*) FROM calls c JOIN subscribers s ON s.number = c.caller "
        "WHERE c.caller IN (SELECT number FROM dnc)"
    )
    pairs = [frozenset(pair) for pair in (("calls", "subscribers"), ("calls", "dnc"), ("subscribers", "dnc"))]
    assert refused(sql, Permission(joins=frozenset(pairs[:2]))).code == "DPQ-308"
    assert resolve(sql, PLAIN, permission=Permission(joins=frozenset(pairs)))


def test_a_table_alone_meets_nothing() -> None:
    for sql in (
        "SELECT COUNT(*) FROM legs",
        "SELECT COUNT(*) FROM (SELECT * FROM calls UNION ALL SELECT * FROM calls)",
        "SELECT COUNT(*) FROM calls WHERE cell_id = 'C1'",
        "SELECT cell_id, COUNT(*) FROM calls GROUP BY 1",
        f"SELECT COUNT(*) FROM (SELECT caller FROM calls WHERE {INBOUND} GROUP BY caller)",
    ):
        assert resolve(sql, PLAIN, permission=Permission(joins=frozenset()))


def test_tables_are_refused_where_they_are_named() -> None:
    few = Permission(purpose="billing", tables=("calls", "dnc"))
    for sql, named in (
        ("SELECT COUNT(*) FROM subscribers", "subscribers"),
        ("SELECT COUNT(*) FROM calls WHERE callee IN (SELECT number FROM subscribers)", "subscribers"),
        ("SELECT COUNT(*) FROM calls LEFT JOIN cells USING (cell_id)", "cells"),
        ("SELECT COUNT(*) FROM calls WHERE cell_id IN (SELECT cell_id FROM cells)", "cells"),
        ("SELECT COUNT(*) FROM legs", "legs"),
    ):
        error = refused(sql, few)
        assert (error.code, error.exit_status, underlined(error)) == ("DPQ-305", 6, named)
        assert error.fix == "tables it may read: calls, dnc"
    assert refused("SELECT COUNT(*) FROM legs", Permission(tables=("legs",))).code == "DPQ-305"
    assert resolve("SELECT cell_id, COUNT(*) FROM calls GROUP BY 1", PLAIN, permission=few)


# --- rows -----------------------------------------------------------------------------------------------------------


def test_rows_that_a_purpose_sees_are_a_condition_like_any() -> None:
    permission = Permission(
        purpose="sales", only={"calls": {"direction": ("outbound", "inbound"), "service": ("voice",)}}
    )
    limited = resolve("SELECT direction, COUNT(*) FROM calls GROUP BY 1", PLAIN, permission=permission)
    written = resolve(
        "SELECT direction, COUNT(*) FROM calls "
        "WHERE direction IN ('outbound', 'inbound') AND service IN ('voice') GROUP BY 1",
        PLAIN,
    )
    assert without_text(limited) == without_text(written)
    assert limited.one_owner
    assert limited.keys[0].values == ("outbound", "inbound")


def without_text(plan: LogicalPlan) -> tuple[object, ...]:
    return plan.relation, plan.where, plan.keys, plan.aggregates, plan.one_owner


def test_asking_for_rows_that_a_purpose_does_not_see_is_refused() -> None:
    permission = Permission(purpose="sales", only={"calls": {"direction": ("outbound", "inbound")}})
    for sql in (
        "SELECT COUNT(*) FROM calls WHERE direction = 'p2p'",
        "SELECT COUNT(*) FROM calls WHERE service = 'sms' AND 'p2p' = direction",
        "SELECT COUNT(*) FROM (SELECT * FROM calls WHERE direction IN ('p2p'))",
        "SELECT COUNT(*) FROM legs WHERE direction = 'p2p'",
    ):
        error = refused(sql, permission)
        assert (error.code, error.exit_status) == ("DPQ-309", 6)
        assert underlined(error) == "direction"
        assert error.fix == "ask for these: direction IN ('outbound', 'inbound')"
    assert resolve("SELECT COUNT(*) FROM calls WHERE direction = 'inbound'", PLAIN, permission=permission)
    assert resolve("SELECT COUNT(*) FROM calls WHERE direction IN ('inbound', 'p2p')", PLAIN, permission=permission)


# --- declared values, without rows ------------------------------------------------------------------------------------


def test_declared_values_are_told_only_of_what_a_purpose_may_use() -> None:
    choices = "SELECT DISTINCT direction FROM calls"
    found = key_values(choices, PLAIN, permission=all_but("talk_s"))
    assert found is not None
    assert found.values == ("outbound", "inbound", "p2p")
    for permission, code in (
        (all_but("direction"), "DPQ-307"),
        (Permission(tables=("dnc",)), "DPQ-305"),
    ):
        with pytest.raises(NotAllowed, match=code):
            key_values(choices, PLAIN, permission=permission)
    with pytest.raises(QueryRefused, match="DPQ-118"):
        key_values("SELECT DISTINCT age_band FROM subscribers", PLAIN, permission=Permission())
    seen = key_values(choices, PLAIN, permission=Permission(only={"calls": {"direction": ("inbound",)}}))
    assert seen is not None
    assert seen.values == ("inbound",)
