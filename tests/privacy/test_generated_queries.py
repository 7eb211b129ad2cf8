"""Queries from the grammar: what is accepted keeps its claims on any table, and says what plain DuckDB says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from generated_rows import NUMBERS, PARTIES, in_memory, tables
from grammar import PRODUCTIONS, Maker, queries
from grammar_functions import FORMS
from grammar_pieces import Made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_rows import MemoryRows, prepare
from planning import POLICY, small_catalog
from small_calls import changes, exact_groups
from stores import MadeStore, do_not_call, generous, made_up_calls, make_store, people

from dpquery.engines.embedded import execute
from dpquery.engines.stored import stored_rows
from dpquery.errors import QueryRefused
from dpquery.noise.conversion import rho_within
from dpquery.noise.thresholds import threshold_of
from dpquery.noise.verify import verify
from dpquery.plan.catalog import Catalog
from dpquery.plan.functions import FUNCTIONS
from dpquery.plan.permission import Permission
from dpquery.plan.query import Average, CountValues, Quantile, Sum, Variance
from dpquery.plan.relations import reads_legs
from dpquery.policy import parse_policy
from dpquery.postprocessing.answer import answer
from dpquery.postprocessing.estimates import values_threshold
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, PrivacyPlan, Thresholds, calibrate
from dpquery.sql.resolve import resolve

CATALOG = small_catalog(parse_policy(POLICY.replace("[limits]", "[limits]\nmin_people = 2")))
PERMISSION = Permission(sensitive=frozenset({"subscribers.age_band"}))
EPSILON = 10**6
"""So large that what is read off noisy integers is read off exact ones."""
USUAL_REFUSALS = {
    "DPQ-102",  # no bounds follow for a sum
    "DPQ-107",  # a key of a table without rows in its domain
    "DPQ-112",  # a text constant beside a time
    "DPQ-115",  # the same key twice
    "DPQ-116",  # WHERE rules out every key
    "DPQ-118",  # a key that reads agent_id
}
"""What the grammar may run into; any other refusal is a gap of the grammar or of the resolver."""

generated = queries()
quick = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
thorough = settings(quick, max_examples=6_000, derandomize=False)


def planned(sql: str, catalog: Catalog, epsilon: int = 1) -> PrivacyPlan | None:
    """The verified plan of a generated query; None where it is refused for one of the usual reasons."""
    try:
        logical = resolve(sql, catalog, permission=PERMISSION)
        bounded = bound(logical, catalog)
    except QueryRefused as refused:
        if refused.code not in USUAL_REFUSALS:
            pytest.fail(f"{refused}\n{sql}")
        return None
    least = catalog.policy.limits.min_people
    plans = calibrate(
        bounded,
        epsilon * NANO,
        delta_release=1e-6,
        gaussian_allowed=True,
        rho_within=rho_within,
        thresholds=None if least is None else Thresholds(1e-9, least, threshold_of),
    )
    return verify(plans[0])


# --- the grammar ----------------------------------------------------------------------------------------------------


def test_the_grammar_knows_every_function() -> None:
    assert set(FORMS) == set(FUNCTIONS)


def test_most_queries_are_accepted_and_every_production_is_used() -> None:
    """Otherwise the properties below would be tested on little."""
    counted: Counter[str] = Counter()
    used: Counter[str] = Counter()

    @settings(quick, max_examples=700)
    @given(generated)
    def collect(made: Made) -> None:
        accepted = planned(made.sql, CATALOG) is not None
        counted["accepted" if accepted else "refused"] += 1
        if accepted:
            used.update(made.used)

    collect()
    assert counted["accepted"] > 0.8 * counted.total()
    assert not PRODUCTIONS - used.keys()
    assert len([name for name in used if name.startswith("function ")]) > 0.5 * len(FORMS)
    assert len([name for name in used if name.startswith("measure ")]) == 9


@st.composite
def calls_of(draw: st.DrawFn, name: str) -> list[str]:
    """A query for each form of a function."""
    maker = Maker(draw)
    scope = maker.table("calls")
    calls = [maker.form(form, scope, 0) for form in FORMS[name]]
    return [f"SELECT COUNT(*) FROM {scope.source.ours} WHERE ({call.ours}) IS NOT NULL" for call in calls]


@pytest.mark.parametrize("name", sorted(FORMS))
def test_every_form_of_a_function_is_accepted(name: str) -> None:
    @settings(quick, max_examples=4)
    @given(calls_of(name))
    def try_forms(queries: list[str]) -> None:
        for sql in queries:
            assert planned(sql, CATALOG)

    try_forms()


# --- neighbours -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield prepare(opened)


def without_own_halves(rows: MemoryRows, number: int) -> MemoryRows:
    """What the unit of a legs view takes away: the number's own half of each call, which leaves the other half."""
    table = rows.table
    for party in PARTIES:
        codes = table.column(party).to_numpy()
        masked = pa.array(np.where(codes == number, -1, codes), pa.int32())
        table = table.set_column(table.schema.get_field_index(party), party, masked)
    return MemoryRows(rows.con, table, rows.numbers, rows.without(number, ()).others)


