"""The file of questions over the demo: each is planned as the file says, and says how good its answer is."""

from __future__ import annotations

import pytest

from dpquery.catalog import numbering_plan
from dpquery.demo import POLICY_FILE
from dpquery.demo import tables as made
from dpquery.demo.queries import DemoQuery, demo_queries
from dpquery.describe import bounding_in_words
from dpquery.noise.conversion import rho_within
from dpquery.noise.verify import verify
from dpquery.plan.catalog import Catalog
from dpquery.policy import load_policy
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, PrivacyPlan, calibrate
from dpquery.sql.parameters import parameters
from dpquery.sql.resolve import resolve

POLICY = load_policy(POLICY_FILE)
PUBLIC = {
    name: {column: tuple(rows.column(column).to_pylist()) for column in rows.column_names}
    for name, rows in {"campaigns": made.campaigns(), "cells": made.cells()}.items()
}
CATALOG = Catalog.build(POLICY, numbering_plan(POLICY), PUBLIC)
QUERIES = {query.name: query for query in demo_queries()}


def planned(query: DemoQuery) -> PrivacyPlan:
    allowed = frozenset(POLICY.purposes["network_planning"].sensitive)
    logical = resolve(query.sql, CATALOG, sensitive_allowed=allowed, parameters=parameters(query.params))
    plans = calibrate(bound(logical, CATALOG), NANO, delta_release=1e-6, gaussian_allowed=True, rho_within=rho_within)
    return verify(plans[0])


def test_the_thirty_and_their_companions_are_there() -> None:
    assert list(QUERIES) == [f"Q{n}" for n in range(1, 31)] + [f"C{n}" for n in range(1, 6)]


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
def test_each_is_planned_as_the_file_says(query: DemoQuery) -> None:
    plan = planned(query)
    assert bounding_in_words(plan.bounded.logical, plan) == query.bounding
    legs = plan.bounded.logical.table == "legs"
    assert query.owners == ("legs" if legs else 1 if plan.bounded.rule == "one-owner" else 2)


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
def test_a_poor_answer_comes_with_what_would_help(query: DemoQuery) -> None:
    assert query.error is not None
    assert (query.error > 0.5) == bool(query.help)
