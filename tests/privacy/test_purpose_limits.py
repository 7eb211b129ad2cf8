"""Generated queries under the limits of a purpose: what it may not use has no bearing on any answer that it gets.

The plans that are accepted are run over rows in which everything that the purpose may not use is shuffled: not one
exact integer may change. Nothing here looks at how a plan is judged.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from generated_rows import CALL_COLUMNS, PARTIES, in_memory, tables
from grammar import queries
from grammar_pieces import Made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_rows import MemoryRows, prepare
from planning import CELL_ROWS, POLICY
from small_calls import exact_groups

from dpquery.catalog import numbering_plan
from dpquery.engines.embedded import execute
from dpquery.errors import DpqueryError
from dpquery.noise.conversion import rho_within
from dpquery.noise.thresholds import threshold_of
from dpquery.noise.verify import verify
from dpquery.plan.catalog import Catalog
from dpquery.plan.permission import Permission
from dpquery.plan.query import group_values
from dpquery.plan.relations import Joined, Stored
from dpquery.policy import Policy, parse_policy
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, PrivacyPlan, Thresholds, calibrate
from dpquery.sql.resolve import resolve

PLACES = POLICY.replace("[limits]", "[limits]\nmin_people = 2")
PLACES = PLACES.replace('cell_id = { type = "text", keys = { table = "cells" } }', "cell_id = { %s }")
PLACES = PLACES.replace("{ %s }", '{ type = "text", keys = { table = "cells" }, place = "cell" }')
PLACES = PLACES.replace('cell_id = { type = "text" }', 'cell_id = { type = "text", place = "cell" }')
PLACES = PLACES.replace('area = { type = "text" }', 'area = { type = "text", place = "region" }')
PLACES = PLACES.replace('block = "month"', 'block = "month"\nsensitive = ["callee_type", "answered"]', 1)
SMALL: Policy = parse_policy(PLACES)
CATALOG = Catalog.build(SMALL, numbering_plan(SMALL), {"cells": CELL_ROWS})
EVERYTHING = frozenset({"subscribers.age_band", "calls.callee_type", "calls.answered"})
"""The sensitive columns of this policy."""

COLUMNS = (
    *(f"calls.{name}" for name in CALL_COLUMNS.names if name not in {"place", *PARTIES}),
    "subscribers.age_band",
    "subscribers.number_region",
    "dnc.list_name",
    "dnc.number_region",
)
IN_LEGS = {"region": ("caller_region", "callee_region"), "own_number_type": ("caller_type", "callee_type")}

quick = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
generated = queries()


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield prepare(opened)


# --- asking ---------------------------------------------------------------------------------------------------------


def asked(sql: str, permission: Permission, catalog: Catalog = CATALOG) -> PrivacyPlan | str:
    """The priced plan of a query, or the code that it is refused with."""
    try:
        bounded = bound(resolve(sql, catalog, permission=permission), catalog)
    except DpqueryError as error:
        if error.code == "DPQ-001":
            pytest.fail(f"{error}\n{sql}")
        return error.code
    least = catalog.policy.limits.min_people
    assert least is not None
    plans = calibrate(
        bounded,
        NANO,
        delta_release=1e-6,
        gaussian_allowed=True,
        rho_within=rho_within,
        thresholds=Thresholds(1e-9, least, threshold_of),
    )
    return verify(plans[0])


def outcome(plan: PrivacyPlan, rows: MemoryRows) -> dict[Any, Any]:
    """Every exact integer of a plan, by group."""
    if plan.selection is not None:
        groups = exact_groups(plan, rows)
        logical = replace(plan.bounded.logical, groups=tuple(groups))
        plan = replace(plan, bounded=replace(plan.bounded, logical=logical), parts=plan.parts[1:])
        if not groups or not plan.parts:
            return dict(groups)
    logical = plan.bounded.logical
    parts = execute(plan, rows).open_for_noise()
    keys = [group_values(logical, i) for i in range(len(logical.keys))]
    return {
        (*group, number): part[cell].tolist()
        for number, part in enumerate(parts)
        for cell, group in enumerate(zip(*keys, strict=True) if keys else [()])
    }


def forbidding(*columns: str, **other: Any) -> Permission:
    """All but these columns."""
    lists: dict[str, tuple[str, ...]] = {}
    for table in {column.partition(".")[0] for column in columns}:
        lists[table] = tuple(c for c in CATALOG.tables[table].columns if f"{table}.{c}" not in columns)
    return Permission(columns=lists, **{"sensitive": EVERYTHING, **other})


def named_by(sql: str, column: str) -> bool:
    """Whether the text can mean a column: by its name, or by that of a view or of a function of its number."""
    name = column.partition(".")[2]
    names = {name, *(label for label, meant in IN_LEGS.items() if name in meant)}
    if name.endswith("_region"):
        names |= {"phone_region"}
    return any(re.search(rf"\b{each}\b", sql) for each in names)


# --- rows with other values -------------------------------------------------------------------------------------------


def shuffled(rows: MemoryRows, columns: tuple[str, ...], seed: int) -> MemoryRows:
    """The same rows with the values of some columns handed around among them."""
    rng = np.random.default_rng(seed)
    found = rows
    for column in columns:
        table, _, name = column.partition(".")
        found = changed(found, table, name, lambda values: values.take(pa.array(rng.permutation(len(values)))))
    return found


def changed(rows: MemoryRows, table: str, name: str, change: Callable[[Any], Any]) -> MemoryRows:
    of = rows.others.get(table, rows.table)
    made = of.set_column(of.schema.get_field_index(name), of.schema.field(name), change(of.column(name)))
    if table in rows.others:
        return replace(rows, others={**rows.others, table: made})
    return replace(rows, table=made)


def other_cells(seed: int) -> Catalog:
    """The catalog with the public facts of cells handed around among them."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(CELL_ROWS["cell_id"])).tolist()
    moved = {
        name: values if name == "cell_id" else tuple(values[i] for i in order) for name, values in CELL_ROWS.items()
    }
    return Catalog.build(SMALL, numbering_plan(SMALL), {"cells": moved})