def assert_claims_hold(plan: PrivacyPlan, rows: MemoryRows) -> int:
    """No part moves by more than it claims when any one number goes, with all its rows; the largest change seen."""
    legs = reads_legs(plan.bounded.logical.relation)
    neighbours = [without_own_halves(rows, n) if legs else rows.without(n, PARTIES) for n in range(NUMBERS)]
    if plan.selection is not None:
        selected = assert_selection_holds(plan, rows, neighbours)
        if selected is None:
            return 0
        plan = selected
    before = rows.exact(plan)
    largest = 0
    for neighbour in neighbours:
        after = neighbour.exact(plan)
        for part, full, less in zip(plan.parts, before, after, strict=True):
            change = changes(part, full, less)
            assert change.sum() <= part.sensitivity.l1
            assert (change**2).sum() <= part.sensitivity.l2_squared
            assert change.max(initial=0) <= part.sensitivity.linf
            largest = max(largest, change.max(initial=0))
    return largest


def assert_selection_holds(plan: PrivacyPlan, rows: MemoryRows, neighbours: list[MemoryRows]) -> PrivacyPlan | None:
    """Few groups change their numbers, by one each; what is measured over all of them, None if there are none."""
    before = exact_groups(plan, rows)
    for neighbour in neighbours:
        after = exact_groups(plan, neighbour)
        changed = [abs(before.get(group, 0) - after.get(group, 0)) for group in before.keys() | after.keys()]
        assert sum(changed) <= plan.parts[0].sensitivity.l1
        assert max(changed, default=0) <= 1
        assert after.keys() <= before.keys()
    logical = replace(plan.bounded.logical, groups=tuple(before))
    chosen = replace(plan, bounded=replace(plan.bounded, logical=logical), parts=plan.parts[1:])
    return chosen if before and chosen.parts else None


@quick
@given(made=generated, rows=tables())
def test_no_number_moves_a_generated_query_by_more_than_claimed(
    made: Made, rows: list[dict[str, object]], con: duckdb.DuckDBPyConnection
) -> None:
    plan = planned(made.sql, CATALOG)
    if plan is not None:
        assert_claims_hold(plan, in_memory(con, rows))


@pytest.mark.slow
@thorough
@given(made=generated, rows=tables())
def test_no_number_moves_a_generated_query_by_more_than_claimed_at_length(
    made: Made, rows: list[dict[str, object]], con: duckdb.DuckDBPyConnection
) -> None:
    plan = planned(made.sql, CATALOG)
    if plan is not None:
        assert_claims_hold(plan, in_memory(con, rows))


# --- plain DuckDB ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    """Values within their bounds, and contribution bounds that no number reaches."""
    folder = tmp_path_factory.mktemp("generated")
    return make_store(
        folder, generous(), made_up_calls(600, numbers=20), subscribers=people(numbers=20), dnc=do_not_call()
    )


@pytest.fixture(scope="module")
def catalog(made_store: MadeStore) -> Catalog:
    return made_store.connect().catalog


