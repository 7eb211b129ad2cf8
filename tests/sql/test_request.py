"""The words that a stock parser does not know are lifted out, positions stay true, and options only ever tighten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import POLICY, priced, small_catalog

from dpquery.errors import QueryRefused
from dpquery.policy import parse_policy
from dpquery.privacy.bound import bound
from dpquery.sql.named_arguments import lift
from dpquery.sql.request import read_request
from dpquery.sql.resolve import resolve

CATALOG = small_catalog()

CLAUSE = "WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 0.5)"

PIECES = [
    "SELECT", "WITH", "DIFFERENTIAL_PRIVACY", "OPTIONS", "(", ")", ",", "=", "epsilon", "0.5", "-", "delta", "1e-9",
    "EXPLAIN", "PRIVACY", "SHOW", "BUDGET", "FOR", "SET", "RESET", "dp", ".", ";", "COUNT(*)", "FROM", "calls", "\n",
    "/* c */", "-- c\n", "'it''s'", '"x"', "contribution_bounds_per_row => (0, 1)", "SUM(talk_s", "é", "\U0001f4de",
    "ESTIMATE_REMAINING_DP_AGGREGATES", "TABLE", "privacy_unit_column", "max_rows_contributed", "2", "\t",
]  # fmt: skip


def assert_kept(source: str, blanked: str) -> None:
    """Every character is itself or a blank, and what was white stays as it was."""
    assert len(blanked) == len(source)
    for before, after in zip(source, blanked, strict=True):
        assert after == before or (after == " " and not before.isspace())


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join)))
def test_any_text_keeps_its_length_and_lines_or_is_refused(source: str) -> None:
    refused: list[QueryRefused] = []
    try:
        request = read_request(source)
        if request.select:
            assert_kept(source, request.select)
            assert_kept(source, lift(source, request.select)[0].blanked)
    except QueryRefused as refusal:
        refused.append(refusal)
    for where in [refusal.where for refusal in refused if refusal.where is not None]:
        assert 1 <= where.line <= source.count("\n") + 1
        assert where.end <= len(source.split("\n")[where.line - 1]) + 1


@given(st.lists(st.sampled_from(["\n", "  ", "/* a */", "-- b\n", "\t"]), min_size=4, max_size=4))
def test_the_caret_stands_under_the_fault_whatever_was_lifted_before_it(gaps: list[str]) -> None:
    a, b, c, d = (f" {gap} " for gap in gaps)
    sql = f"{a}EXPLAIN{b}PRIVACY{c}SELECT {CLAUSE}{d}COUNT(*)\nFROM calls WHERE nonesuch = 1"
    with pytest.raises(QueryRefused) as caught:
        resolve(read_request(sql), CATALOG)
    where = caught.value.where
    assert caught.value.source == sql
    assert where is not None
    assert sql.split("\n")[where.line - 1][where.column - 1 : where.end - 1] == "nonesuch"


@pytest.mark.parametrize(
    ("sql", "plain"),
    [
        (f"SELECT {CLAUSE} COUNT(*) FROM calls", "SELECT COUNT(*) FROM calls"),
        ("SELECT WITH DIFFERENTIAL_PRIVACY COUNT(*) FROM calls", "SELECT COUNT(*) FROM calls"),
        (
            f"WITH x AS (SELECT * FROM calls) select {CLAUSE.lower()} count(*) FROM x",
            "WITH x AS (SELECT * FROM calls) SELECT COUNT(*) FROM x",
        ),
        ("SELECT COUNT(*) FROM calls WHERE service = 'with differential_privacy options'", None),
        ("SELECT COUNT(*) FROM calls WHERE service = 'estimate_remaining_dp_aggregates'", None),
    ],
)
def test_a_clause_that_tightens_nothing_leaves_the_plan(sql: str, plain: str | None) -> None:
    assert resolve(sql, CATALOG) == resolve(plain or sql, CATALOG)


QUERIES = [
    "COUNT(*) FROM calls",
    "SUM(talk_s) FROM calls WHERE direction = 'inbound'",
    "cell_id, COUNT(*) FROM calls GROUP BY cell_id",
    "cell_id, AVG(talk_s), MEDIAN(score) FROM calls WHERE direction = 'inbound' GROUP BY cell_id",
    "direction, AVG(talk_s), COUNT(DISTINCT caller) FROM calls GROUP BY direction",
    "n, COUNT(*) FROM (SELECT number, COUNT(*) AS n FROM either_party(calls) GROUP BY number) GROUP BY n",
]


@pytest.mark.parametrize("query", QUERIES)
@given(rows=st.one_of(st.none(), st.integers(1, 12)), groups=st.one_of(st.none(), st.integers(1, 12)))
def test_options_tighten_the_sensitivity_or_are_refused(query: str, rows: int | None, groups: int | None) -> None:
    asked = {"max_rows_contributed": rows, "max_groups_contributed": groups}
    options = ", ".join(f"{name} = {value}" for name, value in asked.items() if value is not None)
    free = priced(f"SELECT {query}", CATALOG)
    try:
        plan = priced(f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({options}) {query}", CATALOG)
    except QueryRefused as refusal:
        refused: QueryRefused | None = refusal
    else:
        refused = None
    if refused is not None:
        assert refused.code in {"DPQ-117", "DPQ-119"}
        assert refused.where is not None
        return
    bounds, before = plan.bounded.bounds, free.bounded.bounds
    assert bounds.max_rows_per_group <= before.max_rows_per_group
    assert rows is None or plan.bounded.rule == "one-owner" or "either_party" in query or bounds.max_rows <= rows
    if plan.bounded.rule == "one-owner":
        assert bounds.max_rows <= min(before.max_rows, rows or before.max_rows)
        assert bounds.max_groups <= min(before.max_groups, groups or before.max_groups)
    if "either_party" not in query:  # its cells are fewer, too
        for part, wide in zip(plan.parts, free.parts, strict=True):
            assert part.sensitivity.l1 <= wide.sensitivity.l1
            assert part.sensitivity.l2_squared <= wide.sensitivity.l2_squared


OPTIONS = "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS"
REFUSED = [
    # text, code, underlined text, words of the cure
    (f"{OPTIONS} (epsilon 0.5) COUNT(*) FROM calls", "DPQ-130", "epsilon 0.5", "OPTIONS (epsilon = 0.5)"),
    (f"{OPTIONS} (epsilom = 0.5) COUNT(*) FROM calls", "DPQ-130", "epsilom = 0.5", "epsilon = 0.5"),
    (f"{OPTIONS} (epsilon = 'x') COUNT(*) FROM calls", "DPQ-130", "epsilon = 'x'", "epsilon = 0.5"),
    (f"{OPTIONS} (epsilon = 0) COUNT(*) FROM calls", "DPQ-130", "epsilon = 0", "epsilon = 0.5"),
    (f"{OPTIONS} (epsilon = 1e999) COUNT(*) FROM calls", "DPQ-130", "epsilon = 1e999", "epsilon = 0.5"),
    (f"{OPTIONS} (delta = -1e-9) COUNT(*) FROM calls", "DPQ-130", "delta = -1e-9", "delta = 1e-9"),
    (f"{OPTIONS} (epsilon = 1, epsilon = 1) COUNT(*) FROM calls", "DPQ-130", "epsilon = 1", "once"),
    (f"{OPTIONS} (epsilon = 1, target_error = 9) COUNT(*) FROM calls", "DPQ-130", "target_error = 9", "leave one out"),
    (f"{OPTIONS} (max_rows_contributed = 1.5) COUNT(*) FROM calls", "DPQ-130", None, "max_rows_contributed = 10"),
    (f"{OPTIONS} (max_rows_contributed = 4) COUNT(*) FROM calls", "DPQ-117", "max_rows_contributed = 4", "= 3 or less"),
    (
        f"{OPTIONS} (max_groups_contributed = 3) cell_id, COUNT(*) FROM calls WHERE direction = 'inbound' GROUP BY 1",
        "DPQ-117",
        "max_groups_contributed = 3",
        "max_groups_contributed = 2 or less",
    ),
    (
        f"{OPTIONS} (max_rows_per_group = 99) cell_id, COUNT(*) FROM calls GROUP BY 1",
        "DPQ-117",
        "max_rows_per_group = 99",
        "ask for max_rows_per_group = 2 or less",
    ),
    (
        f"{OPTIONS} (max_groups_contributed = 2) cell_id, COUNT(*) FROM calls GROUP BY 1",
        "DPQ-119",
        "max_groups_contributed = 2",
        "leave",
    ),
    (
        f"{OPTIONS} (privacy_unit_column = caller) COUNT(*) FROM calls",
        "DPQ-130",
        "privacy_unit_column = caller",
        "privacy_unit_column = (caller, callee)",
    ),
    (
        f"{OPTIONS} (privacy_unit_column = caller) COUNT(*) FROM subscribers",
        "DPQ-130",
        None,
        "privacy_unit_column = number",
    ),
    (f"{OPTIONS} (group_selection_strategy = LAPLACE_THRESHOLD) COUNT(*) FROM calls", "DPQ-130", None, "PUBLIC_GROUPS"),
    (f"{OPTIONS} (epsilon = 0.5 COUNT(*) FROM calls", "DPQ-101", "(", "OPTIONS (epsilon = 0.5)"),
    (f"{OPTIONS} COUNT(*) FROM calls", "DPQ-130", "OPTIONS", "OPTIONS (epsilon = 0.5)"),
    (f"SELECT COUNT(*) FROM (SELECT {CLAUSE} * FROM calls)", "DPQ-130", "WITH DIFFERENTIAL_PRIVACY", "OPTIONS"),
    ("SHOW PRIVACY", "DPQ-130", "SHOW PRIVACY", "SHOW PRIVACY BUDGET"),
    ("SHOW PRIVACY BUDGET; SHOW PRIVACY BUDGET", "DPQ-130", None, "SHOW PRIVACY BUDGET"),
    ("SET dp.epsilon", "DPQ-130", "SET dp.epsilon", "SET dp.epsilon = 0.2"),
    ("SET dp.epsilon = 'x'", "DPQ-130", None, "SET dp.epsilon = 0.9"),
    ("SET dp.purpose = 3", "DPQ-130", None, "SET dp.purpose = 'network_planning'"),
    ("SET dp.analyst = 'eve'", "DPQ-130", "dp.analyst", "dp.purpose"),
    ("RESET dp.everything", "DPQ-130", None, "dp.epsilon"),
    ("SELECT 1, * FROM TABLE(ESTIMATE_REMAINING_DP_AGGREGATES('calls'))", "DPQ-130", None, "SELECT * FROM TABLE("),
    ("EXPLAIN SELECT COUNT(*) FROM calls", "DPQ-109", None, "EXPLAIN PRIVACY SELECT"),
    ("EXPLAIN PRIVACY DROP TABLE calls", "DPQ-109", None, "SELECT COUNT(*)"),
    (
        "SELECT COUNT(*, contribution_bounds_per_group => (0, 2)) FROM calls",
        "DPQ-119",
        None,
        "OPTIONS (max_rows_contributed = 10)",
    ),
    ("SELECT COUNT(*, contribution_bounds_per_group => (1, 2)) FROM calls", "DPQ-102", None, "=> (0, 10)"),
]


@pytest.mark.parametrize(("sql", "code", "underlined", "cure"), REFUSED)
def test_what_is_not_understood_is_refused_with_its_place(
    sql: str, code: str, underlined: str | None, cure: str
) -> None:
    with pytest.raises(QueryRefused) as caught:
        priced(sql, CATALOG)
    assert caught.value.code == code
    assert cure in (caught.value.fix or "")
    if underlined is not None:
        assert caught.value.where is not None
        assert sql[caught.value.where.column - 1 : caught.value.where.end - 1] == underlined


SELECTING = small_catalog(parse_policy(POLICY.replace("[limits]", "[limits]\nmin_people = 2")))


def test_groups_are_chosen_as_the_keys_allow() -> None:
    """Declared ones all return; others are selected, at a delta above 0 and in no more groups than were asked for."""
    undeclared = "talk_s, COUNT(*) FROM calls WHERE direction = 'inbound' GROUP BY talk_s"
    declared = "cell_id, COUNT(*) FROM calls GROUP BY cell_id"
    assert resolve(f"{OPTIONS} (group_selection_strategy = LAPLACE_THRESHOLD) {undeclared}", SELECTING).selects_groups
    resolve(f"{OPTIONS} (group_selection_strategy = public_groups) {declared}", SELECTING)
    for option, query in (
        ("group_selection_strategy = PUBLIC_GROUPS", undeclared),
        ("group_selection_strategy = LAPLACE_THRESHOLD", declared),
        ("delta = 0", undeclared),
        ("max_groups_contributed = 3", undeclared),
    ):
        with pytest.raises(QueryRefused) as caught:
            bound(resolve(f"{OPTIONS} ({option}) {query}", SELECTING), SELECTING)
        assert caught.value.code in {"DPQ-130", "DPQ-117"}
        assert caught.value.where is not None
    fewer = bound(resolve(f"{OPTIONS} (max_groups_contributed = 1) {undeclared}", SELECTING), SELECTING)
    assert fewer.bounds.max_groups == 1


def test_counts_clamped_per_group_are_sums_of_ones() -> None:
    inbound = "FROM calls WHERE direction = 'inbound'"
    clamped = priced(f"SELECT COUNT(*, contribution_bounds_per_group => (0, 2)) AS n {inbound}", CATALOG)
    assert clamped.parts[0].sensitivity.l1 == 2
    summed = priced(f"SELECT SUM(1, contribution_bounds_per_group => (0, 2)) AS n {inbound}", CATALOG)
    assert clamped.parts == summed.parts
    assert priced(f"SELECT COUNT(*) AS n {inbound}", CATALOG).parts[0].sensitivity.l1 == 3