# --- columns --------------------------------------------------------------------------------------------------------


@st.composite
def question_and_columns(draw: st.DrawFn) -> tuple[Made, tuple[str, ...]]:
    """A query, and some columns: often one that it names."""
    made = draw(generated)
    named = [column for column in COLUMNS if named_by(made.sql, column)]
    chosen = {draw(st.sampled_from(COLUMNS)), *([draw(st.sampled_from(named))] if named else [])}
    return made, tuple(sorted(chosen))


def test_columns_that_a_purpose_may_not_use_have_no_bearing(con: duckdb.DuckDBPyConnection) -> None:
    counted: Counter[str] = Counter()

    @settings(quick, max_examples=400)
    @given(question_and_columns(), tables(), st.integers(0, 2**31))
    def check(question: tuple[Made, tuple[str, ...]], listed: list[dict[str, object]], seed: int) -> None:
        made, columns = question
        plan = asked(made.sql, forbidding(*columns))
        if isinstance(plan, str):
            if plan == "DPQ-307":
                counted["refused"] += 1
                assert any(named_by(made.sql, column) for column in columns)
            return
        rows = in_memory(con, listed)
        assert outcome(plan, shuffled(rows, columns, seed)) == outcome(plan, rows), made.sql
        counted["accepted though named" if any(named_by(made.sql, c) for c in columns) else "accepted"] += 1

    check()
    assert counted["refused"] > 100, counted
    assert min(counted["accepted"], counted["accepted though named"]) > 20, counted


def test_sensitive_columns_that_a_purpose_does_not_name_have_no_bearing(con: duckdb.DuckDBPyConnection) -> None:
    counted: Counter[str] = Counter()

    @settings(quick, max_examples=250)
    @given(generated, tables(), st.integers(0, 2**31))
    def check(made: Made, listed: list[dict[str, object]], seed: int) -> None:
        plan = asked(made.sql, Permission())
        if isinstance(plan, str):
            sensitive = [column for column in EVERYTHING if named_by(made.sql, column)]
            # The code also stands for a column that is never a key.
            assert plan != "DPQ-118" or sensitive or "agent_id" in made.sql, made.sql
            counted["refused"] += bool(sensitive)
            return
        rows = in_memory(con, listed)
        assert outcome(plan, shuffled(rows, tuple(sorted(EVERYTHING)), seed)) == outcome(plan, rows), made.sql
        counted["accepted"] += 1

    check()
    assert min(counted.values()) > 40, counted


