"""The file of questions over the demo: each is planned as the file says, is what plain DuckDB answers, and runs.

How good the answers are is measured by `python -m benchmarks.queries`; the slow test here holds the file to it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import dpquery
from benchmarks.queries import errors_of
from dpquery.catalog import catalog_of, numbering_plan
from dpquery.consent.allowance import allowance
from dpquery.demo import POLICY_FILE
from dpquery.demo import tables as made
from dpquery.demo.queries import DemoQuery, demo_queries
from dpquery.demo.questions import ANALYST
from dpquery.demo.store import make_demo
from dpquery.describe import bounding_in_words
from dpquery.errors import NotAllowed
from dpquery.noise.conversion import rho_within
from dpquery.noise.verify import verify
from dpquery.plan.catalog import Catalog
from dpquery.plan.permission import Permission
from dpquery.policy import load_policy, parse_policy
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, PrivacyPlan, calibrate
from dpquery.sql.parameters import parameters
from dpquery.sql.resolve import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.store import Store

POLICY = load_policy(POLICY_FILE)
PUBLIC = {
    name: {column: tuple(rows.column(column).to_pylist()) for column in rows.column_names}
    for name, rows in {"campaigns": made.campaigns(), "cells": made.cells()}.items()
}
CATALOG = Catalog.build(POLICY, numbering_plan(POLICY), PUBLIC)
QUERIES = {query.name: query for query in demo_queries()}
SMALL = 20_000
ROOMY = 5_000
"""More rows than any number has in a small demo."""


def planned(query: DemoQuery) -> PrivacyPlan:
    logical = resolve(
        query.sql,
        CATALOG,
        permission=Permission.of(POLICY, query.purpose),
        parameters=parameters(query.params),
    )
    plans = calibrate(bound(logical, CATALOG), NANO, delta_release=1e-6, gaussian_allowed=True, rho_within=rho_within)
    return verify(plans[0])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    steward, _ = make_demo(tmp_path_factory.mktemp("demo") / "small", rows=SMALL, seed=7)
    steward.store.reload()
    return steward.store


@pytest.fixture(scope="module")
def roomy(store: Store) -> Catalog:
    """The demo's catalog where bounds leave no row out."""
    text = re.sub(r"max_(rows|rows_per_group) = \d+", rf"max_\1 = {ROOMY}", POLICY_FILE.read_text(encoding="utf-8"))
    text = re.sub(r"max_groups = \d+", "max_groups = 1000", text)
    assert text.count(str(ROOMY)) > 40
    return Catalog.build(parse_policy(text), numbering_plan(store.policy), PUBLIC)


def test_the_thirty_and_their_companions_are_there() -> None:
    assert list(QUERIES) == [f"Q{n}" for n in range(1, 31)] + [f"C{n}" for n in range(1, 6)]


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
def test_each_is_planned_as_the_file_says(query: DemoQuery) -> None:
    plan = planned(query)
    assert bounding_in_words(plan.bounded.logical, plan) == query.bounding
    legs = plan.bounded.logical.table == "legs"
    assert query.owners == ("legs" if legs else 1 if plan.bounded.rule == "one-owner" else 2)


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
def test_each_is_what_plain_duckdb_answers(query: DemoQuery, store: Store, roomy: Catalog) -> None:
    """Without bounds and next to no noise. Clamps, and what is read off a histogram, err a little."""
    plain = query.plain and query.plain.replace("least(n, 25)", f"least(n, {ROOMY})")
    sql = re.sub(r"WITH DIFFERENTIAL_PRIVACY OPTIONS \([^)]*\)", "", query.sql).replace("COUNT(*) > 7", "COUNT(*) > 1")
    asked = replace(query, sql=sql, plain=plain)
    errors, _ = errors_of(asked, store, roomy, draws=1, epsilon=1e8)
    coarse = query.name in {"Q5", "Q6", "Q9", "Q22"}
    assert errors.mean < (0.15 if coarse else 0.002)


def test_each_is_released(store: Store) -> None:
    for purpose, analyst in (("network_planning", ANALYST), ("compliance", "steward")):
        with dpquery.connect(store.folder, analyst=analyst, purpose=purpose) as db:
            for query in QUERIES.values():
                if query.purpose == purpose:
                    release = db.sql(query.sql, query.params).run(epsilon=0.1)
                    assert release.rows(), query.name


def test_who_has_opted_out_is_for_the_steward(store: Store) -> None:
    with dpquery.connect(store.folder, analyst=ANALYST, purpose="network_planning") as db:
        for name in ("C2", "C3"):
            with pytest.raises(NotAllowed, match="DPQ-401"):
                db.sql(QUERIES[name].sql)


def test_the_registry_of_the_demo_is_of_use(store: Store) -> None:
    """Ben counts the calls of who has said yes; who has refused is left out, also for planning."""
    now = datetime.now(UTC)
    for purpose, least, most in (("network_planning", 0.95, 0.999), ("marketing", 0.1, 0.5), ("compliance", 1, 1)):
        found = allowance(store, purpose, now)
        share = 1.0 if found is None else float(found.numbers.mean())
        assert least <= share <= most, purpose
    with dpquery.connect(store.folder, analyst="ben", purpose="marketing") as db:
        (row,) = db.sql("SELECT COUNT(*) AS calls FROM calls").run(epsilon=1.0).rows()
        assert 0 < row["calls"] < 0.6 * SMALL


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
def test_a_poor_answer_comes_with_what_helps(query: DemoQuery) -> None:
    assert query.error > 0
    assert (query.error > 0.5) == bool(query.help) == (query.instead is not None)
    if query.instead is not None:
        assert query.instead_error is not None
        assert query.instead_error < 0.6 * query.error
        planned(replace(query, sql=query.instead))


def test_two_thirds_of_the_thirty_err_less_than_a_tenth() -> None:
    assert sum(query.error < 0.10 for name, query in QUERIES.items() if name.startswith("Q")) >= 20


@pytest.mark.slow
def test_the_file_holds_what_is_measured(tmp_path: Path) -> None:
    steward, _ = make_demo(tmp_path / "demo", rows=1_000_000, seed=2026)
    steward.store.reload()
    catalog = catalog_of(steward.store)
    found = {name: errors_of(query, steward.store, catalog, 20)[0].mean for name, query in QUERIES.items()}
    assert sum(error < 0.10 for name, error in found.items() if name.startswith("Q")) >= 20
    for name, error in found.items():
        assert error == pytest.approx(QUERIES[name].error, rel=0.6, abs=0.01), name