@pytest.fixture(scope="module")
def plain(made_store: MadeStore) -> Iterator[duckdb.DuckDBPyConnection]:
    with made_store.plain_connection() as opened:
        yield opened


def compared(
    made: Made, plan: PrivacyPlan, catalog: Catalog, store: MadeStore, plain: duckdb.DuckDBPyConnection
) -> bool:
    """Assert that the exact answer is plain DuckDB's, where that is defined; False where it is not.

    The exact integers take the place of noisy ones here, so that nothing but rounding stands between the two.
    """
    try:
        rows = plain.execute(made.plain).fetchall()
    except duckdb.Error:
        return False  # a division by zero, a cast that fails: ours is NULL there
    listed = [set(key.values) for key in plan.bounded.logical.keys]
    # Rows whose key is not declared, such as NULL where the policy names no such key, are in no group.
    expected = {
        row[: made.keys]: row[made.keys :]
        for row in rows
        if all(value in values for value, values in zip(row[: made.keys], listed, strict=True))
    }
    exact = execute(
        plan, stored_rows(store.steward.store, catalog, plan, purpose="network_planning", at=datetime.now(UTC))
    ).open_for_noise()
    found = {tuple(row[f"g{i}"] for i in range(made.keys)): row for row in answer(plan, exact).rows()}
    assert expected.keys() <= found.keys(), made
    outputs = [output for output in plan.bounded.logical.outputs if output.kind != "key" and not output.hidden]
    for key, row in found.items():
        for position, output in enumerate(outputs):
            aggregate = plan.bounded.logical.aggregates[output.index] if output.kind == "aggregate" else None
            allowed = tolerance(aggregate, output.index, plan)
            if allowed is None:
                continue
            true = expected[key][position] if key in expected else None
            value = row[output.name]
            if isinstance(aggregate, Average):
                if true is not None:
                    assert value is not None, made
                    assert abs(value - float(true)) <= allowed + 1e-9 * abs(float(true)), (
                        made,
                        key,
                        output.name,
                        true,
                        value,
                    )
            elif output.kind == "aggregate" or key in expected:
                assert abs(value - float(true or 0)) <= allowed + 1e-9 * abs(float(true or 0)), (
                    made,
                    key,
                    output.name,
                    true,
                    value,
                )
    return True


def tolerance(aggregate: Any, index: int, plan: PrivacyPlan) -> float | None:
    """How far rounding to a grid may take an exact answer from the plain one; None for what is read off bins."""
    match aggregate:
        case Sum(clamp=clamp):
            return 0.0 if clamp.step == 1.0 and aggregate.argument.type == "integer" else 20_000 * clamp.step / 2
        case Average(clamp=clamp):
            return clamp.step if plan.bounded.rule == "one-owner" else None
        case Variance() | Quantile():
            return None
        case CountValues():
            # With many groups the threshold is above 0 even here, and a value of one row is then passed over.
            return 0.0 if values_threshold(plan.parts[plan.readings[index].parts[0]]) == 0 else None
        case _:
            return 0.0


def compare_generated(
    how: settings, catalog: Catalog, made_store: MadeStore, plain: duckdb.DuckDBPyConnection
) -> Counter[str]:
    """Compare what `how` generates; how many queries were compared, and how many were not."""
    counted: Counter[str] = Counter()

    @how
    @given(generated)
    def compare(made: Made) -> None:
        plan = planned(made.sql, catalog, EPSILON)
        if plan is not None:
            done = made.exact and compared(made, plan, catalog, made_store, plain)
            counted["compared" if done else "not defined"] += 1

    compare()
    return counted


def test_a_generated_query_says_what_plain_duckdb_says(
    catalog: Catalog, made_store: MadeStore, plain: duckdb.DuckDBPyConnection
) -> None:
    counted = compare_generated(settings(quick, max_examples=250), catalog, made_store, plain)
    assert counted["compared"] > 0.6 * counted.total()


@pytest.mark.slow
def test_a_generated_query_says_what_plain_duckdb_says_at_length(
    catalog: Catalog, made_store: MadeStore, plain: duckdb.DuckDBPyConnection
) -> None:
    compare_generated(thorough, catalog, made_store, plain)