# --- tables and joins -----------------------------------------------------------------------------------------------


def nodes(part: Any) -> Iterator[Any]:
    """Every node of a plan, whatever holds it."""
    if isinstance(part, tuple):
        for each in part:
            yield from nodes(each)
    elif dataclasses.is_dataclass(part):
        yield part
        for each in dataclasses.fields(part):
            yield from nodes(getattr(part, each.name))


def stored_in(part: Any) -> set[str]:
    return {node.table for node in nodes(part) if isinstance(node, Stored)}


@pytest.mark.parametrize("table", ["calls", "legs", "subscribers", "dnc", "cells"])
def test_tables_that_a_purpose_may_not_read_are_in_no_plan(table: str) -> None:
    counted: Counter[bool] = Counter()
    others = tuple(name for name in SMALL.tables if name != table)

    @settings(quick, max_examples=100)
    @given(generated)
    def check(made: Made) -> None:
        plan = asked(made.sql, Permission(tables=others, sensitive=EVERYTHING))
        names = {table, "legs"} if table == "calls" else {table}
        named = any(re.search(rf"(?:\bFROM|\bJOIN|either_party\(|,)\s*{name}\b", made.sql) for name in names)
        if not isinstance(plan, str):
            assert table not in stored_in(plan.bounded.logical)
            assert not named, made.sql
        elif plan == "DPQ-305":
            assert named, made.sql
        counted[plan == "DPQ-305"] += 1

    check()
    assert min(counted.values()) > 5, counted


def test_tables_meet_only_where_the_purpose_lets_them() -> None:
    counted: Counter[str] = Counter()
    names = ("calls", "subscribers", "dnc", "cells")
    pairs = [*itertools.combinations(names, 2), ("calls", "calls"), ("dnc", "dnc")]

    @settings(quick, max_examples=500)
    @given(generated, st.lists(st.sampled_from(pairs), unique=True, max_size=6))
    def check(made: Made, chosen: list[tuple[str, str]]) -> None:
        allowed = frozenset(map(frozenset, chosen))
        free = asked(made.sql, Permission(sensitive=EVERYTHING))
        plan = asked(made.sql, Permission(sensitive=EVERYTHING, joins=allowed))
        if isinstance(free, str):
            return
        relation = free.bounded.logical.relation
        meet = set(map(frozenset, itertools.combinations(stored_in(relation), 2)))
        for joined in (node for node in nodes(relation) if isinstance(node, Joined)):
            meet |= {frozenset({table}) for table in stored_in(joined.source) & stored_in(joined.records)}
        if not meet <= allowed:
            assert plan == "DPQ-308", made.sql
            counted["refused"] += 1
        elif isinstance(plan, str):
            assert "cells" in made.sql, (plan, made.sql)
            counted["public"] += 1
        else:
            counted["joined" if meet else "alone"] += 1

    check()
    assert min(counted.values()) > 5, counted
    assert len(counted) == 4


def test_public_tables_that_may_not_be_brought_in_have_no_bearing(con: duckdb.DuckDBPyConnection) -> None:
    counted: Counter[str] = Counter()
    stored = frozenset(map(frozenset, itertools.combinations_with_replacement(("calls", "subscribers", "dnc"), 2)))
    permission = Permission(sensitive=EVERYTHING, joins=stored)

    @quick
    @given(generated, tables(), st.integers(0, 2**31))
    def check(made: Made, listed: list[dict[str, object]], seed: int) -> None:
        plan, same = asked(made.sql, permission), asked(made.sql, permission, other_cells(seed))
        if isinstance(plan, str) or isinstance(same, str):
            assert plan == same
            assert plan != "DPQ-308" or "cells" in made.sql
            counted["refused"] += plan == "DPQ-308"
            return
        rows = in_memory(con, listed)
        assert outcome(plan, rows) == outcome(same, rows), made.sql
        counted["accepted"] += 1

    check()
    assert min(counted.values()) > 10, counted


# --- places ---------------------------------------------------------------------------------------------------------


def moved_cells(rows: MemoryRows, seed: int) -> MemoryRows:
    """Calls in other cells of the same area: what is no finer than an area stays as it was."""
    rng = np.random.default_rng(seed)

    def move(values: Any) -> Any:
        moves = pa.array(rng.random(len(values)) < 0.5)
        other = pc.if_else(pc.equal(values, "C1"), "C2", pc.if_else(pc.equal(values, "C2"), "C1", values))
        return pc.if_else(moves, other, values)

    return changed(rows, "calls", "cell_id", move)


def test_nothing_sensitive_stands_beside_a_fine_place(con: duckdb.DuckDBPyConnection) -> None:
    """Of what is accepted, either all that is sensitive has no bearing, or which cell of its area a call was in."""
    counted: Counter[str] = Counter()
    more = ["callee_type", "answered", "service", "local_hour", "caller_kind", "score"]
    policy = parse_policy(PLACES.replace('["callee_type", "answered"]', str(more).replace("'", '"')))
    catalog = Catalog.build(policy, numbering_plan(policy), {"cells": CELL_ROWS})
    sensitive = tuple(sorted({"subscribers.age_band", *(f"calls.{name}" for name in more)}))

    @settings(quick, max_examples=1200)
    @given(generated, tables(), st.integers(0, 2**31))
    def check(made: Made, listed: list[dict[str, object]], seed: int) -> None:
        both = any(named_by(made.sql, c) for c in sensitive) and re.search(r"\b(cell_id|cells)\b", made.sql)
        plan = asked(made.sql, Permission(sensitive=frozenset(sensitive)), catalog)
        if isinstance(plan, str) or not both:
            assert plan != "DPQ-124" or both, made.sql
            counted["refused"] += plan == "DPQ-124"
            return
        rows = in_memory(con, listed)
        before = outcome(plan, rows)
        if outcome(plan, shuffled(rows, sensitive, seed)) == before:
            counted["not sensitive"] += 1
            return
        assert outcome(plan, moved_cells(rows, seed)) == before, made.sql
        counted["sensitive, with coarse places" if re.search(r"\barea\b", made.sql) else "sensitive"] += 1

    check()
    assert counted["refused"] > 50, counted
    assert counted["sensitive"] > 20, counted
    assert counted["sensitive, with coarse places"] > 0, counted


# --- rows -----------------------------------------------------------------------------------------------------------

ONLY: dict[str, dict[str, tuple[str, ...]]] = {
    "calls": {"service": ("voice",)},
    "dnc": {"list_name": ("own",)},
    "subscribers": {"age_band": ("young",)},
}


def test_rows_that_a_purpose_does_not_see_are_as_if_they_were_not_there(con: duckdb.DuckDBPyConnection) -> None:
    counted: Counter[str] = Counter()

    @settings(quick, max_examples=400)
    @given(generated, tables())
    def check(made: Made, listed: list[dict[str, object]]) -> None:
        free = asked(made.sql, Permission(sensitive=EVERYTHING))
        plan = asked(made.sql, Permission(sensitive=EVERYTHING, only=ONLY))
        if isinstance(free, str) or isinstance(plan, str):
            # WHERE may ask for none of the rows or keys that are left; and what is sensitive is then in every plan.
            assert isinstance(free, str) or plan in {"DPQ-116", "DPQ-124", "DPQ-309"}, (plan, made.sql)
            return
        rows = in_memory(con, listed)
        left = rows
        for table, limits in ONLY.items():
            for column, values in limits.items():
                left = seen(left, table, column, values)
        found, expected = outcome(plan, rows), outcome(free, left)
        assert found.keys() <= expected.keys() or plan.selection is not None, made.sql
        assert {group: expected.get(group) for group in found} == found, made.sql
        others = [value for group, value in expected.items() if group not in found]
        assert not any(np.any(value) for value in others), made.sql
        counted["limited" if outcome(free, rows) != expected else "not limited"] += 1

    check()
    assert counted["limited"] > 100, counted


def seen(rows: MemoryRows, table: str, column: str, values: tuple[str, ...]) -> MemoryRows:
    of = rows.others.get(table, rows.table)
    kept = of.filter(pc.fill_null(pc.is_in(of.column(column), value_set=pa.array(values)), False))
    return replace(rows, others={**rows.others, table: kept}) if table in rows.others else replace(rows, table=kept)
